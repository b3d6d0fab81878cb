"""Camera motion between neighbouring frames, as a homography of the background.

Convention: homographies are float64 [3, 3] on pixel coordinates (x, y, 1) of the full frame; ``step`` maps the earlier
frame to the later one.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from kornia.geometry.homography import find_homography_dlt

from osor_video.tensors import Mask

Homography = npt.NDArray[np.float64]
GreyPicture = npt.NDArray[np.uint8]

MAX_CORNERS = 600
MIN_INLIERS = 12
HOMOGRAPHY_FREEDOM = 8
SIGNIFICANT = 20.0
"""What the motion explains, per number of the homography, over what it leaves, per track. Chance alone makes that 1, but tracks err
alike: up to 16 was seen on a tripod with people about, hardly ever less than 100 in the hand."""
CYCLE_PX = 0.5
"""A track counts when it comes back to where it began within this distance."""


Tracks = tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
"""Places (x, y) of the same points in two frames, both [N, 2]."""


def camera_step(tracks: Tracks, later_hole: Mask) -> Homography:
    """Homography of the background from one frame to a later one, whose hole is ``later_hole`` [H, W].

    ``tracks`` outside it are fitted robustly (MAGSAC, Barath et al., CVPR 2019) and refitted to all inliers at once. Where there
    are too few, or no motion explains them as well, the camera is taken to stand still: on a tripod the errors of many steps would
    add up to a drift that is not there.
    """
    start, end = _outside(tracks, later_hole)
    if len(start) < MIN_INLIERS:
        return np.eye(3)
    robust, inliers = cv2.findHomography(start, end, cv2.USAC_MAGSAC, 1.0)
    if robust is None or int(inliers.sum()) < MIN_INLIERS:
        return np.eye(3)
    chosen = inliers[:, 0] > 0
    fitted = _refit(start[chosen], end[chosen])
    return fitted if _moves(fitted, start[chosen], end[chosen]) else np.eye(3)


def track_corners(earlier: GreyPicture, later: GreyPicture, earlier_hole: Mask) -> Tracks:
    """Corners of ``earlier`` outside its hole [H, W], found in ``later``, both uint8 [H, W]: there and back (Lucas-Kanade)."""
    allowed = (~earlier_hole).astype(np.uint8)
    corners: Any = cv2.goodFeaturesToTrack(earlier, MAX_CORNERS, 0.005, 5, mask=allowed)
    if corners is None:
        return np.zeros((0, 2), np.float32), np.zeros((0, 2), np.float32)
    moved, there, _ = cv2.calcOpticalFlowPyrLK(earlier, later, corners, None, winSize=(15, 15), maxLevel=3)
    back, home, _ = cv2.calcOpticalFlowPyrLK(later, earlier, moved, None, winSize=(15, 15), maxLevel=3)
    start, end = corners.reshape(-1, 2), moved.reshape(-1, 2)
    good = (there[:, 0] > 0) & (home[:, 0] > 0)
    good &= np.linalg.norm(start - back.reshape(-1, 2), axis=1) < CYCLE_PX
    return start[good], end[good]


def _outside(tracks: Tracks, hole: Mask) -> Tracks:
    """Those that end in the picture and outside the ``hole`` [H, W]."""
    start, end = tracks
    cells = np.rint(end).astype(int)
    height, width = hole.shape
    good = (cells[:, 0] >= 0) & (cells[:, 0] < width) & (cells[:, 1] >= 0) & (cells[:, 1] < height)
    good[good] &= ~hole[cells[good, 1], cells[good, 0]]
    return start[good], end[good]


def _moves(fitted: Homography, start: npt.NDArray[np.float32], end: npt.NDArray[np.float32]) -> bool:
    """Whether tracks [N, 2] speak for ``fitted`` against no motion at all: the F test of nested models."""
    predicted = cv2.perspectiveTransform(start[None].astype(np.float64), fitted)[0]
    left, still = (float(np.square(end - place).sum()) for place in (predicted, start))
    freedom = max(2 * len(start) - HOMOGRAPHY_FREEDOM, 1)
    return (still - left) * freedom > SIGNIFICANT * HOMOGRAPHY_FREEDOM * left


def _refit(start: npt.NDArray[np.float32], end: npt.NDArray[np.float32]) -> Homography:
    """Least-squares homography (normalised DLT, Hartley and Zisserman 2004, algorithm 4.2)."""
    points = (torch.from_numpy(side.astype(np.float64))[None] for side in (start, end))
    fitted: Homography = find_homography_dlt(*points)[0].numpy()
    return np.asarray(fitted / fitted[2, 2], dtype=np.float64)
