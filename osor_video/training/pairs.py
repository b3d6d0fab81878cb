"""Pairs made on the fly: the same place with and without an object, its shadow and its reflection."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from osor_video.tensors import FloatMap, Mask, Picture, to_uint8
from osor_video.training.cutouts import Cutout, choose_cutout
from osor_video.training.effects import Placed, cast_shadow, contact_shadow, reflection, warp
from osor_video.training.photos import random_crop, read_photo

VISIBLE = 0.035
"""Difference of the largest colour channel from which an effect counts as visible."""
BLOB_SHARE = 0.10
NO_EFFECT_SHARE = 0.15
BYSTANDER_SHARE = 0.35


@dataclass(frozen=True)
class Pair:
    """``shot`` and ``clean`` uint8 [S, S, 3]; ``mask`` the object, ``effect_mask`` object and effects."""

    shot: Picture
    clean: Picture
    mask: Mask
    effect_mask: Mask


def make_pair(
    photos: list[Path],
    cutouts: list[Cutout],
    side_px: int,
    widest_px: int,
    random: np.random.Generator,
    *,
    blob_share: float = BLOB_SHARE,
) -> Pair:
    """One pair; everything about it comes from ``random``. A ``blob_share`` has a hole and no object."""
    photo = read_photo(photos[int(random.integers(len(photos)))])
    clean = random_crop(photo, side_px, widest_px, random).astype(np.float32) / 255.0
    if random.random() < BYSTANDER_SHARE:
        clean, _ = _add_object(clean, cutouts, random)
    if random.random() < blob_share:
        blob = random_blob(side_px, random)
        return _finish(clean, clean, blob, random)
    shot, mask = _add_object(clean, cutouts, random)
    return _finish(shot, clean, mask, random)


def random_blob(side_px: int, random: np.random.Generator) -> Mask:
    """A few overlapping ellipses: a hole on empty background."""
    canvas = np.zeros((side_px, side_px), np.uint8)
    centre = random.uniform(0.1, 0.9, 2) * side_px
    for _ in range(int(random.integers(1, 5))):
        middle = centre + random.normal(0, 0.06 * side_px, 2)
        axes = random.uniform(0.03, 0.18, 2) * side_px
        box = (tuple(middle.tolist()), tuple((2 * axes).tolist()), float(random.uniform(0, 180)))
        cv2.ellipse(canvas, box, 1, -1)
    return canvas > 0


def _add_object(clean: FloatMap, cutouts: list[Cutout], random: np.random.Generator) -> tuple[FloatMap, Mask]:
    """(picture with one more object and its effects, the object's mask); part of it is always in sight."""
    side = clean.shape[0]
    while True:
        placed = _place(choose_cutout(cutouts, random), side, random)
        matte = warp(placed.cutout.matte, placed.matrix, side)
        if (matte > 0.5).sum() >= 64:
            break
    shot = clean if random.random() < NO_EFFECT_SHARE else add_effects(clean, placed, random)
    colour = warp(relit(placed.cutout.colour, clean, random), placed.matrix, side)
    shot = shot * (1 - matte[..., None]) + colour * matte[..., None]
    return np.asarray(shot, np.float32), matte > 0.5


def _place(cutout: Cutout, side_px: int, random: np.random.Generator) -> Placed:
    height, width = cutout.matte.shape
    height_px = side_px * float(random.uniform(0.10, 0.60))
    scale = height_px / height
    foot = (side_px * float(random.normal(0.5, 0.28)), side_px * float(random.uniform(0.25, 1.10)))
    flip = -1.0 if random.random() < 0.5 else 1.0
    matrix = np.array(
        [[flip * scale, 0, foot[0] - flip * scale * width / 2], [0, scale, foot[1] - height_px]]
    )
    return Placed(cutout, matrix, foot, height_px, scale * width)


def relit(colour: FloatMap, clean: FloatMap, random: np.random.Generator) -> FloatMap:
    """Bring an object's brightness halfway to the place's, with some freedom left."""
    gain = (0.15 + float(clean.mean())) / (0.15 + float(colour.mean()))
    gain = gain ** float(random.uniform(0.2, 0.8)) * float(random.uniform(0.8, 1.25))
    return np.asarray(np.clip(colour * np.float32(gain), 0, 1), np.float32)


def add_effects(clean: FloatMap, placed: Placed, random: np.random.Generator) -> FloatMap:
    """``clean`` [S, S, 3] with a shadow, a reflection or both, perhaps dark at the contact."""
    side = clean.shape[0]
    shot = clean
    kind = random.random()
    if kind < 0.7:
        shot = shot * (1 - cast_shadow(placed, side, random))
    if kind > 0.6:
        colour, strength = reflection(placed, side, random)
        shot = shot * (1 - strength) + colour
    if random.random() < 0.5:
        shot = shot * (1 - contact_shadow(placed, side, random))
    return shot


def _finish(shot: FloatMap, clean: FloatMap, mask: Mask, random: np.random.Generator) -> Pair:
    """Add the same grain to both sides; effects count where they can be seen."""
    grain = random.normal(0, float(random.uniform(0, 0.012)), clean.shape).astype(np.float32)
    return Pair(to_uint8(shot + grain), to_uint8(clean + grain), mask, mask | visible_difference(shot, clean))


def visible_difference(shot: FloatMap, clean: FloatMap) -> Mask:
    """bool [H, W]: where two pictures in [0, 1] differ to the eye."""
    return np.asarray(cv2.GaussianBlur(np.abs(shot - clean).max(axis=2), (0, 0), 1.0) > VISIBLE)
