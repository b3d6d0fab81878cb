"""SDXL's true size without weights: its numbers, and both sides measured at tiny size in processes of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from typer.testing import CliRunner

from osor_video.apps.cli import app
from osor_video.benchmark.fullsize import (
    EncoderRun,
    FullSizeJob,
    FullSizeRun,
    plain_raster,
    run_encoders,
    run_ours,
    run_plain,
)
from osor_video.benchmark.random_sdxl import (
    ENCODERS,
    RANKS,
    UNETS,
    VAES,
    encode_random_words,
    random_adapter,
    random_base,
    random_encoders,
    random_prompt,
)
from osor_video.benchmark.table import encoder_rows, fullsize_rows
from osor_video.removal.adapter import SDXL_LAYOUT, merge_adapter
from osor_video.removal.folder import ModelFolder
from osor_video.removal.prompt import clip_encoders
from osor_video.removal.published import Running, load_published
from tests.full_disk import files_of_at_most


def count(network: Any) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_sizes_are_those_of_sdxl() -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel(**UNETS["full"])
        vae = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            latent_channels=4,
            **VAES["full"],
        )
    # 2 567 463 684 of SDXL itself, and five more input channels of 320 x 3 x 3.
    assert count(unet) == 2_567_463_684 + 5 * 320 * 9
    assert count(vae) == 83_653_863
    assert RANKS["full"] == 256


def test_random_networks_are_seeded_and_stay_in_bounds() -> None:
    one, same = (random_base("tiny", torch.float32) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(one.unet.parameters(), same.unet.parameters(), strict=True))
    other = random_base("tiny", torch.float32, seed=5)
    assert not torch.equal(one.unet.conv_in.weight, other.unet.conv_in.weight)
    adapter = random_adapter(one.unet, RANKS["tiny"], torch.float32)
    assert {*adapter} == SDXL_LAYOUT.names(one.unet)
    merge_adapter(one.unet, adapter)
    with torch.no_grad():
        said = one.vae.decode(torch.randn(1, 4, 8, 8)).sample
    assert 0.01 < said.std() < 100


def test_the_plain_raster_is_the_published_scripts() -> None:
    assert plain_raster((1080, 1920), 512) == (512, 912)
    assert plain_raster((720, 405), 512) == (912, 512)


def test_both_sides_run(monkeypatch: pytest.MonkeyPatch) -> None:
    job = FullSizeJob(scale="tiny", raster_px=64, frames=2, batch=2, device="cpu")
    for side, run in (("plain", run_plain), ("ours", run_ours)):
        found = run(job)
        assert found.side == side
        assert found.frames == 2
        assert 0 < sum(found.seconds.values()) < found.wall_s
        assert min(found.seconds.values()) > 0
    assert found.raster_hw == (64, 48)


def test_the_table_gives_the_ratio() -> None:
    seconds = {"encode": 1.0, "network": 2.0, "decode": 1.0}
    runs = [
        FullSizeRun("plain", 4, (64, 128), 8.0, seconds, 100.0),
        FullSizeRun("ours", 4, (64, 48), 2.0, seconds, None),
    ]
    header, body = fullsize_rows(runs)
    assert header[:4] == ("side", "raster", "frames/s", "encode ms")
    assert body[0] == ["plain", "128x64", "0.500", "250", "500", "250", "1000", "100", "1.00"]
    assert body[1][-1] == "4.00"


def test_text_encoders_have_their_true_size_and_say_what_the_unet_takes() -> None:
    with torch.device("meta"):
        sizes = [count(encoder) for encoder in clip_encoders(*ENCODERS["full"])]
    assert sizes == [123_060_480, 694_659_840]
    encoders = random_encoders("tiny")
    told, same = encode_random_words(encoders), encode_random_words(random_encoders("tiny"))
    assert torch.equal(told.tokens, same.tokens)
    assert 0.01 < told.tokens.std() < 100
    taken = random_prompt(random_base("tiny", torch.float32).unet)
    assert told.tokens.shape == taken.tokens.shape
    assert told.pooled.shape == taken.pooled.shape
    run = run_encoders(FullSizeJob(scale="tiny", device="cpu"))
    assert run.weights == sum(count(encoder) for encoder in encoders)
    assert encoder_rows(EncoderRun(817_720_320, 1.5, None))[1] == [["818 million", "1.50", "-"]]


def test_a_random_model_is_written_and_runs_like_a_published_one(tmp_path: Path) -> None:
    result = bench("--model", "osor-sdxl", "--scale", "tiny", "--write-model", str(tmp_path / "model"))
    assert result.exit_code == 0, result.output
    model = load_published(ModelFolder.open(tmp_path / "model"), Running())
    assert model.record.made["phase"] == 2
    generator = torch.Generator().manual_seed(0)
    image, eps = (
        torch.rand((1, 3, 64, 64), generator=generator),
        torch.randn((1, 4, 8, 8), generator=generator),
    )
    assert model.predict(image, torch.ones(1, 1, 64, 64), eps).z0.std() > 0.01
    with files_of_at_most(1000):
        refused = bench("--model", "osor-sdxl", "--scale", "tiny", "--write-model", str(tmp_path / "full"))
    assert refused.exit_code == 2
    assert "could not be written" in refused.stderr


def bench(*options: str) -> Any:
    return CliRunner().invoke(app, ["bench", "--random-weights", *options])


@pytest.mark.slow
def test_the_command(tmp_path: Path) -> None:
    result = bench(
        *("--model", "osor-sdxl", "--scale", "tiny", "--frames", "2", "--device", "cpu"),
        *("--set", "removal.published_raster_px=64", "--markdown", str(tmp_path / "table.md")),
    )
    assert result.exit_code == 0, result.output
    table = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert "times the first" in table
    assert "seconds a prompt" in table


def test_other_models_and_sizes_are_refused() -> None:
    for options, said in (
        (["--model", "osor-flux"], "--random-weights measures --model osor-sdxl, and the model is osor-flux"),
        (["--model", "osor-sdxl", "--scale", "huge"], "--scale is 'huge', expected one of: full, tiny"),
    ):
        refused = bench(*options)
        assert refused.exit_code == 2
        assert said in refused.stderr
