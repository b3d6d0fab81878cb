"""Colour planes: what a source's samples mean, to RGB and back, and blending that leaves other samples alone.

Convention:
    * ``planes`` is (Y, U, V), or (Y,) for gray: uint8 [H, W] up to 8 bit, uint16 above, values in codes.
    * Chroma is ``chroma_log2 = (v, h)`` times halved; (1, 1) is 4:2:0. Every plane size divides exactly.
    * R'G'B' is the coded (non-linear) signal; transfer curves such as PQ or HLG are never touched.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

Matrix = Literal["bt601", "bt709", "bt2020"]
Plane = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]
Planes = tuple[Plane, ...]
Box = tuple[int, int, int, int]
"""(y0, x0, y1, x1) in pixels, the ends exclusive."""

LUMA_WEIGHTS: dict[Matrix, tuple[float, float]] = {
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "bt2020": (0.2627, 0.0593),
}
"""(Kr, Kb) of ITU-R BT.601, BT.709 and BT.2020 (non-constant luminance)."""
SUBSAMPLING: dict[tuple[int, int], str] = {(1, 1): "420", (0, 1): "422", (0, 0): "444"}
ALPHA_FLOOR = 1 / 512
"""Averaged chroma alpha below this cannot move an 8-bit code and counts as zero."""


@dataclass(frozen=True)
class ColorSpec:
    """How the samples of a source are to be read."""

    matrix: Matrix
    full_range: bool
    bit_depth: int
    chroma_log2: tuple[int, int]
    gray: bool = False

    @property
    def pix_fmt(self) -> str:
        """FFmpeg's name of the planar format that holds these samples, such as ``yuv420p10le``."""
        base = "gray" if self.gray else f"yuv{SUBSAMPLING[self.chroma_log2]}p"
        return base if self.bit_depth == 8 else f"{base}{self.bit_depth}le"

    @property
    def dtype(self) -> Any:
        """Sample type of the planes."""
        return np.uint8 if self.bit_depth == 8 else np.uint16

    @property
    def top(self) -> int:
        """Largest code."""
        return int(2**self.bit_depth - 1)

    def plane_sizes(self, size_hw: tuple[int, int]) -> tuple[tuple[int, int], ...]:
        """(height, width) of every plane of a picture of ``size_hw``."""
        if self.gray:
            return (size_hw,)
        chroma = size_hw[0] >> self.chroma_log2[0], size_hw[1] >> self.chroma_log2[1]
        return (size_hw, chroma, chroma)


@dataclass(frozen=True)
class PlanarFrame:
    """One frame in the source's own samples; ``pts`` and ``duration`` count the source's time base.

    ``damaged``: the file is damaged there, and this is what decodes of it or the frame before.
    """

    index: int
    pts: int
    planes: Planes
    duration: int = 0
    damaged: bool = False


def default_matrix(height: int) -> Matrix:
    """Matrix of a source that names none: BT.601 below 720 lines, BT.709 from there on, as players assume."""
    return "bt601" if height < 720 else "bt709"


def planes_to_rgb(planes: Planes, color: ColorSpec) -> npt.NDArray[np.uint8]:
    """Planes -> uint8 [H, W, 3] RGB; chroma is brought to full size bilinearly."""
    height, width = planes[0].shape
    if color.gray:
        full = [planes[0]] * 3
    else:
        chroma = [p if p.shape == (height, width) else cv2.resize(p, (width, height)) for p in planes[1:]]
        full = [planes[0], *chroma]
    packed = cv2.merge(full)
    affine = _rgb_from_codes(color)
    if color.bit_depth == 8:
        rgb: npt.NDArray[np.uint8] = cv2.transform(packed, affine)
        return rgb
    values: npt.NDArray[np.float32] = cv2.transform(packed.astype(np.float32), affine)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def blend_planes(
    planes: Planes,
    rgb: npt.NDArray[np.float32],
    alpha: npt.NDArray[np.float32],
    color: ColorSpec,
    box: Box | None = None,
) -> Planes:
    """Lay ``rgb`` over the planes by ``alpha``, in the source's own samples.

    Args:
        planes: the source's planes; they are not modified.
        rgb: float32 [h, w, 3] in [0, 1], the size of ``box``, or of the frame without one.
        alpha: float32 [h, w] in [0, 1], 1 = replaced. Chroma uses its area average; below 1/512 it is zero.
        color: what the samples mean.
        box: the part of the frame that ``rgb`` covers; its edges must be multiples of the chroma step.

    Returns:
        New planes. Where alpha is zero every sample is the source's sample, byte for byte.

    Raises:
        ValueError: if box, rgb and alpha do not fit each other, the frame or the chroma grid.
    """
    y0, x0, y1, x1 = box or (0, 0, *planes[0].shape)
    _check_patch((y0, x0, y1, x1), planes[0].shape, rgb.shape, alpha.shape, color)
    codes = cv2.transform(np.ascontiguousarray(rgb, np.float32), _codes_from_rgb(color))
    alpha = np.ascontiguousarray(alpha, np.float32)
    out = [planes[0].copy()]
    out[0][y0:y1, x0:x1] = _mix(planes[0][y0:y1, x0:x1], codes[..., 0] * alpha, alpha, color.top)
    if color.gray:
        return tuple(out)
    weight, *chroma = _average_chroma(codes, alpha, color.chroma_log2)
    v, h = color.chroma_log2
    part = (slice(y0 >> v, y1 >> v), slice(x0 >> h, x1 >> h))
    for plane, weighted in zip(planes[1:], chroma, strict=True):
        copy = plane.copy()
        copy[part] = _mix(plane[part], weighted, weight, color.top)
        out.append(copy)
    return tuple(out)


def whole_samples(mask: npt.NDArray[np.bool_], chroma_log2: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """``mask`` [H, W] widened to whole chroma samples: what it covers then shares none of them with what it does not."""
    v, h = (1 << shift for shift in chroma_log2)
    blocks = mask.reshape(mask.shape[0] // v, v, mask.shape[1] // h, h).any(axis=(1, 3))
    return np.asarray(blocks.repeat(v, axis=0).repeat(h, axis=1))


def _codes_from_rgb(color: ColorSpec) -> npt.NDArray[np.float32]:
    """Affine map [3, 4] from RGB in [0, 1] to (Y, U, V) in codes, as BT.601, 709 and 2020 quantise."""
    kr, kb = LUMA_WEIGHTS[color.matrix]
    luma = np.array([kr, 1 - kr - kb, kb])
    cb = (np.array([0, 0, 1.0]) - luma) / (2 * (1 - kb))
    cr = (np.array([1.0, 0, 0]) - luma) / (2 * (1 - kr))
    step = 2.0 ** (color.bit_depth - 8)
    y_scale, c_scale = (color.top, color.top) if color.full_range else (219 * step, 224 * step)
    linear = np.stack([luma * y_scale, cb * c_scale, cr * c_scale])
    offset = np.array([0 if color.full_range else 16 * step, 128 * step, 128 * step])
    return np.concatenate([linear, offset[:, None]], axis=1).astype(np.float32)


def _rgb_from_codes(color: ColorSpec) -> npt.NDArray[np.float32]:
    """Affine map [3, 4] from (Y, U, V) in codes to RGB in 0..255; gray is (Y, Y, Y) to equal RGB."""
    forward = _codes_from_rgb(color).astype(np.float64)
    if color.gray:
        gain = 255.0 / forward[0, :3].sum()
        return np.concatenate([np.eye(3) * gain, np.full((3, 1), -forward[0, 3] * gain)], 1).astype(
            np.float32
        )
    inverse = np.linalg.inv(forward[:, :3]) * 255.0
    return np.concatenate([inverse, -inverse @ forward[:, 3:]], axis=1).astype(np.float32)


def _average_chroma(
    codes: npt.NDArray[np.float32], alpha: npt.NDArray[np.float32], chroma_log2: tuple[int, int]
) -> list[npt.NDArray[np.float32]]:
    """Area averages of alpha, alpha * U and alpha * V on the chroma grid.

    Averaging the products, not the colours, keeps colour from where alpha is zero out of the result.
    """
    packed = cv2.merge([alpha, codes[..., 1] * alpha, codes[..., 2] * alpha])
    v, h = chroma_log2
    if v or h:
        size_wh = (alpha.shape[1] >> h, alpha.shape[0] >> v)
        packed = cv2.resize(packed, size_wh, interpolation=cv2.INTER_AREA)
    packed[packed[..., 0] < ALPHA_FLOOR] = 0
    return [packed[..., channel] for channel in range(3)]


def _mix(
    original: Plane, weighted: npt.NDArray[np.float32], alpha: npt.NDArray[np.float32], top: int
) -> npt.NDArray[Any]:
    mixed = np.clip(np.rint(original * (1 - alpha) + weighted), 0, top).astype(original.dtype)
    return np.where(alpha > 0, mixed, original)


def _check_patch(
    box: Box,
    frame_hw: tuple[int, ...],
    rgb_shape: tuple[int, ...],
    alpha_shape: tuple[int, ...],
    color: ColorSpec,
) -> None:
    y0, x0, y1, x1 = box
    if not (0 <= y0 < y1 <= frame_hw[0] and 0 <= x0 < x1 <= frame_hw[1]):
        raise ValueError(f"box {box} (y0, x0, y1, x1) does not lie in a frame of {frame_hw} (height, width)")
    v, h = color.chroma_log2
    if not color.gray and ((y0 | y1) % (1 << v) or (x0 | x1) % (1 << h)):
        raise ValueError(f"box {box} cuts chroma samples; align it to {1 << v} rows and {1 << h} columns")
    size_hw = (y1 - y0, x1 - x0)
    if alpha_shape != size_hw or rgb_shape != (*size_hw, 3):
        raise ValueError(f"rgb {rgb_shape} and alpha {alpha_shape} do not fit a patch of {size_hw}")
