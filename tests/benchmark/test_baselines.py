"""The classical fills, and the time that one frame takes."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from osor_video.benchmark.baselines import MARGIN_PX, Baseline, patchmatch, telea
from osor_video.benchmark.cases import TrueFrame
from osor_video.benchmark.speed import measure_frame_ms
from osor_video.errors import ConfigError
from osor_video.shapes import dilate
from tests.tiny import tiny_model


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


def test_without_patchmatch_the_next_step_is_said(frame: TrueFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "patchmatch", None)
    with pytest.raises(ConfigError, match=r'not installed: pip install "osor-video\[validate\]"'):
        patchmatch(frame)


def test_one_frame_takes_time_and_a_fitting_side(tmp_path: Path) -> None:
    model = tiny_model(tmp_path)
    assert 0 < measure_frame_ms(model, 64) < 60_000
    with pytest.raises(ValueError, match="multiples of 64"):
        measure_frame_ms(model, 72)
