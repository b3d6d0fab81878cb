"""Where the mask is to be doubted: five signs of drift for each frame, all cheap, all on coarse grids."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from osor_video.flow.estimate import FlowPair
from osor_video.flow.warp import validity, warp
from osor_video.masks.growth import nearer
from osor_video.tensors import FloatMap, Mask

FULL_AREA = 0.75
"""Ratio of the areas of neighbouring masks from which there is nothing to doubt; likewise the next two."""
FULL_CYCLE = 0.75
FULL_VALIDITY = 0.4
FULL_EXTENT = 0.75
"""Likewise for an area or an outline and those of long before. Of the true masks of eight sequences of DAVIS 2016 those fall
below .4 that go behind trees."""
PAST_FRAMES = 25
"""How long before: a mask that creeps on changes little from one frame to the next."""
MOST_NEARER = 1.3
"""Growth by coming nearer, of one frame, that the flow is believed at most."""
OUTLINE_PX = 48
"""Side of the square in which outlines are compared; the object's own side is a quarter of it."""


@dataclass(frozen=True)
class Drift:
    """Signs that a frame's mask holds, each in [0, 1], 1 = nothing to doubt.

    ``appearance``: the object looks as remembered (the tracker's own score). ``area``: it has not grown or shrunk at once.
    ``cycle``: carried back by the flow it lies on the mask before. ``validity``: the flow over it is the same both ways.
    ``extent``: beside the masks of long before and the one that was marked it has either kept its area, or changed it by no
    more than the object came nearer, or kept its outline.
    """

    appearance: float = 1.0
    area: float = 1.0
    cycle: float = 1.0
    validity: float = 1.0
    extent: float = 1.0

    @property
    def score(self) -> float:
        """One figure: the appearance times the worst of the other signs."""
        return self.appearance * min(self.area, self.cycle, self.validity, self.extent)


SURE = Drift()


class _Extent(NamedTuple):
    """How large a mask is, how large it ought to be, and its outline [OUTLINE_PX, OUTLINE_PX] apart from both."""

    area: float
    scale: float
    """Area by which the object came nearer since it was marked."""
    outline: Tensor


class _Past:
    """The extents that a shot's masks had, since the last one that was marked."""

    def __init__(self) -> None:
        self._marked: _Extent | None = None
        self._recent: deque[_Extent] = deque(maxlen=PAST_FRAMES)

    def forget(self) -> None:
        """Begin anew, with the next mask that is marked."""
        self._marked = None
        self._recent.clear()

    def mark(self, mask: Mask) -> None:
        """Begin anew with a ``mask`` [H, W] that is beyond doubt."""
        self.forget()
        if mask.any() and not _at_edge(mask):
            self._marked = _Extent(float(mask.sum()), 1.0, _outline(mask))
            self._recent.append(self._marked)

    def see(self, mask: Mask, flow: FlowPair) -> float:
        """How far the extent of the next ``mask`` [H, W] is one of the past, in [0, 1]; 1 where that cannot be said."""
        if not self._recent or self._marked is None:
            return 1.0
        growth = float(np.clip(nearer(mask.astype(np.float32), flow), 1 / MOST_NEARER, MOST_NEARER))
        now = _Extent(float(mask.sum()), self._recent[-1].scale * growth, _outline(mask))
        likeness = min(_likeness(now, self._recent[0]), _likeness(now, self._marked))
        self._recent.append(now)
        return min(1.0, likeness / FULL_EXTENT)

    @property
    def state(self) -> dict[str, Any]:
        """What was seen; may be set again."""
        return {
            "marked": self._marked and tuple(self._marked),
            "recent": [tuple(seen) for seen in self._recent],
        }

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._marked = state["marked"] and _Extent(*state["marked"])
        self._recent = deque((_Extent(*seen) for seen in state["recent"]), maxlen=PAST_FRAMES)


class DriftWatch:
    """Sees a clip's masks in order and says how far each is to be trusted."""

    def __init__(self) -> None:
        self._last: Mask | None = None
        self._lost = False
        self._past = _Past()

    def state(self) -> dict[str, Any]:
        """Where it stands, beside the last mask."""
        return {"lost": self._lost, "past": self._past.state}

    def go_on(self, mask: Mask, state: dict[str, Any]) -> None:
        """Stand where the watch stood that said ``state`` after it had seen ``mask`` [H, W]."""
        self._last, self._lost = mask, state["lost"]
        self._past.state = state["past"]

    def see(self, mask: Mask, score: float, flow: FlowPair | None, *, exact: bool, cut: bool) -> Drift:
        """Signs of the next frame's ``mask`` [H, W]; ``score`` is the tracker's, ``flow`` leads from the frame before.

        A mask that is ``exact`` (the user's own) is beyond doubt, and so is nothing in a shot where nothing was marked.
        An object that vanished inside the frame is doubted until it is found again; one that left over the edge is not.
        """
        last, self._last = (None if cut else self._last), mask
        self._lost = self._lost and not (exact or cut or mask.any())
        if exact:
            self._past.mark(mask)
            return SURE
        if cut:
            self._past.forget()
        if not mask.any():
            self._lost = self._lost or (last is not None and bool(last.any()) and not _at_edge(last))
            return Drift(0.0, 0.0, 0.0, 0.0, 0.0) if self._lost else SURE
        if flow is None:
            return Drift(appearance=score)
        # What is cut off by the edge shows less of its area and of its outline.
        extent = 1.0 if _at_edge(mask) else self._past.see(mask, flow)
        if last is None or not last.any():
            return Drift(appearance=score, extent=extent)
        return _compare(mask, last, score, flow, extent)


def _compare(mask: Mask, last: Mask, score: float, flow: FlowPair, extent: float) -> Drift:
    now, before = _small(mask, flow), _small(last, flow)
    area_now, area_before = float(now.sum()), float(before.sum())
    returned = warp(now, flow.forward)
    common = float(torch.minimum(returned, before).sum() / torch.maximum(returned, before).sum().clamp(1e-6))
    trusted = float((validity(flow.backward, flow.forward) * now).sum()) / max(area_now, 1e-6)
    area = min(area_now, area_before) / max(area_now, area_before, 1e-6)
    if _at_edge(last) or _at_edge(mask):
        # What enters or leaves over the edge changes its area, and its flow leads out of the picture.
        area = trusted = 1.0
    area, cycle, trusted = (
        min(1.0, sign / full)
        for sign, full in ((area, FULL_AREA), (common, FULL_CYCLE), (trusted, FULL_VALIDITY))
    )
    return Drift(score, area, cycle, trusted, extent)


def _likeness(now: _Extent, then: _Extent) -> float:
    """The best of what may have stayed: the area, the area at the same distance, the outline; in [0, 1]."""
    growth = now.area / then.area
    apart = growth * then.scale / now.scale
    outlines: FloatMap = np.stack([now.outline.numpy(), then.outline.numpy()])
    common = float(outlines.min(axis=0).sum() / outlines.max(axis=0).sum())
    return max(min(growth, 1 / growth), min(apart, 1 / apart), common)


def _outline(mask: Mask) -> Tensor:
    """A mask [H, W] brought to one area about the middle of a square."""
    rows, columns = np.nonzero(mask)
    zoom = OUTLINE_PX / 4 / np.sqrt(len(rows))
    shift = [OUTLINE_PX / 2 - zoom * middle for middle in (columns.mean(), rows.mean())]
    matrix = np.array([[zoom, 0, shift[0]], [0, zoom, shift[1]]], np.float32)
    return torch.from_numpy(cv2.warpAffine(mask.astype(np.float32), matrix, (OUTLINE_PX, OUTLINE_PX)))


def _small(mask: Mask, flow: FlowPair) -> Tensor:
    """``mask`` [H, W] on the grid of the flow, [1, 1, h, w] in [0, 1]."""
    size = flow.backward.shape[-1], flow.backward.shape[-2]
    return torch.from_numpy(cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA))[
        None, None
    ]


def _at_edge(mask: Mask) -> bool:
    return bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())
