"""Figures by hand, and the untouched picture as the floor that a removal is measured against."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from osor_video.removal.model import OsorModel
from osor_video.tensors import Mask, to_uint8
from osor_video.training.backbone import Backbone, build_backbone
from osor_video.training.bad_masks import BAD_MASKS, spoil_mask
from osor_video.training.closeness import HIGHEST_DB, Judge, iou, region_psnr_db
from osor_video.training.findings import tables
from osor_video.training.pairs import Pair
from osor_video.training.validate import (
    KINDS,
    PEERS,
    PairSet,
    bad_masks,
    figures_of,
    plate_pairs,
    regions_of,
    remove,
)
from tests.tiny import tiny_model
from tests.training.conftest import texture
from tests.training.plates import write_plates


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return build_backbone()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> OsorModel:
    return tiny_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def pair() -> Pair:
    """A dark square and its grey shadow on a bright, even ground."""
    clean = np.full((64, 64, 3), 200, np.uint8)
    shot, mask, effect_mask = clean.copy(), np.zeros((64, 64), bool), np.zeros((64, 64), bool)
    shot[16:32, 16:32], mask[16:32, 16:32], effect_mask[16:48, 16:32] = 50, True, True
    shot[32:48, 16:32] = 149
    effect_mask[32:56, 8:40] = True
    return Pair(shot, clean, mask, effect_mask)


def box(top: int, left: int, bottom: int, right: int, size: int = 64) -> Mask:
    region = np.zeros((size, size), bool)
    region[top:bottom, left:right] = True
    return region


def test_psnr_counts_the_region_alone(pair: Pair) -> None:
    assert region_psnr_db(pair.shot, pair.clean, pair.mask) == pytest.approx(
        20 * np.log10(255 / 150), abs=1e-3
    )
    assert region_psnr_db(pair.shot, pair.clean, ~pair.effect_mask) == HIGHEST_DB


def test_a_region_is_judged_by_what_happens_in_it(backbone: Backbone) -> None:
    clean = texture(0, 128, 144)
    picture, region = clean.copy(), np.zeros((128, 144), bool)
    region[8:40, 8:40] = True
    noise = np.random.default_rng(0).integers(0, 255, (32, 32, 3))
    regions = {"near": region, "far": np.roll(region, (80, 96), (0, 1))}
    judge = Judge(clean, regions, backbone)
    assert judge(clean)["near"] == {
        "psnr_db": HIGHEST_DB,
        "ssim": pytest.approx(1, abs=1e-5),
        "distance": pytest.approx(0, abs=1e-5),
    }
    picture[8:40, 8:40] = noise
    found = judge(picture)
    assert found["near"]["psnr_db"] < 15
    assert found["near"]["ssim"] < 0.5
    assert found["near"]["distance"] > 5 * found["far"]["distance"]
    assert found["far"]["psnr_db"] == HIGHEST_DB
    assert found["far"]["ssim"] == pytest.approx(1, abs=1e-4)


def test_iou_of_masks() -> None:
    assert iou(box(0, 0, 8, 8), box(0, 4, 8, 12)) == pytest.approx(1 / 3)
    assert iou(box(0, 0, 0, 0), box(0, 0, 0, 0)) == 0


def test_each_kind_of_mask_is_given_and_stays_the_same(pair: Pair) -> None:
    masks = bad_masks(pair.mask, 3)
    assert tuple(masks) == KINDS == ("object", "shrink", "core", "hull", "holes", "shift", "brush")
    assert np.array_equal(masks["object"], pair.mask)
    for number, kind in enumerate(BAD_MASKS):
        again = spoil_mask(pair.mask, kind, np.random.default_rng([3, number]))
        assert np.array_equal(masks[kind], again)
        assert not np.array_equal(masks[kind], pair.mask)


def test_a_small_effect_is_not_measured(pair: Pair) -> None:
    # The object's mask and eight pixels round it do not count as an effect.
    assert regions_of(pair)["effect"].sum() == 24 * 32 - 8 * 32
    pair.effect_mask[42:] = False
    assert list(regions_of(pair)) == ["hole", "effect"]
    pair.effect_mask[41:] = False
    assert list(regions_of(pair)) == ["hole"]


def test_one_answer_a_mask_whatever_the_size(model: OsorModel) -> None:
    shot = texture(5, 80, 112)
    masks = [np.zeros((80, 112), bool) for _ in range(2)]
    masks[0][16:40, 16:40], masks[1][40:72, 60:100] = True, True
    both = remove(model, shot, masks)
    assert [answer.rgb.shape for answer in both] == [(80, 112, 3)] * 2
    for mask, answer in zip(masks, both, strict=True):
        (alone,) = remove(model, shot, [mask])
        np.testing.assert_allclose(alone.alpha, answer.alpha, atol=1e-5)
        np.testing.assert_allclose(alone.rgb, answer.rgb, atol=1e-5)
    assert not np.allclose(both[0].rgb, both[1].rgb, atol=1e-2)
    (other,) = remove(model, shot, masks[:1], seed=3)
    assert not np.allclose(other.rgb, both[0].rgb, atol=1e-3)


def test_a_model_is_measured_in_hole_effect_and_outside(
    pair: Pair, model: OsorModel, backbone: Backbone
) -> None:
    figures = figures_of(model, PairSet("drawn", [pair, pair], backbone))
    assert figures["drawn_pairs"] == figures["drawn_pairs_with_effect"] == 2
    assert figures["drawn_hole_untouched_psnr_db"] == pytest.approx(20 * np.log10(255 / 150), abs=1e-3)
    shaded = (16 - 8) * 16 / regions_of(pair)["effect"].sum()
    expected = 20 * np.log10(255 / 51) - 10 * np.log10(shaded)
    assert figures["drawn_effect_untouched_psnr_db"] == pytest.approx(expected, abs=1e-3)
    for region in ("hole", "effect"):
        for method in ("model", *PEERS):
            assert {
                f"drawn_{region}_{method}_{measure}" for measure in ("psnr_db", "ssim", "distance")
            } <= set(figures)
    assert figures["drawn_mask_iou_object"] == pytest.approx(16 * 16 / pair.effect_mask.sum(), abs=1e-3)
    assert 0 <= figures["drawn_effect_recall"] <= 1
    assert 0 <= figures["drawn_alpha_outside"] <= 1


def test_what_a_bad_mask_costs_is_the_difference_in_the_object(
    pair: Pair, model: OsorModel, backbone: Backbone
) -> None:
    figures = figures_of(model, PairSet("drawn", [pair], backbone))
    (shrunk,) = remove(model, pair.shot, [bad_masks(pair.mask, 0)["shrink"]])
    after = region_psnr_db(to_uint8(shrunk.rgb), pair.clean, pair.mask)
    expected = figures["drawn_hole_model_psnr_db"] - after
    assert figures["drawn_hole_lost_shrink_db"] == pytest.approx(expected, abs=0.01)
    assert figures["drawn_alpha_iou_shrink"] == pytest.approx(
        iou(shrunk.alpha > 0.5, pair.effect_mask), abs=1e-3
    )


def test_a_pair_without_effect_counts_for_the_rest(pair: Pair, model: OsorModel, backbone: Backbone) -> None:
    plain = Pair(pair.shot, pair.clean, pair.mask, pair.mask)
    figures = figures_of(model, PairSet("drawn", [pair, plain], backbone))
    alone = figures_of(model, PairSet("drawn", [pair], backbone))
    assert figures["drawn_pairs_with_effect"] == 1
    assert figures["drawn_effect_model_ssim"] == alone["drawn_effect_model_ssim"]


def test_the_peers_fill_the_hole_and_leave_the_shadow_once_a_set(pair: Pair, backbone: Backbone) -> None:
    pairs = PairSet("drawn", [pair], backbone)
    fills = pairs.fills
    assert list(fills[0]) == ["telea", "patchmatch", "untouched"]
    before = region_psnr_db(pair.shot, pair.clean, pair.mask)
    for name in ("telea", "patchmatch"):
        assert region_psnr_db(fills[0][name], pair.clean, pair.mask) > before + 5
        assert (fills[0][name][44, 20] == 149).all()
    assert pairs.fills is fills
    assert pairs.peer_rows is pairs.peer_rows


def test_plates_are_shrunk_to_the_size_that_is_asked_for(tmp_path: Path, backbone: Backbone) -> None:
    pairs = plate_pairs(write_plates(tmp_path, 2), 80, backbone)
    assert (pairs.name, len(pairs.pairs)) == ("plates", 2)
    assert pairs.pairs[0].shot.shape == (80, 96, 3)
    assert plate_pairs(tmp_path, 640, backbone).pairs[1].mask.shape == (160, 192)


def test_the_tables_hold_the_figures(pair: Pair, model: OsorModel, backbone: Backbone) -> None:
    general = {"autoencoder_psnr_db": 31.25, "frame_512_ms": 640.0, "threads": 2.0}
    figures = general | figures_of(model, PairSet("drawn", [pair], backbone))
    text = tables(figures, ["drawn"])
    assert "512x512: 640 ms a frame with 2 thread(s)" in text
    assert "31.25 dB" in text
    assert "## drawn: 1 pairs, 1 with an effect" in text
    lines = [line.split(" | ") for line in text.splitlines()]
    telea = next(line for line in lines if line[0] == "| telea")
    assert telea[1] == f"{figures['drawn_hole_telea_psnr_db']:.2f}"
    assert telea[-1] == f"{figures['drawn_effect_telea_distance']:.3f} |"
    core = next(line for line in lines if line[0] == "| core")
    assert core[1:] == [
        f"{figures['drawn_alpha_iou_core']:.3f}",
        f"{figures['drawn_mask_iou_core']:.3f}",
        f"{figures['drawn_hole_lost_core_db']:.2f} |",
    ]
    plain = Pair(pair.shot, pair.clean, pair.mask, pair.mask)
    without = tables(general | figures_of(model, PairSet("drawn", [plain], backbone)), ["drawn"])
    assert "no effect to find" in without
    assert "effect SSIM" not in without
