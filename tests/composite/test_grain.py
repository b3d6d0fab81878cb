"""Grain: measured where it is known, made anew where it is not, never twice the same."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from osor_video.composite.grain import TO_YCC, Grain, fresh_grain, measure_grain, median_grain
from osor_video.flow.estimate import DisFlow
from osor_video.removal.crop import bounding_box
from osor_video.tensors import FloatMap, Picture
from tests.world import World, make_world


def noisy(frame: Picture, sigma: float, blur_px: float, seed: int) -> Picture:
    """``frame`` with noise of ``sigma`` levels in every channel, softened by ``blur_px``."""
    noise = np.random.default_rng(seed).standard_normal(frame.shape)
    if blur_px:
        noise = cv2.GaussianBlur(noise, (0, 0), blur_px)
    return np.asarray(np.clip(np.rint(frame + sigma * noise / noise.std()), 0, 255), np.uint8)


def measured(world: World, sigma: float, blur_px: float = 0, time: int = 2) -> Grain:
    pair = [noisy(world.frames[t], sigma, blur_px, t) for t in (time - 1, time)]
    flow = DisFlow(144)
    hole = world.shot()[time].hole
    box = bounding_box(hole)
    assert box is not None
    grain = measure_grain(pair[0], pair[1], flow.match(*(flow.encode(frame) for frame in pair)), hole, box)
    assert grain is not None
    return grain


@pytest.mark.parametrize("pan_xy", [(0.0, 0.0), (2.3, 0.35)])
@pytest.mark.parametrize(("sigma", "blur_px"), [(2.0, 0.0), (6.0, 0.0), (4.0, 0.7)])
def test_strength_and_size_are_found_on_a_textured_moving_wall(
    pan_xy: tuple[float, float], sigma: float, blur_px: float
) -> None:
    found = measured(make_world(4, pan_xy=pan_xy), sigma, blur_px)
    true = sigma * np.sqrt(np.square(TO_YCC).sum(axis=1))
    # Measured: at most a quarter too much, where the wall itself moves through the flow's small errors.
    assert 0.95 < found.sigma[0] / true[0] < 1.3
    assert found.correlation[0] == pytest.approx(0.5 if blur_px else 0.05, abs=0.12)


def test_more_of_it_in_the_light_is_found_and_made_so() -> None:
    ramp = np.tile(np.linspace(40, 200, 192, dtype=np.float32), (128, 1))
    bright = np.random.default_rng(5)

    def shot() -> Picture:
        noise = np.sqrt(ramp / 100)[..., None] * bright.standard_normal((128, 192, 3)) * 4
        return np.clip(np.rint(ramp[..., None] + noise), 0, 255).astype(np.uint8)

    pair, flow, hole = [shot(), shot()], DisFlow(144), np.zeros((128, 192), dtype=bool)
    hole[50:70, 80:110] = True
    grain = measure_grain(pair[0], pair[1], flow.match(*map(flow.encode, pair)), hole, (50, 80, 70, 110))
    assert grain is not None
    under = np.repeat(ramp[..., None] / np.float32(255), 3, axis=2)
    made = 255 * fresh_grain(grain, (128, 192), 0, 0, under)
    for columns in (slice(20, 60), slice(130, 170)):
        wanted = 4 * np.sqrt(ramp[0, columns].mean() / 100)
        assert made[:, columns, 1].std() == pytest.approx(wanted, rel=0.25)
    even = replace(grain, slope=0.0)
    assert np.array_equal(fresh_grain(even, (128, 192), 0, 0, under), fresh_grain(even, (128, 192), 0, 0))


def test_a_clean_clip_has_hardly_any() -> None:
    assert max(measured(make_world(4), 0.0).sigma) < 1.2


def test_too_little_background_says_nothing(world: World) -> None:
    hole = np.ones(world.masks[0].shape, dtype=bool)
    hole[:20, :20] = False
    flow = DisFlow(144)
    pair = flow.match(*(flow.encode(frame) for frame in world.frames[:2]))
    assert measure_grain(world.frames[0], world.frames[1], pair, hole, (20, 20, 128, 192)) is None


def luma(grain: FloatMap) -> FloatMap:
    return np.asarray(255 * grain @ TO_YCC.T[:, 0], np.float32)


@pytest.mark.parametrize("correlation", [0.0, 0.3, 0.6, 0.9])
def test_what_is_made_is_as_strong_and_as_coarse_as_asked(correlation: float) -> None:
    made = luma(fresh_grain(Grain((3.0, 1.0, 1.0), (correlation,) * 3), (300, 300), 0, 0))
    assert made.std() == pytest.approx(3, rel=0.08)
    for a, b in ((made[1:], made[:-1]), (made[:, 1:], made[:, :-1])):
        assert float((a * b).mean() / made.var()) == pytest.approx(correlation, abs=0.03)


def test_every_frame_has_its_own_and_every_run_the_same() -> None:
    grain = Grain((3.0, 1.0, 1.0), (0.3, 0.3, 0.3))
    first, second = (luma(fresh_grain(grain, (100, 100), 0, frame)) for frame in (0, 1))
    assert abs(float(np.corrcoef(first.ravel(), second.ravel())[0, 1])) < 0.05
    assert np.array_equal(fresh_grain(grain, (100, 100), 0, 1), fresh_grain(grain, (100, 100), 0, 1))
    assert not np.array_equal(fresh_grain(grain, (100, 100), 1, 0), fresh_grain(grain, (100, 100), 0, 0))


def test_the_median_hears_no_outlier() -> None:
    usual, loud = Grain((2.0, 1.0, 1.0), (0.2, 0.2, 0.2)), Grain((30.0, 9.0, 9.0), (0.9, 0.9, 0.9))
    assert median_grain([usual, loud, usual]) == usual
