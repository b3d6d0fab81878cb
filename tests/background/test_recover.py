"""The plate against the true one: real pixels where the shot has them, no confidence where it has none."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from osor_video.background.recover import (
    CLEAR_VIEW,
    Coverage,
    Plate,
    Seen,
    plate_box,
    recover,
    sample_view,
)
from osor_video.background.register import (
    Registration,
    ShotFrame,
    View,
    box_grid,
    homography_map,
    look,
    outside,
)
from osor_video.config import BackgroundConfig, CompositeConfig
from osor_video.tensors import FloatMap, Picture, to_uint8
from tests.world import SIZE_HW, World, make_world, psnr_db

CONFIG = BackgroundConfig()
CONFIG_TRUST = CompositeConfig().trust


def recovered(world: World) -> list[Plate]:
    """The plate of every frame, borrowed from every third frame."""
    shot = world.shot()
    return [recover(seen, [o for o in shot[::3] if o.index != seen.index], CONFIG) for seen in shot]


def hole_psnr(world: World, plates: list[Plate]) -> list[float]:
    found = []
    for seen, plate, truth in zip(world.shot(), plates, world.plates, strict=True):
        area = np.s_[plate.box[0] : plate.box[2], plate.box[1] : plate.box[3]]
        found.append(psnr_db(plate.rgb, truth[area], seen.hole[area]))
    return found


@pytest.mark.parametrize("seed", [0, 3])
def test_the_true_background_comes_back_without_shadow(seed: int) -> None:
    world = make_world(24, seed=seed, shadow=0)
    plates = recovered(world)
    found = hole_psnr(world, plates)
    # Measured: mean 53.3 and 53.2 dB, lowest 49.6 and 49.7.
    assert np.mean(found) > 51.5
    assert min(found) > 47
    for seen, plate in zip(world.shot(), plates, strict=True):
        top, left, bottom, right = plate.box
        assert plate.confidence[seen.hole[top:bottom, left:right]].mean() > 0.95


def test_the_true_background_comes_back_from_under_a_shadow() -> None:
    world = make_world(30)
    found = hole_psnr(world, recovered(world))
    # Measured: mean 52.2 dB, lowest 49.0.
    assert np.mean(found) > 50
    assert min(found) > 46


@pytest.mark.parametrize("seed", [0, 3])
def test_ground_comes_back_that_passes_the_faster_the_nearer_it_is(seed: int) -> None:
    world = receding(make_world(20, seed=seed))
    found = hole_psnr(world, recovered(world))
    # Measured: mean 49.2 and 48.9 dB, lowest 45.4 and 44.1; searched for at four pixels only 39.2 and 41.2, lowest 31.1 and 31.9.
    assert np.mean(found) > 47.5
    assert min(found) > 42


def receding(world: World) -> World:
    """The frames of ``world`` moved as no homography tells: the upper half runs ahead, the lower one stays behind."""
    grid = box_grid((0, 0, *SIZE_HW))
    faster = np.dstack([2 * grid[..., 1] / SIZE_HW[0] - 1, np.zeros(SIZE_HW, np.float32)])
    places = [grid + time * faster for time in range(len(world.frames))]

    def passed(pictures: list[Picture], flags: int) -> list[Picture]:
        moved = (cv2.remap(*pair, None, flags) for pair in zip(pictures, places, strict=True))
        return [np.asarray(picture, np.uint8) for picture in moved]

    masks = passed([mask.astype(np.uint8) for mask in world.masks], cv2.INTER_NEAREST)
    return replace(
        world,
        frames=passed(world.frames, cv2.INTER_CUBIC),
        plates=passed(world.plates, cv2.INTER_CUBIC),
        masks=[mask > 0 for mask in masks],
    )


def test_an_object_that_stands_still_hides_its_background_for_good() -> None:
    world = make_world(9, walk_px=0, pan_xy=(0, 0), shadow=0)
    for seen, plate in zip(world.shot(), recovered(world), strict=True):
        top, left, bottom, right = plate.box
        assert plate.confidence[world.masks[seen.index][top:bottom, left:right]].max() == 0


def test_without_other_frames_nothing_is_known() -> None:
    seen = make_world(1).shot()[0]
    plate = recover(seen, [], CONFIG)
    assert plate.box == plate_box(seen.hole, CONFIG.margin)
    assert plate.confidence.max() == 0
    assert plate.rgb.shape == (*plate.confidence.shape, 3)


def test_exposure_is_matched(world: World) -> None:
    plain = make_world(12, shadow=0)
    shot = plain.shot()
    dimmer = [replace(frame, rgb=(frame.rgb * 0.9).astype(np.uint8)) for frame in shot]
    plate = recover(shot[0], dimmer[3::3], CONFIG)
    top, left, bottom, right = plate.box
    inner = shot[0].hole[top:bottom, left:right]
    levels = plate.rgb[inner].mean() * 255, plain.plates[0][top:bottom, left:right][inner].mean()
    assert levels[0] == pytest.approx(levels[1], abs=3)  # a tenth darker would be 12 levels


def test_plate_box_is_even_and_inside() -> None:
    hole = np.zeros((80, 100), dtype=bool)
    hole[31:52, 41:62] = True  # 20 steps from first to last: a reach of 7 + 8
    assert plate_box(hole, 0.35) == (16, 26, 67, 77)
    hole[:] = False
    hole[0:4, 97:100] = True
    assert plate_box(hole, 0.35) == (0, 88, 13, 100)


def test_choose_takes_near_frames_first_and_stops_when_there_is_enough() -> None:
    world = make_world(24, shadow=0)
    shot = world.shot()
    target, others = shot[12], [frame for frame in shot if frame.index != 12]
    coverage = Coverage(target, others, plate_box(target.hole, 0.35))
    few = coverage.choose(most=24, samples=1, clear=0.0)
    many = coverage.choose(most=24, samples=9, clear=0.0)
    assert 1 <= len(few) < len(many)
    assert np.mean([abs(frame.index - 12) for frame in many[:4]]) < np.mean(
        [abs(frame.index - 12) for frame in many[-4:]]
    )
    assert len(coverage.choose(most=3, samples=9, clear=0.0)) == 3


def test_choose_keeps_room_for_the_far_frame_that_alone_shows_a_part() -> None:
    """Many near frames show the hole's upper half; one far frame shows all of it."""
    hole = np.zeros((96, 128), dtype=bool)
    hole[32:64, 48:80] = True
    lower = hole & (np.arange(96)[:, None] >= 44)
    blank = np.zeros((96, 128, 3), np.uint8)
    target = ShotFrame(0, blank, hole, np.eye(3))
    near = [ShotFrame(index, blank, lower, np.eye(3)) for index in range(1, 10)]
    far = ShotFrame(40, blank, np.zeros_like(hole), np.eye(3))
    chosen = Coverage(target, [*near, far], plate_box(hole, 0.35)).choose(most=4, samples=6, clear=0.0)
    assert far in chosen
    assert chosen[0] in (near[0], far)


def test_choose_asks_frames_with_a_clear_view_first() -> None:
    shot = make_world(24, shadow=0).shot()
    target, others = shot[12], [frame for frame in shot if frame.index != 12]
    coverage = Coverage(target, others, plate_box(target.hole, 0.35))
    nearest = coverage.choose(most=5, samples=6, clear=0.0)
    clearest = coverage.choose(most=5, samples=6, clear=CLEAR_VIEW)
    assert len(nearest) == len(clearest) == 5
    # The object walks four pixels a frame over the picture: the nearest frames still have it beside what they show.
    assert np.mean([abs(frame.index - 12) for frame in clearest]) > np.mean(
        [abs(frame.index - 12) for frame in nearest]
    )


def test_choose_falls_back_on_frames_without_a_clear_view() -> None:
    shot = make_world(5, shadow=0).shot()
    coverage = Coverage(shot[0], shot[1:], plate_box(shot[0].hole, 0.35))
    found = coverage.choose(most=8, samples=6, clear=1.0)
    assert found == coverage.choose(most=8, samples=6, clear=0.0)
    assert found


def test_choose_leaves_out_frames_that_hide_the_same() -> None:
    still = make_world(6, walk_px=0, pan_xy=(0, 0)).shot()
    coverage = Coverage(still[0], still[1:], plate_box(still[0].hole, 0.35))
    assert coverage.choose(most=8, samples=6, clear=CLEAR_VIEW) == []


def test_frames_are_asked_about_what_lies_beside_the_object_only_if_none_has_shown_it() -> None:
    """A picture that stands still: near frames have the object beside the hole, a far one has it elsewhere."""
    place, beside = np.zeros((96, 256), dtype=bool), np.zeros((96, 256), dtype=bool)
    place[32:64, 48:80], beside[32:64, 84:116] = True, True
    blank = np.zeros((96, 256, 3), np.uint8)
    target = ShotFrame(0, blank, place, np.eye(3))
    near = [ShotFrame(index, blank, beside, np.eye(3)) for index in (3, 6, 9)]
    far = [ShotFrame(index, blank, np.roll(place, 176, axis=1), np.eye(3)) for index in (30, 33, 36)]
    coverage = Coverage(target, [*near, *far], plate_box(place, 0.35))
    assert coverage.choose_beside(near) == far[:1]
    assert coverage.choose_beside([*near, far[2]]) == []


def test_what_lies_beside_the_object_has_no_say_in_the_hole() -> None:
    # Few frames for the first guess: none of them is the one that is asked beside.
    config = CONFIG.model_copy(update={"first_frames": 2})
    world = make_world(24, walk_px=10, shadow_px=30)
    shot = world.shot()
    seen, others = shot[4], [o for o in shot if o.index != 4]
    box = plate_box(seen.hole, config.margin)
    coverage = Coverage(seen, others, box)
    chosen = coverage.choose(config.max_frames, config.samples, 0.0)
    beside = {frame.index for frame in coverage.choose_beside(chosen)}
    assert beside
    changed = [replace(frame, rgb=frame.rgb // 2) if frame.index in beside else frame for frame in others]
    before, after = (recover(seen, frames, config).rgb for frames in (others, changed))
    area = seen.hole[box[0] : box[2], box[1] : box[3]]
    np.testing.assert_array_equal(after[area], before[area])
    assert np.abs(after - before).max() > 0.05


def test_outside_marks_the_hole_and_what_left_the_frame(world: World) -> None:
    seen = world.shot()[0]
    coords = box_grid((0, 0, 128, 192))
    assert np.array_equal(outside(coords, seen), seen.hole)
    assert outside(coords - 0.5, seen)[0].all()
    assert outside(coords + 1, seen)[-1].all()


BOX = (0, 96, 64, 180)


def registered(target: ShotFrame, other: ShotFrame) -> tuple[View, FloatMap, FloatMap]:
    """The view through the camera alone, then its registered coordinates and their error."""
    view = look(target.camera, other, BOX)
    certain = np.ones((64, 84), np.float32)
    alignment = Registration(target.grey[0:64, 96:180], certain, BOX).fine(view)
    return view, alignment.coords, alignment.error


def test_registration_maps_into_the_other_frame() -> None:
    shot = make_world(6, shadow=0).shot()
    view, fine, error = registered(shot[0], shot[4])
    truth = box_grid(BOX) + np.array([-4 * 2.3, -4 * 0.35], np.float32)
    np.testing.assert_allclose(homography_map(box_grid(BOX), view.homography), truth, atol=1e-4)
    assert np.abs(fine - truth)[8:-8, 8:-8].mean() < 0.1
    assert error.mean() < 3


def test_registration_repairs_a_camera_that_is_a_little_off() -> None:
    shot = make_world(6, shadow=0).shot()
    off = replace(shot[4], camera=np.array([[1, 0, 1.5], [0, 1, -1.0], [0, 0, 1]]) @ shot[4].camera)
    view, fine, _ = registered(shot[0], off)
    truth = box_grid(BOX) + np.array([-4 * 2.3, -4 * 0.35], np.float32)
    assert np.abs(homography_map(box_grid(BOX), view.homography) - truth)[8:-8, 8:-8].mean() > 1.0
    assert np.abs(fine - truth)[8:-8, 8:-8].mean() < 0.25


def test_what_may_stray_counts_less_but_for_the_guess() -> None:
    shot = make_world(6, shadow=0).shot()
    off = replace(shot[4], camera=np.array([[1, 0, 1.5], [0, 1, -1.0], [0, 0, 1]]) @ shot[4].camera)
    area = np.s_[BOX[0] : BOX[2], BOX[1] : BOX[3]]
    seen = Seen(shot[0].rgb[area], shot[0].hole[area])
    unlike_any = np.full(seen.hole.shape, np.inf, np.float32)

    def weight(other: ShotFrame, lit: FloatMap | None) -> float:
        certain = np.ones(seen.hole.shape, np.float32)
        view = replace(look(shot[0].camera, other, BOX), clear=certain)
        registration = Registration(shot[0].grey[area], certain, BOX)
        return float(sample_view(registration, view, seen, lit).weight.mean())

    assert weight(off, unlike_any) < 0.8 * weight(off, None)
    assert weight(shot[4], unlike_any) > 0.95 * weight(shot[4], None)


def test_what_a_tripod_shows_is_taken_as_it_is() -> None:
    shot = make_world(6, walk_px=0, pan_xy=(0, 0), shadow=0).shot()
    _, fine, _ = registered(shot[0], replace(shot[4], rgb=to_uint8(shot[4].rgb * np.float32(0.9 / 255))))
    np.testing.assert_array_equal(fine, box_grid(BOX))


def test_a_pan_too_slow_for_any_step_is_registered_after_all() -> None:
    shot = make_world(6, shadow=0).shot()
    still = replace(shot[0], camera=np.eye(3))
    moved = cv2.warpAffine(still.rgb, np.array([[1, 0, 0.8], [0, 1, 0]]), (192, 128), flags=cv2.INTER_CUBIC)
    _, fine, _ = registered(still, replace(still, index=4, rgb=np.asarray(moved, np.uint8)))
    assert np.abs(fine - box_grid(BOX) - (0.8, 0))[8:-8, 8:-8].mean() < 0.1


HIDDEN = np.s_[40:88, 80:104]


def _street(index: int, *, passer: bool, hidden: bool, beside: bool = False) -> ShotFrame:
    """A tripod's view: somebody else in black may stand where the hole of frame 24 is, or beside it; or it is hidden."""
    picture = make_world(1, shadow=0).plates[0].copy()
    hole = np.zeros(picture.shape[:2], dtype=bool)
    hole[HIDDEN] = hidden
    if passer:
        picture[HIDDEN] = 20
    if beside:
        picture[40:88, 108:122] = 20
    return ShotFrame(index, picture, hole, np.eye(3))


def _street_error(others: list[ShotFrame]) -> FloatMap:
    """Plate less truth [h, w, 3] in the hole of frame 24, in levels."""
    plate = recover(_street(24, passer=False, hidden=True), others, CONFIG)
    inner = np.s_[40 - plate.box[0] : 88 - plate.box[0], 80 - plate.box[1] : 104 - plate.box[1]]
    assert plate.confidence[inner].min() > CONFIG_TRUST
    return np.asarray(255 * plate.rgb[inner] - make_world(1, shadow=0).plates[0][HIDDEN])


def test_nobody_who_soon_passes_the_same_place_is_borrowed() -> None:
    others = [
        _street(index, passer=24 < index <= 30, hidden=12 < index < 24)
        for index in range(0, 60, 3)
        if index != 24
    ]
    assert np.abs(_street_error(others)).max() < 8


def test_somebody_beside_the_hole_does_not_change_the_exposure() -> None:
    others = [_street(index, passer=False, hidden=False, beside=index != 24) for index in (0, 9, 15, 33, 39)]
    assert abs(float(_street_error(others).mean())) < 0.5


def test_what_the_object_casts_on_another_frame_is_not_borrowed() -> None:
    lit = [_street(index, passer=False, hidden=False) for index in (0, 48)]
    dark = [_street(index, passer=True, hidden=False) for index in (18, 21, 27, 30)]
    known = np.zeros(dark[0].hole.shape, dtype=bool)
    known[HIDDEN] = True
    told = [replace(frame, cast=known) for frame in dark]
    # These show the place in shadow, and no hole of theirs says so.
    assert np.abs(_street_error(dark)).mean() > 30
    assert np.abs(_street_error([*lit, *told])).max() < 3
    nothing = recover(_street(24, passer=False, hidden=True), told, CONFIG)
    top, left = nothing.box[:2]
    assert nothing.confidence[42 - top : 86 - top, 82 - left : 102 - left].max() == 0


def test_a_plate_of_another_place_is_none() -> None:
    target = _street(24, passer=False, hidden=True)
    elsewhere = np.ascontiguousarray(make_world(1, seed=9, shadow=0).plates[0][::-1])
    # The camera swung round, and its motion was not measured.
    others = [ShotFrame(index, elsewhere, np.zeros_like(target.hole), np.eye(3)) for index in (0, 9, 15, 33)]
    assert recover(target, others, CONFIG).confidence.max() == 0
