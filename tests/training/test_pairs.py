"""Pairs and incomplete masks: a seed fixes a pair, and nothing changes outside the effect mask."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from osor_video.errors import ConfigError
from osor_video.shapes import dilate, touching
from osor_video.tensors import Mask
from osor_video.training.bad_masks import SHARES, choose_kind, spoil_mask
from osor_video.training.config import AlphaConfig
from osor_video.training.cutouts import Cutout, choose_cutout, choose_like, load_cutouts, raised
from osor_video.training.pairs import VISIBLE, Pair, make_pair, random_blob, visible_difference
from osor_video.training.photos import list_photos, random_crop, read_photo, split_photos

SIDE = 64
Material = tuple[list[Path], list[Cutout]]


@pytest.fixture
def material(photos_folder: Path, cutouts_folder: Path) -> Material:
    return split_photos(list_photos(photos_folder))[0], load_cutouts(cutouts_folder)[0]


def pair_of(material: Material, seed: int, blob_share: float = 0.1) -> Pair:
    return make_pair(*material, SIDE, 128, np.random.default_rng(seed), blob_share=blob_share)


def test_every_twelfth_photograph_is_held_out(photos_folder: Path) -> None:
    training, held_out = split_photos(list_photos(photos_folder))
    assert [photo.stem for photo in held_out] == ["photo_00", "photo_12"]
    assert not set(training) & set(held_out)
    assert len(training) == 11


def test_a_folder_without_photographs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds 0 photographs"):
        list_photos(tmp_path)


def test_a_broken_photograph_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(ConfigError, match=r"broken\.jpg cannot be read"):
        read_photo(tmp_path / "broken.jpg")


def test_random_crops_have_the_wanted_side(photos_folder: Path) -> None:
    photo = read_photo(list_photos(photos_folder)[0])
    for seed in range(5):
        assert random_crop(photo, 96, 400, np.random.default_rng(seed)).shape == (96, 96, 3)


def test_cutouts_leave_small_objects_out_and_split_by_photograph(cutouts_folder: Path) -> None:
    training, held_out = load_cutouts(cutouts_folder)
    assert (len(training), len(held_out)) == (11, 2)
    assert {cutout.label for cutout in training} == {0}
    assert training[0].matte.shape == training[0].colour.shape[:2]
    assert choose_cutout(training, np.random.default_rng(0), person_share=0.0).label == 0


def test_a_folder_without_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"too few objects \(0 to train"):
        load_cutouts(tmp_path)


def test_the_same_seed_makes_the_same_pair(material: Material) -> None:
    first, again, other = pair_of(material, 3), pair_of(material, 3), pair_of(material, 4)
    assert np.array_equal(first.shot, again.shot)
    assert np.array_equal(first.effect_mask, again.effect_mask)
    assert not np.array_equal(first.shot, other.shot)


def test_nothing_visible_changes_outside_the_effect_mask(material: Material) -> None:
    changed_by_effects = 0
    for seed in range(40):
        pair = pair_of(material, seed)
        difference = np.abs(pair.shot.astype(int) - pair.clean.astype(int)).max(axis=2)
        assert difference[~pair.effect_mask].max(initial=0) <= 255 * VISIBLE
        assert (pair.mask <= pair.effect_mask).all()
        assert pair.mask.any()
        changed_by_effects += int((pair.effect_mask & ~dilate(pair.mask, 2)).sum() > 50)
    assert changed_by_effects > 15


def test_the_effect_mask_holds_what_can_be_seen_and_no_specks() -> None:
    clean = np.full((100, 100, 3), 0.5, np.float32)
    shot = clean.copy()
    shot[20:60, 20:40] = 0.1
    shot[30:34, 28:32] = 0.5
    shot[60:90, 20:60] -= 2 * VISIBLE
    shot[:, 80:] -= 0.5 * VISIBLE
    shot[5, 5] = 0.7
    mask = np.zeros((100, 100), bool)
    mask[20:60, 20:40] = True
    mask[30:34, 28:32] = False
    found = visible_difference(shot, clean, mask)
    assert found[30:34, 28:32].all()
    assert found[60:90, 20:60].all()
    assert not found[:, 70:].any()
    assert not found[:15, :15].any()


def test_a_random_hole_shows_nothing_but_grain(material: Material) -> None:
    for seed in range(5):
        pair = pair_of(material, seed, blob_share=1.0)
        assert np.abs(pair.shot.astype(int) - pair.clean.astype(int)).max() <= 255 * VISIBLE
        assert np.array_equal(pair.mask, pair.effect_mask)


def test_most_pairs_show_what_their_objects_do(material: Material) -> None:
    shares = []
    for seed in range(60):
        pair = pair_of(material, seed, blob_share=0.0)
        shares.append((pair.effect_mask & ~dilate(pair.mask, 2)).sum() / pair.mask.sum())
    assert np.quantile(shares, 0.75) > 0.2
    assert np.quantile(shares, 0.05) < 0.1


@pytest.fixture
def disc() -> Mask:
    canvas = np.zeros((100, 100), np.uint8)
    cv2.circle(canvas, (50, 50), 20, 1, -1)
    return np.asarray(canvas > 0)


@pytest.mark.parametrize(
    ("kind", "low", "high"), [("shrink", 0.45, 0.75), ("core", 0.1, 0.4), ("holes", 0.2, 0.99)]
)
def test_shrunk_masks_lie_inside(disc: Mask, kind: str, low: float, high: float) -> None:
    for seed in range(8):
        spoilt = spoil_mask(disc, kind, np.random.default_rng(seed))
        assert (spoilt <= disc).all()
        assert low <= spoilt.sum() / disc.sum() <= high


def test_a_hull_contains_the_mask(disc: Mask) -> None:
    disc[45:55, 50:80] = False
    spoilt = spoil_mask(disc, "hull", np.random.default_rng(0))
    assert (disc <= spoilt).all()
    assert spoilt[50, 60]


def test_a_shift_moves_the_mask_a_little(disc: Mask) -> None:
    spoilt = spoil_mask(disc, "shift", np.random.default_rng(0))
    assert spoilt.sum() == pytest.approx(disc.sum(), rel=0.02)
    assert np.abs(np.argwhere(spoilt).mean(0) - np.argwhere(disc).mean(0)).max() <= 7.5


def test_a_brush_paints_the_mask_and_a_margin_without_its_fine_shape(disc: Mask) -> None:
    disc[49:51, 50:90] = True
    disc[45:55, 20:40] = False
    for seed in range(8):
        spoilt = spoil_mask(disc, "brush", np.random.default_rng(seed))
        assert (disc <= spoilt).all()
        assert spoilt[50, 36]
        assert (spoilt <= dilate(disc, 12)).all()


def test_an_empty_mask_stays_empty_and_an_unknown_kind_is_refused(disc: Mask) -> None:
    random = np.random.default_rng(0)
    assert not spoil_mask(np.zeros((8, 8), bool), "core", random).any()
    with pytest.raises(ValueError, match="unknown kind"):
        spoil_mask(disc, "colour", random)


def test_kinds_come_in_their_shares() -> None:
    random = np.random.default_rng(0)
    kinds = [choose_kind(random) for _ in range(2000)]
    for kind, share in SHARES.items():
        assert kinds.count(kind) / 2000 == pytest.approx(share, abs=0.04)


def test_kinds_come_in_shares_of_ones_own_which_add_up_to_one() -> None:
    random = np.random.default_rng(0)
    config = AlphaConfig(bad_masks={"core": 0.25, "shift": 0.75})
    kinds = [choose_kind(random, config.bad_masks) for _ in range(400)]
    assert kinds.count("shift") / 400 == pytest.approx(0.75, abs=0.06)
    for wrong in ({"core": 0.5}, {"colour": 1.0}, {}):
        with pytest.raises(ValueError, match="whose sum is 1"):
            AlphaConfig(bad_masks=wrong)


def test_blobs_are_never_empty() -> None:
    assert all(random_blob(SIDE, np.random.default_rng(seed)).sum() > 10 for seed in range(20))


def test_objects_stand_as_high_as_they_may(material: Material) -> None:
    def highest(highest_foot: float) -> float:
        pairs = [
            make_pair(
                *material,
                SIDE,
                128,
                np.random.default_rng(seed),
                blob_share=0.0,
                highest_foot=highest_foot,
            )
            for seed in range(30)
        ]
        return min(int(np.flatnonzero(pair.mask.any(axis=1))[-1]) for pair in pairs) / SIDE

    assert highest(0.5) > 0.44
    assert highest(0.2) < 0.4


def test_repainted_objects_cover_what_they_covered(material: Material) -> None:
    always = [
        make_pair(*material, SIDE, 128, np.random.default_rng(seed), blob_share=0.0, repainted_share=1.0)
        for seed in range(3)
    ]
    assert all((pair.shot != pair.clean).any(axis=2)[pair.mask].mean() > 0.5 for pair in always)


def test_a_raised_object_hovers_over_its_empty_rows(material: Material) -> None:
    cutout = material[1][0]
    hovering = raised(cutout, 5)
    assert hovering.matte.shape == (cutout.matte.shape[0] + 5, cutout.matte.shape[1])
    assert not hovering.matte[-5:].any()
    assert np.array_equal(hovering.matte[:-5], cutout.matte)


def test_another_object_of_a_kind_is_whole_and_has_its_label(material: Material) -> None:
    first = material[1][0]
    cut_off = replace(first, cut_off=True)
    thing = replace(first, label=first.label + 1)
    random = np.random.default_rng(0)
    assert choose_like(first, [cut_off, thing, material[1][1]], random) is material[1][1]
    assert choose_like(thing, [cut_off, first], random) is thing


def test_freer_effects_keep_to_the_effect_mask_and_leave_their_object(material: Material) -> None:
    apart = 0
    for seed in range(12):
        pair = make_pair(*material, SIDE, 128, np.random.default_rng(seed), blob_share=0.0, freer_share=1.0)
        changed = np.abs(pair.shot.astype(int) - pair.clean).max(axis=2) > 255 * VISIBLE
        assert not (changed & ~pair.effect_mask).any()
        effect = pair.effect_mask & ~pair.mask
        # Of one who hovers the effect lies away from the mask.
        apart += bool((effect & ~touching(effect, dilate(pair.mask, 1))).any())
    assert apart >= 3


def test_crisp_pairs_have_sharper_outlines_and_keep_to_the_effect_mask(material: Material) -> None:
    def steepness(pair: Pair) -> float:
        return float(np.abs(np.diff(pair.clean.astype(float), axis=1)).mean())

    sharper = []
    for seed in range(8):
        plain, crisp = (
            make_pair(*material, SIDE, 128, np.random.default_rng(seed), blob_share=0.0, crisp_share=share)
            for share in (1e-9, 1.0)
        )
        changed = np.abs(crisp.shot.astype(int) - crisp.clean).max(axis=2) > 255 * VISIBLE
        assert not (changed & ~crisp.effect_mask).any()
        sharper.append(steepness(crisp) / steepness(plain))
    assert np.median(sharper) > 1.1


def test_without_a_share_a_seed_keeps_its_pair(material: Material) -> None:
    plain, random = pair_of(material, 3, blob_share=0.0), np.random.default_rng(3)
    same = make_pair(*material, SIDE, 128, random, blob_share=0.0, freer_share=0.0, crisp_share=0.0)
    assert np.array_equal(plain.shot, same.shot)
