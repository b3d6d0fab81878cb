"""Outcomes as a table: for the terminal, or as Markdown for the README."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from osor_video.benchmark.davis import Tracked, counted
from osor_video.benchmark.fidelity import Fidelity
from osor_video.benchmark.fullsize import EncoderRun, FullSizeRun
from osor_video.benchmark.run import CEILING, Outcome
from osor_video.benchmark.speed import SpeedRun
from osor_video.report import RunReport

Rows = list[list[str]]
NOT_MEASURED = "-"
OVERHEAD = ("decode", "composite", "encode")
HEADER = (
    *(
        "clip",
        "method",
        "PSNR hole dB",
        "SSIM hole",
        "temporal error",
        "PSNR effect dB",
        "effect untouched dB",
    ),
    *("frames/s", "peak MiB"),
)


DETAIL_HEADER = (
    *(
        "clip",
        "method",
        "SSIM effect",
        "temporal error effect",
        "coarse temporal error",
        "warping error",
        "truth's own",
        "feature distance",
        "feature change",
        "PSNR outside dB",
    ),
    *("background", "remove", "composite"),
)
"""The last three are milliseconds of work a frame."""


PEOPLE_HEADER = (
    "clip",
    "method",
    "PSNR silhouettes dB",
    "below the camera dB",
    "temporal error",
    "the camera's own",
)


def people_rows(outcomes: Sequence[Outcome]) -> Rows:
    """A row an outcome, under ``PEOPLE_HEADER``, of cases that have a ceiling."""
    ceilings = {outcome.case: outcome.scores for outcome in outcomes if outcome.method == CEILING}
    return [
        [
            outcome.case,
            outcome.method,
            _number(outcome.scores.psnr_hole, 2),
            _number(ceilings[outcome.case].psnr_hole - outcome.scores.psnr_hole, 2),
            _number(outcome.scores.temporal_error, 2),
            _number(ceilings[outcome.case].temporal_error, 2),
        ]
        for outcome in outcomes
    ]


def detail_rows(outcomes: Sequence[Outcome]) -> Rows:
    """A row an outcome, under ``DETAIL_HEADER``."""
    body = []
    for outcome in outcomes:
        scores, report = outcome.scores, outcome.report
        stages = [
            _number(1000 * report.seconds.get(stage, 0.0) / report.frames, 0) if report else ""
            for stage in DETAIL_HEADER[-3:]
        ]
        body.append(
            [
                outcome.case,
                outcome.method,
                _number(scores.ssim_effect, 3),
                _number(scores.temporal_error_effect, 2),
                _number(scores.coarse_error, 2),
                _number(scores.warping_error, 2),
                _number(scores.warping_error_truth, 2),
                _number(scores.feature_distance, 3),
                _number(scores.feature_change, 3),
                _number(scores.psnr_outside, 1),
                *stages,
            ]
        )
    return body


def rows(outcomes: Sequence[Outcome]) -> Rows:
    """A row an outcome, under ``HEADER``."""
    return [
        [
            outcome.case,
            outcome.method,
            _number(outcome.scores.psnr_hole, 2),
            _number(outcome.scores.ssim_hole, 3),
            _number(outcome.scores.temporal_error, 2),
            _number(outcome.scores.psnr_effect, 2),
            _number(outcome.scores.psnr_effect_untouched, 2),
            _number(outcome.report.frames_per_s, 2) if outcome.report else "",
            _number(outcome.report.peak_memory_mb, 0) if outcome.report else "",
        ]
        for outcome in outcomes
    ]


def stage_rows(reports: Sequence[tuple[str, RunReport]]) -> tuple[tuple[str, ...], Rows]:
    """Header and rows of each run's work by stage, as shares of all: stages run side by side, so they are no shares of the wall.

    ``overhead`` is what is neither flow nor masks nor removal: reading, converting, compositing, writing.
    """
    stages = list(dict.fromkeys(stage for _, report in reports for stage in report.seconds))
    body = []
    for name, report in reports:
        total = sum(report.seconds.values())
        shares = [report.seconds.get(stage, 0.0) / total for stage in stages]
        around = sum(report.seconds.get(stage, 0.0) for stage in OVERHEAD) / total
        body.append([name, *(f"{share:.0%}" for share in (*shares, around))])
    return ("share of work", *stages, "overhead"), body


def speed_rows(runs: Sequence[SpeedRun]) -> tuple[tuple[str, ...], Rows]:
    """Header and rows of the speed runs, milliseconds of work a frame by stage."""
    stages = list(dict.fromkeys(stage for run in runs for stage in run.seconds))
    header = ("frames", "frames/s", *(f"{stage} ms" for stage in stages), "peak MiB")
    body = [
        [
            str(run.frames),
            f"{run.frames / run.wall_s:.2f}",
            *(f"{run.seconds.get(stage, 0.0) * 1000 / run.frames:.0f}" for stage in stages),
            _number(run.peak_memory_mb, 0),
        ]
        for run in runs
    ]
    return header, body


def fullsize_rows(runs: Sequence[FullSizeRun]) -> tuple[tuple[str, ...], Rows]:
    """Header and rows of both sides, milliseconds a frame in each network and besides; the last column is against the first."""
    stages = list(dict.fromkeys(stage for run in runs for stage in run.seconds))
    header = (
        "side",
        "raster",
        "frames/s",
        *(f"{stage} ms" for stage in stages),
        "other ms",
        "peak MiB",
        "times the first",
    )
    body = [
        [
            run.side,
            f"{run.raster_hw[1]}x{run.raster_hw[0]}",
            _number(run.frames_per_s, 3),
            *(f"{run.seconds.get(stage, 0.0) * 1000 / run.frames:.0f}" for stage in stages),
            f"{(run.wall_s - sum(run.seconds.values())) * 1000 / run.frames:.0f}",
            _number(run.peak_memory_mb, 0),
            _number(run.frames_per_s / runs[0].frames_per_s, 2),
        ]
        for run in runs
    ]
    return header, body


def encoder_rows(run: EncoderRun) -> tuple[tuple[str, ...], Rows]:
    """Header and row of the text encoders."""
    figures = f"{run.weights / 1e6:.0f} million", _number(run.seconds, 2), _number(run.peak_memory_mb, 0)
    return ("weights", "seconds a prompt", "peak MiB"), [list(figures)]


def fidelity_rows(found: Sequence[Fidelity]) -> tuple[tuple[str, ...], Rows]:
    """Header and rows of what came through; the last two are the largest differences where nothing was replaced, in codes."""
    header = ("source", "property", "in", "out", "equal", "all else", "before encoding", "as decoded")
    body = [
        [
            *(item.source, item.about, item.before, item.after, "yes" if item.equal else "no"),
            f"differs: {', '.join(item.others)}" if item.others else "equal",
            f"{item.outside:g}",
            "" if item.decoded is None else str(item.decoded),
        ]
        for item in found
    ]
    return header, body


def mask_rows(runs: Sequence[Tracked]) -> tuple[tuple[str, ...], Rows]:
    """Header and rows of tracked sequences, their mean last."""
    header = ("sequence", "frames", "mean J", "recall", "decay", "left", "s a frame")
    frames = [len(run.overlaps) for run in runs]
    figures = [(run.mean, run.recall, run.decay, run.mean_left) for run in runs]
    body = [
        [run.name, str(count), *_figures(*values), f"{run.wall_s / count:.2f}"]
        for run, count, values in zip(runs, frames, figures, strict=True)
    ]
    means = np.mean(figures, axis=0).tolist()
    pace = sum(run.wall_s for run in runs) / sum(frames)
    return header, [*body, ["mean", str(sum(frames)), *_figures(*means), f"{pace:.2f}"]]


def correction_rows(pairs: Sequence[tuple[Tracked, Tracked]]) -> tuple[tuple[str, ...], Rows]:
    """Header and rows of sequences before and after one correction each, over the frames that nobody gave."""
    header = ("sequence", "corrected frame", "its J", "mean J before", "mean J after")
    body = []
    for before, after in pairs:
        frame = before.worst
        means = (float(np.mean(counted(run.overlaps, after.given))) for run in (before, after))
        body.append([before.name, str(frame), *_figures(before.overlaps[frame], *means)])
    return header, body


def _figures(*values: float) -> list[str]:
    return [_number(value, 3) for value in values]


def measured(header: Sequence[str], body: Rows) -> tuple[tuple[str, ...], Rows]:
    """A table without the columns in which no row has a figure."""
    kept = [index for index in range(len(header)) if any(row[index] != NOT_MEASURED for row in body)]
    return tuple(header[index] for index in kept), [[row[index] for index in kept] for row in body]


def markdown(header: Sequence[str], body: Rows) -> str:
    """A Markdown table, a newline at its end."""
    rule = ["---", *["---:"] * (len(header) - 1)]
    return "".join(f"| {' | '.join(line)} |\n" for line in (header, rule, *body))


def _number(value: float | None, digits: int) -> str:
    return NOT_MEASURED if value is None or math.isnan(value) else f"{value:.{digits}f}"
