"""What a training on pairs begins with: the run of an autoencoder, or a model folder whose networks learn on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from osor_video.errors import ConfigError
from osor_video.removal.autoencoder import PatchAutoencoder
from osor_video.removal.model import build_autoencoder, load_network
from osor_video.removal.record import RECORD_FILE, Architecture, ModelRecord
from osor_video.tensors import picture_to_tensor
from osor_video.training.loop import load_averaged
from osor_video.training.photos import random_crop, read_photo


@dataclass(frozen=True)
class Origin:
    """The frozen ``autoencoder``, the scale of its latents, and the ``model`` folder to go on from, if any."""

    autoencoder: PatchAutoencoder
    latent_scale: float
    model: Path | None

    @classmethod
    def open(cls, folder: Path, architecture: Architecture, photos: list[Path]) -> Self:
        """Open a model folder or a finished run of the autoencoder; ConfigError or WeightsError where it is neither.

        Of a run the scale is measured on ``photos``.
        """
        if not (folder / RECORD_FILE).exists():
            autoencoder = load_autoencoder(architecture, folder)
            return cls(autoencoder, measure_latent_scale(autoencoder, photos), None)
        autoencoder = load_network(folder / "vae")
        if not isinstance(autoencoder, PatchAutoencoder):
            raise ConfigError(f"{folder} is a model of another kind; expected the folder of a compact one.")
        scale = ModelRecord.read(folder).latent_scale
        return cls(autoencoder.eval().requires_grad_(False), scale, folder)

    def begin(self, network: Any, part: str) -> None:
        """Give ``network`` the weights of that ``part`` of the model; without one it keeps those it has."""
        if self.model is None:
            return
        try:
            network.load_state_dict(load_network(self.model / part).state_dict())
        except RuntimeError as error:
            raise ConfigError(
                f"{self.model / part} has other layers than the configuration asks for; give it the model's architecture."
            ) from error


def load_autoencoder(architecture: Architecture, folder: Path) -> PatchAutoencoder:
    """The averaged autoencoder of a finished run, frozen."""
    autoencoder = build_autoencoder(architecture)
    load_averaged(autoencoder, folder)
    autoencoder.eval().requires_grad_(False)
    return autoencoder


def measure_latent_scale(autoencoder: PatchAutoencoder, photos: list[Path]) -> float:
    """1 / standard deviation of the latents of one crop of each photograph."""
    random = np.random.default_rng(0)
    with torch.inference_mode():
        crops = [random_crop(read_photo(photo), 192, 448, random) for photo in photos]
        latents = torch.cat([autoencoder.encode(picture_to_tensor(crop) * 2 - 1) for crop in crops])
    return round(float(1 / latents.std()), 4)
