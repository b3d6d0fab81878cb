"""What moves as the object does: evidence from the flow and from the pictures, beside what the object looks like.

Hair, a dress in flight and the far side of a turning figure look like nothing in the marked frame, but they move with it; a
branch that has come into the mask moves with the ground. Both motions are known around each pixel: the object's, drawn out
from the carried mask, and the ground's, a homography and what parallax adds to it near by. A pixel speaks for the one that its
own flow agrees with, as far as the pictures bear it out: flow bleeds over edges, colours do not. (Motion as a cue of its own:
Papazoglou and Ferrari, ICCV 2013.)

Convention: motions are float32 [2, h, w] at half the flow's size, from the later frame back to the earlier one.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from osor_video.flow.estimate import FlowPair
from osor_video.flow.warp import warp
from osor_video.shapes import dilate
from osor_video.tensors import FloatMap, Mask, Picture, channel_sum, resize_flow

FINER = 2
"""Pictures are compared at the flow's size, and motions, which are smooth but for the object's edge, at this part of it."""
NOISE_PX = 0.3
"""Differences of motion below this say nothing."""
MOST = 2.0
"""Evidence of one frame, at most: the log of a ratio of squared distances."""
MEMORY = 0.7
"""Share of the evidence that comes from earlier frames, along the flow."""
AGAINST = 0.5
"""Evidence against the object counts so much: what stands for a moment is still a part of it."""
REACH = 0.5
"""How far the object's motion is drawn out (standard deviation), over its side."""
MARGIN = 0.25
"""Width around the object that has no say in the ground's motion, over its side."""
LEAST_LEVELS, FULL_LEVELS = 1.0, 6.0
"""Difference between the two motions' errors in the pictures from which evidence begins to count, and counts in full."""
WINDOW_PX = 5
"""Side of the square that these errors are averaged over."""
EVERY = 7
"""Every so many of the ground's vectors are asked for the homography."""
FEWEST = 50

Motion = npt.NDArray[np.float32]


class MotionEvidence:
    """Gathers the evidence of one object along a clip."""

    def __init__(self) -> None:
        self._gathered: Tensor | None = None

    def step(self, earlier: Picture, later: Picture, carried: FloatMap, flow: FlowPair) -> FloatMap:
        """Evidence at the flow's size, even, on the frame ``later`` that a pixel is the object's, above 0, or the ground's, below.

        ``earlier`` and ``later`` are [H, W, 3], ``carried`` in [0, 1], of the flow's size, is the object's mask brought over to
        ``later``.
        """
        height, width = (side // FINER for side in carried.shape)
        motion: Motion = resize_flow(flow.backward, (height, width))[0].numpy()
        covered = cv2.resize(carried, (width, height), interpolation=cv2.INTER_AREA)
        now = evidence(earlier, later, np.asarray(covered), motion)
        back = resize_flow(flow.backward, (now.shape[0], now.shape[1]))
        gathered = (1 - MEMORY) * torch.from_numpy(now)[None, None]
        if self._gathered is not None:
            gathered = gathered + MEMORY * warp(self._gathered, back)
        self._gathered = gathered
        found: FloatMap = gathered[0, 0].numpy()
        return found

    def forget(self) -> None:
        """Begin anew, as after a cut."""
        self._gathered = None

    @property
    def state(self) -> Tensor | None:
        """What was gathered; may be set again."""
        return self._gathered

    @state.setter
    def state(self, gathered: Tensor | None) -> None:
        self._gathered = gathered


def evidence(earlier: Picture, later: Picture, carried: FloatMap, motion: Motion) -> FloatMap:
    """Evidence of one pair of frames, [2 h, 2 w] within +-``MOST``; all 0 where the object covers next to nothing."""
    height, width = carried.shape
    core = np.clip(2 * carried - 1, 0, 1)
    side = float(np.sqrt(core.sum()))
    if side < 2:
        return np.zeros((FINER * height, FINER * width), np.float32)
    ground = _ground_motion(motion, carried, side)
    own = motion - ground
    thing = _drawn_out(own, core, REACH * max(side, 8.0))
    with_ground, with_thing = (np.square(difference).sum(axis=0) for difference in (own, own - thing))
    ratio = np.log((with_ground + NOISE_PX**2) / (with_thing + NOISE_PX**2))
    told = cv2.resize(np.clip(ratio, -MOST, MOST), (FINER * width, FINER * height))
    before, after = (
        cv2.resize(picture, (FINER * width, FINER * height), interpolation=cv2.INTER_AREA).astype(np.float32)
        for picture in (earlier, later)
    )
    as_seen, as_ground, as_thing = (
        _error(before, after, moved) for moved in (motion, ground, ground + thing)
    )
    moving = _counted(as_ground - np.minimum(as_seen, as_thing))
    standing = _counted(as_thing - as_ground)
    return np.asarray(np.where(told > 0, told * moving, AGAINST * told * standing), np.float32)


def _ground_motion(motion: Motion, carried: FloatMap, side: float) -> Motion:
    """The motion of what is not the object, everywhere."""
    fitted = _homography_motion(motion, carried < 0.1)
    margin = max(3, round(MARGIN * side))
    outside = (~dilate(carried > 0.1, margin)).astype(np.float32)
    return fitted + _drawn_out(motion - fitted, outside, max(margin, REACH * side))


def _homography_motion(motion: Motion, outside: Mask) -> Motion:
    """The homography that most vectors of ``outside`` [h, w] agree with, as a motion; 0 where too few are left."""
    height, width = outside.shape
    places = np.stack(np.meshgrid(np.arange(width), np.arange(height))).astype(np.float32)
    chosen = np.flatnonzero(outside)[::EVERY]
    if len(chosen) < FEWEST:
        return np.zeros_like(motion)
    here, there = (values.reshape(2, -1)[:, chosen].T for values in (places, places + motion))
    matrix, _ = cv2.findHomography(here, there, cv2.USAC_MAGSAC, 0.5)
    if matrix is None:
        return np.zeros_like(motion)
    moved = cv2.perspectiveTransform(places.reshape(2, -1).T[None], matrix)[0].T.reshape(2, height, width)
    return np.asarray(moved - places, np.float32)


def _drawn_out(motion: Motion, weight: FloatMap, deviation_px: float) -> Motion:
    """``motion`` where it has ``weight`` [h, w], its mean around each other place (normalised convolution)."""
    total, *sums = (
        cv2.GaussianBlur(values, (0, 0), deviation_px)
        for values in (weight, weight * motion[0], weight * motion[1])
    )
    return np.asarray(np.stack(sums) / (total + 1e-4), np.float32)


def _error(before: FloatMap, after: FloatMap, motion: Motion) -> FloatMap:
    """Mean difference [H, W] in levels between ``after`` and ``before`` [H, W, 3] moved by ``motion`` of another size."""
    height, width = after.shape[:2]
    fine = resize_flow(torch.from_numpy(motion)[None], (height, width))[0].numpy()
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    moved = cv2.remap(
        before, columns + fine[0], rows + fine[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(cv2.blur(channel_sum(cv2.absdiff(moved, after)) / 3, (WINDOW_PX, WINDOW_PX)))


def _counted(levels: FloatMap) -> FloatMap:
    return np.asarray(np.clip((levels - LEAST_LEVELS) / (FULL_LEVELS - LEAST_LEVELS), 0, 1))
