"""The figures, against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from osor_video.benchmark.metrics import (
    LOSSLESS_DB,
    Scorer,
    coarse_error,
    effect_region,
    outside_difference,
    psnr,
    squared_error,
    ssim_map,
    temporal_error,
)
from osor_video.masks.features import build_features
from osor_video.tensors import Mask, Picture
from tests.world import make_world

SIZE = (32, 40)


def flat(level: int) -> Picture:
    return np.full((*SIZE, 3), level, np.uint8)


def square(top: int, left: int, side: int) -> Mask:
    mask = np.zeros(SIZE, dtype=bool)
    mask[top : top + side, left : left + side] = True
    return mask


def test_psnr_of_known_errors() -> None:
    assert psnr(255.0**2) == 0
    assert psnr(1.0) == pytest.approx(48.1308, abs=1e-4)
    assert psnr(0.0) == LOSSLESS_DB
    assert math.isnan(psnr(math.nan))


def test_squared_error_is_the_mean_of_the_channels() -> None:
    other = flat(100)
    other[..., 0] = 106
    np.testing.assert_allclose(squared_error(flat(100), other), 12.0)


def test_ssim_is_one_for_equal_and_follows_the_formula_for_flat_pictures() -> None:
    np.testing.assert_allclose(ssim_map(flat(80), flat(80)), 1.0, atol=1e-5)
    a, b, c1 = 80 / 255, 160 / 255, 0.01**2
    expected = (2 * a * b + c1) / (a * a + b * b + c1)
    np.testing.assert_allclose(ssim_map(flat(80), flat(160))[12:20, 12:20], expected, atol=1e-4)


def test_temporal_error_counts_change_that_the_plate_does_not_have() -> None:
    np.testing.assert_allclose(temporal_error(flat(50), flat(60), flat(10), flat(20)), 0)
    np.testing.assert_allclose(temporal_error(flat(50), flat(60), flat(10), flat(10)), 10)


def test_effect_region_is_the_shadow_without_the_object() -> None:
    clean = flat(150)
    shot, mask = clean.copy(), square(4, 4, 8)
    shot[mask] = 20
    shot[20:30, 4:30] = 110
    region = effect_region(shot, clean, mask)
    assert region[22:28, 6:28].all()
    assert not region[4:12, 4:12].any()
    assert not region[:, 36:].any()


def test_outside_difference_sees_only_untouched_pixels() -> None:
    result, alpha = flat(100), np.zeros(SIZE, np.float32)
    result[0, 0], alpha[0, 0] = 250, 0.01
    assert outside_difference(flat(100), result, alpha) == 0
    result[5, 5] = 97
    assert outside_difference(flat(100), result, alpha) == 3
    assert outside_difference(flat(100), result, np.ones(SIZE, np.float32)) == 0


def test_scorer_pools_pixels_over_frames() -> None:
    scorer, clean = Scorer(), flat(150)
    shot = clean.copy()
    shot[22:30, 4:30] = 110
    small, large = square(2, 2, 4), square(2, 2, 8)
    off = clean.copy()
    off[large] = 160
    scorer.add(shot, clean, small, clean)
    scorer.add(shot, clean, large, off)
    scores = scorer.scores()
    assert scores.psnr_hole == pytest.approx(psnr(100.0 * 64 / 80))
    assert scores.temporal_error == pytest.approx(10.0)
    assert scores.psnr_effect == LOSSLESS_DB
    assert scores.psnr_effect_untouched < 20
    assert 0 < scores.ssim_hole < 1


def test_warping_error_follows_the_plate_and_tells_frozen_from_alive() -> None:
    world = make_world(4, shadow=0)
    random = np.random.default_rng(0)

    def noisy(picture: Picture) -> Picture:
        return np.clip(np.rint(picture + 6 * random.standard_normal(picture.shape)), 0, 255).astype(np.uint8)

    frozen, alive, stuck = Scorer(), Scorer(), Scorer()
    for frame, plate, mask in zip(world.frames, world.plates, world.masks, strict=True):
        truth = noisy(plate)
        frozen.add(frame, truth, mask, plate)
        alive.add(frame, truth, mask, noisy(plate))
        stuck.add(frame, truth, mask, world.plates[0])
    own = alive.scores().warping_error_truth
    assert alive.scores().warping_error == pytest.approx(own, rel=0.1)
    assert frozen.scores().warping_error < 0.4 * own
    assert stuck.scores().warping_error > 1.2 * own


def test_the_coarse_error_hears_flicker_and_hardly_grain() -> None:
    random = np.random.default_rng(0)
    mask, still = square(4, 4, 24), flat(100)

    def grainy(level: float) -> Picture:
        return np.clip(np.rint(level + 6 * random.standard_normal((*SIZE, 3))), 0, 255).astype(np.uint8)

    whole = [temporal_error(grainy(100), grainy(100), still, still)[mask].mean() for _ in range(20)]
    coarse = [coarse_error(grainy(100), grainy(100), still, still, mask)[mask].mean() for _ in range(20)]
    assert np.mean(whole) == pytest.approx(6 * np.sqrt(2) * np.sqrt(2 / np.pi), rel=0.05)
    assert np.mean(coarse) < 0.2 * np.mean(whole)
    np.testing.assert_allclose(coarse_error(still, flat(104), still, still, mask)[mask], 4, atol=1e-3)
    outside = flat(100)
    outside[~mask] = 200
    np.testing.assert_allclose(coarse_error(still, outside, still, still, mask)[mask], 0, atol=1e-3)


def test_features_tell_a_steady_likeness_from_one_that_changes() -> None:
    world, features = make_world(3, shadow=0, pan_xy=(0, 0)), build_features()
    same, turned = Scorer(features), Scorer(features)
    for index, (frame, plate, mask) in enumerate(zip(world.frames, world.plates, world.masks, strict=True)):
        same.add(frame, plate, mask, plate)
        turned.add(frame, plate, mask, plate if index % 2 else np.ascontiguousarray(plate[:, ::-1]))
    assert same.scores().feature_distance == pytest.approx(0, abs=1e-5)
    assert same.scores().feature_change == pytest.approx(0, abs=1e-5)
    assert turned.scores().feature_distance > 0.02
    assert turned.scores().feature_change > 0.1
    assert math.isnan(Scorer().scores().feature_distance)


def test_a_clip_without_object_has_no_figures() -> None:
    scorer = Scorer()
    scorer.add(flat(1), flat(1), np.zeros(SIZE, dtype=bool), flat(1))
    values = dict(vars(scorer.scores()))
    assert values.pop("psnr_outside") == LOSSLESS_DB
    assert all(math.isnan(value) for value in values.values())
