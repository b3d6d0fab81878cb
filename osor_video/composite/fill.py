"""The one picture that goes into the hole: real pixels where the shot has them, generated ones elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from osor_video.background.recover import Plate
from osor_video.composite.grain import Grain, fresh_grain
from osor_video.config import CompositeConfig
from osor_video.membrane import fill_membrane
from osor_video.motionblur import blurred, motion_blur
from osor_video.removal.remover import Removal
from osor_video.shapes import dilate
from osor_video.tensors import FloatMap, Mask, Picture

Box = tuple[int, int, int, int]

RIM_PX = 16
"""Surroundings of the replaced region whose colours the generated pixels are matched to."""
SPECK_PX = 4
"""Gaps in the plate up to this width are interpolated."""
TONE_CELL_PX = 4
"""Frame and plate are compared in squares of this side: their tone differs smoothly."""
TONE_BLUR_CELLS = 2.0
TONE_FLOOR = 0.03
"""Added to both before their ratio is taken: the dark has no tone."""
LEAST_TONE, SAME_TONE = 0.02, 0.15
"""Logarithms of the ratio of frame and plate: up to the first nobody sees it, beyond the second they show different things."""
FRINGE_PX = 6
"""Surroundings of an effect in which the frame may still be a little darker for it."""
MEETING_PX = 8
"""What differs at the rim of a generated picture, beyond its light, is bent away over so many pixels."""


@dataclass(frozen=True)
class Fill:
    """What to lay over one frame, on the even ``box`` that holds it all: ``rgb`` float32 [h, w, 3], ``alpha`` [h, w].

    ``effect`` [h, w] is the part of alpha that was found beyond the hole. ``borrowed`` is the share of the hole that real pixels of
    the shot or of the user's plate fill.
    """

    rgb: FloatMap
    alpha: FloatMap
    effect: FloatMap
    box: Box
    borrowed: float


@dataclass(frozen=True)
class FrameGrain:
    """The grain of one frame's surroundings, and the numbers that make it anew: the same in every run."""

    grain: Grain
    seed: int
    frame: int


def make_fill(
    picture: Picture,
    hole: Mask,
    plate: Plate | None,
    effect: FloatMap | None,
    removal: Removal | None,
    config: CompositeConfig,
    kept: Mask | None = None,
    grain: FrameGrain | None = None,
) -> Fill:
    """Join plate, generated picture and ``effect`` [H, W], alpha beyond the hole, for one frame with a hole.

    Where neither plate nor model knows, the surroundings are interpolated. Generated pixels are shifted by the smooth membrane that
    makes them meet their known neighbours (Farbman et al., "Coordinates for Instant Image Cloning", SIGGRAPH 2009). Alpha is 0 on
    what is ``kept`` [H, W]. Without ``grain`` none is added.
    """
    found = _without(np.zeros(hole.shape, np.float32) if effect is None else effect, kept)
    alpha = _without(join_alpha(hole, found, config), kept)
    box = _even_box(alpha, RIM_PX)
    area = np.s_[box[0] : box[2], box[1] : box[3]]
    shown = picture[area].astype(np.float32) / np.float32(255)
    trusted, real, lively = _on_box(plate, box, config.trust, shown.shape[:2])
    untouched = (alpha[area] == 0).astype(np.float32)
    known = np.maximum(trusted, untouched)
    both = _without(trusted * untouched, dilate(found[area] > 0, FRINGE_PX))
    real *= _tone(shown, real, both)
    blur = motion_blur(real, shown, both)
    if blur is not None:
        real = blurred(np.where(trusted[..., None] > 0, real, shown), blur)
        lively *= float(np.square(blur).sum())
    values = np.where(trusted[..., None] > 0, real, shown)
    # Specks that the membrane bridges need no picture made for them.
    missing = cv2.erode((known < 1).astype(np.uint8), np.ones((SPECK_PX + 1, SPECK_PX + 1), np.uint8)).any()
    if removal is not None and missing:
        generated = removal.rgb[area]
        filled = generated + _bridge(values - generated, known, _within(removal.box, box, shown.shape[:2]))
    else:
        filled = fill_membrane(values * known[..., None], known)
    # A soft seam inside the hole between borrowed and generated pixels.
    seam = cv2.GaussianBlur(trusted, (0, 0), 1.5) * trusted
    joined = seam[..., None] * real + (1 - seam[..., None]) * filled
    if grain is not None and config.grain > 0:
        lacking = config.grain * np.sqrt(1 - seam * lively)
        made = fresh_grain(grain.grain, lacking.shape, grain.seed, grain.frame, joined.astype(np.float32))
        joined += lacking[..., None] * made
    return Fill(np.clip(joined, 0, 1), alpha[area], found[area], box, float(trusted[hole[area]].mean()))


def _tone(shown: FloatMap, real: FloatMap, both: FloatMap) -> FloatMap:
    """What the plate ``real`` [h, w, 3] is to be multiplied by to have the tone of the frame ``shown`` around it, [h, w, 3].

    Their ratio is taken where ``both`` [h, w] are to be seen, and goes on smoothly from there. A lens is darker at its sides, and
    exposure follows what the camera sees: the same place is not as bright in two frames, and a straight seam would show it. Where
    most is unlike, it is not light.
    """
    height, width = both.shape
    size_wh = max(width // TONE_CELL_PX, 1), max(height // TONE_CELL_PX, 1)
    share = cv2.resize(both, size_wh, interpolation=cv2.INTER_AREA)
    here, there = (
        cv2.resize(side * both[..., None], size_wh, interpolation=cv2.INTER_AREA)
        + TONE_FLOOR * share[..., None]
        for side in (shown, real)
    )
    ratio = np.log(np.maximum(here, 1e-6) / np.maximum(there, 1e-6))
    compared = share > 0.5
    sure = (compared & (np.abs(ratio).max(axis=2) < SAME_TONE)).astype(np.float32)
    if sure.sum() <= compared.sum() / 2:
        return np.ones_like(shown)
    weight = cv2.GaussianBlur(sure, (0, 0), TONE_BLUR_CELLS)
    smooth = cv2.GaussianBlur(ratio * sure[..., None], (0, 0), TONE_BLUR_CELLS)
    smooth = smooth / np.maximum(weight, 1e-6)[..., None]
    smooth = np.copysign(np.maximum(np.abs(smooth) - LEAST_TONE, 0), smooth)
    whole = np.exp(fill_membrane(smooth * sure[..., None], sure))
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _bridge(apart: FloatMap, known: FloatMap, covered: Mask) -> FloatMap:
    """What to add to a generated picture that is ``apart`` [h, w, 3] from what is ``known`` [h, w], 0 or 1, to meet it there.

    The difference that most of the rim has is light, and is added everywhere. The rest of it is other things, which differ from
    frame to frame: as a membrane they would make the whole hole flicker. Where the crop has not ``covered`` the hole, there is only
    the membrane.
    """
    away = cv2.distanceTransform((known < 1).astype(np.uint8), cv2.DIST_L2, 5)
    rim = (away == 0) & (cv2.dilate((away > 0).astype(np.uint8), np.ones((3, 3), np.uint8)) > 0) & covered
    light = np.median(apart[rim], axis=0) if rim.any() else np.zeros(3, np.float32)
    rest = fill_membrane((apart - light) * known[..., None], known)
    fading = np.where(covered, np.exp(-away / np.float32(MEETING_PX)), 1)[..., None]
    return np.asarray(light + fading * rest, np.float32)


def _within(part: Box | None, box: Box, size_hw: tuple[int, int]) -> Mask:
    """Where a ``part`` of the frame covers the ``box`` of size ``size_hw``, bool [h, w]; None is all of the frame."""
    if part is None:
        return np.ones(size_hw, bool)
    covered = np.zeros(size_hw, bool)
    covered[_shared(box, part)[0]] = True
    return covered


def _shared(box: Box, other: Box) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """What two boxes share, as an index into the one and into the other."""
    top, left = max(box[0], other[0]), max(box[1], other[1])
    bottom, right = max(min(box[2], other[2]), top), max(min(box[3], other[3]), left)
    ours, theirs = (np.s_[top - b[0] : bottom - b[0], left - b[1] : right - b[1]] for b in (box, other))
    return ours, theirs


def alpha_of(fill: Fill | None, size_hw: tuple[int, int]) -> FloatMap:
    """A fill's alpha on the whole frame, [H, W]."""
    return _whole(fill, None if fill is None else fill.alpha, size_hw)


def effect_of(fill: Fill | None, size_hw: tuple[int, int]) -> FloatMap:
    """A fill's effect on the whole frame, [H, W]."""
    return _whole(fill, None if fill is None else fill.effect, size_hw)


def _whole(fill: Fill | None, values: FloatMap | None, size_hw: tuple[int, int]) -> FloatMap:
    whole = np.zeros(size_hw, np.float32)
    if fill is not None and values is not None:
        top, left, bottom, right = fill.box
        whole[top:bottom, left:right] = values
    return whole


def dithered(fill: Fill, strength: float, seed: tuple[int, int]) -> Fill:
    """The fill with noise of ``strength`` steps of 8 bit: what was seen in 8 bit shows no bands in a deeper source."""
    noise = np.random.default_rng(seed).random(fill.rgb.shape, np.float32) - np.float32(0.5)
    return replace(fill, rgb=np.clip(fill.rgb + noise * np.float32(strength / 255), 0, 1))


def join_alpha(hole: Mask, effect: FloatMap, config: CompositeConfig) -> FloatMap:
    """alpha ∪ mask, [H, W]: 1 in the hole, feathered outwards, joined with the effect's alpha [H, W]."""
    radius = max(1, round(config.feather * hole.shape[0]))
    grown = dilate(hole, radius).astype(np.float32)
    size = 2 * radius + 1
    alpha = np.maximum(np.maximum(cv2.blur(grown, (size, size)), hole), effect)
    # What would not move an 8-bit sample by one is left alone.
    return np.where(alpha < 1 / 255, 0, alpha).astype(np.float32)


def _without(alpha: FloatMap, kept: Mask | None) -> FloatMap:
    return alpha if kept is None else np.where(kept, np.float32(0), alpha)


def _on_box(
    plate: Plate | None, box: Box, trust: float, size_hw: tuple[int, int]
) -> tuple[FloatMap, FloatMap, FloatMap]:
    """Trusted pixels (0 or 1) [h, w], colours [h, w, 3] and grain left [h, w] of the plate on another box."""
    trusted, real, lively = (np.zeros((*size_hw, *more), np.float32) for more in ((), (3,), ()))
    if plate is None:
        return trusted, real, lively
    ours, theirs = _shared(box, plate.box)
    trusted[ours] = plate.confidence[theirs] >= trust
    real[ours] = plate.rgb[theirs]
    if plate.grain is not None:
        lively[ours] = plate.grain[theirs]
    return trusted, real, lively


def _even_box(alpha: FloatMap, margin: int) -> Box:
    """Bounding box of alpha > 0 with a margin, on even pixels inside the frame."""
    rows, columns = np.flatnonzero(alpha.any(axis=1)), np.flatnonzero(alpha.any(axis=0))
    height, width = alpha.shape
    top, left = max(int(rows[0]) - margin, 0) // 2 * 2, max(int(columns[0]) - margin, 0) // 2 * 2
    bottom, right = int(rows[-1]) + 1 + margin, int(columns[-1]) + 1 + margin
    return top, left, min(bottom + bottom % 2, height), min(right + right % 2, width)
