"""Shots and flow of a clip, one frame ahead of whoever needs them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from dataclasses import dataclass, replace
from typing import Any

from osor_video.flow.estimate import FlowEstimator, FlowPair
from osor_video.masks.shots import CutDetector
from osor_video.report import Stopwatch
from osor_video.tensors import Picture


@dataclass(frozen=True)
class FollowState:
    """Where following stands after a frame, small enough to be written down.

    ``shot`` is the frame's, ``changes`` what the cut detector remembers, ``encoded`` says whether its flow was asked for and
    ``wanted`` whether that of the next frame is.
    """

    shot: int
    changes: tuple[float, ...]
    encoded: bool
    wanted: bool


@dataclass(frozen=True)
class MovingFrame:
    """A frame [H, W, 3], the number of its shot, and the flow between the frame before and this one.

    ``flow`` is None in the first frame of a shot, and where nobody wanted it. ``after`` is where following then stands.
    """

    picture: Picture
    shot: int
    flow: FlowPair | None
    after: FollowState


def follow(
    frames: Iterable[Picture],
    estimator: FlowEstimator,
    pool: Executor,
    wanted: Callable[[], bool],
    clock: Stopwatch,
    *,
    cuts: bool = True,
    begun: FollowState | None = None,
) -> Iterator[MovingFrame]:
    """Yield ``frames`` with their shots and flows; the next one is in work in ``pool`` while the current one is used.

    No flow is estimated while ``wanted()`` is False; it is asked before the frame two places earlier has been used. Without
    ``cuts`` all is one shot. Where following was ``begun`` before, ``frames`` starts with the last frame that was followed then,
    which is not yielded again.
    """
    pictures = iter(frames)
    follower = _Follower(estimator, clock, cuts)
    if begun is not None:
        follower.go_on(next(pictures), begun)
    want = None if begun is None else begun.wanted
    ahead: Future[MovingFrame] | None = None
    for picture in pictures:
        done = ahead.result() if ahead is not None else None
        # Asked here, not in the pool, where the answer would hang on which thread is first.
        want = wanted() if want is None else want
        ahead = pool.submit(follower.see, picture, want)
        if done is not None:
            yield replace(done, after=replace(done.after, wanted=want))
        want = None
    if ahead is not None:
        yield ahead.result()


class _Follower:
    """Sees the frames in order, each only when the one before is done."""

    def __init__(self, estimator: FlowEstimator, clock: Stopwatch, cuts: bool) -> None:
        self._estimator = estimator
        self._clock = clock
        self._detector = CutDetector() if cuts else None
        self._shot = 0
        self._encoded: Any = None

    def go_on(self, picture: Picture, state: FollowState) -> None:
        """Stand where the follower stood that said ``state`` after ``picture``."""
        self._shot = state.shot
        if self._detector is not None:
            self._detector.go_on(picture, state.changes)
        if state.encoded:
            with self._clock.stage("flow"):
                self._encoded = self._estimator.encode(picture)

    def see(self, picture: Picture, wanted: bool) -> MovingFrame:
        """Encode ``picture`` and match it with the frame before."""
        with self._clock.stage("flow"):
            if self._detector is not None and self._detector.is_cut(picture):
                self._shot += 1
                self._encoded = None
            flow = None
            if wanted:
                last, self._encoded = self._encoded, self._estimator.encode(picture)
                flow = None if last is None else self._estimator.match(last, self._encoded)
            else:
                self._encoded = None
            changes = () if self._detector is None else self._detector.changes
            return MovingFrame(picture, self._shot, flow, FollowState(self._shot, changes, wanted, True))
