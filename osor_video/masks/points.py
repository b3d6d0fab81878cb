"""An object from a few points on it: how far the colour carries from each point gives a box, then GrabCut.

Geodesic distances after Bai and Sapiro, "A Geodesic Framework for Fast Interactive Image and Video Segmentation"
(ICCV 2007): a path costs what the colour changes along it. What is nearer to a point beside the object is not the object's.
Measured on the first frames of ``clips/`` with one, three and five points: J .54 to .64 for people in many colours, .97 for
the one coat of the tests' world. Distances alone give .3, .6 with the best threshold known: colour does not tell legs from a
wall.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from osor_video.errors import MaskError
from osor_video.masks.snap import cut_out
from osor_video.shapes import touching
from osor_video.tensors import FloatMap, Mask, Picture

WORKING_PX = 240
"""Longer side of the picture on which distances are measured."""
STEP_COST = 0.6
"""What a step of a pixel costs where no colour changes, in Lab levels: of two ways through nothing the short one."""
POINT_RADIUS = 0.008
"""Radius of a point, as a share of the frame's height: pixels that surely are (or are not) object."""
REACH, LEAST_REACH = 60.0, 30.0
"""Distance up to which the colour carries from a single point; from each of many points it need not go so far."""
MARGIN, LEAST_SIDE = 0.15, 0.35
"""Widening of the box around what was reached, as a share of its sides, the shorter counted as this share of the longer."""
SMOOTHING = 5
"""Median filter over texture before colours are compared, pixels of the working size."""


def check_points(points_xy: Sequence[tuple[int, int]], size_hw: tuple[int, int], what: str = "Point") -> None:
    """MaskError for a point outside a frame of ``size_hw``; ``what`` it is called."""
    for x, y in points_xy:
        if not (0 <= x < size_hw[1] and 0 <= y < size_hw[0]):
            raise MaskError(
                f"{what} {x},{y} lies outside the {size_hw[1]}x{size_hw[0]} frame. "
                f"Give x from 0 to {size_hw[1] - 1} and y from 0 to {size_hw[0] - 1}."
            )


def discs(points_xy: tuple[tuple[int, int], ...], size_hw: tuple[int, int]) -> Mask:
    """bool ``size_hw``: the points as small discs."""
    drawn = np.zeros(size_hw, np.uint8)
    radius_px = max(1, round(POINT_RADIUS * size_hw[0]))
    for point in points_xy:
        cv2.circle(drawn, point, radius_px, 1, -1)
    return drawn > 0


def object_at(
    picture: Picture, points_xy: tuple[tuple[int, int], ...], not_points_xy: tuple[tuple[int, int], ...]
) -> Mask:
    """The object [H, W] of ``picture`` [H, W, 3] that ``points_xy`` lie on and ``not_points_xy`` do not."""
    size_hw = picture.shape[0], picture.shape[1]
    on, off = discs(points_xy, size_hw), discs(not_points_xy, size_hw)
    off &= ~on
    near = _distance(picture, on)
    closer = near < _distance(picture, off) if off.any() else np.ones_like(on)
    reached = (near < max(REACH / np.sqrt(len(points_xy)), LEAST_REACH)) & closer
    region = _box_around(reached | on) & closer & ~off | on
    return touching(cut_out(picture, region, on, off), on)


def _box_around(reached: Mask) -> Mask:
    """The bounding box of ``reached`` [H, W], widened: of what lies outside it the colours of the background are learnt."""
    ys, xs = np.nonzero(reached)
    widened = max(np.ptp(ys) + 1, np.ptp(xs) + 1) * LEAST_SIDE
    margin_y, margin_x = (round(MARGIN * max(np.ptp(places) + 1, widened)) + 1 for places in (ys, xs))
    box = np.zeros_like(reached)
    box[
        max(ys.min() - margin_y, 0) : ys.max() + margin_y + 1,
        max(xs.min() - margin_x, 0) : xs.max() + margin_x + 1,
    ] = True
    return box


def _distance(picture: Picture, seeds: Mask) -> FloatMap:
    """Distance [H, W] of each pixel from ``seeds`` along the way on which colour changes least, in Lab levels."""
    from scipy.sparse.csgraph import dijkstra  # noqa: PLC0415  (every run loads this file, few give points)

    height, width = seeds.shape
    scale = min(1.0, WORKING_PX / max(height, width))
    size_hw = max(8, round(height * scale)), max(8, round(width * scale))
    small = cv2.medianBlur(cv2.resize(picture, size_hw[::-1], interpolation=cv2.INTER_AREA), SMOOTHING)
    lab = cv2.cvtColor(small, cv2.COLOR_RGB2LAB).astype(np.float32)
    starts = np.flatnonzero(_shrunk(seeds, size_hw))
    found = dijkstra(_graph(lab), directed=False, indices=starts, min_only=True)
    grid = found.reshape(size_hw).astype(np.float32)
    return np.asarray(cv2.resize(grid, (width, height)), np.float32)


def _shrunk(mask: Mask, size_hw: tuple[int, int]) -> Mask:
    ys, xs = np.nonzero(mask)
    small = np.zeros(size_hw, dtype=bool)
    small[ys * size_hw[0] // mask.shape[0], xs * size_hw[1] // mask.shape[1]] = True
    return small


def _graph(lab: FloatMap) -> Any:
    """Neighbouring pixels of ``lab`` [h, w, 3], eight ways, joined by the change of colour between them: a sparse matrix."""
    from scipy.sparse import coo_matrix  # noqa: PLC0415  (as above)

    height, width = lab.shape[:2]
    numbers: npt.NDArray[np.int64] = np.arange(height * width).reshape(height, width)
    starts, ends, costs = [], [], []
    for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
        here = np.s_[: height - down, max(0, -right) : width - max(0, right)]
        there = np.s_[down:, max(0, right) : width + min(0, right)]
        change = np.linalg.norm(lab[here] - lab[there], axis=-1)
        starts.append(numbers[here].ravel())
        ends.append(numbers[there].ravel())
        costs.append((change + STEP_COST * np.hypot(down, right)).ravel())
    joined = np.concatenate(costs), (np.concatenate(starts), np.concatenate(ends))
    return coo_matrix(joined, shape=(height * width,) * 2).tocsr()
