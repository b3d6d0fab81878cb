"""What nobody can beat: the true plate itself, put into the hole without its grain, or with grain that is as real but another.

A truth that was rendered or filmed has noise of its own. A fill without noise still differs from it in time, and one with noise,
which the eye wants, by 1.4 times as much. These two rows say how much of a figure that is.

The plate without grain is the mean of a few frames of the truth, brought over by its own flow. What that takes away is the grain;
laid back elsewhere than it was it is new, of the same strength and the same coarseness, and independent of the truth's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat, tee
from typing import Any

import cv2
import numpy as np

from osor_video.benchmark.cases import TrueFrame
from osor_video.benchmark.metrics import effect_region
from osor_video.flow.estimate import DisFlow
from osor_video.flow.warp import validity
from osor_video.shapes import dilate
from osor_video.tensors import FloatMap, Picture, resize_flow

REACH = 2
"""Frames back and ahead in the mean."""
FLOW_HEIGHT_PX = 256
UNLIKE = 10.0
"""Difference in levels, lightly blurred, from which a frame's pixel does not show the same."""
ELSEWHERE_PX = (13, 29)
"""Rows and columns that the grain is moved by."""
MARGIN_PX = 3

Seen = tuple[Picture, Any]
"""A picture, and what the flow needs of it."""


def without_grain(plates: Iterable[Picture]) -> Iterator[tuple[FloatMap, FloatMap]]:
    """Each of the ``plates`` without its grain, float32 [H, W, 3] in levels, and how many frames each pixel's mean has, [H, W]."""
    flow = DisFlow(FLOW_HEIGHT_PX)
    seen: Iterator[Seen | None] = ((plate, flow.encode(plate)) for plate in plates)
    near: deque[Seen | None] = deque(repeat(None, REACH), maxlen=2 * REACH + 1)
    for item in chain(seen, repeat(None, REACH)):
        near.append(item)
        middle = near[REACH] if len(near) > 2 * REACH else None
        if middle is not None:
            others = [other for other in near if other is not None and other is not middle]
            yield _mean(middle, others, flow)


def _mean(middle: Seen, others: Iterable[Seen], flow: DisFlow) -> tuple[FloatMap, FloatMap]:
    plate = middle[0].astype(np.float32)
    size = plate.shape[0], plate.shape[1]
    total, count = plate.copy(), np.ones(size, np.float32)
    grid = np.stack(np.meshgrid(np.arange(size[1]), np.arange(size[0])), axis=-1).astype(np.float32)
    for other, encoded in others:
        pair = flow.match(middle[1], encoded)
        way = resize_flow(pair.forward, size)[0].permute(1, 2, 0).numpy()
        sure = validity(pair.forward, pair.backward)[0, 0].numpy()
        sure = cv2.resize(sure, size[::-1], interpolation=cv2.INTER_NEAREST)
        # Sampled sharply: what a bilinear sample loses would pass for grain.
        moved = cv2.remap(
            other.astype(np.float32), grid + way, None, cv2.INTER_LANCZOS4, borderMode=cv2.BORDER_REFLECT
        )
        apart = np.abs(cv2.GaussianBlur(moved - plate, (0, 0), 1.5)).mean(axis=2)
        weight = (sure > 0) & (apart < UNLIKE)
        total += weight[..., None] * moved
        count += weight
    return total / count[..., None], count


class Floors:
    """Both floors of one case; ask for each frame in order, each floor once."""

    def __init__(self, frames: Callable[[], Iterable[TrueFrame]]) -> None:
        # Both are asked frame by frame: a plate is kept until the second has had it.
        self._still, self._alive = tee(without_grain(frame.clean for frame in frames()))

    def still(self, frame: TrueFrame) -> Picture:
        """The next frame with the plate without grain where hole and effect are."""
        return _laid(frame, next(self._still)[0])

    def alive(self, frame: TrueFrame) -> Picture:
        """The next frame with the plate and new grain there."""
        plate, count = next(self._alive)
        # A mean of n frames keeps one part in n of the grain's variance, which what it took away lacks.
        grain = (frame.clean - plate) * np.sqrt(count / np.maximum(count - 1, 1))[..., None]
        return _laid(frame, plate + np.roll(grain, ELSEWHERE_PX, axis=(0, 1)))


def _laid(frame: TrueFrame, plate: FloatMap) -> Picture:
    where = dilate(frame.mask | effect_region(frame.shot, frame.clean, frame.mask), MARGIN_PX)
    return np.where(where[..., None], np.clip(np.rint(plate), 0, 255), frame.shot).astype(np.uint8)
