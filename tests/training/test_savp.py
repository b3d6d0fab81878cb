"""SAVP against scenes whose object and shadow are known to the pixel."""

import cv2
import numpy as np
import pytest

from osor_video.tensors import Mask, Picture
from osor_video.training.savp import (
    CHROMA,
    LUMINANCE,
    MEGAPIXEL,
    SMALLEST_HOLE_PX,
    SMALLEST_REGION_PX,
    TEXTURE,
    effect_aware_mask,
    heat,
)
from tests.training.plates import iou, scene

SIZE_HW = (400, 500)
MEGAPIXELS = SIZE_HW[0] * SIZE_HW[1] / MEGAPIXEL


def grey(value: int = 170) -> Picture:
    return np.full((*SIZE_HW, 3), value, np.uint8)


def with_discs(*discs: tuple[tuple[int, int], float, int]) -> tuple[Picture, Mask]:
    """(grey picture with discs, their mask); a disc is its centre (x, y), area in pixels and grey value."""
    picture = grey()
    for centre, area_px, value in discs:
        cv2.circle(picture, centre, round((area_px / np.pi) ** 0.5), (value, value, value), -1)
    return picture, np.asarray((picture != grey()).any(axis=2))


@pytest.mark.parametrize("seed", range(3))
def test_object_and_soft_shadow_are_found(seed: int) -> None:
    made = scene(seed)
    mask = effect_aware_mask(made.shot, made.clean)
    assert mask.dtype == np.bool_
    assert mask.shape == made.effect_mask.shape
    assert iou(mask, made.effect_mask) > 0.8
    assert mask[made.object_mask].mean() > 0.99
    assert mask[made.effect_mask & ~made.object_mask].mean() > 0.9


def test_grain_that_differs_changes_the_mask_little() -> None:
    made = scene(1, grain=0.01)
    assert iou(effect_aware_mask(made.shot, made.clean), made.effect_mask) > 0.8


def test_identical_pictures_have_no_heat_and_an_empty_mask() -> None:
    clean = scene().clean
    assert not heat(clean, clean).any()
    assert not effect_aware_mask(clean, clean).any()


@pytest.mark.parametrize("grain", [0.002, 0.01, 0.02])
def test_two_exposures_of_an_unchanged_place_do_not_differ(grain: float) -> None:
    clean = scene().clean
    random = np.random.default_rng(0)
    first, second = (
        np.clip(clean + random.normal(0, 255 * grain, clean.shape), 0, 255).astype(np.uint8) for _ in range(2)
    )
    assert not effect_aware_mask(first, second).any()


def test_a_stored_copy_does_not_differ() -> None:
    clean = scene().clean
    _, data = cv2.imencode(".jpg", clean, [cv2.IMWRITE_JPEG_QUALITY, 80])
    assert not effect_aware_mask(np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR)), clean).any()


def test_a_small_exposure_difference_is_no_effect_and_hides_none() -> None:
    made = scene()
    darker = np.rint(made.clean * 0.98).astype(np.uint8)
    assert not effect_aware_mask(darker, made.clean).any()
    assert iou(effect_aware_mask(made.shot, darker), made.effect_mask) > 0.8


def test_an_object_that_fills_most_of_the_picture_survives() -> None:
    shot, object_mask = with_discs(((250, 200), 150_000, 60))
    assert object_mask.mean() > 0.7
    assert iou(effect_aware_mask(shot, grey()), object_mask) > 0.9


def test_a_small_object_alone_in_the_picture_is_found() -> None:
    shot, object_mask = with_discs(((250, 200), 1200, 60))
    assert object_mask.mean() < 0.01
    assert iou(effect_aware_mask(shot, grey()), object_mask) > 0.8


def test_a_change_of_hue_alone_is_an_effect() -> None:
    clean, shot = grey(), grey()
    shot[100:200, 100:250] = (200, 160, 150)
    truth = np.asarray((shot != clean).any(axis=2))
    assert iou(effect_aware_mask(shot, clean), truth) > 0.9


def test_small_specks_are_dropped() -> None:
    smallest = SMALLEST_REGION_PX * MEGAPIXELS
    shot, _ = with_discs(((120, 200), 8 * smallest, 60), ((380, 200), 0.5 * smallest, 60))
    mask = effect_aware_mask(shot, grey())
    assert mask[200, 120]
    assert not mask[:, 250:].any()


def test_small_holes_are_filled_and_large_ones_stay() -> None:
    smallest = SMALLEST_HOLE_PX * MEGAPIXELS
    shot, _ = with_discs(
        ((120, 200), 15_000, 60),
        ((120, 200), smallest, 170),
        ((370, 200), 15_000, 60),
        ((370, 200), 20 * smallest, 170),
    )
    mask = effect_aware_mask(shot, grey())
    assert mask[200, 120]
    assert not mask[200, 370]
    assert mask[200, 120 + 50]
    assert mask[200, 370 + 50]


def test_sizes_follow_the_picture() -> None:
    """A disc that is a region at a fifth of a megapixel is a speck at a whole one."""
    shot, _ = with_discs(((250, 200), 2.0 * SMALLEST_REGION_PX * MEGAPIXELS, 60))
    padded = [np.pad(side, ((300, 300), (250, 250), (0, 0)), mode="edge") for side in (shot, grey())]
    assert effect_aware_mask(shot, grey()).any()
    assert not effect_aware_mask(padded[0], padded[1]).any()


def test_heat_is_the_weighted_sum_at_its_extremes() -> None:
    shot, object_mask = with_discs(((250, 200), 20_000, 40))
    values = heat(shot, grey())
    inner = cv2.erode(object_mask.astype(np.uint8), np.ones((15, 15), np.uint8)) > 0
    outer = cv2.dilate(object_mask.astype(np.uint8), np.ones((15, 15), np.uint8)) == 0
    assert values.dtype == np.float32
    # A grey disc on grey differs in luminance alone; its edge has a slope as well.
    assert values[inner] == pytest.approx(LUMINANCE.weight, abs=0.01)
    assert not values[outer].any()
    assert LUMINANCE.weight < values.max() <= LUMINANCE.weight + CHROMA.weight + TEXTURE.weight


def test_heat_does_not_ask_which_picture_came_first() -> None:
    made = scene()
    assert np.array_equal(heat(made.shot, made.clean), heat(made.clean, made.shot))
