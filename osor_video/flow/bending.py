"""A motion field from measured vectors that are good in places only: what they say where there is texture, bent as little as
possible in between and behind a hole.

Minimises ``sum_c (u_c - d_c)^T J_c (u_c - d_c) + lambda sum_c rho(|D2 u_c|)`` over coarse cells c. ``d`` is the measured field;
``J`` the structure tensor (Lucas and Kanade 1981), so a flat wall claims nothing and an edge nothing along itself; ``D2`` the
second differences of the thin-plate energy (Bookstein 1989), which leave planes free and carry straight lines on straight;
``rho`` Lorentzian (Black and Anandan 1996), so the field may crease where a wall meets the ground.
"""

from __future__ import annotations

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


def bend(field: FloatMap, grey: npt.NDArray[np.uint8], trust: FloatMap) -> FloatMap:
    """The smoothest field that agrees with ``field`` [H, W, 2] where ``grey`` [H, W] has texture and ``trust`` [H, W] is high.

    ``trust`` is in [0, 1]; vectors are in pixels. With no trust anywhere the result is zero.
    """
    if trust.shape[1] > trust.shape[0]:
        # The band of the equations is as wide as the shorter side: lay it across.
        turned = bend(_transposed(field), np.ascontiguousarray(grey.T), np.ascontiguousarray(trust.T))
        return _transposed(turned)
    height, width = trust.shape
    side = max(CELL_PX, sqrt(height * width / MOST_CELLS))
    shape = max(3, round(height / side)), max(3, round(width / side))
    xx, xy, yy = _structure(grey, trust)
    x, y = field[..., 0], field[..., 1]
    share = height * width / (shape[0] * shape[1])
    tensor, right = (
        share * cv2.resize(np.dstack(parts), shape[::-1], interpolation=cv2.INTER_AREA).astype(np.float64)
        for parts in ((xx, xy, yy), (xx * x + xy * y, xy * x + yy * y))
    )
    vectors = _solve(tensor, right, STIFFNESS * (CELL_PX / side) ** 2, CREASE_PX * side / CELL_PX)
    return _on_pixels(vectors.astype(np.float32), (height, width))


def _transposed(field: FloatMap) -> FloatMap:
    """The field [w, h, 2] of the transposed picture: its vectors are transposed, too."""
    return np.ascontiguousarray(field.transpose(1, 0, 2)[..., ::-1])


def _on_pixels(vectors: FloatMap, size_hw: tuple[int, int]) -> FloatMap:
    """Cell vectors [h, w, 2] on all pixels; beyond the outermost cells' middles the field goes on as it comes."""
    wider = np.pad(vectors, ((2, 2), (2, 2), (0, 0)), mode="reflect", reflect_type="odd")
    steps = [cells / side for cells, side in zip(vectors.shape[1::-1], size_hw[::-1], strict=True)]
    to_cells = np.array([[steps[0], 0, 1.5 + steps[0] / 2], [0, steps[1], 1.5 + steps[1] / 2]])
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(wider, to_cells, size_hw[::-1], flags=flags))


def _structure(grey: npt.NDArray[np.uint8], trust: FloatMap) -> list[FloatMap]:
    """Entries xx, xy, yy of the structure tensor of each pixel, in units of the noise, times the trust in it."""
    smooth = cv2.GaussianBlur(grey.astype(np.float32), (0, 0), 1.0)
    gx, gy = (cv2.Scharr(smooth, cv2.CV_32F, *order, scale=1 / 32) for order in ((1, 0), (0, 1)))
    weight = trust / np.float32(NOISE**2)
    return [weight * gx * gx, weight * gx * gy, weight * gy * gy]


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
    vectors = np.zeros((h, w, 2))
    for _ in range(ROUNDS):
        band = data.copy()
        for stencil in SECOND_DIFFERENCES:
            bent = _difference(vectors, stencil)
            weight = stiffness / (1 + np.square(bent).sum(axis=2, keepdims=True) / crease_px**2)
            _add_square(band, stencil, weight)
        solved = solveh_banded(
            band.reshape(len(band), -1),
            right.reshape(-1),
            lower=True,
            overwrite_ab=True,
            check_finite=False,
        )
        vectors = solved.reshape(h, w, 2)
    return vectors


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
