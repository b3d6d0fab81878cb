"""Colour planes: what a source's samples mean, to RGB and back, and blending that leaves other samples alone.

Convention:
    * ``planes`` is (Y, U, V), (G, B, R) or, for gray, (Y,), an alpha plane behind them where the source has one: uint8 [H, W] up
      to 8 bit, uint16 above, values in codes; float16 or float32 where the source is scene-linear (EXR).
    * Chroma is ``chroma_log2 = (v, h)`` times halved, rounded up; (1, 1) is 4:2:0.
    * R'G'B' is the coded (non-linear) signal; transfer curves such as PQ or HLG are never touched. Scene-linear samples are seen
      through the sRGB curve and go back through it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
import numpy.typing as npt

Matrix = Literal["bt601", "bt709", "bt2020", "rgb"]
Plane = npt.NDArray[np.uint8] | npt.NDArray[np.uint16] | npt.NDArray[np.float16] | npt.NDArray[np.float32]
Planes = tuple[Plane, ...]
Box = tuple[int, int, int, int]
"""(y0, x0, y1, x1) in pixels, the ends exclusive."""

LUMA_WEIGHTS: dict[Matrix, tuple[float, float]] = {
    "rgb": (0.2126, 0.0722),
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
    """How the samples of a source are to be read; ``linear``: RGB floats of 16 or 32 bit in proportion to light."""

    matrix: Matrix
    full_range: bool
    bit_depth: int
    chroma_log2: tuple[int, int]
    gray: bool = False
    alpha: bool = False
    linear: bool = False

    @property
    def pix_fmt(self) -> str:
        """FFmpeg's name of the planar format that holds these samples, such as ``yuv420p10le``."""
        more = "a" if self.alpha else ""
        if self.gray:
            base = "gray"
        elif self.matrix == "rgb":
            base = f"gbr{more}p" + ("f" if self.linear else "")
        else:
            base = f"yuv{more}{SUBSAMPLING[self.chroma_log2]}p"
        return base if self.bit_depth == 8 else f"{base}{self.bit_depth}le"

    @property
    def dtype(self) -> Any:
        """Sample type of the planes."""
        if self.linear:
            return np.float16 if self.bit_depth == 16 else np.float32
        return np.uint8 if self.bit_depth == 8 else np.uint16

    @property
    def top(self) -> int:
        """Largest code."""
        return int(2**self.bit_depth - 1)

    def plane_sizes(self, size_hw: tuple[int, int]) -> tuple[tuple[int, int], ...]:
        """(height, width) of every plane of a picture of ``size_hw``."""
        alpha = (size_hw,) if self.alpha else ()
        if self.gray:
            return (size_hw, *alpha)
        chroma = _halved(size_hw[0], self.chroma_log2[0]), _halved(size_hw[1], self.chroma_log2[1])
        return (size_hw, chroma, chroma, *alpha)


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
    if color.linear:
        return np.rint(planes_to_signal(planes, color) * 255).astype(np.uint8)
    packed = cv2.merge([planes[0]] * 3 if color.gray else [planes[0], *_full_chroma(planes, color)])
    affine = _rgb_from_codes(color)
    if color.bit_depth == 8:
        rgb: npt.NDArray[np.uint8] = cv2.transform(packed, affine)
        return rgb
    values: npt.NDArray[np.float32] = cv2.transform(packed.astype(np.float32), affine)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def planes_to_signal(planes: Planes, color: ColorSpec) -> npt.NDArray[np.float32]:
    """Planes -> float32 [H, W, 3] R'G'B', 1 = full, unclipped but where light goes through the sRGB curve."""
    if color.linear:
        green, blue, red = (plane.astype(np.float32) for plane in planes[:3])
        return from_linear(cv2.merge([red, green, blue]))
    parts = [planes[0]] * 3 if color.gray else [planes[0], *_full_chroma(planes, color)]
    packed = cv2.merge([part.astype(np.float32) for part in parts])
    return np.asarray(cv2.transform(packed, _rgb_from_codes(color) / 255), np.float32)


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
    rgb = to_linear(rgb) if color.linear else np.ascontiguousarray(rgb, np.float32)
    codes = cv2.transform(rgb, _codes_from_rgb(color))
    alpha = np.ascontiguousarray(alpha, np.float32)
    out = [planes[0].copy()]
    out[0][y0:y1, x0:x1] = _mix(planes[0][y0:y1, x0:x1], codes[..., 0] * alpha, alpha, color)
    if color.gray:
        return (*out, *planes[1:])
    weight, *chroma = _average_chroma(codes, alpha, color.chroma_log2)
    v, h = color.chroma_log2
    part = (slice(y0 >> v, _halved(y1, v)), slice(x0 >> h, _halved(x1, h)))
    for plane, weighted in zip(planes[1:3], chroma, strict=True):
        copy = plane.copy()
        copy[part] = _mix(plane[part], weighted, weight, color)
        out.append(copy)
    return (*out, *planes[3:])


def outside_difference(
    before: Planes, after: Planes, alpha: npt.NDArray[np.float32], color: ColorSpec, box: Box | None = None
) -> float:
    """Largest difference, in codes, between samples that ``alpha`` [h, w] on ``box`` does not reach: 0 where all is well.

    A chroma sample is reached if any pixel that it belongs to is.
    """
    y0, x0, y1, x1 = box or (0, 0, *before[0].shape)
    most = 0.0
    for number, (old, new) in enumerate(zip(before, after, strict=True)):
        v, h = color.chroma_log2 if number in (1, 2) else (0, 0)
        # Bits, not values: among floats no number equals itself, and none of them is to be lost.
        bits = np.dtype(f"u{old.itemsize}")
        changed = old.view(bits) != new.view(bits)
        part = (slice(y0 >> v, _halved(y1, v)), slice(x0 >> h, _halved(x1, h)))
        if number < 3:
            changed[part] &= ~_any_of_block(alpha > 0, v, h)
        if changed.any():
            gap = np.abs(old[changed].astype(np.float64) - new[changed])
            most = max(most, float(np.nan_to_num(gap, nan=np.inf).max()))
    return most


def to_linear(signal: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """sRGB-coded values in [0, 1] -> values in proportion to light (IEC 61966-2-1)."""
    high = ((np.maximum(signal, 0) + 0.055) / 1.055) ** 2.4
    return np.where(signal <= 0.04045, signal / 12.92, high).astype(np.float32)


def from_linear(light: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The inverse of ``to_linear``, into [0, 1]: what is brighter than 1 is clipped, what is no number is black."""
    light = np.clip(np.nan_to_num(light, nan=0.0, posinf=1.0, neginf=0.0), 0, 1)
    high = 1.055 * light ** (1 / 2.4) - 0.055
    return np.where(light <= 0.0031308, light * 12.92, high).astype(np.float32)


def whole_samples(mask: npt.NDArray[np.bool_], chroma_log2: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """``mask`` [H, W] widened to whole chroma samples: what it covers then shares none of them with what it does not."""
    v, h = (1 << shift for shift in chroma_log2)
    blocks = _any_of_block(mask, *chroma_log2)
    return np.asarray(blocks.repeat(v, axis=0).repeat(h, axis=1))[: mask.shape[0], : mask.shape[1]]


def _halved(length: int, times: int) -> int:
    """``length`` halved ``times`` times, rounded up."""
    return -(-length >> times)


def _any_of_block(mask: npt.NDArray[np.bool_], v: int, h: int) -> npt.NDArray[np.bool_]:
    """True for each chroma sample of which a pixel is True in ``mask`` [H, W]."""
    if not (v or h):
        return mask
    lacking = [(0, -length % (1 << shift)) for length, shift in zip(mask.shape, (v, h), strict=True)]
    padded = np.pad(mask, lacking)
    blocks = padded.reshape(padded.shape[0] >> v, 1 << v, padded.shape[1] >> h, 1 << h)
    return np.asarray(blocks.any(axis=(1, 3)))


def _full_chroma(planes: Planes, color: ColorSpec) -> list[Plane]:
    """Both chroma planes at the size of the first plane, bilinearly."""
    height, width = planes[0].shape
    v, h = color.chroma_log2
    if not (v or h):
        return [*planes[1:3]]
    sizes = [(plane.shape[1] << h, plane.shape[0] << v) for plane in planes[1:3]]
    scaled = [cv2.resize(plane, size) for plane, size in zip(planes[1:3], sizes, strict=True)]
    return [plane[:height, :width] for plane in scaled]


def _codes_from_rgb(color: ColorSpec) -> npt.NDArray[np.float32]:
    """Affine map [3, 4] from RGB in [0, 1] to the planes' codes, as BT.601, 709 and 2020 quantise; RGB is full range."""
    if color.matrix == "rgb" and not color.gray:
        scale = 1.0 if color.linear else color.top
        return np.array([[0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 0]], np.float32) * np.float32(scale)
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
        height, width = (_halved(length, shift) for length, shift in zip(alpha.shape, (v, h), strict=True))
        down, across = (height << v) - alpha.shape[0], (width << h) - alpha.shape[1]
        if down or across:  # the last sample of an odd size has fewer pixels
            packed = cv2.copyMakeBorder(packed, 0, down, 0, across, cv2.BORDER_REPLICATE)
        packed = cv2.resize(packed, (width, height), interpolation=cv2.INTER_AREA)
        packed[packed[..., 0] < ALPHA_FLOOR] = 0
    return [packed[..., channel] for channel in range(3)]


def _mix(
    original: Plane, weighted: npt.NDArray[np.float32], alpha: npt.NDArray[np.float32], color: ColorSpec
) -> npt.NDArray[Any]:
    if color.linear:
        # Where all is replaced an infinity below must not show: 0 times it is no number.
        kept = np.where(alpha < 1, original.astype(np.float32) * (1 - alpha), 0)
        return np.where(alpha > 0, (kept + weighted).astype(original.dtype), original)
    mixed = np.clip(np.rint(original * (1 - alpha) + weighted), 0, color.top).astype(original.dtype)
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
    ends = (y1 if y1 < frame_hw[0] else 0), (x1 if x1 < frame_hw[1] else 0)
    if not color.gray and ((y0 | ends[0]) % (1 << v) or (x0 | ends[1]) % (1 << h)):
        raise ValueError(f"box {box} cuts chroma samples; align it to {1 << v} rows and {1 << h} columns")
    size_hw = (y1 - y0, x1 - x0)
    if alpha_shape != size_hw or rgb_shape != (*size_hw, 3):
        raise ValueError(f"rgb {rgb_shape} and alpha {alpha_shape} do not fit a patch of {size_hw}")
