"""Masks at any frame of a real clip: backwards, between two, after a cut, and given for every frame."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest

from osor_video.analysis import core_of, hole_of, shots_of, ways_back, with_hole_boxes
from osor_video.config import Config, DecodeConfig, MaskConfig
from osor_video.flow.estimate import DisFlow
from osor_video.masks.features import RecognitionFeatures
from osor_video.masks.held import joined
from osor_video.masks.marks import Marks
from osor_video.masks.seed import ArraySeed
from osor_video.masks.track import hole
from osor_video.pipeline import VideoRemover
from osor_video.removal.remover import OneStepRemover
from osor_video.report import Stopwatch
from osor_video.tensors import Mask, Picture
from tests.test_pipeline import notes_like, write_clip
from tests.tiny import tiny_model
from tests.world import World, jaccard, make_world, night

CONFIG = Config(decode=DecodeConfig(decoder="pyav"), mask=MaskConfig(tracker="propagate"), window_frames=4)


@dataclass(frozen=True)
class Runner:
    """Follows masks through frames that have been a video."""

    remover: VideoRemover
    folder: Path

    def masks(self, frames: list[Picture], keys: dict[int, Mask]) -> tuple[list[Mask], list[float]]:
        clip = write_clip(self.folder / "clip.mp4", frames)
        marks = Marks(tuple((frame, ArraySeed(mask)) for frame, mask in keys.items()))
        masks, scores = zip(*self.remover.masks(clip, marks), strict=True)
        return list(masks), list(scores)


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory, features: RecognitionFeatures) -> Runner:
    folder = tmp_path_factory.mktemp("keyframes")
    remover = OneStepRemover(tiny_model(folder / "model"), CONFIG.removal, 0)
    return Runner(VideoRemover(DisFlow(160), features, remover, CONFIG), folder)


def test_from_the_last_frame_the_object_is_followed_backwards(runner: Runner, world: World) -> None:
    masks, scores = runner.masks(world.frames[:9], {8: world.masks[8]})
    assert np.array_equal(masks[8], world.masks[8])
    found = [jaccard(mask, truth) for mask, truth in zip(masks, world.masks[:9], strict=True)]
    assert min(found) > 0.85
    assert min(scores) > 0.6


def test_a_keyframe_repairs_what_an_occlusion_broke(runner: Runner, world: World) -> None:
    hidden = [*world.frames[:4], *world.plates[4:6], *world.frames[6:10]]
    first = {0: world.masks[0]}
    alone, scores = runner.masks(hidden, first)
    both, _ = runner.masks(hidden, first | {8: world.masks[8]})
    seen = [*range(1, 4), *range(6, 10)]
    before, after = ([jaccard(masks[t], world.masks[t]) for t in seen] for masks in (alone, both))
    assert min(scores[4:]) < 0.6
    assert np.mean(after) > np.mean(before)
    assert min(after) > 0.8
    assert np.array_equal(both[8], world.masks[8])
    assert np.array_equal(both[0], world.masks[0])


def test_a_mask_after_a_cut_goes_on_in_its_shot_both_ways(runner: Runner, world: World) -> None:
    frames = [*world.frames[:3], *night(5)]
    dark = make_world(5, seed=9).masks
    masks, _ = runner.masks(frames, {0: world.masks[0], 5: dark[2]})
    truth = [*world.masks[:3], *dark]
    assert min(jaccard(mask, true) for mask, true in zip(masks, truth, strict=True)) > 0.8
    assert np.array_equal(masks[5], dark[2])


def test_given_masks_are_taken_as_they_are_and_the_report_names_untouched_shots(
    runner: Runner, world: World, tmp_path: Path
) -> None:
    given = tmp_path / "masks"
    given.mkdir()
    wanted = [world.masks[t] if t < 3 else world.masks[t] & False for t in range(6)]
    for index, mask in enumerate(wanted):
        cv2.imwrite(str(given / f"{index:05d}.png"), mask.astype(np.uint8) * 255)
    clip = write_clip(tmp_path / "clip.mp4", [*world.frames[:3], *night(3)])
    seen: list[Mask] = []
    report = runner.remover.remove(
        clip, Marks(paths=(given,)), tmp_path / "o.mkv", on_mask=lambda _, mask: seen.append(mask)
    )
    assert all(np.array_equal(a, b) for a, b in zip(seen, wanted, strict=True))
    assert (report.cuts, report.untouched) == ([3], [3])
    assert report.mask_scores == [1.0] * 6
    assert set(report.mask_drift) == {"appearance", "area", "cycle", "validity", "extent"}


def test_ways_back_end_at_the_key_before_or_at_the_begin_of_the_shot() -> None:
    shots = [0] * 6 + [1] * 6
    assert ways_back([0], shots) == []
    assert ways_back([0, 4], shots) == [range(4, -1, -1)]
    assert ways_back([2, 4, 9], shots) == [range(2, -1, -1), range(4, 1, -1), range(9, 5, -1)]
    assert ways_back([6], shots) == []


def test_shots_are_those_of_the_first_pass(world: World) -> None:
    assert shots_of([*world.frames[:4], *night(3)], Stopwatch()) == [0] * 4 + [1] * 3


def test_opinions_on_one_object_are_blended_others_chosen(world: World) -> None:
    mask = world.masks[0]
    near = np.roll(mask, 3, axis=1)
    blended, alike = joined(world.frames[0], near, mask, 0.5)
    assert 0.5 < alike < 1
    assert jaccard(blended, mask) >= jaccard(near, mask)
    far = np.roll(mask, 60, axis=1)
    assert np.array_equal(joined(world.frames[0], mask, far, 0.6)[0], mask)
    assert np.array_equal(joined(world.frames[0], mask, far, 0.4)[0], far)
    assert joined(world.frames[0], mask, mask, 0.3)[1] == 1


def test_nothing_is_generated_in_the_outer_part_of_the_rim(world: World) -> None:
    notes = notes_like(world.masks[:1], [0])
    config = MaskConfig(grow=0.05, rim=0.02)
    core, whole = core_of(notes, 0, config), hole_of(notes, 0, config)
    assert np.array_equal(core, hole(world.masks[0], 0.03))
    assert (world.masks[0] <= core).all()
    assert core.sum() < whole.sum()
    assert np.array_equal(core_of(notes, 0, MaskConfig(rim=0)), hole_of(notes, 0, MaskConfig()))


def test_the_hole_takes_its_neighbours_in_the_shot_where_asked(world: World) -> None:
    notes = notes_like(world.masks[:6], [0, 0, 0, 1, 1, 1])
    plain, wide = MaskConfig(), MaskConfig(window_frames=1)
    assert np.array_equal(hole_of(notes, 2, plain), hole(world.masks[2], plain.grow))
    assert with_hole_boxes(notes, plain) == notes
    union = hole(world.masks[1] | world.masks[2], plain.grow)
    assert np.array_equal(hole_of(notes, 2, wide), union)
    rows, columns = np.flatnonzero(union.any(axis=1)), np.flatnonzero(union.any(axis=0))
    boxed = with_hole_boxes(notes, wide)[2].hole_box
    assert boxed is not None
    assert tuple(boxed) == (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1)


def test_a_smoothed_hole_fills_bays_and_loses_nothing() -> None:
    mask = np.zeros((100, 100), dtype=bool)
    mask[20:80, 20:80] = True
    mask[20:60, 48:51] = False
    smooth = hole(mask, 0.0, 0.03)
    assert smooth[45, 49]
    assert not hole(mask, 0.0)[45, 49]
    assert not (mask & ~smooth).any()
