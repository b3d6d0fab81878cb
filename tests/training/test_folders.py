"""Plates read from folders: what is missing is made or named, and a crop always shows the object."""

import logging
import pickle
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from osor_video.errors import ConfigError, MaskError
from osor_video.removal.patches import FIRST_GUESSES
from osor_video.shapes import dilate
from osor_video.tensors import Mask
from osor_video.training.__main__ import main
from osor_video.training.config import LoopConfig, RemoverConfig
from osor_video.training.cutouts import load_cutouts
from osor_video.training.folders import open_plates, random_plate_crop, resize_pair, write_effect_masks
from osor_video.training.pairs import Pair
from osor_video.training.photos import list_photos, square_region
from osor_video.training.remover import PairBatches, Sources
from tests.training.plates import iou, scene, write_mask, write_plates, write_rgb

SIDE = 64


def read_mask(path: Path) -> Mask:
    """A mask as it was written: one channel of 0 and 255."""
    stored = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert stored is not None
    assert stored.ndim == 2
    assert set(np.unique(stored).tolist()) == {0, 255}
    return np.asarray(stored == 255)


def equal_pairs(first: Pair, second: Pair) -> bool:
    names = ("shot", "clean", "mask", "effect_mask")
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in names)


def test_plates_are_read_as_they_were_written(tmp_path: Path) -> None:
    plates = open_plates(write_plates(tmp_path))
    assert len(plates) == 3
    for index, pair in enumerate(plates):
        made = scene(index, (160, 192))
        assert np.array_equal(pair.shot, made.shot)
        assert np.array_equal(pair.clean, made.clean)
        assert np.array_equal(pair.mask, made.object_mask)
        assert np.array_equal(pair.effect_mask, made.effect_mask)
    assert [files.shot.stem for files in plates[1:].files] == ["01", "02"]


def test_a_mask_that_is_missing_is_made(tmp_path: Path) -> None:
    pair = open_plates(write_plates(tmp_path, 1, masks=("object_mask",)))[0]
    made = scene(0, (160, 192))
    assert np.array_equal(pair.mask, made.object_mask)
    assert (pair.mask <= pair.effect_mask).all()
    assert iou(pair.effect_mask, made.effect_mask) > 0.7


def test_without_an_object_mask_the_mask_serves_as_both(tmp_path: Path) -> None:
    pair = open_plates(write_plates(tmp_path, 1, masks=("mask",)))[0]
    assert np.array_equal(pair.mask, pair.effect_mask)
    assert np.array_equal(pair.mask, scene(0, (160, 192)).effect_mask)


def test_suffixes_may_differ_and_large_plates_are_shrunk(tmp_path: Path) -> None:
    made = scene(0, (640, 800))
    write_rgb(tmp_path / "shot/a.jpg", made.shot)
    write_rgb(tmp_path / "background/a.png", made.clean)
    write_mask(tmp_path / "mask/a.png", made.effect_mask)
    pair = open_plates(tmp_path)[0]
    assert pair.shot.shape == pair.clean.shape == (448, 560, 3)
    assert pair.mask.shape == (448, 560)
    assert pair.mask.mean() == pytest.approx(made.effect_mask.mean(), rel=0.02)


def test_missing_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"nowhere/shot is no folder; expected pictures there \(plates have shot/"
    ):
        open_plates(tmp_path / "nowhere")
    write_rgb(tmp_path / "shot/a.png", scene().shot)
    with pytest.raises(ConfigError, match=r"background is no folder"):
        open_plates(tmp_path)


def test_a_folder_without_pictures_is_named(tmp_path: Path) -> None:
    (tmp_path / "shot").mkdir()
    (tmp_path / "shot/notes.txt").write_text("no picture")
    with pytest.raises(
        ConfigError, match=r"shot holds no pictures; put \.jpeg, \.jpg, \.png, \.webp files there"
    ):
        open_plates(tmp_path)


def test_one_name_twice_is_refused(tmp_path: Path) -> None:
    write_rgb(write_plates(tmp_path, 1) / "shot/00.jpg", scene().shot)
    with pytest.raises(ConfigError, match=r"shot holds two pictures named 00"):
        open_plates(tmp_path)


@pytest.mark.parametrize(
    ("removed", "lacking"),
    [("background", "background"), ("shot", "shot"), ("mask", "mask"), ("object_mask", "object_mask")],
)
def test_names_that_do_not_match_are_named(tmp_path: Path, removed: str, lacking: str) -> None:
    (write_plates(tmp_path) / removed / "01.png").unlink()
    with pytest.raises(ConfigError, match=rf"/{lacking} has no picture named 01 \(names that differ: 1\)"):
        open_plates(tmp_path)


def test_sizes_that_do_not_match_are_named(tmp_path: Path) -> None:
    write_plates(tmp_path)
    write_rgb(tmp_path / "background/00.png", scene(0, (64, 80)).clean)
    write_mask(tmp_path / "mask/01.png", np.ones((64, 80), bool))
    write_mask(tmp_path / "object_mask/02.png", np.ones((64, 80), bool))
    plates = open_plates(tmp_path)
    with pytest.raises(ConfigError, match=r"background/00\.png is 80x64, its shot .*shot/00\.png is 192x160"):
        plates[0]
    with pytest.raises(MaskError, match=r"Mask .*mask/01\.png is 80x64, its shot .*shot/01\.png is 192x160"):
        plates[1]
    with pytest.raises(MaskError, match=r"object_mask/02\.png is 80x64"):
        plates[2]


def test_empty_and_broken_masks_are_named(tmp_path: Path) -> None:
    write_plates(tmp_path)
    write_mask(tmp_path / "mask/00.png", np.zeros((160, 192), bool))
    write_mask(tmp_path / "object_mask/01.png", np.zeros((160, 192), bool))
    (tmp_path / "mask/02.png").write_bytes(b"no picture")
    plates = open_plates(tmp_path)
    with pytest.raises(MaskError, match=r"mask/00\.png is empty; paint in white"):
        plates[0]
    with pytest.raises(MaskError, match=r"object_mask/01\.png is empty"):
        plates[1]
    with pytest.raises(MaskError, match=r"mask/02\.png cannot be read as a picture"):
        plates[2]


def test_a_pair_without_a_difference_is_named(tmp_path: Path) -> None:
    write_rgb(write_plates(tmp_path, 1, masks=()) / "shot/00.png", scene(0, (160, 192)).clean)
    with pytest.raises(MaskError, match=r"shot/00\.png and .*background/00\.png do not differ"):
        open_plates(tmp_path)[0]


def test_crops_show_some_of_the_object_and_hold_together() -> None:
    made = scene(0, (160, 192))
    object_mask = np.zeros((160, 192), bool)
    object_mask[2:6, 185:190] = True
    plate = Pair(made.shot, made.clean, object_mask, made.effect_mask | object_mask)
    shares = []
    for seed in range(40):
        crop = random_plate_crop(plate, SIDE, 128, np.random.default_rng(seed))
        assert crop.shot.shape == crop.clean.shape == (SIDE, SIDE, 3)
        assert crop.mask.any()
        assert (crop.mask <= crop.effect_mask).all()
        changed = np.abs(crop.shot.astype(int) - crop.clean.astype(int)).max(axis=2) > 40
        assert dilate(crop.effect_mask, 1)[changed].all()
        shares.append(int(crop.mask.sum()))
    assert len(set(shares)) > 3, "crops have several scales"


def test_a_crop_mirrors_all_parts_alike() -> None:
    made = scene(0, (160, 192))
    plate = Pair(made.shot, made.clean, made.object_mask, made.effect_mask)
    for seed in range(6):
        crop = random_plate_crop(plate, SIDE, SIDE, np.random.default_rng(seed))
        dark = crop.shot.max(axis=2) < 80
        assert iou(crop.mask, np.asarray(dark)) > 0.95


def test_a_crop_larger_than_the_plate_takes_what_there_is() -> None:
    made = scene(0, (48, 64))
    plate = Pair(made.shot, made.clean, made.object_mask, made.effect_mask)
    assert random_plate_crop(plate, SIDE, 128, np.random.default_rng(0)).mask.shape == (SIDE, SIDE)


def test_a_region_lies_inside_and_round_the_point() -> None:
    for seed in range(50):
        random = np.random.default_rng(seed)
        point = (int(random.integers(90)), int(random.integers(120)))
        rows, columns = square_region((90, 120), 32, 64, random, around=point)
        assert 0 <= rows.start <= point[0] < rows.stop <= 90
        assert 0 <= columns.start <= point[1] < columns.stop <= 120
        assert 32 <= rows.stop - rows.start == columns.stop - columns.start <= 64


def test_a_shrunk_mask_is_never_empty() -> None:
    made = scene(0, (160, 192))
    dot = np.zeros((160, 192), bool)
    dot[81, 93] = True
    small = resize_pair(Pair(made.shot, made.clean, dot, dot), (16, 24))
    assert small.mask.sum() == 1
    empty = np.zeros_like(dot)
    assert not resize_pair(Pair(made.shot, made.clean, empty, empty), (16, 24)).effect_mask.any()


def batches_of(
    photos_folder: Path, cutouts_folder: Path, plates_folder: Path | None, share: float = 0.5
) -> PairBatches:
    config = RemoverConfig(
        loop=LoopConfig(batch=4), crop_px=SIDE, widest_crop_px=128, bad_mask_share=0.5, plates_share=share
    )
    plates = open_plates(plates_folder) if plates_folder else None
    sources = Sources(list_photos(photos_folder), load_cutouts(cutouts_folder)[0], plates)
    return PairBatches(sources, config, range(5, 9))


def same(first: tuple[torch.Tensor, ...], second: tuple[torch.Tensor, ...]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_a_batch_with_plates_depends_on_seed_and_step_alone(
    photos_folder: Path, cutouts_folder: Path, tmp_path: Path
) -> None:
    folders = (photos_folder, cutouts_folder, write_plates(tmp_path))
    first = batches_of(*folders)
    # As a worker process gets it, and asked in another order.
    again: PairBatches = pickle.loads(pickle.dumps(batches_of(*folders)))
    backwards = [again[index] for index in (3, 2, 1, 0)][::-1]
    assert all(same(first[index], backwards[index]) for index in range(4))
    assert not same(first[0], first[1])
    assert first[0][0].shape == (4, 3, SIDE, SIDE)
    assert all(bool((mask.flatten(1).sum(1) > 0).all()) for _, _, mask, *_ in backwards)


def test_the_share_says_how_often_a_pair_is_a_plate(
    photos_folder: Path, cutouts_folder: Path, tmp_path: Path
) -> None:
    folders = (photos_folder, cutouts_folder, write_plates(tmp_path))
    made = batches_of(photos_folder, cutouts_folder, None)
    assert not same(made[0], batches_of(*folders, share=0.5)[0])
    plates_only = batches_of(*folders, share=1.0)
    for index in range(4):
        shot, _, _, effect_mask, *_ = plates_only[index]
        # Every plate shows the same dark figure, which no photograph has.
        dark = (shot[:, 0] < 0.3) & (shot[:, 1] < 0.14)
        assert bool((dark.flatten(1).sum(1) > 0).all())
        assert float(effect_mask[dark[:, None]].mean()) > 0.99


def test_a_batch_brings_the_guess_its_run_begins_with(photos_folder: Path, cutouts_folder: Path) -> None:
    made = batches_of(photos_folder, cutouts_folder, None)
    for name, guess in FIRST_GUESSES.items():
        config = made.config.model_copy(update={"first_guess": name})
        shot, _, mask, *_, begun = replace(made, config=config)[0]
        assert torch.equal(begun, guess(shot, mask))
    published = made.config.model_copy(update={"prediction_type": "epsilon"})
    shot, *_, begun = replace(made, config=published)[0]
    assert torch.equal(begun, shot)


def test_savp_writes_the_mask_of_two_pictures(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = scene()
    write_rgb(tmp_path / "shot.png", made.shot)
    write_rgb(tmp_path / "clean.png", made.clean)
    out = tmp_path / "new/mask.png"
    with caplog.at_level(logging.INFO):
        assert main(["savp", str(tmp_path / "shot.png"), str(tmp_path / "clean.png"), str(out)]) == 0
    assert iou(read_mask(out), made.effect_mask) > 0.8
    assert "of the picture" in caplog.text


def test_savp_writes_the_masks_of_two_folders(tmp_path: Path) -> None:
    write_plates(tmp_path, 2, masks=())
    shares = write_effect_masks(tmp_path / "shot", tmp_path / "background", tmp_path / "mask")
    assert [path.name for path in shares] == ["00.png", "01.png"]
    for index, path in enumerate(shares):
        assert read_mask(path).mean() == pytest.approx(shares[path])
        assert iou(read_mask(path), scene(index, (160, 192)).effect_mask) > 0.7
    assert len(open_plates(tmp_path)) == 2


def test_savp_names_what_it_cannot_use(tmp_path: Path) -> None:
    write_plates(tmp_path, 2, masks=())
    shot, clean = tmp_path / "shot/00.png", tmp_path / "background/00.png"
    assert main(["savp", str(shot), str(tmp_path / "none.png"), str(tmp_path / "mask.png")]) == 2
    with pytest.raises(ConfigError, match=r"mask\.tiff is no name of a mask; give a name that ends in \.png"):
        write_effect_masks(shot, clean, tmp_path / "mask.tiff")
    with pytest.raises(ConfigError, match=r"00\.png is no folder"):
        write_effect_masks(tmp_path / "shot", clean, tmp_path / "mask")
    (tmp_path / "taken").write_text("a file where the folder should be")
    with pytest.raises(ConfigError, match=r"00\.png cannot be written"):
        write_effect_masks(tmp_path / "shot", tmp_path / "background", tmp_path / "taken")
