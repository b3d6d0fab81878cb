"""Figures of flow estimators: what a known flow scores, and the layout of DAVIS."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from osor_video.errors import ConfigError
from osor_video.flow.estimate import DisFlow, FlowPair
from osor_video.masks.features import RecognitionFeatures
from osor_video.tensors import Mask, Picture, to_uint8
from osor_video.training.__main__ import main
from osor_video.training.flow import first_network
from osor_video.training.loop import TrainingRun
from osor_video.training.photos import read_picture
from osor_video.training.sequences import Sequence
from osor_video.training.validate_flow import (
    beats_dis,
    flow_errors,
    flow_grid,
    photometric_error,
    read_davis,
    tracking_j,
)
from tests.training.test_flow import BETTER, WORSE, flow_config
from tests.world import texture

SIZE_HW = (128, 160)


@dataclass
class Told:
    """An estimator that says one motion, whatever it sees."""

    x: float
    y: float
    name: str = "told"

    def encode(self, picture: Picture) -> Any:
        return picture.shape[:2]

    def match(self, a: Any, b: Any) -> FlowPair:
        forward = torch.tensor([float(self.x), float(self.y)]).view(1, 2, 1, 1).expand(1, 2, *a)
        return FlowPair(forward, -forward)


def moving_square() -> Sequence:
    """Two frames of one texture that goes 4 px to the right, and a square that goes 4 px down on it."""
    whole = to_uint8(texture((SIZE_HW[0], SIZE_HW[1] + 4), 3))
    cleans = np.stack([whole[:, 4:], whole[:, :-4]])
    shots, labels = cleans.copy(), np.zeros((2, *SIZE_HW), np.uint8)
    square = to_uint8(texture((24, 24), 4))
    for t, top in enumerate((40, 44)):
        shots[t, top : top + 24, 60:84], labels[t, top : top + 24, 60:84] = square, 1
    right, down = (np.array(vector, np.float32) for vector in ([4, 0], [0, 4]))
    background = np.broadcast_to(right, (1, *SIZE_HW, 2))
    flows = [np.where(labels[t][None, ..., None] > 0, down, right) for t in (0, 1)]
    occluded = np.zeros((1, *SIZE_HW), bool)
    occluded[..., -4:] = True
    return Sequence(
        shots, cleans, labels, labels > 0, flows[0], -flows[1], background, -background, occluded, occluded
    )


def test_errors_are_counted_on_ground_and_objects() -> None:
    sequence = moving_square()
    share = 24 * 24 / (SIZE_HW[0] * SIZE_HW[1])
    figures = flow_errors(Told(4, 0), [sequence, sequence])
    assert figures["epe_objects_px"] == pytest.approx(32**0.5)
    assert figures["epe_px"] == pytest.approx(share * 32**0.5)
    assert figures["epe_seen_px"] == pytest.approx(share * 32**0.5 * 160 / 156)
    still = flow_errors(Told(0, 0), [sequence])
    assert still["epe_px"] == pytest.approx(4, rel=1e-5)


def test_dis_finds_what_moves_as_a_whole() -> None:
    assert flow_errors(DisFlow(128), [moving_square()])["epe_px"] < 0.8


def test_the_right_flow_explains_the_frames() -> None:
    frames = list(moving_square().cleans)
    assert photometric_error(Told(4, 0), frames) == pytest.approx(0, abs=1e-3)
    by_hand = np.abs(frames[1].astype(float) - frames[0]).mean()
    assert photometric_error(Told(0, 0), frames) == pytest.approx(by_hand, abs=1e-3)


def test_a_square_is_tracked(features: RecognitionFeatures) -> None:
    sequence = moving_square()
    found = tracking_j(DisFlow(128), features, list(sequence.shots), list(sequence.masks))
    assert 0.7 < found <= 1


def test_a_run_has_to_beat_dis_on_both_figures() -> None:
    assert beats_dis(BETTER)
    assert not beats_dis(WORSE)
    assert not beats_dis({"DIS": BETTER["run"], "run": BETTER["run"]})


def test_flows_are_shown_on_one_scale() -> None:
    grid = flow_grid({"told": Told(4, 0), "DIS": DisFlow(128)}, [moving_square()])
    assert grid.shape == (SIZE_HW[0], 5 * SIZE_HW[1], 3)
    true, told = (grid[20, 10 + place * SIZE_HW[1]] for place in (2, 3))
    assert np.array_equal(true, told)
    assert not np.array_equal(true, grid[50, 70 + 2 * SIZE_HW[1]])


def write_davis(folder: Path, name: str, frames: list[Picture], masks: list[Mask]) -> Path:
    for place in ("JPEGImages", "Annotations"):
        (folder / place / "480p" / name).mkdir(parents=True)
    for index, (frame, mask) in enumerate(zip(frames, masks, strict=True)):
        cv2.imwrite(str(folder / f"JPEGImages/480p/{name}/{index:05d}.jpg"), frame[..., ::-1])
        cv2.imwrite(str(folder / f"Annotations/480p/{name}/{index:05d}.png"), mask.astype(np.uint8) * 255)
    return folder


def test_davis_is_read_up_to_a_limit(tmp_path: Path) -> None:
    sequence = moving_square()
    frames, masks = list(sequence.shots) * 2, list(sequence.masks) * 2
    folder = write_davis(tmp_path, "square", frames[:3], masks[:3])
    frames, masks = read_davis(folder, "square", 2)
    assert (len(frames), len(masks)) == (2, 2)
    assert np.array_equal(masks[1], sequence.masks[1])
    assert len(read_davis(folder, "square", None)[0]) == 3
    with pytest.raises(ConfigError, match="holds 1 frames of square"):
        read_davis(folder, "square", 1)


def test_the_command_writes_figures_and_pictures(
    photos_folder: Path, cutouts_folder: Path, tmp_path: Path
) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    TrainingRun(first_network(flow_config()), flow_config().loop, run).save()
    sequence = moving_square()
    davis = write_davis(tmp_path / "davis", "square", list(sequence.shots), list(sequence.masks))
    command = ["validate-flow", f"--photos={photos_folder}", f"--cutouts={cutouts_folder}", f"--out={out}"]
    assert main([*command, f"--run={run}", "--pairs=2", f"--davis={davis}"]) == 0
    figures = json.loads((out / "figures.json").read_text())
    assert set(figures) == {"DIS", "run"}
    assert set(figures["run"]) == {
        "epe_px",
        "epe_seen_px",
        "epe_objects_px",
        "photometric",
        "photometric_square",
    }
    # Fresh weights know nothing.
    assert figures["run"]["epe_px"] > figures["DIS"]["epe_px"]
    assert read_picture(out / "flows.png").shape == (2 * 144, 5 * 256, 3)
    assert main([*command, f"--run={tmp_path / 'none'}"]) == 2
    assert main([*command, f"--davis={tmp_path}"]) == 2
