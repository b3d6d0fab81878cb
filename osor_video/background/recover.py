"""The plate: each hidden pixel's real samples from other frames of the shot, and how far they agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from osor_video.background.camera import GreyPicture
from osor_video.background.register import (
    Box,
    Registration,
    ShotFrame,
    box_grid,
    homography_map,
    outside,
    to_grey,
)
from osor_video.config import BackgroundConfig
from osor_video.tensors import FloatMap, Mask, Picture, to_uint8

NOISE = 3.0
"""Error in 8-bit levels that is put down to noise when samples are weighed."""
SPREAD = 24.0
"""Disagreement of samples, in 8-bit levels, at which confidence has mostly gone."""
GUIDE = 0.3
"""Confidence from which a first guess guides the registration."""
CLEAR_VIEW = 0.25
"""Mean clearness over the points that lack samples from which a frame is asked first."""
SHADED = 0.1
"""Change of log luminance against the guess from which a sample is taken to be shaded."""
AGREED = 10.0
"""Difference in 8-bit levels up to which frame and first guess show the same."""
COVERAGE_STEP = 8
"""Pixels between the points on which the choice of frames is made."""


@dataclass(frozen=True)
class Plate:
    """Recovered background of a box: ``rgb`` float32 [h, w, 3] in [0, 1] and ``confidence`` [h, w] in [0, 1]."""

    box: Box
    rgb: FloatMap
    confidence: FloatMap


def plate_box(hole: Mask, margin: float) -> Box:
    """The hole's bounding box, widened by ``margin`` times its longer side, on even pixels inside the frame."""
    ys, xs = np.nonzero(hole)
    reach = round(margin * max(np.ptp(ys), np.ptp(xs))) + 8
    height, width = hole.shape
    top, left = max(int(ys.min()) - reach, 0) // 2 * 2, max(int(xs.min()) - reach, 0) // 2 * 2
    return top, left, min(int(ys.max()) + reach + 1, height), min(int(xs.max()) + reach + 1, width)


def recover(target: ShotFrame, others: Sequence[ShotFrame], config: BackgroundConfig) -> Plate:
    """The plate of ``target`` from ``others``, neighbours of the same shot.

    A first plate from a few frames is registered by the hole's surroundings alone. It then guides the registration of all frames
    inside the hole, where it shows roughly what they show. It is made anew for each frame: carried from frame to frame, its
    small errors of place add up wherever the scene has depth.
    """
    box = plate_box(target.hole, config.margin)
    guess = _merge(
        target, choose(target, others, box, config.first_frames, config.samples, CLEAR_VIEW), box, None
    )
    return _merge(target, choose(target, others, box, config.max_frames, config.samples, 0.0), box, guess)


def choose(
    target: ShotFrame, others: Sequence[ShotFrame], box: Box, most: int, samples: int, clear: float
) -> list[ShotFrame]:
    """At most ``most`` frames to borrow from, nearest in time first, until each hidden point has ``samples`` samples.

    Frames whose view of the points is clearer than ``clear`` come first: where the object stood nearby, the shadow that is to go
    may lie on them. The others help where no clear frame does.
    """
    points = box_grid(box)[::COVERAGE_STEP, ::COVERAGE_STEP]
    hidden = target.hole[box[0] : box[2] : COVERAGE_STEP, box[1] : box[3] : COVERAGE_STEP]
    counts, chosen = np.zeros(hidden.shape, np.float32), list[ShotFrame]()
    nearest = sorted(others, key=lambda frame: (abs(frame.index - target.index), frame.index))
    views = [_view_of(points, target, other) for other in nearest]
    for wanted in (clear, 0.0):
        for other, view in zip(nearest, views, strict=True):
            need = hidden & (counts < samples)
            if len(chosen) == most or not need.any():
                return chosen
            if other not in chosen and view[need].mean() > wanted:
                counts += view > wanted
                chosen.append(other)
    return chosen


def _view_of(points: FloatMap, target: ShotFrame, other: ShotFrame) -> FloatMap:
    """How well ``other`` shows the points [h, w, 2] of the target's frame, [h, w] in [0, 1]."""
    coords = homography_map(points, other.camera @ np.linalg.inv(target.camera))
    clear = cv2.remap(other.clearness, coords, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    return np.where(outside(coords, other), 0, clear).astype(np.float32)


def _merge(target: ShotFrame, others: Sequence[ShotFrame], box: Box, guess: Plate | None) -> Plate:
    """Register each frame to the box once, sample it once (bicubic) and take the weighted median."""
    if not others:
        return _empty(box)
    area = np.s_[box[0] : box[2], box[1] : box[3]]
    shown, hole = target.rgb[area], target.hole[area]
    registration = Registration(target.camera, *_guide(shown, hole, target.clearness[area], guess), box)
    samples, weights = zip(
        *(_sample(registration, other, shown, hole, guess) for other in others), strict=True
    )
    return _weighted_median(box, np.stack(samples), np.stack(weights))


def _guide(shown: Picture, hole: Mask, clear: FloatMap, guess: Plate | None) -> tuple[GreyPicture, FloatMap]:
    """What the box should show, grey [h, w], and how sure that is.

    Outside the hole the frame itself; it is not sure beside the object, unless the guess agrees that no shadow lies there.
    """
    if guess is None:
        return to_grey(shown), np.where(hole, 0, clear).astype(np.float32)
    guided = hole & (guess.confidence > GUIDE)
    guide = to_grey(np.where(guided[..., None], to_uint8(guess.rgb), shown))
    difference = cv2.absdiff(guide, to_grey(to_uint8(guess.rgb))).astype(np.float32)
    agreed = cv2.GaussianBlur(difference, (0, 0), 2.0) < AGREED
    return guide, np.where(hole, guided, np.where(agreed, 1, clear)).astype(np.float32)


def _sample(
    registration: Registration, other: ShotFrame, shown: Picture, hole: Mask, guess: Plate | None
) -> tuple[FloatMap, FloatMap]:
    """Colours [h, w, 3] that ``other`` has for the box, exposure matched, and their weights [h, w].

    Beside the object in ``other`` a sample counts only where it agrees with the guess, if there is one: elsewhere the
    object's shadow or reflection lies on it.
    """
    coords, error = registration.fine(other)
    colours = cv2.remap(other.rgb, coords, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).astype(
        np.float32
    )
    valid = ~outside(coords, other)
    colours *= _gain(colours, shown, valid & ~hole)
    clear = cv2.remap(other.clearness, coords, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    if guess is not None:
        ratio = [cv2.GaussianBlur(side.mean(axis=2), (0, 0), 2.5) + 8 for side in (colours, guess.rgb * 255)]
        agrees = (np.abs(np.log(ratio[0] / ratio[1])) < SHADED) & (guess.confidence > GUIDE)
        clear = np.where(agrees, 1, np.square(clear))
    weight = valid * clear / (NOISE**2 + np.square(error))
    return colours, weight.astype(np.float32)


def _gain(colours: FloatMap, shown: Picture, common: Mask) -> FloatMap:
    """Exposure ratio [3] between frame and sample over what both show, at most a quarter either way."""
    if common.sum() < 64:
        return np.ones(3, np.float32)
    ratio = shown[common].mean(axis=0, dtype=np.float64) / np.maximum(colours[common].mean(axis=0), 1.0)
    return np.asarray(np.clip(ratio, 0.8, 1.25), dtype=np.float32)


def _weighted_median(box: Box, samples: FloatMap, weights: FloatMap) -> Plate:
    """Per pixel and channel over samples [K, h, w, 3] with weights [K, h, w]; the spread gives the confidence."""
    order = np.argsort(samples, axis=0)
    ordered = np.take_along_axis(samples, order, axis=0)
    cumulated = np.cumsum(np.take_along_axis(weights[..., None], order, axis=0), axis=0)
    total = weights.sum(axis=0)
    # Between the two middle samples the median is their mean: with few samples that halves the noise.
    low = np.argmax(cumulated >= 0.4 * total[..., None], axis=0)[None]
    high = np.argmax(cumulated >= 0.6 * total[..., None], axis=0)[None]
    median = (np.take_along_axis(ordered, low, axis=0) + np.take_along_axis(ordered, high, axis=0))[0] / 2
    spread = (weights * np.abs(samples - median).mean(axis=-1)).sum(axis=0) / np.maximum(total, 1e-9)
    confidence = np.where(total > 0, np.exp(-np.square(spread / SPREAD)), 0.0)
    return Plate(box, np.clip(median / 255, 0, 1).astype(np.float32), confidence.astype(np.float32))


def _empty(box: Box) -> Plate:
    size = box[2] - box[0], box[3] - box[1]
    return Plate(box, np.zeros((*size, 3), np.float32), np.zeros(size, np.float32))
