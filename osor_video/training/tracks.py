"""Three looks at one object, made from a picture: as the user marked it, a moment ago, and now.

The object is one that a labelled photograph shows, in its own surroundings, or a cut-out pasted on a photograph; other
cut-outs may pass before and beside it. Ground and objects bend and move each in its own way, much between the first look
and the second, little between the second and the third. The masks are exact where the labels are.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from osor_video.shapes import dilate
from osor_video.tensors import FloatMap, Mask, Picture
from osor_video.training.cutouts import Cutout, choose_cutout, polygon_points, read_labels
from osor_video.training.developing import expose, record
from osor_video.training.photos import HELD_OUT_EVERY, read_photo, read_picture

LOOKS = 3
IN_PLACE_SHARE = 0.6
"""How often the object is one of a labelled photograph, where there are any."""
PASSING_SHARE = 0.5
"""How often something else passes too; half as often two things."""
UNION_SHARE = 0.25
"""How often an object in place is taken together with one that it touches: a rider and a bicycle."""
SIDES = (0.16, 0.62)
"""Side of the object (square root of its area) over the picture's."""
LEAST_SHARE = 0.008
"""Of the first look, what the object has to cover."""
SMALLEST_PX = 36
"""Side of a labelled object below which it is not taken."""
LARGEST_SHARE = 0.6
"""Of its photograph, what a labelled object covers less of."""
CORNERS = 3
"""That a polygon has at least."""
BLUR_SHARE = 0.2
"""How often a look is blurred by motion."""
BEND = 0.05
"""Standard deviation of the bending between the first look and the others, over the picture's side."""


@dataclass(frozen=True)
class Labelled:
    """A photograph uint8 [H, W, 3] and the masks [H, W] of its objects."""

    picture: Picture
    masks: tuple[Mask, ...]


@dataclass(frozen=True)
class Track:
    """``pictures`` uint8 [3, S, S, 3] and the object's ``masks`` bool [3, S, S]."""

    pictures: npt.NDArray[np.uint8]
    masks: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class _Path:
    """Where each pixel of each look comes from: ``centre`` (x, y) on the picture, log scale and angle a look; bending."""

    side_px: int
    centre: npt.NDArray[np.float64]
    scale: npt.NDArray[np.float64]
    angle: npt.NDArray[np.float64]
    bend: npt.NDArray[np.float32]
    """[3, S, S, 2] in pixels of the look."""

    def source(self, look: int, middle: tuple[float, float]) -> FloatMap:
        """Source position [S, S, 2] (x, y) of each pixel; ``middle`` is what the centre of the path shows."""
        side = self.side_px
        grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).astype(np.float32)
        offset = grid + self.bend[look] - self.centre[look]
        cos, sin = (f(self.angle[look]) / np.exp(self.scale[look]) for f in (np.cos, np.sin))
        turned = np.stack(
            [cos * offset[..., 0] + sin * offset[..., 1], cos * offset[..., 1] - sin * offset[..., 0]],
            axis=-1,
        )
        return np.asarray(turned + middle, np.float32)


def load_labelled(folder: Path) -> tuple[list[Labelled], list[Labelled]]:
    """(training, validation) photographs of ``folder`` (images/ and labels/), split as the cut-outs are."""
    split: tuple[list[Labelled], list[Labelled]] = ([], [])
    for index, path in enumerate(sorted(folder.glob("images/**/*.jpg"))):
        polygons = [polygon for _, polygon in read_labels(path) if len(polygon) >= CORNERS]
        if not polygons:
            continue
        picture = read_picture(path)
        drawn = (_drawn(picture, polygon) for polygon in polygons)
        masks = tuple(mask for mask in drawn if mask.sum() >= SMALLEST_PX**2 and mask.mean() < LARGEST_SHARE)
        if masks:
            split[index % HELD_OUT_EVERY == 0].append(Labelled(picture, masks))
    return split


def _drawn(picture: Picture, polygon: FloatMap) -> Mask:
    canvas = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillPoly(canvas, [polygon_points(picture, polygon)], 1)
    return canvas > 0


def make_track(
    photos: list[Path],
    cutouts: list[Cutout],
    labelled: list[Labelled],
    side_px: int,
    random: np.random.Generator,
) -> Track:
    """One track, a function of ``random`` alone; the first look shows enough of the object."""
    while True:
        track = _track(photos, cutouts, labelled, side_px, random)
        if track.masks[0].mean() > LEAST_SHARE:
            return track


def _track(
    photos: list[Path],
    cutouts: list[Cutout],
    labelled: list[Labelled],
    side_px: int,
    random: np.random.Generator,
) -> Track:
    in_place = bool(labelled) and random.random() < IN_PLACE_SHARE
    calm = float(random.uniform(0.1, 1.0))
    if in_place:
        ground, masks = _ground_with_object(
            labelled[int(random.integers(len(labelled)))], side_px, calm, random
        )
    else:
        ground, masks = _ground(read_photo(photos[int(random.integers(len(photos)))]), side_px, calm, random)
    passing = 1 + (random.random() < 0.5) if random.random() < PASSING_SHARE else 0
    order = [False] * passing + ([] if in_place else [True])
    random.shuffle(order)
    for is_target in order:
        colours, mattes = _actor(choose_cutout(cutouts, random), side_px, calm, random)
        for look in range(LOOKS):
            matte = mattes[look][..., None]
            ground[look] = ground[look] * (1 - matte) + colours[look] * matte
            masks[look] = (
                np.maximum(masks[look], mattes[look]) if is_target else masks[look] * (1 - mattes[look])
            )
    pictures = expose(ground, random)
    pictures = [_shaken(picture, random) for picture in pictures]
    return Track(np.stack(record(pictures, random)), np.stack([mask > 0.5 for mask in masks]))


def _drawn_path(
    side_px: int, centre: npt.NDArray[np.float64], scale: float, calm: float, random: np.random.Generator
) -> _Path:
    """The first look somewhere, the second elsewhere, the third near the second."""
    strength = np.array([0.0, calm, calm])
    near = np.array([0.0, 0.0, 0.25 * calm])

    def walk(deviation: float) -> npt.NDArray[np.float64]:
        return strength * random.normal(0, deviation) + near * random.normal(0, deviation, LOOKS)

    shifts = np.stack([walk(0.13 * side_px), walk(0.13 * side_px)], axis=-1)
    bends = [_bending(side_px, random) for _ in range(2)]
    bend = np.stack([strength[i] * bends[0] + near[i] * bends[1] for i in range(LOOKS)])
    return _Path(side_px, centre + shifts, scale + walk(0.2), walk(0.16), bend.astype(np.float32))


def _bending(side_px: int, random: np.random.Generator) -> FloatMap:
    knots = random.normal(0, BEND * side_px, (5, 5, 2)).astype(np.float32)
    return np.asarray(cv2.resize(knots, (side_px, side_px), interpolation=cv2.INTER_CUBIC), np.float32)


def _ground(
    photo: Picture, side_px: int, calm: float, random: np.random.Generator
) -> tuple[list[FloatMap], list[FloatMap]]:
    height, width = photo.shape[:2]
    zoom = float(np.log(side_px / random.uniform(min(side_px, height, width) * 0.8, min(height, width))))
    path = _drawn_path(side_px, np.full((LOOKS, 2), side_px / 2), zoom, calm, random)
    middle = (random.uniform(0.25, 0.75) * width, random.uniform(0.25, 0.75) * height)
    empty = [np.zeros((side_px, side_px), np.float32) for _ in range(LOOKS)]
    return [_sampled(photo, path.source(look, middle)) for look in range(LOOKS)], empty


def _ground_with_object(
    labelled: Labelled, side_px: int, calm: float, random: np.random.Generator
) -> tuple[list[FloatMap], list[FloatMap]]:
    mask = labelled.masks[int(random.integers(len(labelled.masks)))]
    if random.random() < UNION_SHARE:
        touching = [
            other for other in labelled.masks if other is not mask and (dilate(mask, 4) & other).any()
        ]
        if touching:
            mask = mask | touching[int(random.integers(len(touching)))]
    ys, xs = np.nonzero(mask)
    zoom = float(np.log(random.uniform(*SIDES) * side_px / np.sqrt(mask.sum())))
    zoom = min(zoom, float(np.log(1.6)))
    centre = side_px / 2 + random.normal(0, 0.12 * side_px, 2)
    path = _drawn_path(side_px, np.tile(centre, (LOOKS, 1)), zoom, calm, random)
    middle = (float(xs.mean()), float(ys.mean()))
    sources = [path.source(look, middle) for look in range(LOOKS)]
    picture, flat = labelled.picture, mask.astype(np.float32)
    if random.random() < 0.5:
        picture, flat = picture[:, ::-1], flat[:, ::-1]
        sources = [source * [-1, 1] + [flat.shape[1] - 1, 0] for source in sources]
    grounds = [_sampled(picture, source) for source in sources]
    return grounds, [_remapped(flat, source, cv2.BORDER_REFLECT_101) for source in sources]


def _actor(
    cutout: Cutout, side_px: int, calm: float, random: np.random.Generator
) -> tuple[list[FloatMap], list[FloatMap]]:
    if random.random() < 0.5:
        cutout = replace(
            cutout,
            colour=np.ascontiguousarray(cutout.colour[:, ::-1]),
            matte=np.ascontiguousarray(cutout.matte[:, ::-1]),
        )
    height, width = cutout.matte.shape
    zoom = float(np.log(random.uniform(*SIDES) * side_px / np.sqrt(max(1.0, float(cutout.matte.sum())))))
    centre = random.uniform(0.25, 0.75, 2) * side_px
    path = _drawn_path(side_px, np.tile(centre, (LOOKS, 1)), min(zoom, 0.5), calm, random)
    colours, mattes = [], []
    for look in range(LOOKS):
        source = path.source(look, (width / 2, height / 2))
        colours.append(np.clip(_remapped(cutout.colour, source, cv2.BORDER_REPLICATE), 0, 1))
        mattes.append(_remapped(cutout.matte, source, cv2.BORDER_CONSTANT))
    return colours, mattes


def _sampled(picture: Picture, source: FloatMap) -> FloatMap:
    """The picture at ``source`` [S, S, 2], in [0, 1]; it is mirrored beyond its edges."""
    return _remapped(picture, source, cv2.BORDER_REFLECT_101).astype(np.float32) / np.float32(255)


def _remapped(values: npt.NDArray[Any], source: FloatMap, border: int) -> npt.NDArray[Any]:
    x, y = (np.ascontiguousarray(source[..., axis], np.float32) for axis in range(2))
    return np.asarray(cv2.remap(np.ascontiguousarray(values), x, y, cv2.INTER_LINEAR, borderMode=border))


def _shaken(picture: FloatMap, random: np.random.Generator) -> FloatMap:
    """Each look has a little exposure of its own, some are blurred by motion."""
    picture = np.clip(picture * np.float32(np.exp(random.normal(0, 0.07))), 0, 1)
    if random.random() >= BLUR_SHARE:
        return picture
    length, angle = int(random.integers(3, 10)), random.uniform(0, np.pi)
    kernel = np.zeros((length, length), np.float32)
    middle = (length - 1) / 2
    arm = np.array([np.cos(angle), np.sin(angle)]) * middle
    start, end = ([round(float(value)) for value in middle + sign * arm] for sign in (-1, 1))
    cv2.line(kernel, start, end, 1.0)
    return np.asarray(cv2.filter2D(picture, -1, kernel / kernel.sum()), np.float32)
