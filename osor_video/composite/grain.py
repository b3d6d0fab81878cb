"""Grain: how strong and how coarse it is around the hole, and the same made anew for what fills it.

A fill without grain is seen at once in motion: everything else is alive. What a frame has that its neighbour, brought over
by the flow, has not, is grain wherever the picture is smooth enough for small errors of the flow not to matter. Light comes in
grains: the variance is a rising line over brightness (Foi et al., "Practical Poissonian-Gaussian Noise Modeling", TIP 2008).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt
from torch.nn import functional as F

from osor_video.flow.estimate import FlowPair
from osor_video.flow.warp import validity
from osor_video.removal.crop import HoleBox
from osor_video.tensors import FloatMap, Mask, Picture, resize_flow

SURROUNDINGS = 1.0
"""Where grain is measured: around the hole's box, as a share of its longer side."""
SURROUNDINGS_PX = 48
"""And at least so far."""
SMOOTH_SHARE = 0.25
"""Share of the known pixels, the smoothest ones, that are measured."""
SMOOTH_PX = 1.5
MIN_PX = 400
"""Pixels without which nothing can be said."""
TRIM, TRIMMED_VARIANCE = 0.8, 0.4377
"""Share of the residuals that are kept, the smallest, and the variance of a normal variable so trimmed."""
DARKEST, BRIGHTEST = 5, 250
"""Levels beyond which grain is cut off."""
WIDEST_PX = 2.5
LEAST_APART = 12.0
"""Levels between the dark and the bright half of what is measured, below which nothing is said of brightness."""
MOST_UNLIKE = 4.0
"""Times that the variance may grow or shrink with brightness."""
TO_YCC: npt.NDArray[np.float32] = np.array(
    [[0.299, 0.587, 0.114], [-0.1687, -0.3313, 0.5], [0.5, -0.4187, -0.0813]], np.float32
)
"""Luma and the two differences of colour: grain, and what coding leaves of it, differs between them."""


@dataclass(frozen=True)
class Grain:
    """Of luma and the two colour differences: ``sigma``, in 8-bit levels, and the ``correlation`` of neighbouring pixels.

    ``sigma`` holds where the luma is ``level``; a level more adds the share ``slope`` to the variance.
    """

    sigma: tuple[float, float, float]
    correlation: tuple[float, float, float]
    level: float = 128.0
    slope: float = 0.0


def measure_grain(last: Picture, picture: Picture, flow: FlowPair, hole: Mask, box: HoleBox) -> Grain | None:
    """The grain of ``picture`` [H, W, 3] around ``box``, the hole's, against the frame before; None where too little is known.

    ``hole`` [H, W] is left out. A bilinear sample has less grain than a pixel has; that is reckoned with.
    """
    top, left, bottom, right = _around(box, hole.shape)
    area = np.s_[top:bottom, left:right]
    back = resize_flow(flow.backward, hole.shape)[0, :, top:bottom, left:right].permute(1, 2, 0).numpy()
    trusted = validity(flow.backward, flow.forward)
    trusted = F.interpolate(trusted, size=hole.shape, mode="nearest")[0, 0].numpy()[area]
    coords = back + np.stack(np.meshgrid(np.arange(left, right), np.arange(top, bottom)), axis=-1)
    moved = cv2.remap(last, coords.astype(np.float32), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    shown, before = picture[area].astype(np.float32), moved.astype(np.float32)
    known = (trusted > 0) & ~hole[area] & _unclipped(picture[area]) & _unclipped(moved)
    smooth = _smoothest(shown, known)
    if smooth is None:
        return None
    residual = cv2.transform(shown - before, TO_YCC)
    lost = _bilinear_variance(back)[smooth]
    figures = [_figures(residual[..., channel], smooth, lost) for channel in range(3)]
    sigma, correlation = zip(*figures, strict=True)
    brightness = cv2.GaussianBlur(cv2.transform(shown, TO_YCC[:1]), (0, 0), SMOOTH_PX)
    return Grain(sigma, correlation, *_over_brightness(residual[..., 0][smooth], brightness[smooth]))


def median_grain(found: Sequence[Grain]) -> Grain:
    """The median of each figure."""
    parts = np.median([(grain.sigma, grain.correlation) for grain in found], axis=0)
    line = np.median([(grain.level, grain.slope) for grain in found], axis=0)
    return Grain(*(tuple(float(value) for value in part) for part in parts), *map(float, line))  # type: ignore[arg-type]


def fresh_grain(
    grain: Grain, size_hw: tuple[int, int], seed: int, frame: int, under: FloatMap | None = None
) -> FloatMap:
    """Grain for one frame, RGB [h, w, 3] on the scale of [0, 1]; the same seed and frame give the same.

    ``under`` [h, w, 3] in [0, 1] is what it goes on, whose brightness has a say.
    """
    random = np.random.default_rng([seed, frame])
    channels = []
    for sigma, correlation in zip(grain.sigma, grain.correlation, strict=True):
        kernel = _kernel(_width(correlation))
        reach = len(kernel) // 2
        white = random.standard_normal((size_hw[0] + 2 * reach, size_hw[1] + 2 * reach), np.float32)
        soft = cv2.sepFilter2D(white, -1, kernel, kernel)
        channels.append(sigma / 255 * soft[reach : reach + size_hw[0], reach : reach + size_hw[1]])
    made = np.stack(channels, axis=-1) @ np.linalg.inv(TO_YCC).T
    if under is not None and grain.slope:
        brightness = 255 * (cv2.GaussianBlur(under, (0, 0), SMOOTH_PX) @ TO_YCC[0])
        variance = np.clip(1 + grain.slope * (brightness - grain.level), 1 / MOST_UNLIKE, MOST_UNLIKE)
        made *= np.sqrt(variance)[..., None]
    return np.asarray(made, dtype=np.float32)


def _over_brightness(residual: FloatMap, brightness: FloatMap) -> tuple[float, float]:
    """``level`` and ``slope`` of a ``Grain`` from the residual at pixels [N] and their brightness."""
    bright = brightness > np.median(brightness)
    if bright.all() or not bright.any():
        return float(brightness.mean()), 0.0
    (dark_level, dark), (bright_level, light) = (
        (float(brightness[side].mean()), _variance(residual[side])[0]) for side in (~bright, bright)
    )
    level, apart = (dark_level + bright_level) / 2, bright_level - dark_level
    if apart < LEAST_APART or dark >= light:
        # More of it in the dark is mostly texture that the flow has missed: measured, wrong on both clips that seemed to have it.
        return level, 0.0
    return level, 2 * (light - dark) / (dark + light) / apart


def _variance(residual: FloatMap) -> tuple[float, float]:
    """Variance of a normal variable of which ``residual`` [N] has samples and some outliers, and the limit that tells them."""
    values = np.abs(residual - np.median(residual))
    limit = float(np.quantile(values, TRIM))
    inner = values <= limit
    return float(np.square(values[inner]).mean()) / TRIMMED_VARIANCE, limit


def _around(box: HoleBox, size_hw: tuple[int, ...]) -> HoleBox:
    top, left, bottom, right = box
    reach = max(SURROUNDINGS_PX, round(SURROUNDINGS * max(bottom - top, right - left)))
    return (
        max(top - reach, 0),
        max(left - reach, 0),
        min(bottom + reach, size_hw[0]),
        min(right + reach, size_hw[1]),
    )


def _unclipped(picture: Picture) -> Mask:
    return np.asarray(cv2.inRange(picture, (DARKEST + 1,) * 3, (BRIGHTEST - 1,) * 3) > 0)


def _smoothest(shown: FloatMap, known: Mask) -> Mask | None:
    """The known pixels [h, w] around which the picture changes least; None where they are too few."""
    if int(known.sum()) * SMOOTH_SHARE < MIN_PX:
        return None
    grey = cv2.GaussianBlur(cv2.cvtColor(shown, cv2.COLOR_RGB2GRAY), (0, 0), SMOOTH_PX)
    steep = np.hypot(cv2.Sobel(grey, -1, 1, 0), cv2.Sobel(grey, -1, 0, 1))
    return np.asarray(known & (steep <= np.quantile(steep[known], SMOOTH_SHARE)))


def _bilinear_variance(flow: FloatMap) -> FloatMap:
    """Share of its variance that white noise keeps when it is sampled through ``flow`` [h, w, 2], [h, w]."""
    part = flow - np.floor(flow)
    kept = np.square(part) + np.square(1 - part)
    return np.asarray(kept[..., 0] * kept[..., 1], dtype=np.float32)


def _figures(residual: FloatMap, where: Mask, lost: FloatMap) -> tuple[float, float]:
    """Standard deviation of the grain behind ``residual`` [h, w], and its correlation from pixel to pixel."""
    variance, limit = _variance(residual[where])
    variance /= float(1 + lost.mean())
    # Outliers, moving things and edges, would pass for coarse grain.
    clean = np.where(where & (np.abs(residual) <= 1.5 * max(limit, 1e-6)), residual, 0)
    power = float(np.square(clean).sum()) / max(int((clean != 0).sum()), 1)
    pairs = [(clean[1:], clean[:-1]), (clean[:, 1:], clean[:, :-1])]
    product = sum(float((a * b).sum()) for a, b in pairs)
    count = sum(int(((a != 0) & (b != 0)).sum()) for a, b in pairs)
    correlation = product / max(count, 1) / max(power, 1e-9)
    return float(np.sqrt(variance)), min(max(correlation, 0.0), 0.95)


@cache
def _kernel(width_px: float) -> npt.NDArray[np.float32]:
    """A Gaussian of which white noise keeps its variance in one direction."""
    reach = max(1, round(3 * width_px))
    weights = np.exp(-0.5 * np.square(np.arange(-reach, reach + 1) / max(width_px, 1e-3)))
    return np.asarray(weights / np.sqrt(np.square(weights).sum()), dtype=np.float32)


@cache
def _correlations() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Widths in pixels, and the correlation of neighbours that a kernel of each gives."""
    widths = np.linspace(0.05, WIDEST_PX, 100)
    kernels = [_kernel(float(width)) for width in widths]
    return widths, np.array([float((kernel[1:] * kernel[:-1]).sum()) for kernel in kernels])


def _width(correlation: float) -> float:
    widths, correlations = _correlations()
    return float(np.round(np.interp(correlation, correlations, widths), 3))
