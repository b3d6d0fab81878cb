"""What a batch came to: ``report.json`` for machines, ``report.html`` for people, which needs nothing beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any, Literal

from osor_video.batch.done import read_mark
from osor_video.batch.plan import Planned
from osor_video.batch.run import Course
from osor_video.report import DOUBTFUL, doubtful_runs

SHOWN_DOUBTS = 4
SIGNS = {
    "appearance": "its looks changed",
    "area": "its area jumped",
    "cycle": "the way back does not meet",
    "validity": "flow is not to be trusted",
    "extent": "its size and outline are not those of before",
}
"""What each sign of drift (masks/drift.py) says where it is low."""
STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:72rem;padding:0 1rem;color:#222;background:#fafafa}
h1{font-size:1.5rem;margin:0 0 .3rem} p.sum{margin:.2rem 0 1.5rem;color:#555}
table{border-collapse:collapse;width:100%;background:#fff}
th,td{text-align:right;padding:.35rem .6rem;border-bottom:1px solid #ddd}
th:first-child,td:first-child{text-align:left} th{background:#f0f0f0;font-weight:600}
section{background:#fff;border:1px solid #ddd;border-radius:6px;margin:1.2rem 0;padding:1rem}
section h2{font-size:1.1rem;margin:0 0 .6rem}
figure{display:inline-block;margin:0 .8rem .5rem 0} figcaption{color:#666;font-size:.85rem}
img{max-width:100%;display:block;border-radius:3px} .failed{border-left:5px solid #c0392b} .doubt{border-left:5px solid #e0a000}
.warn{color:#8a5a00;margin:.2rem 0} .why{color:#a02a1c} svg{display:block;margin:.4rem 0;background:#f4f4f4}
"""


@dataclass(frozen=True)
class Row:
    """One job in the report; ``report`` is a RunReport's JSON, ``pictures`` a frame before and after."""

    name: str
    clip: str
    state: Literal["done", "done before", "failed", "not begun"]
    frames: int
    size_hw: tuple[int, int]
    masks: str
    why: str = ""
    trace: str = ""
    wall_s: float = 0.0
    load_s: float = 0.0
    report: Mapping[str, Any] | None = None
    pictures: Mapping[str, Any] | None = None

    @property
    def warnings(self) -> list[str]:
        """What is to be looked at: doubtful masks with their signs, frames that nothing shows, damage."""
        return [] if self.report is None else list(_warnings(self.report))


def rows_of(courses: Sequence[Course], out: Path) -> list[Row]:
    """A row for each job, those too that were done before."""
    return [_row(course.planned, course.outcome, out) for course in courses]


def _row(planned: Planned, outcome: Mapping[str, Any] | None, out: Path) -> Row:
    row = Row(planned.name, str(planned.clip), "done", planned.frames, planned.size_hw, planned.masks)
    if outcome is not None and "failed" in outcome:
        return replace(row, state="failed", why=outcome["failed"], trace=outcome["trace"])
    if outcome is None:
        mark = read_mark(out, planned.name) if planned.state == "done" else None
        if mark is None or not mark.outcome:
            return replace(row, state="not begun")
        row, outcome = replace(row, state="done before"), mark.outcome
    figures = {key: outcome[key] for key in ("wall_s", "load_s", "report", "pictures")}
    return replace(row, **figures)


def write_json(path: Path, rows: Sequence[Row], totals: Mapping[str, Any]) -> None:
    """All figures of all jobs; the pictures are in the page alone."""
    jobs = [
        {key: value for key, value in vars(row).items() if key != "pictures"} | {"warnings": row.warnings}
        for row in rows
    ]
    path.write_text(json.dumps({**totals, "jobs": jobs}, indent=1) + "\n", encoding="utf-8")


def write_page(path: Path, rows: Sequence[Row], totals: Mapping[str, Any]) -> None:
    """The page: a table of all jobs, then each with its pictures, warnings and times."""
    counts = {state: sum(row.state == state for row in rows) for state in ("done", "done before", "failed")}
    told = ", ".join(f"{count} {state}" for state, count in counts.items() if count) or "nothing done"
    spent = f"{totals.get('wall_s', 0):.1f} s, {totals.get('workers', 0)} workers"
    body = "".join(_section(row) for row in sorted(rows, key=lambda row: row.state != "failed"))
    path.write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>osor-video batch</title><style>{STYLE}</style>'
        f"<h1>{len(rows)} clips</h1><p class=sum>{escape(told)}; {escape(spent)}</p>{_table(rows)}{body}</html>\n",
        encoding="utf-8",
    )


def _table(rows: Sequence[Row]) -> str:
    head = "".join(
        f"<th>{name}" for name in ("clip", "state", "frames", "size", "s", "frames/s", "mask", "warnings")
    )
    lines = []
    for row in rows:
        scores = row.report["mask_scores"] if row.report else []
        height, width = row.size_hw
        speed = f"{row.frames / row.wall_s:.1f}" if row.wall_s and row.report else ""
        cells = [
            *(escape(row.name), row.state, str(row.frames), f"{width}x{height}", f"{row.wall_s:.1f}", speed),
            *(f"{sum(scores) / len(scores):.2f}" if scores else "", str(len(row.warnings) or "")),
        ]
        lines.append("<tr>" + "".join(f"<td>{cell}" for cell in cells))
    return f"<table><tr>{head}{''.join(lines)}</table>"


def _section(row: Row) -> str:
    kind = "failed" if row.state == "failed" else "doubt" if row.warnings else ""
    parts = [f'<section class="{kind}"><h2>{escape(row.name)}</h2>']
    if row.why:
        parts.append(f"<p class=why>{escape(row.why)}")
    if row.trace:
        parts.append(f"<details><summary>where</summary><pre>{escape(row.trace)}</pre></details>")
    if row.pictures:
        for side in ("before", "after"):
            parts.append(
                f'<figure><img alt="{side}" src="data:image/jpeg;base64,{row.pictures[side]}">'
                f"<figcaption>frame {row.pictures['frame']}, {side}</figcaption></figure>"
            )
    parts += [f"<p class=warn>{escape(text)}" for text in row.warnings]
    if row.report:
        parts += [_scores(row.report["mask_scores"]), _times(row)]
    return "".join(parts) + "</section>"


def _scores(scores: Sequence[float], width: int = 640, height: int = 48) -> str:
    """The mask's score over time as a line; the broken line is where doubt begins."""
    last = max(len(scores) - 1, 1)
    points = " ".join(
        f"{index * width / last:.1f},{height * (1 - score):.1f}" for index, score in enumerate(scores)
    )
    doubt = height * (1 - DOUBTFUL)
    return (
        f'<svg viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" aria-label="mask score over time">'
        f'<line x1="0" y1="{doubt}" x2="{width}" y2="{doubt}" stroke="#e0a000" stroke-dasharray="4 4"/>'
        f'<polyline points="{points}" fill="none" stroke="#2a6fb0" stroke-width="1.5"/></svg>'
    )


def _times(row: Row) -> str:
    assert row.report is not None  # asked for finished jobs only
    seconds = sorted(row.report["seconds"].items(), key=lambda item: -item[1])
    told = ", ".join(f"{stage} {spent:.1f}" for stage, spent in seconds)
    spent = f"{row.wall_s:.1f} s, {row.load_s:.1f} of them to load networks"
    return f"<p class=sum>{spent}. Work by stage in s: {escape(told)}. {escape(row.report['encoded'])}"


def _warnings(report: Mapping[str, Any]) -> Iterator[str]:
    runs = doubtful_runs(report["mask_scores"])
    for run in runs[:SHOWN_DOUBTS]:
        low = {sign: report["mask_drift"].get(sign, [])[run.first : run.last + 1] for sign in SIGNS}
        signs = [SIGNS[sign] for sign, values in low.items() if values and min(values) < DOUBTFUL]
        span = f"frame {run.first}" if run.first == run.last else f"frames {run.first} to {run.last}"
        least = f"least {report['mask_scores'][run.worst]:.2f} at frame {run.worst}"
        yield f"mask in doubt in {span}, {least}{': ' if signs else ''}{', '.join(signs)}"
    if len(runs) > SHOWN_DOUBTS:
        yield f"and {len(runs) - SHOWN_DOUBTS} more places where the mask is in doubt"
    if unseen := report["unseen"]:
        yield f"{len(unseen)} frames have places that no frame shows, at most {max(unseen.values()):.0%} of the hole"
    if report["untouched"]:
        yield f"nothing is touched in the shots that begin at frames {', '.join(map(str, report['untouched']))}"
    yield from (note for note in report["notes"] if "gone on with" not in note)
