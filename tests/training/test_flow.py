"""Training of RAFT-small: the loss by hand, exact resume, and a run that becomes a file of weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from osor_video.apps.cli import app
from osor_video.config import FlowConfig
from osor_video.errors import ConfigError
from osor_video.flow.weights import build_flow
from osor_video.training.__main__ import main
from osor_video.training.config import FlowTrainingConfig, LoopConfig, SequenceConfig, load_config
from osor_video.training.cutouts import load_cutouts
from osor_video.training.export_flow import export_flow
from osor_video.training.flow import (
    FlowBatches,
    end_point_error,
    first_network,
    flow_loss,
    sequence_at,
    sequence_loss,
    train_flow,
)
from osor_video.training.loop import CHECKPOINT, TrainingRun
from osor_video.training.photos import list_photos

BETTER = {"DIS": {"epe_px": 2.0, "photometric": 5.0}, "run": {"epe_px": 1.5, "photometric": 5.0}}
WORSE = {"DIS": {"epe_px": 2.0, "photometric": 5.0}, "run": {"epe_px": 1.5, "photometric": 5.1}}


def flow_config(steps: int = 3, **options: Any) -> FlowTrainingConfig:
    loop = LoopConfig(steps=steps, batch=1, warmup_steps=1, checkpoint_steps=2, **options)
    look = SequenceConfig(height_px=128, width_px=128)
    return FlowTrainingConfig(loop=loop, sequence=look, updates=2, workers=0)


def flow_of(*vectors: tuple[float, float]) -> torch.Tensor:
    """A flow [1, 2, 1, W] with these vectors."""
    return torch.tensor(vectors).T[None, :, None]


def test_later_updates_count_more() -> None:
    truth = flow_of((1.0, 0.0), (0.0, 2.0))
    estimates = [flow_of((0.0, 0.0), (0.0, 0.0)), flow_of((1.0, 1.0), (0.0, 2.0)), truth]
    # Mean L1 of the updates: (1 + 2) / 2, (1 + 0) / 2 and 0.
    assert float(sequence_loss(estimates, truth, 0.8, 64)) == pytest.approx(0.64 * 1.5 + 0.8 * 0.5)


def test_what_moves_beyond_the_limit_does_not_count() -> None:
    truth = flow_of((3.0, 4.0), (1.0, 0.0))
    zero = torch.zeros_like(truth)
    assert float(sequence_loss([zero], truth, 0.8, 5.0)) == pytest.approx(1.0)
    assert float(sequence_loss([zero], truth, 0.8, 5.1)) == pytest.approx(4.0)
    assert float(sequence_loss([zero], truth, 0.8, 0.5)) == 0


def test_the_end_point_error_is_a_length() -> None:
    assert end_point_error(flow_of((3.0, 4.0)), flow_of((0.0, 0.0))).tolist() == [[[5.0]]]


def test_speed_grows_with_the_steps() -> None:
    config = flow_config().model_copy(update={"growing_steps": 10, "first_speed_px": 4.0})
    assert [sequence_at(config, step).speed_px for step in (0, 5, 10, 99)] == [4, 10, 16, 16]


def test_frames_that_raft_cannot_take_are_refused() -> None:
    with pytest.raises(ValueError, match=r"sides of 128, 136, 144 ... pixels, not \(100, 192\)"):
        FlowTrainingConfig(sequence=SequenceConfig(height_px=100))


def test_a_batch_holds_all_neighbours_of_its_sequences(photos_folder: Path, cutouts_folder: Path) -> None:
    look = SequenceConfig(frames=3, height_px=128, width_px=136)
    config = flow_config().model_copy(update={"sequence": look})
    batches = FlowBatches(
        list_photos(photos_folder), load_cutouts(cutouts_folder)[0], config, steps=range(4, 6)
    )
    first, second, forward, backward = batches[1]
    assert first.shape == second.shape == (2, 3, 128, 136)
    assert forward.shape == backward.shape == (2, 2, 128, 136)
    # The second frame of the first pair is the first frame of the second one.
    assert torch.equal(second[0], first[1])
    assert torch.equal(first, batches[1][0])
    assert not torch.equal(first, batches[0][0])


def test_a_few_steps_on_one_batch_bring_the_flow_nearer(photos_folder: Path, cutouts_folder: Path) -> None:
    config = flow_config(learning_rate=1e-3).model_copy(update={"growing_steps": 99, "first_speed_px": 6.0})
    batch = FlowBatches(list_photos(photos_folder), load_cutouts(cutouts_folder)[0], config, range(2, 3))[0]
    network = first_network(config)
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3)
    losses = []
    for _ in range(20):
        loss, figures = flow_loss(network, batch, config)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]
    assert figures["epe_px"] > 0


def equal_states(first: dict[str, Any], second: dict[str, Any]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first.values(), second.values(), strict=True))


def test_a_resumed_flow_run_equals_an_uninterrupted_one(
    photos_folder: Path, cutouts_folder: Path, tmp_path: Path
) -> None:
    train_flow(flow_config(), photos_folder, cutouts_folder, tmp_path / "whole")
    train_flow(flow_config(minutes=1e-9), photos_folder, cutouts_folder, tmp_path / "parts")
    train_flow(flow_config(), photos_folder, cutouts_folder, tmp_path / "parts")
    whole, parts = (
        torch.load(tmp_path / name / CHECKPOINT, weights_only=True) for name in ("whole", "parts")
    )
    assert whole["step"] == parts["step"] == 3
    assert equal_states(whole["module"], parts["module"])
    assert equal_states(whole["averaged"], parts["averaged"])


def test_the_command_trains_the_flow(photos_folder: Path, cutouts_folder: Path, tmp_path: Path) -> None:
    config = tmp_path / "flow.yaml"
    config.write_text(flow_config(1).model_dump_json())
    sources = ["train", str(config), "--photos", str(photos_folder), "-o", str(tmp_path / "run")]
    without = CliRunner().invoke(app, sources)
    assert without.exit_code == 2
    assert "is no data pack, so --cutouts is needed" in " ".join(without.output.split())
    done = CliRunner().invoke(app, [*sources, "--cutouts", str(cutouts_folder)])
    assert done.exit_code == 0
    assert done.output.split("\n")[-2].startswith("flow: checkpoint and log in")
    assert torch.load(tmp_path / "run" / CHECKPOINT, weights_only=True)["step"] == 1


@pytest.fixture(scope="module")
def fresh_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has not taken a step."""
    folder = tmp_path_factory.mktemp("fresh")
    TrainingRun(first_network(flow_config()), flow_config().loop, folder).save()
    return folder


def test_a_run_becomes_weights_that_the_program_reads(fresh_run: Path, tmp_path: Path) -> None:
    figures, config, file = (
        tmp_path / name for name in ("figures.json", "flow.yaml", "weights/ours.safetensors")
    )
    figures.write_text(json.dumps(WORSE))
    config.write_text(flow_config().model_dump_json())
    command = ["export-flow", str(config), f"--run={fresh_run}", f"--figures={figures}", f"--file={file}"]
    assert main(command) == 0
    assert build_flow(FlowConfig(weights=file)).name == "RAFT-small (ours.safetensors)"
    assert {value.dtype for value in load_file(file).values()} == {torch.float16}
    record = json.loads(file.with_suffix(".json").read_text())
    assert record["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert (record["steps"], record["parameters"]) == (0, 990162)
    assert record["validation"] == WORSE


def test_the_package_takes_only_what_beats_dis(
    fresh_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundled, figures = tmp_path / "bundled/raft_small.safetensors", tmp_path / "figures.json"
    monkeypatch.setattr("osor_video.training.export_flow.BUNDLED", bundled)
    figures.write_text(json.dumps(WORSE))
    with pytest.raises(ConfigError, match="no better than DIS"):
        export_flow(flow_config(), fresh_run, figures, bundled)
    assert not bundled.exists()
    figures.write_text(json.dumps(BETTER))
    assert export_flow(flow_config(), fresh_run, figures, bundled) == bundled
    assert bundled.exists()


@pytest.mark.parametrize("text", ["", "[]", '{"DIS": {"epe_px": 1}}', '{"run": {}, "DIS": {}}'])
def test_figures_that_are_none_are_refused(fresh_run: Path, tmp_path: Path, text: str) -> None:
    figures = tmp_path / "figures.json"
    figures.write_text(text)
    with pytest.raises(ConfigError, match="holds no figures of a run"):
        export_flow(flow_config(), fresh_run, figures, tmp_path / "x.safetensors")
    with pytest.raises(ConfigError, match="holds no figures of a run"):
        export_flow(flow_config(), fresh_run, tmp_path / "none.json", tmp_path / "x.safetensors")


def test_the_configurations_of_the_repository_train_what_a_run_does() -> None:
    folder = Path(__file__).parents[2] / "configs/train"
    for name in ("flow.yaml", "flow_gpu.yaml"):
        assert load_config(folder / name, FlowTrainingConfig).updates >= FlowConfig().updates
