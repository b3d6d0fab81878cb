"""Motion blur of a frame, measured where a sharper picture shows the same place, so that a fill can be given it.

While the shutter is open a camera that pans draws every point out to a line. What is borrowed from a frame in which it stood still,
or carried from there, lacks that line, and stands out as a sharp patch.

Convention: a kernel is float32 [k, k] with sum 1, for ``cv2.filter2D``.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

from osor_video.tensors import FloatMap, channel_sum

FEWEST_PX = 400
"""With fewer pixels that both pictures show nothing is measured."""
SHARPER = 0.7
"""Share of the sharp picture's squared slopes that the frame has at most, for a blur to be looked for."""
EXPLAINED = 0.8
"""Share of the squared difference that a blur may leave at most, or it is none."""
UNALIKE = 0.5
"""Share of the frame's variance that a blur may leave at most: else the two show different things."""
NOISE_PX = 0.8
"""Standard deviation of a blur before slopes are taken: noise is never drawn out."""
ANGLES = 12
FIRST_PX = 9
LENGTHS_PX = (3, 5, 7, 9, 13, 17, 23, 31)


def motion_blur(sharp: FloatMap, frame: FloatMap, both: FloatMap) -> FloatMap | None:
    """The kernel that makes ``sharp`` [h, w, 3] as blurred as ``frame``, in [0, 1], is where ``both`` [h, w] show the same place.

    None where the frame is as sharp, or where no straight blur explains how they differ.
    """
    if np.count_nonzero(both > 0.5) < FEWEST_PX:
        return None
    inner = cv2.erode((both > 0.5).astype(np.uint8), np.ones((5, 5), np.uint8))
    there, here = (cv2.GaussianBlur(channel_sum(side) / 3, (0, 0), NOISE_PX) for side in (sharp, frame))
    if _steepness(here, inner) > SHARPER * _steepness(there, inner):
        return None
    before = _difference(there, here, inner)

    def left(length_px: int, angle: int) -> float:
        return _difference(cv2.filter2D(there, -1, line_kernel(length_px, angle)), here, inner)

    angle = min(range(ANGLES), key=lambda number: left(FIRST_PX, number))
    least, length_px = min((left(length, angle), length) for length in LENGTHS_PX)
    most = min(EXPLAINED * before, UNALIKE * _difference(here, np.zeros_like(here), inner))
    return line_kernel(length_px, angle) if least < most else None


@lru_cache(maxsize=ANGLES * len(LENGTHS_PX))
def line_kernel(length_px: int, angle: int) -> FloatMap:
    """A line of odd ``length_px`` through the middle, turned by ``angle`` of ``ANGLES`` parts of half a turn."""
    canvas, fine = np.zeros((length_px, length_px), np.float32), 8 * length_px + 1
    turn = np.pi * angle / ANGLES
    along = np.linspace(-1, 1, fine) * (length_px - 1) / 2
    x, y = along * np.cos(turn) + length_px // 2, along * np.sin(turn) + length_px // 2
    left, top = np.floor(x).astype(int), np.floor(y).astype(int)
    for down in (0, 1):
        for right in (0, 1):
            share = (1 - np.abs(x - left - right)) * (1 - np.abs(y - top - down))
            rows, columns = np.minimum(top + down, length_px - 1), np.minimum(left + right, length_px - 1)
            np.add.at(canvas, (rows, columns), share.astype(np.float32))
    return np.asarray(canvas / canvas.sum(), np.float32)


def blurred(picture: FloatMap, kernel: FloatMap) -> FloatMap:
    """``picture`` [h, w, 3] drawn out by the kernel."""
    return np.asarray(cv2.filter2D(picture, -1, kernel, borderType=cv2.BORDER_REFLECT_101), np.float32)


def _steepness(grey: FloatMap, where: np.ndarray[tuple[int, int], np.dtype[np.uint8]]) -> float:
    """Mean squared slope."""
    slopes = [cv2.Sobel(grey, cv2.CV_32F, *order) for order in ((1, 0), (0, 1))]
    return float(cv2.mean(slopes[0] ** 2 + slopes[1] ** 2, where)[0])


def _difference(a: FloatMap, b: FloatMap, where: np.ndarray[tuple[int, int], np.dtype[np.uint8]]) -> float:
    """Mean squared difference but for one of light."""
    apart = a - b
    return float(cv2.mean((apart - cv2.mean(apart, where)[0]) ** 2, where)[0])
