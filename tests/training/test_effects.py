"""Shadows, mirror images and contact: they begin at the foot and lie where light and mirrors put them."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from osor_video.tensors import FloatMap
from osor_video.training.cutouts import Cutout
from osor_video.training.developing import expose, record
from osor_video.training.effects import (
    Ground,
    Light,
    Matrix,
    Mirror,
    Patch,
    Placed,
    cast_shadow,
    contact_shadow,
    draw,
    fresnel,
    light_spill,
    shadow_on_ground,
    shadow_on_wall,
    soften,
    turn_of,
)

SIDE = 128
GROUND = Ground(SIDE, horizon_px=20.0, focal_px=160.0)
SHARE = np.full(3, 0.5, np.float32)


def post(height: int = 40, width: int = 8) -> Placed:
    """A red post that stands at (60, 80)."""
    colour = np.zeros((height, width, 3), np.float32)
    colour[..., 0] = np.linspace(1, 0.5, height)[:, None]
    return Placed(Cutout(0, colour, np.ones((height, width), np.float32)), (60.0, 80.0))


def light(across: float, away: float, softness: float = 0.01) -> Light:
    return Light(across, away, softness, 0.0, SHARE)


def at(matrix: Matrix, x: float, y: float) -> tuple[float, float]:
    point = matrix @ [x, y, 1.0]
    return float(point[0] / point[2]), float(point[1] / point[2])


def whole(patches: list[Patch]) -> FloatMap:
    canvas = np.zeros((SIDE, SIDE), np.float32)
    for patch in patches:
        canvas[patch.where] = np.maximum(canvas[patch.where], patch.values)
    return canvas


@pytest.mark.parametrize("away", [-1.2, 0.3, 1.5])
def test_a_shadow_starts_at_the_foot(away: float) -> None:
    lay = shadow_on_ground(GROUND, post(), light(0.7, away))
    for column in (0.0, 4.0, 8.0):
        assert at(lay, column, 40.0) == pytest.approx((56.0 + column, 80.0))


def test_a_shadow_falls_towards_the_viewer_or_away_as_the_camera_sees_it() -> None:
    # 40 px high, away 1: 40 px behind a foot 160 px from the camera, so everything is seen at 160 / 200.
    head = at(shadow_on_ground(GROUND, post(), light(0.5, 1.0)), 4.0, 0.0)
    assert head == pytest.approx((64 + (60 + 20 - 64) * 0.8, 20 + 60 * 0.8))
    nearer = at(shadow_on_ground(GROUND, post(), light(0.0, -1.0)), 4.0, 0.0)
    assert nearer[1] == pytest.approx(20 + 60 / 0.75)


def test_a_shadow_goes_on_up_the_wall_where_it_meets_it() -> None:
    ground = replace(GROUND, wall_px=72.0)
    sun = light(0.6, 1.4)
    lay, climb = shadow_on_ground(ground, post(), sun, 0.2), shadow_on_wall(ground, post(), sun, 0.2)
    back = np.asarray(np.linalg.inv(lay), np.float64)
    for x in (62.0, 68.0):
        column, row = at(back, x, 72.0)
        assert at(climb, column, row) == pytest.approx((x, 72.0))
    assert at(climb, 4.0, 0.0)[1] < 72
    with pytest.raises(ValueError, match="wants a ground with a wall"):
        shadow_on_wall(GROUND, post(), sun)
    floor, wall = cast_shadow(ground, post(), sun)
    assert whole([floor])[:70].max() == 0
    assert whole([wall])[74:].max() == 0
    assert whole([wall])[:70].max() > 0.5


def test_nothing_is_shaded_above_the_horizon() -> None:
    for away in (-2.9, -0.4, 0.2, 2.9):
        for across in (-2.0, 0.0, 2.0):
            shade = whole(cast_shadow(GROUND, post(), light(across, away, 0.1)))
            assert shade[:20].max() == 0
            assert 0.3 < shade.max() <= 1.0001


def test_the_penumbra_grows_with_the_distance_from_the_foot() -> None:
    shade = whole(cast_shadow(GROUND, post(60), light(0.0, -1.2, 0.06)))
    near, far = shade[84], shade[104]
    assert near.max() > far.max()
    assert (near > 0.05 * near.max()).sum() < (far > 0.05 * far.max()).sum()


def test_a_slim_object_turns_to_the_light_and_keeps_its_shadow_from_the_side() -> None:
    beside = light(1.5, 0.05)
    assert abs(turn_of(beside, post())) > 0.5
    assert turn_of(beside, post(20, 40)) == 0
    assert (whole(cast_shadow(GROUND, post(), beside)) > 0.5).sum() > 80


def test_a_shadow_never_passes_under_the_camera() -> None:
    shade = whole(cast_shadow(replace(GROUND, focal_px=60.0), post(), light(0.0, -3.0)))
    assert np.isfinite(shade).all()
    assert shade[90:, 55:65].max() > 0.5


def test_a_mirror_shows_each_height_as_far_below_the_foot() -> None:
    mirror = Mirror(np.ones((SIDE, SIDE), np.float32), 0.0, None)
    image = mirror.image_of(GROUND, post())
    canvas = np.zeros((SIDE, SIDE, 4), np.float32)
    canvas[image.where] = image.values
    upright = draw(post().cutout.colour[..., 0], post().upright(), SIDE)
    shown = np.zeros((SIDE, SIDE), np.float32)
    shown[upright.where] = upright.values
    assert not canvas[:78].any()
    for height in (5, 15, 30):
        assert canvas[80 + height, 60, 0] == pytest.approx(shown[80 - height, 60], abs=0.03)


def test_water_keeps_the_image_at_the_foot_and_shakes_it_below() -> None:
    calm = Mirror(np.ones((SIDE, SIDE), np.float32), 0.0, None)
    swing = 3 * np.sin(np.arange(SIDE, dtype=np.float32))[:, None].repeat(SIDE, axis=1)
    still, moved = (mirror.image_of(GROUND, post()) for mirror in (calm, replace(calm, ripple=swing)))
    difference = np.abs(still.values - moved.values).max(axis=(1, 2))
    foot = 80 - still.top
    assert difference[foot] < 0.25
    assert difference[foot + 10 : foot + 35].max() > 0.5


def test_a_mirror_is_stronger_at_a_grazing_angle() -> None:
    strength = fresnel(GROUND, 0.1)[:, 0]
    assert not strength[:20].any()
    assert (np.diff(strength[21:]) < 0).all()
    assert strength[21] > 0.9
    assert 0.1 < strength[-1] < 0.3


def test_contact_is_darkest_under_the_foot() -> None:
    canvas = whole([contact_shadow(GROUND, post(), 0.05)])
    y, x = np.unravel_index(int(canvas.argmax()), canvas.shape)
    assert abs(int(y) - 80) <= 2
    assert 55 <= x <= 65
    assert canvas[60].max() < 0.05
    assert canvas[79:82, 58:62].min() > 0.5


def test_spilled_light_has_the_colour_of_the_object() -> None:
    spill = light_spill(GROUND, post(), 0.5)
    assert spill.values[..., 0].max() > 0.05
    assert spill.values[..., 1:].max() == 0


def test_a_patch_is_the_part_of_the_whole_picture_that_is_drawn_on() -> None:
    placed = post()
    for matrix in (placed.upright(), shadow_on_ground(GROUND, placed, light(0.8, -0.9), 0.3)):
        slow = cv2.warpPerspective(placed.cutout.matte, matrix, (SIDE, SIDE))
        patch = draw(placed.cutout.matte, matrix, SIDE)
        canvas = np.zeros((SIDE, SIDE), np.float32)
        canvas[patch.where] = patch.values
        assert patch.values.size < canvas.size / 2
        assert np.abs(canvas - slow).max() < 0.02


def test_a_wide_blur_at_a_quarter_of_the_size_is_the_blur() -> None:
    values = np.zeros((90, 70, 3), np.float32)
    values[30:60, 20:50] = (1.0, 0.5, 0.2)
    slow = cv2.GaussianBlur(values, (0, 0), 9.0)
    assert np.abs(soften(values, 9.0) - slow).max() < 0.03
    assert np.array_equal(soften(values, 2.0), cv2.GaussianBlur(values, (0, 0), 2.0))


def test_an_object_out_of_sight_draws_nothing() -> None:
    placed = replace(post(), foot=(-400.0, 500.0))
    patch = draw(placed.cutout.matte, placed.upright(), SIDE)
    assert patch.values.shape == (1, 1)
    assert patch.values.max() == 0


def test_on_a_clear_day_shadows_are_harder_and_darker() -> None:
    soft = light(1.0, 0.5, softness=0.05)
    for seed in range(8):
        hard = soft.crisp(np.random.default_rng(seed))
        assert (hard.across, hard.away) == (1.0, 0.5)
        assert hard.softness < 0.6 * soft.softness
        assert (hard.share > soft.share).all()
        assert (hard.share < 1).all()


def test_sunlit_shadows_are_bluer_than_the_ground() -> None:
    shares = [Light.draw(np.random.default_rng(seed), soft=False, share=0.6).share for seed in range(20)]
    assert all(share[2] <= share[0] for share in shares)
    assert np.mean([share[2] / share[0] for share in shares]) < 0.95


def test_a_camera_treats_both_pictures_alike() -> None:
    random = np.random.default_rng(0)
    coarse = random.random((4, 4, 3)).astype(np.float32)
    picture = np.asarray(cv2.resize(coarse, (64, 64)), np.float32)
    for seed in range(10):
        first, second = expose([picture, picture.copy()], np.random.default_rng(seed))
        assert np.array_equal(first, second)
        shot, clean = record([first, second], np.random.default_rng(seed))
        assert np.abs(shot.astype(int) - clean.astype(int)).max() <= 12
        assert np.abs(shot / 255.0 - first).mean() < 0.03
