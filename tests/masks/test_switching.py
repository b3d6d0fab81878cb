"""The tracker that calls the trained network only where the mask is to be doubted."""

from __future__ import annotations

import numpy as np
import pytest

from osor_video.config import MaskConfig
from osor_video.masks import switching
from osor_video.masks.build import build_tracker
from osor_video.masks.features import RecognitionFeatures
from osor_video.masks.switching import SwitchingTracker
from osor_video.masks.track import TrackedFrame
from osor_video.tensors import Picture
from tests.masks.following import count_lessons, led, steps_of
from tests.world import World, jaccard, night

CONFIG = MaskConfig(adapt_steps=0)


def built(features: RecognitionFeatures, config: MaskConfig = CONFIG) -> SwitchingTracker:
    tracker = build_tracker(config, features)
    assert isinstance(tracker, SwitchingTracker)
    return tracker


def same(some: list[TrackedFrame], others: list[TrackedFrame]) -> bool:
    return all(
        np.array_equal(a.mask, b.mask) and a.score == b.score for a, b in zip(some, others, strict=True)
    )


def covered(world: World, since: int) -> list[Picture]:
    """The world's frames, from ``since`` on hidden by something that stands before the object."""
    hidden = [frame.copy() for frame in world.frames]
    for frame, mask in zip(hidden[since:], world.masks[since:], strict=True):
        rows, columns = np.nonzero(mask)
        frame[rows.min() - 6 : rows.max() + 7, columns.min() - 6 : columns.max() + 7] = (40, 90, 60)
    return hidden


def test_what_is_easy_is_followed_as_without_it(features: RecognitionFeatures, world: World) -> None:
    tracker = built(features)
    plain = build_tracker(CONFIG.model_copy(update={"tracker": "propagate"}), features)
    assert same(led(tracker, world.frames, world.masks[0]), led(plain, world.frames, world.masks[0]))
    assert not tracker.doubted


def test_masks_in_doubt_are_found_by_the_trained_network(
    features: RecognitionFeatures, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(switching, "DRIFTING", 1.1)
    tracker = built(features)
    found = led(tracker, world.frames, world.masks[0])
    assert tracker.doubted
    overlaps = [jaccard(frame.mask, truth) for frame, truth in zip(found, world.masks, strict=True)]
    assert min(overlaps) > 0.75
    plain = build_tracker(CONFIG.model_copy(update={"tracker": "propagate"}), features)
    alike = led(plain, world.frames, world.masks[0])
    # Two frames are too few to doubt; from the third after the marked one on they are the other network's.
    assert same(found[:3], alike[:3])
    assert not any(np.array_equal(a.mask, b.mask) for a, b in zip(found[3:], alike[3:], strict=True))


def test_what_is_lost_in_the_middle_of_the_picture_is_looked_for(
    features: RecognitionFeatures, world: World
) -> None:
    hidden = covered(world, 2)[:5]
    frames = [*hidden, *world.frames[5:8]]
    tracker = built(features)
    found = led(tracker, frames, world.masks[0])
    assert tracker.doubted
    assert not found[4].mask.any()
    assert jaccard(found[-1].mask, world.masks[7]) > 0.75


def test_after_a_cut_nothing_is_looked_for(features: RecognitionFeatures, world: World) -> None:
    tracker = built(features)
    found = led(tracker, [*world.frames[:3], *night(3)], world.masks[0])
    assert not any(frame.mask.any() for frame in found[3:])
    assert not tracker.doubted
    assert not tracker.follows


@pytest.mark.parametrize("doubted", [0.0, 1.1])
def test_it_goes_on_where_another_stood(
    doubted: float, features: RecognitionFeatures, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = built(features)
    monkeypatch.setattr(switching, "DRIFTING", doubted)
    steps = steps_of(world.frames)
    whole.start(steps[0].picture, world.masks[0])
    for frame in steps[1:4]:
        whole.step(frame.picture, frame.flow)
    again = built(features)
    again.go_on(whole.state())
    assert again.doubted == whole.doubted == (doubted > 1)
    # Later doubts of the one that is not doubted yet are the same too.
    monkeypatch.setattr(switching, "DRIFTING", 1.1)
    both = [[tracker.step(frame.picture, frame.flow) for frame in steps[4:7]] for tracker in (whole, again)]
    assert same(*both)
    assert again.doubted


def test_it_goes_on_from_the_marked_frame(features: RecognitionFeatures, world: World) -> None:
    steps = steps_of([world.frames[0], *covered(world, 1)[1:3], *world.frames[3:6]])
    whole, again = built(features), built(features)
    whole.start(steps[0].picture, world.masks[0])
    again.go_on(whole.state())
    both = [[tracker.step(frame.picture, frame.flow) for frame in steps[1:]] for tracker in (whole, again)]
    assert same(*both)
    assert again.doubted


def test_a_correction_is_learnt_from_by_who_takes_over(
    features: RecognitionFeatures, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    learnt = count_lessons(monkeypatch)
    monkeypatch.setattr(switching, "DRIFTING", 1.1)
    tracker = built(features, MaskConfig())
    steps = steps_of(world.frames)
    tracker.start(steps[0].picture, world.masks[0])
    tracker.step(steps[1].picture, steps[1].flow)
    tracker.start(steps[2].picture, world.masks[2])
    for frame in steps[3:6]:
        tracker.step(frame.picture, frame.flow)
    tracker.start(steps[6].picture, world.masks[6])
    assert learnt == [2, 3]
