"""Holes filled with patches: textures that go on, edges that are kept, what cannot be filled so."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from osor_video.removal import patches
from osor_video.removal.patches import SEARCHES, fill_by_patches
from osor_video.removal.step import RIM_PX, interpolate_hole


def bricks(size_hw: tuple[int, int]) -> Tensor:
    """A wall [1, 3, H, W] with joints every 8 pixels, offset from row to row, above a floor of slanted stripes."""
    y, x = torch.meshgrid(*(torch.arange(side) for side in size_hw), indexing="ij")
    joints = (y % 8 == 0) | ((x + 8 * (y // 8 % 2)) % 16 == 0)
    wall = torch.where(joints, 0.2, 0.7)
    floor = 0.4 + 0.2 * torch.sin((x + y) * (2 * math.pi / 6))
    picture = torch.where(y < size_hw[0] // 2, wall, floor)
    return torch.stack([picture, 0.8 * picture, 0.5 * picture])[None]


def hole(size_hw: tuple[int, int], box: tuple[int, int, int, int]) -> Tensor:
    mask = torch.zeros(1, 1, *size_hw)
    mask[..., box[0] : box[2], box[1] : box[3]] = 1
    return mask


@pytest.mark.parametrize("size_hw", [(96, 96), (97, 131)])
def test_textures_and_the_edge_between_them_go_on(size_hw: tuple[int, int]) -> None:
    picture, mask = bricks(size_hw), hole(size_hw, (34, 36, 64, 60))
    shot = torch.where(mask > 0, 1.0, picture)
    errors = [
        float((fill(shot, mask) - picture)[mask.expand_as(picture) > 0].abs().mean())
        for fill in (fill_by_patches, interpolate_hole)
    ]
    assert errors[0] < 0.035
    assert errors[0] < 0.4 * errors[1]


def test_the_rest_of_the_picture_stays_and_the_object_does_not_bleed_in() -> None:
    picture, mask = bricks((96, 96)), hole((96, 96), (40, 40, 60, 60))
    # The object is pure green, which the picture nowhere is; its edge is mixed one pixel beyond the mask.
    soft = hole((96, 96), (39, 39, 61, 61))
    shot = torch.where(soft > 0, torch.tensor([0.0, 1.0, 0.0]).view(1, 3, 1, 1), picture)
    filled = fill_by_patches(shot, mask)
    reach = hole((96, 96), (40 - RIM_PX, 40 - RIM_PX, 60 + RIM_PX, 60 + RIM_PX)).expand_as(picture) > 0
    assert torch.equal(filled[~reach], shot[~reach])
    assert (filled[:, 1] - filled[:, 0]).max() < 0.05


def test_the_same_picture_gives_the_same_fill_alone_and_in_company() -> None:
    pictures = torch.cat([bricks((80, 96)), bricks((80, 96)).flip(3)])
    masks = torch.cat([hole((80, 96), (30, 20, 50, 44)), hole((80, 96), (10, 50, 34, 80))])
    together = fill_by_patches(pictures, masks)
    for index in range(2):
        one = slice(index, index + 1)
        assert torch.equal(fill_by_patches(pictures[one], masks[one]), together[one])


def test_no_whole_patch_outside_the_hole_leaves_the_interpolation() -> None:
    picture = bricks((64, 64))
    mask = hole((64, 64), (4, 4, 60, 60))
    assert torch.equal(fill_by_patches(picture, mask), interpolate_hole(picture, mask))
    assert not fill_by_patches(picture, torch.ones(1, 1, 64, 64)).any()


def test_no_hole_changes_nothing() -> None:
    picture = bricks((64, 64))
    assert torch.equal(fill_by_patches(picture, torch.zeros(1, 1, 64, 64)), picture)


def test_a_hole_at_the_pictures_edge_is_filled() -> None:
    picture, mask = bricks((96, 96)), hole((96, 96), (8, 70, 40, 96))
    filled = fill_by_patches(torch.where(mask > 0, 1.0, picture), mask)
    inside = mask.expand_as(picture) > 0
    assert (filled - picture)[inside].abs().mean() < 0.5 * (
        interpolate_hole(torch.where(mask > 0, 1.0, picture), mask) - picture
    )[inside].abs().mean()


def test_of_many_patches_some_ask_and_the_fill_is_about_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    picture, mask = bricks((96, 96)), hole((96, 96), (34, 36, 64, 60))
    shot = torch.where(mask > 0, 1.0, picture)
    monkeypatch.setattr("osor_video.removal.patches.MANY_PATCHES", 10**6)
    every = fill_by_patches(shot, mask)
    monkeypatch.setattr("osor_video.removal.patches.MANY_PATCHES", 100)
    some = fill_by_patches(shot, mask)
    assert not torch.equal(some, every)
    assert (some - picture)[mask.expand_as(picture) > 0].abs().mean() < 0.035


@pytest.mark.parametrize(
    ("side", "box"), [(96, (30, 30, 80, 80)), (128, (30, 30, 100, 100)), (96, (24, 24, 76, 84))]
)
def test_the_fill_is_nearer_where_patches_with_a_good_likeness_count_more(
    side: int, box: tuple[int, int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, mask = bricks((side, side)), hole((side, side), box)
    shot, inside = torch.where(mask > 0, 1.0, picture), mask.expand_as(picture) > 0
    weighed = float((fill_by_patches(shot, mask) - picture)[inside].square().mean())
    monkeypatch.setattr("osor_video.removal.patches.ALIKE_SHARE", 1e9)
    alike = float((fill_by_patches(shot, mask) - picture)[inside].square().mean())
    assert weighed < 0.95 * alike


def test_small_and_large_patches_together_are_nearer_than_each_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    errors = []
    for searches in (SEARCHES, SEARCHES[:1], SEARCHES[1:]):
        monkeypatch.setattr("osor_video.removal.patches.SEARCHES", searches)
        generator, error = torch.Generator().manual_seed(0), 0.0
        for box in ((20, 24, 60, 56), (30, 40, 76, 70), (16, 50, 52, 90)):
            picture, mask = bricks((96, 96)), hole((96, 96), box)
            picture = (picture + 0.08 * torch.randn(picture.shape, generator=generator)).clamp(0, 1)
            filled = fill_by_patches(torch.where(mask > 0, 1.0, picture), mask)
            error += float((filled - picture)[mask.expand_as(picture) > 0].square().mean())
        errors.append(error)
    assert errors[0] < 0.95 * min(errors[1:])


def test_where_only_small_patches_lie_outside_the_hole_they_fill_it(monkeypatch: pytest.MonkeyPatch) -> None:
    picture, mask = bricks((64, 64)), hole((64, 64), (9, 9, 64, 64))
    both = fill_by_patches(picture, mask)
    monkeypatch.setattr("osor_video.removal.patches.SEARCHES", SEARCHES[:1])
    assert torch.equal(fill_by_patches(picture, mask), both)
    assert not torch.equal(both, interpolate_hole(picture, mask))


def test_a_scratch_over_a_large_picture_is_not_searched_for_everywhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    picture, mask = bricks((256, 320)), hole((256, 320), (10, 60, 246, 62))
    compared = []

    def searched(level: patches._Level) -> Tensor:
        compared.append(level.comparisons)
        return search(level)

    search = patches._searched
    monkeypatch.setattr(patches, "_searched", searched)
    filled = fill_by_patches(torch.where(mask > 0, 1.0, picture), mask)
    assert compared
    assert max(compared) <= patches.MOST_COMPARISONS
    assert (filled - picture)[mask.expand_as(picture) > 0].abs().mean() < 0.035


def test_a_shallow_hole_is_left_to_small_patches(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = bricks((96, 96))
    shallow, deep = (hole((96, 96), (40, 20, 40 + side, 76)) for side in (4, 16))
    both = [fill_by_patches(picture, mask) for mask in (shallow, deep)]
    monkeypatch.setattr(patches, "SEARCHES", SEARCHES[:1])
    small = [fill_by_patches(picture, mask) for mask in (shallow, deep)]
    assert torch.equal(both[0], small[0])
    assert not torch.equal(both[1], small[1])
