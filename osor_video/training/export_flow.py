"""Turning a finished flow run into a file of weights with its record."""

from __future__ import annotations

import json
import platform
from pathlib import Path

import torch
from safetensors.torch import save_file

from osor_video.errors import ConfigError
from osor_video.flow.weights import BUNDLED
from osor_video.removal.record import sha256_of
from osor_video.training.config import FlowTrainingConfig
from osor_video.training.export import DATA
from osor_video.training.loop import load_averaged
from osor_video.training.validate_flow import DIS, RUN, Figures, beats_dis


def export_flow(config: FlowTrainingConfig, run: Path, figures_file: Path, target: Path) -> Path:
    """Write the averaged weights of ``run`` as float16 to ``target`` (.safetensors) and its record beside it (.json).

    ``figures_file`` is what the validation of this run wrote. Into the package goes only what beats DIS: ConfigError otherwise.
    """
    from torchvision.models.optical_flow import raft_small  # noqa: PLC0415  (takes seconds to import)

    figures = _read_figures(figures_file)
    if target == BUNDLED and not beats_dis(figures):
        raise ConfigError(
            f"The run's flow is no better than DIS ({figures[RUN]} against {figures[DIS]}). Train longer, or export it "
            "elsewhere with --file and use it with --flow-weights."
        )
    network = raft_small()
    facts = load_averaged(network, run)
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.to(torch.float16) for name, value in network.state_dict().items()}, target)
    record = {
        "name": target.stem,
        "architecture": "torchvision.models.optical_flow.raft_small",
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "data": f"sequences made on the fly; {DATA}",
        "steps": facts["steps"],
        "hours": facts["hours"],
        "batch": config.loop.batch,
        "size_hw": [config.sequence.height_px, config.sequence.width_px],
        "updates": config.updates,
        "hardware": f"{config.loop.device}, {config.loop.threads} thread(s), {platform.machine()}",
        "licence": "Apache-2.0",
        "sha256": sha256_of(target),
        "validation": figures,
    }
    target.with_suffix(".json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return target


def _read_figures(path: Path) -> Figures:
    """The figures of a validation; ConfigError where the file is none, or lacks the run or the real frames."""
    try:
        figures: Figures = json.loads(path.read_text(encoding="utf-8"))
        beats_dis(figures)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(
            f"{path} holds no figures of a run: validate-flow writes them with --run and --davis ({error!r})."
        ) from error
    return figures
