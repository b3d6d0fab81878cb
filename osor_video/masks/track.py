"""The object of the first frame, found again in every frame of its shot.

Two witnesses are heard for each cell: what the flow carries over from the frame before, counted only where the
forward-backward test trusts it (so the background that the object uncovers keeps nothing of the mask), and what the
features of remembered frames say. What moves as the object does (``motion.py``) stays a part of it even where it has come to look
like the ground. GrabCut draws the edge.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from osor_video.config import MaskConfig
from osor_video.flow.estimate import FlowPair
from osor_video.flow.warp import validity, warp
from osor_video.masks.features import CELL_PX, RecognitionFeatures
from osor_video.masks.memory import Remembered, recall
from osor_video.masks.motion import MotionEvidence
from osor_video.masks.snap import snap
from osor_video.shapes import dilate
from osor_video.tensors import FloatMap, Mask, Picture

CONTEXT_CELLS = 4
"""Surroundings encoded with the object, so that the features at its rim know what lies beside it."""
OLDER_EVERY = 8
"""Frames between those that are remembered for longer. What was ground before the object hid it is known to be ground when
it is uncovered; with the last four frames alone a mask smears along it."""
MAX_ENLARGEMENT = 3.0
"""Small pictures are enlarged at most so much for the features: beyond it there is nothing more to see."""
MOVING = 0.35
"""Say of the evidence of motion, in log-odds, where the flow is trusted to carry the object to. More of it takes in more of the
ground; without it a part that no remembered look resembles is lost for good, such as the front of a car that turns."""
State = dict[str, Any]
"""Names with what can be written to a file: tensors, numbers, text, and lists, tuples and dicts of these."""
MIN_PART = 0.1
"""Parts of a mask that are smaller than this share of its largest part are dropped."""


@dataclass(frozen=True)
class TrackedFrame:
    """The mask [H, W] of one frame and how sure it is, ``score`` in [0, 1]."""

    mask: Mask
    score: float


@dataclass(frozen=True)
class _View:
    """The object's surroundings as features [C, h, w]; ``origin`` (row, column) on the whole frame's grid of cells."""

    features: Tensor
    origin: tuple[int, int]

    def crop(self, grid: Tensor) -> Tensor:
        """The view's part of a map [H', W'] over the whole frame's cells."""
        (row, column), (height, width) = self.origin, self.features.shape[1:]
        return grid[row : row + height, column : column + width]


class MaskTracker:
    """Carries one object's mask through a clip, frame by frame."""

    def __init__(self, features: RecognitionFeatures, config: MaskConfig) -> None:
        self._features = features
        self._config = config
        self._mask: Mask | None = None
        self._motion = MotionEvidence()

    def start(self, picture: Picture, mask: Mask) -> TrackedFrame:
        """Begin with the user's mask [H, W] of the first frame [H, W, 3]."""
        self._size_hw: tuple[int, int] = mask.shape
        self._grid_hw = self._choose_grid(mask)
        self._mask, self._picture = mask, picture
        self._motion.forget()
        view = self._look(picture, self._reach(mask, self._config.first_reach_cells))
        label = view.crop(torch.from_numpy(_cells(mask, self._grid_hw)))
        self._first = Remembered(view.features, label, view.origin, self._config.first_reach_cells)
        self._forget()
        return TrackedFrame(mask, 1.0)

    @property
    def follows(self) -> bool:
        """Whether there is something to track: the next step needs the flow then."""
        return self._mask is None or bool(self._mask.any())

    def step(self, picture: Picture, flow: FlowPair | None) -> TrackedFrame:
        """The mask of the next frame [H, W, 3], given the flow between the frame before and this one.

        Without flow (after a cut) the object is taken to be gone: nothing is masked from there on.
        """
        if flow is None or self._mask is None or not self._mask.any():
            self._mask = np.zeros(self._size_hw, dtype=bool)
            return TrackedFrame(self._mask, 1.0)
        view = self._look(picture, self._reach(self._mask, self._config.recent_reach_cells))
        carried = carried_over(self._mask.astype(np.float32), flow)
        trust = validity(flow.backward, flow.forward)
        label, score = self._fuse(view, torch.cat([carried, trust]), self._mask)
        moving = self._motion.step(self._picture, picture, carried[0, 0].numpy(), flow)
        kept = with_motion(label, moving, carried * trust, self._grid_hw, view.origin)
        self._picture = picture
        self._mask = main_parts(snap(picture, self._on_frame(kept, view)))
        # The label is remembered, without what motion adds to it, and not the snapped mask: an error made once would be learnt.
        self._remember(Remembered(view.features, label, view.origin, self._config.recent_reach_cells))
        return TrackedFrame(self._mask, score)

    def state(self) -> State:
        """The last mask and what is remembered of earlier frames."""
        assert self._mask is not None  # asked for once it has begun
        return {
            "mask": torch.from_numpy(self._mask.copy()),
            "picture": torch.from_numpy(self._picture.copy()),
            "motion": self._motion.state,
            "grid_hw": self._grid_hw,
            "first": self._first.kept(),
            "last": [frame.kept() for frame in self._last],
            "older": [frame.kept() for frame in self._older],
            "seen": self._seen,
        }

    def go_on(self, state: State) -> None:
        """Stand where the tracker stood that said ``state``."""
        self._mask, self._picture = state["mask"].numpy(), state["picture"].numpy()
        self._motion.state = state["motion"]
        self._size_hw, self._grid_hw = self._mask.shape, state["grid_hw"]
        self._first = Remembered(*state["first"])
        self._forget()
        self._last.extend(Remembered(*frame) for frame in state["last"])
        self._older.extend(Remembered(*frame) for frame in state["older"])
        self._seen = state["seen"]

    def _forget(self) -> None:
        """Nothing is remembered but the first frame."""
        count = self._config.recent_frames
        last = -(-count // 2)
        self._last, self._older = deque[Remembered](maxlen=last), deque[Remembered](maxlen=count - last)
        self._seen = 0

    def _remember(self, frame: Remembered) -> None:
        """``frame`` joins the last ones; of those that fall out, some are kept as older ones."""
        if self._seen % OLDER_EVERY == 0 and len(self._last) == self._last.maxlen:
            self._older.append(self._last[0])
        self._last.append(frame)
        self._seen += 1

    def _choose_grid(self, mask: Mask) -> tuple[int, int]:
        """Cells of the whole frame (even numbers), so fine that the object of the first frame is wide enough in cells."""
        height, width = mask.shape
        side_px = self._config.object_cells * CELL_PX
        scale = min(
            max(side_px / float(np.sqrt(mask.sum())), min(1.0, 384 / min(height, width))), MAX_ENLARGEMENT
        )
        rows, columns = (max(4, 2 * round(side * scale / (2 * CELL_PX))) for side in (height, width))
        return rows, columns

    def _reach(self, mask: Mask, cells: int) -> Mask:
        """Cells of the whole grid [H', W'] that lie within ``cells`` of the mask."""
        covered = _cells(mask, self._grid_hw) > 0.01
        kernel = np.ones((2 * cells + 1, 2 * cells + 1), np.uint8)
        return np.asarray(cv2.dilate(covered.astype(np.uint8), kernel) > 0)

    def _look(self, picture: Picture, where: Mask) -> _View:
        """Features of the bounding box of ``where`` (cells), with some context."""
        rows, columns = np.flatnonzero(where.any(axis=1)), np.flatnonzero(where.any(axis=0))
        spans = []
        for found, count in zip((rows, columns), self._grid_hw, strict=True):
            # Even cells: the coarsest feature stage has a stride of two cells.
            low = max(int(found[0]) - CONTEXT_CELLS, 0) // 2 * 2
            spans.append((low, min(-(-(int(found[-1]) + 1 + CONTEXT_CELLS) // 2) * 2, count)))
        size = self._grid_hw[0] * CELL_PX, self._grid_hw[1] * CELL_PX
        interpolation = cv2.INTER_AREA if size[0] < picture.shape[0] else cv2.INTER_CUBIC
        whole = cv2.resize(picture, size[::-1], interpolation=interpolation)
        (top, bottom), (left, right) = spans
        part = whole[top * CELL_PX : bottom * CELL_PX, left * CELL_PX : right * CELL_PX]
        return _View(self._features.encode(np.ascontiguousarray(part)), (top, left))

    def _fuse(self, view: _View, brought: Tensor, last: Mask) -> tuple[Tensor, float]:
        """Label [h, w] from both witnesses, and the score: how alike they and the remembered looks are.

        ``brought`` [2, 1, H', W'] is the ``last`` mask through the flow, and the trust in it.
        """
        carried, trust = (
            view.crop(grid) for grid in F.interpolate(brought, self._grid_hw, mode="area")[:, 0]
        )
        near = view.crop(torch.from_numpy(self._reach(last, self._config.recent_reach_cells)))
        recalled, similarity = recall(
            view.features, view.origin, near, [self._first, *self._older, *self._last]
        )
        weight = self._config.flow_weight * trust
        label = (recalled + weight * carried) / (1 + weight)
        inner = label > 0.5
        if not inner.any():
            return label, 0.0
        alike = float(similarity[inner].clamp(0, 1).mean())
        agreement = float(1 - (recalled - label).abs()[inner].mean())
        return label, alike * agreement

    def _on_frame(self, label: Tensor, view: _View) -> FloatMap:
        """A view's label [h, w] on the pixels of the frame, 0 outside the view."""
        grid = np.zeros(self._grid_hw, np.float32)
        view.crop(torch.from_numpy(grid)).copy_(label)
        large: FloatMap = cv2.resize(grid, self._size_hw[::-1], interpolation=cv2.INTER_CUBIC)
        return np.clip(large, 0, 1)


def _cells(mask: Mask, grid_hw: tuple[int, int]) -> FloatMap:
    """Share of each cell that is masked, [H', W']."""
    return resized(mask.astype(np.float32), grid_hw)


def resized(soft: FloatMap, size_hw: tuple[int, int]) -> FloatMap:
    """A map on a grid of ``size_hw``; the means of what falls into a cell where that is coarser."""
    return np.asarray(cv2.resize(soft, size_hw[::-1], interpolation=cv2.INTER_AREA))


def carried_over(soft: FloatMap, flow: FlowPair) -> Tensor:
    """A mask [H, W] in [0, 1] of the earlier frame on the later one, [1, 1, H', W'] at the flow's size."""
    size_hw = (flow.backward.shape[-2], flow.backward.shape[-1])
    return warp(torch.from_numpy(resized(soft, size_hw))[None, None], flow.backward)


def with_motion(
    label: Tensor,
    moving: FloatMap,
    trusted: Tensor,
    grid_hw: tuple[int, int],
    origin: tuple[int, int],
) -> Tensor:
    """``label`` [h, w] of a view at ``origin`` with what moves as the object does, where the flow is trusted to carry it.

    ``moving`` [H', W'] is the evidence (``motion.py``), ``trusted`` [1, 1, H'', W''] in [0, 1] the carried object, both of the
    whole frame, which has ``grid_hw`` cells.
    """
    for_it = np.maximum(moving, 0) * cv2.resize(trusted[0, 0].numpy(), moving.shape[::-1])
    rows, columns = (slice(first, first + count) for first, count in zip(origin, label.shape, strict=True))
    cells = torch.from_numpy(resized(for_it, grid_hw))[rows, columns]
    return torch.special.logit(label, eps=1e-3).add(MOVING * cells).sigmoid()


def main_parts(mask: Mask) -> Mask:
    """The largest part of a mask [H, W] and what is not small beside it: specks stay behind when the object moves on."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    if count <= 2:
        return mask
    kept = stats[:, cv2.CC_STAT_AREA] >= MIN_PART * stats[1:, cv2.CC_STAT_AREA].max()
    kept[0] = False
    return np.asarray(kept[labels])


def hole(mask: Mask, grow: float, smooth: float = 0.0) -> Mask:
    """``mask`` [H, W] grown by ``grow`` times the height: soft edges and motion blur belong to the object too.

    With ``smooth``, a share of the height likewise, bays of its rim narrower than that are filled first.
    """
    if smooth and mask.any():
        blurred = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), smooth * mask.shape[0])
        mask = mask | (blurred > 0.5)
    return dilate(mask, max(1, round(grow * mask.shape[0])))
