"""Making the compact model: ``python -m osor_video.training autoencoder|remover|export|validate CONFIG``.

``savp SHOT CLEAN OUT`` makes effect-aware masks of before/after pictures; ``validate-flow`` and ``export-flow`` are for a run of
``kind: flow``.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from osor_video.errors import OsorError
from osor_video.flow.weights import BUNDLED
from osor_video.removal.model import bundled_model_path
from osor_video.training.autoencoder import train_autoencoder
from osor_video.training.config import AutoencoderConfig, FlowTrainingConfig, RemoverConfig, load_config
from osor_video.training.export import export_model
from osor_video.training.export_flow import export_flow
from osor_video.training.folders import write_effect_masks
from osor_video.training.remover import train_remover
from osor_video.training.validate import validate_model, write_grids
from osor_video.training.validate_flow import (
    Figures,
    candidates,
    compare_on_davis,
    held_out_sequences,
    validate_flow,
)

log = logging.getLogger("osor_video.training")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one task; 0, or 2 after an error that the input caused."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    arguments = _parser().parse_args(argv)
    try:
        _run(arguments)
    except OsorError as error:
        log.error("%s", error)
        return 2
    return 0


def _run(arguments: argparse.Namespace) -> None:
    if arguments.task == "savp":
        for path, share in write_effect_masks(arguments.shot, arguments.clean, arguments.out).items():
            log.info("wrote %s: %.1f %% of the picture", path, 100 * share)
        return
    if arguments.task == "validate-flow":
        _validate_flow(arguments)
        return
    if arguments.task == "export-flow":
        trained = load_config(arguments.config, FlowTrainingConfig)
        log.info("wrote %s", export_flow(trained, arguments.run, arguments.figures, arguments.file))
        return
    if arguments.task == "autoencoder":
        train_autoencoder(load_config(arguments.config, AutoencoderConfig), arguments.photos, arguments.out)
        return
    config = load_config(arguments.config, RemoverConfig)
    if arguments.task == "remover":
        sources = (arguments.photos, arguments.cutouts, arguments.autoencoder)
        train_remover(config, *sources, arguments.out, arguments.plates)
    elif arguments.task == "export":
        export_model(config, arguments.photos, arguments.autoencoder, arguments.remover, arguments.model)
    else:
        sources = (arguments.model, arguments.photos, arguments.cutouts)
        log.info("%s", json.dumps(validate_model(*sources, arguments.pairs, config.crop_px), indent=2))
        log.info("wrote %s", write_grids(*sources, arguments.out, config.crop_px))


def _validate_flow(arguments: argparse.Namespace) -> None:
    estimators = candidates(arguments.run, arguments.weights)
    sequences = held_out_sequences(arguments.photos, arguments.cutouts, arguments.pairs)
    real: Figures = {}
    if arguments.davis is not None:
        chosen = (arguments.davis, arguments.sequence, arguments.frames)
        real = compare_on_davis(estimators, *chosen, track=arguments.track)
    log.info("%s", json.dumps(validate_flow(estimators, sequences, real, arguments.out), indent=2))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m osor_video.training", description=__doc__)
    tasks = parser.add_subparsers(dest="task", required=True)
    wanted = {
        "autoencoder": ("photos", "out"),
        "remover": ("photos", "cutouts", "autoencoder", "out"),
        "export": ("photos", "autoencoder", "remover"),
        "validate": ("photos", "cutouts", "out"),
    }
    for task, folders in wanted.items():
        command = tasks.add_parser(task)
        command.add_argument("config", type=Path, help="a YAML file of configs/train")
        for folder in folders:
            command.add_argument(f"--{folder}", type=Path, required=True)
        if task == "remover":
            command.add_argument("--plates", type=Path, help="plates of your own: shot/, background/, masks")
        if task in ("export", "validate"):
            command.add_argument("--model", type=Path, default=bundled_model_path(), help="the model folder")
        if task == "validate":
            command.add_argument("--pairs", type=int, default=96, help="held-out pairs to measure on")
    savp = tasks.add_parser("savp", help="effect-aware masks of pictures with and without an object")
    savp.add_argument("shot", type=Path, help="the picture with the object, or a folder of such pictures")
    savp.add_argument("clean", type=Path, help="the same without it; in a folder under the same names")
    savp.add_argument("out", type=Path, help="a PNG (for folders a folder), white = object and effects")
    _add_flow_tasks(tasks)
    return parser


def _add_flow_tasks(tasks: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    validate = tasks.add_parser("validate-flow", help="a flow run beside DIS and weights of RAFT-small")
    for folder in ("photos", "cutouts", "out"):
        validate.add_argument(f"--{folder}", type=Path, required=True)
    validate.add_argument("--run", type=Path, help="the run")
    validate.add_argument("--weights", type=Path, action="append", default=[], help="a raft_small state dict")
    validate.add_argument("--pairs", type=int, default=64, help="held-out pairs to measure on")
    validate.add_argument("--davis", type=Path, help="folder of JPEGImages/480p/ and Annotations/480p/")
    validate.add_argument("--sequence", action="append", default=[], help="only this sequence of it")
    validate.add_argument("--frames", type=int, help="only so many frames of each")
    validate.add_argument("--track", action="store_true", help="also track the first mask (slow)")
    export = tasks.add_parser("export-flow", help="a flow run as a file of weights with its record")
    export.add_argument("config", type=Path, help="the YAML file it was trained with")
    export.add_argument("--run", type=Path, required=True)
    export.add_argument("--figures", type=Path, required=True, help="figures.json of validate-flow")
    export.add_argument("--file", type=Path, default=BUNDLED, help="the .safetensors file to write")


if __name__ == "__main__":
    sys.exit(main())
