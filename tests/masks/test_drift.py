"""Signs of drift, each by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from osor_video.flow.estimate import FlowPair
from osor_video.masks.drift import SURE, Drift, DriftWatch
from osor_video.tensors import Mask

SIZE_HW = (128, 160)


def box(left: int, width: int = 40) -> Mask:
    mask = np.zeros(SIZE_HW, dtype=bool)
    mask[30:90, left : left + width] = True
    return mask


def moved(x_px: float, back_px: float | None = None) -> FlowPair:
    """Everything moves by ``x_px`` to the right; the flow back says ``back_px``."""
    forward, backward = torch.zeros(2, 1, 2, *SIZE_HW)
    forward[:, 0], backward[:, 0] = x_px, -x_px if back_px is None else back_px
    return FlowPair(forward, backward)


def second(first: Mask, then: Mask, flow: FlowPair | None = None, *, cut: bool = False) -> Drift:
    watch = DriftWatch()
    assert watch.see(first, 1.0, None, exact=True, cut=True) == SURE
    return watch.see(then, 0.9, moved(0) if flow is None else flow, exact=False, cut=cut)


def test_a_mask_that_moves_as_the_flow_does_is_as_sure_as_it_looks() -> None:
    drift = second(box(40), box(48), moved(8))
    assert drift == Drift(appearance=0.9)
    assert drift.score == pytest.approx(0.9)


def test_a_mask_that_does_not_move_with_the_flow_is_doubted() -> None:
    drift = second(box(40), box(40), moved(20))
    assert drift.area == 1
    assert drift.cycle == pytest.approx((20 / 60) / 0.75, abs=0.02)
    assert drift.score < 0.5


def test_a_mask_that_grows_at_once_is_doubted() -> None:
    drift = second(box(40, 30), box(40, 60))
    assert drift.area == pytest.approx(0.5 / 0.75)
    assert drift.score < 0.65


def test_a_flow_that_differs_both_ways_is_doubted() -> None:
    assert second(box(40), box(40), moved(0, back_px=9.0)).validity == 0


def test_an_object_lost_inside_the_frame_is_doubted_until_it_is_found() -> None:
    watch = DriftWatch()
    steps = [(box(40), True, True), (box(40) & False, False, False), (box(40) & False, False, False)]
    scores = [watch.see(mask, 1.0, None, exact=exact, cut=cut).score for mask, exact, cut in steps]
    assert scores == [1, 0, 0]
    assert watch.see(box(60), 0.8, None, exact=False, cut=False).score == 0.8
    assert watch.see(box(60), 0.8, None, exact=True, cut=False) == SURE


def test_an_object_that_leaves_over_the_edge_is_not_doubted() -> None:
    assert second(box(0, 10), box(0) & False) == SURE
    half_gone = second(box(0, 30), box(0, 10))
    assert half_gone.area == half_gone.validity == 1


def test_nothing_is_doubted_in_a_shot_where_nothing_is_marked() -> None:
    assert second(box(40), box(40) & False, cut=True) == SURE
