"""What a training on pairs begins with: the run of an autoencoder, or a model folder whose networks learn on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from osor_video.errors import ConfigError
from osor_video.removal.autoencoder import PatchAutoencoder
from osor_video.removal.model import build_autoencoder, load_network
from osor_video.removal.record import RECORD_FILE, Architecture, ModelRecord
from osor_video.training.loop import load_averaged


@dataclass(frozen=True)
class Origin:
    """The frozen ``autoencoder``, the ``latent_scale`` if that is settled, and the ``model`` folder to go on from, if any."""

    autoencoder: PatchAutoencoder
    latent_scale: float | None
    model: Path | None

    @classmethod
    def open(cls, folder: Path, architecture: Architecture) -> Self:
        """Open a model folder or a finished run of the autoencoder; ConfigError or WeightsError where it is neither."""
        if not (folder / RECORD_FILE).exists():
            return cls(load_autoencoder(architecture, folder), None, None)
        autoencoder = load_network(folder / "vae")
        if not isinstance(autoencoder, PatchAutoencoder):
            raise ConfigError(f"{folder} is a model of another kind; expected the folder of a compact one.")
        scale = ModelRecord.read(folder).latent_scale
        return cls(autoencoder.eval().requires_grad_(False), scale, folder)

    def begin(self, network: Any, part: str) -> None:
        """Give ``network`` the weights of that ``part`` of the model; without one it keeps those it has."""
        if self.model is None:
            return
        weights = load_network(self.model / part).state_dict()
        shapes = (
            {name: tuple(tensor.shape) for name, tensor in state.items()}
            for state in (network.state_dict(), weights)
        )
        if next(shapes) != next(shapes):
            raise ConfigError(
                f"{self.model / part} has other layers than the configuration asks for; give it the model's architecture."
            )
        network.load_state_dict(weights)


def load_autoencoder(architecture: Architecture, folder: Path) -> PatchAutoencoder:
    """The averaged autoencoder of a finished run, frozen."""
    autoencoder = build_autoencoder(architecture)
    load_averaged(autoencoder, folder)
    autoencoder.eval().requires_grad_(False)
    return autoencoder
