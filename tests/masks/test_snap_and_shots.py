"""Edges drawn on the picture, and cuts found while frames pass."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from osor_video.masks.shots import CutDetector
from osor_video.masks.snap import cut_out, redrawn, snap
from osor_video.masks.track import hole, main_parts
from osor_video.tensors import FloatMap, Mask, Picture, to_uint8
from tests.world import World, jaccard, make_world, night, texture


def red_disc() -> tuple[Picture, Mask]:
    """A red disc on a blue-green wall, with its mask."""
    ys, xs = np.mgrid[0:96, 0:128]
    mask = np.hypot(ys - 50, xs - 60) < 22
    wall = texture((96, 128), 2) * np.array([0.15, 0.6, 0.8], np.float32)
    return to_uint8(np.where(mask[..., None], [0.85, 0.1, 0.1], wall)), mask


def coarse(mask: Mask) -> FloatMap:
    """A label as the tracker has it: cells of 8 pixels, blown up."""
    cells = cv2.resize(mask.astype(np.float32), (16, 12), interpolation=cv2.INTER_AREA)
    return np.asarray(np.clip(cv2.resize(cells, (128, 96), interpolation=cv2.INTER_CUBIC), 0, 1), np.float32)


def test_snap_draws_the_edge_where_the_picture_has_it() -> None:
    picture, mask = red_disc()
    label = coarse(mask)
    assert jaccard(label > 0.5, mask) < 0.98
    assert jaccard(snap(picture, label), mask) > 0.99


def test_snap_is_repeatable_whatever_opencv_drew_before() -> None:
    picture, mask = red_disc()
    first = snap(picture, coarse(mask))
    cv2.setRNGSeed(99)
    assert np.array_equal(snap(picture, coarse(mask)), first)


def test_snap_of_nothing_is_nothing() -> None:
    assert not snap(red_disc()[0], np.zeros((96, 128), np.float32)).any()


def test_snap_with_too_few_sure_pixels_cuts_at_half() -> None:
    label = np.zeros((96, 128), np.float32)
    label[40:60, 50:70] = 0.8
    label[40:42, 50:52] = 0.95
    assert np.array_equal(snap(red_disc()[0], label), label > 0.5)


def test_a_share_is_redrawn_where_it_is_undecided() -> None:
    picture, mask = red_disc()
    share = np.asarray(cv2.resize(cv2.GaussianBlur(coarse(mask), (0, 0), 3), (64, 48)))
    assert jaccard(cv2.resize(share, (128, 96)) > 0.5, mask) < 0.97
    found = redrawn(picture, share)
    assert found is not None
    assert found.shape == mask.shape
    assert jaccard(found > 0.5, mask) > 0.99


def test_what_is_decided_stays_whatever_its_colour() -> None:
    picture, mask = red_disc()
    share = mask.astype(np.float32)
    picture[45:55, 55:65] = picture[10, 10]
    found = redrawn(picture, share)
    assert found is not None
    assert np.array_equal(found > 0.5, mask)


def test_nothing_is_redrawn_where_colour_would_change_much_or_cannot_tell() -> None:
    picture, mask = red_disc()
    half = 0.7 * mask.astype(np.float32)
    half[45:55, 38:48] = 1
    picture[:, 60:] = picture[10, 10]  # half of the disc is wall now
    assert redrawn(picture, half) is None
    assert redrawn(picture, np.full((48, 64), 0.5, np.float32)) is None


def test_the_object_is_cut_out_of_a_box_around_it() -> None:
    picture, mask = red_disc()
    box = np.zeros_like(mask)
    box[22:80, 30:92] = True
    found = cut_out(picture, box)
    assert jaccard(found, mask) > 0.98
    assert not found[~box].any()


def test_a_box_in_which_nothing_differs_is_taken_whole() -> None:
    picture = np.full((96, 128, 3), 90, np.uint8)
    box = np.zeros((96, 128), dtype=bool)
    box[30:60, 40:80] = True
    assert np.array_equal(cut_out(picture, box), box)


def test_a_box_at_the_frames_edge_and_one_of_a_few_pixels() -> None:
    picture, _ = red_disc()
    corner, tiny = np.zeros((2, 96, 128), dtype=bool)
    corner[:20, :20] = True
    tiny[50:53, 60:63] = True
    assert cut_out(picture, corner).any()
    assert np.array_equal(cut_out(picture, tiny), tiny)


def cuts(frames: list[Picture]) -> list[int]:
    detector = CutDetector()
    return [index for index, frame in enumerate(frames) if detector.is_cut(frame)]


def test_a_cut_is_found_where_it_is(world: World) -> None:
    assert cuts(world.frames[:7] + night(5)) == [7]


def test_two_cuts_are_two(world: World) -> None:
    assert cuts([*world.frames[:5], *night(4), *world.frames[5:9]]) == [5, 9]


@pytest.mark.parametrize("pan", [0.0, 2.3, 6.0])
def test_a_pan_is_no_cut(pan: float) -> None:
    assert cuts(make_world(10, pan_xy=(pan, 0)).frames) == []


def test_a_still_picture_is_no_cut(world: World) -> None:
    assert cuts([world.frames[0]] * 5) == []


def test_main_parts_keeps_the_largest_and_what_is_not_small_beside_it() -> None:
    mask = np.zeros((40, 40), dtype=bool)
    mask[2:12, 2:12] = True  # 100 pixels
    mask[20:25, 20:22] = True  # 10 pixels: a tenth, kept
    mask[30:33, 30:33] = True  # 9 pixels: dropped
    kept = main_parts(mask)
    assert kept[2:12, 2:12].all()
    assert kept[20:25, 20:22].all()
    assert kept.sum() == 110


def test_main_parts_leaves_one_part_and_none_alone() -> None:
    one = np.zeros((8, 8), dtype=bool)
    assert np.array_equal(main_parts(one), one)
    one[3, 3] = True
    assert np.array_equal(main_parts(one), one)


def test_the_hole_is_grown_by_a_share_of_the_height() -> None:
    mask = np.zeros((200, 100), dtype=bool)
    mask[100, 50] = True
    grown = hole(mask, 0.02)
    ys, xs = np.nonzero(grown)
    assert (ys.min(), ys.max(), xs.min(), xs.max()) == (96, 104, 46, 54)
    assert grown[100, 54]
    assert not grown[96, 54]  # a disc, not a square
    assert hole(mask, 0.0).sum() == 5  # one pixel at least
