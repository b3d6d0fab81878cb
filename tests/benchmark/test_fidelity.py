"""The judge of what comes through: that it sees what is lost, and what it says of our own path."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from osor_video.benchmark.fidelity import Fidelity, measure_fidelity, quick_config
from osor_video.benchmark.judge import differences, facts, judge_absent, pixels
from osor_video.benchmark.sources import RECIPES, Recipe, ffmpeg, object_mask
from osor_video.benchmark.table import fidelity_rows
from osor_video.benchmark.variants import changed
from osor_video.pipeline import VideoRemover
from osor_video.video.probe import probe
from tests.tiny import tiny_model

pytestmark = pytest.mark.skipif(bool(judge_absent()), reason=f"FFmpeg's own programs judge: {judge_absent()}")

CHOSEN = (
    *(
        "uneven_times.mp4",
        "rotated_90.mp4",
        "interlaced.mov",
        "two_languages.mkv",
        "cover.mp4",
        "telemetry.mov",
    ),
    *("hevc_hdr10.mp4", "rgb.mkv", "odd_size.mkv"),
)
"""Those of which most can be lost; all others go through ``osor-video bench --sources``."""


def recipe(name: str) -> Recipe:
    return next(item for item in RECIPES if item.name == name)


@pytest.fixture(scope="module")
def remover(tmp_path_factory: pytest.TempPathFactory) -> VideoRemover:
    folder = tmp_path_factory.mktemp("model")
    tiny_model(folder / "tiny")
    removal = quick_config().removal.model_copy(update={"model": folder / "tiny"})
    return VideoRemover.from_config(quick_config().model_copy(update={"removal": removal}))


def test_there_are_about_two_dozen_sources_of_as_many_kinds() -> None:
    assert len(RECIPES) >= 20
    assert len({item.name for item in RECIPES}) == len(RECIPES)


@pytest.mark.parametrize("name", CHOSEN)
def test_what_is_hard_comes_through(remover: VideoRemover, name: str) -> None:
    (found,) = measure_fidelity(remover, [recipe(name)])
    assert found.before
    assert found.before.replace(";", "").strip()
    assert found.equal, found


@pytest.mark.parametrize(
    ("name", "options", "lost"),
    [
        (
            "two_languages.mkv",
            ("-map", "0:v", "-map", "0:a:0", "-c", "copy"),
            {"audio", "subtitle", "dispositions"},
        ),
        ("two_languages.mkv", ("-map", "0", "-c", "copy", "-c:a:0", "flac"), {"audio"}),
        ("chapters.mp4", ("-c", "copy", "-map_chapters", "-1"), {"chapters"}),
        ("chapters.mp4", ("-c", "copy", "-map_metadata", "-1"), {"tags"}),
        ("uneven_times.mp4", ("-c:v", "libx264", "-r", "24"), {"times"}),
        ("wide_pixels.mp4", ("-vf", "setsar=1", "-c:v", "libx264"), {"pixel aspect"}),
        ("interlaced.mov", ("-vf", "setfield=prog", "-c:v", "libx264"), {"fields"}),
        (
            "hevc_hdr10.mp4",
            ("-c:v", "libx265", "-x265-params", "log-level=none"),
            {"mastering", "light level"},
        ),
        ("h264_422_10.mov", ("-pix_fmt", "yuv420p", "-c:v", "libx264"), {"samples"}),
        ("rotated_90.mp4", ("-c:v", "libx264"), {"rotation", "size"}),
        ("attachment.mkv", ("-map", "0:v", "-c", "copy"), {"attachment"}),
        ("timecode.mov", ("-c", "copy", "-map", "0:v", "-map_metadata", "-1"), {"timecode"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_judge_sees_what_is_lost(
    tmp_path: Path, name: str, options: tuple[str, ...], lost: set[str]
) -> None:
    clip, spoilt = tmp_path / name, tmp_path / f"spoilt_{name}"
    recipe(name).make(clip)
    ffmpeg("-i", clip, *options, spoilt)
    before = facts(clip)
    assert lost <= set(differences(before, facts(spoilt)))
    assert differences(before, before) == []


def test_the_judge_sees_a_moved_sample(remover: VideoRemover) -> None:
    # Held against H.264, which is not lossless, the untouched samples are seen to have moved.
    lossy = changed(remover, {"encode": {"crf": 40}})
    (found,) = measure_fidelity(lossy, [replace(recipe("h264_444.mp4"), lossless=True)])
    assert found.outside == 0
    assert found.decoded is not None
    assert found.decoded > 0
    assert not found.equal


def test_the_sources_are_what_their_names_say(tmp_path: Path) -> None:
    clip, masks = recipe("rotated_90.mp4").write(tmp_path)
    assert probe(clip).rotation == recipe("rotated_90.mp4").rotation
    assert len(list(masks.iterdir())) == probe(clip).frames
    red = pixels(clip)[3][96 * 128 :].reshape(2, 48, 64)[1]
    # The square is red: its V is high there and only there.
    assert (red[object_mask(3)[::2, ::2]] > 170).mean() > 0.9
    assert np.median(red[~object_mask(3)[::2, ::2]]) < 150


def test_the_table_tells_it() -> None:
    good = Fidelity("a.mp4", "rate", "24", "24", (), 0.0, 0)
    bad = replace(good, after="25", others=("tags", "colour"), outside=2.0, decoded=None)
    header, rows = fidelity_rows([good, bad])
    assert header[:5] == ("source", "property", "in", "out", "equal")
    assert rows[0][4:] == ["yes", "equal", "0", "0"]
    assert rows[1][4:] == ["no", "differs: tags, colour", "2", ""]
