"""Where the object is, and where its effects are too: both from features trained for recognition.

A network trained from scratch on pairs made from photographs sees shadows late: a whole UNet of 7M parameters found a
tenth of their area after 40 000 pairs. This head reads the same latents beside ImageNet features of the frame, and
found four times as much after 2 000.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from osor_video.layers import ResidualBlock
from osor_video.masks.features import MEAN, SPREAD, packaged_network
from osor_video.removal.autoencoder import ConfiguredModule
from osor_video.removal.record import Architecture

STAGES = (1, 2, 3, 4)
"""Of EfficientNet-Lite0: strides 4, 8, 16 and 32."""
CHANNELS = (24, 40, 112, 320)
FIRST_LOGIT = -2.0
"""An eighth: about the share of a pair that object and effects cover."""


class AlphaHead(ConfiguredModule):
    """From the features' stages and the latents to two logits a latent cell, coarse to fine.

    The first is alpha, object and effects; the second the object alone, whatever the user's mask has missed of it.
    """

    def __init__(self, *, latent_channels: int = 16, width: int = 96) -> None:
        super().__init__({"latent_channels": latent_channels, "width": width})
        fine, middle, coarse, coarsest = CHANNELS
        self.enter8 = nn.Conv2d(fine + middle + 2 * latent_channels + 1, width, 1)
        self.enter16 = nn.Conv2d(coarse + 1, width, 1)
        self.enter32 = nn.Conv2d(coarsest + 1, width, 1)
        self.blocks8 = nn.Sequential(*(ResidualBlock(width) for _ in range(3)))
        self.blocks16 = nn.Sequential(*(ResidualBlock(width) for _ in range(2)))
        self.blocks32 = nn.Sequential(*(ResidualBlock(width) for _ in range(2)))
        self.out = nn.Conv2d(width, 2, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.constant_(self.out.bias, FIRST_LOGIT)

    def forward(self, stages: list[Tensor], z: Tensor, start: Tensor, mask: Tensor) -> Tensor:
        """Maps of ``STAGES``; ``z`` and ``start`` [B, C, h, w], ``mask`` [B, 1, h, w] -> logits [B, 2, h, w].

        Cells are 8 px; h and w multiples of 4.
        """
        fine, middle, coarse, coarsest = stages
        mask16 = F.max_pool2d(mask, 2)
        mask32 = F.max_pool2d(mask16, 2)
        x32 = self.blocks32(self.enter32(torch.cat([coarsest, mask32], dim=1)))
        x16 = self.blocks16(self.enter16(torch.cat([coarse, mask16], dim=1)) + _raised(x32, coarse))
        near = torch.cat([F.avg_pool2d(fine, 2), middle, z, start, mask], dim=1)
        logits: Tensor = self.out(F.silu(self.blocks8(self.enter8(near) + _raised(x16, middle))))
        return logits


def build_alpha_head(architecture: Architecture) -> AlphaHead:
    """A fresh head that finds nothing yet; its random weights come from torch's global generator."""
    return AlphaHead(latent_channels=architecture.latent_channels, width=architecture.alpha_width)


class AlphaFinder(nn.Module):
    """The head with the frozen network whose features it reads."""

    def __init__(self, head: AlphaHead, network: Any) -> None:
        super().__init__()
        self.head = head
        self.network = network.eval().requires_grad_(False)

    @classmethod
    def around(cls, head: AlphaHead) -> AlphaFinder:
        """``head`` with the packaged network; WeightsError where its package is damaged or missing."""
        return cls(head, packaged_network(STAGES))

    def forward(self, image: Tensor, z: Tensor, start: Tensor, mask: Tensor) -> Tensor:
        """``image`` [B, 3, 8h, 8w] in [0, 1]; the rest as ``AlphaHead`` takes it."""
        logits: Tensor = self.head(self.look(image), z, start, mask)
        return logits

    @torch.no_grad()
    def look(self, image: Tensor) -> list[Tensor]:
        """The features' stages of ``image`` [B, 3, 8h, 8w] in [0, 1]."""
        pixels = (image - MEAN) / SPREAD
        return list(self.network(pixels.contiguous(memory_format=torch.channels_last)))


def _raised(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)
