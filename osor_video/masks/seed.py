"""The object in the first frame, as the user gives it: a PNG, a box or a polygon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import cv2
import numpy as np

from osor_video.errors import MaskError
from osor_video.tensors import Mask


class Seed(Protocol):
    """What the user marked in the first frame, whichever way.

    ``exact`` says whether the mask is the object itself or a region drawn around it.
    """

    exact: ClassVar[bool]

    def mask(self, size_hw: tuple[int, int]) -> Mask:
        """The mask for a shown frame of ``size_hw``; MaskError where it does not fit."""


@dataclass(frozen=True)
class PictureSeed:
    """A mask picture: white = remove."""

    exact: ClassVar[bool] = True
    path: Path

    def mask(self, size_hw: tuple[int, int]) -> Mask:
        """See ``load_mask``."""
        return load_mask(self.path, size_hw)


@dataclass(frozen=True)
class BoxSeed:
    """A rectangle x, y, width, height in pixels."""

    exact: ClassVar[bool] = False
    xywh: tuple[int, int, int, int]

    def mask(self, size_hw: tuple[int, int]) -> Mask:
        """See ``box_mask``."""
        return box_mask(self.xywh, size_hw)


@dataclass(frozen=True)
class PolygonSeed:
    """Corners (x, y) in pixels."""

    exact: ClassVar[bool] = False
    corners_xy: tuple[tuple[int, int], ...]

    def mask(self, size_hw: tuple[int, int]) -> Mask:
        """See ``polygon_mask``."""
        return polygon_mask(self.corners_xy, size_hw)


@dataclass(frozen=True)
class ArraySeed:
    """A mask already in memory: bool [H, W] of the shown frame's size."""

    exact: ClassVar[bool] = True
    array: Mask

    def mask(self, size_hw: tuple[int, int]) -> Mask:
        """The array; MaskError for another size, an empty or an all-covering one."""
        if self.array.shape != size_hw:
            raise MaskError(f"The mask array is {self.array.shape}, the clip is {size_hw} (height, width).")
        return check_mask(self.array.astype(bool), "the array")


MAX_COVERAGE = 0.95
"""A mask over more of the frame than this leaves nothing to fill from."""


def load_mask(path: Path, size_hw: tuple[int, int]) -> Mask:
    """Read a mask picture, white (or opaque, where it has alpha) = remove -> bool ``size_hw``.

    Raises MaskError for a missing or unreadable file, another size, an empty mask and a mask that covers everything.
    """
    if not path.is_file():
        raise MaskError(
            f"Mask {path} does not exist. Give a PNG of the first frame with the object painted white."
        )
    stored = (
        cv2.imdecode(np.fromfile(path, dtype=np.uint8), cv2.IMREAD_UNCHANGED) if path.stat().st_size else None
    )
    if stored is None:
        raise MaskError(
            f"Mask {path} is not a readable picture. Save it as PNG, object white, the rest black."
        )
    if stored.shape[:2] != size_hw:
        raise MaskError(
            f"Mask {path} is {stored.shape[1]}x{stored.shape[0]}, the clip is {size_hw[1]}x{size_hw[0]}. "
            "Draw the mask on a frame of the clip at its own size."
        )
    return check_mask(_binarise(stored), str(path))


def _binarise(stored: np.ndarray) -> Mask:
    """Grey, RGB or RGBA picture of any depth -> bool: above half of its range; alpha counts where it says anything."""
    half = np.iinfo(stored.dtype).max / 2
    if stored.ndim == 3 and stored.shape[2] == 4 and stored[..., 3].min() <= half:
        return np.asarray(stored[..., 3] > half)
    return np.asarray(stored > half) if stored.ndim == 2 else np.asarray(stored[..., :3].max(axis=2) > half)


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
    for x, y in points_xy:
        if not (0 <= x < size_hw[1] and 0 <= y < size_hw[0]):
            raise MaskError(
                f"Corner {x},{y} lies outside the {size_hw[1]}x{size_hw[0]} frame. "
                f"Give x from 0 to {size_hw[1] - 1} and y from 0 to {size_hw[0] - 1}."
            )
    filled = cv2.fillPoly(np.zeros(size_hw, np.uint8), [np.array(points_xy, np.int32)], 1)
    return check_mask(filled > 0, "the polygon")


def check_mask(mask: Mask, name: str) -> Mask:
    """Return ``mask`` unless it is empty or leaves nothing of the frame to fill from (MaskError)."""
    share = float(mask.mean())
    if share == 0:
        raise MaskError(f"The mask of {name} is empty. Paint the object to remove in white.")
    if share > MAX_COVERAGE:
        raise MaskError(
            f"The mask of {name} covers {share:.0%} of the frame, at most {MAX_COVERAGE:.0%} can be filled. "
            "Paint only the object (is the mask inverted?)."
        )
    return mask
