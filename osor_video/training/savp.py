"""Effect-aware masks of before/after pairs: where object, shadow and reflection change the picture.

After SAVP (OSOR, arXiv 2606.28094, section 3.1): a heat of three differences, a threshold, morphology. The paper's
second half, which checks the words of an editing instruction against detectors, has nothing to check here: a plate
is the same place photographed twice.

One thing is added. Divided by its own 99th percentile alone, the noise of two exposures of an unchanged place would
be as hot as an object. So both pictures are lightly blurred, what the least changed quarter of the picture shows is
taken to be noise and subtracted, and a percentile never counts for less than a difference one would notice
(``Term.least``). Identical pictures therefore have no heat and an empty mask.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from osor_video.shapes import disc, drop_small_parts, fill_small_holes
from osor_video.tensors import FloatMap, Mask, Picture


@dataclass(frozen=True)
class Term:
    """One difference of the heat: its ``weight``, and ``least``, the smallest value to divide it by."""

    weight: float
    least: float


LUMINANCE = Term(0.6, 0.5)
"""Natural logarithm of linear luminance; by itself a change of 6 % reaches the threshold at the earliest."""
CHROMA = Term(0.3, 10.0)
"""Distance in Lab's a and b; by itself 2.3, the just noticeable difference, reaches it at the earliest."""
TEXTURE = Term(0.1, 0.5)
"""Sobel magnitude of Lab's L in [0, 1]; by itself an edge of a twelfth of the range reaches it at the earliest."""
PERCENTILE = 99.0
"""Of the pixels that differ at all; what lies above counts as 1."""
THRESHOLD = 0.07
"""Heat from which a pixel belongs to the object or its effects."""
RADIUS_PX = 3
"""Of the disc of opening and closing, at 1 MP."""
SMALLEST_REGION_PX = 2000
"""Smaller regions are dropped, at 1 MP."""
SMALLEST_HOLE_PX = 500
"""Smaller holes are filled, at 1 MP."""
MEGAPIXEL = 1_000_000
"""The picture area that radius and areas refer to."""

BLUR_PX = 1.0
"""Sigma of the blur before the comparison: the grain of two exposures differs."""
LUMINANCE_FLOOR = 0.03
"""Added to luminance in [0, 1] before the logarithm: noise in the dark is no effect."""
NOISE_GAIN = 6.0
"""Noise is this many times the lower quartile of a difference: two to four standard deviations."""
MOST_NOISE = 0.2
"""Most of ``Term.least`` that is subtracted as noise, so that an object which fills the picture survives."""


def effect_aware_mask(shot: Picture, clean: Picture) -> Mask:
    """Mask [H, W] of everything that ``shot`` shows and ``clean`` does not, both uint8 [H, W, 3].

    ``heat`` above the threshold, opened and closed, small regions dropped, small holes filled; radius and areas
    follow the picture's size. Empty where the pictures differ by no more than noise.
    """
    megapixels = shot.shape[0] * shot.shape[1] / MEGAPIXEL
    element = disc(max(1, round(RADIUS_PX * megapixels**0.5)))
    hot = (heat(shot, clean) > THRESHOLD).astype(np.uint8)
    opened = cv2.morphologyEx(hot, cv2.MORPH_OPEN, element)
    closed = np.asarray(cv2.morphologyEx(opened, cv2.MORPH_CLOSE, element) > 0)
    return fill_small_holes(
        drop_small_parts(closed, SMALLEST_REGION_PX * megapixels), SMALLEST_HOLE_PX * megapixels
    )


def heat(shot: Picture, clean: Picture) -> FloatMap:
    """.6 |d log L| + .3 |d ab| + .1 |d Sobel|, each over its 99th percentile: float32 [H, W] in [0, 1]."""
    change = np.abs(_features(shot) - _features(clean))
    chroma = np.hypot(change[..., 1], change[..., 2])
    differences = ((LUMINANCE, change[..., 0]), (CHROMA, chroma), (TEXTURE, change[..., 3]))
    terms = [term.weight * _relative(difference, term.least) for term, difference in differences]
    return np.asarray(np.sum(terms, axis=0), np.float32)


def _features(picture: Picture) -> FloatMap:
    """Log of linear luminance, a, b, Sobel magnitude: float32 [H, W, 4]."""
    rgb = cv2.GaussianBlur(picture.astype(np.float32) / 255.0, (0, 0), BLUR_PX)
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)
    # Inverse of L* = 116 Y^(1/3) - 16; its straight piece near black lies far below the floor.
    luminance = ((lab[..., 0] + 16) / 116) ** 3
    lightness = lab[..., 0] / 100
    slopes = [cv2.Sobel(lightness, cv2.CV_32F, dx, 1 - dx, ksize=3) for dx in (1, 0)]
    return np.dstack([np.log(luminance + LUMINANCE_FLOOR), lab[..., 1:], np.hypot(*slopes)])


def _relative(difference: FloatMap, least: float) -> FloatMap:
    """``difference`` [H, W] without noise, over its 99th percentile or ``least``: [0, 1]."""
    noise = min(NOISE_GAIN * float(np.quantile(difference, 0.25)), MOST_NOISE * least)
    effect = np.maximum(difference - noise, 0)
    seen = effect[effect > 0]
    strongest = float(np.percentile(seen, PERCENTILE)) if seen.size else 0.0
    return np.asarray(np.minimum(effect / max(strongest, least), 1), np.float32)
