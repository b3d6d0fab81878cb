"""The lines at the end of a run."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from osor_video.apps.doubts import doubts, sparkline, worst_frames
from osor_video.apps.progress import ProgressBar, shown_progress
from osor_video.apps.summary import summary
from osor_video.report import Doubt, RunReport, doubtful_runs, silent

REPORT = RunReport(
    source="in.mp4",
    output="out.mp4",
    frames=20,
    size_hw=(256, 448),
    wall_s=8.0,
    seconds={},
    decoder="decord: plain 8-bit 4:2:0",
    flow="RAFT-small (bundled)",
    model="compact",
    fill="auto",
    borrowed=0.874,
    replaced=0.053,
    mask_scores=[1.0] * 20,
    cuts=[],
    peak_memory_mb=1200.4,
)


def test_a_good_run_says_no_more_than_needed() -> None:
    lines = summary(REPORT).splitlines()
    assert [line.split()[0] for line in lines] == [
        *("frames", "flow", "model", "decoder", "hole", "mask", "memory", "outside", "written")
    ]
    assert "20, 448x256; 8.0 s, 2.5 frames/s" in lines[0]
    assert lines[1].endswith(" RAFT-small (bundled)")
    assert "87% real background" in lines[4]


def test_doubtful_masks_cuts_and_notes_are_named() -> None:
    scores = [1.0, 1.0, *[0.2] * 18]
    text = summary(
        replace(
            REPORT,
            mask_scores=scores,
            cuts=[7],
            untouched=[7],
            notes=["a note"],
            peak_memory_mb=None,
        )
    )
    assert "18 of 20 frames in doubt" in text
    assert "frames 2 to 19: 0.20 at frame 2; if it is wrong there, add --mask 2=FILE.png" in text
    assert "0.20 at least" in text
    assert "new shots at frames 7; nothing is touched in the shots that begin at 7 " in text
    assert "--mask 7=FILE.png" in text
    assert "note     a note" in text
    assert "memory" not in text


def test_a_plot_shows_the_worst_of_each_column() -> None:
    assert sparkline([1, 1, 0, 0.5], 4, "abcd") == "ddac"
    assert sparkline([1, 0.1, 1, 1], 2, "abcd") == "ad"
    assert sparkline([0.5], 9, "ab") == "b"


def test_doubts_are_runs_with_their_worst_frame() -> None:
    scores = [1, 0.5, 0.9, 0.3, 1, 1, 1, 1, 0.1, 1]
    assert doubtful_runs(scores) == [Doubt(1, 3, 3), Doubt(8, 8, 8)]
    lines = doubts(scores)
    assert lines[1:] == [
        "frames 1 to 3: 0.30 at frame 3; if it is wrong there, add --mask 3=FILE.png",
        "frame 8: 0.10 at frame 8; if it is wrong there, add --mask 8=FILE.png",
    ]
    assert doubts([1.0, 0.7]) == []
    assert doubts([0.0, *[1.0] * 9] * 8)[-1] == "and 2 more places (--report lists them)"
    assert worst_frames(scores, 3) == [1, 3, 8]
    assert worst_frames([1.0, 0.7, 0.8], 2) == [1, 2]


def test_the_report_keeps_the_runs() -> None:
    values = json.loads(replace(REPORT, mask_scores=[0.2, 1.0]).to_json())
    assert values["doubtful_runs"] == [{"first": 0, "last": 0, "worst": 0}]


def test_progress_is_silent_where_there_is_no_terminal() -> None:
    with shown_progress(quiet=False) as progress:
        assert progress is silent


def test_progress_is_drawn_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with shown_progress(quiet=False) as progress:
        assert isinstance(progress, ProgressBar)
        for done in (1, 2):
            progress("track", done, 2)
    with shown_progress(quiet=True) as progress:
        assert progress is silent
