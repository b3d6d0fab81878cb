"""Figures by hand, and the untouched picture as the floor that a removal is measured against."""

from pathlib import Path

import numpy as np
import pytest

from osor_video.training.pairs import Pair
from osor_video.training.validate import HIGHEST_DB, figures_of, picture_grid, region_psnr_db, remove, telea
from tests.tiny import tiny_model


@pytest.fixture
def pair() -> Pair:
    """A dark square and its grey shadow on a bright, even ground."""
    clean = np.full((64, 64, 3), 200, np.uint8)
    shot, mask, effect_mask = clean.copy(), np.zeros((64, 64), bool), np.zeros((64, 64), bool)
    shot[16:32, 16:32], mask[16:32, 16:32], effect_mask[16:48, 16:32] = 50, True, True
    shot[32:48, 16:32] = 149
    return Pair(shot, clean, mask, effect_mask)


def test_psnr_counts_the_region_alone(pair: Pair) -> None:
    shadow = pair.effect_mask & ~pair.mask
    assert region_psnr_db(pair.shot, pair.clean, shadow) == pytest.approx(20 * np.log10(255 / 51), abs=1e-3)
    assert region_psnr_db(pair.shot, pair.clean, ~pair.effect_mask) == HIGHEST_DB


def test_telea_fills_the_mask_and_leaves_the_shadow(pair: Pair) -> None:
    filled = telea(pair.shot, pair.mask)
    assert (
        region_psnr_db(filled, pair.clean, pair.mask) > region_psnr_db(pair.shot, pair.clean, pair.mask) + 5
    )
    assert (filled[44, 20] == 149).all()


def test_a_model_is_measured_in_hole_effects_and_outside(pair: Pair, tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    pair.effect_mask[32:56, 8:40] = True
    figures = figures_of(model, [pair, pair])
    assert figures["hole_psnr_untouched_db"] == pytest.approx(20 * np.log10(255 / 150), abs=1e-3)
    beyond = pair.effect_mask.copy()
    beyond[8:40, 8:40] = False
    expected = region_psnr_db(pair.shot, pair.clean, beyond)
    assert figures["effect_psnr_untouched_db"] == pytest.approx(expected, abs=1e-3)
    assert 0 <= figures["alpha_outside"] <= 1
    assert 0 <= figures["alpha_iou_incomplete_mask"] <= 1
    assert picture_grid(model, [pair, pair]).shape == (128, 6 * 64, 3)


def test_the_same_seed_removes_alike(pair: Pair, tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    first, again = (remove(model, pair.shot, pair.mask, seed=3) for _ in range(2))
    assert np.array_equal(first.picture, again.picture)
    assert np.array_equal(first.alpha, again.alpha)
