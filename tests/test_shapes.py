"""Masks grown by a disc, and the parts of masks that touch something."""

from __future__ import annotations

import numpy as np

from osor_video.shapes import dilate, touching


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


def test_only_parts_that_touch_the_seed_are_kept() -> None:
    region, seed = np.zeros((2, 12, 20), dtype=bool)
    region[2:6, 2:6] = True
    region[2:6, 10:14] = True
    seed[5:9, 5:9] = True
    kept = touching(region, seed)
    assert np.array_equal(kept[:, :8], region[:, :8])
    assert not kept[:, 8:].any()
    assert not touching(region, np.zeros_like(seed)).any()
