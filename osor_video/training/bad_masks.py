"""Incomplete masks, as users and propagation make them (OSOR, arXiv 2606.28094, training phase 2)."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np

from osor_video.shapes import dilate
from osor_video.tensors import Mask

SHARES = {"shrink": 0.35, "core": 0.30, "hull": 0.20, "holes": 0.10, "shift": 0.05}
"""How often each kind is drawn in the paper."""
BRUSH = "brush"
BAD_MASKS = (*SHARES, BRUSH)
"""The paper's, and what a broad brush paints: object and a margin, without its fine shape."""
SHIFT_SHARE = 0.07
"""Largest shift, in parts of the picture's side."""


def spoil_mask(mask: Mask, kind: str, random: np.random.Generator) -> Mask:
    """Make ``mask`` [H, W] incomplete in the way ``kind`` of ``BAD_MASKS``; never makes a mask empty."""
    if not mask.any():
        return mask
    if kind == "shrink":
        spoilt = _inner(mask, float(random.uniform(0.5, 0.7)))
    elif kind == "core":
        spoilt = _inner(mask, float(random.uniform(0.15, 0.35)))
    elif kind == "hull":
        spoilt = _hull(mask, int(random.integers(1, 1 + max(2, mask.shape[0] // 20))))
    elif kind == "holes":
        spoilt = _holes(mask, random)
    elif kind == "shift":
        reach = SHIFT_SHARE * mask.shape[0]
        spoilt = _shifted(mask, random.uniform(-reach, reach, 2))
    elif kind == BRUSH:
        spoilt = _brushed(mask, int(random.integers(2, 3 + max(2, mask.shape[0] // 20))))
    else:
        raise ValueError(f"unknown kind of incomplete mask {kind!r}; expected one of {', '.join(BAD_MASKS)}")
    return spoilt if spoilt.any() else mask


def choose_kind(random: np.random.Generator, shares: Mapping[str, float] = SHARES) -> str:
    """One kind, as often as ``shares`` say, whose sum is 1."""
    return str(random.choice(list(shares), p=list(shares.values())))


def _inner(mask: Mask, share: float) -> Mask:
    """The ``share`` of the area that lies farthest from the rim."""
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray(mask & (depth >= np.quantile(depth[mask], 1 - share)))


def _hull(mask: Mask, radius_px: int) -> Mask:
    points = np.argwhere(mask)[:, ::-1].astype(np.int32)
    canvas = np.zeros(mask.shape, np.uint8)
    cv2.fillConvexPoly(canvas, cv2.convexHull(points), 1)
    return dilate(canvas > 0, radius_px)


def _holes(mask: Mask, random: np.random.Generator) -> Mask:
    canvas = mask.astype(np.uint8)
    inside = np.argwhere(mask)
    radius = max(1, round(0.25 * float(np.sqrt(mask.sum()))))
    for _ in range(int(random.integers(1, 5))):
        y, x = inside[int(random.integers(len(inside)))].tolist()
        cv2.circle(canvas, (x, y), int(random.integers(1, radius + 1)), 0, -1)
    return canvas > 0


def _brushed(mask: Mask, radius_px: int) -> Mask:
    wide = dilate(mask, radius_px).astype(np.float32)
    return np.asarray((cv2.GaussianBlur(wide, (0, 0), radius_px) > 0.5) | mask)


def _shifted(mask: Mask, offset_px: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Mask:
    matrix = np.array([[1, 0, offset_px[0]], [0, 1, offset_px[1]]])
    size_wh = (mask.shape[1], mask.shape[0])
    return np.asarray(cv2.warpAffine(mask.astype(np.uint8), matrix, size_wh, flags=cv2.INTER_NEAREST) > 0)
