"""Colours that the ground has and the object, as it was marked, has not: evidence against what came into the mask by mistake.

Sky that was not in the marked frame resembles nothing that is remembered, and between the parts of an object it is taken for
one. But it is seen outside the object too, in plenty. (Colour models of both sides: Rother et al., "GrabCut", SIGGRAPH 2004.)
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from osor_video.tensors import FloatMap, Mask, Picture

BINS = 32
"""A channel of CIE L*a*b*."""
SPREAD_BINS = 1.0
"""Standard deviation by which counts are spread over neighbouring bins."""
RARE = 2 / BINS**3
"""Added to the share of a bin: half a dozen pixels say little."""
PATCH_PX = 5
"""Side of the square over which the evidence is averaged: single pixels err."""
DOUBT, MOST = 1.5, 2.0
"""Log of the ratio of the shares up to which nothing is said, since light changes; and the most that is said beyond it."""
LEAST_COVERED = 0.02
"""Share of a cell from which it may hold some of the object."""
FEWEST_PX = 200


class ColourEvidence:
    """What one object's colours are, from the frames that the user marked."""

    def __init__(self) -> None:
        self._object: npt.NDArray[np.float64] | None = None

    def learn(self, picture: Picture, mask: Mask) -> None:
        """One more marked frame [H, W, 3] and its mask [H, W]."""
        if mask.any():
            counts = _counts(_bins(picture), mask)
            self._object = counts if self._object is None else self._object + counts

    def step(self, picture: Picture, covered: FloatMap) -> FloatMap:
        """Evidence [H, W] in [-``MOST``, 0] that pixels of ``picture`` [H, W, 3] are not the object's.

        ``covered`` [h, w] in [0, 1] is where the object is expected; what lies a cell beyond that is ground.
        """
        near = cv2.dilate((covered > LEAST_COVERED).astype(np.uint8), np.ones((3, 3), np.uint8))
        ground = cv2.resize(near, picture.shape[1::-1], interpolation=cv2.INTER_NEAREST) == 0
        if self._object is None or ground.sum() < FEWEST_PX:
            return np.zeros(picture.shape[:2], np.float32)
        bins = _bins(picture)
        ratio = np.log(_shares(self._object) / _shares(_counts(bins, ground)))
        told = ratio.astype(np.float32).ravel()[bins]
        told = cv2.blur(np.clip(told, -MOST - DOUBT, MOST + DOUBT), (PATCH_PX, PATCH_PX))
        return np.asarray(np.minimum(told + DOUBT, 0))

    @property
    def state(self) -> Tensor | None:
        """What was learnt; may be set again."""
        return None if self._object is None else torch.from_numpy(self._object.copy())

    @state.setter
    def state(self, learnt: Tensor | None) -> None:
        self._object = None if learnt is None else learnt.numpy()


def _bins(picture: Picture) -> npt.NDArray[np.int64]:
    """Number of each pixel's bin, [H, W]."""
    lab = cv2.cvtColor(cv2.GaussianBlur(picture, (0, 0), 1.0), cv2.COLOR_RGB2LAB)
    light, red, yellow = np.moveaxis(lab.astype(np.int64) * BINS // 256, 2, 0)
    return np.asarray((light * BINS + red) * BINS + yellow)


def _counts(bins: npt.NDArray[np.int64], where: Mask) -> npt.NDArray[np.float64]:
    counts = np.bincount(bins[where], minlength=BINS**3)
    return counts.reshape(BINS, BINS, BINS).astype(np.float64)


def _shares(counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(gaussian_filter(counts / counts.sum(), SPREAD_BINS, mode="constant") + RARE)
