"""Cases of a camera that stands still: a person is taken out of a real clip, and the median of its frames is the truth.

Where the person was, the truth is known but for the camera's noise; what the camera itself shows there when nobody passes is
held against the same median and is the most that can be asked for. The recipes are YAML files, all numbers.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, model_validator

from osor_video.benchmark.cases import Case, pictures_of, read_recipes
from osor_video.benchmark.gallery import write_picture
from osor_video.benchmark.speed import lengthened
from osor_video.config import DecodeConfig, EncodeConfig
from osor_video.errors import ConfigError
from osor_video.masks.seed import BoxSeed
from osor_video.shapes import dilate, disc
from osor_video.tensors import Mask, Picture
from osor_video.video.source import open_source

MEDIAN_FRAMES = 100
"""Frames that the median is made of, spread evenly over the clip."""
MOVED = 20.0
"""Difference from the median, in levels, from which something stands there that does not belong to the place."""
MOVED_BLUR_PX = 1.0
GAP_PX = 2
"""Gaps in a silhouette up to about twice this width are the person's, grey trousers before grey asphalt; what is no wider
is not: a tape."""
AROUND_PX = 5
"""Width around whatever moves that says nothing of the camera's noise."""
RESTLESS = 0.25
"""Share of the frames in which a place moves from which its median is no truth: a fluttering tape, a swaying branch."""

BoxXywh = tuple[int, int, Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]]
"""Left, top, width and height in pixels."""
Stack = npt.NDArray[np.uint8]


class Person(BaseModel):
    """One recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    """Name in the table."""
    start: int = Field(ge=0)
    """Frame of the clip that the shot begins with."""
    frames: int = Field(ge=8)
    """How many it has."""
    seed: BoxXywh
    """A box around the person in the first of them: all that the remover is given."""
    places: dict[int, BoxXywh] = Field(min_length=2)
    """By frame of the clip, a box that holds the person and nobody else; in between it is interpolated, after the last
    the person has left."""

    @model_validator(mode="after")
    def _begins_with_the_shot(self) -> Person:
        if min(self.places) != self.start:
            raise ValueError(
                f"places begin with frame {min(self.places)}, expected that of start, {self.start}"
            )
        return self

    def place(self, frame: int) -> BoxXywh | None:
        """The person's box in ``frame`` of the clip, None once it has left."""
        known = sorted(self.places)
        if not known[0] <= frame <= known[-1]:
            return None
        sides = zip(*(self.places[key] for key in known), strict=True)
        left, top, width, height = (round(float(np.interp(frame, known, values))) for values in sides)
        return left, top, width, height


@dataclass(frozen=True)
class EmptyPlace:
    """What a still camera looks at: ``median`` uint8 [H, W, 3], some frames ``shown`` [N, H, W, 3], what in them is ``moving``

    [N, H, W], and the ``restless`` places [H, W] that have no truth.
    """

    median: Picture
    shown: Stack
    moving: npt.NDArray[np.bool_]
    restless: Mask

    def silhouette(self, picture: Picture, place: BoxXywh | None) -> Mask:
        """Where in the box ``place`` of a frame [H, W, 3] something stands before the place, [H, W]."""
        mask = np.zeros(picture.shape[:2], dtype=bool)
        if place is not None:
            left, top, width, height = place
            area = np.s_[max(top, 0) : top + height, max(left, 0) : left + width]
            mask[area] = _moved(picture, self.median)[area]
            drawn = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, disc(GAP_PX))
            mask = np.asarray(cv2.morphologyEx(drawn, cv2.MORPH_OPEN, disc(GAP_PX)) > 0) & ~self.restless
        return mask

    def as_seen(self, number: int, silhouette: Mask) -> Picture:
        """The median, and in the ``silhouette`` [H, W] what the camera once saw there when nothing moved, its noise included.

        Each ``number`` begins with another frame, so that the noise is as alive as the camera's.
        """
        picture, left = self.median.copy(), silhouette.copy()
        for offset in range(len(self.shown)):
            index = (number + offset) % len(self.shown)
            still = left & ~self.moving[index]
            picture[still] = self.shown[index][still]
            left &= ~still
            if not left.any():
                break
        return picture


def read_people(folder: Path) -> list[Person]:
    """Every ``*.yaml`` of ``folder``; ConfigError where there is none or one does not fit."""
    return read_recipes(folder, Person, "people")


def empty_place(clip: Path) -> EmptyPlace:
    """What the still camera of ``clip`` looks at; VideoError where it cannot be read."""
    frames = open_source(clip, DecodeConfig()).frames
    chosen = set(np.linspace(0, frames - 1, min(MEDIAN_FRAMES, frames)).round().astype(int).tolist())
    with closing(pictures_of(clip)) as pictures:
        shown = np.stack([picture for index, picture in enumerate(pictures) if index in chosen])
    # Row by row: the median of all at once would take many times their memory.
    median = np.stack([np.median(shown[:, row], axis=0) for row in range(shown.shape[1])])
    median = np.rint(median).astype(np.uint8)
    moving = np.stack([_moved(picture, median) for picture in shown])
    restless = moving.mean(axis=0) > RESTLESS
    return EmptyPlace(median, shown, np.stack([dilate(mask, AROUND_PX) for mask in moving]), restless)


def make_case(recipe: Person, clip: Path, place: EmptyPlace, folder: Path) -> Case:
    """Write the shot of ``recipe``, lossless, its first mask, the median, the silhouettes and the ceiling into ``folder``.

    Raises ConfigError where ``clip`` ends before the shot does, MaskError where the recipe's box does not fit.
    """
    length = open_source(clip, DecodeConfig()).frames
    if recipe.start + recipe.frames > length:
        raise ConfigError(
            f"The case {recipe.name} ends with frame {recipe.start + recipe.frames - 1}, and {clip} has {length}. "
            "Give the clip that it was written for."
        )
    parts = {key: folder / recipe.name / key / "%04d.png" for key in ("clean", "masks", "ceiling")}
    for path in parts.values():
        path.parent.mkdir(parents=True)
    shot, first = folder / recipe.name / "shot.mkv", folder / recipe.name / "first.png"
    lengthened(clip, recipe.frames, shot, EncodeConfig(lossless=True), start=recipe.start)
    for index, picture in enumerate(pictures_of(shot)):
        silhouette = place.silhouette(picture, recipe.place(recipe.start + index))
        drawn = {
            "clean": place.median,
            "masks": _white(silhouette),
            "ceiling": place.as_seen(index, silhouette),
        }
        for key, values in drawn.items():
            write_picture(Path(str(parts[key]) % index), values)
        if index == 0:
            write_picture(first, _white(BoxSeed(recipe.seed).object_in(picture)))
    return Case(name=recipe.name, clip=shot, first=first, **parts)


def _moved(picture: Picture, median: Picture) -> Mask:
    """Where a frame shows something else than the median, noise aside, [H, W]."""
    change = picture.astype(np.float32) - median
    return np.asarray(np.abs(cv2.GaussianBlur(change, (0, 0), MOVED_BLUR_PX)).max(axis=2) > MOVED)


def _white(mask: Mask) -> Picture:
    return np.repeat(mask[..., None], 3, axis=2).astype(np.uint8) * 255
