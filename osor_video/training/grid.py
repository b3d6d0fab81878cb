"""Pictures of a run, one file a checkpoint: what the averaged network makes of the same few pairs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

GRID = "grid_{step:06d}.png"


def write_grid(folder: Path, step: int, columns: Sequence[Tensor]) -> Path:
    """Write ``columns``, each [B, 1 or 3, h, w] in [0, 1], side by side, a row a sample, all as large as the first."""
    size = columns[0].shape[-2:]
    shown = [
        F.interpolate(column.detach().float().cpu().clamp(0, 1), size=size, mode="nearest").expand(
            -1, 3, -1, -1
        )
        for column in columns
    ]
    rows = torch.cat(shown, dim=3).permute(0, 2, 3, 1).reshape(-1, len(shown) * size[1], 3)
    path = folder / GRID.format(step=step)
    picture = (rows.numpy() * 255 + 0.5).astype(np.uint8)
    cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return path
