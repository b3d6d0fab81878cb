"""What a mask has missed of its object is found to the pixel, and a whole mask stays as it is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from osor_video.removal.complete import MUCH_MORE_PX, complete_mask, ground_beside
from osor_video.shapes import dilate, erode
from osor_video.tensors import FloatMap, Mask, Picture

SIZE_HW = (128, 160)


@pytest.fixture
def thing() -> Mask:
    canvas = np.zeros(SIZE_HW, np.uint8)
    cv2.ellipse(canvas, (80, 64), (22, 40), 0, 0, 360, 1, -1)
    return canvas > 0


@pytest.fixture
def picture(thing: Mask) -> Picture:
    """A red thing on green ground, both with a little noise."""
    noise = np.random.default_rng(0).normal(0, 8, (*SIZE_HW, 3))
    plain = np.where(thing[..., None], (170, 60, 50), (70, 130, 80))
    return np.clip(plain + noise, 0, 255).astype(np.uint8)


def logit_of(mask: Mask) -> FloatMap:
    """As coarse as the head's cells are, and a little too small."""
    cells = cv2.resize(
        mask.astype(np.float32), (SIZE_HW[1] // 8, SIZE_HW[0] // 8), interpolation=cv2.INTER_AREA
    )
    return np.asarray(cv2.resize(8 * cells - 5, SIZE_HW[::-1], interpolation=cv2.INTER_LINEAR), np.float32)


def test_the_core_of_an_object_becomes_all_of_it(picture: Picture, thing: Mask) -> None:
    core = np.zeros(SIZE_HW, bool)
    core[50:78, 70:90] = True
    logit = logit_of(thing)
    assert (thing & ~(core | (logit > 0))).sum() > 0.05 * thing.sum()
    whole = complete_mask(picture, core, logit, logit)
    assert (thing & ~whole).sum() == 0
    assert not (whole & ~dilate(thing, MUCH_MORE_PX + 2)).any()
    assert np.array_equal(whole, complete_mask(picture, core, logit, logit))


def test_a_mask_that_lacks_nothing_is_left_alone(picture: Picture, thing: Mask) -> None:
    assert complete_mask(picture, thing, logit_of(thing), logit_of(thing)) is thing
    nothing = np.full(SIZE_HW, -9, np.float32)
    assert complete_mask(picture, thing, nothing, nothing) is thing


def test_a_thick_part_is_missed_however_small_its_share() -> None:
    thing = np.zeros(SIZE_HW, bool)
    thing[20:120, 60:] = True
    noise = np.random.default_rng(0).normal(0, 8, (*SIZE_HW, 3))
    picture = np.clip(np.where(thing[..., None], (170, 60, 50), (70, 130, 80)) + noise, 0, 255).astype(
        np.uint8
    )
    mask = thing.copy()
    mask[:, -4:] = False
    logit = np.where(thing, 6, -9).astype(np.float32)
    assert (thing & ~mask).sum() < 0.05 * mask.sum()
    assert complete_mask(picture, mask, logit, logit)[thing].all()
    ragged = thing & (np.random.default_rng(1).random(SIZE_HW) > 0.04)
    assert complete_mask(picture, ragged, logit, logit) is ragged


def test_the_mask_counts_in_full_where_the_head_sees_no_object(picture: Picture, thing: Mask) -> None:
    elsewhere = np.zeros(SIZE_HW, bool)
    elsewhere[10:60, 40:80] = True
    whole = complete_mask(picture, elsewhere, logit_of(thing), logit_of(thing))
    assert (elsewhere & ~whole).sum() == 0
    assert (thing & ~whole).sum() == 0


def test_where_all_may_be_object_the_head_decides(picture: Picture, thing: Mask) -> None:
    everywhere = np.full(SIZE_HW, 1.0, np.float32)
    assert complete_mask(picture, thing, everywhere, everywhere).all()


def test_ground_within_a_wide_mask_is_told_from_the_object_to_the_pixel(
    picture: Picture, thing: Mask
) -> None:
    wide, logit = dilate(thing, 14), logit_of(thing) + 1
    ground = ground_beside(picture, wide, logit)
    assert not (ground & (thing | ~wide)).any()
    assert (ground & ~dilate(thing, 1)).sum() > 0.95 * (wide & ~dilate(thing, 1)).sum()
    assert np.array_equal(ground, ground_beside(picture, wide, logit))
    assert ground_beside(picture, thing, logit).sum() < 0.02 * thing.sum()


def test_without_an_object_that_the_head_sees_nothing_is_ground(picture: Picture, thing: Mask) -> None:
    wide, unseen = dilate(thing, 14), np.full(SIZE_HW, -9, np.float32)
    assert not ground_beside(picture, wide, unseen).any()
    assert not ground_beside(picture, wide, np.where(erode(thing, 18), 6, -9).astype(np.float32)).any()
    assert not ground_beside(picture, np.ones(SIZE_HW, bool), logit_of(thing) + 1).any()
    assert not ground_beside(picture, np.zeros(SIZE_HW, bool), logit_of(thing)).any()


def test_thin_limbs_of_a_small_thing_are_seen_closer() -> None:
    thing = np.zeros(SIZE_HW, np.uint8)
    cv2.ellipse(thing, (60, 40), (6, 12), 0, 0, 360, 1, -1)
    cv2.line(thing, (60, 40), (82, 24), 1, 2)
    noise = np.random.default_rng(0).normal(0, 4, (*SIZE_HW, 3))
    picture = np.clip(np.where(thing[..., None] > 0, (170, 60, 50), (70, 130, 80)) + noise, 0, 255)
    core = cv2.erode(thing, np.ones((9, 9))) > 0
    logit = logit_of(thing > 0)
    asked: list[tuple[int, ...]] = []

    def closer(part: Picture, mask: Mask) -> FloatMap:
        asked.append(part.shape)
        assert mask.shape == part.shape[:2]
        red = part[..., 0] > 120
        return np.where(red, 4, -9).astype(np.float32)

    whole = complete_mask(picture.astype(np.uint8), core, logit, logit, closer)
    assert asked == [(128, 128, 3)]
    assert ((thing > 0) & ~whole).sum() == 0
    assert not (whole & ~dilate(thing > 0, MUCH_MORE_PX)).any()


def test_what_is_large_or_whole_is_not_looked_at_again(picture: Picture, thing: Mask) -> None:
    def closer(part: Picture, mask: Mask) -> FloatMap:
        raise AssertionError

    large = (
        cv2.resize(picture, None, fx=2, fy=2),
        *(
            cv2.resize(values.astype(np.float32), None, fx=2, fy=2)
            for values in (erode(thing, 8), logit_of(thing))
        ),
    )
    complete_mask(large[0], large[1] > 0.5, large[2], large[2], closer)
    complete_mask(picture, thing, logit_of(thing), logit_of(thing), closer)
