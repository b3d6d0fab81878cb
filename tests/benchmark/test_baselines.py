"""The classical fills, and the time that one frame takes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from osor_video.benchmark.baselines import (
    MARGIN_PX,
    Baseline,
    FlowCopy,
    patchmatch,
    peers_for,
    telea,
    temporal_median,
)
from osor_video.benchmark.cases import TrueFrame
from osor_video.benchmark.metrics import LOSSLESS_DB, Scorer
from osor_video.benchmark.speed import measure_frame_ms
from osor_video.errors import ConfigError
from osor_video.shapes import dilate
from tests.tiny import tiny_model
from tests.world import World, make_world


@pytest.fixture
def frame() -> TrueFrame:
    """A white square on stripes that an exemplar fill can go on with."""
    stripes = np.repeat((np.arange(96) // 6 % 2 * 150 + 50)[None], 96, axis=0)
    clean = np.repeat(stripes[..., None], 3, axis=2).astype(np.uint8)
    mask = np.zeros((96, 96), bool)
    mask[36:60, 36:60] = True
    return TrueFrame(np.where(mask[..., None], 255, clean).astype(np.uint8), clean, mask)


def test_patchmatch_goes_on_with_the_pattern_where_telea_smears_it(frame: TrueFrame) -> None:
    errors = {
        fill.__name__: np.abs(fill(frame).astype(int) - frame.clean)[frame.mask].mean()
        for fill in (patchmatch, telea)
    }
    assert errors["patchmatch"] < 0.5 * errors["telea"]
    assert np.array_equal(patchmatch(frame), patchmatch(frame))


@pytest.mark.parametrize("fill", [patchmatch, telea])
def test_only_the_widened_mask_changes(fill: Baseline, frame: TrueFrame) -> None:
    outside = ~dilate(frame.mask, MARGIN_PX)
    assert np.array_equal(fill(frame)[outside], frame.shot[outside])


def true_frames_of(world: World) -> list[TrueFrame]:
    return [TrueFrame(*parts) for parts in zip(world.frames, world.plates, world.masks, strict=True)]


def test_flow_copy_holds_its_fill_where_telea_flickers() -> None:
    frames = true_frames_of(make_world(6, shadow=0))
    copy, scorers = FlowCopy(), (Scorer(), Scorer())
    for frame in frames:
        for scorer, filled in zip(scorers, (copy(frame), telea(frame)), strict=True):
            scorer.add(frame.shot, frame.clean, frame.mask, filled)
            assert np.array_equal(
                filled[~dilate(frame.mask, MARGIN_PX)], frame.shot[~dilate(frame.mask, MARGIN_PX)]
            )
    carried, alone = (scorer.scores() for scorer in scorers)
    assert carried.warping_error < 0.8 * alone.warping_error
    assert carried.psnr_outside == alone.psnr_outside == LOSSLESS_DB


def test_the_median_of_a_still_shot_is_what_the_object_uncovers() -> None:
    frames = true_frames_of(make_world(12, shadow=0, pan_xy=(0, 0)))
    fill = temporal_median(frames)
    covered = dilate(np.logical_and.reduce([frame.mask for frame in frames]), 4)
    for frame in frames:
        assert np.abs(fill(frame).astype(int) - frame.clean)[frame.mask & ~covered].mean() < 2


def test_peers_are_the_quick_ones_unless_all_are_asked_for(frame: TrueFrame) -> None:
    quick = ["input", "Telea per frame", "the plate, no grain", "the plate, new grain"]
    assert list(peers_for(lambda: [frame], every=False)) == quick
    assert {"temporal median", "flow copy"} < set(peers_for(lambda: [frame], every=True))


def test_without_patchmatch_the_next_step_is_said(frame: TrueFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "patchmatch", None)
    with pytest.raises(ConfigError, match=r'not installed: pip install "osor-video\[validate\]"'):
        patchmatch(frame)


def test_one_frame_takes_time_and_a_fitting_side(tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    assert 0 < measure_frame_ms(model, 64) < 60_000
    with pytest.raises(ValueError, match="multiples of 64"):
        measure_frame_ms(model, 72)
