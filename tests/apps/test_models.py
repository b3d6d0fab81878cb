"""Published models on the command line: chosen by name or path, run on a clip, listed."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from osor_video.apps.cli import app
from osor_video.config import Config, RemovalConfig, parse_override
from osor_video.errors import ConfigError, WeightsError
from osor_video.removal.catalogue import MODELS, PLACE, bundled_model_path, models_folder
from osor_video.removal.choose import build_model, choose_device, choose_dtype, find_model
from osor_video.removal.folder import ModelFolder
from osor_video.removal.model import OsorModel
from osor_video.removal.published import PublishedModel
from osor_video.removal.remover import OneStepRemover
from tests.apps.clips import FRAMES
from tests.apps.conftest import Material
from tests.tiny_published import flux_model, sdxl_model


@pytest.fixture(scope="module")
def sdxl(sdxl_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sdxl_model(tmp_path_factory.mktemp("published") / "tinysdxl", sdxl_folder)


@pytest.fixture(scope="module")
def flux(flux_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return flux_model(tmp_path_factory.mktemp("published") / "tinyflux", flux_folder)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place for models with a name."""
    monkeypatch.setenv(PLACE, str(tmp_path / "models"))
    return tmp_path / "models"


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(part) for part in arguments])


def remove(material: Material, output: Path, *options: Any) -> Any:
    return run(
        *(
            "remove",
            material.clip,
            "--mask",
            material.first,
            "-o",
            output,
            "--flow",
            "dis",
            "--fill",
            "diffusion",
        ),
        *options,
    )


@pytest.mark.parametrize("kind", ["sdxl", "flux"])
def test_a_folder_runs_end_to_end(
    kind: str, request: pytest.FixtureRequest, material: Material, tmp_path: Path
) -> None:
    folder, report = request.getfixturevalue(kind), tmp_path / "run.json"
    result = remove(material, tmp_path / "out.mp4", "--model", folder, "--report", report)
    assert result.exit_code == 0, result.output
    values = json.loads(report.read_text(encoding="utf-8"))
    assert values["frames"] == FRAMES
    assert values["model"] == f"tiny{kind}"
    assert values["replaced"] > 0.01
    assert result.output.count("non-commercial use only") == (1 if kind == "flux" else 0)
    again = remove(material, tmp_path / "again.mp4", "--model", folder, "--quiet")
    assert again.output == ""
    assert (tmp_path / "again.mp4").read_bytes() == (tmp_path / "out.mp4").read_bytes()


def test_batches_and_an_unmerged_adapter_change_nothing_to_see(
    sdxl: Path, material: Material, tmp_path: Path
) -> None:
    from tests.test_pipeline import decoded  # noqa: PLC0415

    files = [tmp_path / name for name in ("one.mkv", "three.mkv")]
    options = (("--set", "removal.batch=1"), ("--set", "removal.batch=3", "--set", "removal.merge=false"))
    for path, changed in zip(files, options, strict=True):
        result = remove(material, path, "--model", sdxl, "--lossless", *changed)
        assert result.exit_code == 0, result.output
    for one, other in zip(*(decoded(path) for path in files), strict=True):
        for plane, same in zip(one.planes, other.planes, strict=True):
            assert np.abs(plane.astype(int) - same.astype(int)).max() <= 1


def test_rasters_are_the_backbones(sdxl: Path, flux: Path, material: Material) -> None:
    def raster(model: Path | str, **changes: Any) -> int:
        config = RemovalConfig(model=model, **changes)
        return OneStepRemover(build_model(config), config, 0).raster_px

    assert raster(sdxl) == 512
    assert raster(sdxl, published_raster_px=1500) == 1488
    assert raster(flux, published_raster_px=1500) == 1024
    assert raster(flux, published_raster_px=1000) == 992
    assert raster(material.model) == 256
    assert raster("bundled", raster_px=384) == 384


# --- which model, where and in which precision --------------------------------------------------------------


def test_without_cuda_or_weights_the_bundled_model_is_taken(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_model(RemovalConfig()) == bundled_model_path()
    assert find_model(RemovalConfig(model="bundled", device="cpu")) == bundled_model_path()
    assert isinstance(build_model(RemovalConfig(model="bundled")), OsorModel)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert find_model(RemovalConfig()) == bundled_model_path()


def test_with_cuda_and_weights_sdxl_is_taken(
    sdxl: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(sdxl, place / "osor-sdxl")
    assert MODELS["osor-sdxl"].missing() == []
    assert find_model(RemovalConfig()) == bundled_model_path()
    named = find_model(RemovalConfig(model="osor-sdxl"))
    assert isinstance(named, ModelFolder)
    assert named.name == "osor-sdxl"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert find_model(RemovalConfig()) == named
    assert find_model(RemovalConfig(device="cpu")) == bundled_model_path()


def test_a_model_with_a_name_runs_from_its_place(
    flux: Path, place: Path, material: Material, tmp_path: Path
) -> None:
    shutil.copytree(flux, place / "osor-flux")
    model = build_model(RemovalConfig(model="osor-flux", device="cpu"))
    assert isinstance(model, PublishedModel)
    assert model.record.name == "osor-flux"
    assert "Non-Commercial" in model.record.licence
    result = remove(material, tmp_path / "out.mp4", "--model", "osor-flux")
    assert result.exit_code == 0, result.output
    assert result.output.count("non-commercial use only") == 1


def test_what_a_model_lacks_is_listed_with_its_place(place: Path, sdxl: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        find_model(RemovalConfig(model="osor-sdxl"))
    said = str(caught.value)
    assert "osor-video models fetch osor-sdxl" in said
    parts = "unet/, vae/, scheduler/, tokenizer/, text_encoder/, tokenizer_2/, text_encoder_2/"
    assert (
        f"put {parts} of diffusers/stable-diffusion-xl-1.0-inpainting-0.1 into {place}/osor-sdxl/base, and"
        in said
    )
    assert f"weights/sdxlinpainting_phase2.pth of QinmingZhou/OSOR into {place}/osor-sdxl." in said
    shutil.copytree(sdxl, place / "osor-sdxl")
    shutil.rmtree(place / "osor-sdxl/base/vae")
    assert [line.split(" ")[0] for line in MODELS["osor-sdxl"].missing()] == [f"{place}/osor-sdxl/base/vae/"]
    shutil.copytree(sdxl / "base/vae", place / "osor-sdxl/base/vae")
    index = place / "osor-sdxl/base/unet/diffusion_pytorch_model.safetensors.index.json"
    for names, count in ((["diffusion_pytorch_model.safetensors"], 0), (["part-2.safetensors"], 1)):
        index.write_text(json.dumps({"weight_map": {"a": names[0]}}), encoding="utf-8")
        assert len(MODELS["osor-sdxl"].missing()) == count
    index.write_text("{", encoding="utf-8")
    assert MODELS["osor-sdxl"].missing() == []  # it names itself: reading it says what is wrong


def test_devices_and_precisions(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu, cuda, mps = (torch.device(kind) for kind in ("cpu", "cuda", "mps"))
    there = {"cuda": False, "mps": False}
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there["cuda"])
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: there["mps"])
    assert choose_device("auto") == cpu
    with pytest.raises(ConfigError, match="The device is cuda, which torch does not find"):
        choose_device("cuda")
    there["mps"] = True
    assert choose_device("auto") == mps
    there["cuda"] = True
    assert choose_device("auto") == cuda
    assert choose_device("cpu") == cpu
    assert choose_dtype("auto", cpu) == torch.float32
    assert choose_dtype("auto", mps) == torch.float16
    for has, wanted in ((True, torch.bfloat16), (False, torch.float16)):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda has=has: has)
        assert choose_dtype("auto", cuda) == wanted
    assert choose_dtype("float16", cpu) == torch.float16


def test_published_rasters_are_the_models_own_unless_asked(flux: Path, sdxl: Path) -> None:
    for folder, wanted in ((flux, 1024), (sdxl, 512)):
        config = RemovalConfig(model=folder)
        assert OneStepRemover(build_model(config), config, 0).raster_px == wanted


def test_a_base_in_the_hubs_cache_is_taken(
    sdxl: Path, place: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    model = MODELS["osor-sdxl"]
    model.folder.mkdir(parents=True)
    shutil.copy(sdxl / "sdxlinpainting_phase2.pth", model.folder)
    shutil.copy(sdxl / "fixed_prompt_embeds.pt", model.folder)
    assert len(model.missing()) == 3
    repo = tmp_path / f"cache/models--{model.base.replace('/', '--')}"
    shutil.copytree(sdxl / "base", repo / "snapshots" / ("1" * 40))
    (repo / "refs").mkdir()
    (repo / "refs/main").write_text("1" * 40, encoding="utf-8")
    assert model.missing() == []
    assert isinstance(build_model(RemovalConfig(model="osor-sdxl", device="cpu")), PublishedModel)
    shutil.rmtree(repo / "snapshots" / ("1" * 40) / "vae")
    assert len(model.missing()) == 3


def test_a_base_is_named_for_an_adapter_alone(sdxl: Path, sdxl_folder: Path, tmp_path: Path) -> None:
    for name in ("sdxlinpainting_phase2.pth", "fixed_prompt_embeds.pt"):
        shutil.copy(sdxl / name, tmp_path)
    adapter = tmp_path / "sdxlinpainting_phase2.pth"
    found = find_model(RemovalConfig(model=adapter, base=str(sdxl_folder)))
    assert isinstance(found, ModelFolder)
    assert found.base == str(sdxl_folder)
    for named in (None, "bundled", "osor-sdxl"):
        with pytest.raises(ConfigError, match=r"removal\.base is x, and .* has its own"):
            find_model(RemovalConfig(model=named, base="x"))


def test_on_and_off_are_words_also_where_yaml_reads_yes_and_no(
    sdxl: Path, material: Material, tmp_path: Path
) -> None:
    for text, wanted in (("on", "on"), ("off", "off"), ("true", "on"), ("auto", "auto")):
        key, value = parse_override(f"removal.vae_tiling={text}")
        assert Config.load(overrides={key: value}).removal.vae_tiling == wanted
    assert Config.load(overrides=dict([parse_override("effects.find=off")])).effects.find == "off"
    with pytest.raises(ConfigError, match=r"effects\.find is 'on', expected"):
        Config.load(overrides={"effects.find": True})
    options = ("--set", "removal.vae_tiling=on", "--set", "removal.offload=off")
    result = remove(material, tmp_path / "out.mp4", "--model", sdxl, *options)
    assert result.exit_code == 0, result.output


REFUSED: dict[str, tuple[list[str], str]] = {
    "no such model": (["--model", "nowhere"], "neither a name (bundled, osor-sdxl, osor-flux) nor a folder"),
    "a clip": (
        ["--model", "CLIP"],
        "is no model: expected a folder with base/ and an adapter, an adapter (.pth",
    ),
    "an empty folder": (
        ["--model", "EMPTY"],
        "or a compact model's folder with model.json. See osor-video models",
    ),
    "not fetched": (["--model", "osor-sdxl"], "Fetch it with: osor-video models fetch osor-sdxl"),
    "no cuda": (["--model", "SDXL", "--device", "cuda"], "The device is cuda, which torch does not find"),
    "unknown device": (["--device", "tpu"], "removal.device is 'tpu', expected"),
    "unknown precision": (["--dtype", "int8"], "removal.dtype is 'int8', expected"),
    "precision of the compact model": (
        ["--model", "bundled", "--dtype", "bfloat16"],
        "removal.dtype cannot be had with the compact model",
    ),
    "offloading from a processor": (
        ["--model", "SDXL", "--set", "removal.offload=on"],
        "for GPUs with little memory, and the device is cpu",
    ),
}


@pytest.mark.parametrize(("options", "said"), REFUSED.values(), ids=list(REFUSED))
def test_bad_choices_are_one_sentence(
    options: list[str], said: str, sdxl: Path, place: Path, material: Material, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    paths = {"SDXL": str(sdxl), "CLIP": str(material.clip), "EMPTY": str(tmp_path / "empty")}
    result = remove(material, tmp_path / "out.mp4", *(paths.get(part, part) for part in options))
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out.mp4").exists()


# --- the list ---------------------------------------------------------------------------------------------


def test_the_list_names_licence_size_presence_and_place(sdxl: Path, place: Path) -> None:
    result = run("models")
    assert result.exit_code == 0, result.output
    for part in (
        "bundled",
        "Apache-2.0",
        "osor-sdxl",
        "Open RAIL++-M",
        "osor-flux",
        "FLUX.1 [dev] Non-Commercial License",
        "about 35 GB",
    ):
        assert part in result.stdout
    assert str(place / "osor-sdxl") in result.stdout
    assert "missing" not in result.stdout
    shutil.copytree(sdxl, place / "osor-sdxl")
    (place / "osor-flux").mkdir()
    result = run("models")
    assert "in part" in result.stdout
    assert f"missing: {place / 'osor-flux' / 'base' / 'transformer'}/" in result.stdout
    assert "models fetch osor-sdxl" not in result.stdout


def test_the_place_is_named_or_in_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(PLACE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert models_folder() == tmp_path / "osor-video/models"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert models_folder() == Path.home() / ".cache/osor-video/models"


def test_names_that_cannot_be_fetched(place: Path) -> None:
    for name, said in (
        ("bundled", "there is nothing to fetch"),
        ("x", "no model 'x' to fetch, expected one of"),
    ):
        result = run("models", "fetch", name)
        assert result.exit_code == 2
        assert said in result.stderr
