"""What is chosen by free memory, from plain figures; and SDXL's own needs at true size, counted."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from osor_video.removal import coder, published, room
from osor_video.removal.folder import ModelFolder
from osor_video.removal.published import Running, load_published
from osor_video.removal.room import bytes_of, frames_that_fit, free_bytes, offloads, pictures_that_fit, tiles
from tests.peak import decoder_peak, unet_peak
from tests.tiny_published import flux_model, sdxl_model

CPU, CUDA, MPS = (torch.device(kind) for kind in ("cpu", "cuda", "mps"))
HALF, FULL = torch.bfloat16, torch.float32
GB = 10**9


def test_the_processor_s_memory_is_the_systems_to_look_after() -> None:
    assert free_bytes(CPU) is None
    assert not offloads("auto", CPU, 100 * GB, None)
    assert not tiles("auto", 10**9, FULL, None)
    assert frames_that_fit(512, FULL, None) == room.PROCESSOR_FRAMES
    assert pictures_that_fit(512 * 512, FULL, None) == 1


def test_what_torch_holds_and_does_not_use_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("mem_get_info", (5, 9)), ("memory_reserved", 4), ("memory_allocated", 3)):
        monkeypatch.setattr(torch.cuda, name, lambda _, value=value: value)
    assert free_bytes(CUDA) == 6
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 10)
    monkeypatch.setattr(torch.mps, "current_allocated_memory", lambda: 3)
    assert free_bytes(MPS) == 7


def test_weights_that_do_not_fit_come_layer_by_layer() -> None:
    sdxl, flux = 5_135_000_000, 23_800_000_000
    for weights, free, wanted in (
        (sdxl, 6 * GB, True),
        (sdxl, 8 * GB, False),
        (flux, 24 * GB, True),
        (flux, 40 * GB, False),
    ):
        assert offloads("auto", CUDA, weights, free) is wanted
    assert not offloads("auto", MPS, flux, 10 * GB)
    assert offloads("on", CUDA, 1, 80 * GB)
    assert not offloads("off", CUDA, flux, GB)


def test_frames_and_tiles_by_what_is_free() -> None:
    assert [frames_that_fit(512, HALF, free * GB) for free in (1, 2, 3, 80)] == [1, 4, 8, 8]
    assert frames_that_fit(512, FULL, 2 * GB) < frames_that_fit(512, HALF, 2 * GB)
    assert frames_that_fit(1024, HALF, 3 * GB) < frames_that_fit(512, HALF, 3 * GB)
    assert [pictures_that_fit(512 * 512, HALF, free * GB) for free in (1, 3, 80)] == [1, 2, 8]
    assert tiles("auto", 1024 * 1024, FULL, 9 * GB)
    assert not tiles("auto", 1024 * 1024, FULL, 10 * GB)
    assert not tiles("auto", 1024 * 1024, HALF, 9 * GB)
    assert tiles("on", 1, HALF, None)
    assert not tiles("off", 10**9, FULL, 1)


def test_sdxl_at_512_px_needs_less_than_10_gb() -> None:
    """In bfloat16, with as many frames together as are ever chosen."""
    unet, decoder = unet_peak(room.MOST_FRAMES, (512, 512), HALF), decoder_peak((512, 512), HALF)
    pixels = 512 * 512
    assert unet.weights + decoder.weights == pytest.approx(5.3 * GB, rel=0.02)
    # The constants cover what was counted twice over: kernels need room to work in.
    assert 2 * unet.others < room.MOST_FRAMES * pixels * room.NETWORK_BYTES_PER_PX
    assert 2 * decoder.others < pixels * room.DECODER_BYTES_PER_PX // 2
    at_most = unet.weights + decoder.weights + room.WORKSPACE_BYTES
    at_most += max(room.MOST_FRAMES * pixels * room.NETWORK_BYTES_PER_PX, 4 * decoder.others)
    assert at_most < 10 * GB


def test_a_model_asks_how_much_is_free(
    sdxl_folder: Path, flux_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sdxl = load_published(ModelFolder.open(sdxl_model(tmp_path / "sdxl", sdxl_folder)), Running())
    flux = load_published(ModelFolder.open(flux_model(tmp_path / "flux", flux_folder)), Running())
    assert bytes_of(flux._backbone.network, HALF) * 2 == bytes_of(flux._backbone.network, FULL)
    assert [model.frames_together(512) for model in (sdxl, flux)] == [4, 1]
    free = {"bytes": 80 * GB}
    for module in (published, coder):
        monkeypatch.setattr(module, "free_bytes", lambda _: free["bytes"])
    assert sdxl.frames_together(512) == 8
    assert flux.frames_together(512) == 1
    image = torch.rand((3, 3, 64, 96), generator=torch.Generator().manual_seed(0))
    together = sdxl.encode(image)
    assert not sdxl.coder._vae.use_tiling
    free["bytes"] = 70_000_000  # one picture at a time
    assert sdxl.frames_together(512) == 1
    torch.testing.assert_close(sdxl.encode(image), together, atol=1e-5, rtol=1e-5)
    assert not sdxl.coder._vae.use_tiling
    free["bytes"] = 50_000_000
    assert sdxl.encode(image).shape == together.shape
    assert sdxl.coder._vae.use_tiling
