"""Turning a finished flow run into a file of weights with its record."""

from __future__ import annotations

import json
from pathlib import Path

from osor_video.errors import ConfigError
from osor_video.flow.weights import BUNDLED
from osor_video.training.config import FlowTrainingConfig
from osor_video.training.export import DATA, write_weights
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
    about = {
        "architecture": "torchvision.models.optical_flow.raft_small",
        "data": f"sequences made on the fly; {DATA}, and whole as photographs",
        "size_hw": [config.sequence.height_px, config.sequence.width_px],
        "updates": config.updates,
    }
    write_weights(network, facts, config.loop, target, about, figures)
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
