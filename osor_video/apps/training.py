"""The command train: one phase of the training, told by its configuration."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from osor_video.apps.progress import shown_progress
from osor_video.errors import ConfigError
from osor_video.removal.model import quiet_libraries
from osor_video.training.autoencoder import train_autoencoder
from osor_video.training.config import (
    AutoencoderConfig,
    FlowTrainingConfig,
    Kind,
    RemoverConfig,
    load_config,
    read_kind,
)
from osor_video.training.flow import train_flow
from osor_video.training.remover import train_remover

OBJECTS = "objects to paste, a folder of images/ and labels/"


@dataclass(frozen=True)
class Folders:
    """Where a run takes its pictures from, and ``out``, where its checkpoint and log lie."""

    photos: Path
    out: Path
    cutouts: Path | None
    autoencoder: Path | None
    plates: Path | None


def train(config_file: Path, folders: Folders, quiet: bool) -> str:
    """Train or go on training; returns what was done in one line. ConfigError where a folder is missing."""
    quiet_libraries()
    kind = read_kind(config_file)
    with shown_progress(quiet) as progress:
        if kind == "autoencoder":
            config = load_config(config_file, AutoencoderConfig)
            train_autoencoder(config, folders.photos, folders.out, progress)
        elif kind == "flow":
            train_flow(
                load_config(config_file, FlowTrainingConfig),
                folders.photos,
                _needed(folders.cutouts, kind, "--cutouts", OBJECTS),
                folders.out,
                progress,
            )
        else:
            train_remover(
                load_config(config_file, RemoverConfig),
                folders.photos,
                _needed(folders.cutouts, kind, "--cutouts", OBJECTS),
                _needed(folders.autoencoder, kind, "--autoencoder", "the run of the autoencoder"),
                folders.out,
                folders.plates,
                progress,
            )
    return f"{kind}: checkpoint and log in {folders.out}; the same command goes on from there"


def _needed(folder: Path | None, kind: Kind, option: str, what: str) -> Path:
    if folder is None:
        raise ConfigError(f"The training of the {kind} needs {option}: {what}.")
    return folder
