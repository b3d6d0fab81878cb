"""An occupancy-guided discriminator: small patch heads on frozen features, and its losses (OSOR, arXiv 2606.28094).

Convention: ``maps`` feature maps [B, C_i, h_i, w_i], ``logits`` one map [B, 1, h_i, w_i] a head, high where a patch
looks untouched; ``made`` [B, 1, H, W] in [0, 1] is 1 where the network made the pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Maps = Sequence[Tensor]


class PatchHeads(nn.Module):
    """A head of three convolutions for each feature map: each logit sees 3 x 3 cells of it.

    No spectral norm: the penalty on the heads' inputs bounds their slope already, and power iteration would
    change the heads in every forward pass.
    """

    def __init__(self, channels: Sequence[int], width: int = 64) -> None:
        super().__init__()
        self.heads = nn.ModuleList(_head(count, width) for count in channels)

    def forward(self, maps: Maps) -> list[Tensor]:
        """Feature maps -> logits of the same grids."""
        return [head(stage) for head, stage in zip(self.heads, maps, strict=True)]

    def frozen(self, maps: Maps) -> list[Tensor]:
        """The same logits, with a gradient to the maps and none to the heads."""
        weights = {name: weight.detach() for name, weight in self.named_parameters()}
        logits: list[Tensor] = torch.func.functional_call(self, weights, (maps,))
        return logits


def _head(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, width, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, 1, 1),
    )


def occupancy(made: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """The made share o of each patch, [B, 1, h, w]: ``made`` averaged over the patch's area."""
    return F.adaptive_avg_pool2d(made, size_hw)


def occupancy_target(made: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """What a head should say of a patch of a filled picture: 1 - o."""
    return 1 - occupancy(made, size_hw)


def discriminator_loss(real: Maps, fake: Maps, made: Tensor) -> Tensor:
    """Mean over heads of BCE(real, 1) + BCE(fake, 1 - o), for logits of clean and of filled pictures."""
    losses = [
        F.binary_cross_entropy_with_logits(r, torch.ones_like(r))
        + F.binary_cross_entropy_with_logits(f, occupancy_target(made, _grid(f)))
        for r, f in zip(real, fake, strict=True)
    ]
    return torch.stack(losses).mean()


def generator_loss(fake: Maps, made: Tensor) -> Tensor:
    """Mean over heads of sum o softplus(-l) / sum o, that is -log sigmoid(l) weighted by the made share o."""
    losses = []
    for logits in fake:
        share = occupancy(made, _grid(logits))
        losses.append((share * F.softplus(-logits)).sum() / share.sum().clamp(min=1e-6))
    return torch.stack(losses).mean()


def r1_penalty(heads: Callable[[Maps], Maps], maps: Maps) -> Tensor:
    """Mean over heads and batch of |d D / d maps|^2, D the mean logit of a sample (R1, Mescheder 2018, eq. 9).

    The inputs are the frozen features and not the picture. D is a mean over the patches, so the penalty of one
    linear head w on an h x w grid is |w|^2 / (h w).
    """
    inputs = [stage.detach().requires_grad_() for stage in maps]
    total = torch.stack([logits.mean(dim=(1, 2, 3)).sum() for logits in heads(inputs)]).sum()
    slopes = torch.autograd.grad(total, inputs, create_graph=True)
    return torch.stack([slope.square().sum(dim=(1, 2, 3)).mean() for slope in slopes]).mean()


def _grid(logits: Tensor) -> tuple[int, int]:
    return int(logits.shape[-2]), int(logits.shape[-1])
