"""Matching by hand: two-colour features, so that every similarity is known."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from osor_video.masks.matching import Remembered, compare_anywhere, compare_nearby

RED, BLUE = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])
ALIKE, UNLIKE = pytest.approx(5 * (1 - 0.8)), pytest.approx(5 * (0 - 0.8))


def looks(is_red: Tensor) -> Tensor:
    """Features [2, h, w]: red where true, blue elsewhere."""
    return torch.where(is_red[None], RED.view(2, 1, 1), BLUE.view(2, 1, 1))


def block(size_hw: tuple[int, int], top: int, left: int, side: int) -> Tensor:
    cells = torch.zeros(size_hw, dtype=torch.bool)
    cells[top : top + side, left : left + side] = True
    return cells


def noise(size_hw: tuple[int, int], seed: int) -> Tensor:
    """Unit vectors [8, h, w]."""
    values = torch.rand(8, *size_hw, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(values, dim=0)


def test_a_moved_block_is_found_by_its_colour() -> None:
    before, now = block((10, 12), 2, 2, 4), block((10, 12), 5, 7, 4)
    to_object, to_ground, label = compare_anywhere(
        looks(now), Remembered(looks(before), before.float(), (0, 0))
    )
    assert to_object[6, 8] == ALIKE
    assert to_ground[6, 8] == UNLIKE
    assert to_object[0, 0] == UNLIKE
    assert to_ground[0, 0] == ALIKE
    torch.testing.assert_close(label, now.float(), atol=1e-4, rtol=0)


def test_near_by_is_near_by() -> None:
    before, now = block((10, 12), 2, 2, 1), block((10, 12), 4, 5, 1)
    memory = [Remembered(looks(before), before.float(), (0, 0))]
    assert compare_nearby(looks(now), (0, 0), memory, 3)[0, 4, 5] == ALIKE
    assert compare_nearby(looks(now), (0, 0), memory, 2)[0, 4, 5] == UNLIKE


def test_places_are_those_of_the_whole_frame() -> None:
    # One red cell at (6, 9) of the frame, remembered in a part of it; the view begins elsewhere.
    cell = block((4, 4), 1, 3, 1)
    memory = [Remembered(looks(cell), cell.float(), (5, 6))]
    view = looks(block((4, 8), 2, 1, 1))
    assert compare_nearby(view, (4, 8), memory, 0)[0, 2, 1] == ALIKE
    assert compare_nearby(view, (4, 7), memory, 0)[0, 2, 1] == UNLIKE


def test_where_nothing_is_remembered_nothing_is_alike() -> None:
    red = block((4, 4), 0, 0, 4)
    to_object, to_ground, label = compare_nearby(
        looks(red), (0, 0), [Remembered(looks(red), red.float(), (100, 100))], 2
    )
    assert to_object.max() == to_ground.max() == UNLIKE
    assert label.max() == 0
    everything = Remembered(looks(red), red.float(), (0, 0))
    assert compare_anywhere(looks(red), everything)[1].max() == UNLIKE


def test_blocks_and_bounds_make_no_difference() -> None:
    # Several blocks, none of them whole, two memories of other sizes: as one comparison of every pair of cells.
    view, origin, reach = noise((11, 21), 0), (3, 2), 4
    memory = [
        Remembered(noise((13, 9), 1), torch.rand(13, 9, generator=torch.Generator().manual_seed(3)), (1, 5)),
        Remembered(
            noise((20, 30), 2), torch.rand(20, 30, generator=torch.Generator().manual_seed(4)), (0, 0)
        ),
    ]
    found = compare_nearby(view, origin, memory, reach)
    for y, x in ((0, 0), (10, 20), (7, 8), (5, 15)):
        pairs = [
            (float(view[:, y, x] @ frame.features[:, row, column]), float(frame.label[row, column]))
            for frame in memory
            for row in range(frame.label.shape[0])
            for column in range(frame.label.shape[1])
            if abs(row + frame.origin[0] - y - origin[0]) <= reach
            and abs(column + frame.origin[1] - x - origin[1]) <= reach
        ]
        scores, labels = torch.tensor(pairs).T
        for channel, side in enumerate((labels > 0.5, labels <= 0.5)):
            assert float(found[channel, y, x]) == pytest.approx(
                5 * (float(scores[side].max()) - 0.8), abs=1e-4
            )
        assert float(found[2, y, x]) == pytest.approx(
            float(torch.softmax(scores / 0.03, 0) @ labels), abs=1e-4
        )
