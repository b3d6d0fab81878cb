"""The model's crop: steady, on the lattice, around the hole; cut and paste are each other's inverse."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from osor_video.removal.crop import (
    Crop,
    HoleBox,
    bounding_box,
    moved_share,
    plan_crops,
    shift_behind,
)
from osor_video.tensors import Mask, to_uint8
from tests.world import texture


def walk(frames: int, step: int, size: tuple[int, int] = (40, 24), top: int = 60) -> list[HoleBox | None]:
    """Boxes of a thing that walks to the right by ``step`` pixels a frame."""
    return [(top, 20 + step * t, top + size[0], 20 + step * t + size[1]) for t in range(frames)]


def holds(crop: Crop, box: HoleBox) -> bool:
    top, left, bottom, right = box
    return (
        crop.top <= top
        and crop.left <= left
        and bottom <= crop.top + crop.size_hw[0]
        and right <= crop.left + crop.size_hw[1]
    )


@pytest.mark.parametrize(
    ("raster_px", "shrink"), [pytest.param(256, 1, id="full size"), pytest.param(32, 2, id="shrunk by two")]
)
def test_crops_are_steady_and_hold_the_hole(raster_px: int, shrink: int) -> None:
    boxes = walk(40, 3)
    crops = plan_crops(boxes, (180, 320), 0.5, raster_px, 32)
    places = set()
    for crop, box in zip(crops, boxes, strict=True):
        assert crop is not None
        assert box is not None
        assert holds(crop, box)
        assert crop.top % (8 * shrink) == 0
        assert crop.left % (8 * shrink) == 0
        assert crop.size_hw == (crop.raster_hw[0] * shrink, crop.raster_hw[1] * shrink)
        places.add((crop.top, crop.left))
    assert 1 < len(places) <= 15  # of 40 frames; a crop that follows the hole would move with each
    assert len({crop.size_hw for crop in crops if crop}) == 1


def test_a_thing_that_stays_keeps_its_crop() -> None:
    trembling: list[HoleBox | None] = [(60 + t % 3, 100 - t % 2, 100 + t % 3, 124 - t % 2) for t in range(20)]
    assert len(set(plan_crops(trembling, (180, 320), 0.5, 256, 64))) == 1


def test_the_raster_is_bounded_and_in_multiples() -> None:
    crop = plan_crops([(10, 10, 510, 310)], (1080, 1920), 0.5, 256, 64)[0]
    assert crop is not None
    # 750 x 550 pixels wanted: shrunk by 3 they are 250 x 183.3, on multiples of 64.
    assert crop.raster_hw == (256, 192)
    assert crop.size_hw == (768, 576)
    assert crop.scale == pytest.approx(1 / 3)


def test_frames_without_a_hole_have_no_crop() -> None:
    boxes = [None, *walk(2, 3), None]
    crops = plan_crops(boxes, (180, 320), 0.5, 256, 64)
    assert [crop is None for crop in crops] == [True, False, False, True]
    assert plan_crops([None, None], (180, 320), 0.5, 256, 64) == [None, None]


def test_a_hole_at_the_edge_keeps_the_crop_in_the_frame() -> None:
    crop = plan_crops([(0, 296, 40, 320)], (180, 320), 0.5, 256, 64)[0]
    assert crop is not None
    assert crop.visible((180, 320)) == (crop.top, crop.left, crop.top + 64, crop.left + 64)
    assert (crop.top, crop.left) == (0, 256)


def test_a_frame_smaller_than_the_crop_is_mirrored_around() -> None:
    picture = to_uint8(texture((48, 56), 1))
    crop = plan_crops([(4, 4, 44, 50)], (48, 56), 0.5, 256, 64)[0]
    assert crop is not None
    assert crop.size_hw == (64, 64)
    view = crop.cut_picture(picture)
    assert view.shape == (64, 64, 3)
    assert (crop.top, crop.left) == (-8, 0)
    assert np.array_equal(view[8:56, :56], picture)
    assert np.array_equal(view[:8], view[9:17][::-1])
    assert np.array_equal(view[56:], view[47:55][::-1])
    assert np.array_equal(view[:, 56:], view[:, 47:55][:, ::-1])
    mask = np.ones((48, 56), dtype=bool)
    assert crop.cut_mask(mask).sum() == 48 * 56  # what is mirrored is no hole


def test_a_picture_cut_and_pasted_is_the_picture() -> None:
    picture = to_uint8(texture((80, 100), 1))
    crop = Crop(8, 24, (64, 64), (64, 64))
    pasted = crop.paste(crop.cut_picture(picture).astype(np.float32), (80, 100))
    assert np.array_equal(pasted[8:72, 24:88], picture[8:72, 24:88])
    pasted[8:72, 24:88] = 0
    assert pasted.max() == 0


def test_a_shrunk_crop_comes_back_in_place() -> None:
    ys, xs = np.mgrid[0:150, 0:160].astype(np.float32)
    smooth = np.stack([xs, ys, xs + ys], axis=-1) / 2
    crop = Crop(16, 32, (128, 128), (64, 64))
    pasted = crop.paste(crop.cut_picture(smooth.astype(np.uint8)).astype(np.float32), (150, 160))
    error = np.abs(pasted - smooth)[20:140, 36:156]
    assert error.max() < 1.5  # rounding down, then averaging; a shift by one pixel alone would be .5 more
    assert abs(float((pasted - smooth)[20:140, 36:156].mean()) + 0.25) < 0.15


def test_a_shrunk_mask_holds_every_masked_pixel() -> None:
    mask: Mask = np.zeros((150, 160), dtype=bool)
    mask[21, 37] = True
    cut = Crop(16, 32, (128, 128), (64, 64)).cut_mask(mask)
    assert np.argwhere(cut).tolist() == [[2, 2]]


def test_bounding_box() -> None:
    mask: Mask = np.zeros((20, 30), dtype=bool)
    assert bounding_box(mask) is None
    mask[3, 7] = mask[8, 11] = True
    assert bounding_box(mask) == (3, 7, 9, 12)


def test_a_hole_that_walks_moves_and_one_the_camera_follows_too() -> None:
    still = [(0.0, 0.0)] * 13
    # 24 pixels wide, it walks 36.
    assert moved_share(walk(13, 3), still) == pytest.approx(1.5)
    assert moved_share(walk(13, 0), still) == 0
    # The camera goes with it: in each frame the background lay 3 pixels further right the frame before.
    assert moved_share(walk(13, 0), [(0.0, 3.0)] * 13) == pytest.approx(1.5)
    # The hand trembles, and the thing with the picture.
    assert moved_share(walk(13, 3), [(0.0, -3.0)] * 13) == 0
    assert moved_share([*walk(2, 0), None], [(0.0, 0.0)] * 3) == inf


def test_the_shift_is_that_of_the_background_in_the_middle_of_the_box() -> None:
    flow = np.zeros((9, 16, 2), np.float32)
    flow[4, 12] = (2, -1)
    assert shift_behind((60, 220, 120, 280), flow, (180, 320)) == (-1, 2)
    assert shift_behind((60, 20, 120, 80), flow, (180, 320)) == (0, 0)
    assert shift_behind((0, 0, 180, 320), None, (180, 320)) == shift_behind(None, flow, (180, 320)) == (0, 0)
