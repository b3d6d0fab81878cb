"""The tracker that reads matching with its trained refiner, against the true masks of the synthetic world."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from osor_video.config import MaskConfig
from osor_video.errors import WeightsError
from osor_video.masks.build import build_tracker
from osor_video.masks.features import RecognitionFeatures
from osor_video.masks.refined import RefinedTracker
from osor_video.masks.refiner import bundled_refiner
from osor_video.masks.track import TrackedFrame
from osor_video.tensors import Mask, Picture
from tests.masks.following import led
from tests.world import World, jaccard, night

CONFIG = MaskConfig(tracker="refined", adapt_steps=0)


def track(features: RecognitionFeatures, frames: list[Picture], mask: Mask) -> list[TrackedFrame]:
    tracker = build_tracker(CONFIG, features)
    assert isinstance(tracker, RefinedTracker)
    return led(tracker, frames, mask)


@pytest.fixture(scope="module")
def tracked(features: RecognitionFeatures, world: World) -> list[TrackedFrame]:
    return track(features, world.frames, world.masks[0])


def test_the_object_is_found_in_every_frame(tracked: list[TrackedFrame], world: World) -> None:
    scores = [jaccard(found.mask, truth) for found, truth in zip(tracked, world.masks, strict=True)]
    assert np.mean(scores[1:]) > 0.85
    assert min(scores) > 0.75


def test_the_same_frames_give_the_same_masks(
    tracked: list[TrackedFrame], features: RecognitionFeatures, world: World
) -> None:
    again = track(features, world.frames[:4], world.masks[0])
    assert all(np.array_equal(a.mask, b.mask) for a, b in zip(again, tracked, strict=False))


def test_a_lost_object_is_found_again(features: RecognitionFeatures, world: World) -> None:
    frames = [*world.frames[:3], *night(3), *world.frames[3:6]]
    found = track(features, frames, world.masks[0])
    assert not any(frame.mask.any() for frame in found[3:6])
    for frame, truth in zip(found[6:], world.masks[3:6], strict=True):
        assert jaccard(frame.mask, truth) > 0.75


def test_nothing_is_found_again_where_it_is_not(features: RecognitionFeatures, world: World) -> None:
    tracker = build_tracker(CONFIG, features)
    tracker.start(world.frames[0], world.masks[0])
    for plate in world.plates[1:4]:
        assert not tracker.step(plate, None).mask.any()


def test_what_comes_nearer_is_looked_at_in_another_scale(features: RecognitionFeatures, world: World) -> None:
    """The camera zooms in: the object grows by more than half, and stays covered."""
    height, width = world.frames[0].shape[:2]
    ys, xs = np.nonzero(world.masks[0])
    frames, masks = [], []
    for zoom in (1.0, 1.15, 1.3, 1.45, 1.6):
        around = cv2.getRotationMatrix2D((float(xs.mean()), float(ys.mean())), 0, zoom)
        frames.append(np.asarray(cv2.warpAffine(world.frames[0], around, (width, height)), np.uint8))
        grown = cv2.warpAffine(world.masks[0].astype(np.uint8), around, (width, height))
        masks.append(np.asarray(grown > 0))
    found = track(features, frames, masks[0])
    assert all(jaccard(frame.mask, truth) > 0.75 for frame, truth in zip(found, masks, strict=True))


def test_damaged_weights_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "refiner.safetensors").write_bytes(b"not weights")
    monkeypatch.setattr("osor_video.masks.refiner.BUNDLED", tmp_path / "refiner.safetensors")
    bundled_refiner.cache_clear()
    with pytest.raises(WeightsError, match="install osor-video again"):
        bundled_refiner()
    bundled_refiner.cache_clear()
