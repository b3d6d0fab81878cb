"""Losses as small pure functions, each with its formula."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def gradient_l1(picture: Tensor, target: Tensor, scales: int = 2) -> Tensor:
    """Mean |d picture - d target| of x and y differences, averaged over ``scales`` halvings of both."""
    total = picture.new_zeros(())
    for _ in range(scales):
        difference = picture - target
        total = total + difference.diff(dim=-1).abs().mean() + difference.diff(dim=-2).abs().mean()
        picture, target = F.avg_pool2d(picture, 2), F.avg_pool2d(target, 2)
    return total / scales


def masked_l1(picture: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """sum w |picture - target| / sum w, with w [B, 1, H, W] spread over the channels."""
    total = weight.expand_as(picture).sum().clamp(min=1e-6)
    return (weight * (picture - target).abs()).sum() / total


def alpha_bce(alpha_logit: Tensor, target: Tensor) -> Tensor:
    """Binary cross entropy -t log s - (1 - t) log(1 - s), s = sigmoid(logit), averaged."""
    return F.binary_cross_entropy_with_logits(alpha_logit, target)


def alpha_dice(alpha_logit: Tensor, target: Tensor) -> Tensor:
    """1 - (2 sum s t + 1) / (sum s + sum t + 1) of each sample, averaged (soft Dice, Milletari 2016)."""
    alpha = alpha_logit.sigmoid()
    overlap = (alpha * target).sum(dim=(1, 2, 3))
    size = alpha.sum(dim=(1, 2, 3)) + target.sum(dim=(1, 2, 3))
    return (1 - (2 * overlap + 1) / (size + 1)).mean()


def psnr_db(picture: Tensor, target: Tensor, weight: Tensor | None = None) -> float:
    """10 log10(1 / MSE) of pictures in [0, 1]; ``weight`` [B, 1, H, W] restricts it to a region."""
    squared = (picture - target).square()
    if weight is None:
        error = squared.mean()
    else:
        error = (weight * squared).sum() / weight.expand_as(squared).sum().clamp(min=1e-6)
    return float(-10 * torch.log10(error.clamp(min=1e-10)))
