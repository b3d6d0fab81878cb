"""What a result must beat: the shot as it is, and OpenCV's inpainting frame by frame with the true mask."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from osor_video.benchmark.cases import TrueFrame
from osor_video.shapes import dilate
from osor_video.tensors import Picture

TELEA_MARGIN_PX = 3
TELEA_RADIUS_PX = 5

Baseline = Callable[[TrueFrame], Picture]


def untouched(frame: TrueFrame) -> Picture:
    """Nothing is done."""
    return frame.shot


def telea(frame: TrueFrame) -> Picture:
    """Telea's fast marching fill of the true mask, a little widened; no frame knows of another."""
    hole = dilate(frame.mask, TELEA_MARGIN_PX).astype(np.uint8)
    return np.asarray(cv2.inpaint(frame.shot, hole, TELEA_RADIUS_PX, cv2.INPAINT_TELEA))


BASELINES: dict[str, Baseline] = {"input": untouched, "Telea per frame": telea}
