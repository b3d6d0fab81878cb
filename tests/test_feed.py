"""Frames come window by window, with those to borrow from about them, from one worker or several."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from osor_video.background.register import ShotFrame
from osor_video.config import BackgroundConfig
from osor_video.errors import VideoError
from osor_video.feed import FrameFeed, FrameKinds, Loaded
from osor_video.report import Stopwatch
from osor_video.video.planes import PlanarFrame

CONFIG = BackgroundConfig(reach_frames=4, step_frames=3)
SIZE = 5


def plain(frame: PlanarFrame) -> Loaded:
    hole = np.zeros((4, 6), bool)
    seen = ShotFrame(frame.index, np.zeros((4, 6, 3), np.uint8), hole, np.eye(3))
    return Loaded(frame, seen, hole, None)


def lent(item: Loaded) -> Loaded:
    return replace(item, seen=replace(item.seen, cast=np.ones((4, 6), bool)))


def clip(begin: int, count: int, asked: list[int], broken: int | None = None) -> Iterator[PlanarFrame]:
    for index in range(begin, count):
        asked.append(index)
        if index == broken:
            raise VideoError("The file ends here.")
        yield PlanarFrame(index, index, ())


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("first", [0, 10])
def test_every_frame_comes_once_and_what_is_near_is_lent(workers: int, first: int) -> None:
    asked: list[int] = []
    planes = clip(max(0, first - 4), 18, asked)
    with (
        ThreadPoolExecutor(workers) as pool,
        closing(FrameFeed(planes, first, CONFIG, FrameKinds(plain, lent), pool, Stopwatch())) as feed,
    ):
        for begin in range(first, 18, SIZE):
            end = min(begin + SIZE, 18)
            fed = feed.window(end, SIZE)
            assert [item.index for item in fed.frames] == list(range(begin, end))
            ahead = [item.index for item in fed.ahead]
            assert ahead == list(range(end, end + len(ahead)))
            assert len(ahead) >= min(4, 18 - end)
            wanted = [index for index in range(18) if index % 3 == 0 and begin - 4 <= index < end + 4]
            assert [key.index for key in fed.lent] == wanted
            assert all(key.cast is not None for key in fed.lent)
            # A frame that others borrow from is the same one when its turn comes.
            assert all(
                (item.seen.cast is not None) == (item.index % 3 == 0) for item in (*fed.frames, *fed.ahead)
            )
            assert max(asked) < end + SIZE + 4


def test_what_cannot_be_decoded_is_said_when_its_window_is_asked_for() -> None:
    with (
        ThreadPoolExecutor(2) as pool,
        closing(
            FrameFeed(clip(0, 20, [], 12), 0, CONFIG, FrameKinds(plain, lent), pool, Stopwatch())
        ) as feed,
    ):
        assert len(feed.window(5, SIZE).frames) == 5
        with pytest.raises(VideoError):
            feed.window(10, SIZE)


def test_a_closed_feed_asks_for_nothing_more() -> None:
    asked: list[int] = []
    with ThreadPoolExecutor(1) as pool:
        feed = FrameFeed(clip(0, 100, asked), 0, CONFIG, FrameKinds(plain, lent), pool, Stopwatch())
        feed.window(5, SIZE)
        feed.close()
        seen = len(asked)
        assert pool.submit(len, asked).result() == seen
