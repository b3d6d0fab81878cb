"""The membrane: known values stay, holes are bridged smoothly, nothing known gives nothing."""

from __future__ import annotations

import numpy as np
import pytest

from osor_video.membrane import fill_membrane
from osor_video.tensors import FloatMap

SIZE_HW = (70, 90)


def ramp() -> FloatMap:
    """A plane: 0 at the top left, rising to the right and downwards."""
    ys, xs = np.mgrid[0 : SIZE_HW[0], 0 : SIZE_HW[1]].astype(np.float32)
    return np.asarray(0.01 * xs + 0.005 * ys, np.float32)


def pierced(top: int, left: int, side: int) -> FloatMap:
    """Weights of 1 with a square hole of 0."""
    weight = np.ones(SIZE_HW, np.float32)
    weight[top : top + side, left : left + side] = 0
    return weight


def test_known_values_are_returned_exactly() -> None:
    values = np.random.default_rng(0).random((*SIZE_HW, 3), dtype=np.float32)
    weight = pierced(20, 30, 24)
    filled = fill_membrane(values, weight)
    assert np.array_equal(filled[weight == 1], values[weight == 1])


def test_what_lies_in_the_hole_has_no_say() -> None:
    weight, values = pierced(20, 30, 24), ramp()
    other = np.where(weight == 0, 77.0, values).astype(np.float32)
    np.testing.assert_allclose(fill_membrane(other, weight), fill_membrane(values, weight), atol=1e-5)


@pytest.mark.parametrize("side", [5, 12, 24])
def test_a_ramp_is_restored_across_a_hole(side: int) -> None:
    values, weight = ramp(), pierced(22, 32, side)
    error = np.abs(fill_membrane(values, weight) - values)[weight == 0]
    # The ramp rises by 0.015 a step along its diagonal, by 0.36 over the widest hole.
    assert error.max() < 0.06
    assert error.mean() < 0.025


def test_a_constant_is_restored_from_a_single_known_corner() -> None:
    weight = np.zeros(SIZE_HW, np.float32)
    weight[:8, :8] = 1
    filled = fill_membrane(np.full(SIZE_HW, 0.7, np.float32), weight)
    np.testing.assert_allclose(filled, 0.7, atol=1e-4)


def test_no_weight_at_all_gives_zeros() -> None:
    filled = fill_membrane(ramp(), np.zeros(SIZE_HW, np.float32))
    assert np.array_equal(filled, np.zeros(SIZE_HW, np.float32))


def test_channels_are_filled_one_by_one() -> None:
    weight, values = pierced(20, 30, 24), ramp()
    both = fill_membrane(np.stack([values, 1 - values], axis=-1), weight)
    np.testing.assert_allclose(both[..., 0], fill_membrane(values, weight), atol=1e-6)
    np.testing.assert_allclose(both[..., 1], fill_membrane(1 - values, weight), atol=1e-6)


def test_tiny_pictures_take_the_weighted_mean() -> None:
    values, weight = np.array([[1.0, 3.0, 9.0]], np.float32), np.array([[1.0, 1.0, 0.0]], np.float32)
    np.testing.assert_allclose(fill_membrane(values, weight), [[1.0, 3.0, 2.0]])
