"""Layers that several networks are made of, and losses that several learn from."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class ResidualBlock(nn.Module):
    """x + conv(silu(conv(silu(x)))) at one width; the last convolution starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """[B, W, h, w] -> the same shape."""
        correction: Tensor = self.conv2(F.silu(self.conv1(F.silu(x))))
        return x + correction


def alpha_bce(alpha_logit: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Mean of w (-t log s - (1 - t) log(1 - s)), s = sigmoid(logit): binary cross entropy, each cell by its weight."""
    return F.binary_cross_entropy_with_logits(alpha_logit, target, weight)


def alpha_dice(alpha_logit: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """1 - (2 sum w s t + 1) / (sum w s + sum w t + 1) of each sample, averaged (soft Dice, Milletari 2016)."""
    alpha = weight * alpha_logit.sigmoid()
    overlap = (alpha * target).sum(dim=(1, 2, 3))
    size = (alpha + weight * target).sum(dim=(1, 2, 3))
    return (1 - (2 * overlap + 1) / (size + 1)).mean()
