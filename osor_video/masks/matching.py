"""Matching for the refiner: which remembered cells the cells of a new frame resemble.

After the matching of FEELVOS (Voigtlaender et al., CVPR 2019, sections 3.3 and 3.4): anywhere in the frame that the user
marked, and near by in the last frames; with the softmax over similarities of Jabri et al. (NeurIPS 2020, appendix A).

Convention: features are unit vectors [C, h, w] a cell; a similarity is their product, given as 5 (s - .8), since unrelated
cells lie near .6; labels are [h, w] in [0, 1]; ``origin`` (row, column) is the place of a first cell on the frame's grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

TEMPERATURE = 0.03
BLOCK_CELLS = 8
"""Side of the squares of cells that are compared with their surroundings together."""
NOTHING = -1.0
"""Label where nothing is remembered."""


@dataclass(frozen=True)
class Remembered:
    """A frame in memory, or a part of one: ``features`` and ``label`` of its cells, from ``origin`` on."""

    features: Tensor
    label: Tensor
    origin: tuple[int, int]

    def kept(self) -> tuple[Tensor, Tensor, tuple[int, int]]:
        """The fields, in tensors of their own: a view would be written with all that it is a part of."""
        return self.features.clone(), self.label.clone(), self.origin


@torch.no_grad()
def compare_anywhere(features: Tensor, memory: Remembered) -> Tensor:
    """What cells, ``features``, resemble in one remembered frame, wherever it is there, [3, h, w].

    The best similarity to a cell of the object (label above one half), the best to one of the background, 0 in the absence of
    any, and the label that a softmax over all similarities gives.
    """
    queries, keys, labels = features.flatten(1).T, memory.features.flatten(1), memory.label.flatten()
    sides = labels > 0.5, labels <= 0.5
    scores = [queries @ keys[:, side] for side in sides]
    best = [_best(side) for side in scores]
    top = torch.maximum(*best)[:, None]
    weights = [side.sub_(top).div_(TEMPERATURE).exp_() for side in scores]
    recalled = sum(weight @ labels[side] for weight, side in zip(weights, sides, strict=True))
    return _maps(best, recalled / sum(weight.sum(1) for weight in weights)).view(3, *features.shape[1:])


@torch.no_grad()
def compare_nearby(
    features: Tensor, origin: tuple[int, int], memory: Sequence[Remembered], reach_cells: int
) -> Tensor:
    """``compare_anywhere`` of a view at ``origin`` and all of ``memory``, at most ``reach_cells`` rows and columns away."""
    height, width = features.shape[1:]
    side, reach = BLOCK_CELLS, reach_cells
    rows, columns = (-(-length // side) for length in (height, width))
    padded = F.pad(features, (0, columns * side - width, 0, rows * side - height))
    queries = (
        padded.unfold(1, side, side)
        .unfold(2, side, side)
        .permute(1, 2, 3, 4, 0)
        .reshape(rows * columns, side**2, -1)
    )
    scores, labels = [], []
    for frame in memory:
        keys, label = _surroundings(frame, origin, (rows, columns), reach)
        scores.append(torch.bmm(queries, keys))
        labels.append(label)
    every, label = torch.cat(scores, dim=2), torch.cat(labels, dim=1)[:, None]
    there = _in_reach(reach).to(label.device).repeat(1, len(memory)) & (label >= 0)
    every.masked_fill_(~there, NOTHING)
    best = [_best(every.masked_fill(other, NOTHING)) for other in (label <= 0.5, label > 0.5)]
    # What is not there weighs nothing: it lies at least 1 / TEMPERATURE below the best.
    weights = every.sub_(torch.maximum(*best)[..., None]).div_(TEMPERATURE).exp_()
    recalled = (weights @ label.transpose(1, 2))[..., 0] / weights.sum(2)
    recalled = recalled.where(there.any(2), 0.0).clamp(min=0)
    grid = _maps(best, recalled).view(3, rows, columns, side, side).transpose(2, 3)
    return grid.reshape(3, rows * side, columns * side)[:, :height, :width]


def _best(scores: Tensor) -> Tensor:
    return scores.amax(-1).clamp(min=0) if scores.shape[-1] else scores.new_zeros(scores.shape[:-1])


def _maps(best: list[Tensor], recalled: Tensor) -> Tensor:
    return torch.stack([5 * (best[0] - 0.8), 5 * (best[1] - 0.8), recalled])


def _surroundings(
    frame: Remembered, origin: tuple[int, int], blocks: tuple[int, int], reach: int
) -> tuple[Tensor, Tensor]:
    """Features [N, C, K] and labels [N, K] of the squares of cells around each block of a view at ``origin``."""
    size = BLOCK_CELLS + 2 * reach
    both = frame.features.new_zeros(
        len(frame.features) + 1, *(count * BLOCK_CELLS + 2 * reach for count in blocks)
    )
    both[-1] = NOTHING
    inside, taken = [], []
    for axis, length in enumerate(frame.label.shape):
        before = frame.origin[axis] - origin[axis] + reach
        first, last = max(before, 0), min(before + length, both.shape[axis + 1])
        inside.append(slice(first, max(last, first)))
        taken.append(slice(first - before, max(last, first) - before))
    both[:-1, inside[0], inside[1]] = frame.features[:, taken[0], taken[1]]
    both[-1, inside[0], inside[1]] = frame.label[taken[0], taken[1]]
    cut = both.unfold(1, size, BLOCK_CELLS).unfold(2, size, BLOCK_CELLS)
    flat = cut.permute(1, 2, 0, 3, 4).reshape(blocks[0] * blocks[1], len(both), size**2)
    return flat[:, :-1], flat[:, -1]


def _in_reach(reach: int) -> Tensor:
    """Whether each cell of a block [B^2] reaches each cell of its surroundings, bool [B^2, (B + 2 reach)^2]."""
    near = (torch.arange(BLOCK_CELLS)[:, None] + reach - torch.arange(BLOCK_CELLS + 2 * reach)).abs() <= reach
    return (near[:, None, :, None] & near[None, :, None, :]).reshape(BLOCK_CELLS**2, -1)
