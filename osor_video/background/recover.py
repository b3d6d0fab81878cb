"""The plate: each hidden pixel's real samples from other frames of the shot, and how far they agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from osor_video.background.register import Box, Registration, ShotFrame, box_grid, homography_map, outside
from osor_video.config import BackgroundConfig
from osor_video.tensors import FloatMap, Mask, Picture, to_uint8

NOISE = 3.0
"""Error in 8-bit levels that is put down to noise when samples are weighed."""
SPREAD = 24.0
"""Disagreement of samples, in 8-bit levels, at which confidence has mostly gone."""
GUIDE = 0.3
"""Confidence from which a first guess guides the registration."""
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


def recover(
    target: ShotFrame, others: Sequence[ShotFrame], last: tuple[ShotFrame, Plate] | None, config: BackgroundConfig
) -> Plate:
    """The plate of ``target`` from ``others``, neighbours of the same shot.

    ``last`` is the frame before with its plate: moved by the camera it is the first guess that the registration needs inside
    the hole. Without it a first plate is made from a few frames and used as the guess.
    """
    box = plate_box(target.hole, config.margin)
    chosen = choose(target, others, box, config)
    guess = _moved_plate(target, box, *last) if last else _empty(box)
    if guess.confidence[target.hole[box[0] : box[2], box[1] : box[3]]].mean() < 0.5:
        guess = _merge(target, chosen[: config.first_frames], box, guess)
    return _merge(target, chosen, box, guess)


def choose(
    target: ShotFrame, others: Sequence[ShotFrame], box: Box, config: BackgroundConfig
) -> list[ShotFrame]:
    """Frames to borrow from, nearest in time first, until each hidden point has enough samples.

    A sample from beside the object counts little: the shadow that is to go may lie on it.
    """
    points = box_grid(box)[::COVERAGE_STEP, ::COVERAGE_STEP]
    wanted = target.hole[box[0] : box[2] : COVERAGE_STEP, box[1] : box[3] : COVERAGE_STEP]
    counts, chosen = np.zeros(wanted.shape, np.float32), list[ShotFrame]()
    for other in sorted(others, key=lambda frame: (abs(frame.index - target.index), frame.index)):
        lacking = wanted & (counts < config.samples)
        if not lacking.any() or len(chosen) == config.max_frames:
            break
        coords = homography_map(points, other.camera @ np.linalg.inv(target.camera))
        seen = ~outside(coords, other)
        if (seen & lacking).any():
            clear = cv2.remap(other.clearness, coords, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
            counts += seen * clear
            chosen.append(other)
    return chosen


def _merge(target: ShotFrame, others: Sequence[ShotFrame], box: Box, guess: Plate) -> Plate:
    """Register each frame to the box once, sample it once (bicubic) and take the weighted median."""
    if not others:
        return _empty(box)
    hole, shown, clear = (part[box[0] : box[2], box[1] : box[3]] for part in (target.hole, target.rgb, target.clearness))
    guided = (guess.confidence > GUIDE) & (clear < 1)
    guide = np.where(guided[..., None], to_uint8(guess.rgb), shown)
    certainty = np.where(guided, 1, np.where(hole, 0, clear)).astype(np.float32)
    registration = Registration(
        target.camera, np.asarray(cv2.cvtColor(guide, cv2.COLOR_RGB2GRAY)), certainty, box
    )
    samples, weights = zip(*(_sample(registration, other, shown, hole) for other in others), strict=True)
    return _weighted_median(box, np.stack(samples), np.stack(weights))


def _sample(registration: Registration, other: ShotFrame, shown: Picture, hole: Mask) -> tuple[FloatMap, FloatMap]:
    """Colours [h, w, 3] that ``other`` has for the box, exposure matched, and their weights [h, w]."""
    coords, error = registration.fine(other)
    colours = cv2.remap(other.rgb, coords, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    valid = ~outside(coords, other)
    clear = cv2.remap(other.clearness, coords, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    weight = valid * clear / (NOISE**2 + np.square(error))
    return colours * _gain(colours, shown, valid & ~hole), weight.astype(np.float32)


def _gain(colours: FloatMap, shown: Picture, common: Mask) -> FloatMap:
    """Exposure ratio [3] between frame and sample over what both show, at most a quarter either way."""
    if common.sum() < 64:
        return np.ones(3, np.float32)
    ratio = shown[common].mean(axis=0, dtype=np.float64) / np.maximum(colours[common].mean(axis=0), 1.0)
    return np.clip(ratio, 0.8, 1.25).astype(np.float32)


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


def _moved_plate(target: ShotFrame, box: Box, last: ShotFrame, plate: Plate) -> Plate:
    """The plate of the frame before, moved by the camera into the box."""
    coords = homography_map(box_grid(box), last.camera @ np.linalg.inv(target.camera))
    coords -= np.array([plate.box[1], plate.box[0]], np.float32)
    rgb = cv2.remap(plate.rgb, coords, None, cv2.INTER_LINEAR)
    return Plate(box, rgb, cv2.remap(plate.confidence, coords, None, cv2.INTER_NEAREST, borderValue=0.0))


def _empty(box: Box) -> Plate:
    size = box[2] - box[0], box[3] - box[1]
    return Plate(box, np.zeros((*size, 3), np.float32), np.zeros(size, np.float32))
