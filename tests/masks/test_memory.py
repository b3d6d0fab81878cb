"""Recall by hand: two-colour features, so that every match is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from osor_video.masks.memory import Remembered, recall

RED, BLUE = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])


def looks(is_red: Tensor) -> Tensor:
    """Features [2, h, w]: red where true, blue elsewhere."""
    return torch.where(is_red[None], RED.view(2, 1, 1), BLUE.view(2, 1, 1))


def block(size_hw: tuple[int, int], top: int, left: int, side: int) -> Tensor:
    cells = torch.zeros(size_hw, dtype=torch.bool)
    cells[top : top + side, left : left + side] = True
    return cells


def everywhere(size_hw: tuple[int, int]) -> Tensor:
    return torch.ones(size_hw, dtype=torch.bool)


def test_a_moved_block_is_found_by_its_colour() -> None:
    before, now = block((10, 12), 2, 2, 4), block((10, 12), 3, 5, 4)
    first = Remembered(looks(before), before.float(), (0, 0), 12)
    label, similarity = recall(looks(now), (0, 0), everywhere((10, 12)), [first])
    assert torch.equal(label > 0.5, now)
    # Ten matches of the right colour each: a softmax at .03 leaves nothing to the other one.
    torch.testing.assert_close(label, now.float(), atol=1e-4, rtol=0)
    torch.testing.assert_close(similarity, torch.ones(10, 12))


def test_only_cells_asked_for_get_a_label() -> None:
    red = everywhere((4, 4))
    where = block((4, 4), 0, 0, 2)
    label, similarity = recall(
        looks(red) * 0.5, (0, 0), where, [Remembered(looks(red), red.float(), (0, 0), 4)]
    )
    assert torch.equal(label > 0, where)
    torch.testing.assert_close(similarity, torch.where(where, 0.5, 1.0))


def test_nobody_asked_nothing_labelled() -> None:
    red = everywhere((4, 4))
    label, similarity = recall(looks(red), (0, 0), ~red, [Remembered(looks(red), red.float(), (0, 0), 4)])
    assert label.sum() == 0
    assert similarity.min() == 1


@pytest.mark.parametrize(("reach", "found"), [(4, 0.0), (5, 1.0)])
def test_a_match_beyond_reach_does_not_count(reach: int, found: float) -> None:
    before, now = block((1, 20), 0, 3, 1), block((1, 20), 0, 8, 1)
    memory = [Remembered(looks(before), before.float(), (0, 0), reach)]
    label, similarity = recall(looks(now), (0, 0), now, memory)
    assert float(label[0, 8]) == pytest.approx(found, abs=1e-4)
    assert float(similarity[0, 8]) == pytest.approx(found, abs=1e-4)


def test_origins_are_places_on_one_grid() -> None:
    # The memory shows cells (5..8, 6..9) of the grid, the query (4..7, 8..11); cell (6, 9) is in both.
    red = everywhere((4, 4))
    label_map = torch.zeros(4, 4)
    label_map[1, 3] = 1.0
    memory = [Remembered(looks(red), label_map, (5, 6), 0)]
    label, _ = recall(looks(red), (4, 8), everywhere((4, 4)), memory)
    wanted = torch.zeros(4, 4)
    wanted[2, 1] = 1.0
    torch.testing.assert_close(label, wanted)


def test_a_memory_out_of_reach_says_nothing() -> None:
    red = everywhere((4, 4))
    memory = [Remembered(looks(red), red.float(), (100, 100), 2)]
    label, similarity = recall(looks(red), (0, 0), red, memory)
    assert label.sum() == 0
    assert similarity.max() == -1


def test_labels_of_equal_looks_are_averaged_over_memories() -> None:
    red = everywhere((1, 1))
    memory = [Remembered(looks(red), torch.full((1, 1), value), (0, 0), 0) for value in (1.0, 0.0, 0.5)]
    label, _ = recall(looks(red), (0, 0), red, memory)
    assert float(label) == pytest.approx(0.5)
