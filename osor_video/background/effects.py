"""Shadow and reflection, as the plate gives them away: where the frame differs from it, joined to the object.

After OSOR's SAVP (arXiv 2606.28094, section 3.1), which finds effects in before/after pairs; here the plate is the "after".
"""

from __future__ import annotations

import cv2
import numpy as np

from osor_video.background.recover import Plate
from osor_video.config import EffectsConfig
from osor_video.tensors import FloatMap, Mask, Picture

LOG_FLOOR = 0.03
"""Added to luminance before the logarithm: noise in the dark is no effect."""
SURE_PLATE = 0.3
"""Plate confidence below which a difference says nothing."""


def find_effects(picture: Picture, plate: Plate, hole: Mask, config: EffectsConfig) -> FloatMap:
    """Alpha [H, W] of what the object casts: 1 in the effect, soft at its edge, 0 elsewhere and inside the hole.

    A pixel belongs to an effect when its luminance differs from the plate's by more than ``threshold`` in the logarithm, by less
    than another object would (``ceiling``), in a region that touches the hole.
    """
    top, left, bottom, right = plate.box
    shown, inner = picture[top:bottom, left:right], hole[top:bottom, left:right]
    change = np.abs(_log_luminance(shown.astype(np.float32) / 255) - _log_luminance(plate.rgb))
    sure = plate.confidence > SURE_PLATE
    low = (change > config.threshold) & sure & ~inner
    foreign = cv2.dilate(((change > config.ceiling) & sure & ~inner).astype(np.uint8), _disc(2)) > 0
    region = _touching(_clean(low & ~foreign, hole.shape[0]), inner)
    alpha = np.zeros(hole.shape, np.float32)
    soft = cv2.GaussianBlur(cv2.dilate(region.astype(np.uint8), _disc(2)).astype(np.float32), (0, 0), 1.5)
    alpha[top:bottom, left:right] = np.where(sure, soft, 0)
    return alpha


def _log_luminance(rgb: FloatMap) -> FloatMap:
    """Log of blurred Rec. 709 luma of [h, w, 3] in [0, 1]."""
    blurred = cv2.GaussianBlur(rgb, (0, 0), 2.0)
    return np.asarray(np.log(blurred @ np.array([0.2126, 0.7152, 0.0722], np.float32) + LOG_FLOOR))


def _clean(region: Mask, height: int) -> Mask:
    """Opened, then closed: specks go, gaps in a shadow fill."""
    radius = max(1, round(height / 160))
    opened = cv2.morphologyEx(region.astype(np.uint8), cv2.MORPH_OPEN, _disc(radius))
    return np.asarray(cv2.morphologyEx(opened, cv2.MORPH_CLOSE, _disc(2 * radius)) > 0)


def _touching(region: Mask, hole: Mask) -> Mask:
    """The connected parts of ``region`` that touch the (slightly grown) hole."""
    count, labels = cv2.connectedComponents(region.astype(np.uint8))
    near = cv2.dilate(hole.astype(np.uint8), _disc(3)) > 0
    kept = np.zeros(count, dtype=bool)
    kept[np.unique(labels[near & region])] = True
    kept[0] = False
    return np.asarray(kept[labels])


def _disc(radius: int) -> np.ndarray:  # type: ignore[type-arg]
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)))
