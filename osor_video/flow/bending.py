"""A motion field from measured vectors that are good in places only: what they say where there is texture, bent as little as
possible in between and behind a hole.

Minimises ``sum_c (u_c - d_c)^T J_c (u_c - d_c) + lambda sum_c rho(|D2 u_c|)`` over coarse cells c. ``d`` is the measured field;
``J`` the structure tensor (Lucas and Kanade 1981), so a flat wall claims nothing and an edge nothing along itself; ``D2`` the
second differences of the thin-plate energy (Bookstein 1989), which leave planes free and carry straight lines on straight;
``rho`` Lorentzian (Black and Anandan 1996), so the field may crease where a wall meets the ground.
"""

from __future__ import annotations

from functools import lru_cache
from math import sqrt

import cv2
import numpy as np
import numpy.typing as npt
from scipy.linalg import solveh_banded

from osor_video.tensors import FloatMap

CELL_PX = 14.0
"""Side of a cell at least; it grows with the field so that there are never many."""
MOST_CELLS = 600
NOISE = 4.0
"""Noise of the pictures in 8-bit levels: what a measured vector's error is compared with."""
STIFFNESS = 500.0
"""Cost of a bend of one pixel over ``CELL_PX``."""
CREASE_PX = 0.014
"""Bend, in pixels over ``CELL_PX``, from which it is taken for a crease."""
ROUNDS = 3
"""Solutions of the reweighted least-squares problem."""
FLOOR = 1e-4
"""Weight of no motion where nothing at all is known."""

Cells = npt.NDArray[np.float64]
"""Values [h, w, C] on the cells."""


class Bending:
    """Bends fields measured on one picture, ``grey`` uint8 [H, W]; its texture is worked out once."""

    def __init__(self, grey: npt.NDArray[np.uint8]) -> None:
        # The band of the equations is as wide as the shorter side: that is laid across.
        self._turned = grey.shape[1] > grey.shape[0]
        self._structure = _structure(np.ascontiguousarray(grey.T) if self._turned else grey)

    def bend(self, field: FloatMap, trust: FloatMap, cells: int = MOST_CELLS) -> FloatMap:
        """The smoothest field that agrees with ``field`` [H, W, 2] where there is texture and ``trust`` [H, W] is high.

        ``trust`` is in [0, 1]; vectors are in pixels; at most about ``cells`` carry them. With no trust anywhere the result
        is zero.
        """
        if self._turned:
            return _transposed(self._bent(_transposed(field), np.ascontiguousarray(trust.T), cells))
        return self._bent(field, trust, cells)

    def _bent(self, field: FloatMap, trust: FloatMap, cells: int) -> FloatMap:
        height, width = trust.shape
        side = max(CELL_PX, sqrt(height * width / cells))
        shape = max(3, round(height / side)), max(3, round(width / side))
        xx, xy, yy = (trust * part for part in self._structure)
        x, y = cv2.split(field)
        share = height * width / (shape[0] * shape[1])
        tensor, right = (
            share * cv2.resize(cv2.merge(parts), shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float64)
            for parts in ((xx, xy, yy), (xx * x + xy * y, xy * x + yy * y))
        )
        vectors = _solve(tensor, right, STIFFNESS * (CELL_PX / side) ** 2, CREASE_PX * side / CELL_PX)
        return _on_pixels(vectors.astype(np.float32), (height, width))


def _transposed(field: FloatMap) -> FloatMap:
    """The field [w, h, 2] of the transposed picture: its vectors are transposed, too."""
    return np.ascontiguousarray(field.transpose(1, 0, 2)[..., ::-1])


def _on_pixels(vectors: FloatMap, size_hw: tuple[int, int]) -> FloatMap:
    """Cell vectors [h, w, 2] on all pixels; beyond the outermost cells' middles the field goes on as it comes."""
    down, across = (_raising(cells, side) for cells, side in zip(vectors.shape, size_hw, strict=False))
    return np.asarray(cv2.merge([down @ part @ across.T for part in cv2.split(vectors)]))


@lru_cache(maxsize=16)
def _raising(cells: int, pixels: int) -> FloatMap:
    """The matrix [pixels, cells] of cubic interpolation from the middles of cells, and straight on beyond the outermost."""
    wider = np.pad(np.eye(cells, dtype=np.float32), ((2, 2), (0, 0)), mode="reflect", reflect_type="odd")
    step = cells / pixels
    to_cells = np.array([[1, 0, 0], [0, step, 1.5 + step / 2]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(wider, to_cells, (cells, pixels), flags=flags))


def _structure(grey: npt.NDArray[np.uint8]) -> list[FloatMap]:
    """Entries xx, xy, yy of the structure tensor of each pixel, in units of the noise."""
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.0)
    gx, gy = (cv2.Scharr(smooth, cv2.CV_32F, *order, scale=1 / (32 * NOISE)) for order in ((1, 0), (0, 1)))
    return [gx * gx, gx * gy, gy * gy]


Stencil = tuple[tuple[int, int, float], ...]
"""Row, column and coefficient of each cell of a difference, in reading order."""

SECOND_DIFFERENCES: tuple[Stencil, ...] = (
    ((0, 0, 1.0), (0, 1, -2.0), (0, 2, 1.0)),
    ((0, 0, 1.0), (1, 0, -2.0), (2, 0, 1.0)),
    ((0, 0, sqrt(2)), (0, 1, -sqrt(2)), (1, 0, -sqrt(2)), (1, 1, sqrt(2))),
)


def _solve(tensor: Cells, right: Cells, stiffness: float, crease_px: float) -> Cells:
    """Cell vectors [h, w, 2] from each cell's xx, xy, yy [h, w, 3] and right-hand side [h, w, 2]; iteratively reweighted."""
    h, w = right.shape[:2]
    data = np.zeros((4 * w + 1, h, w, 2))
    data[0] = tensor[..., (0, 2)] + FLOOR
    data[1, ..., 0] = tensor[..., 1]
    vectors = _solved(data + stiffness * _stiff(h, w), right)
    for _ in range(ROUNDS - 1):
        band = data.copy()
        for stencil in SECOND_DIFFERENCES:
            bent = _difference(vectors, stencil)
            weight = stiffness / (1 + np.square(bent).sum(axis=2, keepdims=True) / crease_px**2)
            _add_square(band, stencil, weight)
        vectors = _solved(band, right)
    return vectors


def _solved(band: Cells, right: Cells) -> Cells:
    """The vectors [h, w, 2] of the equations ``band``, which are lost, and ``right`` [h, w, 2]."""
    flat = band.reshape(len(band), -1)
    solved = solveh_banded(flat, right.reshape(-1), lower=True, overwrite_ab=True, check_finite=False)
    return np.asarray(solved.reshape(right.shape))


@lru_cache(maxsize=8)
def _stiff(h: int, w: int) -> npt.NDArray[np.float64]:
    """The equations of a field [h, w, 2] that is only stiff, and nowhere creased, as in ``_add_square``."""
    band = np.zeros((4 * w + 1, h, w, 2))
    for stencil in SECOND_DIFFERENCES:
        _add_square(band, stencil, np.ones((*_reach((h, w), stencil), 1)))
    return band


def _difference(vectors: Cells, stencil: Stencil) -> Cells:
    """A finite difference of [h, w, 2] wherever it fits."""
    rows, columns = _reach(vectors.shape[:2], stencil)
    return np.asarray(sum(c * vectors[y : y + rows, x : x + columns] for y, x, c in stencil))


def _add_square(band: npt.NDArray[np.float64], stencil: Stencil, weight: Cells) -> None:
    """Add ``weight`` times the squared difference to the equations.

    ``band`` [4 w + 1, h, w, 2] is their matrix in LAPACK's lower band form: entry (d, i) couples unknown i with unknown i + d,
    and the two components of a cell are neighbours.
    """
    width = band.shape[2]
    rows, columns = _reach(band.shape[1:3], stencil)
    for place, (y, x, c) in enumerate(stencil):
        for y2, x2, c2 in stencil[place:]:
            apart = 2 * ((y2 - y) * width + x2 - x)
            band[apart, y : y + rows, x : x + columns] += c * c2 * weight


def _reach(size: tuple[int, ...], stencil: Stencil) -> tuple[int, int]:
    """How many places a stencil has on a grid [h, w]."""
    return size[0] - max(y for y, _, _ in stencil), size[1] - max(x for _, x, _ in stencil)
