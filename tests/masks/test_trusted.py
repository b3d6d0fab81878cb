"""Frames remembered for long: which are kept, what of them, and that they come back from a state."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from osor_video.masks.matching import Remembered, compare_anywhere
from osor_video.masks.trusted import EVERY_FRAMES, MOST_CELLS, TrustedFrames


def frame(seed: int, labels: list[float]) -> Remembered:
    """Cells in one row, with features of their own."""
    generator = torch.Generator().manual_seed(seed)
    features = F.normalize(torch.randn(24, 1, len(labels), generator=generator), dim=0)
    return Remembered(features, torch.tensor([labels]), (0, 0))


def seen(count: int, frames: int, score: float = 0.9) -> TrustedFrames:
    trusted = TrustedFrames(count)
    trusted.start(frame(0, [1.0, 0.0, 0.6, 0.0]))
    for index in range(1, frames + 1):
        trusted.see(frame(index, [1.0, 0.95, 0.5, 0.02]), score)
    return trusted


def test_the_marked_frame_is_kept_whole_and_of_others_what_is_sure() -> None:
    memory = seen(3, EVERY_FRAMES).memory
    assert memory.label.flatten().tolist() == [1, 0, *torch.tensor([0.6]).tolist(), 0, 1, 1, 0]
    kept = frame(EVERY_FRAMES, [1.0] * 4).features[:, 0, [0, 1, 3]]
    assert torch.equal(memory.features[:, 0, 4:], kept)


def test_the_last_ones_are_kept_some_way_apart() -> None:
    memory = seen(2, 5 * EVERY_FRAMES + 1).memory
    assert memory.label.numel() == 4 + 2 * 3
    for place, index in ((4, 4 * EVERY_FRAMES), (7, 5 * EVERY_FRAMES)):
        assert torch.equal(memory.features[:, 0, place], frame(index, [1.0] * 4).features[:, 0, 0])


def test_what_is_doubtful_or_not_wanted_is_not_kept() -> None:
    assert seen(3, 20, score=0.5).memory.label.numel() == 4
    assert seen(0, 20).memory.label.numel() == 4


def test_a_view_of_much_of_the_picture_is_not_kept() -> None:
    trusted = seen(3, EVERY_FRAMES - 1)
    trusted.see(frame(9, [1.0] * (MOST_CELLS + 1)), 0.9)
    assert trusted.memory.label.numel() == 4


def test_what_looks_as_a_moment_ago_is_recalled_though_it_was_marked_otherwise() -> None:
    later = frame(EVERY_FRAMES, [1.0] * 4).features
    query = Remembered(later, torch.zeros(1, 4), (0, 0))
    without, with_it = (
        compare_anywhere(query.features, seen(count, EVERY_FRAMES).memory) for count in (0, 3)
    )
    assert with_it[0, 0, 0] > without[0, 0, 0]
    assert with_it[2, 0, [0, 1]].min() > 0.95
    assert with_it[2, 0, 3] < 0.05


def test_a_state_is_all_that_is_remembered() -> None:
    whole, part, again = seen(2, 23), seen(2, 12), TrustedFrames(2)
    again.state = part.state
    for index in range(13, 24):
        again.see(frame(index, [1.0, 0.95, 0.5, 0.02]), 0.9)
    assert torch.equal(again.memory.features, whole.memory.features)
    assert torch.equal(again.memory.label, whole.memory.label)
