"""The crop that the model sees: one size for a shot, standing still as long as the hole allows.

A crop that moves with the object makes the fill shimmer, because every move resamples it on another latent lattice. So the size
is fixed over the shot, the position changes seldom, and only by whole latent cells.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, inf

import cv2
import numpy as np

from osor_video.tensors import FloatMap, Mask, Picture

HoleBox = tuple[int, int, int, int]
"""top, left, bottom, right in pixels; bottom and right are outside."""
Shift = tuple[float, float]
"""Rows down, columns right."""
CELL_PX = 8
"""Model pixels of a latent cell's side."""


@dataclass(frozen=True)
class Crop:
    """A square-pixel view of the frame: ``raster_hw`` model pixels, ``scale`` of them for a frame pixel, from (top, left).

    The view may leave the frame; there the picture is mirrored.
    """

    top: int
    left: int
    size_hw: tuple[int, int]
    raster_hw: tuple[int, int]

    @property
    def scale(self) -> float:
        """Model pixels for one frame pixel."""
        return self.raster_hw[0] / self.size_hw[0]

    def cell_places(self) -> FloatMap:
        """Where the centres of its latent cells lie in the frame, (x, y) in pixels from its corner, float64 [h, w, 2]."""
        rows, columns = (side // CELL_PX for side in self.raster_hw)
        cells = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), axis=-1) + 0.5
        return np.asarray(cells * (CELL_PX / self.scale) + (self.left, self.top))

    def cut_picture(self, picture: Picture) -> Picture:
        """uint8 [H, W, 3] -> the model's view, uint8 ``raster_hw``."""
        view = self._padded(picture, cv2.BORDER_REFLECT_101)
        return (
            view if self.scale == 1 else cv2.resize(view, self.raster_hw[::-1], interpolation=cv2.INTER_AREA)
        )

    def cut_mask(self, mask: Mask) -> Mask:
        """bool [H, W] -> bool ``raster_hw``: a model pixel is masked when any of its pixels is."""
        view = self._padded(mask.astype(np.uint8), cv2.BORDER_CONSTANT).astype(np.float32)
        return np.asarray(cv2.resize(view, self.raster_hw[::-1], interpolation=cv2.INTER_AREA) > 0)

    def paste(self, values: FloatMap, size_hw: tuple[int, int]) -> FloatMap:
        """Model raster [h, w] or [h, w, C] -> the frame's pixels ``size_hw``; zero outside the crop."""
        if self.scale != 1:
            values = cv2.resize(values, self.size_hw[::-1], interpolation=cv2.INTER_CUBIC)
        frame = np.zeros((*size_hw, *values.shape[2:]), np.float32)
        top, left, bottom, right = self.visible(size_hw)
        frame[top:bottom, left:right] = values[
            top - self.top : bottom - self.top, left - self.left : right - self.left
        ]
        return frame

    def visible(self, size_hw: tuple[int, int]) -> HoleBox:
        """The part of the crop that lies in the frame."""
        return (
            max(self.top, 0),
            max(self.left, 0),
            min(self.top + self.size_hw[0], size_hw[0]),
            min(self.left + self.size_hw[1], size_hw[1]),
        )

    def _padded(self, picture: np.ndarray, border: int) -> np.ndarray:
        top, left, bottom, right = self.visible((picture.shape[0], picture.shape[1]))
        pads = (
            top - self.top,
            self.top + self.size_hw[0] - bottom,
            left - self.left,
            self.left + self.size_hw[1] - right,
        )
        inner = np.ascontiguousarray(picture[top:bottom, left:right])
        return np.asarray(cv2.copyMakeBorder(inner, *pads, border))


def bounding_box(mask: Mask) -> HoleBox | None:
    """Bounding box of a mask, None when it is empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def plan_crops(
    boxes: Sequence[HoleBox | None], size_hw: tuple[int, int], context: float, raster_px: int, multiple: int
) -> list[Crop | None]:
    """A crop for each frame of a shot, None where there is no hole.

    The size holds the shot's largest hole with ``context`` times its longer side around it. Its longer side is shown to the model
    with at most ``raster_px`` pixels; raster sides are multiples of ``multiple``.
    """
    present = [box for box in boxes if box is not None]
    if not present:
        return [None] * len(boxes)
    height = max(bottom - top for top, _, bottom, _ in present)
    width = max(right - left for _, left, _, right in present)
    margin = 2 * round(context * max(height, width) / 2)
    wanted = min(height + margin, size_hw[0]), min(width + margin, size_hw[1])
    # Whole pixels for each model pixel keep the latent lattice on the pixel lattice.
    shrink = ceil(max(wanted) / raster_px)
    raster = tuple(ceil(side / shrink / multiple) * multiple for side in wanted)
    size = raster[0] * shrink, raster[1] * shrink
    crops: list[Crop | None] = []
    place: tuple[int, int] | None = None
    for box in boxes:
        if box is None:
            crops.append(None)
            continue
        place = _place(box, place, size, size_hw, CELL_PX * shrink)
        crops.append(Crop(*place, size, (raster[0], raster[1])))
    return crops


def moved_share(boxes: Sequence[HoleBox | None], shifts: Sequence[Shift]) -> float:
    """How far the hole moves over the background of its shot, in parts of its own size.

    ``shifts`` say where the background behind the hole was in the frame before. Infinite where a frame has no hole: it shows all.
    """
    if any(box is None for box in boxes):
        return inf
    present = np.array(boxes, np.float64)
    centres = (present[:, :2] + present[:, 2:]) / 2
    steps = np.diff(centres, axis=0) + np.array(shifts, np.float64)[1:]
    path = np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
    return float((np.ptp(path, axis=0) / (present[:, 2:] - present[:, :2]).mean(axis=0)).max())


def shift_behind(box: HoleBox | None, flow_back: FloatMap | None, size_hw: tuple[int, int]) -> Shift:
    """The background's way to the frame before, in the middle of ``box``: rows down, columns right, in pixels of the frame.

    ``flow_back`` [h, w, 2] is the completed flow, in pixels of the frame ``size_hw`` on any grid; nothing without it or a box.
    """
    if box is None or flow_back is None:
        return 0.0, 0.0
    row = (box[0] + box[2]) * flow_back.shape[0] // (2 * size_hw[0])
    column = (box[1] + box[3]) * flow_back.shape[1] // (2 * size_hw[1])
    right, down = flow_back[row, column].tolist()
    return down, right


def _place(
    box: HoleBox, last: tuple[int, int] | None, size: tuple[int, int], frame: tuple[int, int], lattice: int
) -> tuple[int, int]:
    """Top left corner: the last one while the hole keeps half of its usual margin, else centred anew."""
    spans = ((box[0], box[2]), (box[1], box[3]))
    starts = [
        _start(span, side, whole, lattice) for span, side, whole in zip(spans, size, frame, strict=True)
    ]
    if last is not None:
        for axis, ((low, high), side, whole) in enumerate(zip(spans, size, frame, strict=True)):
            reserve = max((side - (high - low)) // 4, 0)
            # Near the frame's edge no margin can be had on that side.
            low_ok = low - last[axis] >= min(reserve, low)
            high_ok = last[axis] + side - high >= min(reserve, whole - high)
            if low_ok and high_ok:
                starts[axis] = last[axis]
    return starts[0], starts[1]


def _start(span: tuple[int, int], side: int, whole: int, lattice: int) -> int:
    """Centre the span, inside the frame where it fits, on the lattice."""
    centred = (span[0] + span[1] - side) // 2
    if side >= whole:
        return -((side - whole) // 2 // lattice * lattice)
    return min(max(centred, 0), whole - side) // lattice * lattice
