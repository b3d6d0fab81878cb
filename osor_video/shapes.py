"""Masks grown by a disc, the boxes around them, and the parts of masks that touch something."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from osor_video.tensors import Mask


def disc(radius_px: int) -> np.ndarray[tuple[int, int], np.dtype[Any]]:
    """A structuring element, uint8, of ``2 radius_px + 1`` pixels each way."""
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius_px + 1, 2 * radius_px + 1)))


def dilate(mask: Mask, radius_px: int) -> Mask:
    """``mask`` [H, W] and all pixels within ``radius_px`` of it."""
    return np.asarray(cv2.dilate(mask.astype(np.uint8), disc(radius_px)) > 0)


def erode(mask: Mask, radius_px: int) -> Mask:
    """What of ``mask`` [H, W] lies farther than ``radius_px`` from all outside it."""
    return np.asarray(cv2.erode(mask.astype(np.uint8), disc(radius_px)) > 0)


def box_around(region: Mask, margin_y: int, margin_x: int | None = None) -> tuple[slice, slice]:
    """Rows and columns of the bounding box of ``region`` [H, W], not empty, widened on all sides."""
    rows, columns = (np.flatnonzero(region.any(axis=axis)) for axis in (1, 0))
    margin_x = margin_y if margin_x is None else margin_x
    return (
        slice(max(int(rows[0]) - margin_y, 0), int(rows[-1]) + 1 + margin_y),
        slice(max(int(columns[0]) - margin_x, 0), int(columns[-1]) + 1 + margin_x),
    )


def touching(region: Mask, seed: Mask) -> Mask:
    """The connected parts of ``region`` [H, W] that overlap ``seed``."""
    count, labels = cv2.connectedComponents(region.astype(np.uint8))
    kept = np.zeros(count, dtype=bool)
    kept[np.unique(labels[seed & region])] = True
    kept[0] = False
    return np.asarray(kept[labels])


def overlap(found: Mask, true: Mask) -> float:
    """J: intersection over union of two masks [H, W]; 1 where both are empty."""
    union = np.logical_or(found, true).sum()
    return float(np.logical_and(found, true).sum() / union) if union else 1.0


def drop_small_parts(mask: Mask, smallest_px: float) -> Mask:
    """``mask`` [H, W] without its connected parts of fewer than ``smallest_px`` pixels."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    kept = stats[:, cv2.CC_STAT_AREA] >= smallest_px
    kept[0] = False
    return np.asarray(kept[labels])


def fill_small_holes(mask: Mask, smallest_px: float) -> Mask:
    """``mask`` [H, W] with its holes of fewer than ``smallest_px`` pixels; what touches the edge is no hole."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats((~mask).astype(np.uint8), connectivity=4)
    filled = stats[:, cv2.CC_STAT_AREA] < smallest_px
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        filled[edge] = False
    filled[0] = False
    return np.asarray(mask | filled[labels])
