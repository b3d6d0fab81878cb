"""Three looks at one object, made from a picture: as the user marked it, a moment ago, and now.

The object is one that a labelled photograph shows, in its own surroundings, or a cut-out pasted on a photograph; other
cut-outs may pass before and beside it. How all of them move is in ``masks/looks.py``; the masks are exact where the labels are.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from osor_video.masks.looks import Track, actor_looks, ground_looks, looks_in_place, paste, shaken
from osor_video.shapes import dilate
from osor_video.tensors import FloatMap, Mask, Picture
from osor_video.training.cutouts import Cutout, choose_cutout, polygon_points, read_labels
from osor_video.training.developing import expose, record
from osor_video.training.photos import HELD_OUT_EVERY, read_photo, read_picture

IN_PLACE_SHARE = 0.6
"""How often the object is one of a labelled photograph, where there are any."""
PASSING_SHARE = 0.5
"""How often something else passes too; half as often two things."""
UNION_SHARE = 0.25
"""How often an object in place is taken together with one that it touches: a rider and a bicycle."""
LEAST_SHARE = 0.008
"""Of the first look, what the object has to cover."""
SMALLEST_PX = 36
"""Side of a labelled object below which it is not taken."""
LARGEST_SHARE = 0.6
"""Of its photograph, what a labelled object covers less of."""
CORNERS = 3
"""That a polygon has at least."""


@dataclass(frozen=True)
class Labelled:
    """A photograph uint8 [H, W, 3] and the masks [H, W] of its objects."""

    picture: Picture
    masks: tuple[Mask, ...]


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
        chosen = labelled[int(random.integers(len(labelled)))]
        ground, masks = _object_in_place(chosen, side_px, calm, random)
    else:
        ground, masks = ground_looks(
            read_photo(photos[int(random.integers(len(photos)))]), side_px, calm, random
        )
    passing = 1 + (random.random() < 0.5) if random.random() < PASSING_SHARE else 0
    order = [False] * passing + ([] if in_place else [True])
    random.shuffle(order)
    for is_target in order:
        cutout = choose_cutout(cutouts, random)
        actor = actor_looks(cutout.colour, cutout.matte, side_px, calm, random)
        paste(ground, masks, actor, is_target=is_target)
    pictures = expose(ground, random)
    pictures = [shaken(picture, random) for picture in pictures]
    return Track(np.stack(record(pictures, random)), np.stack([mask > 0.5 for mask in masks]))


def _object_in_place(
    labelled: Labelled, side_px: int, calm: float, random: np.random.Generator
) -> tuple[list[FloatMap], list[FloatMap]]:
    mask = labelled.masks[int(random.integers(len(labelled.masks)))]
    if random.random() < UNION_SHARE:
        touching = [
            other for other in labelled.masks if other is not mask and (dilate(mask, 4) & other).any()
        ]
        if touching:
            mask = mask | touching[int(random.integers(len(touching)))]
    return looks_in_place(labelled.picture, mask, side_px, calm, random)
