"""A tracker led through frames, with DIS flow."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from osor_video.flow.estimate import DisFlow
from osor_video.follow import MovingFrame, follow
from osor_video.masks.build import Tracker
from osor_video.masks.refiner import MaskRefiner
from osor_video.masks.track import TrackedFrame
from osor_video.report import Stopwatch
from osor_video.tensors import Mask, Picture


def led(tracker: Tracker, frames: list[Picture], mask: Mask) -> list[TrackedFrame]:
    """What ``tracker`` finds in each of ``frames``, given the mask of the first."""
    first, *others = steps_of(frames)
    return [tracker.start(first.picture, mask), *(tracker.step(each.picture, each.flow) for each in others)]


def steps_of(frames: list[Picture]) -> list[MovingFrame]:
    """``frames`` with the flow between them, cuts left out."""
    with ThreadPoolExecutor(1) as pool:
        return list(follow(frames, DisFlow(160), pool, lambda: True, Stopwatch()))


def count_lessons(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many marked frames were learnt from, each time that a tracker would have learnt; nothing is learnt meanwhile."""
    learnt: list[int] = []

    def recorded(refiner: MaskRefiner, _: object, marked: list[object], *rest: object) -> MaskRefiner:
        learnt.append(len(marked))
        return refiner

    monkeypatch.setattr("osor_video.masks.refined.adapt", recorded)
    return learnt
