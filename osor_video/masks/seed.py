"""The object in one frame, as the user gives it: a picture, a box, a polygon or points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from osor_video.errors import MaskError
from osor_video.masks.painted import AS_PAINTED, MaskReading, check_mask, load_mask
from osor_video.masks.points import check_points, discs, object_at
from osor_video.masks.snap import cut_out
from osor_video.tensors import Mask, Picture


class Seed(Protocol):
    """What the user marked in one frame, whichever way."""

    def mask(self, size_hw: tuple[int, int]) -> Mask:
        """What is marked on a shown frame of ``size_hw``, as it was drawn; MaskError where it does not fit."""

    def object_in(self, picture: Picture) -> Mask:
        """The object's own mask [H, W] in that frame, uint8 [H, W, 3] as shown."""


@dataclass(frozen=True)
class PictureSeed:
    """A mask picture: white = remove, or labels."""

    path: Path
    reading: MaskReading = AS_PAINTED

    def mask(self, size_hw: tuple[int, int]) -> Mask:
        """See ``load_mask``."""
        return load_mask(self.path, size_hw, self.reading)

    def object_in(self, picture: Picture) -> Mask:
        """The mask as it was painted."""
        return self.mask(_size(picture))


@dataclass(frozen=True)
class BoxSeed:
    """A rectangle x, y, width, height in pixels."""

    xywh: tuple[int, int, int, int]

    def mask(self, size_hw: tuple[int, int]) -> Mask:
        """See ``box_mask``."""
        return box_mask(self.xywh, size_hw)

    def object_in(self, picture: Picture) -> Mask:
        """See ``cut_out``."""
        return cut_out(picture, self.mask(_size(picture)))


@dataclass(frozen=True)
class PolygonSeed:
    """Corners (x, y) in pixels."""

    corners_xy: tuple[tuple[int, int], ...]

    def mask(self, size_hw: tuple[int, int]) -> Mask:
        """See ``polygon_mask``."""
        return polygon_mask(self.corners_xy, size_hw)

    def object_in(self, picture: Picture) -> Mask:
        """See ``cut_out``."""
        return cut_out(picture, self.mask(_size(picture)))


@dataclass(frozen=True)
class ArraySeed:
    """A mask already in memory: bool [H, W] of the shown frame's size."""

    array: Mask

    def mask(self, size_hw: tuple[int, int]) -> Mask:
        """The array; MaskError for another size, an empty or an all-covering one."""
        if self.array.shape != size_hw:
            raise MaskError(f"The mask array is {self.array.shape}, the clip is {size_hw} (height, width).")
        return check_mask(self.array.astype(bool), "the array")

    def object_in(self, picture: Picture) -> Mask:
        """The array."""
        return self.mask(_size(picture))


@dataclass(frozen=True)
class PointsSeed:
    """Points (x, y) in pixels that lie on the object, and points that do not."""

    points_xy: tuple[tuple[int, int], ...]
    not_points_xy: tuple[tuple[int, int], ...] = ()

    def mask(self, size_hw: tuple[int, int]) -> Mask:
        """The points on the object as small discs; MaskError for a point outside the frame."""
        check_points((*self.points_xy, *self.not_points_xy), size_hw)
        return check_mask(discs(self.points_xy, size_hw), "the points")

    def object_in(self, picture: Picture) -> Mask:
        """See ``object_at``."""
        self.mask(_size(picture))
        return check_mask(object_at(picture, self.points_xy, self.not_points_xy), "the points")


@dataclass(frozen=True)
class UnionSeed:
    """Several things marked in one frame, to be removed together."""

    parts: tuple[Seed, ...]

    def mask(self, size_hw: tuple[int, int]) -> Mask:
        """What any part marks; MaskError where one does not fit, or all together cover the frame."""
        return check_mask(np.logical_or.reduce([part.mask(size_hw) for part in self.parts]), "all parts")

    def object_in(self, picture: Picture) -> Mask:
        """The objects of all parts."""
        found = np.logical_or.reduce([part.object_in(picture) for part in self.parts])
        return check_mask(found, "all parts")


def _size(picture: Picture) -> tuple[int, int]:
    return picture.shape[0], picture.shape[1]


def box_mask(box_xywh: Sequence[int], size_hw: tuple[int, int]) -> Mask:
    """Rectangle x, y, width, height in pixels -> bool ``size_hw``; MaskError where it is not inside the frame."""
    x, y, width, height = box_xywh
    if width <= 0 or height <= 0 or x < 0 or y < 0 or x + width > size_hw[1] or y + height > size_hw[0]:
        raise MaskError(
            f"Box {x},{y},{width},{height} does not lie inside the {size_hw[1]}x{size_hw[0]} frame. "
            "Give x,y,width,height in pixels from the top left corner."
        )
    mask = np.zeros(size_hw, dtype=bool)
    mask[y : y + height, x : x + width] = True
    return check_mask(mask, "the box")


def polygon_mask(points_xy: Sequence[tuple[int, int]], size_hw: tuple[int, int]) -> Mask:
    """Polygon of (x, y) corners in pixels -> bool ``size_hw``; MaskError for fewer than 3 corners or corners outside."""
    if len(points_xy) < 3:
        raise MaskError(
            f"A polygon needs at least 3 corners, got {len(points_xy)}. Give --polygon x1,y1,x2,y2,x3,y3."
        )
    check_points(points_xy, size_hw, "Corner")
    filled = cv2.fillPoly(np.zeros(size_hw, np.uint8), [np.array(points_xy, np.int32)], 1)
    return check_mask(filled > 0, "the polygon")
