"""Masks grown by a disc."""

from __future__ import annotations

import numpy as np

from osor_video.shapes import dilate


def test_a_point_grows_to_a_disc() -> None:
    point = np.zeros((20, 20), dtype=bool)
    point[10, 10] = True
    grown = dilate(point, 2)
    assert grown[10, 8]
    assert grown[8, 10]
    assert not grown[8, 8]
    assert not grown[10, 7]


def test_radius_nought_changes_nothing() -> None:
    mask = np.eye(9, dtype=bool)
    assert np.array_equal(dilate(mask, 0), mask)
