"""What is asked of the decoded picture: to look like the clean one, and to pass for an untouched one."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch
from torch import Tensor

from osor_video.training.adversarial import PatchHeads, discriminator_loss, generator_loss, r1_penalty
from osor_video.training.backbone import Backbone, build_backbone
from osor_video.training.config import RemovalTrainingConfig
from osor_video.training.losses import masked_l1, perceptual_distance

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PictureLoss:
    """L1 of the pixels, and perceptual and adversarial loss on the features of one frozen network."""

    config: RemovalTrainingConfig
    backbone: Backbone
    heads: PatchHeads | None = None
    """The discriminator, on the same device; None leaves the adversarial part out."""

    def __call__(self, fake: Tensor, real: Tensor, made: Tensor) -> tuple[Tensor, dict[str, float]]:
        """x L1 + p perceptual + a generator + (discriminator + r R1), and the figures of each.

        ``fake``, ``real`` [B, 3, H, W] in [0, 1]; ``made`` [B, 1, H, W], 1 where the fake picture was filled. The
        bracket has a gradient to the heads alone and the rest none to them, so one backward pass serves both sides.
        """
        fake_maps = self.backbone(fake)
        with torch.no_grad():
            real_maps = self.backbone(real)
        pixels = masked_l1(fake, real, made)
        distance = perceptual_distance(fake_maps, real_maps, made)
        loss = self.config.pixel_weight * pixels + self.config.perceptual_weight * distance
        figures = {"pixels": float(pixels.detach()), "perceptual": float(distance.detach())}
        if self.heads is not None:
            contest, more = self._contest(self.heads, fake_maps, real_maps, made)
            loss, figures = loss + contest, figures | more
        return loss, figures

    def _contest(
        self, heads: PatchHeads, fake_maps: list[Tensor], real_maps: list[Tensor], made: Tensor
    ) -> tuple[Tensor, dict[str, float]]:
        generator = generator_loss(heads.frozen(fake_maps), made)
        judged = heads([stage.detach() for stage in fake_maps])
        discriminator = discriminator_loss(heads(real_maps), judged, made)
        # Weighted before it is logged: by itself it is about 1e-5.
        r1 = self.config.r1_weight * r1_penalty(heads, real_maps)
        loss = self.config.adversarial_weight * generator + discriminator + r1
        parts = (("generator", generator), ("discriminator", discriminator), ("r1", r1))
        return loss, {name: float(value.detach()) for name, value in parts}


def build_picture_loss(config: RemovalTrainingConfig) -> PictureLoss | None:
    """The loss that ``config`` asks for, None where it asks for none; heads from torch's global generator."""
    if not config.judges_pictures:
        return None
    backbone = build_backbone(config.backbone, config.backbone_weights).to(config.loop.device)
    log.info("pictures are judged on the features of %s", backbone.name)
    is_contested = config.adversarial_weight > 0
    heads = PatchHeads(backbone.channels).to(config.loop.device) if is_contested else None
    return PictureLoss(config, backbone, heads)
