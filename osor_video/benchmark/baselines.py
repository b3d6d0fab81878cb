"""What a result must beat: the shot as it is, and classical fills of a single picture."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import cv2
import numpy as np

from osor_video.benchmark.cases import TrueFrame
from osor_video.errors import ConfigError
from osor_video.shapes import dilate
from osor_video.tensors import Mask, Picture

MARGIN_PX = 3
"""Widening of the mask, so that no rim of the object is spread into the hole."""
TELEA_RADIUS_PX = 5
PATCH_RADIUS_PX = 3
PATCH_SEED = 0

Baseline = Callable[[TrueFrame], Picture]


def untouched(frame: TrueFrame) -> Picture:
    """Nothing is done."""
    return frame.shot


def telea(frame: TrueFrame) -> Picture:
    """Telea's fast marching fill of the true mask, a little widened; no frame knows of another."""
    hole = _widened(frame.mask)
    return np.asarray(cv2.inpaint(np.ascontiguousarray(frame.shot), hole, TELEA_RADIUS_PX, cv2.INPAINT_TELEA))


def patchmatch(frame: TrueFrame) -> Picture:
    """PatchMatch (Barnes et al. 2009) in the same hole, always with the same seed; ConfigError where it is not installed."""
    try:
        library = importlib.import_module("patchmatch")
    except ImportError as error:
        raise ConfigError(
            'PatchMatch, one of the fills compared with, is not installed: pip install "osor-video[validate]".'
        ) from error
    library.set_random_seed(PATCH_SEED)
    hole = _widened(frame.mask)
    return np.asarray(
        library.inpaint(np.ascontiguousarray(frame.shot), hole, patch_size=PATCH_RADIUS_PX), np.uint8
    )


def _widened(mask: Mask) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return dilate(mask, MARGIN_PX).astype(np.uint8)


BASELINES: dict[str, Baseline] = {"input": untouched, "Telea per frame": telea}
