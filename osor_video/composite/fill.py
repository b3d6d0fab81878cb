"""The one picture that goes into the hole: real pixels where the shot has them, generated ones elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from osor_video.background.recover import Plate
from osor_video.config import CompositeConfig
from osor_video.membrane import fill_membrane
from osor_video.removal.remover import Removal
from osor_video.shapes import dilate, touching
from osor_video.tensors import FloatMap, Mask, Picture

Box = tuple[int, int, int, int]

RIM_PX = 16
"""Surroundings of the replaced region whose colours the generated pixels are matched to."""
SPECK_PX = 4
"""Gaps in the plate up to this width are interpolated."""
MODEL_ALPHA = 0.5
"""The model's alpha counts from here, and where it touches the hole: its weaker guesses are not worth a changed pixel."""


@dataclass(frozen=True)
class Fill:
    """What to lay over one frame, on the even ``box`` that holds it all: ``rgb`` float32 [h, w, 3], ``alpha`` [h, w].

    ``borrowed`` is the share of the hole that real pixels of the shot fill.
    """

    rgb: FloatMap
    alpha: FloatMap
    box: Box
    borrowed: float


def make_fill(
    picture: Picture,
    hole: Mask,
    plate: Plate | None,
    effects: FloatMap | None,
    removal: Removal | None,
    config: CompositeConfig,
) -> Fill:
    """Join plate, generated picture and effects for one frame with a hole.

    Where neither plate nor model knows, the surroundings are interpolated. Generated pixels are shifted by the smooth membrane that
    makes them meet their known neighbours (Farbman et al., "Coordinates for Instant Image Cloning", SIGGRAPH 2009).
    """
    alpha = join_alpha(hole, effects, removal.alpha if removal else None, config)
    box = _even_box(alpha, RIM_PX)
    area = np.s_[box[0] : box[2], box[1] : box[3]]
    shown = picture[area].astype(np.float32) / 255
    trusted, real = _on_box(plate, box, config.trust, shown.shape[:2])
    untouched = (alpha[area] == 0).astype(np.float32)
    known = np.maximum(trusted, untouched)
    values = np.where(trusted[..., None] > 0, real, shown)
    # Specks that the membrane bridges need no picture made for them.
    missing = cv2.erode((known < 1).astype(np.uint8), np.ones((SPECK_PX + 1, SPECK_PX + 1), np.uint8)).any()
    generated = removal.rgb[area] if removal and missing else np.zeros_like(shown)
    filled = generated + fill_membrane((values - generated) * known[..., None], known)
    # A soft seam inside the hole between borrowed and generated pixels.
    seam = cv2.GaussianBlur(trusted, (0, 0), 1.5) * trusted
    joined = seam[..., None] * real + (1 - seam[..., None]) * filled
    return Fill(np.clip(joined, 0, 1), alpha[area], box, float(trusted[hole[area]].mean()))


def join_alpha(
    hole: Mask, effects: FloatMap | None, model: FloatMap | None, config: CompositeConfig
) -> FloatMap:
    """alpha ∪ mask, [H, W]: 1 in the hole, feathered outwards, joined with the effects.

    Of the model's alpha only what touches the hole and exceeds one half is taken.
    """
    radius = max(1, round(config.feather * hole.shape[0]))
    grown = dilate(hole, radius).astype(np.float32)
    size = 2 * radius + 1
    alpha = np.maximum(cv2.blur(grown, (size, size)), hole).astype(np.float32)
    if effects is not None:
        alpha = np.maximum(alpha, effects)
    if model is not None:
        alpha = np.maximum(alpha, np.where(touching((model > MODEL_ALPHA) | hole, hole), model, 0))
    # What would not move an 8-bit sample by one is left alone.
    return np.where(alpha < 1 / 255, 0, alpha).astype(np.float32)


def _on_box(
    plate: Plate | None, box: Box, trust: float, size_hw: tuple[int, int]
) -> tuple[FloatMap, FloatMap]:
    """Trusted pixels (0 or 1) [h, w] and colours [h, w, 3] of the plate on another box."""
    trusted, real = np.zeros(size_hw, np.float32), np.zeros((*size_hw, 3), np.float32)
    if plate is None:
        return trusted, real
    top, left = max(box[0], plate.box[0]), max(box[1], plate.box[1])
    bottom, right = min(box[2], plate.box[2]), min(box[3], plate.box[3])
    ours = np.s_[top - box[0] : bottom - box[0], left - box[1] : right - box[1]]
    theirs = np.s_[top - plate.box[0] : bottom - plate.box[0], left - plate.box[1] : right - plate.box[1]]
    trusted[ours] = plate.confidence[theirs] >= trust
    real[ours] = plate.rgb[theirs]
    return trusted, real


def _even_box(alpha: FloatMap, margin: int) -> Box:
    """Bounding box of alpha > 0 with a margin, on even pixels inside the frame."""
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    height, width = alpha.shape
    top, left = max(int(rows[0]) - margin, 0) // 2 * 2, max(int(columns[0]) - margin, 0) // 2 * 2
    bottom, right = int(rows[-1]) + 1 + margin, int(columns[-1]) + 1 + margin
    return top, left, min(bottom + bottom % 2, height), min(right + right % 2, width)
