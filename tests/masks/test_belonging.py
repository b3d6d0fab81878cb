"""What belongs to the object keeps its size, holds together and was there a moment ago."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from osor_video.flow.estimate import FlowPair
from osor_video.masks.belonging import Belonging
from osor_video.tensors import FloatMap, Mask

SIZE_HW = 120, 200
STEP_PX = 4


def moving(zoom: float = 1.0) -> FlowPair:
    """Flow at half the size: all moves to the right by ``STEP_PX``, or comes nearer about (100, 60) by ``zoom``."""
    rows, columns = np.mgrid[0 : SIZE_HW[0] // 2, 0 : SIZE_HW[1] // 2].astype(np.float32)
    back = np.stack([(columns - 50) * (1 / zoom - 1), (rows - 30) * (1 / zoom - 1)])
    back[0] -= STEP_PX / 2 if zoom == 1 else 0
    backward = torch.from_numpy(back.astype(np.float32))[None]
    return FlowPair(-backward, backward)


def box(left: int, top: int, width: int, height: int) -> FloatMap:
    covered = np.zeros(SIZE_HW, np.float32)
    covered[top : top + height, left : left + width] = 1
    return covered


def nothing() -> FloatMap:
    return np.zeros(SIZE_HW, np.float32)


def watched(mask: FloatMap) -> Belonging:
    belonging = Belonging()
    belonging.start(mask > 0.5)
    return belonging


def inside(own: FloatMap, where: FloatMap) -> float:
    return float(((own > 0.5) & (where > 0.5)).sum() / (where > 0.5).sum())


def test_what_it_walks_into_is_not_taken_with_it() -> None:
    """A figure reaches a post of its own looks: for six frames they are found as one, then as two."""
    figure = box(40, 30, 20, 60)
    belonging, last, post = watched(figure), figure, box(80, 10, 14, 100)
    for frame in range(1, 20):
        here = box(40 + STEP_PX * frame, 30, 20, 60)
        last, kept = belonging.choose(np.maximum(here, post), last, here, moving())
        assert inside(last, here) > 0.9
        assert inside(last, post * (1 - here)) < 0.15
        assert kept < 1 or not (here * post).any()


def test_what_comes_nearer_may_grow() -> None:
    before, now = box(80, 40, 40, 40), box(78, 38, 45, 45)
    own, kept = watched(before).choose(now, before, nothing(), moving(zoom=1.125))
    assert kept == 1
    assert np.array_equal(own, now)


def test_what_stays_as_far_may_not() -> None:
    before, now = box(80, 40, 40, 40), box(80, 35, 60, 50)
    own, kept = watched(before).choose(now, before, nothing(), moving())
    assert kept == pytest.approx(1600 / 3000, abs=0.1)
    assert inside(own, box(84, 40, 40, 40)) > 0.95


@pytest.mark.parametrize(
    ("other", "stays"),
    [
        pytest.param(box(110, 40, 6, 20), False, id="nobody knows it"),
        pytest.param(box(104, 30, 8, 8), True, id="matching knows it"),
        pytest.param(box(180, 40, 6, 20), False, id="matching knows it, but it is far"),
    ],
)
def test_parts_beside_the_object(other: FloatMap, stays: bool) -> None:
    before, now = box(60, 30, 30, 40), box(64, 30, 30, 40)
    recalled = np.maximum(now, other) if stays or other[50, 182] else now
    own, _ = watched(before).choose(np.maximum(now, other), before, recalled, moving())
    assert inside(own, now) == 1
    assert inside(own, other) == float(stays)


def lost_beside_a_post() -> tuple[Belonging, FloatMap]:
    """A figure is lost where a post stands, which moves with the ground."""
    figure, post = box(60, 30, 20, 60), box(120, 20, 20, 58)
    belonging = watched(figure)
    belonging.choose(np.maximum(box(64, 30, 20, 60), post), figure, box(64, 30, 20, 60), moving())
    return belonging, box(120 + STEP_PX, 20, 20, 58)


def test_a_lost_object_is_not_taken_for_what_stood_beside_it() -> None:
    belonging, post = lost_beside_a_post()
    assert not (belonging.find(post, moving()) > 0.5).any()
    belonging, post = lost_beside_a_post()
    figure = box(20, 30, 18, 50)
    own = belonging.find(np.maximum(figure, post), moving())
    assert inside(own, figure) == 1
    assert inside(own, post) == 0


def test_what_is_too_large_is_not_the_lost_object() -> None:
    belonging, _ = lost_beside_a_post()
    assert not (belonging.find(box(10, 10, 40, 60), moving()) > 0.5).any()


def test_after_a_cut_the_likeliest_part_is_found_whatever_its_size() -> None:
    belonging, _ = lost_beside_a_post()
    large = box(10, 10, 60, 80)
    assert np.array_equal(belonging.find(np.maximum(large, box(120, 20, 20, 58)), None), large)


def test_it_goes_on_where_another_stood() -> None:
    belonging, post = lost_beside_a_post()
    other = Belonging()
    other.state = belonging.state
    assert not (other.find(post, moving()) > 0.5).any()
    assert other.state["areas"] == belonging.state["areas"]


def test_the_users_mask_begins_anew() -> None:
    belonging, _ = lost_beside_a_post()
    mask: Mask = box(10, 10, 60, 80) > 0.5
    belonging.start(mask)
    assert belonging.state == {"areas": [4800.0], "others": None}
