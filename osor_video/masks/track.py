"""The object of the first frame, found again in every frame of its shot.

Two witnesses are heard for each cell: what the flow carries over from the frame before, counted only where the
forward-backward test trusts it (so the background that the object uncovers keeps nothing of the mask), and what the
features of remembered frames say. GrabCut draws the edge.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from osor_video.config import MaskConfig
from osor_video.flow.estimate import FlowEstimator, FlowPair
from osor_video.flow.warp import validity, warp
from osor_video.masks.features import CELL_PX, RecognitionFeatures
from osor_video.masks.memory import Remembered, recall
from osor_video.masks.shots import CutDetector
from osor_video.masks.snap import snap
from osor_video.tensors import FloatMap, Mask, Picture


@dataclass(frozen=True)
class TrackedFrame:
    """The mask [H, W] of one frame, how sure it is (``score`` in [0, 1]) and the flow from the frame before."""

    mask: Mask
    score: float
    shot: int
    flow: FlowPair | None


class MaskTracker:
    """Carries one object's mask through a clip, frame by frame."""

    def __init__(self, flow: FlowEstimator, features: RecognitionFeatures, config: MaskConfig) -> None:
        self._flow = flow
        self._features = features
        self._config = config

    def start(self, picture: Picture, mask: Mask) -> TrackedFrame:
        """Begin with the user's mask [H, W] of the first frame [H, W, 3]."""
        self._size_hw: tuple[int, int] = mask.shape
        self._cuts = CutDetector()
        self._cuts.is_cut(picture)
        self._shot = 0
        self._encoded = self._flow.encode(picture)
        features = self._encode(picture)
        label = _shrink(mask, features)
        self._mask = mask
        self._first = Remembered(features, label, self._config.first_reach_cells)
        self._recent: deque[Remembered] = deque(maxlen=self._config.recent_frames)
        return TrackedFrame(mask, 1.0, 0, None)

    def step(self, picture: Picture) -> TrackedFrame:
        """The mask of the next frame. After a cut the object is taken to be gone: nothing is masked."""
        if self._cuts.is_cut(picture):
            self._shot += 1
        encoded = self._flow.encode(picture)
        last, self._encoded = self._encoded, encoded
        if self._shot:
            return TrackedFrame(np.zeros(self._size_hw, dtype=bool), 1.0, self._shot, None)
        pair = self._flow.match(last, encoded)
        features = self._encode(picture)
        label, score = self._fuse(features, pair)
        self._mask = snap(picture, self._enlarge(label))
        self._recent.append(Remembered(features, _shrink(self._mask, features), self._config.recent_reach_cells))
        return TrackedFrame(self._mask, score, self._shot, pair)

    def _fuse(self, features: Tensor, pair: FlowPair) -> tuple[Tensor, float]:
        """Label [h, w] from both witnesses, and the score: how alike they and the remembered looks are."""
        carried, trust = self._carry(pair, features)
        near = F.max_pool2d((carried > 0.1).float(), 2 * self._config.recent_reach_cells + 1, 1,
                            self._config.recent_reach_cells)[0, 0] > 0
        recalled, similarity = recall(features, near, [self._first, *self._recent])
        weight = self._config.flow_weight * trust[0, 0]
        label = (recalled + weight * carried[0, 0]) / (1 + weight)
        inner = label > 0.5
        if not inner.any():
            return label, 0.0
        alike = float(similarity[inner].clamp(0, 1).mean())
        agreement = float(1 - (recalled - label).abs()[inner].mean())
        return label, alike * agreement

    def _carry(self, pair: FlowPair, features: Tensor) -> tuple[Tensor, Tensor]:
        """The last mask through the flow, and the trust in it, both [1, 1, h, w] in [0, 1] on the cells' grid."""
        cells = (features.shape[1], features.shape[2])
        size_hw = (pair.backward.shape[-2], pair.backward.shape[-1])
        last = cv2.resize(self._mask.astype(np.float32), size_hw[::-1], interpolation=cv2.INTER_AREA)
        trust = validity(pair.backward, pair.forward)
        carried = warp(torch.from_numpy(last)[None, None], pair.backward)
        return F.adaptive_avg_pool2d(carried, cells), F.adaptive_avg_pool2d(trust, cells)

    def _encode(self, picture: Picture) -> Tensor:
        """Features at the working height, the sides rounded to multiples of 16."""
        scale = self._config.height_px / min(self._size_hw)
        height, width = (max(32, round(side * scale / 16) * 16) for side in self._size_hw)
        interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        return self._features.encode(cv2.resize(picture, (width, height), interpolation=interpolation))

    def _enlarge(self, label: Tensor) -> FloatMap:
        enlarged = cv2.resize(label.numpy(), self._size_hw[::-1], interpolation=cv2.INTER_CUBIC)
        return np.clip(enlarged, 0, 1)


def _shrink(mask: Mask, features: Tensor) -> Tensor:
    """Share of each cell that is masked, [h, w]."""
    size = (features.shape[2], features.shape[1])
    return torch.from_numpy(cv2.resize(mask.astype(np.float32), size, interpolation=cv2.INTER_AREA))


def hole(mask: Mask, grow: float) -> Mask:
    """``mask`` [H, W] grown by ``grow`` times the height: soft edges and motion blur belong to the object too."""
    radius = max(1, round(grow * mask.shape[0]))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    return np.asarray(cv2.dilate(mask.astype(np.uint8), kernel) > 0)


__all__ = ["CELL_PX", "MaskTracker", "TrackedFrame", "hole"]
