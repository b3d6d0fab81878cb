"""Masks measured on a DAVIS-like folder: J, recall and decay by hand, and a real sequence of the synthetic world."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from osor_video.apps.cli import app
from osor_video.benchmark.davis import Tracked, counted, open_sequences
from osor_video.errors import ConfigError
from osor_video.shapes import overlap
from tests.world import World

FRAMES = 7


@pytest.fixture(scope="module")
def davis(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("davis")
    for part in ("JPEGImages", "Annotations"):
        (folder / part / "480p/world").mkdir(parents=True)
    for index in range(FRAMES):
        picture = cv2.cvtColor(world.frames[index], cv2.COLOR_RGB2BGR)
        cv2.imwrite(
            str(folder / f"JPEGImages/480p/world/{index:05d}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 98]
        )
        mask = world.masks[index].astype(np.uint8) * 255
        cv2.imwrite(str(folder / f"Annotations/480p/world/{index:05d}.png"), mask)
    return folder


def test_overlap_by_hand() -> None:
    a, b = np.array([[True, True, False]]), np.array([[False, True, True]])
    assert overlap(a, b) == pytest.approx(1 / 3)
    assert overlap(a, ~a) == 0
    assert overlap(a & ~a, a & ~a) == 1


def test_the_given_frame_and_the_last_have_no_say() -> None:
    run = Tracked("x", (1.0, 0.9, 0.8, 0.6, 0.4, 0.0), (0.0, 0.1, 0.2, 0.1, 0.0, 1.0), (1.0,) * 6, 3.0)
    assert run.mean_left == pytest.approx(0.1)
    assert run.mean == pytest.approx((0.9 + 0.8 + 0.6 + 0.4) / 4)
    assert run.recall == pytest.approx(3 / 4)
    assert run.decay == pytest.approx(0.9 - 0.4)


def test_the_command_tracks_a_sequence_and_writes_the_table(davis: Path, tmp_path: Path) -> None:
    table = tmp_path / "masks.md"
    done = CliRunner().invoke(
        app, ["bench", "--davis", str(davis), "--flow", "dis", "--markdown", str(table)]
    )
    assert done.exit_code == 0, done.output
    header, _, first, mean = table.read_text().splitlines()
    assert header == "| sequence | frames | mean J | recall | decay | left | s a frame |"
    name, frames, found, recall, decay, left, seconds = (cell.strip() for cell in first.strip("|").split("|"))
    assert (name, frames, recall) == ("world", "7", "1.000")
    assert 0.9 < float(found) < 1
    assert abs(float(decay)) < 0.1
    assert 0 <= float(left) < 0.02
    assert float(seconds) > 0
    assert mean == first.replace("world", "mean")


def test_a_correction_is_measured_over_the_frames_that_nobody_gave(davis: Path, tmp_path: Path) -> None:
    table = tmp_path / "masks.md"
    answer = CliRunner().invoke(
        app, ["bench", "--davis", str(davis), "--corrections", "--flow", "dis", "--markdown", str(table)]
    )
    assert answer.exit_code == 0, answer.output
    text = table.read_text()
    line = text[text.index("its J") :].splitlines()[2]
    name, frame, wrong, before, after = [cell.strip() for cell in line.strip("|").split("|")]
    assert name == "world"
    assert 0 < int(frame) < 7
    assert float(wrong) <= float(before) <= float(after) + 0.02


def test_frames_that_were_given_have_no_say() -> None:
    run = Tracked("x", (1.0, 0.9, 1.0, 0.6, 0.4, 0.0), (0.0,) * 6, (1.0,) * 6, 3.0, (0, 2))
    assert run.judged == (0.9, 0.6, 0.4)
    assert run.worst == 4
    assert counted(run.overlaps, (0, 4)) == (0.9, 1.0, 0.6)


def test_sam2_is_measured_likewise(davis: Path, tmp_path: Path) -> None:
    from tests.tiny_sam import tiny_sam2  # noqa: PLC0415  (its library takes seconds to import)

    weights, table = tiny_sam2(tmp_path / "sam2"), tmp_path / "masks.md"
    arguments = ["--tracker", "sam2", "--set", f"mask.sam2_model={weights}", "--flow", "dis"]
    done = CliRunner().invoke(app, ["bench", "--davis", str(davis), *arguments, "--markdown", str(table)])
    assert done.exit_code == 0, done.output
    name, frames, found, *_ = (
        cell.strip() for cell in table.read_text().splitlines()[2].strip("|").split("|")
    )
    assert (name, frames) == ("world", "7")
    # Random weights: a mask of anything.
    assert 0 <= float(found) < 0.9


def test_what_is_missing_is_named(davis: Path, tmp_path: Path) -> None:
    assert [sequence.name for sequence in open_sequences(davis)] == ["world"]
    with pytest.raises(ConfigError, match=r"no sequence 'dog' .*expected one of: world"):
        open_sequences(davis, ["dog"])
    with pytest.raises(
        ConfigError, match="JPEGImages is no folder; give a folder with JPEGImages/ and Annotations/"
    ):
        open_sequences(tmp_path)
    shutil.copytree(davis, tmp_path / "davis")
    (tmp_path / "davis/Annotations/480p/world/00002.png").unlink()
    with pytest.raises(ConfigError, match="has 7 pictures and 6 masks"):
        open_sequences(tmp_path / "davis")
    shutil.rmtree(tmp_path / "davis/Annotations/480p/world")
    with pytest.raises(ConfigError, match="holds no sequences"):
        open_sequences(tmp_path / "davis")
