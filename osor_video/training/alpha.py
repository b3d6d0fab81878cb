"""Training of the alpha head: object and effects, whatever is missing from the user's mask (OSOR's phase 2)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from osor_video.removal.alpha import AlphaFinder, build_alpha_head
from osor_video.removal.step import interpolate_hole, latent_mask
from osor_video.report import Progress, silent
from osor_video.training.config import AlphaConfig
from osor_video.training.origin import Origin
from osor_video.training.remover import (
    STRIDE,
    Batch,
    LatentCoder,
    Sources,
    alpha_loss,
    scaled_latent,
    train_on_pairs,
)


@dataclass(frozen=True)
class AlphaLoss:
    """The objective of the head, with the frozen parts it needs."""

    autoencoder: LatentCoder
    latent_scale: float
    finder: AlphaFinder
    """Lends its frozen network; its head is the one in training."""
    config: AlphaConfig
    pictures: None = None

    def __call__(self, head: Any, batch: Batch, eps: Tensor) -> tuple[Tensor, dict[str, float]]:
        """``alpha_loss`` of alpha and of the object, added; ``eps`` has no part in it."""
        del eps
        _, _, mask, effect_mask, object_mask, _ = batch
        masked = latent_mask(mask, STRIDE)
        logits = self._logits(head, batch)
        loss, figures = alpha_loss(logits[:, :1], F.avg_pool2d(effect_mask, STRIDE), masked, self.config)
        more, others = alpha_loss(logits[:, 1:], F.avg_pool2d(object_mask, STRIDE), masked, self.config)
        return loss + more, figures | {f"object_{name}": value for name, value in others.items()}

    @torch.no_grad()
    def show(self, head: Any, batch: Batch, eps: Tensor) -> list[Tensor]:
        """Shot, mask, alpha as found and as it is, the object as found."""
        del eps
        shot, _, mask, effect_mask, *_ = batch
        alpha, found_object = self._logits(head, batch).sigmoid().split(1, dim=1)
        return [shot, mask, alpha, effect_mask, found_object]

    def _logits(self, head: Any, batch: Batch) -> Tensor:
        shot, _, mask, *_ = batch
        z, start = (
            scaled_latent(self.autoencoder, self.latent_scale, pictures)
            for pictures in (shot, interpolate_hole(shot, mask))
        )
        logits: Tensor = head(self.finder.look(shot), z, start, mask)
        return logits.float()


def train_alpha(
    config: AlphaConfig,
    photos_folder: Path,
    cutouts_folder: Path,
    origin_folder: Path,
    out: Path,
    plates_folder: Path | None = None,
    progress: Progress = silent,
) -> nn.Module:
    """Train (or go on training) the head in ``out``; returns the averaged one.

    ``origin_folder`` is a run of the autoencoder, or a model folder whose head learns on.
    """
    torch.set_num_threads(config.loop.threads)
    torch.manual_seed(config.loop.seed)
    sources = Sources.open(photos_folder, cutouts_folder, plates_folder)
    origin = Origin.open(origin_folder, config.architecture, sources.photos)
    device = torch.device(config.loop.device)
    head = build_alpha_head(config.architecture)
    origin.begin(head, "alpha")
    finder = AlphaFinder.around(head).to(device, memory_format=torch.channels_last)
    objective = AlphaLoss(origin.autoencoder.to(device), origin.latent_scale, finder, config)
    return train_on_pairs(head, objective, sources, config.architecture.latent_channels, out, progress)
