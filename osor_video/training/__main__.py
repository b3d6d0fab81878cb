"""What comes before and after ``osor-video train``: ``python -m osor_video.training TASK``.

export      finished runs become a model folder
validate    figures, tables and pictures of a model folder on held-out pairs
sheet       real photographs with their masks, alphas and results
savp        effect-aware masks of before/after pictures
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import torch

from osor_video.apps.inputs import check_file_target, check_folder_target
from osor_video.apps.inputs import load_config as read_settings
from osor_video.benchmark.speed import measure_frame_ms
from osor_video.errors import ConfigError, OsorError
from osor_video.removal.model import OsorModel, bundled_model_path, quiet_libraries
from osor_video.training.config import RemoverConfig, load_config
from osor_video.training.export import export_model
from osor_video.training.findings import SPEED_PX, HeldOut, validate_model
from osor_video.training.folders import write_effect_masks
from osor_video.training.sheet import write_sheet

log = logging.getLogger("osor_video.training")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one task; 0, or 2 after an error that the input caused."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    quiet_libraries()
    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except OsorError as error:
        log.error("%s", error)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m osor_video.training",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    tasks = parser.add_subparsers(dest="task", required=True)
    for add_task in (_add_export, _add_validate, _add_sheet, _add_speed, _add_savp):
        add_task(tasks)
    return parser


def _add_export(tasks: Any) -> None:
    command = tasks.add_parser("export", help="finished runs become a model folder")
    command.add_argument("config", type=Path, help="the remover's YAML file of configs/train")
    command.add_argument("--photos", type=Path, required=True, help="the photographs of the training")
    command.add_argument("--autoencoder", type=Path, required=True, help="the autoencoder's run")
    command.add_argument("--remover", type=Path, required=True, help="the remover's run")
    command.add_argument("--model", type=Path, default=bundled_model_path(), help="the folder to write")
    command.set_defaults(run=_export)


def _export(arguments: argparse.Namespace) -> None:
    config = load_config(arguments.config, RemoverConfig)
    export_model(config, arguments.photos, arguments.autoencoder, arguments.remover, arguments.model)


def _add_validate(tasks: Any) -> None:
    command = tasks.add_parser("validate", help="figures, tables and pictures of a model folder")
    command.add_argument("--model", type=Path, default=bundled_model_path(), help="the model folder")
    command.add_argument(
        "--photos", type=Path, required=True, help="photographs; the held-out twelfth is used"
    )
    command.add_argument("--cutouts", type=Path, required=True, help="labelled photographs; likewise")
    command.add_argument(
        "--plates",
        type=Path,
        help="plates to validate on, all of them: shot/, background/, mask/, object_mask/. "
        "Never a folder that was trained on: keep a part of your plates in a folder of its own for this",
    )
    command.add_argument("--pairs", type=_positive, default=64, help="pairs made of photographs and cut-outs")
    _add_threads(command)
    command.add_argument("--out", type=Path, required=True, help="folder of the tables and pictures")
    command.set_defaults(run=_validate)


def _validate(arguments: argparse.Namespace) -> None:
    check_folder_target(arguments.out, "--out")
    _use_threads(arguments)
    held_out = HeldOut(arguments.photos, arguments.cutouts, arguments.plates, arguments.pairs)
    log.info("wrote %s\n\n%s", arguments.out, validate_model(arguments.model, held_out, arguments.out))


def _add_sheet(tasks: Any) -> None:
    command = tasks.add_parser("sheet", help="real photographs with their masks, alphas and results")
    command.add_argument("model", type=Path, help="the model folder")
    command.add_argument(
        "pairs", type=Path, help="a folder of image/ and mask/, pictures of one name in both"
    )
    command.add_argument("out", type=Path, help="the PNG to write")
    command.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting, such as removal.context=2"
    )
    command.set_defaults(run=_sheet)


def _sheet(arguments: argparse.Namespace) -> None:
    check_file_target(arguments.out, "OUT", (".png",))
    config = read_settings("balanced", None, arguments.set)
    count = write_sheet(arguments.model, arguments.pairs, arguments.out, config)
    log.info("wrote %s: input, mask, alpha and result of %d photographs", arguments.out, count)


def _add_speed(tasks: Any) -> None:
    command = tasks.add_parser("speed", help="how long one frame takes, from the picture to the decoded fill")
    command.add_argument("--model", type=Path, default=bundled_model_path(), help="the model folder")
    command.add_argument("--side", type=_positive, default=SPEED_PX, help="side of the frame in pixels")
    _add_threads(command)
    command.set_defaults(run=_speed)


def _speed(arguments: argparse.Namespace) -> None:
    _use_threads(arguments)
    model, side = OsorModel.from_folder(arguments.model), arguments.side
    if side % model.record.multiple_px:
        raise ConfigError(f"--side is {side}, expected a multiple of {model.record.multiple_px}.")
    figure = measure_frame_ms(model, side)
    log.info("%dx%d: %.0f ms a frame with %d thread(s), median", side, side, figure, torch.get_num_threads())


def _add_savp(tasks: Any) -> None:
    command = tasks.add_parser("savp", help="effect-aware masks of pictures with and without an object")
    command.add_argument("shot", type=Path, help="the picture with the object, or a folder of such pictures")
    command.add_argument("clean", type=Path, help="the same without it; in a folder under the same names")
    command.add_argument("out", type=Path, help="a PNG (for folders a folder), white = object and effects")
    command.set_defaults(run=_savp)


def _savp(arguments: argparse.Namespace) -> None:
    for path, share in write_effect_masks(arguments.shot, arguments.clean, arguments.out).items():
        log.info("wrote %s: %.1f %% of the picture", path, 100 * share)


def _add_threads(command: argparse.ArgumentParser) -> None:
    command.add_argument("--threads", type=_positive, help="processor threads; all cores when not given")


def _use_threads(arguments: argparse.Namespace) -> None:
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
        cv2.setNumThreads(arguments.threads)


def _positive(text: str) -> int:
    value = int(text) if text.isdecimal() else 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of 1 or more")
    return value


if __name__ == "__main__":
    sys.exit(main())
