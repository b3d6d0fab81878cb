"""The floors, on a world whose plate without grain is known."""

from __future__ import annotations

import numpy as np
import pytest

from osor_video.benchmark.cases import TrueFrame
from osor_video.benchmark.floor import Floors, without_grain
from osor_video.benchmark.metrics import Scorer, effect_region
from osor_video.shapes import dilate
from osor_video.tensors import Picture
from tests.world import World, make_world

SIGMA = 5.0


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(8)


@pytest.fixture(scope="module")
def grainy(world: World) -> list[Picture]:
    """The world's plates with grain."""
    random = np.random.default_rng(1)
    noise = [SIGMA * random.standard_normal(plate.shape) for plate in world.plates]
    return [
        np.clip(np.rint(plate + grain), 0, 255).astype(np.uint8)
        for plate, grain in zip(world.plates, noise, strict=True)
    ]


def frames_of(world: World, grainy: list[Picture]) -> list[TrueFrame]:
    """The shots over plates with grain."""
    parts = zip(world.frames, grainy, world.masks, strict=True)
    return [TrueFrame(shot, plate, mask) for shot, plate, mask in parts]


def test_the_mean_along_the_flow_has_little_grain_left(world: World, grainy: list[Picture]) -> None:
    cleaned = list(without_grain(grainy))
    assert len(cleaned) == len(grainy)
    inner = np.s_[16:-16, 16:-16]
    for plate, (mean, count) in zip(world.plates, cleaned, strict=True):
        assert np.std((mean - plate)[inner]) < 0.75 * SIGMA
        assert count.min() >= 1
        assert count.max() <= 5
    assert np.median(cleaned[4][1]) >= 4


def test_new_grain_is_as_strong_as_the_truths_and_independent_of_it(
    world: World, grainy: list[Picture]
) -> None:
    frames = frames_of(world, grainy)
    floors = Floors(lambda: frames)
    still, alive = Scorer(), Scorer()
    grain = []
    for frame, plate in zip(frames, world.plates, strict=True):
        new = floors.alive(frame)
        still.add(frame.shot, frame.clean, frame.mask, floors.still(frame))
        alive.add(frame.shot, frame.clean, frame.mask, new)
        grain.append(
            ((new.astype(float) - plate)[frame.mask], (frame.clean.astype(float) - plate)[frame.mask])
        )
        kept = ~dilate(frame.mask | effect_region(frame.shot, frame.clean, frame.mask), 4)
        assert np.array_equal(new[kept], frame.shot[kept])
    ours, true = (np.concatenate([pair[side].ravel() for pair in grain]) for side in (0, 1))
    assert np.std(ours) == pytest.approx(np.std(true), rel=0.2)
    # The mean keeps a fifth of the truth's own grain.
    assert np.corrcoef(ours, true)[0, 1] < 0.35
    assert alive.scores().temporal_error > 1.15 * still.scores().temporal_error
    assert alive.scores().psnr_hole < still.scores().psnr_hole - 1
