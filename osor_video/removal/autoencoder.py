"""The compact autoencoder: a linear map of patches in, the same map back plus a learned correction out.

The encoder is one strided convolution, so a latent is a small picture of 8x8-patch components that moves and
scales as pictures do. The decoder adds what a linear map cannot know: detail across patch borders.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from osor_video.layers import ResidualBlock

FINISH_STRIDE = 2


class ConfiguredModule(nn.Module):
    """A network that a ``config.json`` describes, in the form of diffusers' networks."""

    def __init__(self, config: dict[str, Any]) -> None:
        super().__init__()
        self.config = config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """Build from the values of a ``config.json``."""
        return cls(**{key: value for key, value in config.items() if not key.startswith("_")})

    def save_config(self, folder: Path) -> None:
        """Write ``folder/config.json``."""
        values = {"_class_name": type(self).__name__, **self.config}
        (folder / "config.json").write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")


class PatchAutoencoder(ConfiguredModule):
    """Pictures [B, 3, H, W] in [-1, 1] to latents [B, C, H/stride, W/stride] and back."""

    def __init__(
        self,
        *,
        latent_channels: int = 16,
        stride: int = 8,
        decoder_width: int = 128,
        decoder_blocks: int = 4,
        finish_width: int = 32,
        finish_blocks: int = 2,
    ) -> None:
        super().__init__(
            {
                "latent_channels": latent_channels,
                "stride": stride,
                "decoder_width": decoder_width,
                "decoder_blocks": decoder_blocks,
                "finish_width": finish_width,
                "finish_blocks": finish_blocks,
            }
        )
        self.stride = stride
        self.encoder = nn.Conv2d(3, latent_channels, stride, stride=stride)
        self.linear = nn.Conv2d(latent_channels, 3 * stride**2, 1)
        self.trunk = nn.Sequential(
            nn.Conv2d(latent_channels, decoder_width, 3, padding=1),
            *(ResidualBlock(decoder_width) for _ in range(decoder_blocks)),
        )
        self.spread = nn.Conv2d(decoder_width, finish_width * (stride // FINISH_STRIDE) ** 2, 1)
        self.gather = nn.Conv2d(3 * FINISH_STRIDE**2, finish_width, 3, padding=1)
        self.finish = nn.Sequential(*(ResidualBlock(finish_width) for _ in range(finish_blocks)))
        self.out = nn.Conv2d(finish_width, 3 * FINISH_STRIDE**2, 3, padding=1)
        nn.init.zeros_(self.out.weight)

    @property
    def reach_cells(self) -> int:
        """How far a cell of the latent is seen in the decoded picture: what lies farther off does not depend on it."""
        trunk = 1 + 2 * (len(self.trunk) - 1)
        finish_px = FINISH_STRIDE * (2 + 2 * len(self.finish))
        return trunk + -(-finish_px // self.stride)

    def encode(self, pictures: Tensor) -> Tensor:
        """Latents; a linear function of the pictures."""
        z: Tensor = self.encoder(pictures)
        return z

    def decode(self, z: Tensor) -> Tensor:
        """Linear inverse, then a correction that sees neighbouring patches at half resolution."""
        coarse = F.pixel_shuffle(self.linear(z), self.stride)
        features = F.pixel_shuffle(self.spread(self.trunk(z)), self.stride // FINISH_STRIDE)
        features = features + self.gather(F.pixel_unshuffle(coarse, FINISH_STRIDE))
        return coarse + F.pixel_shuffle(self.out(F.silu(self.finish(features))), FINISH_STRIDE)

    @torch.no_grad()
    def set_components(self, mean: Tensor, rows: Tensor, inverse: Tensor) -> None:
        """Make encoder and linear decoder z = rows (p - mean), p = inverse z + mean for patches p.

        ``mean`` [3 s s], ``rows`` [C, 3 s s] and ``inverse`` [3 s s, C] are ordered (channel, y, x).
        """
        self.encoder.weight.copy_(rows.view_as(self.encoder.weight))
        self.encoder.bias.copy_(-rows @ mean)
        self.linear.weight.copy_(inverse.view_as(self.linear.weight))
        self.linear.bias.copy_(mean)
