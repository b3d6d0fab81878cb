"""The refiner that goes on learning from a marked frame: what it is shown, what it learns, and what it leaves alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from osor_video.config import MaskConfig
from osor_video.masks.adapt import SIDE_PX, adapt, make_lesson, still_of
from osor_video.masks.build import build_tracker
from osor_video.masks.features import RecognitionFeatures
from osor_video.masks.lessons import lesson_loss, look_at
from osor_video.masks.refiner import MaskRefiner, bundled_refiner
from osor_video.tensors import Mask, Picture
from tests.masks.following import count_lessons
from tests.world import World

STEPS = 8


def disc(side: int, radius: int) -> tuple[Picture, Mask]:
    """A red disc on grey."""
    ys, xs = np.mgrid[:side, :side] - side / 2
    mask = xs**2 + ys**2 < radius**2
    picture = np.full((side, side, 3), 120, np.uint8)
    picture[mask] = (220, 20, 20)
    return picture, mask


@pytest.fixture(scope="module")
def adapted(features: RecognitionFeatures, world: World) -> MaskRefiner:
    return adapt(bundled_refiner(), features, [(world.frames[0], world.masks[0])], STEPS)


def test_the_masks_of_a_lesson_cover_the_object() -> None:
    still = still_of(*disc(200, 40))
    random = np.random.default_rng(1)
    for _ in range(4):
        lesson = make_lesson([still], random)
        assert lesson.pictures.shape == (4, 3, SIDE_PX, SIDE_PX, 3)
        for picture, mask in zip(
            lesson.pictures.reshape(-1, SIDE_PX, SIDE_PX, 3), lesson.masks.flatten(0, 1).numpy(), strict=True
        ):
            red = picture[..., 0].astype(int) > picture[..., 2].astype(int) + 90
            assert (mask & red).sum() >= 0.8 * mask.sum()
            assert (mask & red).sum() >= 0.8 * red.sum()


def test_the_ground_of_a_still_is_without_the_object() -> None:
    still = still_of(*disc(200, 40))
    assert np.abs(still.ground.astype(int) - 120).max() <= 8
    assert still.mask.sum() == pytest.approx(80**2, rel=0.05)


@pytest.mark.parametrize(("side", "radius"), [(64, 1), (64, 90), (1200, 500)])
def test_objects_of_any_size_make_lessons(side: int, radius: int) -> None:
    assert make_lesson([still_of(*disc(side, radius))], np.random.default_rng(0)).masks.any()


def test_what_was_learnt_holds_on_looks_not_learnt_from(
    adapted: MaskRefiner, features: RecognitionFeatures, world: World
) -> None:
    still, random = still_of(world.frames[0], world.masks[0]), np.random.default_rng(99)
    with torch.no_grad():
        losses = [
            [
                float(lesson_loss(refiner, look_at(lesson, features), lesson)[0])
                for refiner in (bundled_refiner(), adapted)
            ]
            for lesson in (make_lesson([still], random) for _ in range(4))
        ]
    before, after = np.mean(losses, axis=0)
    assert after < 0.95 * before


def test_the_same_frames_give_the_same_weights_and_the_bundled_ones_stay(
    adapted: MaskRefiner, features: RecognitionFeatures, world: World
) -> None:
    before = {name: value.clone() for name, value in bundled_refiner().state_dict().items()}
    seen: list[tuple[str, int, int]] = []
    again = adapt(
        bundled_refiner(),
        features,
        [(world.frames[0], world.masks[0])],
        STEPS,
        lambda stage, done, total: seen.append((stage, done, total)),
    )
    assert seen == [("learn", step, STEPS) for step in range(1, STEPS + 1)]
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in adapted.state_dict().items())
    assert all(torch.equal(value, before[name]) for name, value in bundled_refiner().state_dict().items())
    assert not any(parameter.requires_grad for parameter in again.parameters())


def test_without_an_object_or_steps_nothing_is_learnt(features: RecognitionFeatures, world: World) -> None:
    refiner, nothing = bundled_refiner(), np.zeros_like(world.masks[0])
    assert adapt(refiner, features, [(world.frames[0], nothing)], STEPS) is refiner
    assert adapt(refiner, features, [(world.frames[0], world.masks[0])], 0) is refiner


def test_a_correction_is_learnt_from_too(
    features: RecognitionFeatures, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt = count_lessons(monkeypatch)
    tracker = build_tracker(MaskConfig(tracker="refined"), features)
    tracker.start(world.frames[0], world.masks[0])
    tracker.start(world.frames[3], world.masks[3])
    assert learnt == [1, 2]
