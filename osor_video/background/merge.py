"""Many samples of each pixel made into one: robust against what does not belong, and quieter than any single sample."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from osor_video.tensors import FloatMap

LOWER, UPPER = 0.25, 0.75
"""The middle part, by weight, of the samples in order of their luminance."""
MIDDLE_VARIANCE = 1.2
"""Variance of that part's mean over that of the whole mean, for normal noise (Huber 1981, section 5.2)."""


@dataclass(frozen=True)
class Sample:
    """What one frame says of a box: ``colours`` [h, w, 3], their ``grey`` [h, w], 8-bit levels, and ``weight`` [h, w] >= 0."""

    colours: FloatMap
    grey: FloatMap
    weight: FloatMap


def grain_left(samples: Sequence[Sample]) -> FloatMap:
    """Share of one sample's noise variance that ``interquartile_mean`` leaves, [h, w] in [0, 1]; 1 where no sample has weight."""
    total = np.add.reduce([sample.weight for sample in samples])
    squares = np.add.reduce([np.square(sample.weight) for sample in samples])
    share = MIDDLE_VARIANCE * squares / np.maximum(np.square(total), 1e-20)
    return np.where(total > 0, np.minimum(share, 1), 1).astype(np.float32)


def interquartile_mean(samples: Sequence[Sample]) -> tuple[FloatMap, FloatMap, FloatMap]:
    """Weighted mean of the middle half of the samples: colours [h, w, 3], their spread and the total weight, both [h, w].

    Each sample is ranked by the weight of those darker than it, so nothing is sorted or gathered: K frames cost K^2 comparisons
    of whole pictures. Where no sample has weight the colours are 0.
    """
    total = np.add.reduce([sample.weight for sample in samples])
    colours, used = np.zeros_like(samples[0].colours), np.zeros_like(total)
    for index, sample in enumerate(samples):
        below = _weight_below(index, samples)
        inner = np.minimum(below + sample.weight, UPPER * total) - np.maximum(below, LOWER * total)
        inner = np.maximum(inner, 0)
        colours += cv2.merge([inner] * 3) * sample.colours
        used += inner
    scale = 1 / np.maximum(used, 1e-12)
    colours *= cv2.merge([scale] * 3)
    middle = cv2.cvtColor(colours, cv2.COLOR_RGB2GRAY)
    deviation = np.add.reduce([sample.weight * cv2.absdiff(sample.grey, middle) for sample in samples])
    return colours, deviation / np.maximum(total, 1e-12), total


def _weight_below(index: int, samples: Sequence[Sample]) -> FloatMap:
    """Weight [h, w] of the samples that are darker than sample ``index``; of equals the earlier ones count as darker."""
    own = samples[index].grey
    below = np.zeros_like(own)
    for position, other in enumerate(samples):
        if position != index:
            darker = other.grey <= own if position < index else other.grey < own
            below += other.weight * darker
    return below
