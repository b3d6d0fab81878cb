"""Signs of drift, each by itself."""

from __future__ import annotations

from itertools import pairwise

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


def nearing(growth: float) -> FlowPair:
    """Everything comes nearer, from the middle of the boxes below: areas grow by ``growth`` a frame."""
    rows, columns = torch.meshgrid(torch.arange(SIZE_HW[0]), torch.arange(SIZE_HW[1]), indexing="ij")
    out = torch.stack([columns - 80, rows - 60])[None] * (growth**0.5 - 1)
    return FlowPair(out, out / growth**0.5 * -1)


def around(width: float, height: float) -> Mask:
    """A box about (80, 60)."""
    mask = np.zeros(SIZE_HW, dtype=bool)
    mask[round(60 - height / 2) : round(60 + height / 2), round(80 - width / 2) : round(80 + width / 2)] = (
        True
    )
    return mask


def watched(masks: list[Mask], flow: FlowPair) -> list[Drift]:
    watch = DriftWatch()
    return [watch.see(mask, 0.9, flow, exact=not index, cut=not index) for index, mask in enumerate(masks)]


def test_a_mask_that_creeps_on_is_doubted_though_no_step_is_large() -> None:
    # A figure of 12 by 40 pixels whose mask leaves a smear behind, 2 pixels more in each frame.
    smeared = []
    for time in range(40):
        mask = around(12, 40)
        mask[60:76, 86 : 86 + 2 * time] = True
        smeared.append(mask[:, :-2])
    seen = watched([np.pad(mask, ((0, 0), (0, 2))) for mask in smeared], moved(0))
    assert min(drift.area for drift in seen) == 1
    assert all(drift.extent == 1 for drift in seen[:4])
    assert all(drift.score < 0.6 for drift in seen[20:])
    assert all(a.extent >= b.extent - 0.03 for a, b in pairwise(seen[:34]))


def test_what_comes_nearer_keeps_its_outline() -> None:
    grown = [around(20 * 1.03**time, 30 * 1.03**time) for time in range(30)]
    assert all(drift.extent == 1 for drift in watched(grown, moved(0)))


def test_what_turns_as_it_comes_nearer_grows_as_the_flow_says() -> None:
    # Four times the area, and from upright to lying.
    turned = [around(10 * 1.06**time, 40) for time in range(25)]
    seen = watched(turned, nearing(1.06))
    assert min(drift.extent for drift in seen) == 1
    assert min(drift.extent for drift in watched(turned, moved(0))) < 0.5


def test_what_turns_keeps_its_area() -> None:
    turned = [around(10 * 1.05**time, 40 / 1.05**time) for time in range(25)]
    assert min(drift.extent for drift in watched(turned, moved(0))) > 0.95


def test_a_mark_begins_anew() -> None:
    watch = DriftWatch()
    watch.see(around(10, 40), 1.0, None, exact=True, cut=True)
    assert watch.see(around(60, 20), 1.0, moved(0), exact=False, cut=False).extent < 0.6
    watch.see(around(60, 20), 1.0, moved(0), exact=True, cut=False)
    assert watch.see(around(60, 20), 1.0, moved(0), exact=False, cut=False).extent == 1


def test_a_watch_goes_on_where_another_stood() -> None:
    masks = [around(10 + 2 * time, 40) for time in range(30)]
    whole, first, second = DriftWatch(), DriftWatch(), DriftWatch()
    seen = [whole.see(mask, 0.9, moved(0), exact=not time, cut=not time) for time, mask in enumerate(masks)]
    for time, mask in enumerate(masks[:15]):
        first.see(mask, 0.9, moved(0), exact=not time, cut=not time)
    second.go_on(masks[14], first.state())
    again = [second.see(mask, 0.9, moved(0), exact=False, cut=False) for mask in masks[15:]]
    assert again == seen[15:]
