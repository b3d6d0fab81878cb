"""SAM2 through transformers' own classes at tiny size: random weights find nothing, but every part of the way is real."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from osor_video.config import MaskConfig
from osor_video.errors import ConfigError, MaskError, WeightsError
from osor_video.flow.estimate import FlowPair
from osor_video.masks.build import build_tracker, check_sam2, draws_with_sam2, object_of
from osor_video.masks.features import RecognitionFeatures
from osor_video.masks.sam import Sam2, open_sam2, sam_cut_out
from osor_video.masks.sam_track import Sam2Tracker
from osor_video.masks.seed import BoxSeed, PolygonSeed
from osor_video.masks.switching import SwitchingTracker
from osor_video.masks.track import MaskTracker, TrackedFrame
from osor_video.tensors import Mask, Picture
from tests.tiny_sam import tiny_sam2
from tests.world import World

FRAMES = 30
STILL = FlowPair(torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 8, 8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sam2(tmp_path_factory.mktemp("sam2") / "tiny")


@pytest.fixture(scope="module")
def sam2(folder: Path) -> Sam2:
    return open_sam2(str(folder))


@pytest.fixture(scope="module")
def frames(world: World) -> list[Picture]:
    """The world's frames there and back again."""
    there = [frame[:96, :144] for frame in world.frames]
    return ([*there, *there[::-1]] * 3)[:FRAMES]


@pytest.fixture(scope="module")
def mask(world: World) -> Mask:
    return world.masks[0][:96, :144]


class Hoarder(Sam2Tracker):
    """The slow twin: keeps all that a session keeps."""

    def _forget(self) -> None:
        pass


def follow(tracker: Sam2Tracker, frames: list[Picture], mask: Mask) -> Iterator[TrackedFrame]:
    yield tracker.start(frames[0], mask)
    for frame in frames[1:]:
        yield tracker.step(frame, STILL)


def held_bytes(tracker: Sam2Tracker) -> int:
    """Bytes of all tensors that the tracker's session holds."""
    found: dict[int, int] = {}
    ahead = [vars(tracker._session), vars(tracker._session.cache)]
    while ahead:
        value = ahead.pop()
        if isinstance(value, torch.Tensor):
            found[id(value)] = value.numel() * value.element_size()
        elif isinstance(value, dict):
            ahead.extend(value.values())
        elif isinstance(value, list | tuple):
            ahead.extend(value)
    return sum(found.values())


def test_thirty_frames_in_the_memory_of_few_and_nothing_needed_is_forgotten(
    sam2: Sam2, frames: list[Picture], mask: Mask
) -> None:
    lean, hoarder = Sam2Tracker(sam2), Hoarder(sam2)
    held, tracked = [], []
    for found, kept in zip(follow(lean, frames, mask), follow(hoarder, frames, mask), strict=True):
        held.append(held_bytes(lean))
        tracked.append(found)
        assert np.array_equal(found.mask, kept.mask)
        assert found.score == kept.score
    assert len(tracked) == FRAMES
    assert all(found.mask.shape == mask.shape and found.mask.dtype == bool for found in tracked)
    assert all(0 <= found.score <= 1 for found in tracked)
    assert tracked[0] == TrackedFrame(mask, 1.0)
    # The memory is full after as many frames as have a pointer (5 here), and grows no more.
    full = max(held[:6])
    assert max(held) <= full + 1024
    assert held_bytes(hoarder) > 4 * full


def test_the_same_frames_give_the_same_masks(sam2: Sam2, frames: list[Picture], mask: Mask) -> None:
    first, again = (list(follow(Sam2Tracker(sam2), frames[:5], mask)) for _ in range(2))
    assert all(
        np.array_equal(a.mask, b.mask) and a.score == b.score for a, b in zip(first, again, strict=True)
    )


def test_the_first_mask_is_remembered(sam2: Sam2, frames: list[Picture], mask: Mask) -> None:
    def logits(marked: Mask) -> Any:
        session = sam2.begin(mask.shape, input_masks=marked)
        sam2.look(session, frames[0])
        return sam2.look(session, frames[1]).logits

    assert logits(mask).shape == mask.shape
    assert not np.allclose(logits(mask), logits(~mask), atol=1e-6)


def test_after_a_cut_it_has_to_be_sure_to_have_found_the_object_again(
    tmp_path: Path, sam2: Sam2, frames: list[Picture], mask: Mask
) -> None:
    assert Sam2Tracker(sam2).follows
    sure, unsure = Sam2Tracker(sam2), Sam2Tracker(open_sam2(str(tiny_sam2(tmp_path, quality=-1.0))))
    for tracker in (sure, unsure):
        tracker.start(frames[0], mask)
        assert tracker.step(frames[1], STILL).mask.any()
    found = sure.step(frames[2], None)
    assert found.mask.any()
    assert found.score > 0.9
    lost = [unsure.step(frames[2], None), unsure.step(frames[3], STILL)]
    assert not any(frame.mask.any() for frame in lost)
    assert all(0.5 < frame.score < 0.9 for frame in lost)
    assert unsure.follows


def test_an_object_that_is_away_is_not_masked(tmp_path: Path, frames: list[Picture], mask: Mask) -> None:
    tracker = Sam2Tracker(open_sam2(str(tiny_sam2(tmp_path, presence=-4.0))))
    tracker.start(frames[0], mask)
    away = tracker.step(frames[1], STILL)
    assert not away.mask.any()
    assert away.score > 0.9
    assert tracker.follows


def test_a_box_and_points_are_heard(sam2: Sam2, frames: list[Picture]) -> None:
    box = (20, 20, 30, 40)
    found = sam_cut_out(frames[0], sam2, box_xywh=box)
    assert found.shape == frames[0].shape[:2]
    assert found.dtype == bool
    again = sam_cut_out(frames[0], sam2, box_xywh=box)
    assert np.array_equal(found, again)
    for prompt in (
        {"inside_xy": [(30, 40)]},
        {"box_xywh": box, "inside_xy": [(30, 40)], "outside_xy": [(5, 5)]},
    ):
        assert sam_cut_out(frames[0], sam2, **prompt).any()
    sessions = [
        sam2.begin((96, 144), input_boxes=[[list(corners)]])
        for corners in ((20, 20, 50, 60), (90, 5, 130, 30))
    ]
    first, second = (sam2.look(session, frames[0]).logits for session in sessions)
    assert not np.allclose(first, second, atol=1e-6)
    with pytest.raises(MaskError, match="given no box and no point on the object"):
        sam_cut_out(frames[0], sam2, outside_xy=[(5, 5)])


def test_a_box_is_outlined_by_whom_the_configuration_names(
    folder: Path, tmp_path: Path, frames: list[Picture], sam2: Sam2
) -> None:
    box = BoxSeed((20, 20, 30, 40))
    corner = PolygonSeed(((20, 20), (50, 25), (45, 60)))
    grabcut = MaskConfig(seed="grabcut", tracker="sam2", sam2_model=str(folder))
    both = MaskConfig(tracker="sam2", sam2_model=str(folder))
    assert [draws_with_sam2(config) for config in (MaskConfig(), MaskConfig(seed="sam2"), grabcut, both)] == [
        False,
        True,
        False,
        True,
    ]
    assert np.array_equal(
        object_of(box, frames[0], both), sam_cut_out(frames[0], sam2, box_xywh=(20, 20, 30, 40))
    )
    assert np.array_equal(object_of(box, frames[0], grabcut), box.object_in(frames[0]))
    assert np.array_equal(object_of(corner, frames[0], both), corner.object_in(frames[0]))
    nothing = both.model_copy(update={"sam2_model": str(tiny_sam2(tmp_path, presence=-4.0))})
    with pytest.raises(MaskError, match=r"finds no object at the box 20,20,30,40\. .*mask\.seed=grabcut"):
        object_of(box, frames[0], nothing)


def test_the_tracker_is_whom_the_configuration_names(folder: Path) -> None:
    features = RecognitionFeatures(torch.nn.Identity(), torch.device("cpu"))
    assert isinstance(build_tracker(MaskConfig(), features), SwitchingTracker)
    assert isinstance(build_tracker(MaskConfig(tracker="propagate"), features), MaskTracker)
    named = MaskConfig(tracker="sam2", sam2_model=str(folder))
    assert isinstance(build_tracker(named, features), Sam2Tracker)


def test_missing_weights_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name in ("nobody/has-this", str(tmp_path / "none")):
        with pytest.raises(
            WeightsError, match=r"no folder, not in the hub's cache, .*mask.sam2_model=FOLDER"
        ):
            open_sam2(name)
    with pytest.raises(WeightsError, match=r"holds no readable SAM2 video model \(no config\.json"):
        open_sam2(str(tmp_path))
    check_sam2(MaskConfig())
    for config in (MaskConfig(tracker="sam2"), MaskConfig(seed="sam2")):
        with pytest.raises(WeightsError):
            check_sam2(config.model_copy(update={"sam2_model": str(tmp_path)}))


def test_weights_of_another_kind_and_half_ones_are_refused(folder: Path, tmp_path: Path) -> None:
    for part in folder.iterdir():
        (tmp_path / part.name).write_bytes(part.read_bytes())
    weights = load_file(folder / "model.safetensors")
    save_file(
        {name: value for name, value in weights.items() if not name.startswith("memory_attention")},
        tmp_path / "model.safetensors",
        {"format": "pt"},
    )
    with pytest.raises(WeightsError, match=r"lack \d+ tensors, the first memory_attention"):
        open_sam2(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="holds no readable SAM2 video model"):
        open_sam2(str(tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "clip"}))
    with pytest.raises(WeightsError, match="a model of the kind 'clip', expected 'sam2_video'"):
        open_sam2(str(tmp_path))


def test_a_missing_package_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"transformers, 4.56 or newer: install osor-video\[sam\]"):
        open_sam2(str(tmp_path))
