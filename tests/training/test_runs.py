"""Three steps of both trainers at tiny size: resume is exact, and two runs become a model folder."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from pydantic import BaseModel
from typer.testing import CliRunner

from osor_video.apps.cli import app
from osor_video.errors import ConfigError
from osor_video.removal.autoencoder import PatchAutoencoder
from osor_video.removal.model import OsorModel
from osor_video.training.__main__ import main
from osor_video.training.autoencoder import first_autoencoder, sample_crops, train_autoencoder
from osor_video.training.config import (
    AlphaConfig,
    AutoencoderConfig,
    FlowTrainingConfig,
    LoopConfig,
    RefinerConfig,
    RemoverConfig,
    SdxlLoraConfig,
    load_config,
    read_kind,
)
from osor_video.training.loop import CHECKPOINT, LOG, load_averaged, rate_factor
from osor_video.training.losses import psnr_db
from osor_video.training.photos import list_photos
from osor_video.training.principal import principal_components
from osor_video.training.remover import train_remover
from tests.tiny import TINY
from tests.training.plates import write_plates

CONFIGS = Path(__file__).parents[2] / "configs/train"


def loop(steps: int, **options: Any) -> LoopConfig:
    return LoopConfig(steps=steps, batch=2, warmup_steps=2, checkpoint_steps=2, **options)


def autoencoder_config(steps: int = 3, **options: Any) -> AutoencoderConfig:
    return AutoencoderConfig(
        architecture=TINY, loop=loop(steps, **options), crop_px=64, widest_crop_px=128, patches=512
    )


def remover_config(steps: int = 3, **options: Any) -> RemoverConfig:
    return RemoverConfig(
        architecture=TINY, loop=loop(steps, **options), crop_px=64, widest_crop_px=128, workers=0
    )


def contested_config(steps: int = 3, phase: Literal[1, 2] = 2, **options: Any) -> RemoverConfig:
    """All losses on, at the weights of the GPU run."""
    changes = {"phase": phase, "perceptual_weight": 5.0, "adversarial_weight": 0.3, "r1_weight": 6e4}
    return RemoverConfig.model_validate(remover_config(steps, **options).model_dump() | changes)


@pytest.fixture(scope="module")
def autoencoder_run(photos_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("autoencoder")
    train_autoencoder(autoencoder_config(), photos_folder, folder)
    return folder


def equal_states(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first.values(), second.values(), strict=True))


def checkpoint(folder: Path) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(folder / CHECKPOINT, weights_only=True)
    return state


def whole_and_parts(
    train: Callable[[Any, Path], None], config_of: Callable[..., Any], folder: Path
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Checkpoints of a run of three steps, and of one stopped after its first (the wall time is over at once)."""
    train(config_of(), folder / "whole")
    constant = {"learning_rate": 1e-3}
    train(config_of(3, minutes=1e-9, **constant), folder / "parts")
    assert checkpoint(folder / "parts")["step"] == 1
    train(config_of(3, **constant), folder / "parts")
    assert checkpoint(folder / "parts")["step"] == 3
    return checkpoint(folder / "whole"), checkpoint(folder / "parts")


def command(*arguments: object) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["train", *map(str, arguments)])
    return done.exit_code, " ".join(done.output.split())


def test_a_resumed_autoencoder_run_equals_an_uninterrupted_one(photos_folder: Path, tmp_path: Path) -> None:
    def train(config: AutoencoderConfig, folder: Path) -> None:
        train_autoencoder(config, photos_folder, folder)

    whole, parts = whole_and_parts(train, autoencoder_config, tmp_path)
    assert equal_states(whole["module"], parts["module"])
    assert equal_states(whole["averaged"], parts["averaged"])


def test_a_resumed_remover_run_equals_an_uninterrupted_one(
    photos_folder: Path, cutouts_folder: Path, autoencoder_run: Path, tmp_path: Path
) -> None:
    def train(config: RemoverConfig, folder: Path) -> None:
        train_remover(config, photos_folder, cutouts_folder, autoencoder_run, folder)

    whole, parts = whole_and_parts(train, remover_config, tmp_path)
    assert equal_states(whole["module"], parts["module"])
    assert not equal_states(whole["module"], whole["averaged"])


def test_gradient_checkpointing_takes_the_same_steps(
    photos_folder: Path, cutouts_folder: Path, autoencoder_run: Path, tmp_path: Path
) -> None:
    sources = (photos_folder, cutouts_folder, autoencoder_run)
    plain = train_remover(remover_config(), *sources, tmp_path / "plain")
    saving = train_remover(remover_config(gradient_checkpointing=True), *sources, tmp_path / "saving")
    for kept, recomputed in zip(plain.parameters(), saving.parameters(), strict=True):
        torch.testing.assert_close(kept, recomputed)
    with pytest.raises(ConfigError, match="PatchAutoencoder does not know how"):
        train_autoencoder(autoencoder_config(gradient_checkpointing=True), photos_folder, tmp_path / "ae")


def test_bfloat16_steps_are_near_and_weights_stay_wide(
    photos_folder: Path, cutouts_folder: Path, autoencoder_run: Path, tmp_path: Path
) -> None:
    sources = (photos_folder, cutouts_folder, autoencoder_run)
    for precision in ("no", "bf16"):
        network = train_remover(remover_config(precision=precision), *sources, tmp_path / precision)
        assert all(parameter.dtype == torch.float32 for parameter in network.parameters())
    wide, narrow = (float(log_rows(tmp_path / run)[-1]["loss"]) for run in ("no", "bf16"))
    assert wide != narrow
    assert wide == pytest.approx(narrow, rel=0.02)


def test_plates_of_ones_own_take_part_in_a_run(
    photos_folder: Path, cutouts_folder: Path, autoencoder_run: Path, tmp_path: Path
) -> None:
    config = tmp_path / "remover.yaml"
    config.write_text(remover_config(1).model_dump_json())
    plates = write_plates(tmp_path / "plates")
    sources = (
        config,
        "--photos",
        photos_folder,
        "--cutouts",
        cutouts_folder,
        "--autoencoder",
        autoencoder_run,
    )
    assert command(*sources, "-o", tmp_path / "without")[0] == 0
    assert command(*sources, "-o", tmp_path / "with", "--plates", plates)[0] == 0
    without, with_plates = checkpoint(tmp_path / "without"), checkpoint(tmp_path / "with")
    assert not equal_states(without["module"], with_plates["module"])
    code, said = command(*sources, "-o", tmp_path / "none", "--plates", tmp_path / "nowhere")
    assert code == 2
    assert "nowhere/shot is no folder" in said


def test_a_resumed_contest_equals_an_uninterrupted_one(
    photos_folder: Path, cutouts_folder: Path, autoencoder_run: Path, tmp_path: Path
) -> None:
    def train(config: RemoverConfig, folder: Path) -> None:
        train_remover(config, photos_folder, cutouts_folder, autoencoder_run, folder)

    whole, parts = whole_and_parts(train, contested_config, tmp_path)
    assert equal_states(whole["module"], parts["module"])
    assert equal_states(whole["discriminator"]["module"], parts["discriminator"]["module"])
    moments, others = (state["discriminator"]["optimiser"]["state"] for state in (whole, parts))
    assert all(equal_states(moments[index], others[index]) for index in moments)
    assert moments[0]["step"] == 3


def log_rows(folder: Path) -> list[dict[str, str]]:
    with (folder / LOG).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("phase", [1, 2])
def test_a_run_with_all_losses_adds_up(
    photos_folder: Path, cutouts_folder: Path, autoencoder_run: Path, tmp_path: Path, phase: Literal[1, 2]
) -> None:
    sources = (photos_folder, cutouts_folder, autoencoder_run)
    train_remover(contested_config(phase=phase), *sources, tmp_path)
    figures = {name: float(value) for name, value in log_rows(tmp_path)[-1].items()}
    assert figures["step"] == 3
    alpha = figures["bce"] + 2 * (figures["dice"] + figures["dice_beyond"]) if phase == 2 else 0.0
    contest = 0.3 * figures["generator"] + figures["discriminator"] + figures["r1"]
    expected = 4 * figures["fill"] + alpha + 5 * figures["perceptual"] + contest
    assert figures["loss"] == pytest.approx(expected, abs=1e-3)


def test_without_them_the_loss_is_what_it_was(
    photos_folder: Path, cutouts_folder: Path, autoencoder_run: Path, tmp_path: Path
) -> None:
    train_remover(remover_config(1), photos_folder, cutouts_folder, autoencoder_run, tmp_path)
    row = log_rows(tmp_path)[-1]
    assert list(row) == ["step", "seconds", "loss", "fill", "bce", "dice", "dice_beyond"]
    dice = float(row["dice"]) + float(row["dice_beyond"])
    expected = 4 * float(row["fill"]) + float(row["bce"]) + 2 * dice
    assert float(row["loss"]) == pytest.approx(expected, abs=1e-4)


def test_a_contest_may_begin_on_a_checkpoint_without_one(
    photos_folder: Path, cutouts_folder: Path, autoencoder_run: Path, tmp_path: Path
) -> None:
    sources = (photos_folder, cutouts_folder, autoencoder_run)
    train_remover(remover_config(1), *sources, tmp_path)
    assert "discriminator" not in checkpoint(tmp_path)
    train_remover(contested_config(2), *sources, tmp_path)
    assert checkpoint(tmp_path)["step"] == 2
    assert checkpoint(tmp_path)["discriminator"]["optimiser"]["state"][0]["step"] == 1
    before, after = log_rows(tmp_path)
    assert before["r1"] == ""
    assert float(after["r1"]) > 0


def test_the_log_forgets_rows_after_the_checkpoint(
    photos_folder: Path, autoencoder_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / CHECKPOINT).write_bytes((autoencoder_run / CHECKPOINT).read_bytes())
    lines = (autoencoder_run / LOG).read_text().splitlines()
    (run / LOG).write_text("\n".join([*lines, "4,9.9,1,1,1"]) + "\n")
    train_autoencoder(autoencoder_config(), photos_folder, run)
    assert (run / LOG).read_text().splitlines() == lines


def test_the_rate_warms_up_and_falls() -> None:
    config = loop(10)
    rates = [rate_factor(step, config) for step in range(11)]
    assert rates[:3] == [0.5, 1.0, 1.0]
    assert rates[2:] == sorted(rates[2:], reverse=True)
    assert rates[10] == pytest.approx(0.05)


def test_principal_components_invert_what_they_keep() -> None:
    patches = torch.randn(500, 6, generator=torch.Generator().manual_seed(0)) @ torch.diag(
        torch.tensor([5.0, 4, 3, 2, 0, 0])
    )
    mean, rows, inverse = principal_components(patches, 4)
    torch.testing.assert_close((patches - mean) @ rows.T @ inverse.T + mean, patches, atol=1e-4, rtol=1e-4)


def test_the_first_autoencoder_is_the_linear_one_and_already_good(photos_folder: Path) -> None:
    config = autoencoder_config()
    photos = list_photos(photos_folder)
    network = first_autoencoder(config, photos)
    pictures = sample_crops(photos, config, 0)
    with torch.inference_mode():
        z = network.encode(pictures * 2 - 1)
        decoded = network.decode(z) * 0.5 + 0.5
    assert z.shape == (2, 4, 8, 8)
    assert psnr_db(decoded, pictures) > 18
    assert not any(parameter.requires_grad for parameter in network.encoder.parameters())


def test_the_linear_part_follows_its_matrices() -> None:
    network = PatchAutoencoder(latent_channels=2, stride=4, decoder_width=4, decoder_blocks=1, finish_width=4)
    rows, mean = torch.randn(2, 48), torch.randn(48)
    network.set_components(mean, rows, rows.T)
    picture = torch.randn(1, 3, 4, 4)
    with torch.inference_mode():
        torch.testing.assert_close(network.encode(picture).flatten(), rows @ (picture.flatten() - mean))


def test_runs_become_a_model_folder_with_figures(
    photos_folder: Path, cutouts_folder: Path, autoencoder_run: Path, tmp_path: Path
) -> None:
    config = tmp_path / "remover.yaml"
    config.write_text(contested_config().model_dump_json())
    remover, model = tmp_path / "remover", tmp_path / "model"
    sources = ("--photos", photos_folder, "--cutouts", cutouts_folder, "--autoencoder", autoencoder_run)
    assert command(config, *sources, "-o", remover)[0] == 0
    photos, encoder = f"--photos={photos_folder}", f"--autoencoder={autoencoder_run}"
    assert main(["export", str(config), photos, encoder, f"--remover={remover}", f"--model={model}"]) == 0
    validate = ["validate", photos, f"--cutouts={cutouts_folder}", f"--model={model}", "--pairs=2"]
    assert main([*validate, f"--out={tmp_path}"]) == 0
    record = OsorModel.from_folder(model).record
    assert record.made["unet_steps"] == 3
    assert record.made["feature_network"] == "efficientnet-lite0"
    assert record.validation["autoencoder_psnr_db"] > 15
    assert {"photos_hole_model_psnr_db", "photos_alpha_iou_object"} <= record.validation.keys()
    assert json.loads((model / "vae/config.json").read_text())["_class_name"] == "PatchAutoencoder"


def test_an_unfinished_run_is_refused(autoencoder_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no training run"):
        load_averaged(torch.nn.Identity(), tmp_path)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("remover*.yaml")), ids=lambda path: str(path.stem))
def test_the_configurations_of_the_repository_are_right(path: Path) -> None:
    assert load_config(path, RemoverConfig).judges_pictures == (path.stem != "remover")


@pytest.mark.parametrize("text", ["colour: blue", "loop: [", "loop: {steps: 0}", "r1_weight: 1"])
def test_a_wrong_configuration_is_named(tmp_path: Path, text: str, photos_folder: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"wrong\.yaml"):
        load_config(path, RemoverConfig)
    assert command(path, "--photos", photos_folder, "-o", tmp_path / "run")[0] == 2


def test_the_command_trains_what_the_configuration_says(
    photos_folder: Path, cutouts_folder: Path, tmp_path: Path
) -> None:
    files = {"autoencoder": autoencoder_config(2), "remover": remover_config(2)}
    for kind, config in files.items():
        (tmp_path / f"{kind}.yaml").write_text(config.model_dump_json())
    first, second = tmp_path / "ae", tmp_path / "un"
    code, said = command(tmp_path / "autoencoder.yaml", "--photos", photos_folder, "-o", first)
    assert (code, checkpoint(first)["step"]) == (0, 2)
    assert said.startswith("autoencoder: checkpoint and log in")
    sources = ("--photos", photos_folder, "--cutouts", cutouts_folder)
    code, said = command(tmp_path / "remover.yaml", *sources, "-o", second)
    assert (code, second.exists()) == (2, False)
    assert "The training of the remover needs --autoencoder: the run of the autoencoder (or --begin" in said
    both = ("--autoencoder", first, "--begin", tmp_path)
    code, said = command(tmp_path / "remover.yaml", *sources, *both, "-o", second)
    assert (code, second.exists()) == (2, False)
    assert "--begin brings an autoencoder of its own; leave --autoencoder out." in said
    code, _ = command(tmp_path / "remover.yaml", *sources, "--autoencoder", first, "-o", second)
    assert (code, checkpoint(second)["step"]) == (0, 2)


def test_a_configuration_that_trains_nothing_known_is_refused(tmp_path: Path, photos_folder: Path) -> None:
    config = tmp_path / "other.yaml"
    for text, sentence in (
        ("kind: colour", "says kind: colour, expected kind: autoencoder or"),
        ("loop: {}", "says kind: None"),
        ("", "nothing"),
    ):
        config.write_text(text)
        code, said = command(config, "--photos", photos_folder, "-o", tmp_path / "run")
        assert code == 2
        assert sentence in said
    assert command(tmp_path / "none.yaml", "--photos", photos_folder, "-o", tmp_path / "run")[0] == 2
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_training_configuration_says_what_it_trains(path: Path) -> None:
    kinds: dict[str, type[BaseModel]] = {
        "autoencoder": AutoencoderConfig,
        "alpha": AlphaConfig,
        "remover": RemoverConfig,
        "sdxl_lora": SdxlLoraConfig,
        "flow": FlowTrainingConfig,
        "refiner": RefinerConfig,
    }
    assert load_config(path, kinds[read_kind(path)]).model_dump()["kind"] == read_kind(path)


def test_the_steps_are_told_as_they_are_taken(photos_folder: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    train_autoencoder(autoencoder_config(3), photos_folder, tmp_path, lambda *step: told.append(step))
    assert told == [("train", 1, 3), ("train", 2, 3), ("train", 3, 3)]
