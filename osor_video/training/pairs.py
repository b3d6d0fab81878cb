"""Pairs made on the fly: the same place with and without an object, its shadow and its reflection."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from osor_video.shapes import drop_small_parts, fill_small_holes
from osor_video.tensors import FloatMap, Mask, Picture
from osor_video.training.cutouts import (
    Cutout,
    choose_cutout,
    choose_like,
    premultiplied,
    raised,
    repainted,
    sized,
)
from osor_video.training.developing import expose, record, sharpen
from osor_video.training.effects import (
    Ground,
    Light,
    Patch,
    Placed,
    cast_shadow,
    contact_shadow,
    draw,
    light_spill,
    spread,
)
from osor_video.training.photos import random_crop, read_photo
from osor_video.training.places import STAGE_SHARE, Place, draw_place

VISIBLE = 0.035
"""Difference of the largest colour channel from which an effect counts as visible."""
BLOB_SHARE = 0.10
NO_EFFECT_SHARE = 0.08
CONTACT_SHARE = 0.8
SPILL_SHARE = 0.15
BYSTANDERS = (0.5, 0.3, 0.2)
"""How often nobody, one thing and two things stand in both pictures, with effects of their own."""
HIGHEST_FOOT = 0.5
IN_SIGHT = 0.35
"""Least share of the object that the picture shows."""
RAISED_SHARE, STRANGE_SHADOW_SHARE, LOW_EYE_SHARE = 0.4, 0.5, 0.4
"""Of the objects whose effects are freer: those above the ground, with another's shadow, and seen from near the ground."""
SMALLEST_PART = 4e-4
"""Of the effect mask, as a share of the picture; smaller parts are dropped."""
SMALLEST_HOLE = 2.5e-3
"""Smaller holes of the effect mask are filled."""


@dataclass(frozen=True)
class Pair:
    """``shot`` and ``clean`` uint8 [S, S, 3]; ``mask`` the object, ``effect_mask`` object and effects."""

    shot: Picture
    clean: Picture
    mask: Mask
    effect_mask: Mask


@dataclass(frozen=True)
class Layer:
    """An object drawn into a place: all that it shows and changes.

    ``drawn`` and ``mirrored`` are premultiplied colour and matte [h, w, 4]; ``shades`` [h, w], some a light;
    ``contact`` [h, w]; ``spill`` [h, w, 3]. None or nothing where the object has no such effect.
    """

    foot_px: float
    drawn: Patch
    shades: tuple[list[Patch], ...] = ()
    mirrored: Patch | None = None
    contact: Patch | None = None
    spill: Patch | None = None


def make_pair(
    photos: list[Path],
    cutouts: list[Cutout],
    side_px: int,
    widest_px: int,
    random: np.random.Generator,
    *,
    blob_share: float = BLOB_SHARE,
    repainted_share: float = 0.0,
    printed_share: float = 0.0,
    highest_foot: float = HIGHEST_FOOT,
    freer_share: float = 0.0,
    crisp_share: float = 0.0,
) -> Pair:
    """One pair; everything about it comes from ``random``. A ``blob_share`` has a hole and no object.

    Of the objects a ``repainted_share`` get other colours in a part of them, a ``printed_share`` of those a photograph's; they
    stand no higher than ``highest_foot`` of the picture, counted from above. The effects of a ``freer_share`` follow less closely
    from what is seen of the object. A ``crisp_share`` of the pairs has hard and dark shadows, and the outlines of a camera that
    sharpens.
    """
    cutout = choose_cutout(cutouts, random)
    # Without a share nothing is drawn for it: a seed keeps its pairs.
    if repainted_share and random.random() < repainted_share:
        printed = printed_share and random.random() < printed_share
        photo = photos[int(random.integers(len(photos)))] if printed else None
        pattern = None if photo is None else random_crop(read_photo(photo), side_px, widest_px, random)
        cutout = repainted(cutout, random, pattern)
    placed, ground = _stand(cutout, side_px, random, highest_foot)
    caster = None
    if freer_share and random.random() < freer_share:
        placed, ground, caster = _freed(placed, ground, cutouts, random)
    place = draw_place(photos, ground, widest_px, random, placed.height_px)
    crisp = bool(crisp_share and random.random() < crisp_share)
    if crisp:
        place = replace(place, lights=tuple(light.crisp(random) for light in place.lights))
    others = [
        draw_layer(place, _stand_beside(choose_cutout(cutouts, random), placed, ground, random), random)
        for _ in range(int(random.choice(len(BYSTANDERS), p=BYSTANDERS)))
    ]
    if random.random() < blob_share:
        clean = compose(place, others)
        return _finish(clean, clean, random_blob(side_px, random), random, crisp=crisp)
    layer = draw_layer(place, placed, random, caster)
    others = [other for other in others if _leaves_in_sight(layer, other, side_px)]
    shot, clean = compose(place, [*others, layer]), compose(place, others)
    return _finish(shot, clean, _in_sight(layer, others, side_px) > 0.5, random, crisp=crisp)


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


def draw_layer(
    place: Place, placed: Placed, random: np.random.Generator, caster: Cutout | None = None
) -> Layer:
    """The object in the light of the place, its shadow that of ``caster``; without any effect on it once in a while."""
    ground = place.ground
    placed = replace(placed, cutout=relit(placed.cutout, place.diffuse, place.lights, random))
    drawn = draw(premultiplied(placed.cutout), placed.upright(), ground.side_px, 2.0)
    if random.random() < 0.3:
        drawn = drawn.of(cv2.GaussianBlur(drawn.values, (0, 0), float(random.uniform(0.3, 0.8))))
    if random.random() < NO_EFFECT_SHARE:
        return Layer(placed.foot[1], drawn)
    contact, spill = None, None
    if random.random() < CONTACT_SHARE:
        contact = contact_shadow(ground, placed, float(np.exp(random.uniform(np.log(0.008), np.log(0.12)))))
        contact = contact.of(contact.values * float(random.uniform(0.2, 0.75)))
    if random.random() < SPILL_SHARE:
        spill = light_spill(ground, placed, float(random.uniform(0.1, 0.5)))
    casting = placed if caster is None else replace(placed, cutout=caster)
    return Layer(
        placed.foot[1],
        drawn,
        tuple(cast_shadow(ground, casting, light) for light in place.lights),
        place.mirror.image_of(ground, placed) if place.mirror else None,
        contact,
        spill,
    )


def compose(place: Place, layers: list[Layer]) -> FloatMap:
    """The picture [S, S, 3] of a place with objects: light, then what the ground mirrors, then they themselves.

    Where two shadows of one light meet, the ground is no darker than in one.
    """
    layers = sorted(layers, key=lambda layer: layer.foot_px)
    picture = place.diffuse.copy()
    for index, light in enumerate(place.lights):
        shade = place.shades[index].copy()
        for patch in (patch for layer in layers if layer.shades for patch in layer.shades[index]):
            shade[patch.where] = np.maximum(shade[patch.where], patch.values)
        picture *= cv2.merge([1 - shade * part for part in light.share])
    for layer in layers:
        if layer.contact is not None:
            picture[layer.contact.where] *= spread(1 - layer.contact.values)
        if layer.spill is not None:
            picture[layer.spill.where] *= 1 + layer.spill.values
    if place.mirror is not None:
        seen = (picture if place.reflected is None else place.reflected).copy()
        for layer in layers:
            if layer.mirrored is not None:
                _lay_over(layer.mirrored, seen)
        picture += spread(place.mirror.strength) * (seen - picture)
    for layer in layers:
        _lay_over(layer.drawn, picture)
    return picture


def _lay_over(patch: Patch, picture: FloatMap) -> None:
    """Draw premultiplied colour over ``picture`` in place."""
    below = picture[patch.where]
    *colours, matte = cv2.split(patch.values)
    below *= spread(1 - matte)
    below += cv2.merge(colours)


def _in_sight(layer: Layer, others: list[Layer], side_px: int) -> FloatMap:
    """The object's matte without what stands before it [S, S]."""
    matte = np.zeros((side_px, side_px), np.float32)
    matte[layer.drawn.where] = layer.drawn.values[..., 3]
    for other in others:
        if other.foot_px > layer.foot_px:
            matte[other.drawn.where] *= 1 - other.drawn.values[..., 3]
    return matte


def _leaves_in_sight(layer: Layer, other: Layer, side_px: int) -> bool:
    return float(_in_sight(layer, [other], side_px).sum()) > 0.6 * float(layer.drawn.values[..., 3].sum())


def _stand(
    cutout: Cutout, side_px: int, random: np.random.Generator, highest_foot: float
) -> tuple[Placed, Ground]:
    """The object somewhere in the picture, and the ground that it stands on."""
    mirrored = bool(random.random() < 0.5)
    while True:
        height_px = side_px * float(np.exp(random.uniform(np.log(0.18), np.log(0.85))))
        foot_y = side_px * float(random.uniform(highest_foot, 1.0))
        if cutout.cut_off:
            height_px, foot_y = 1.3 * height_px, side_px * float(random.uniform(1.0, 1.15))
        placed = Placed(
            sized(cutout, height_px, side_px, mirrored=mirrored),
            (side_px * float(random.normal(0.5, 0.24)), foot_y),
        )
        matte = draw(placed.cutout.matte, placed.upright(), side_px)
        if matte.values.sum() >= max(IN_SIGHT * placed.cutout.matte.sum(), side_px**2 / 500):
            break
    focal_px = side_px * float(np.exp(random.uniform(np.log(0.9), np.log(2.8))))
    # How steeply one looks down at the foot, 11 to 48 degrees, decides how large its shadow is seen.
    camera_px = focal_px * float(np.exp(random.uniform(np.log(0.2), np.log(1.1))))
    staged = random.random() < STAGE_SHARE
    wall_px = foot_y - min(camera_px, side_px) * float(random.uniform(0.03, 0.7)) if staged else None
    return placed, Ground(side_px, foot_y - camera_px, focal_px, wall_px)


def _freed(
    placed: Placed, ground: Ground, cutouts: list[Cutout], random: np.random.Generator
) -> tuple[Placed, Ground, Cutout | None]:
    """The object perhaps in the air, on a ground seen perhaps more flatly, and perhaps another's outline for its shadow.

    What the light sees of a body is not what the camera sees of it, and who walks has a foot in the air.
    """
    if random.random() < RAISED_SHARE:
        gap_px = round(placed.height_px * float(np.exp(random.uniform(np.log(0.01), np.log(0.2)))))
        placed = Placed(raised(placed.cutout, gap_px), (placed.foot[0], placed.foot[1] + gap_px))
        wall_px = None if ground.wall_px is None else ground.wall_px + gap_px
        ground = replace(ground, horizon_px=ground.horizon_px + gap_px, wall_px=wall_px)
    if random.random() < LOW_EYE_SHARE:
        lower, foot_y = float(random.uniform(0.15, 0.8)), placed.foot[1]
        wall_px = None if ground.wall_px is None else foot_y - lower * (foot_y - ground.wall_px)
        horizon_px = foot_y - lower * (foot_y - ground.horizon_px)
        ground = replace(ground, horizon_px=horizon_px, wall_px=wall_px)
    caster = None
    if random.random() < STRANGE_SHADOW_SHARE:
        other = choose_like(placed.cutout, cutouts, random)
        height, width = placed.cutout.matte.shape
        size_wh = (max(2, round(width * float(random.uniform(0.6, 1.3)))), height)
        matte = cv2.resize(other.matte, size_wh, interpolation=cv2.INTER_AREA)
        caster = replace(other, colour=spread(matte), matte=matte)
    return placed, ground, caster


def _stand_beside(cutout: Cutout, first: Placed, ground: Ground, random: np.random.Generator) -> Placed:
    """Another object on the same ground, as large as its distance makes it."""
    side, camera_px = ground.side_px, first.foot[1] - ground.horizon_px
    farthest = ground.horizon_px + 0.15 * camera_px if ground.wall_px is None else ground.wall_px + 1
    foot = (
        side * float(random.uniform(-0.2, 1.2)),
        float(random.uniform(farthest, max(1.1 * side, farthest))),
    )
    height_px = first.height_px * (foot[1] - ground.horizon_px) / camera_px * float(random.uniform(0.6, 1.3))
    return Placed(
        sized(cutout, float(np.clip(height_px, 6, 1.2 * side)), side, mirrored=bool(random.random() < 0.5)),
        foot,
    )


def relit(cutout: Cutout, around: FloatMap, lights: tuple[Light, ...], random: np.random.Generator) -> Cutout:
    """Bring brightness and hue some way to those ``around`` [H, W, 3]; the side away from the first light is darker."""
    own = np.clip(cv2.mean(cutout.colour, (cutout.matte > 0.5).astype(np.uint8))[:3], 0.05, 0.9)
    there = np.clip(cv2.mean(around)[:3], 0.05, 0.9)
    level = (float(there.mean()) / float(own.mean())) ** float(random.uniform(0.1, 0.6))
    level *= float(np.exp(random.normal(0, 0.15)))
    # A gamma brightens without burning out what is bright already.
    gamma = np.log(np.clip(own.mean() * level, 0.05, 0.85)) / np.log(own.mean())
    hue = (there / there.mean()) ** float(random.uniform(0.0, 0.4))
    colour = cutout.colour ** np.float32(gamma) * hue.astype(np.float32)
    if lights:
        light = lights[0]
        side = -np.sign(light.across) * float(random.uniform(0, 0.3)) * np.linspace(-1, 1, colour.shape[1])
        behind = float(random.uniform(0, 0.35)) if light.away < 0 else 0.0
        colour = colour * (1 + side[:, None] - behind).astype(np.float32)
    return replace(cutout, colour=np.clip(colour, 0, 1))


def _finish(
    shot: FloatMap, clean: FloatMap, mask: Mask, random: np.random.Generator, *, crisp: bool = False
) -> Pair:
    """One camera for both pictures; before its noise, find where the effects can be seen."""
    shot, clean = expose([shot, clean], random)
    if crisp:
        shot, clean = sharpen([shot, clean], random)
    seen = visible_difference(shot, clean, mask)
    taken, plate = record([shot, clean], random)
    # Compression carries a little of the difference beyond its edge: never so much that it is seen.
    most = int(255 * VISIBLE)
    near = cv2.min(cv2.max(taken, cv2.subtract(plate, (most,) * 4)), cv2.add(plate, (most,) * 4))
    return Pair(np.where(spread(seen.astype(np.uint8)) > 0, taken, near), plate, mask, seen)


def visible_difference(shot: FloatMap, clean: FloatMap, mask: Mask) -> Mask:
    """``mask`` and everything that differs visibly, both pictures without noise; specks and small holes are gone."""
    red, green, blue = cv2.split(cv2.absdiff(shot, clean))
    seen = cv2.GaussianBlur(cv2.max(cv2.max(red, green), blue), (0, 0), 0.8) > VISIBLE
    if not seen.any():
        return mask
    parts = drop_small_parts(mask | seen, SMALLEST_PART * mask.size) | mask
    return fill_small_holes(parts, SMALLEST_HOLE * mask.size)
