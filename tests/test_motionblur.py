"""Motion blur is measured where two pictures show the same place, and told from whatever else makes them differ."""

import cv2
import numpy as np
import pytest

from osor_video.motionblur import ANGLES, FEWEST_PX, blurred, line_kernel, motion_blur
from osor_video.tensors import FloatMap

RANDOM = np.random.default_rng(0)


def textured(seed: int = 0) -> FloatMap:
    """Blobs of a few pixels, [96, 128, 3] in [0, 1]."""
    noise = np.random.default_rng(seed).normal(0, 1, (96, 128)).astype(np.float32)
    blobs = cv2.GaussianBlur(noise, (0, 0), 1.5)
    return np.repeat((0.5 + 0.25 * blobs / blobs.std()).clip(0, 1)[..., None], 3, axis=2)


def noisy(picture: FloatMap) -> FloatMap:
    return (picture + RANDOM.normal(0, 2 / 255, picture.shape)).astype(np.float32)


RING = np.ones((96, 128), np.float32)
RING[30:66, 40:88] = 0


@pytest.mark.parametrize(("length_px", "angle"), [(9, 0), (13, 3), (17, 8)])
def test_the_blur_of_a_frame_is_found_around_the_hole(length_px: int, angle: int) -> None:
    sharp = textured()
    frame = noisy(blurred(sharp, line_kernel(length_px, angle)) * 0.97)
    kernel = motion_blur(noisy(sharp), frame, RING)
    assert kernel is not None
    # In the hole, where nobody looked, the sharp picture becomes what the camera would have seen.
    error = np.abs(blurred(sharp, kernel) * 0.97 - frame)[RING == 0].mean()
    assert error < 0.3 * np.abs(sharp * 0.97 - frame)[RING == 0].mean()


def test_nothing_is_blurred_where_frame_and_picture_are_as_sharp_or_show_other_things() -> None:
    sharp = textured()
    assert motion_blur(noisy(sharp), noisy(sharp), RING) is None
    # The frame is the sharper one.
    assert motion_blur(blurred(sharp, line_kernel(13, 0)), sharp, RING) is None
    assert motion_blur(sharp, blurred(textured(1), line_kernel(13, 0)), RING) is None
    flat = np.full_like(sharp, 0.5)
    assert motion_blur(sharp, noisy(flat), RING) is None


def test_a_few_pixels_tell_of_no_blur() -> None:
    few = np.zeros_like(RING)
    few[:10, : FEWEST_PX // 10 - 1] = 1
    assert motion_blur(textured(), blurred(textured(), line_kernel(13, 0)), few) is None


@pytest.mark.parametrize("angle", range(ANGLES))
def test_a_line_has_its_length_and_direction(angle: int) -> None:
    kernel = line_kernel(17, angle)
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    y, x = np.mgrid[-8:9, -8:9]
    assert [(kernel * side).sum() for side in (x, y)] == pytest.approx([0, 0], abs=1e-4)
    along = x * np.cos(np.pi * angle / ANGLES) + y * np.sin(np.pi * angle / ANGLES)
    across = y * np.cos(np.pi * angle / ANGLES) - x * np.sin(np.pi * angle / ANGLES)
    # A uniform line of 16 px has a variance of 16^2 / 12.
    assert (kernel * along**2).sum() == pytest.approx(16**2 / 12, rel=0.1)
    assert (kernel * across**2).sum() < 0.5
