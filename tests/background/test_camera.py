"""The camera's step between two frames, against homographies that were put in."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from osor_video.background.camera import GreyPicture, Homography, camera_step, track_corners
from osor_video.masks.track import hole
from osor_video.tensors import Mask, to_uint8
from tests.world import GROW, SIZE_HW, World, texture

CORNERS = np.array([[[0, 0], [191, 0], [0, 127], [191, 127]]], np.float64)
NO_HOLE = np.zeros(SIZE_HW, dtype=bool)


def corner_error(found: Homography, truth: Homography) -> float:
    """Largest distance in pixels between the frame's corners moved by both."""
    moved = [cv2.perspectiveTransform(CORNERS, homography) for homography in (found, truth)]
    return float(np.linalg.norm(moved[0] - moved[1], axis=-1).max())


def step_between(
    earlier: GreyPicture, later: GreyPicture, earlier_hole: Mask, later_hole: Mask
) -> Homography:
    """What a run makes of two neighbouring frames."""
    return camera_step(track_corners(earlier, later, earlier_hole), later_hole)


def views(homography: Homography) -> tuple[GreyPicture, GreyPicture]:
    """One wall twice: as it is, and moved by ``homography``; no border shows in either."""
    wall = to_uint8(texture((SIZE_HW[0] + 80, SIZE_HW[1] + 80), 3))
    wall = np.asarray(cv2.cvtColor(wall, cv2.COLOR_RGB2GRAY))
    into = np.array([[1, 0, -40], [0, 1, -40], [0, 0, 1.0]])
    first, second = (
        cv2.warpPerspective(wall, matrix @ into, SIZE_HW[::-1], flags=cv2.INTER_CUBIC)
        for matrix in (np.eye(3), homography)
    )
    return first, second


@pytest.mark.parametrize(
    "truth",
    [
        pytest.param(np.array([[1, 0, 2.3], [0, 1, -1.4], [0, 0, 1.0]]), id="pan"),
        pytest.param(np.array([[1.02, 0.015, -3], [-0.015, 1.02, 2], [0, 0, 1.0]]), id="zoom and roll"),
        pytest.param(np.array([[1, 0.01, 3], [0.004, 1.01, 1], [6e-5, -4e-5, 1.0]]), id="perspective"),
    ],
)
def test_a_known_homography_is_found(truth: Homography) -> None:
    found = step_between(*views(truth), NO_HOLE, NO_HOLE)
    assert corner_error(found, truth) < 0.2
    assert corner_error(np.eye(3), truth) > 1.0
    assert found[2, 2] == 1.0


def test_the_object_has_no_say(world: World) -> None:
    for time in range(1, len(world.frames)):
        a, b = (np.asarray(cv2.cvtColor(world.frames[t], cv2.COLOR_RGB2GRAY)) for t in (time - 1, time))
        holes = [hole(world.masks[t], GROW) for t in (time - 1, time)]
        truth = world.cameras[time] @ np.linalg.inv(world.cameras[time - 1])
        assert corner_error(step_between(a, b, *holes), truth) < 0.2


def test_a_blank_picture_stands_still() -> None:
    blank = np.full(SIZE_HW, 128, np.uint8)
    assert np.array_equal(step_between(blank, blank, NO_HOLE, NO_HOLE), np.eye(3))


def test_pictures_that_share_nothing_stand_still() -> None:
    a = views(np.eye(3))[0]
    assert np.array_equal(step_between(a, np.full(SIZE_HW, 128, np.uint8), NO_HOLE, NO_HOLE), np.eye(3))


@pytest.mark.parametrize("which", [0, 1])
def test_a_hole_over_everything_stands_still(which: int) -> None:
    everything: Mask = ~NO_HOLE
    holes = [NO_HOLE, NO_HOLE]
    holes[which] = everything
    truth = np.array([[1, 0, 2.3], [0, 1, -1.4], [0, 0, 1.0]])
    assert np.array_equal(step_between(*views(truth), *holes), np.eye(3))


def _noisy(picture: GreyPicture, seed: int) -> GreyPicture:
    noise = np.random.default_rng(seed).normal(0, 3, picture.shape)
    return np.asarray(np.clip(np.rint(picture + noise), 0, 255), np.uint8)


@pytest.mark.parametrize("seed", range(3))
def test_a_tripod_stands_still_to_the_bit(seed: int) -> None:
    first, second = views(np.eye(3))
    step = step_between(_noisy(first, seed), _noisy(second, seed + 10), NO_HOLE, NO_HOLE)
    np.testing.assert_array_equal(step, np.eye(3))


def test_a_slow_pan_is_no_tripod() -> None:
    truth = np.array([[1, 0, 0.15], [0, 1, 0.05], [0, 0, 1.0]])
    first, second = views(truth)
    found = step_between(_noisy(first, 0), _noisy(second, 1), NO_HOLE, NO_HOLE)
    assert corner_error(found, truth) < 0.1
