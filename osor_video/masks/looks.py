"""Looks at one object, made from a still picture of it: ground and objects bend and move, each in its own way.

Three looks make a track: as the user marked it, a moment ago, and now; much changes between the first and the second, little
between the second and the third. The masks are exact where that of the still is. The refiner learns from such tracks, in
general (``training/tracks.py``) and of the one object it is to follow (``adapt.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from osor_video.tensors import FloatMap, Mask, Picture

LOOKS = 3
SIDES = (0.16, 0.62)
"""Side of the object (square root of its area) over the picture's."""
BLUR_SHARE = 0.2
"""How often a look is blurred by motion."""
BEND = 0.05
"""Standard deviation of the bending between the first look and the others, over the picture's side."""
LARGEST_ZOOM = 1.6
"""A still is enlarged at most so much."""


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


def _draw_path(
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


def ground_looks(
    photo: Picture, side_px: int, calm: float, random: np.random.Generator
) -> tuple[list[FloatMap], list[FloatMap]]:
    """Colours [S, S, 3] in [0, 1] of a picture's looks, and the empty mattes [S, S] of an object that is not yet there."""
    height, width = photo.shape[:2]
    zoom = float(np.log(side_px / random.uniform(min(side_px, height, width) * 0.8, min(height, width))))
    path = _draw_path(side_px, np.full((LOOKS, 2), side_px / 2), zoom, calm, random)
    middle = (random.uniform(0.25, 0.75) * width, random.uniform(0.25, 0.75) * height)
    empty = [np.zeros((side_px, side_px), np.float32) for _ in range(LOOKS)]
    return [_sampled(photo, path.source(look, middle)) for look in range(LOOKS)], empty


def looks_in_place(
    picture: Picture, mask: Mask, side_px: int, calm: float, random: np.random.Generator
) -> tuple[list[FloatMap], list[FloatMap]]:
    """Colours [S, S, 3] and mattes [S, S] of an object in its own surroundings, ``mask`` on ``picture``."""
    ys, xs = np.nonzero(mask)
    zoom = float(np.log(random.uniform(*SIDES) * side_px / np.sqrt(mask.sum())))
    zoom = min(zoom, float(np.log(LARGEST_ZOOM)))
    centre = side_px / 2 + random.normal(0, 0.12 * side_px, 2)
    path = _draw_path(side_px, np.tile(centre, (LOOKS, 1)), zoom, calm, random)
    middle = (float(xs.mean()), float(ys.mean()))
    sources = [path.source(look, middle) for look in range(LOOKS)]
    flat = mask.astype(np.float32)
    if random.random() < 0.5:
        picture, flat = picture[:, ::-1], flat[:, ::-1]
        sources = [source * [-1, 1] + [flat.shape[1] - 1, 0] for source in sources]
    grounds = [_sampled(picture, source) for source in sources]
    return grounds, [_remapped(flat, source, cv2.BORDER_REFLECT_101) for source in sources]


def actor_looks(
    colour: FloatMap, matte: FloatMap, side_px: int, calm: float, random: np.random.Generator
) -> tuple[list[FloatMap], list[FloatMap]]:
    """Colours [S, S, 3] and mattes [S, S] of an object cut out, ``colour`` [H, W, 3] with ``matte`` [H, W] in [0, 1]."""
    if random.random() < 0.5:
        colour, matte = (np.ascontiguousarray(values[:, ::-1]) for values in (colour, matte))
    height, width = matte.shape
    zoom = float(np.log(random.uniform(*SIDES) * side_px / np.sqrt(max(1.0, float(matte.sum())))))
    centre = random.uniform(0.25, 0.75, 2) * side_px
    path = _draw_path(side_px, np.tile(centre, (LOOKS, 1)), min(zoom, 0.5), calm, random)
    sources = [path.source(look, (width / 2, height / 2)) for look in range(LOOKS)]
    colours = [np.clip(_remapped(colour, source, cv2.BORDER_REPLICATE), 0, 1) for source in sources]
    return colours, [_remapped(matte, source, cv2.BORDER_CONSTANT) for source in sources]


def paste(
    ground: list[FloatMap],
    masks: list[FloatMap],
    actor: tuple[list[FloatMap], list[FloatMap]],
    *,
    is_target: bool,
) -> None:
    """Put something before every look, in place: the object itself, or something that passes before it."""
    for look, (colour, matte) in enumerate(zip(*actor, strict=True)):
        opaque = matte[..., None]
        ground[look] = ground[look] * (1 - opaque) + colour * opaque
        masks[look] = np.maximum(masks[look], matte) if is_target else masks[look] * (1 - matte)


def _sampled(picture: Picture, source: FloatMap) -> FloatMap:
    """The picture at ``source`` [S, S, 2], in [0, 1]; it is mirrored beyond its edges."""
    return _remapped(picture, source, cv2.BORDER_REFLECT_101).astype(np.float32) / np.float32(255)


def _remapped(values: npt.NDArray[Any], source: FloatMap, border: int) -> npt.NDArray[Any]:
    x, y = (np.ascontiguousarray(source[..., axis], np.float32) for axis in range(2))
    return np.asarray(cv2.remap(np.ascontiguousarray(values), x, y, cv2.INTER_LINEAR, borderMode=border))


def shaken(picture: FloatMap, random: np.random.Generator) -> FloatMap:
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
