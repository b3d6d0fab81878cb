"""A frozen feature network for the losses on pictures: the packaged one by default, any of timm's from a file."""

from __future__ import annotations

from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Self

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from osor_video.errors import ConfigError, WeightsError
from osor_video.masks.features import MEAN, SPREAD, packaged_network

PACKAGED = "efficientnet-lite0"
STAGES = (0, 1, 2, 3)
"""Of five: the coarsest stage knows what a picture shows and not where."""
PROBE_PX = 64


class Backbone(nn.Module):
    """Pictures to feature maps; ``name`` says which weights answer, ``channels`` the width of each map.

    It is always in evaluation mode and its weights take no gradient; the picture does.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, name: str, net: nn.Module, mean: tuple[float, ...], spread: tuple[float, ...]) -> None:
        super().__init__()
        self.name, self.net = name, net
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("spread", torch.tensor(spread).view(1, 3, 1, 1))
        self.eval().requires_grad_(False)
        with torch.no_grad():
            maps = self(torch.zeros(1, 3, PROBE_PX, PROBE_PX))
        self.channels = tuple(int(stage.shape[1]) for stage in maps)

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode, whatever is asked: the batch statistics are the trained ones."""
        del mode
        super().train(False)
        return self

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """[B, 3, H, W] in [0, 1], sides in multiples of 16 -> maps [B, C_i, h_i, w_i], the finest first."""
        return list(self.net((pictures - self.mean) / self.spread))


class _Intermediates(nn.Module):
    """The stages of a whole timm network."""

    def __init__(self, whole: Any) -> None:
        super().__init__()
        self.whole = whole

    def forward(self, x: Tensor) -> list[Tensor]:
        maps: list[Tensor] = self.whole.forward_intermediates(
            x, indices=list(STAGES), stop_early=True, intermediates_only=True
        )
        return maps


def build_backbone(name: str = PACKAGED, weights: Path | None = None) -> Backbone:
    """The packaged EfficientNet-Lite0, or timm's network ``name`` with the weights of a file.

    Nothing is downloaded: ConfigError where the two options do not fit, WeightsError where the file does not.
    """
    if name == PACKAGED:
        if weights is not None:
            raise ConfigError(f"{PACKAGED} has packaged weights; leave backbone_weights out, not {weights}.")
        return Backbone(PACKAGED, packaged_network(STAGES), (MEAN,) * 3, (SPREAD,) * 3)
    if weights is None:
        raise ConfigError(f"The backbone {name!r} needs backbone_weights, the file of its weights.")
    whole = _load_timm(name, weights)
    known = whole.pretrained_cfg
    return Backbone(f"{name} ({weights.name})", _Intermediates(whole), known["mean"], known["std"])


def _load_timm(name: str, weights: Path) -> Any:
    import timm  # noqa: PLC0415  (takes seconds to import)

    if not timm.is_model(name):
        raise ConfigError(
            f"timm knows no backbone {name!r}; take {PACKAGED} or a name of timm.list_models()."
        )
    try:
        # The whole network, because timm loads one cut down to its features without checking every name.
        return timm.create_model(name, pretrained=True, pretrained_cfg_overlay={"file": str(weights)})
    except (OSError, RuntimeError, KeyError, UnpicklingError, SafetensorError) as error:
        raise WeightsError(f"{weights} does not hold the weights of timm's {name}: {error}") from error
