"""The command train: one phase of the training, told by its configuration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from osor_video.apps.progress import shown_progress
from osor_video.errors import ConfigError
from osor_video.removal.model import quiet_libraries
from osor_video.report import Progress
from osor_video.training.alpha import train_alpha
from osor_video.training.autoencoder import train_autoencoder
from osor_video.training.config import (
    AlphaConfig,
    AutoencoderConfig,
    FlowTrainingConfig,
    Kind,
    RefinerConfig,
    RemoverConfig,
    SdxlLoraConfig,
    load_config,
    read_kind,
)
from osor_video.training.flow import train_flow
from osor_video.training.pack import cutouts_folder
from osor_video.training.refiner import train_refiner
from osor_video.training.remover import train_remover

T = TypeVar("T")


@dataclass(frozen=True)
class Folders:
    """Where a run takes its pictures from, and ``out``, where its checkpoint and log lie."""

    photos: Path
    out: Path
    cutouts: Path | None
    autoencoder: Path | None
    plates: Path | None
    begin: Path | None = None
    """A model folder, compact, whose networks learn on; it stands in for ``autoencoder``."""


@dataclass(frozen=True)
class Weights:
    """What a LoRA run begins with: a ``base`` by folder or name, an ``adapter``, ready ``prompt`` embeddings."""

    base: str | None = None
    adapter: Path | None = None
    prompt: Path | None = None


def train(config_file: Path, folders: Folders, weights: Weights, quiet: bool) -> str:
    """Train or go on training; returns what was done in one line. ConfigError where a folder is missing."""
    quiet_libraries()
    kind = read_kind(config_file)
    with shown_progress(quiet) as progress:
        if kind == "autoencoder":
            config = load_config(config_file, AutoencoderConfig)
            train_autoencoder(config, folders.photos, folders.out, progress)
        elif kind == "sdxl_lora":
            _train_lora(config_file, folders, weights, progress)
        elif kind == "flow":
            objects = cutouts_folder(folders.photos, folders.cutouts)
            flow_config = load_config(config_file, FlowTrainingConfig)
            train_flow(flow_config, folders.photos, objects, folders.out, progress)
        elif kind == "refiner":
            objects = cutouts_folder(folders.photos, folders.cutouts)
            refiner_config = load_config(config_file, RefinerConfig)
            train_refiner(refiner_config, folders.photos, objects, folders.out, progress)
        else:
            sources = (
                folders.photos,
                cutouts_folder(folders.photos, folders.cutouts),
                _origin(folders, kind),
                folders.out,
                folders.plates,
                progress,
            )
            if kind == "alpha":
                train_alpha(load_config(config_file, AlphaConfig), *sources)
            else:
                train_remover(load_config(config_file, RemoverConfig), *sources)
    return f"{kind}: checkpoint and log in {folders.out}; the same command goes on from there"


def _train_lora(config_file: Path, folders: Folders, weights: Weights, progress: Progress) -> None:
    from osor_video.training.sdxl import Beginning, train_sdxl_lora  # noqa: PLC0415  (takes seconds to import)

    what = "an SDXL inpainting base, a folder or a name on the hub"
    base = _needed(weights.base, "sdxl_lora", "--base", what)
    train_sdxl_lora(
        load_config(config_file, SdxlLoraConfig),
        Beginning(base, weights.adapter, weights.prompt),
        folders.photos,
        cutouts_folder(folders.photos, folders.cutouts),
        folders.out,
        folders.plates,
        progress,
    )


def _origin(folders: Folders, kind: Kind) -> Path:
    if folders.begin is not None and folders.autoencoder is not None:
        raise ConfigError("--begin brings an autoencoder of its own; leave --autoencoder out.")
    what = "the run of the autoencoder (or --begin: a model to train on)"
    return _needed(folders.begin or folders.autoencoder, kind, "--autoencoder", what)


def _needed(given: T | None, kind: Kind, option: str, what: str) -> T:
    if given is None:
        raise ConfigError(f"The training of the {kind} needs {option}: {what}.")
    return given
