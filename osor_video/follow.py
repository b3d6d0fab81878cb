"""Shots and flow of a clip, one frame ahead of whoever needs them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from typing import Any

from osor_video.flow.estimate import FlowEstimator, FlowPair
from osor_video.masks.shots import CutDetector
from osor_video.report import Stopwatch
from osor_video.tensors import Picture


@dataclass(frozen=True)
class MovingFrame:
    """A frame [H, W, 3], the number of its shot, and the flow between the frame before and this one.

    ``flow`` is None in the first frame of a shot, and where nobody wanted it.
    """

    picture: Picture
    shot: int
    flow: FlowPair | None


def follow(
    frames: Iterable[Picture],
    estimator: FlowEstimator,
    pool: Executor,
    wanted: Callable[[], bool],
    clock: Stopwatch,
    is_cut: Callable[[Picture], bool] | None = None,
) -> Iterator[MovingFrame]:
    """Yield ``frames`` with their shots and flows; the next one is in work in ``pool`` while the current one is used.

    No flow is estimated while ``wanted()`` is False. ``is_cut`` is asked of each frame in turn, a CutDetector if not given.
    """
    follower = _Follower(estimator, wanted, clock, is_cut or CutDetector().is_cut)
    ahead: Future[MovingFrame] | None = None
    for picture in frames:
        done = ahead.result() if ahead is not None else None
        ahead = pool.submit(follower.see, picture)
        if done is not None:
            yield done
    if ahead is not None:
        yield ahead.result()


class _Follower:
    """Sees the frames in order, each only when the one before is done."""

    def __init__(
        self,
        estimator: FlowEstimator,
        wanted: Callable[[], bool],
        clock: Stopwatch,
        is_cut: Callable[[Picture], bool],
    ) -> None:
        self._estimator = estimator
        self._wanted = wanted
        self._clock = clock
        self._is_cut = is_cut
        self._shot = 0
        self._encoded: Any = None

    def see(self, picture: Picture) -> MovingFrame:
        """Encode ``picture`` and match it with the frame before."""
        with self._clock.stage("flow"):
            if self._is_cut(picture):
                self._shot += 1
                self._encoded = None
            if not self._wanted():
                self._encoded = None
                return MovingFrame(picture, self._shot, None)
            last, self._encoded = self._encoded, self._estimator.encode(picture)
            flow = None if last is None else self._estimator.match(last, self._encoded)
            return MovingFrame(picture, self._shot, flow)
