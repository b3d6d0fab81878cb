"""Colours that only the ground has, on drawn pictures."""

from __future__ import annotations

import numpy as np
import pytest

from osor_video.masks.colours import MOST, ColourEvidence
from osor_video.tensors import FloatMap, Mask, Picture

SKY, FOREST, RED = (150, 180, 220), (30, 60, 35), (200, 40, 40)


def scene(ground: tuple[int, int, int], seed: int = 0) -> tuple[Picture, Mask]:
    """A red square with a hole in it before ``ground``, with a camera's noise."""
    random = np.random.default_rng(seed)
    mask = np.zeros((96, 96), dtype=bool)
    mask[32:64, 32:64] = True
    mask[42:54, 42:54] = False
    picture = np.where(mask[..., None], RED, ground) + random.normal(0, 3, (96, 96, 3))
    return np.clip(picture, 0, 255).astype(np.uint8), mask


def covered() -> FloatMap:
    """Where the object is expected, in cells of 8 pixels: its hole is taken for a part of it."""
    cells = np.zeros((12, 12), np.float32)
    cells[4:8, 4:8] = 1
    return cells


def learnt() -> ColourEvidence:
    evidence = ColourEvidence()
    evidence.learn(*scene(FOREST))
    return evidence


def test_sky_that_was_not_there_before_speaks_against_the_hole() -> None:
    picture, mask = scene(SKY, 1)
    told = learnt().step(picture, covered())
    assert told.shape == (96, 96)
    assert told[46:50, 46:50].max() == pytest.approx(-MOST)
    assert told[34:40, 34:62].min() == 0
    assert told[~mask].mean() < -1.5


def test_what_neither_side_has_shown_says_nothing() -> None:
    picture, _ = scene(SKY, 1)
    picture[56:62, 34:62] = (240, 230, 60)  # a side of the object that comes into sight
    assert learnt().step(picture, covered())[57:61, 36:60].min() == 0


def test_a_ground_of_the_objects_colour_says_nothing() -> None:
    picture, _ = scene(RED, 1)
    assert learnt().step(picture, covered()).min() == 0


def test_a_little_more_light_says_nothing_against_the_object() -> None:
    picture, mask = scene(FOREST, 1)
    lighter = np.clip(1.06 * picture.astype(np.float32), 0, 255).astype(np.uint8)
    inner = mask.copy()
    inner[40:56, 40:56] = False
    assert learnt().step(lighter, covered())[inner][::7].mean() > -0.1


def test_every_marked_frame_adds_its_colours() -> None:
    evidence = learnt()
    picture, mask = scene(SKY, 1)
    assert evidence.step(picture, covered())[46:50, 46:50].max() < -1
    turned, _ = scene(SKY, 2)
    turned[mask] = SKY  # its far side is of that colour
    evidence.learn(turned, covered().repeat(8, 0).repeat(8, 1) > 0)
    assert evidence.step(picture, covered())[46:50, 46:50].min() == 0


def test_without_an_object_or_without_ground_it_is_silent() -> None:
    picture, mask = scene(SKY)
    evidence = ColourEvidence()
    evidence.learn(picture, np.zeros_like(mask))
    assert evidence.state is None
    assert not evidence.step(picture, covered()).any()
    assert not learnt().step(picture, np.ones((12, 12), np.float32)).any()


def test_the_state_says_all() -> None:
    picture, _ = scene(SKY, 1)
    other = ColourEvidence()
    other.state = learnt().state
    assert np.array_equal(other.step(picture, covered()), learnt().step(picture, covered()))
