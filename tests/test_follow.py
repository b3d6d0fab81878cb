"""Shots and flow, one frame ahead."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from osor_video.flow.estimate import DisFlow
from osor_video.follow import MovingFrame, follow
from osor_video.report import Stopwatch
from osor_video.tensors import Picture
from tests.world import World, make_world, night


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(8)


def followed(frames: list[Picture], wanted: bool = True) -> list[MovingFrame]:
    with ThreadPoolExecutor(2) as pool:
        return list(follow(frames, DisFlow(160), pool, lambda: wanted, Stopwatch()))


def test_every_frame_comes_with_the_flow_from_the_one_before(world: World) -> None:
    found = followed(world.frames)
    assert all(seen.picture is frame for seen, frame in zip(found, world.frames, strict=True))
    assert found[0].flow is None
    for time in range(1, len(found)):
        pair = found[time].flow
        assert pair is not None
        background = pair.resized((128, 192)).backward[0].permute(1, 2, 0).numpy()
        error = np.abs(background - world.flow_back[time])[:12]  # above the object there is only wall
        assert error[:, 16:-16].mean() < 0.15


def test_no_flow_leads_over_a_cut(world: World) -> None:
    found = followed([*world.frames[:3], *night(3)])
    assert [frame.shot for frame in found] == [0, 0, 0, 1, 1, 1]
    assert [frame.flow is None for frame in found] == [True, False, False, True, False, False]


def test_flow_that_nobody_wants_is_not_estimated(world: World) -> None:
    clock = Stopwatch()
    with ThreadPoolExecutor(1) as pool:
        found = list(follow(world.frames, DisFlow(160), pool, lambda: False, clock))
    assert all(frame.flow is None for frame in found)
    assert len(found) == len(world.frames)


def test_only_one_frame_is_read_ahead(world: World) -> None:
    read: list[int] = []

    def reading() -> Iterator[Picture]:
        for index, frame in enumerate(world.frames):
            read.append(index)
            yield frame

    with ThreadPoolExecutor(1) as pool:
        moving = follow(reading(), DisFlow(160), pool, lambda: True, Stopwatch())
        for index in range(4):
            next(moving)
            assert read[-1] == index + 1


def test_an_error_in_the_worker_reaches_the_reader(world: World) -> None:
    class Broken(DisFlow):
        def encode(self, picture: Picture) -> object:
            raise RuntimeError("no flow today")

    with ThreadPoolExecutor(1) as pool, pytest.raises(RuntimeError, match="no flow today"):
        list(follow(world.frames, Broken(160), pool, lambda: True, Stopwatch()))
