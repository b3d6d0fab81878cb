"""An encoder without training: the principal components of 8x8 patches of photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from osor_video.training.photos import random_crop, read_photo

PATCH = 8
CROP = 8 * PATCH
WHITENING = 0.5
"""Components are divided by their deviation to this power: 1 would raise noise to the level of shape."""


def sample_patches(photos: list[Path], count: int, widest_px: int, seed: int) -> Tensor:
    """About ``count`` patches [N, 192] in [-1, 1], ordered (channel, y, x), from all photographs."""
    random = np.random.default_rng(seed)
    rows = []
    for photo in photos:
        for _ in range(max(1, count // (64 * len(photos)))):
            crop = random_crop(read_photo(photo), CROP, widest_px, random)
            rows.append(crop.reshape(8, PATCH, 8, PATCH, 3).transpose(0, 2, 4, 1, 3).reshape(64, -1))
    return torch.from_numpy(np.concatenate(rows)).float() / 127.5 - 1


def principal_components(patches: Tensor, components: int) -> tuple[Tensor, Tensor, Tensor]:
    """(mean [192], rows [C, 192], inverse [192, C]) so that z = rows (p - mean), p = inverse z + mean.

    The C directions d of most variance, partly whitened: rows = d / s, inverse = d s, s = deviation ** .5.
    """
    variances, directions = torch.linalg.eigh(torch.cov(patches.T.double()))
    scales = variances.flip(0)[:components].clamp(min=1e-8).sqrt() ** WHITENING
    inverse = directions.flip(1)[:, :components] * scales
    rows = directions.flip(1)[:, :components] / scales
    return patches.mean(0), rows.T.contiguous().float(), inverse.contiguous().float()
