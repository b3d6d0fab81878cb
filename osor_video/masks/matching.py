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

TEMPERATURE = 0.03
BAND_CELLS = 8
"""Rows of cells that are compared with their surroundings together."""
FAR = -1e3
"""Added to the exponent of what does not take part."""
LEAST_EXPONENT = -80.0
"""Its exponential is next to nothing beside that of the least similarity, and still a normal number: others take a hundred times as
long."""


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
    queries, keys, labels = _queries(features), memory.features.flatten(1), memory.label.flatten()
    sides = labels > 0.5, labels <= 0.5
    exponents = [_exponents(queries, keys[:, side]) for side in sides]
    best = [_best(side) for side in exponents]
    weights = [side.exp_() for side in exponents]
    recalled = sum(weight @ labels[side] for weight, side in zip(weights, sides, strict=True))
    return _maps(best, recalled / sum(weight.sum(1) for weight in weights)).view(3, *features.shape[1:])


@torch.no_grad()
def compare_nearby(
    features: Tensor, origin: tuple[int, int], memory: Sequence[Remembered], reach_cells: int
) -> Tensor:
    """``compare_anywhere`` of a view at ``origin`` and all of ``memory``, at most ``reach_cells`` rows and columns away."""
    bands = [
        _compare_band(band, (origin[0] + index * BAND_CELLS, origin[1]), memory, reach_cells)
        for index, band in enumerate(features.split(BAND_CELLS, dim=1))
    ]
    return torch.cat(bands, dim=1)


def _compare_band(
    features: Tensor, origin: tuple[int, int], memory: Sequence[Remembered], reach: int
) -> Tensor:
    """``compare_nearby`` of some rows [C, b, w]."""
    queries = _queries(features)
    best = [queries.new_zeros(len(queries)) for _ in range(2)]
    # The sum of the weights, and of the labels with these weights.
    total = queries.new_zeros(len(queries), 2)
    for frame in memory:
        rows, columns = (
            _within(
                frame.origin[axis], frame.label.shape[axis], origin[axis], features.shape[axis + 1], reach
            )
            for axis in range(2)
        )
        keys, label = frame.features[:, rows, columns], frame.label[rows, columns].flatten()
        if not len(label):
            continue
        exponents = _exponents(queries, keys.flatten(1)).view(*features.shape[1:], *keys.shape[1:])
        # What is in reach is a product of rows and columns: two small tests instead of one of every pair of cells.
        for axis, span in enumerate((rows, columns)):
            far = _far(frame.origin[axis], span, origin[axis], features.shape[axis + 1], reach).to(exponents)
            exponents += far[:, None, :, None] if axis == 0 else far[None, :, None, :]
        exponents = exponents.view(len(queries), len(label))
        for side, other in enumerate((label <= 0.5, label > 0.5)):
            best[side] = torch.maximum(best[side], _best(exponents + FAR * other))
        total += exponents.clamp_(min=LEAST_EXPONENT).exp_() @ torch.stack(
            [torch.ones_like(label), label], dim=1
        )
    recalled = total[:, 1] / total[:, 0].clamp(min=torch.finfo(total.dtype).tiny)
    return _maps(best, recalled).view(3, *features.shape[1:])


def _queries(features: Tensor) -> Tensor:
    """Features [C, h, w] as rows [h w, C], such that their products are similarities over the temperature."""
    return features.flatten(1).T / TEMPERATURE


def _exponents(queries: Tensor, keys: Tensor) -> Tensor:
    """(similarity - 1) / temperature [N, K], never above 0."""
    return torch.addmm(queries.new_full((1,), -1 / TEMPERATURE), queries, keys)


def _best(exponents: Tensor) -> Tensor:
    """The best similarity of each row of exponents [N, K], 0 at least."""
    if not exponents.shape[-1]:
        return exponents.new_zeros(exponents.shape[:-1])
    return (exponents.amax(-1) * TEMPERATURE + 1).clamp(min=0)


def _maps(best: list[Tensor], recalled: Tensor) -> Tensor:
    return torch.stack([5 * (best[0] - 0.8), 5 * (best[1] - 0.8), recalled])


def _within(start: int, length: int, first: int, count: int, reach: int) -> slice:
    """Which of ``length`` places from ``start`` on lie in reach of any of ``count`` places from ``first`` on."""
    low = max(first - reach - start, 0)
    return slice(low, max(min(first + count + reach - start, length), low))


def _far(start: int, span: slice, first: int, count: int, reach: int) -> Tensor:
    """``FAR`` [count, places of ``span``] where one is out of reach of the other, else 0."""
    apart = torch.arange(first, first + count)[:, None] - torch.arange(start + span.start, start + span.stop)
    return FAR * (apart.abs() > reach)
