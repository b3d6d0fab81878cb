"""Losses as small pure functions, each with its formula."""

from __future__ import annotations

from collections.abc import Sequence

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


def perceptual_distance(
    maps: Sequence[Tensor], target_maps: Sequence[Tensor], weight: Tensor | None = None
) -> Tensor:
    """sum_i mean_yx |u_i - v_i|^2 of feature maps with channels of unit length (LPIPS, Zhang et al. 2018, eq. 1).

    Every channel counts alike: LPIPS' learned channel weights belong to other networks. ``weight`` [B, 1, H, W] is
    averaged over the area of each cell and makes the mean a weighted one, sum w d / sum w.
    """
    total = maps[0].new_zeros(())
    for stage, target in zip(maps, target_maps, strict=True):
        squared = (_unit_channels(stage) - _unit_channels(target)).square().sum(dim=1, keepdim=True)
        if weight is None:
            total = total + squared.mean()
        else:
            share = F.adaptive_avg_pool2d(weight, squared.shape[-2:])
            total = total + (share * squared).sum() / share.sum().clamp(min=1e-6)
    return total


def _unit_channels(stage: Tensor) -> Tensor:
    # Not F.normalize, whose slope at a cell of zeros (they exist behind a ReLU) is a million million.
    return stage * (stage.square().sum(dim=1, keepdim=True) + 1e-8).rsqrt()


def psnr_db(picture: Tensor, target: Tensor, weight: Tensor | None = None) -> float:
    """10 log10(1 / MSE) of pictures in [0, 1]; ``weight`` [B, 1, H, W] restricts it to a region."""
    squared = (picture - target).square()
    if weight is None:
        error = squared.mean()
    else:
        error = (weight * squared).sum() / weight.expand_as(squared).sum().clamp(min=1e-6)
    return float(-10 * torch.log10(error.clamp(min=1e-10)))
