"""Where the mask is to be doubted: four signs of drift for each frame, all cheap, all on the flow's coarse grid."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from osor_video.flow.estimate import FlowPair
from osor_video.flow.warp import validity, warp
from osor_video.tensors import Mask

FULL_AREA = 0.75
"""Ratio of the areas of neighbouring masks from which there is nothing to doubt; likewise the next two."""
FULL_CYCLE = 0.75
FULL_VALIDITY = 0.4


@dataclass(frozen=True)
class Drift:
    """Signs that a frame's mask holds, each in [0, 1], 1 = nothing to doubt.

    ``appearance``: the object looks as remembered (the tracker's own score). ``area``: it has not grown or shrunk at once.
    ``cycle``: carried back by the flow it lies on the mask before. ``validity``: the flow over it is the same both ways.
    """

    appearance: float = 1.0
    area: float = 1.0
    cycle: float = 1.0
    validity: float = 1.0

    @property
    def score(self) -> float:
        """One figure: the appearance times the worst of the other signs."""
        return self.appearance * min(self.area, self.cycle, self.validity)


SURE = Drift()


class DriftWatch:
    """Sees a clip's masks in order and says how far each is to be trusted."""

    def __init__(self) -> None:
        self._last: Mask | None = None
        self._lost = False

    @property
    def lost(self) -> bool:
        """Whether the object vanished inside the frame and has not been found again."""
        return self._lost

    def go_on(self, mask: Mask, lost: bool) -> None:
        """Stand where another watch stood that had just seen ``mask`` [H, W]."""
        self._last, self._lost = mask, lost

    def see(self, mask: Mask, score: float, flow: FlowPair | None, *, exact: bool, cut: bool) -> Drift:
        """Signs of the next frame's ``mask`` [H, W]; ``score`` is the tracker's, ``flow`` leads from the frame before.

        A mask that is ``exact`` (the user's own) is beyond doubt, and so is nothing in a shot where nothing was marked.
        An object that vanished inside the frame is doubted until it is found again; one that left over the edge is not.
        """
        last, self._last = (None if cut else self._last), mask
        self._lost = self._lost and not (exact or cut or mask.any())
        if exact:
            return SURE
        if not mask.any():
            self._lost = self._lost or (last is not None and bool(last.any()) and not _at_edge(last))
            return Drift(0.0, 0.0, 0.0, 0.0) if self._lost else SURE
        if last is None or not last.any() or flow is None:
            return Drift(appearance=score)
        return _compare(mask, last, score, flow)


def _compare(mask: Mask, last: Mask, score: float, flow: FlowPair) -> Drift:
    now, before = _small(mask, flow), _small(last, flow)
    area_now, area_before = float(now.sum()), float(before.sum())
    returned = warp(now, flow.forward)
    common = float(torch.minimum(returned, before).sum() / torch.maximum(returned, before).sum().clamp(1e-6))
    trusted = float((validity(flow.backward, flow.forward) * now).sum()) / max(area_now, 1e-6)
    area = min(area_now, area_before) / max(area_now, area_before, 1e-6)
    if _at_edge(last) or _at_edge(mask):
        # What enters or leaves over the edge changes its area, and its flow leads out of the picture.
        area = trusted = 1.0
    return Drift(
        score, min(1.0, area / FULL_AREA), min(1.0, common / FULL_CYCLE), min(1.0, trusted / FULL_VALIDITY)
    )


def _small(mask: Mask, flow: FlowPair) -> Tensor:
    """``mask`` [H, W] on the grid of the flow, [1, 1, h, w] in [0, 1]."""
    size = flow.backward.shape[-1], flow.backward.shape[-2]
    return torch.from_numpy(cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA))[
        None, None
    ]


def _at_edge(mask: Mask) -> bool:
    return bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())
