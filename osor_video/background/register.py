"""Where in another frame each background pixel of this frame lies: homography, then a dense residual.

Convention: a ``Map`` is float32 [h, w, 2]: (x, y) pixel coordinates in the other frame for each pixel of the box.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from osor_video.background.camera import GreyPicture, Homography
from osor_video.flow.complete import plausible_motion
from osor_video.membrane import fill_membrane
from osor_video.tensors import FloatMap, Mask, Picture

Box = tuple[int, int, int, int]
"""top, left, bottom, right in pixels; bottom and right are outside."""

ERROR_SIGMA_PX = 3.0
"""Neighbourhood over which photometric error is judged."""
EFFECT_REACH = 0.6
"""How far from the object its shadow or reflection is expected, as a share of the hole's longer side."""
TOLERANCE = 12.0
"""Photometric error, in 8-bit levels, at which a residual vector loses most of its say."""


@dataclass(frozen=True, eq=False)
class ShotFrame:
    """A frame as the background stage sees it: ``hole`` [H, W] is what must not be borrowed from it.

    ``camera`` maps the shot's first frame to this one.
    """

    index: int
    rgb: Picture
    hole: Mask
    camera: Homography

    @cached_property
    def grey(self) -> GreyPicture:
        """uint8 [H, W] luminance."""
        return to_grey(self.rgb)

    @cached_property
    def clearness(self) -> FloatMap:
        """float32 [H, W]: 1 far from the object, .05 beside it, where its shadow or reflection may lie."""
        if not self.hole.any():
            return np.ones(self.hole.shape, np.float32)
        rows, columns = np.flatnonzero(self.hole.any(axis=1)), np.flatnonzero(self.hole.any(axis=0))
        reach = EFFECT_REACH * max(int(np.ptp(rows)), int(np.ptp(columns)), 8)
        distance = cv2.distanceTransform((~self.hole).astype(np.uint8), cv2.DIST_L2, 3)
        return np.asarray(np.clip(np.square(distance / reach), 0.05, 1), dtype=np.float32)


def to_grey(picture: Picture) -> GreyPicture:
    """Luminance of uint8 [h, w, 3] as uint8 [h, w]."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def box_grid(box: Box) -> FloatMap:
    """Pixel coordinates (x, y) of a box, [h, w, 2]."""
    top, left, bottom, right = box
    return np.stack(np.meshgrid(np.arange(left, right), np.arange(top, bottom)), axis=-1).astype(np.float32)


def homography_map(grid: FloatMap, homography: Homography) -> FloatMap:
    """Apply a homography to coordinates [h, w, 2]."""
    moved = cv2.perspectiveTransform(grid.reshape(1, -1, 2).astype(np.float64), homography)
    return np.asarray(moved.reshape(grid.shape), dtype=np.float32)


def outside(coords: FloatMap, other: ShotFrame) -> Mask:
    """True where coordinates leave the other frame or land in its hole."""
    blocked = cv2.remap(other.hole.astype(np.float32), coords, None, cv2.INTER_LINEAR, borderValue=1.0)
    height, width = other.hole.shape
    x, y = coords[..., 0], coords[..., 1]
    return np.asarray((blocked > 0.01) | (x < 0) | (y < 0) | (x > width - 1) | (y > height - 1))


class Registration:
    """Registers other frames to the box of one frame; ``guide`` uint8 [h, w] is what the box should show.

    Inside the hole and beside it the guide is a first guess of the background, so that the residual there is measured against it.
    ``certainty`` [h, w] in [0, 1] says how sure the guide is: 0 where there is no guess, little where a shadow may lie.
    """

    def __init__(self, camera: Homography, guide: GreyPicture, certainty: FloatMap, box: Box) -> None:
        self._from_target = np.linalg.inv(camera)
        self._guide = np.ascontiguousarray(guide)
        self._certainty = certainty
        self._grid = box_grid(box)
        self._local = box_grid((0, 0, box[2] - box[0], box[3] - box[1]))
        self._dis = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)

    def coarse(self, other: ShotFrame) -> FloatMap:
        """The homography alone."""
        return homography_map(self._grid, other.camera @ self._from_target)

    def fine(self, other: ShotFrame) -> tuple[FloatMap, FloatMap]:
        """Map into ``other`` and the photometric error [h, w] in 8-bit levels, smooth and defined everywhere."""
        start = self.coarse(other)
        view = cv2.remap(other.grey, start, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        residual = self._dis.calc(self._guide, view, None)
        known = (self._certainty > 0) & ~outside(start, other) & ~outside(start + residual, other)
        error = self._error(view, residual, known)
        # A shadow in the other frame would pull the registration after it.
        clear = cv2.remap(other.clearness, start, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        trust = known * self._certainty * clear * np.exp(-np.square(error / TOLERANCE))
        smooth = cv2.GaussianBlur(plausible_motion(residual, trust.astype(np.float32)), (0, 0), 2.0)
        error = fill_membrane(self._error(view, smooth, known), known.astype(np.float32))
        return homography_map(self._grid + smooth, other.camera @ self._from_target), error

    def _error(self, view: GreyPicture, residual: FloatMap, known: Mask) -> FloatMap:
        """Local mean of |guide - moved view| over the known pixels, in 8-bit levels."""
        moved = cv2.remap(
            view, self._local + residual, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        weight = known.astype(np.float32)
        difference = cv2.absdiff(moved, self._guide).astype(np.float32) * weight
        total = cv2.GaussianBlur(weight, (0, 0), ERROR_SIGMA_PX)
        return np.asarray(cv2.GaussianBlur(difference, (0, 0), ERROR_SIGMA_PX) / np.maximum(total, 1e-3))
