"""A few steps of LoRA fine-tuning on a tiny SDXL-inpainting base of the real classes, and the published runs."""

from __future__ import annotations

import csv
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from typer.testing import CliRunner

from osor_video.apps.cli import app
from osor_video.errors import ConfigError, WeightsError
from osor_video.removal.adapter import SDXL_LAYOUT, merge_adapter, read_adapter
from osor_video.removal.prompt import PromptEmbeddings, encode_prompt
from osor_video.removal.record import AdapterRecord, sha256_of
from osor_video.removal.sdxl import load_base
from osor_video.removal.step import add_noise, latent_mask
from osor_video.training.__main__ import main
from osor_video.training.config import SdxlLoraConfig
from osor_video.training.loop import CHECKPOINT, LOG
from osor_video.training.remover import PairBatches, Sources
from osor_video.training.sdxl import (
    PROMPT_FILE,
    Beginning,
    adapt,
    build_objective,
    train_sdxl_lora,
)
from tests.tiny_sdxl import tiny_unet

PARITY = Path(__file__).parents[2].parent / "shared/parity"
published = pytest.mark.skipif(not PARITY.exists(), reason="needs shared/parity beside the repository")

Train = Callable[..., Any]


def config(steps: int = 3, **changes: Any) -> SdxlLoraConfig:
    loop = {"steps": steps, "batch": 2, "warmup_steps": 1, "learning_rate": 3e-3, "ema_decay": 0.5}
    small = {"rank": 4, "crop_px": 64, "widest_crop_px": 128, "workers": 0}
    return SdxlLoraConfig.model_validate(small | changes | {"loop": loop | changes.get("loop", {})})


JUDGED: dict[str, Any] = {
    "pixel_weight": 0.25,
    "perceptual_weight": 0.5,
    "adversarial_weight": 0.3,
    "r1_weight": 100.0,
}


@pytest.fixture
def train(sdxl_folder: Path, photos_folder: Path, cutouts_folder: Path) -> Train:
    """Train on the tiny base; returns the averaged module."""

    def run(config: SdxlLoraConfig, out: Path, **begun: Any) -> Any:
        beginning = Beginning(str(sdxl_folder), **begun)
        return train_sdxl_lora(config, beginning, photos_folder, cutouts_folder, out)

    return run


def checkpoint(folder: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(folder / CHECKPOINT, weights_only=True)
    return state


def equal_states(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return {*first} == {*second} and all(torch.equal(first[name], second[name]) for name in first)


def test_steps_change_the_adapters_alone_and_make_the_loss_fall(
    train: Train, sdxl_folder: Path, photos_folder: Path, cutouts_folder: Path, tmp_path: Path
) -> None:
    settings = config(16)
    trained = train(settings, tmp_path / "run")
    base = load_base(str(sdxl_folder))
    untouched = {name: value.clone() for name, value in base.unet.state_dict().items()}
    after = {
        name.replace(".base_layer.", "."): value for name, value in trained.frozen.unet.state_dict().items()
    }
    changed = {
        name for name, value in untouched.items() if name[:8] != "conv_out" and not after[name].equal(value)
    }
    assert changed == set()
    fresh = adapt(base, encode_prompt(str(sdxl_folder)), settings)
    moved = [
        name for name, value in fresh.state_dict().items() if not trained.state_dict()[name].equal(value)
    ]
    assert len(moved) == len(fresh.state_dict())
    objective = build_objective(base, settings)
    sources = Sources.open(photos_folder, cutouts_folder)
    batch = PairBatches(sources, settings, range(1))[0]
    eps = torch.randn((2, 4, 8, 8), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        losses = [float(objective(module, batch, eps)[0]) for module in (fresh, trained)]
    assert losses[1] < 0.97 * losses[0]


def test_a_checkpoint_holds_nothing_of_the_base(train: Train, tmp_path: Path) -> None:
    train(config(1), tmp_path)
    state = checkpoint(tmp_path)
    names = SDXL_LAYOUT.names(tiny_unet())
    assert {*state["module"]} == {*state["averaged"]} == names
    moments = state["optimiser"]["state"].values()
    assert len(moments) == len(names)
    trained = sum(value.numel() for value in state["module"].values())
    assert sum(moment["exp_avg"].numel() for moment in moments) == trained


@pytest.mark.parametrize("changes", [{}, {"phase": 1, "timestep": 600} | JUDGED], ids=["plain", "judged"])
def test_a_resumed_run_equals_an_uninterrupted_one(
    train: Train, tmp_path: Path, changes: dict[str, Any]
) -> None:
    train(config(3, **changes), tmp_path / "whole")
    train(config(3, loop={"minutes": 1e-9}, **changes), tmp_path / "parts")
    assert checkpoint(tmp_path / "parts")["step"] == 1
    train(config(3, **changes), tmp_path / "parts")
    whole, parts = checkpoint(tmp_path / "whole"), checkpoint(tmp_path / "parts")
    assert parts["step"] == 3
    assert equal_states(whole["module"], parts["module"])
    assert equal_states(whole["averaged"], parts["averaged"])
    assert not equal_states(whole["module"], whole["averaged"])
    if changes:
        assert equal_states(whole["discriminator"]["module"], parts["discriminator"]["module"])


@pytest.mark.parametrize("phase", [1, 2])
def test_a_run_with_all_losses_adds_up(train: Train, tmp_path: Path, phase: int) -> None:
    train(config(2, phase=phase, **JUDGED), tmp_path)
    with (tmp_path / LOG).open(encoding="utf-8") as file:
        figures = {name: float(value) for name, value in list(csv.DictReader(file))[-1].items()}
    assert ("bce" in figures) == (phase == 2)
    assert (tmp_path / "grid_000002.png").exists()
    expected = 4 * figures["fill"]
    if phase == 2:
        expected += figures["bce"] + 2 * (figures["dice"] + figures["dice_beyond"])
    expected += 0.25 * figures["pixels"] + 0.5 * figures["perceptual"]
    expected += 0.3 * figures["generator"] + figures["discriminator"] + figures["r1"]
    assert figures["loss"] == pytest.approx(expected, abs=1e-3)


def test_a_run_of_another_kind_is_not_gone_on_with(train: Train, tmp_path: Path) -> None:
    train(config(1, phase=1), tmp_path)
    with pytest.raises(ConfigError, match=r"holds a run with phase 1, not 2\. Give another"):
        train(config(2), tmp_path)
    with pytest.raises(ConfigError, match="holds a run with rank 4, not 8"):
        train(config(2, phase=1, rank=8), tmp_path)


def test_the_prompt_is_encoded_once(
    train: Train, sdxl_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(config(1), tmp_path / "first")
    written = PromptEmbeddings.read(tmp_path / "first" / PROMPT_FILE)
    assert torch.equal(written.tokens, encode_prompt(str(sdxl_folder)).tokens)
    monkeypatch.setattr("osor_video.training.sdxl.encode_prompt", None)
    train(config(2), tmp_path / "first")
    train(config(1), tmp_path / "second", prompt=tmp_path / "first" / PROMPT_FILE)
    assert (tmp_path / "second" / PROMPT_FILE).exists()
    PromptEmbeddings(torch.zeros(1, 77, 3), torch.zeros(1, 4)).write(tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"are \(3, 4\) wide, and this base takes \(16, 8\)"):
        train(config(1), tmp_path / "third", prompt=tmp_path / "other.safetensors")
    assert not (tmp_path / "third").exists()


def test_other_bases_are_refused(sdxl_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="nowhere is neither a folder nor a name on the hub"):
        load_base(str(tmp_path / "nowhere"))
    plain = shutil.copytree(sdxl_folder, tmp_path / "plain")
    tiny_unet(in_channels=4).save_pretrained(plain / "unet")
    with pytest.raises(WeightsError, match="no SDXL inpainting base: its UNet takes 4 channels and gives 4"):
        load_base(str(plain))
    shutil.rmtree(plain / "vae")
    with pytest.raises(WeightsError, match=r"plain cannot be read: .* Give a folder with unet/, vae/"):
        load_base(str(plain))


def test_the_base_says_what_is_predicted_and_where_z0_ends(sdxl_folder: Path, tmp_path: Path) -> None:
    base = load_base(str(sdxl_folder))
    with pytest.raises(ConfigError, match="prediction_type is v_prediction, but the base's is epsilon"):
        build_objective(base, config(prediction_type="v_prediction"))
    path = shutil.copytree(sdxl_folder, tmp_path / "base") / "scheduler/scheduler_config.json"
    written = json.loads(path.read_text())
    for settings, limit in (({"clip_sample": False}, None), ({"clip_sample_range": 2.0}, 2.0), ({}, 1.0)):
        path.write_text(json.dumps(written | settings))
        assert load_base(str(tmp_path / "base")).z0_limit == limit


def test_the_commands_train_and_write_an_adapter_that_loads(
    sdxl_folder: Path, photos_folder: Path, cutouts_folder: Path, tmp_path: Path
) -> None:
    first, second = (tmp_path / f"phase{phase}.yaml" for phase in (1, 2))
    first.write_text(config(2, phase=1, timestep=600).model_dump_json())
    second.write_text(config(2).model_dump_json())
    command = ["train", str(first), f"--photos={photos_folder}", f"--cutouts={cutouts_folder}"]
    done = CliRunner().invoke(app, [*command, f"--out={tmp_path / 'run1'}"])
    assert done.exit_code == 2
    assert "needs --base: an SDXL inpainting base" in " ".join(done.output.split())
    command.append(f"--base={sdxl_folder}")
    done = CliRunner().invoke(app, [*command, f"--out={tmp_path / 'run1'}"])
    assert done.exit_code == 0, done.output
    adapter = tmp_path / "phase1.safetensors"
    assert main(["export", str(first), f"--remover={tmp_path / 'run1'}", f"--model={adapter}"]) == 0
    command[1] = str(second)
    done = CliRunner().invoke(app, [*command, f"--out={tmp_path / 'run2'}", f"--adapter={adapter}"])
    assert done.exit_code == 0, done.output
    result = tmp_path / "phase2.pth"
    assert main(["export", str(second), f"--remover={tmp_path / 'run2'}", f"--model={result}"]) == 0
    record = AdapterRecord.read(tmp_path / "phase2.json")
    assert (record.phase, record.timestep, record.rank) == (2, 400, 4)
    assert record.made["began_with"] == adapter.name
    assert record.made["steps"] == 2
    assert record.sha256 == sha256_of(result)
    tensors, averaged = read_adapter(result), checkpoint(tmp_path / "run2")["averaged"]
    assert equal_states(tensors, averaged)
    unet = load_base(str(sdxl_folder)).unet
    assert {*tensors} == SDXL_LAYOUT.names(unet)
    merge_adapter(unet, tensors)
    assert unet.conv_out.out_channels == 5


def test_the_export_says_what_it_needs(
    train: Train, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lora, compact = tmp_path / "lora.yaml", tmp_path / "compact.yaml"
    lora.write_text(config(1).model_dump_json())
    compact.write_text("kind: remover")
    train(config(1), tmp_path / "run")
    run = f"--remover={tmp_path / 'run'}"
    with caplog.at_level(logging.ERROR):
        assert main(["export", str(lora), run]) == 2
        assert main(["export", str(lora), f"--remover={tmp_path}", f"--model={tmp_path / 'a.pth'}"]) == 2
        assert main(["export", str(compact), run]) == 2
    assert "An adapter is written as .pth or .safetensors, not a folder" in caplog.text
    assert "holds no training run" in caplog.text
    assert "The export of a compact model needs --photos" in caplog.text


@published
@pytest.mark.parametrize(("folder", "phase", "timestep"), [("sdxl", 2, 400), ("sdxl-phase1", 1, 600)])
def test_the_published_code_is_reproduced_up_to_the_noise_it_sees(
    folder: str, phase: int, timestep: int
) -> None:
    base = load_base(str(PARITY / folder / "base"))
    prompt = PromptEmbeddings.read(PARITY / folder / "fixed_prompt_embeds.pt")
    settings = config(rank=8, phase=phase, timestep=timestep)
    module = adapt(base, prompt, settings)
    adapter = PARITY / folder / f"sdxlinpainting_phase{phase}.pth"
    module.begin_with(read_adapter(adapter), adapter.name)
    objective = build_objective(base, settings)
    expected = load_file(PARITY / folder / f"reference_phase{phase}.safetensors")

    def same(name: str, found: Tensor) -> None:
        torch.testing.assert_close(found, expected[name], atol=1e-4, rtol=1e-4, msg=lambda text: name + text)

    with torch.no_grad():
        z, m = objective.encode(expected["image"]), latent_mask(expected["mask"], 8)
        same("latent", z)
        same("mask_latent", m)
        z_t = add_noise(z, expected["noise"], objective.abar)
        same("noisy", z_t)
        out = module(torch.cat([z_t, m, z], dim=1), timestep).sample
        assert out.shape[1] == (5 if phase == 2 else 4)
        same("eps", out[:, :4])
        if phase == 2:
            same("alpha", out[:, 4:].sigmoid())


@published
@pytest.mark.parametrize(("folder", "phase", "timestep"), [("sdxl", 2, 400), ("sdxl-phase1", 1, 600)])
def test_the_objective_sees_the_published_picture(
    folder: str, phase: int, timestep: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the losses on pictures are given is, pixel for pixel, what the published code decodes."""
    base = load_base(str(PARITY / folder / "base"))
    prompt = PromptEmbeddings.read(PARITY / folder / "fixed_prompt_embeds.pt")
    settings = config(rank=8, phase=phase, timestep=timestep, **JUDGED)
    module = adapt(base, prompt, settings)
    adapter = PARITY / folder / f"sdxlinpainting_phase{phase}.pth"
    module.begin_with(read_adapter(adapter), adapter.name)
    objective = build_objective(base, settings)
    expected = load_file(PARITY / folder / f"reference_phase{phase}.safetensors")
    seen: list[Tensor] = []

    def look(_: Any, fake: Tensor, real: Tensor, made: Tensor) -> tuple[Tensor, dict[str, float]]:
        seen.extend((fake, made))
        return real.sum() * 0, {}

    monkeypatch.setattr("osor_video.training.picture_loss.PictureLoss.__call__", look)
    image, mask = expected["image"], expected["mask"]
    with torch.no_grad():
        objective(module, (image, image, mask, mask, mask, image), expected["noise"])
    torch.testing.assert_close(seen[0] * 2 - 1, expected["decoded"], atol=1e-4, rtol=1e-4)
    if phase == 1:
        cells = nn.functional.interpolate(expected["mask_latent"], scale_factor=8)
        assert np.array_equal(seen[1], cells)
