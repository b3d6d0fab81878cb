"""Fetching a model from a hub on this computer: whole, resumed, damaged, gated, without space, without a network."""

from __future__ import annotations

import shutil
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest

from osor_video.errors import WeightsError
from osor_video.removal.catalogue import ADAPTERS, MODELS, PLACE
from osor_video.removal.fetch import cached_snapshot, fetch
from osor_video.removal.folder import ModelFolder
from osor_video.removal.published import Running, load_published
from tests.full_disk import files_of_at_most
from tests.removal.hub import Hub
from tests.tiny_published import sdxl_model

MODEL = MODELS["osor-sdxl"]
UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture(scope="module")
def source(sdxl_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sdxl_model(tmp_path_factory.mktemp("source") / "model", sdxl_folder, embeddings=False)


@pytest.fixture
def hub(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    monkeypatch.setenv(PLACE, str(tmp_path / "models"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT", 5)
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 4096)
    base = source / "base"
    files = {
        path.relative_to(base).as_posix(): path.read_bytes() for path in base.rglob("*") if path.is_file()
    }
    files |= {
        "unet/diffusion_pytorch_model.fp16.safetensors": b"half",
        "unet/diffusion_pytorch_model.bin": b"old",
    }
    files |= {
        "text_encoder/model.fp16.safetensors": files["text_encoder/model.safetensors"],
        "README.md": b"?",
    }
    adapters = {
        MODEL.adapter: (source / "sdxlinpainting_phase2.pth").read_bytes(),
        "other/weights.pth": b"other",
    }
    with Hub({MODEL.base: files, ADAPTERS: adapters}).serve() as served:
        yield served


def test_a_fetched_model_is_whole_and_runs(hub: Hub) -> None:
    steps: list[tuple[int, int]] = []
    folder = fetch(MODEL, lambda _, done, total: steps.append((done, total)), hub.endpoint)
    assert folder == MODEL.folder
    assert MODEL.missing() == []
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert f"base/{UNET}" in names
    assert "base/text_encoder/model.fp16.safetensors" in names
    assert names.isdisjoint(
        {
            "base/unet/diffusion_pytorch_model.fp16.safetensors",
            "base/unet/diffusion_pytorch_model.bin",
            "base/text_encoder/model.safetensors",
            "base/README.md",
            "weights.pth",
        }
    )
    assert not [name for name in names if name.endswith(".part")]
    done = [step[0] for step in steps]
    assert done == sorted(done)
    assert done[0] == 0
    assert steps[-1][0] == steps[-1][1]
    assert len(steps) > 100
    assert load_published(MODEL.open(), Running()).record.name == "osor-sdxl"
    asked = len(hub.asked)
    fetch(MODEL, endpoint=hub.endpoint)
    assert len(hub.asked) == asked


def test_a_broken_line_is_gone_on_with(hub: Hub, source: Path, capfd: pytest.CaptureFixture[str]) -> None:
    size = (source / "base" / UNET).stat().st_size
    hub.cut[UNET] = size // 2
    with pytest.raises(WeightsError, match=r"osor-sdxl cannot be fetched: .* the same command goes on"):
        fetch(MODEL, endpoint=hub.endpoint)
    assert capfd.readouterr().err == ""
    assert not (MODEL.folder / "base" / UNET).exists()
    come = (MODEL.folder / "base" / f"{UNET}.part").stat().st_size
    assert size // 2 - 4096 <= come <= size // 2
    assert any(line.startswith(str(MODEL.folder / "base/unet")) for line in MODEL.missing())
    hub.cut.clear()
    hub.asked.clear()
    fetch(MODEL, endpoint=hub.endpoint)
    assert (MODEL.folder / "base" / UNET).read_bytes() == (source / "base" / UNET).read_bytes()
    assert [wanted for name, wanted in hub.asked if name == UNET] == [f"bytes={come}-"]


def test_a_damaged_file_is_deleted_and_named(hub: Hub) -> None:
    hub.spoilt.add(UNET)
    with pytest.raises(
        WeightsError, match=rf"{UNET} of .* came damaged: .* run osor-video models fetch osor-sdxl"
    ):
        fetch(MODEL, endpoint=hub.endpoint)
    assert not list((MODEL.folder / "base/unet").glob("*.safetensors*"))
    hub.spoilt.clear()
    fetch(MODEL, endpoint=hub.endpoint)
    assert MODEL.missing() == []


def test_what_the_hub_refuses_or_lacks(hub: Hub) -> None:
    hub.gated.add(MODEL.base)
    with pytest.raises(WeightsError, match=r"asks for its licence to be accepted: do so at .* hf auth login"):
        fetch(MODEL, endpoint=hub.endpoint)
    hub.gated.clear()
    adapter = hub.repos[ADAPTERS].pop(MODEL.adapter)
    with pytest.raises(
        WeightsError, match=r"on the hub has no osor-sdxlinpainting/weights/sdxlinpainting_phase2"
    ):
        fetch(MODEL, endpoint=hub.endpoint)
    hub.repos[ADAPTERS][MODEL.adapter] = adapter
    for name in [name for name in hub.repos[MODEL.base] if name.startswith("vae/")]:
        del hub.repos[MODEL.base][name]
    with pytest.raises(WeightsError, match="on the hub has no vae/, which osor-sdxl needs"):
        fetch(MODEL, endpoint=hub.endpoint)
    del hub.repos[MODEL.base]
    with pytest.raises(WeightsError, match="The hub does not have what osor-sdxl needs"):
        fetch(MODEL, endpoint=hub.endpoint)


def test_without_space_nothing_is_begun(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 5, 5))
    with pytest.raises(WeightsError, match=r"osor-sdxl needs 1\.\d GB more in .*, and 0\.0 GB are free"):
        fetch(MODEL, endpoint=hub.endpoint)
    assert hub.asked == []
    assert not MODEL.folder.exists()


def test_without_a_network_it_says_what_to_put_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PLACE, str(tmp_path))
    with pytest.raises(WeightsError) as caught:
        fetch(MODEL, endpoint="http://127.0.0.1:9")
    said = str(caught.value)
    assert said.startswith("osor-sdxl cannot be fetched: ")
    assert "Without a network put unet/, vae/, scheduler/, tokenizer/, text_encoder/" in said
    assert f" of {MODEL.base} into {tmp_path / 'osor-sdxl' / 'base'}, and" in said


def test_offline_by_the_hubs_own_switch(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match=r"osor-sdxl cannot be fetched: .* Without a network put unet/"):
        fetch(MODEL, endpoint=hub.endpoint)


def test_a_base_in_the_hubs_cache_is_not_fetched_again(
    hub: Hub, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    repo = tmp_path / f"cache/models--{MODEL.base.replace('/', '--')}"
    shutil.copytree(source / "base", repo / "snapshots" / ("1" * 40))
    (repo / "refs").mkdir()
    (repo / "refs/main").write_text("1" * 40, encoding="utf-8")
    folder = fetch(MODEL, endpoint=hub.endpoint)
    assert [name for name, _ in hub.asked] == [MODEL.adapter]
    assert not (folder / "base").exists()
    assert load_published(MODEL.open(), Running()).record.name == "osor-sdxl"


def test_the_disk_fills_up_meanwhile(hub: Hub) -> None:
    with (
        files_of_at_most(8192),
        pytest.raises(
            WeightsError, match=r"cannot be written to .*too large\. What has come so far is kept: free some"
        ),
    ):
        fetch(MODEL, endpoint=hub.endpoint)
    assert not [path for path in MODEL.folder.rglob("*") if path.is_file() and path.stat().st_size > 8192]
    fetch(MODEL, endpoint=hub.endpoint)
    assert MODEL.missing() == []


def test_the_hubs_cache_is_looked_at(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cached_snapshot("no name at all") is None
    assert cached_snapshot("nobody/nothing") is None
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    repo = tmp_path / "models--somebody--base"
    shutil.copytree(source / "base", repo / "snapshots" / ("1" * 40))
    (repo / "refs").mkdir()
    (repo / "refs/main").write_text("1" * 40, encoding="utf-8")
    found = cached_snapshot("somebody/base")
    assert found is not None
    assert (found / UNET).is_file()
    assert ModelFolder.open(source).kind == "sdxl"
