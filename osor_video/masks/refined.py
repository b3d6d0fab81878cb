"""The object followed by matching and by the refiner that was trained to read it: an alternative to ``MaskTracker``.

Each cell of a frame is compared with the cells of the frame that the user marked and, where that is asked for, of some trusted
since (``trusted.py``), wherever in them they lie, and with those of the last frames near by; the refiner (``refiner.py``) reads
what that recalls, the mask that the flow carries over from the frame before, and the frame itself. What moves as the object does
(``motion.py``) and what has colours that only the ground has (``colours.py``) have their say beside it. ``mask.redraw`` has
GrabCut draw the edge where all this leaves it open: what is remembered of a frame then ends where the object does. The frame is
looked at in the scale in which the object keeps its size in cells.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from osor_video.config import MaskConfig
from osor_video.flow.estimate import FlowPair
from osor_video.masks.adapt import adapt
from osor_video.masks.belonging import Belonging
from osor_video.masks.colours import ColourEvidence
from osor_video.masks.features import CELL_PX, RecognitionFeatures
from osor_video.masks.matching import Remembered, compare_anywhere, compare_nearby
from osor_video.masks.motion import MotionEvidence
from osor_video.masks.refiner import LEAST_SIDE_CELLS, MaskRefiner
from osor_video.masks.snap import redrawn
from osor_video.masks.track import (
    CONTEXT_CELLS,
    MAX_ENLARGEMENT,
    State,
    TrackedFrame,
    carried_over,
    main_parts,
    resized,
)
from osor_video.masks.trusted import TrustedFrames
from osor_video.report import Progress, silent
from osor_video.tensors import FloatMap, Mask, Picture

SEEN = 0.25
"""Label from which a cell belongs to the object's neighbourhood, where it is looked for next."""
NEAR_CELLS = 2
"""How far from the carried mask a part of the object may come into sight."""
COVERED = 0.1
"""Share of a cell from which it is remembered with the object."""
RESCALED = 1.25
"""Ratio of the object's size to the one it is looked at from which the grid of cells changes."""
SIZED_FRAMES = 6
"""Recent frames, the largest object of which has the size: what goes behind something has not become smaller."""
SEARCHED_NEAR = 25
"""Frames for which a lost object is looked for near the place where it was lost, before the whole frame is searched."""
STRIDE_CELLS = 2
"""How much farther off with each of these frames."""
RECALLED_SHARE = 0.6
"""Of what is remembered of a frame, the part that matching alone says: what the refiner overlooks once is not forgotten."""
LEARNT_FRAMES = 8
"""Marked frames that are learnt from, the last ones."""
FOUND_NEAR = 0.5
"""Score from which it counts as found near the place where it was lost."""
FOUND_AGAIN = 0.8
"""Score from which the object counts as found after a cut, or after it was lost: touching the wrong thing is worse."""


@dataclass(frozen=True)
class _View:
    """The part of a frame that is looked at, [8 h, 8 w, 3]: its cells' features [C, h, w], the stages' maps [1, C, h', w'].

    ``origin`` (row, column) is the place of its first cell on the whole frame's grid.
    """

    picture: Picture
    features: Tensor
    stages: list[Tensor]
    origin: tuple[int, int]

    def of(self, grid: Tensor, scale: int = 1) -> Tensor:
        """The view's part of a map [H', W'] over the whole frame, ``scale`` values a cell."""
        (row, column), (height, width) = self.origin, self.features.shape[1:]
        rows, columns = (
            (start * scale, (start + size) * scale) for start, size in ((row, height), (column, width))
        )
        return grid[slice(*rows), slice(*columns)]


@dataclass(frozen=True)
class _Past:
    """A recent frame [H, W, 3] and its label [H', W'] on the whole frame's grid, to be looked at again in another scale."""

    picture: Picture
    label: Tensor


class RefinedTracker:
    """Carries one object's mask through a clip, frame by frame."""

    def __init__(
        self,
        features: RecognitionFeatures,
        refiner: MaskRefiner,
        config: MaskConfig,
        progress: Progress = silent,
    ) -> None:
        self._features = features
        self._unlearnt = self._refiner = refiner
        self._config = config
        self._progress = progress
        self._marked: deque[tuple[Picture, Mask]] = deque(maxlen=LEARNT_FRAMES)
        self._motion = MotionEvidence()
        self._colours = ColourEvidence()
        self._belonging = Belonging()
        self._trusted = TrustedFrames(config.trusted_frames)
        self._here = False

    @property
    def follows(self) -> bool:
        """Always: a lost object may come back, and where it is the background's flow is needed."""
        return True

    def start(self, picture: Picture, mask: Mask) -> TrackedFrame:
        """Begin with the user's mask [H, W] of the first frame [H, W, 3], or go on with one that corrects."""
        self._marked.append((picture, mask))
        self._colours.learn(picture, mask)
        self._refiner = adapt(
            self._unlearnt, self._features, list(self._marked), self._config.adapt_steps, self._progress
        )
        self._size_hw: tuple[int, int] = mask.shape
        self._soft: FloatMap = mask.astype(np.float32)
        self._areas = deque([float(mask.sum())], maxlen=SIZED_FRAMES)
        self._grid_hw = self._choose_grid()
        self._label = torch.from_numpy(resized(self._soft, self._grid_hw))
        view = self._look(picture, self._label, self._config.first_reach_cells)
        marked = Remembered(view.features, view.of(self._label).clone(), view.origin)
        self._trusted.start(marked)
        self._recent = deque([marked], maxlen=self._config.recent_frames)
        self._past = deque([_Past(picture, self._label)], maxlen=self._config.recent_frames)
        self._here, self._gone = bool(mask.any()), 0
        self._belonging.start(mask)
        return TrackedFrame(mask, 1.0)

    def take_over(self, marked: Sequence[tuple[Picture, Mask]], picture: Picture, mask: Mask) -> None:
        """Begin with all ``marked`` frames, and stand on a later one [H, W, 3] with the ``mask`` [H, W] that another found."""
        self._marked.extend(marked[:-1])
        self.start(*marked[-1])
        if picture is marked[-1][0]:
            return
        self._here, self._soft = bool(mask.any()), mask.astype(np.float32)
        self._label = torch.from_numpy(resized(self._soft, self._grid_hw))
        if self._here:
            self._areas.append(float(mask.sum()))
            view = self._look(picture, self._label, self._config.recent_reach_cells)
            self._recent.append(Remembered(view.features, view.of(self._label).clone(), view.origin))
            self._past.append(_Past(picture, self._label))

    def step(self, picture: Picture, flow: FlowPair | None) -> TrackedFrame:
        """The mask of the next frame [H, W, 3], given the flow between the frame before and this one.

        Without flow (after a cut) the object may be anywhere, or gone. A lost object is looked for near by, later and after a
        cut in the whole frame, and what is found counts from a score of ``FOUND_AGAIN``. The score falls where the mask was kept
        from growing at once.
        """
        self._here = self._here and flow is not None
        self._keep_scale()
        carried, moving = self._carry(flow, picture)
        watched = flow if self._config.keep_size else None
        self._gone = 0 if self._here else SEARCHED_NEAR if watched is None else self._gone + 1
        # What was hidden for a moment comes back near by: it is looked for farther off from frame to frame.
        where = carried if self._gone >= SEARCHED_NEAR else torch.maximum(carried, self._label)
        view = self._look(picture, where, self._config.recent_reach_cells + STRIDE_CELLS * self._gone)
        soft, label, sure, recalled = self._judge(view, carried, moving)
        found = self._on_frame(soft, view)
        kept = 1.0
        if self._here:
            found, label = self._reached(found, carried), label * view.of(self._near_cells(carried))
        else:
            found = self._belonging.find(found, watched)
        if self._here and watched is not None:
            found, kept = self._belonging.choose(found, self._soft, self._on_frame(recalled, view), watched)
            label = label * self._cells_of(found, view)
        score = kept * self._score(sure, found, view)
        enough = FOUND_NEAR if self._gone < SEARCHED_NEAR else FOUND_AGAIN
        if not (found > 0.5).any() or not (self._here or score >= enough):
            # What is remembered of the object stays as it was: nothing is learnt from frames without it.
            self._here = False
            self._motion.forget()
            return TrackedFrame(np.zeros(self._size_hw, dtype=bool), 1 - score)
        self._here, self._soft, self._label = True, found, torch.zeros(self._grid_hw)
        self._areas.append(float(found.sum()))
        view.of(self._label).copy_(label)
        self._recent.append(Remembered(view.features, label, view.origin))
        self._past.append(_Past(picture, self._label))
        if not self._gone:
            self._trusted.see(self._recent[-1], score)
        return TrackedFrame(main_parts(found > 0.5), score)

    def state(self) -> State:
        """The last mask, what is remembered of earlier frames, and what was learnt."""
        return {
            "here": self._here,
            "gone": self._gone,
            "soft": torch.from_numpy(self._soft.copy()),
            "areas": list(self._areas),
            "grid_hw": self._grid_hw,
            "label": self._label.clone(),
            "trusted": self._trusted.state,
            "recent": [frame.kept() for frame in self._recent],
            "past": [(torch.from_numpy(past.picture.copy()), past.label.clone()) for past in self._past],
            "marked": [kept_pair(*pair) for pair in self._marked],
            "motion": self._motion.state,
            "colours": self._colours.state,
            "belonging": self._belonging.state,
            "learnt": None if self._refiner is self._unlearnt else self._refiner.state_dict(),
        }

    def go_on(self, state: State) -> None:
        """Stand where the tracker stood that said ``state``."""
        self._here, self._gone = state["here"], state["gone"]
        self._soft, self._label = state["soft"].numpy(), state["label"]
        self._size_hw, self._grid_hw = self._soft.shape, state["grid_hw"]
        self._areas = deque(state["areas"], maxlen=SIZED_FRAMES)
        self._trusted.state = state["trusted"]
        self._motion.state, self._belonging.state = state["motion"], state["belonging"]
        self._colours.state = state["colours"]
        self._marked.extend(pair_of(kept) for kept in state["marked"])
        if state["learnt"] is not None:
            self._refiner = copy.deepcopy(self._unlearnt)
            self._refiner.load_state_dict(state["learnt"])
        count = self._config.recent_frames
        self._recent = deque((Remembered(*frame) for frame in state["recent"]), maxlen=count)
        self._past = deque((_Past(picture.numpy(), label) for picture, label in state["past"]), maxlen=count)

    @property
    def _side_px(self) -> float:
        """The object's side as lately seen."""
        return sqrt(max(self._areas))

    def _choose_grid(self) -> tuple[int, int]:
        """Cells of the whole frame, so many that the object as lately seen is ``object_cells`` wide."""
        scale = self._config.object_cells * CELL_PX / max(1.0, self._side_px)
        step, scale = LEAST_SIDE_CELLS, min(scale, MAX_ENLARGEMENT)
        rows, columns = (max(step, step * round(side * scale / (step * CELL_PX))) for side in self._size_hw)
        return rows, columns

    def _keep_scale(self) -> None:
        """Another grid where the object has grown or shrunk: it is known best at the size it was marked at."""
        side = self._side_px * self._grid_hw[0] / self._size_hw[0]
        if not self._here or 1 / RESCALED < side / self._config.object_cells < RESCALED:
            return
        grid_hw = self._choose_grid()
        if grid_hw == self._grid_hw:
            return
        self._grid_hw = grid_hw
        # Features of another scale are others: the last frames are looked at once more.
        for index, past in enumerate(self._past):
            label = F.interpolate(past.label[None, None], grid_hw, mode="bilinear", antialias=True)[0, 0]
            view = self._look(past.picture, label, self._config.recent_reach_cells)
            self._past[index] = _Past(past.picture, label)
            self._recent[index] = Remembered(view.features, view.of(label).clone(), view.origin)
        self._label = self._past[-1].label

    def _look(self, picture: Picture, label: Tensor, reach_cells: int) -> _View:
        """The object's surroundings, ``label`` [H', W'], with what lies in reach of it; the whole frame where it is nowhere."""
        where = (label > SEEN).numpy()
        if not where.any():
            where = ~where
        margin = reach_cells + CONTEXT_CELLS
        spans = []
        for axis, count in enumerate(self._grid_hw):
            found = np.flatnonzero(where.any(axis=1 - axis))
            low, high = max(int(found[0]) - margin, 0), min(int(found[-1]) + 1 + margin, count)
            length = -(-(high - low) // LEAST_SIDE_CELLS) * LEAST_SIDE_CELLS
            low = min(low, count - length)
            spans.append(slice(low * CELL_PX, (low + length) * CELL_PX))
        size = self._grid_hw[0] * CELL_PX, self._grid_hw[1] * CELL_PX
        interpolation = cv2.INTER_AREA if size[0] < picture.shape[0] else cv2.INTER_CUBIC
        whole = cv2.resize(picture, size[::-1], interpolation=interpolation)
        part = np.ascontiguousarray(whole[spans[0], spans[1]])
        features, stages = self._features.look(part)
        return _View(part, features, stages, (spans[0].start // CELL_PX, spans[1].start // CELL_PX))

    @torch.inference_mode()
    def _judge(self, view: _View, carried: Tensor, moving: FloatMap) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The object on the view [4 h, 4 w] or [8 h, 8 w], what to remember of it [h, w], how sure cells are, what is recalled.

        ``moving`` [H'', W''] is the evidence of motion on the whole frame. A cell is as sure as the refiner is of it, times how
        alike it is to remembered cells, [h, w]; what the last frames recall is [4 h, 4 w]. All are in [0, 1].
        """
        # A lost object is looked for in much of the picture: with the marked frame alone, or it takes seconds and gigabytes.
        known = self._trusted.memory if self._here else self._trusted.marked
        there = compare_anywhere(view.features, known)
        near = compare_nearby(view.features, view.origin, self._recent, self._config.recent_reach_cells)
        evidence = torch.cat([there, near, view.of(carried)[None]])
        soft = self._refiner(view.stages, evidence[None])[0, 0].sigmoid()
        seen = F.avg_pool2d(soft[None], CELL_PX // 2)[0]
        label = (1 - RECALLED_SHARE) * seen + RECALLED_SHARE * near[2] if self._here else seen
        alike = (torch.maximum(there[0], near[0]) / 5 + 0.8).clamp(0, 1)
        recalled = F.interpolate(near[2:][None], soft.shape, mode="bilinear")[0, 0]
        soft, label = _tilted(soft, self._tilt(moving, view)), _tilted(label, self._tilt(moving, view, 1))
        if self._here and self._config.colour_weight:
            against = self._config.colour_weight * self._colours.step(view.picture, view.of(carried).numpy())
            soft, label = (
                _tilted(share, torch.from_numpy(resized(against, (share.shape[0], share.shape[1]))))
                for share in (soft, label)
            )
        if self._here and self._config.redraw:
            soft, label = _redrawn(view.picture, soft, label)
        return soft, label, alike * (2 * seen - 1).clamp(min=0), recalled

    def _tilt(self, moving: FloatMap, view: _View, scale: int = CELL_PX // 2) -> Tensor:
        """What the evidence of motion adds to the log-odds on the view, ``scale`` values a cell."""
        rows, columns = (count * scale for count in self._grid_hw)
        grown = cv2.resize(moving, (columns, rows), interpolation=cv2.INTER_AREA)
        return self._config.motion_weight * view.of(torch.from_numpy(grown), scale)

    def _reached(self, found: FloatMap, carried: Tensor) -> FloatMap:
        """``found`` [H, W] without the parts that touch nothing of the carried mask: something alike that stands elsewhere."""
        height, width = self._size_hw
        near = cv2.resize(self._near_cells(carried).numpy(), (width, height), interpolation=cv2.INTER_LINEAR)
        count, parts = cv2.connectedComponents((found > 0.5).astype(np.uint8))
        reached = np.zeros(count, dtype=bool)
        reached[np.unique(parts[near > 0.5])] = True
        reached[0] = True  # the faint surroundings of all parts
        return np.where(reached[parts], found, 0).astype(np.float32)

    def _near_cells(self, carried: Tensor) -> Tensor:
        """Cells [H', W'] of the carried mask and those around them, 1 or 0."""
        side = 2 * NEAR_CELLS + 1
        return F.max_pool2d((carried > SEEN).float()[None], side, stride=1, padding=NEAR_CELLS)[0]

    def _score(self, sure: Tensor, found: FloatMap, view: _View) -> float:
        """Mean of ``sure`` [h, w] over the cells of a view that lie in ``found`` [H, W]; 0 where there are none."""
        inner = view.of(torch.from_numpy(resized((found > 0.5).astype(np.float32), self._grid_hw))) > 0.5
        return float(sure[inner].mean()) if inner.any() else 0.0

    def _cells_of(self, found: FloatMap, view: _View) -> Tensor:
        """Cells [h, w] of a view that ``found`` [H, W] covers, and those around them, 1 or 0: the others hold none of it."""
        covered = torch.from_numpy(resized((found > 0.5).astype(np.float32), self._grid_hw)) > COVERED
        return view.of(F.max_pool2d(covered.float()[None], 3, stride=1, padding=1)[0])

    def _carry(self, flow: FlowPair | None, picture: Picture) -> tuple[Tensor, FloatMap]:
        """The last mask through the flow, in [0, 1] on the whole grid of cells, and the evidence of motion on ``picture``."""
        if flow is None or not self._here:
            self._motion.forget()
            return torch.zeros(self._grid_hw), np.zeros((1, 1), np.float32)
        carried = carried_over(self._soft, flow)
        moving = np.zeros((1, 1), np.float32)
        if self._config.motion_weight:
            moving = self._motion.step(self._past[-1].picture, picture, carried[0, 0].numpy(), flow)
        return F.interpolate(carried, self._grid_hw, mode="area")[0, 0], moving

    def _on_frame(self, soft: Tensor, view: _View) -> FloatMap:
        """A view's map [4 h, 4 w] or [8 h, 8 w] on the pixels of the frame, 0 outside the view."""
        scale = soft.shape[0] // view.features.shape[1]
        grid = torch.zeros(self._grid_hw[0] * scale, self._grid_hw[1] * scale)
        view.of(grid, scale).copy_(soft)
        return np.asarray(cv2.resize(grid.numpy(), self._size_hw[::-1], interpolation=cv2.INTER_LINEAR))


def kept_pair(picture: Picture, mask: Mask) -> tuple[Tensor, Tensor]:
    """A picture and its mask as a state holds them."""
    return torch.from_numpy(picture.copy()), torch.from_numpy(mask.copy())


def pair_of(kept: tuple[Tensor, Tensor]) -> tuple[Picture, Mask]:
    """The picture and the mask that ``kept_pair`` was given."""
    return kept[0].numpy(), kept[1].numpy()


def _redrawn(picture: Picture, soft: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    """``soft`` [4 h, 4 w] and what to remember of it [h, w], with the edge that GrabCut finds on ``picture`` [8 h, 8 w, 3].

    The first is [8 h, 8 w] then.
    """
    drawn = redrawn(picture, soft.numpy())
    if drawn is None:
        return soft, label
    share = torch.from_numpy(drawn)
    return share, F.avg_pool2d(share[None], CELL_PX)[0]


def _tilted(share: Tensor, log_odds: Tensor) -> Tensor:
    """``share`` in [0, 1] after ``log_odds`` more."""
    return torch.special.logit(share, eps=1e-4).add(log_odds).sigmoid()
