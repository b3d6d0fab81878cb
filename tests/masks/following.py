"""A tracker led through frames, with DIS flow."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from osor_video.flow.estimate import DisFlow
from osor_video.follow import follow
from osor_video.masks.build import Tracker
from osor_video.masks.track import TrackedFrame
from osor_video.report import Stopwatch
from osor_video.tensors import Mask, Picture


def led(tracker: Tracker, frames: list[Picture], mask: Mask) -> list[TrackedFrame]:
    """What ``tracker`` finds in each of ``frames``, given the mask of the first."""
    with ThreadPoolExecutor(1) as pool:
        moving = follow(frames, DisFlow(160), pool, lambda: True, Stopwatch())
        tracked = [tracker.start(next(moving).picture, mask)]
        return tracked + [tracker.step(frame.picture, frame.flow) for frame in moving]
