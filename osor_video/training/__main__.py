"""Making the compact model: ``python -m osor_video.training autoencoder|remover|export|validate CONFIG``.

``pack OUT`` writes photographs and objects as one small folder, which ``--pack`` takes in place of ``--photos`` and
``--cutouts``. ``savp SHOT CLEAN OUT`` makes effect-aware masks of before/after pictures. ``export`` of a configuration
of kind sdxl_lora writes the run's adapter: ``--remover RUN --model FILE.pth``.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from osor_video.errors import ConfigError, OsorError
from osor_video.removal.model import bundled_model_path
from osor_video.training.autoencoder import train_autoencoder
from osor_video.training.config import (
    AutoencoderConfig,
    RemoverConfig,
    SdxlLoraConfig,
    load_config,
    read_kind,
)
from osor_video.training.export import export_model
from osor_video.training.folders import write_effect_masks
from osor_video.training.pack import LIMIT_MB, QUALITY, cutouts_folder, read_licences, write_pack
from osor_video.training.photos import WORKING_SHORT_SIDE_PX
from osor_video.training.remover import train_remover
from osor_video.training.validate import validate_model, write_grids

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
    if arguments.task == "pack":
        _pack(arguments)
        return
    if arguments.task == "autoencoder":
        train_autoencoder(load_config(arguments.config, AutoencoderConfig), arguments.photos, arguments.out)
        return
    if arguments.task == "export" and read_kind(arguments.config) == "sdxl_lora":
        _export_adapter(arguments)
        return
    config = load_config(arguments.config, RemoverConfig)
    if arguments.task == "remover":
        objects = cutouts_folder(arguments.photos, arguments.cutouts)
        sources = (arguments.photos, objects, arguments.autoencoder)
        train_remover(config, *sources, arguments.out, arguments.plates)
    elif arguments.task == "export":
        for folder in ("photos", "autoencoder"):
            if getattr(arguments, folder) is None:
                raise ConfigError(f"The export of a compact model needs --{folder}: it holds both networks.")
        export_model(
            config,
            arguments.photos,
            arguments.autoencoder,
            arguments.remover,
            arguments.model,
            arguments.alpha,
        )
    else:
        objects = cutouts_folder(arguments.photos, arguments.cutouts)
        sources = (arguments.model, arguments.photos, objects)
        log.info("%s", json.dumps(validate_model(*sources, arguments.pairs, config.crop_px), indent=2))
        log.info("wrote %s", write_grids(*sources, arguments.out, config.crop_px))


def _export_adapter(arguments: argparse.Namespace) -> None:
    from osor_video.training.sdxl import export_adapter  # noqa: PLC0415  (takes seconds to import)

    config = load_config(arguments.config, SdxlLoraConfig)
    record = export_adapter(config, arguments.remover, arguments.model)
    log.info("wrote %s: phase %d, rank %d", arguments.model, record.phase, record.rank)


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
            names = ["--photos", "--pack"] if folder == "photos" else [f"--{folder}"]
            # An adapter's export needs neither photographs nor an autoencoder.
            is_optional = folder == "cutouts" or (task == "export" and folder != "remover")
            command.add_argument(*names, type=Path, required=not is_optional)
        if task == "remover":
            command.add_argument("--plates", type=Path, help="plates of your own: shot/, background/, masks")
        if task == "export":
            command.add_argument("--alpha", type=Path, help="the run of the alpha head")
        if task in ("export", "validate"):
            command.add_argument(
                "--model",
                type=Path,
                default=bundled_model_path(),
                help="the model folder or, of an adapter, its file",
            )
        if task == "validate":
            command.add_argument("--pairs", type=int, default=96, help="held-out pairs to measure on")
    _add_pack(tasks)
    savp = tasks.add_parser("savp", help="effect-aware masks of pictures with and without an object")
    savp.add_argument("shot", type=Path, help="the picture with the object, or a folder of such pictures")
    savp.add_argument("clean", type=Path, help="the same without it; in a folder under the same names")
    savp.add_argument("out", type=Path, help="a PNG (for folders a folder), white = object and effects")
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


if __name__ == "__main__":
    sys.exit(main())
