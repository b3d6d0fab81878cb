"""Projects: read, refused, and taken by the command line as they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from osor_video.api import follow_project, follow_span, preview_near, preview_span
from osor_video.apps.cli import app
from osor_video.benchmark.cases import pictures_of
from osor_video.config import Config
from osor_video.errors import ConfigError, MaskError
from osor_video.masks.seed import ArraySeed
from osor_video.pipeline import VideoRemover
from osor_video.project import ObjectMarks, Project, decode_mask, encode_mask, span_of
from osor_video.video.probe import probe
from tests.apps.clips import FRAMES, SIZE_HW, square_clip, square_mask
from tests.tiny import tiny_model


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    square_clip(folder)
    tiny_model(folder / "model")
    return folder


@pytest.fixture(scope="module")
def remover(place: Path) -> VideoRemover:
    overrides = {"removal.model": place / "model", "flow.backend": "dis", "decode.decoder": "pyav"}
    return VideoRemover.from_config(Config.load("fast", overrides=overrides))


def project_of(place: Path, **changes: Any) -> Project:
    values: dict[str, Any] = {
        "clip": "square.mp4",
        "frames": FRAMES,
        "width": SIZE_HW[1],
        "height": SIZE_HW[0],
        "objects": (ObjectMarks(name="Square", masks={0: encode_mask(square_mask(0))}),),
        "preset": "fast",
        "settings": {"removal.model": str(place / "model"), "flow.backend": "dis"},
    }
    return Project(**{**values, **changes})


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(part) for part in arguments])


def saved(project: Project, path: Path) -> Path:
    path.write_text(project.to_json(), encoding="utf-8")
    return path


def test_a_project_comes_back_as_it_was_written(place: Path, tmp_path: Path) -> None:
    project = project_of(place, keep={2: encode_mask(~square_mask(2))}, container=".mkv")
    assert Project.read(saved(project, tmp_path / "p.json")) == project
    assert json.loads(project.to_json())["format"] == "osor-video project 1"


def test_masks_survive_as_png() -> None:
    mask = square_mask(3)
    np.testing.assert_array_equal(decode_mask(encode_mask(mask), SIZE_HW, "it"), mask)


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"format": "another"}, ConfigError, "format is 'another'"),
        ({"frames": 0}, ConfigError, "frames is 0"),
        ({"wings": 2}, ConfigError, "wings is 2"),
        ({"keep": {str(FRAMES): ""}}, MaskError, f"mask for frame {FRAMES}"),
        ({"objects": [{"name": "A", "track": ["x"]}]}, MaskError, "followed through 1 frames"),
    ],
)
def test_a_project_that_does_not_fit_is_refused(
    place: Path, tmp_path: Path, changes: dict[str, Any], error: type[Exception], match: str
) -> None:
    values = json.loads(project_of(place).to_json()) | changes
    path = tmp_path / "p.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(error, match=match):
        Project.read(path)


def test_what_is_no_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match="is not JSON"):
        Project.read(tmp_path / "p.json")
    with pytest.raises(ConfigError, match="cannot be read"):
        Project.read(tmp_path / "none.json")


@pytest.mark.parametrize("png", ["", "AAAA", "no base64!", encode_mask(np.zeros((4, 4), dtype=bool))])
def test_a_mask_that_is_none_is_refused(png: str) -> None:
    with pytest.raises(MaskError, match="mask of it"):
        decode_mask(png, SIZE_HW, "it")


@pytest.mark.parametrize(
    ("keys", "frame", "span"),
    [
        ({5}, 5, (0, 20)),
        ({2, 5, 9}, 5, (2, 10)),
        ({2, 9}, 5, (2, 10)),
        ({5, 9}, 3, (0, 6)),
        (set(), 3, (0, 20)),
    ],
)
def test_a_mask_concerns_the_frames_up_to_its_neighbours(
    keys: set[int], frame: int, span: tuple[int, int]
) -> None:
    assert span_of(keys, frame, 20) == span


def test_a_span_followed_alone_is_as_in_the_whole(place: Path, remover: VideoRemover) -> None:
    clip = place / "square.mp4"
    seeds = {0: ArraySeed(square_mask(0)), 3: ArraySeed(square_mask(3))}
    whole = {frame: (mask, score) for frame, mask, score in follow_span(remover, clip, seeds)}
    assert sorted(whole) == list(range(FRAMES))
    span = span_of(set(seeds), 3, FRAMES)
    for frame, mask, score in follow_span(remover, clip, seeds, (3, FRAMES)):
        np.testing.assert_array_equal(mask, whole[frame][0])
        assert score == whole[frame][1]
    assert span == (0, FRAMES)
    for frame, mask, _ in follow_span(remover, clip, seeds, (0, 4)):
        np.testing.assert_array_equal(mask, whole[frame][0])


def test_following_backwards_within_a_span(place: Path, remover: VideoRemover) -> None:
    seeds = {3: ArraySeed(square_mask(3))}
    found = {frame: mask for frame, mask, _ in follow_span(remover, place / "square.mp4", seeds, (1, 4))}
    assert sorted(found) == [1, 2, 3]
    assert (found[1] & square_mask(1)).sum() > 0.8 * square_mask(1).sum()


def test_a_near_preview_removes_the_object(place: Path, remover: VideoRemover) -> None:
    clip = place / "square.mp4"
    start, stop = preview_span(2, FRAMES, remover.config)
    masks = [square_mask(index) for index in range(start, stop)]
    told: list[str] = []
    before, after = preview_near(
        remover, clip, 2, masks, progress=lambda stage, done, total: told.append(stage)
    )
    assert before.shape == after.shape == (*SIZE_HW, 3)
    red = (before[..., 0] > 180) & (before[..., 1] < 80)
    assert (red & square_mask(2)).sum() > 400
    changed = (before != after).any(axis=2)
    assert changed[square_mask(2)].mean() > 0.9
    assert not changed[:, :8].any()
    assert {"track", "remove"} <= set(told)
    with pytest.raises(MaskError, match="expected 6"):
        preview_near(remover, clip, 2, masks[1:])


def test_the_command_takes_a_project_as_the_mask_it_holds(place: Path, tmp_path: Path) -> None:
    project = project_of(place)
    path = saved(project, place / "p.json")
    done = run("remove", path, "-o", tmp_path / "a.mp4", "--quiet")
    assert done.exit_code == 0, done.output
    settings = ("--model", place / "model", "--flow", "dis", "--preset", "fast", "--quiet")
    first = place / "square_first.png"
    assert (
        run("remove", place / "square.mp4", "--mask", first, "-o", tmp_path / "b.mp4", *settings).exit_code
        == 0
    )
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()


def test_tracks_are_taken_as_they_are_and_several_objects_are_followed(
    place: Path, remover: VideoRemover, tmp_path: Path
) -> None:
    corner = np.zeros(SIZE_HW, dtype=bool)
    corner[4:20, 100:120] = True
    second = ObjectMarks(name="Corner", masks={0: encode_mask(corner)})
    project = project_of(place, objects=(*project_of(place).objects, second), settings={
        **project_of(place).settings, "decode.decoder": "pyav"
    })  # fmt: skip
    with pytest.raises(MaskError, match="2 objects that were not followed"):
        project.marks()
    followed = follow_project(remover, place / "square.mp4", project)
    assert followed.whole
    runs = []
    for name, item in (("loose", project), ("whole", followed)):
        path = saved(item, place / f"{name}.json")
        masks = tmp_path / name
        done = run("remove", path, "-o", tmp_path / f"{name}.mkv", "--masks-out", masks, "--quiet")
        assert done.exit_code == 0, done.output
        assert len(list(masks.iterdir())) == FRAMES
        runs.append((tmp_path / f"{name}.mkv").read_bytes())
    assert runs[0] == runs[1]
    assert probe(tmp_path / "whole.mkv").frames == FRAMES


def test_what_a_project_keeps_is_not_touched(place: Path, tmp_path: Path) -> None:
    everything = encode_mask(np.ones(SIZE_HW, dtype=bool))
    nothing = encode_mask(np.zeros(SIZE_HW, dtype=bool))
    path = saved(project_of(place, keep={2: everything, 4: nothing}), place / "k.json")
    done = run("remove", path, "-o", tmp_path / "k.mkv", "--lossless", "--quiet")
    assert done.exit_code == 0, done.output
    same = [
        bool(np.array_equal(a, b))
        for a, b in zip(pictures_of(tmp_path / "k.mkv"), pictures_of(place / "square.mp4"), strict=True)
    ]
    assert same == [False, False, True, True, False, False]
    small = saved(project_of(place, keep={2: encode_mask(square_mask(0)[:40])}), place / "s.json")
    done = run("remove", small, "-o", tmp_path / "k.mkv")
    assert done.exit_code == 2
    assert "the clip is 128x96" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--box", "1,2,30,40"), "which has its own masks"),
        (("--keep", "x.png"), "which has its own masks"),
        (("--set", "nonsense=1"), "Unknown setting nonsense"),
    ],
)
def test_what_does_not_go_with_a_project_is_refused(
    place: Path, tmp_path: Path, arguments: tuple[str, ...], said: str
) -> None:
    path = saved(project_of(place), place / "p.json")
    done = run("remove", path, "-o", tmp_path / "a.mp4", *arguments)
    assert done.exit_code == 2
    assert said in done.stderr
    gone = saved(project_of(place, clip="gone.mp4"), place / "q.json")
    assert "is not there" in run("remove", gone, "-o", tmp_path / "a.mp4").stderr
