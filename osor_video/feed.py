"""The frames of a clip as the windows of the second pass want them: decoded a window ahead."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, wait
from dataclasses import dataclass

from osor_video.background.register import ShotFrame
from osor_video.config import BackgroundConfig
from osor_video.removal.remover import Looked
from osor_video.report import Stopwatch
from osor_video.tensors import Mask
from osor_video.video.planes import PlanarFrame


@dataclass(frozen=True)
class Loaded:
    """A decoded frame; ``hole`` [H, W] is what is to be filled in it, ``kept`` what the user keeps.

    ``looked`` is what the network saw of it, where others borrow from it.
    """

    planes: PlanarFrame
    seen: ShotFrame
    hole: Mask
    kept: Mask | None
    looked: Looked | None = None

    @property
    def index(self) -> int:
        """Its number in the clip."""
        return self.planes.index


@dataclass(frozen=True)
class FrameKinds:
    """How a decoded frame is made ready: ``plain`` any, ``lent`` one more that others are to borrow from."""

    plain: Callable[[PlanarFrame], Loaded]
    lent: Callable[[Loaded], Loaded]


@dataclass(frozen=True)
class Fed:
    """The ``frames`` of a window, those ``lent`` to them, and the decoded ones that come after them, as far as anyone reaches."""

    frames: Sequence[Loaded]
    lent: Sequence[ShotFrame]
    ahead: Sequence[Loaded]


class FrameFeed:
    """Frames from ``first`` on, window after window, and those to borrow from about them.

    Every few frames one is kept for that, back to ``reach_frames`` before ``first``. ``planes`` is asked in the pool's workers,
    by one of them at a time, for no more than one window ahead.
    """

    def __init__(
        self,
        planes: Iterator[PlanarFrame],
        first: int,
        config: BackgroundConfig,
        kinds: FrameKinds,
        pool: Executor,
        clock: Stopwatch,
    ) -> None:
        self._planes, self._first, self._config = planes, first, config
        self._kinds, self._pool, self._clock = kinds, pool, clock
        self._decoded: deque[Loaded] = deque()
        self._lending: deque[Future[Loaded]] = deque()
        self._lent: dict[int, Loaded] = {}
        self._keys: deque[ShotFrame] = deque()
        self._ahead: Future[None] | None = None

    def window(self, end: int, size: int) -> Fed:
        """The frames that were not given yet up to frame ``end`` (not included), and those to borrow from.

        Meanwhile the next window, of at most ``size`` frames, is begun with.
        """
        reach = self._config.reach_frames
        if self._ahead is None:
            self._ahead = self._pool.submit(self._decode, end + reach)
        self._ahead.result()
        while self._lending:
            item = self._lending.popleft().result()
            self._keys.append(item.seen)
            if item.index >= self._first:
                self._lent[item.index] = item
        decoded = [self._decoded.popleft() for _ in range(end - self._decoded[0].index)]
        frames = [self._lent.pop(item.index, item) for item in decoded]
        while self._keys and self._keys[0].index < frames[0].index - reach:
            self._keys.popleft()
        ahead = [self._lent.get(item.index, item) for item in self._decoded]
        fed = Fed(frames, list(self._keys), ahead)
        self._ahead = self._pool.submit(self._decode, end + size + reach)
        return fed

    def close(self) -> None:
        """Leave ``planes`` at rest."""
        if self._ahead is not None and not self._ahead.cancel():
            wait([self._ahead])

    def _decode(self, until: int) -> None:
        """Decode up to frame ``until``; what others borrow from is made ready for that beside it."""
        reach, step = self._config.reach_frames, self._config.step_frames
        while not self._decoded or self._decoded[-1].index < until - 1:
            with self._clock.stage("decode"):
                frame = next(self._planes, None)
                if frame is None:
                    return
                is_key = frame.index % step == 0 and frame.index >= self._first - reach
                if frame.index < self._first and not is_key:
                    continue
                item = self._kinds.plain(frame)
            if is_key:
                self._lending.append(self._pool.submit(self._kinds.lent, item))
            if frame.index >= self._first:
                self._decoded.append(item)
