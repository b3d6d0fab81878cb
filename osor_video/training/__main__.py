"""What comes before and after ``osor-video train``: ``python -m osor_video.training TASK``.

pack            photographs and objects as one small folder, which --pack takes in place of --photos and --cutouts
export          finished runs become a model folder, or an adapter's run one file
validate        figures, tables and pictures of a model folder on held-out pairs
sheet           real photographs with their masks, alphas and results
speed           the time of one frame
savp            effect-aware masks of before/after pictures
export-flow     a flow run becomes one file of weights with its record
export-refiner  a run of the tracker's refiner becomes one file of weights with its record and held-out figures
validate-flow   figures and pictures of a flow run beside DIS and other weights of RAFT-small
"""

from __future__ import annotations

import argparse
import json
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
from osor_video.flow.weights import BUNDLED
from osor_video.masks.refiner import BUNDLED as BUNDLED_REFINER
from osor_video.removal.catalogue import bundled_model_path
from osor_video.removal.model import OsorModel, quiet_libraries
from osor_video.training.config import (
    FlowTrainingConfig,
    RefinerConfig,
    RemoverConfig,
    SdxlLoraConfig,
    load_config,
    read_kind,
)
from osor_video.training.export import Part, export_model, renew_model
from osor_video.training.export_flow import export_flow
from osor_video.training.export_refiner import export_refiner
from osor_video.training.findings import SPEED_PX, HeldOut, validate_model
from osor_video.training.folders import write_effect_masks
from osor_video.training.pack import LIMIT_MB, QUALITY, cutouts_folder, read_licences, write_pack
from osor_video.training.photos import WORKING_SHORT_SIDE_PX
from osor_video.training.sheet import write_sheet
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
    for add_task in (
        _add_pack,
        _add_export,
        _add_validate,
        _add_sheet,
        _add_speed,
        _add_savp,
        _add_export_flow,
        _add_export_refiner,
        _add_validate_flow,
    ):
        add_task(tasks)
    return parser


def _add_pack(tasks: Any) -> None:
    command = tasks.add_parser("pack", help="photographs and objects as one small folder, a data pack")
    command.add_argument("out", type=Path, help="the folder to write; it must not exist")
    command.add_argument("--photos", type=Path, required=True, help="a folder of photographs")
    command.add_argument(
        "--cutouts", type=Path, required=True, action="append", help="a folder of objects; may be given again"
    )
    command.add_argument("--licences", type=Path, required=True, help="a text file: whose the pictures are")
    command.add_argument(
        "--short-side", type=int, default=WORKING_SHORT_SIDE_PX, help="of photographs, in px"
    )
    command.add_argument("--quality", type=int, default=QUALITY, help="of shrunk photographs, as JPEG")
    command.add_argument("--limit-mb", type=float, default=LIMIT_MB, help="largest size of the pack")
    command.set_defaults(run=_pack)


def _pack(arguments: argparse.Namespace) -> None:
    manifest = write_pack(
        arguments.photos,
        arguments.cutouts,
        arguments.out,
        licences=read_licences(arguments.licences),
        short_side_px=arguments.short_side,
        quality=arguments.quality,
        limit_mb=arguments.limit_mb,
    )
    log.info("wrote %s: photographs %s, objects %s", arguments.out, manifest.photos, manifest.cutouts)


def _add_export(tasks: Any) -> None:
    command = tasks.add_parser(
        "export", help="finished runs become a model folder, or an adapter's run one file"
    )
    command.add_argument("config", type=Path, help="the remover's YAML file of configs/train")
    command.add_argument("--photos", "--pack", type=Path, help="the photographs of the training")
    command.add_argument("--autoencoder", type=Path, help="the autoencoder's run")
    command.add_argument("--remover", type=Path, help="the remover's, or the adapter's, run")
    command.add_argument(
        "--begin", type=Path, help="the model that the runs began with; what has no run stays as it is there"
    )
    command.add_argument("--data", default="", help="with --begin: what the runs saw that the model had not")
    command.add_argument(
        "--alpha", type=Path, help="the run of the alpha head; else alpha is the remover's own"
    )
    command.add_argument(
        "--note", default="", help="what the model's record should say beside the configuration"
    )
    command.add_argument(
        "--share",
        type=float,
        default=1.0,
        help="with --begin: how far the weights go from that model's to the run's, 0 to 1",
    )
    command.add_argument(
        "--model",
        type=Path,
        default=bundled_model_path(),
        help="the folder to write; of an adapter a file that ends in .pth or .safetensors",
    )
    command.set_defaults(run=_export)


def _export(arguments: argparse.Namespace) -> None:
    if read_kind(arguments.config) == "sdxl_lora":
        _export_adapter(arguments)
        return
    if arguments.begin is not None:
        _renew(arguments)
        return
    for folder in ("photos", "autoencoder", "remover"):
        if getattr(arguments, folder) is None:
            raise ConfigError(f"The export of a compact model needs --{folder}: it holds both networks.")
    export_model(
        load_config(arguments.config, RemoverConfig),
        arguments.photos,
        arguments.autoencoder,
        arguments.remover,
        arguments.model,
        arguments.alpha,
        arguments.note,
    )


def _renew(arguments: argparse.Namespace) -> None:
    given: dict[Part, Path | None] = {"unet": arguments.remover, "alpha": arguments.alpha}
    runs = {part: run for part, run in given.items() if run is not None}
    if not runs:
        raise ConfigError(
            "An export with --begin needs --remover or --alpha: a run that began with that model."
        )
    if not 0 <= arguments.share <= 1:
        raise ConfigError(f"--share is {arguments.share}; expected a number from 0 to 1.")
    renew_model(arguments.begin, arguments.model, runs, arguments.data, arguments.note, arguments.share)


def _export_adapter(arguments: argparse.Namespace) -> None:
    from osor_video.training.sdxl import export_adapter  # noqa: PLC0415  (takes seconds to import)

    config = load_config(arguments.config, SdxlLoraConfig)
    if arguments.remover is None:
        raise ConfigError("The export of an adapter needs --remover: the run that trained it.")
    record = export_adapter(config, arguments.remover, arguments.model)
    log.info("wrote %s: phase %d, rank %d", arguments.model, record.phase, record.rank)


def _add_validate(tasks: Any) -> None:
    command = tasks.add_parser("validate", help="figures, tables and pictures of a model folder")
    command.add_argument("--model", type=Path, default=bundled_model_path(), help="the model folder")
    command.add_argument(
        "--photos", "--pack", type=Path, required=True, help="photographs; the held-out twelfth is used"
    )
    command.add_argument("--cutouts", type=Path, help="labelled photographs; likewise (a pack holds its own)")
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
    held_out = HeldOut(
        arguments.photos,
        cutouts_folder(arguments.photos, arguments.cutouts),
        arguments.plates,
        arguments.pairs,
    )
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


def _add_export_flow(tasks: Any) -> None:
    command = tasks.add_parser("export-flow", help="a flow run becomes one file of weights with its record")
    command.add_argument("config", type=Path, help="the YAML file of configs/train it was trained with")
    command.add_argument("--run", dest="folder", type=Path, required=True, help="the run")
    command.add_argument("--figures", type=Path, required=True, help="figures.json of validate-flow")
    command.add_argument("--file", type=Path, default=BUNDLED, help="the .safetensors file to write")
    command.set_defaults(run=_export_flow)


def _export_flow(arguments: argparse.Namespace) -> None:
    check_file_target(arguments.file, "--file", (".safetensors",))
    config = load_config(arguments.config, FlowTrainingConfig)
    log.info("wrote %s", export_flow(config, arguments.folder, arguments.figures, arguments.file))


def _add_export_refiner(tasks: Any) -> None:
    command = tasks.add_parser(
        "export-refiner", help="a refiner's run becomes a file of weights, with figures"
    )
    command.add_argument("config", type=Path, help="the YAML file of configs/train it was trained with")
    command.add_argument(
        "--photos", "--pack", type=Path, required=True, help="the photographs of the training"
    )
    command.add_argument("--cutouts", type=Path, help="labelled photographs; likewise (a pack holds its own)")
    command.add_argument("--run", dest="folder", type=Path, required=True, help="the run")
    command.add_argument("--file", type=Path, default=BUNDLED_REFINER, help="the .safetensors file to write")
    command.set_defaults(run=_export_refiner)


def _export_refiner(arguments: argparse.Namespace) -> None:
    check_file_target(arguments.file, "--file", (".safetensors",))
    objects = cutouts_folder(arguments.photos, arguments.cutouts)
    config = load_config(arguments.config, RefinerConfig)
    figures = export_refiner(config, arguments.photos, objects, arguments.folder, arguments.file)
    log.info("wrote %s: %s", arguments.file, json.dumps(figures))


def _add_validate_flow(tasks: Any) -> None:
    command = tasks.add_parser("validate-flow", help="a flow run beside DIS and other weights of RAFT-small")
    command.add_argument(
        "--photos", "--pack", type=Path, required=True, help="photographs; the held-out twelfth is used"
    )
    command.add_argument("--cutouts", type=Path, help="labelled photographs; likewise (a pack holds its own)")
    command.add_argument("--run", dest="folder", type=Path, help="the run")
    command.add_argument("--weights", type=Path, action="append", default=[], help="a raft_small state dict")
    command.add_argument("--pairs", type=_positive, default=64, help="held-out pairs to measure on")
    command.add_argument("--davis", type=Path, help="folder of JPEGImages/480p/ and Annotations/480p/")
    command.add_argument("--sequence", action="append", default=[], help="only this sequence of it")
    command.add_argument("--frames", type=_positive, help="only so many frames of each")
    command.add_argument("--track", action="store_true", help="also track the first mask (slow)")
    command.add_argument("--out", type=Path, required=True, help="folder of the figures and the picture")
    command.set_defaults(run=_validate_flow)


def _validate_flow(arguments: argparse.Namespace) -> None:
    check_folder_target(arguments.out, "--out")
    objects = cutouts_folder(arguments.photos, arguments.cutouts)
    estimators = candidates(arguments.folder, arguments.weights)
    sequences = held_out_sequences(arguments.photos, objects, arguments.pairs)
    real: Figures = {}
    if arguments.davis is not None:
        chosen = (arguments.davis, arguments.sequence, arguments.frames)
        real = compare_on_davis(estimators, *chosen, track=arguments.track)
    log.info("%s", json.dumps(validate_flow(estimators, sequences, real, arguments.out), indent=2))


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
