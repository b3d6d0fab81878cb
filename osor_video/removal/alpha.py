"""Where the object is, and where its effects are too: both from features trained for recognition.

A network trained from scratch on pairs made from photographs sees shadows late: a whole UNet of 7M parameters found a
tenth of their area after 40 000 pairs. This head reads the same latents beside ImageNet features of the frame, and
found four times as much after 2 000.

Where an effect may lie is told by geometry: every cell knows where it is as seen from the object's foot, in units of the
object's size, so that the picture's scale does not matter; it sees what stands mirrored in the foot's line, as still water
would show it; and at stride 16 cells attend to each other, so that a shadow can look for what casts it. Recognition is
trained to overlook light, so the coarse stages see the latents too, and what the fine cells found goes up to stride 16 once
more: a long shadow is dark all along, and one with its object.
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
from osor_video.removal.step import raised

STAGES = (1, 2, 3, 4)
"""Of EfficientNet-Lite0: strides 4, 8, 16 and 32."""
CHANNELS = (24, 40, 112, 320)
FIRST_LOGIT = -2.0
"""An eighth: about the share of a pair that object and effects cover."""
FARTHEST = 4.0
"""Object sizes from its foot beyond which a cell is merely far away."""
WAVES = (0.5, 1.0, 2.0)
"""Of places, per object size."""
PLACE_CHANNELS = 3 + 4 * len(WAVES)
ATTENTION_HEADS = 4


class AlphaHead(ConfiguredModule):
    """From the features' stages and the latents to two logits a latent cell, coarse to fine.

    The first is alpha, object and effects; the second the object alone, whatever the user's mask has missed of it.
    """

    def __init__(self, *, latent_channels: int = 16, width: int = 96) -> None:
        super().__init__({"latent_channels": latent_channels, "width": width})
        fine, middle, coarse, coarsest = CHANNELS
        # What is finer than a cell enters as it is: whether the mask ends where the object does is seen there.
        entering = 4 * fine + middle + 2 * latent_channels + 1 + PLACE_CHANNELS + 4
        self.enter8 = nn.Conv2d(entering, width, 1)
        self.enter16 = nn.Conv2d(coarse + 1 + PLACE_CHANNELS, width, 1)
        self.enter32 = nn.Conv2d(coarsest + 1 + PLACE_CHANNELS, width, 1)
        self.mirrored8 = nn.Conv2d(width, width, 1)
        self.blocks8 = nn.Sequential(*(ResidualBlock(width) for _ in range(3)))
        self.blocks16 = nn.Sequential(*(ResidualBlock(width) for _ in range(2)))
        self.blocks32 = nn.Sequential(*(ResidualBlock(width) for _ in range(2)))
        self.around16 = nn.ModuleList(AttentionBlock(width, PLACE_CHANNELS) for _ in range(2))
        self.tones16 = nn.Conv2d(2 * latent_channels, width, 1)
        self.tones32 = nn.Conv2d(2 * latent_channels, width, 1)
        self.lower16 = nn.Conv2d(width, width, 2, stride=2)
        self.again16 = nn.ModuleList(AttentionBlock(width, PLACE_CHANNELS) for _ in range(2))
        self.settle16 = ResidualBlock(width)
        self.again8 = nn.Conv2d(width, width, 1)
        self.settle8 = nn.Sequential(*(ResidualBlock(width) for _ in range(2)))
        self.out = nn.Conv2d(width, 2, 3, padding=1)
        # These begin as nothing, so that they can join a head that has learnt without them.
        for late in (self.tones16, self.tones32, self.again8):
            nn.init.zeros_(late.weight)
            nn.init.zeros_(late.bias)
        nn.init.zeros_(self.out.weight)
        nn.init.constant_(self.out.bias, FIRST_LOGIT)

    def forward(self, stages: list[Tensor], z: Tensor, start: Tensor, mask: Tensor) -> Tensor:
        """Maps of ``STAGES``; ``z`` and ``start`` [B, C, h, w], ``mask`` [B, 1, 8h, 8w] of 0 and 1 -> logits [B, 2, h, w].

        Cells are 8 px; h and w multiples of 4.
        """
        fine, middle, coarse, coarsest = stages
        mask8, mask16, mask32 = (F.max_pool2d(mask, stride) for stride in (8, 16, 32))
        foot, place = seen_from_foot(mask8)
        place16, place32 = F.avg_pool2d(place, 2), F.avg_pool2d(place, 4)
        tones16 = F.avg_pool2d(torch.cat([z, start], dim=1), 2)
        tones32 = F.avg_pool2d(tones16, 2)
        x32 = self.enter32(torch.cat([coarsest, mask32, place32], dim=1)) + self.tones32(tones32)
        x16 = self.enter16(torch.cat([coarse, mask16, place16], dim=1)) + self.tones16(tones16)
        x16 = x16 + raised(self.blocks32(x32), coarse)
        x16 = self.blocks16(x16)
        for block in self.around16:
            x16 = block(x16, place16)
        finer = F.pixel_unshuffle(fine, 2), F.pixel_unshuffle(F.avg_pool2d(mask, 4), 2)
        near = torch.cat([finer[0], middle, z, start, mask8, place, finer[1]], dim=1)
        x8 = self.enter8(near) + raised(x16, middle)
        x8 = x8 + self.mirrored8(mirrored(x8, foot))
        x8 = self.blocks8(x8)
        x16 = x16 + self.lower16(x8)
        for block in self.again16:
            x16 = block(x16, place16)
        x8 = self.settle8(x8 + self.again8(raised(self.settle16(x16), middle)))
        logits: Tensor = self.out(F.silu(x8))
        return logits


class AttentionBlock(nn.Module):
    """Every cell looks at all others (Vaswani et al., "Attention Is All You Need", 2017), knowing the places of both."""

    def __init__(self, width: int, place_channels: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.ask = nn.Linear(width + place_channels, 2 * width)
        self.say = nn.Linear(width + place_channels, width)
        self.hear = nn.Linear(width, width)
        self.think = nn.Sequential(nn.Linear(width, 2 * width), nn.SiLU(), nn.Linear(2 * width, width))
        for last in (self.hear, self.think[2]):
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, x: Tensor, place: Tensor) -> Tensor:
        """[B, W, h, w] and the places [B, P, h, w] -> the shape of the first."""
        cells, places = (part.flatten(2).transpose(1, 2) for part in (x, place))
        seen = torch.cat([self.norm1(cells), places], dim=2)
        queries, keys = self.ask(seen).chunk(2, dim=2)
        parts = (_heads(part) for part in (queries, keys, self.say(seen)))
        heard = F.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2)
        cells = cells + self.hear(heard)
        cells = cells + self.think(self.norm2(cells))
        return cells.transpose(1, 2).reshape(x.shape)


def seen_from_foot(mask: Tensor) -> tuple[Tensor, Tensor]:
    """Where the object of ``mask`` [B, 1, h, w] ends below, and where every cell lies as seen from there.

    The first is the row below its lowest one, [B]; the second holds x, y from the middle of its lower edge (x right, y down) in
    units of its longer side, waves of both, and the logarithm of that side over the picture's, [B, PLACE_CHANNELS, h, w]. Where
    nothing is masked the whole picture is the object.
    """
    height, width = mask.shape[-2:]
    top, foot = _ends(mask.amax(dim=(1, 3)))
    left, right = _ends(mask.amax(dim=(1, 2)))
    side = torch.maximum(foot - top, right - left)
    middle = (left + right) / 2
    rows = torch.arange(height, device=mask.device, dtype=mask.dtype) + 0.5
    columns = torch.arange(width, device=mask.device, dtype=mask.dtype) + 0.5
    y = ((rows - foot[:, None]) / side[:, None])[:, :, None].expand(-1, -1, width)
    x = ((columns - middle[:, None]) / side[:, None])[:, None].expand(-1, height, -1)
    size = (side / max(height, width)).log()[:, None, None].expand_as(x)
    near = [torch.tanh(part / FARTHEST) for part in (x, y)]
    waves = [
        wave(torch.pi * rate * part.clamp(-FARTHEST, FARTHEST))
        for rate in WAVES
        for part in (x, y)
        for wave in (torch.sin, torch.cos)
    ]
    return foot, torch.stack([*near, size, *waves], dim=1)


def _ends(line: Tensor) -> tuple[Tensor, Tensor]:
    """First marked cell of each ``line`` [B, n] and the one after the last, [B]; all of it where none is."""
    count = line.shape[1]
    marked, index = line > 0, torch.arange(count, device=line.device, dtype=line.dtype)
    none = ~marked.any(dim=1)
    first = torch.where(marked, index, count).amin(dim=1).masked_fill(none, 0)
    last = torch.where(marked, index, -1).amax(dim=1).masked_fill(none, count - 1)
    return first, last + 1


def mirrored(x: Tensor, foot: Tensor) -> Tensor:
    """``x`` [B, C, h, w] mirrored in the line above the row ``foot`` [B]; zero where the picture has nothing to show."""
    height = x.shape[2]
    rows = torch.arange(height, device=x.device)
    there = 2 * foot.long()[:, None] - 1 - rows
    inside = (there >= 0) & (there < height)
    index = there.clamp(0, height - 1)[:, None, :, None].expand(-1, x.shape[1], -1, x.shape[3])
    return x.gather(2, index) * inside[:, None, :, None].to(x)


def _heads(x: Tensor) -> Tensor:
    """[B, n, W] -> [B, heads, n, W / heads]."""
    return x.unflatten(2, (ATTENTION_HEADS, -1)).transpose(1, 2)


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

    @torch.no_grad()
    def look(self, image: Tensor) -> list[Tensor]:
        """The features' stages of ``image`` [B, 3, 8h, 8w] in [0, 1]."""
        pixels = (image - MEAN) / SPREAD
        return list(self.network(pixels.contiguous(memory_format=torch.channels_last)))
