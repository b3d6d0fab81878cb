"""Where in another frame each background pixel of this frame lies: homography, then a dense residual.

Convention: a ``Map`` is float32 [h, w, 2]: (x, y) pixel coordinates in the other frame for each pixel of the box.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import ceil, log2

import cv2
import numpy as np

from osor_video.background.camera import GreyPicture, Homography
from osor_video.flow.bending import Bending
from osor_video.membrane import fill_membrane
from osor_video.tensors import FloatMap, Mask, Picture

Box = tuple[int, int, int, int]
"""top, left, bottom, right in pixels; bottom and right are outside."""

ERROR_SIGMA_PX = 3.0
"""Neighbourhood over which photometric error is judged."""
EFFECT_REACH = 1.0
"""How far from the object its shadow or reflection is expected, as a share of the hole's longer side: a mirror shows it whole."""
NEEDED = 0.95
"""Share of the homography's squared error that a residual has to go below, or it follows noise and passers-by."""
DRIFT_PX = 0.2
"""Way from which what was taken for a still camera is registered after all."""
DRIFT_BLUR_PX = 1.5
FLAT = 100.0
"""Sum of squared slopes, in levels a pixel, below which nothing is said of a drift."""
TOLERANCE = 12.0
"""Photometric error, in 8-bit levels, at which a residual vector loses most of its say."""
STRAY = 0.5
"""Share of its length by which a residual may be out behind the object, at another depth: what it moves least is placed best."""
STEEPNESS_PX = 3.0
"""Neighbourhood over which slopes are averaged."""
ROUGH_CELLS = 100
"""Cells of the first field, which has to be right to a pixel or two only."""
POLISHED_PX = 1 << 16
"""Pixels of the finest picture that is searched, at most: a box of a clip of 448x256, or a larger one made smaller."""
POLISHED_FROM = 2
"""Coarsest scale of that search, in halvings of its finest."""
POLISH_STRIDE_PX = 6
"""Distance of its patches."""


@dataclass(frozen=True, eq=False)
class ShotFrame:
    """A frame as the background stage sees it: ``hole`` [H, W] is what must not be borrowed from it.

    ``camera`` maps the shot's first frame to this one. What the object ``cast`` [H, W], if that is known, is not borrowed either.
    """

    index: int
    rgb: Picture
    hole: Mask
    camera: Homography
    cast: Mask | None = None

    @cached_property
    def grey(self) -> GreyPicture:
        """uint8 [H, W] luminance."""
        return to_grey(self.rgb)

    @cached_property
    def blocked(self) -> GreyPicture:
        """uint8 [H, W]: 255 where nothing is borrowed."""
        blocked = self.hole if self.cast is None else self.hole | self.cast
        return np.asarray(blocked.astype(np.uint8) * 255)

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
    """True where coordinates leave the other frame or land where nothing is borrowed from it."""
    # What lies beyond the frame is blocked, and so is what is interpolated with it.
    return np.asarray(cv2.remap(other.blocked, coords, None, cv2.INTER_LINEAR, borderValue=255) > 2)


@dataclass(frozen=True, eq=False)
class View:
    """What another frame shows of a box through the homography alone, all [h, w].

    ``homography`` maps the box's frame to the other one. ``clear`` is the other frame's clearness, ``shown`` says where it shows
    anything.
    """

    frame: ShotFrame
    homography: Homography
    grey: GreyPicture
    clear: FloatMap
    shown: Mask

    @property
    def still(self) -> bool:
        """Whether the camera is taken not to have moved: then nothing has to be registered, and no sample is softened."""
        return np.array_equal(self.homography, np.eye(3))


def look(camera: Homography, other: ShotFrame, box: Box) -> View:
    """``other`` as seen in the ``box`` of a frame with ``camera``."""
    homography = np.eye(3) if np.array_equal(camera, other.camera) else other.camera @ np.linalg.inv(camera)
    coords = homography_map(box_grid(box), homography)
    grey, clear = (
        cv2.remap(picture, coords, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        for picture in (other.grey, other.clearness)
    )
    return View(other, homography, grey, clear, ~outside(coords, other))


@dataclass(frozen=True, eq=False)
class Alignment:
    """``coords`` [h, w, 2] of a box in another frame, and the photometric ``error`` [h, w] there in 8-bit levels.

    ``moved`` is that frame's picture so sampled, ``residual`` [h, w, 2] what ``coords`` have beyond the homography; None where
    that is nothing.
    """

    coords: FloatMap
    error: FloatMap
    moved: GreyPicture | None = None
    residual: FloatMap | None = None

    def strays(self) -> FloatMap | float:
        """The error [h, w], in 8-bit levels, of samples whose residual is out by ``STRAY`` of its length."""
        if self.moved is None or self.residual is None:
            return 0.0
        return np.asarray(STRAY * np.linalg.norm(self.residual, axis=2) * _steepness(self.moved))


class Registration:
    """Registers views of a box to what it should show, ``guide`` uint8 [h, w].

    Inside the hole and beside it the guide is a first guess of the background, so that the residual there is measured against it.
    It is measured twice: at single pixels a search goes astray unless it begins near the truth.
    ``certainty`` [h, w] in [0, 1] says how sure the guide is: 0 where there is no guess, little where a shadow may lie.
    """

    def __init__(self, guide: GreyPicture, certainty: FloatMap, box: Box) -> None:
        self._guide = np.ascontiguousarray(guide)
        self._certainty = certainty
        self._grid = box_grid(box)
        self._local = box_grid((0, 0, box[2] - box[0], box[3] - box[1]))
        self._bending = Bending(self._guide)
        self._search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
        self._polish = _polish(self._guide.size)

    def fine(self, view: View) -> Alignment:
        """Where the view's frame shows the box, and how far it can be relied on; defined everywhere."""
        known = ((self._certainty > 0) & view.shown).astype(np.float32)
        share = np.maximum(_locally(known), 1e-3)
        plain = self._error(view.grey, known, share)
        if view.still and self._drift_px(view, known) < DRIFT_PX:
            return Alignment(self._grid, fill_membrane(plain, known))
        residual = self._search.calc(self._guide, view.grey, None)
        near = self._bending.bend(residual, self._trust(view, residual, known, share), ROUGH_CELLS)
        residual = near + self._polish.calc(self._guide, self._moved(view, near), None)
        smooth = self._bending.bend(residual, self._trust(view, residual, known, share))
        moved = self._moved(view, smooth)
        bent = self._error(moved, known, share)
        weight = known * self._certainty
        if _cost(bent, weight) > NEEDED * _cost(plain, weight):
            return Alignment(homography_map(self._grid, view.homography), fill_membrane(plain, known))
        coords = homography_map(self._grid + smooth, view.homography)
        return Alignment(coords, fill_membrane(bent, known), moved, smooth)

    def _drift_px(self, view: View, known: FloatMap) -> float:
        """How far the whole view has moved, to first order (Lucas and Kanade 1981): a pan too slow for any single step to show."""
        grey = cv2.GaussianBlur(self._guide.astype(np.float32), (0, 0), DRIFT_BLUR_PX)
        moved = cv2.GaussianBlur(view.grey.astype(np.float32), (0, 0), DRIFT_BLUR_PX) - grey
        slope = np.dstack(_slopes(grey))
        if known.any():
            moved -= np.median(moved[known > 0])  # exposure is no motion
        weight = known * self._certainty * view.clear * np.exp(-np.square(moved / TOLERANCE))
        steep = np.einsum("hw,hwi,hwj->ij", weight, slope, slope) + FLAT * np.eye(2)
        return float(np.linalg.norm(np.linalg.solve(steep, np.einsum("hw,hwi,hw->i", weight, slope, moved))))

    def _trust(self, view: View, residual: FloatMap, known: FloatMap, share: FloatMap) -> FloatMap:
        """How far each vector of ``residual`` is to be believed, [h, w]: a shadow in the other frame would pull it along."""
        error = self._error(self._moved(view, residual), known, share)
        return np.asarray(known * self._certainty * view.clear * np.exp(-np.square(error / TOLERANCE)))

    def _moved(self, view: View, residual: FloatMap) -> GreyPicture:
        """The view, sampled where ``residual`` [h, w, 2] leads."""
        coords = self._local + residual
        moved = cv2.remap(view.grey, coords, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(moved, dtype=np.uint8)

    def _error(self, moved: GreyPicture, known: FloatMap, share: FloatMap) -> FloatMap:
        """Local mean of |guide - moved| over the known pixels, their local ``share``, in 8-bit levels."""
        difference = _locally(cv2.absdiff(moved, self._guide) * known)
        return np.asarray(difference / share, dtype=np.float32)


def _polish(size_px: int) -> cv2.DISOpticalFlow:
    """Dense inverse search (Kroeger et al., ECCV 2016) of a box of ``size_px`` down to single pixels; its preset stops at four.

    There is no variational refinement: the field is bent afterwards.
    """
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    finest = max(0, ceil(log2(size_px / POLISHED_PX) / 2))
    search.setFinestScale(finest)
    search.setCoarsestScale(finest + POLISHED_FROM)
    search.setPatchStride(POLISH_STRIDE_PX)
    search.setVariationalRefinementIterations(0)
    return search


def _steepness(grey: GreyPicture) -> FloatMap:
    """Mean slope of the lightly blurred picture around each pixel, [h, w] in levels a pixel."""
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.0)
    return np.asarray(cv2.GaussianBlur(cv2.magnitude(*_slopes(smooth)), (0, 0), STEEPNESS_PX), np.float32)


def _slopes(grey: FloatMap) -> list[FloatMap]:
    """Derivatives of [h, w] along x and y, a pixel."""
    return [np.asarray(cv2.Scharr(grey, cv2.CV_32F, *order, scale=1 / 32)) for order in ((1, 0), (0, 1))]


def _locally(values: FloatMap) -> FloatMap:
    return np.asarray(cv2.GaussianBlur(values, (0, 0), ERROR_SIGMA_PX), dtype=np.float32)


def _cost(error: FloatMap, weight: FloatMap) -> float:
    """Sum of a field's errors [h, w] that a passer-by cannot outweigh (Geman and McClure 1987)."""
    square = np.square(error)
    return float((weight * square / (square + TOLERANCE**2)).sum())
