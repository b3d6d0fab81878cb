"""The refiner made to know the object it is to follow, from the frames that the user marked.

As OSVOS (Caelles et al., CVPR 2017, section 3.1) and Lucid Tracker (Khoreva et al., IJCV 2019, section 4): before a clip is
followed, the network goes on learning for a few dozen steps on looks made from the marked frame: the object in its own
surroundings and cut out, moved, turned, scaled and bent, pieces of the ground passing before it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import nn

from osor_video.masks.features import RecognitionFeatures
from osor_video.masks.lessons import Lesson, Looks, lesson_loss, look_at
from osor_video.masks.looks import Track, actor_looks, ground_looks, looks_in_place, paste, shaken
from osor_video.masks.refiner import MaskRefiner
from osor_video.masks.track import MAX_ENLARGEMENT
from osor_video.report import Progress, silent
from osor_video.shapes import box_around, dilate
from osor_video.tensors import FloatMap, Mask, Picture, to_uint8

SIDE_PX = 192
"""Of the square looks."""
BATCH = 4
RATE = 6e-4
"""Learning rate at its height; it falls along half a cosine."""
WARMUP_STEPS = 5
IN_PLACE_SHARE = 0.6
"""How often the object stays in its own surroundings."""
PASSING_SHARE = 0.4
"""How often a piece of the ground passes before the object."""
LEAST_SHARE = 0.008
"""Of the first look, what the object has to cover."""
TRIES = 20
"""Tracks that are made at most until one shows enough of the object."""
OBJECT_PX = 80
"""Side of the object (square root of its area) in the still that looks are made from."""
FILL_RADIUS_PX = 5


@dataclass(frozen=True)
class Still:
    """A marked frame: ``picture`` [H, W, 3], ``mask`` [H, W], the ``ground`` without the object, and the object cut out."""

    picture: Picture
    mask: Mask
    ground: Picture
    colour: FloatMap
    matte: FloatMap


def adapt(
    refiner: MaskRefiner,
    features: RecognitionFeatures,
    marked: Sequence[tuple[Picture, Mask]],
    steps: int,
    progress: Progress = silent,
) -> MaskRefiner:
    """A copy of ``refiner`` that has learnt from ``marked`` frames [H, W, 3] and masks [H, W] for ``steps`` steps.

    The same frames give the same weights. With no object in any of them, or no steps, the refiner is returned as it is.
    """
    stills = [still_of(picture, mask) for picture, mask in marked if mask.any()]
    if not stills or not steps:
        return refiner
    threads = torch.get_num_threads()

    def prepare() -> None:
        # Gradients hold numbers so small that a processor takes many times as long for them. What rounds them to zero is set for
        # a thread and those it starts: the caller's stays as it is.
        torch.set_flush_denormal(True)
        torch.set_num_threads(threads)

    with ThreadPoolExecutor(2, "osor-video-learn", prepare) as pool:
        learnt = pool.submit(_learn, copy.deepcopy(refiner), features, stills, steps, pool, progress)
        return learnt.result()


def _learn(
    learning: MaskRefiner,
    features: RecognitionFeatures,
    stills: Sequence[Still],
    steps: int,
    pool: Executor,
    progress: Progress,
) -> MaskRefiner:
    """``learning`` after so many steps on looks made from ``stills``; the next ones are made in ``pool`` meanwhile."""
    learning.train().requires_grad_(True)
    optimiser = torch.optim.AdamW(learning.parameters(), lr=RATE, weight_decay=1e-4)
    random = np.random.default_rng(0)

    def prepare() -> tuple[Lesson, Looks]:
        lesson = make_lesson(stills, random)
        return lesson, look_at(lesson, features)

    coming = pool.submit(prepare)
    for step in range(steps):
        lesson, looks = coming.result()
        if step + 1 < steps:
            coming = pool.submit(prepare)
        rate = RATE * min(1.0, (step + 1) / WARMUP_STEPS) * (1 + math.cos(math.pi * step / steps)) / 2
        optimiser.param_groups[0]["lr"] = rate
        loss, _ = lesson_loss(learning, looks, lesson)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(learning.parameters(), 1.0)
        optimiser.step()
        progress("learn", step + 1, steps)
    learning.eval().requires_grad_(False)
    return learning


def still_of(picture: Picture, mask: Mask) -> Still:
    """The object and what lies around it, in the size that it is followed in."""
    scale = min(OBJECT_PX / float(np.sqrt(mask.sum())), MAX_ENLARGEMENT)
    around = box_around(mask, round(SIDE_PX / scale))
    near, hidden = picture[around], mask[around].astype(np.float32)
    size = max(1, round(hidden.shape[1] * scale)), max(1, round(hidden.shape[0] * scale))
    interpolation = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    still = np.asarray(cv2.resize(near, size, interpolation=interpolation), np.uint8)
    matte = np.asarray(cv2.resize(hidden, size, interpolation=cv2.INTER_AREA))
    filled = cv2.inpaint(still, dilate(matte > 0, 4).astype(np.uint8), FILL_RADIUS_PX, cv2.INPAINT_TELEA)
    part = box_around(matte > 0, 2)
    return Still(
        still, matte > 0.5, np.asarray(filled), still[part].astype(np.float32) / np.float32(255), matte[part]
    )


def make_lesson(stills: Sequence[Still], random: np.random.Generator) -> Lesson:
    """A batch of tracks, a function of ``random`` alone."""
    made = [_track(stills[int(random.integers(len(stills)))], random) for _ in range(BATCH)]
    masks = torch.from_numpy(np.stack([track.masks for track in made]))
    return Lesson(np.stack([track.pictures for track in made]), masks, [None] * BATCH)


def _track(still: Still, random: np.random.Generator) -> Track:
    """One track of the object; the first look shows enough of it where that is to be had."""
    for _ in range(TRIES):
        calm = float(random.uniform(0.1, 1.0))
        if random.random() < IN_PLACE_SHARE:
            ground, masks = looks_in_place(still.picture, still.mask, SIDE_PX, calm, random)
        else:
            ground, masks = ground_looks(still.ground, SIDE_PX, calm, random)
            actor = actor_looks(still.colour, still.matte, SIDE_PX, calm, random)
            paste(ground, masks, actor, is_target=True)
        if random.random() < PASSING_SHARE:
            paste(ground, masks, _passer(still.ground, calm, random), is_target=False)
        if masks[0].mean() > LEAST_SHARE:
            break
    pictures = [to_uint8(shaken(look, random)) for look in ground]
    return Track(np.stack(pictures), np.stack([mask > 0.5 for mask in masks]))


def _passer(
    ground: Picture, calm: float, random: np.random.Generator
) -> tuple[list[FloatMap], list[FloatMap]]:
    """Looks of a piece of the ground with a shape and a colour of its own."""
    side = min(SIDE_PX // 2, *ground.shape[:2])
    top, left = (int(random.integers(length - side + 1)) for length in ground.shape[:2])
    colour = ground[top : top + side, left : left + side].astype(np.float32) / 255
    tint = np.exp(random.normal(0, 0.4) + random.normal(0, 0.15, 3)).astype(np.float32)
    knots = random.normal(0, 1, (5, 5)).astype(np.float32)
    knots[[0, -1]] = knots[:, [0, -1]] = -2.0
    hill = cv2.resize(knots, (side, side), interpolation=cv2.INTER_CUBIC)
    matte = np.clip(4 * (hill - np.quantile(hill, random.uniform(0.5, 0.8))), 0, 1).astype(np.float32)
    return actor_looks(np.clip(colour * tint, 0, 1), matte, SIDE_PX, calm, random)
