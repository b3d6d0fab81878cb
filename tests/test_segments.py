"""A clip in parts: cut at shots and within one, finished apart in any order, joined to the bytes of a run over the whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from osor_video.config import Config
from osor_video.errors import ConfigError
from osor_video.flow.estimate import DisFlow
from osor_video.masks.features import RecognitionFeatures
from osor_video.masks.marks import Marks
from osor_video.masks.seed import ArraySeed
from osor_video.pipeline import VideoRemover
from osor_video.removal.remover import OneStepRemover
from osor_video.segments import finish_part, follow_clip, join_parts, parts_of
from osor_video.work.folder import OtherRunError
from tests.test_pipeline import write_clip
from tests.test_resume import CONFIG
from tests.tiny import tiny_model
from tests.world import World, night

FRAMES, SECOND = 20, 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("segments")


@pytest.fixture(scope="module")
def remover(folder: Path, features: RecognitionFeatures) -> VideoRemover:
    return with_settings(folder, features)


def with_settings(folder: Path, features: RecognitionFeatures, **values: Any) -> VideoRemover:
    config = Config.model_validate(CONFIG.model_dump() | values)
    return VideoRemover(
        DisFlow(160), features, OneStepRemover(tiny_model(folder / "model"), config.removal, 0), config
    )


@pytest.fixture(scope="module")
def clip(folder: Path, world: World) -> Path:
    """A shot, and another, with sound."""
    return write_clip(folder / "clip.mp4", [*world.frames[: FRAMES - SECOND], *night(SECOND)], sound=True)


@pytest.fixture(scope="module")
def marks(world: World) -> Marks:
    last = ArraySeed(world.masks[1])
    return Marks(((0, ArraySeed(world.masks[0])), (FRAMES - SECOND, last)))


@pytest.fixture(scope="module")
def whole(remover: VideoRemover, clip: Path, marks: Marks, folder: Path) -> bytes:
    output = folder / "whole.mp4"
    remover.remove(clip, marks, output)
    return output.read_bytes()


def in_parts(
    remover: VideoRemover, clip: Path, marks: Marks, output: Path, parts: list[tuple[int, int]]
) -> list[str]:
    for part in reversed(parts):
        finish_part(remover, clip, marks, output, part)
    join_parts(remover, clip, marks, output, parts)
    return remover.remove(clip, marks, output, unfinished="resume").notes


@pytest.mark.parametrize("fill", ["auto", "diffusion", "plate"])
def test_parts_give_the_bytes_of_the_whole(
    fill: str, folder: Path, features: RecognitionFeatures, clip: Path, marks: Marks, tmp_path: Path
) -> None:
    """Cut at the shot, at 14, and within a shot: one cut on an anchor of the carried latent (3), one beside it (8)."""
    remover = with_settings(folder, features, fill=fill)
    remover.remove(clip, marks, tmp_path / "whole.mp4")
    output = tmp_path / "out.mp4"
    followed = follow_clip(remover, clip, marks, output)
    assert followed.shots == [0] * (FRAMES - SECOND) + [1] * SECOND
    assert not followed.finished
    assert followed.seconds["mask"] > 0
    parts = [(0, 3), (3, 8), (8, FRAMES - SECOND), (FRAMES - SECOND, FRAMES)]
    notes = in_parts(remover, clip, marks, output, parts)
    assert output.read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    assert notes[-1] == f"gone on with an unfinished run: every frame followed, {FRAMES} finished before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "whole.mp4"]


def test_the_carried_latent_matters_at_a_seam(
    remover: VideoRemover,
    clip: Path,
    marks: Marks,
    whole: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without it the seam within a shot would show: the test above could fail."""
    from osor_video.restore import Carry  # noqa: PLC0415

    output = tmp_path / "out.mp4"
    follow_clip(remover, clip, marks, output)
    monkeypatch.setattr("osor_video.segments._warmed", lambda *_: Carry())
    in_parts(remover, clip, marks, output, [(0, 8), (8, FRAMES)])
    assert output.read_bytes() != whole


def test_a_part_that_was_cut_off_goes_on(
    remover: VideoRemover,
    clip: Path,
    marks: Marks,
    whole: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output, parts = tmp_path / "out.mp4", [(0, 5), (5, FRAMES)]
    follow_clip(remover, clip, marks, output)

    def cut(stage: str, done: int, total: int) -> None:
        if done >= 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        finish_part(remover, clip, marks, output, parts[1], progress=cut)
    with monkeypatch.context() as patched:
        patched.setattr("osor_video.segments._warmed", lambda *_: pytest.fail("it begins anew"))
        heard: list[int] = []
        finish_part(
            remover, clip, marks, output, parts[1], progress=lambda stage, done, total: heard.append(done)
        )
        assert heard[0] > 7
        assert finish_part(remover, clip, marks, output, parts[1]) == {}
    # The first pass is not run again either, and a join before all parts are whole leaves them alone.
    monkeypatch.setattr(
        "osor_video.analysis.camera_step", lambda *_: pytest.fail("the first pass runs again")
    )
    assert follow_clip(remover, clip, marks, output).shots == [0] * (FRAMES - SECOND) + [1] * SECOND
    in_parts(remover, clip, marks, output, parts)
    assert output.read_bytes() == whole


def test_parts_of_another_run_are_refused(
    remover: VideoRemover,
    folder: Path,
    features: RecognitionFeatures,
    clip: Path,
    marks: Marks,
    tmp_path: Path,
) -> None:
    output = tmp_path / "out.mp4"
    with pytest.raises(OtherRunError, match="is not there"):
        finish_part(remover, clip, marks, output, (0, 5))
    follow_clip(remover, clip, marks, output)
    other = with_settings(folder, features, mask={"grow": 0.05})
    with pytest.raises(OtherRunError, match=r"mask\.grow was 0\.016, is 0\.05"):
        finish_part(other, clip, marks, output, (0, 5))


@pytest.mark.parametrize(
    ("shots", "length", "batch", "parts"),
    [
        ([50, 50], 50, 1, [(0, 50), (50, 100)]),
        ([60, 40], 50, 1, [(0, 60), (60, 100)]),
        ([10, 90], 50, 1, [(0, 50), (50, 100)]),
        ([20, 20, 20, 20, 20], 30, 1, [(0, 40), (40, 80), (80, 100)]),
        ([100], 30, 4, [(0, 28), (28, 56), (56, 100)]),
        ([100], 70, 1, [(0, 100)]),
        ([40], 100, 1, [(0, 40)]),
    ],
)
def test_parts_begin_at_shots_where_these_are_near(
    shots: list[int], length: int, batch: int, parts: list[tuple[int, int]]
) -> None:
    found = parts_of(np.repeat(range(len(shots)), shots).tolist(), length, batch)
    assert found == parts
    assert max(end - begin for begin, end in found) <= length + length // 2


def test_parts_shorter_than_a_batch_are_refused() -> None:
    with pytest.raises(ConfigError, match="Parts of 4 frames are asked for, expected more than the 4"):
        parts_of([0] * 20, 4, 4)
