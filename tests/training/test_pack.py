"""A data pack gives the pairs that its sources give, fits its limit, and notices what happened to its files."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from osor_video.apps.cli import app
from osor_video.errors import ConfigError
from osor_video.training import pack as packing
from osor_video.training.__main__ import main
from osor_video.training.config import AutoencoderConfig, LoopConfig, RemoverConfig
from osor_video.training.cutouts import load_cutouts
from osor_video.training.loop import CHECKPOINT
from osor_video.training.pack import Manifest, check_pack, read_licences, write_pack
from osor_video.training.pairs import make_pair
from osor_video.training.photos import list_photos, read_picture, split_photos
from tests.tiny import TINY
from tests.training.conftest import texture


@pytest.fixture(scope="module")
def jpegs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs that are small and compressed already."""
    folder = tmp_path_factory.mktemp("jpegs")
    for index in range(14):
        cv2.imwrite(str(folder / f"photo [{index:02d}].jpg"), texture(index, 160, 192))
    return folder


@pytest.fixture(scope="module")
def pack(jpegs: Path, cutouts_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packs") / "pack"
    write_pack(jpegs, [cutouts_folder], folder, licences="Made for a test.")
    return folder


def test_a_pack_gives_the_pairs_of_its_sources(jpegs: Path, cutouts_folder: Path, pack: Path) -> None:
    for part in (0, 1):
        sources = split_photos(list_photos(jpegs))[part], load_cutouts(cutouts_folder)[part]
        packed = split_photos(list_photos(pack))[part], load_cutouts(pack)[part]
        assert [path.name for path in sources[0]] == [path.name for path in packed[0]]
        for seed in range(8):
            first, second = (
                make_pair(*material, 64, 128, np.random.default_rng(seed)) for material in (sources, packed)
            )
            for values in ("shot", "clean", "mask", "effect_mask"):
                assert np.array_equal(getattr(first, values), getattr(second, values))


def test_a_pack_of_a_pack_is_the_same_pack(pack: Path, tmp_path: Path) -> None:
    again = write_pack(pack, [pack], tmp_path / "again", licences="Made for a test.")
    assert again == Manifest.model_validate_json((pack / "manifest.json").read_text())


def test_the_manifest_counts_and_vouches_for_every_file(pack: Path) -> None:
    manifest = json.loads((pack / "manifest.json").read_text())
    assert manifest["photos"] == {"train": 12, "held_out": 2}
    assert manifest["cutouts"] == {"people": 13, "train": 11, "held_out": 2}
    assert manifest["licences"] == "Made for a test."
    assert len(manifest["sha256"]) == 14 + 13
    check_pack(pack)


def test_objects_of_several_folders_go_into_one_pack(
    jpegs: Path, cutouts_folder: Path, tmp_path: Path
) -> None:
    figures = tmp_path / "figures"
    figures.mkdir()
    for index in range(3):
        rgba = np.dstack([texture(index, 96, 48), np.full((96, 48), 255, np.uint8)])
        rgba[:, :4, 3] = 0
        cv2.imwrite(str(figures / f"person_{index}.png"), rgba)
    manifest = write_pack(jpegs, [cutouts_folder, figures], tmp_path / "pack", licences="x")
    assert manifest.cutouts == {"people": 16, "train": 13, "held_out": 3}


def test_an_object_that_fills_its_box_keeps_its_matte(jpegs: Path, tmp_path: Path) -> None:
    (tmp_path / "boards").mkdir()
    for index in range(13):
        board = np.dstack([texture(index, 48, 32), np.full((48, 32), 255, np.uint8)])
        cv2.imwrite(str(tmp_path / "boards" / f"{index:02d}.png"), board)
    write_pack(jpegs, [tmp_path / "boards"], tmp_path / "pack", licences="Made for a test.")
    packed = [cutout for part in load_cutouts(tmp_path / "pack") for cutout in part]
    assert len(packed) == 13
    assert min(float(cutout.matte.min()) for cutout in packed) > 0.99


def test_large_photographs_are_shrunk(cutouts_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for index in range(2):
        cv2.imwrite(str(tmp_path / f"photos/{index}.png"), texture(index, 320, 480))
    write_pack(tmp_path / "photos", [cutouts_folder], tmp_path / "pack", licences="x", short_side_px=96)
    _, (first,) = split_photos(list_photos(tmp_path / "pack"))
    small = read_picture(first)
    assert small.shape == (96, 144, 3)
    expected = cv2.resize(read_picture(tmp_path / "photos/0.png"), (144, 96), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - expected).mean() < 8


def test_a_pack_that_is_too_large_is_not_written(jpegs: Path, cutouts_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"MB, more than 0\.01; lower --quality"):
        write_pack(jpegs, [cutouts_folder], tmp_path / "pack", licences="x", limit_mb=0.01)
    assert list(tmp_path.iterdir()) == []


def test_a_pack_is_never_written_over_anything(
    jpegs: Path, cutouts_folder: Path, pack: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="exists already"):
        write_pack(jpegs, [cutouts_folder], pack, licences="x")
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be written"):
        write_pack(jpegs, [cutouts_folder], tmp_path / "file/pack", licences="x")


def test_two_photographs_of_one_name_are_refused(cutouts_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("a.jpg", "b.jpg", "b.png"):
        cv2.imwrite(str(tmp_path / "photos" / name), texture(0, 64, 64))
    with pytest.raises(ConfigError, match="two photographs named b"):
        write_pack(tmp_path / "photos", [cutouts_folder], tmp_path / "pack", licences="x")


@pytest.mark.parametrize("harm", ["change", "remove", "add"])
def test_harm_to_a_pack_is_noticed(jpegs: Path, cutouts_folder: Path, tmp_path: Path, harm: str) -> None:
    write_pack(jpegs, [cutouts_folder], tmp_path / "pack", licences="x")
    path = next((tmp_path / "pack/photos/train").iterdir())
    if harm == "change":
        path.write_bytes(path.read_bytes()[:-1])
    elif harm == "remove":
        path.unlink()
    else:
        path.with_name("new.jpg").write_bytes(path.read_bytes())
    expected = {"change": "has changed since", "remove": "is missing since", "add": "is not in the pack's"}
    with pytest.raises(ConfigError, match=expected[harm]):
        check_pack(tmp_path / "pack")


def test_only_a_pack_brings_its_objects(pack: Path, jpegs: Path) -> None:
    assert packing.cutouts_folder(pack, None) == pack
    assert packing.cutouts_folder(pack, jpegs) == jpegs
    with pytest.raises(ConfigError, match="so --cutouts is needed"):
        packing.cutouts_folder(jpegs, None)


def test_a_broken_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no data pack"):
        check_pack(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(ConfigError, match="is no data pack"):
        check_pack(tmp_path)


def test_licences_must_be_stated(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_licences(tmp_path / "none.txt")
    (tmp_path / "empty.txt").write_text(" \n")
    with pytest.raises(ConfigError, match="are empty"):
        read_licences(tmp_path / "empty.txt")


def test_the_command_writes_a_pack(jpegs: Path, cutouts_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "licences.txt").write_text("Flickr, CC BY 2.0\n")
    sources = ["--photos", str(jpegs), "--cutouts", str(cutouts_folder)]
    command = ["pack", str(tmp_path / "pack"), *sources, "--licences", str(tmp_path / "licences.txt")]
    assert main(command) == 0
    assert json.loads((tmp_path / "pack/manifest.json").read_text())["licences"] == "Flickr, CC BY 2.0"
    assert main(command) == 2


def test_a_training_takes_a_pack_in_place_of_its_folders(
    pack: Path, jpegs: Path, cutouts_folder: Path, tmp_path: Path
) -> None:
    loop = LoopConfig(steps=1, batch=2)
    sizes: dict[str, Any] = {"architecture": TINY, "loop": loop, "crop_px": 64, "widest_crop_px": 128}
    autoencoder, remover = tmp_path / "autoencoder.yaml", tmp_path / "remover.yaml"
    autoencoder.write_text(AutoencoderConfig(**sizes, patches=512).model_dump_json())
    remover.write_text(RemoverConfig(**sizes, workers=0).model_dump_json())

    def train(config: Path, out: str, *options: object) -> str:
        done = CliRunner().invoke(app, ["train", str(config), *map(str, options), "-o", str(tmp_path / out)])
        return " ".join(done.output.split())

    assert train(autoencoder, "ae", "--pack", pack).startswith("autoencoder: checkpoint")
    encoder = ("--autoencoder", tmp_path / "ae")
    assert train(remover, "packed", "--pack", pack, *encoder).startswith("remover: checkpoint")
    assert "so --cutouts is needed" in train(remover, "none", "--photos", jpegs, *encoder)
    sources = ("--photos", jpegs, "--cutouts", cutouts_folder)
    assert train(remover, "sources", *sources, *encoder).startswith("remover: checkpoint")
    first, second = (
        torch.load(tmp_path / out / CHECKPOINT, weights_only=True)["module"] for out in ("packed", "sources")
    )
    assert all(torch.equal(first[name], second[name]) for name in first)
