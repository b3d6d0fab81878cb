"""Label propagation: each cell of a new frame asks the cells of remembered frames what it resembles.

After Jabri et al., "Space-Time Correspondence as a Contrastive Random Walk" (NeurIPS 2020), appendix A: local windows, the best
ten matches, a softmax over their similarity.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

TOP_K = 10
TEMPERATURE = 0.03


@dataclass(frozen=True)
class Remembered:
    """A frame in memory: ``features`` [C, h, w], ``label`` [h, w] in [0, 1], and how far (cells) a match may lie."""

    features: Tensor
    label: Tensor
    reach_cells: int


@torch.inference_mode()
def recall(features: Tensor, where: Tensor, memory: list[Remembered]) -> tuple[Tensor, Tensor]:
    """Label and similarity of the cells ``where`` (bool [h, w]) of a frame with ``features`` [C, h, w].

    Returns two maps [h, w]: the label in [0, 1] (0 outside ``where``) and the best cosine similarity (1 outside).
    """
    label, similarity = torch.zeros_like(where, dtype=torch.float32), torch.ones(where.shape)
    ys, xs = torch.nonzero(where, as_tuple=True)
    if not len(ys):
        return label, similarity
    queries = features[:, ys, xs].T
    found = [_matches(queries, ys, xs, frame) for frame in memory]
    scores = torch.cat([score for score, _ in found], dim=1)
    labels = torch.cat([value for _, value in found], dim=1)
    best, order = scores.topk(TOP_K, dim=1)
    weights = torch.softmax(best / TEMPERATURE, dim=1)
    label[ys, xs] = (weights * labels.gather(1, order)).sum(1)
    similarity[ys, xs] = best[:, 0]
    return label, similarity


def _matches(queries: Tensor, ys: Tensor, xs: Tensor, frame: Remembered) -> tuple[Tensor, Tensor]:
    """The best matches [N, k] of each query within reach in one remembered frame: similarities and labels."""
    height, width = frame.label.shape
    reach = frame.reach_cells
    top, bottom = max(int(ys.min()) - reach, 0), min(int(ys.max()) + reach + 1, height)
    left, right = max(int(xs.min()) - reach, 0), min(int(xs.max()) + reach + 1, width)
    near = frame.features[:, top:bottom, left:right].flatten(1)
    scores = queries @ near
    rows = torch.arange(top, bottom).repeat_interleave(right - left)
    columns = torch.arange(left, right).repeat(bottom - top)
    far = ((rows[None] - ys[:, None]).abs() > reach) | ((columns[None] - xs[:, None]).abs() > reach)
    best, order = scores.masked_fill_(far, -1.0).topk(min(TOP_K, near.shape[1]), dim=1)
    return best, frame.label[top:bottom, left:right].flatten()[order]
