"""``osor-video verify``: what was changed in a clip and whether it is intact, in plain words; a log of jobs line by line."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import typer

from osor_video.errors import ConfigError
from osor_video.provenance.audit import is_log, read_chain
from osor_video.provenance.record import Record
from osor_video.provenance.verify import Findings, verify_clip
from osor_video.report import runs_of

NOT_INTACT = 1
SHOWN_RUNS = 8
LOG_SUFFIX = ".jsonl"


def verify(path: Path, record: Path | None, trust: Path | None, source: Path | None, as_json: bool) -> None:
    """Tell what was found; exit code 1 where something is not intact. Raises ConfigError where there is nothing to verify."""
    if path.is_file() and (path.suffix.lower() == LOG_SUFFIX or is_log(path)):
        if record or trust or source:
            raise ConfigError(
                f"{path} is an audit log, which is checked by itself. Leave the other options out."
            )
        _verify_log(path, as_json)
        return
    if path.is_file() and path.suffix.lower() == ".json":
        raise ConfigError(f"{path} is JSON, expected the clip. Give the clip, and this with --record.")
    findings = verify_clip(path, record, trust, source)
    typer.echo(json.dumps(findings.plain(), indent=2) if as_json else "\n".join(told(findings)))
    if not findings.intact:
        raise typer.Exit(NOT_INTACT)


def _verify_log(path: Path, as_json: bool) -> None:
    chain = read_chain(path)
    if as_json:
        typer.echo(json.dumps({"file": str(path), "intact": not chain.faults} | asdict(chain), indent=2))
    else:
        typer.echo(f"{path}: {chain.lines} jobs, {chain.failed} of them failed or were stopped")
        for fault in chain.faults:
            typer.echo(f"NOT INTACT: {fault}")
        if not chain.faults:
            typer.echo("intact: every line fits the one before it")
            typer.echo(
                f"last line: sha256 {chain.head} (keep it elsewhere: lines cut off at the end leave no trace)"
            )
    if chain.faults:
        raise typer.Exit(NOT_INTACT)


def told(findings: Findings) -> list[str]:
    """The findings, a line each; the verdict first."""
    lines = [f"{findings.path}: {'intact' if findings.intact else 'NOT INTACT'}"]
    for check in findings.checks:
        mark = {True: "ok", False: "WRONG", None: "unknown"}[check.ok]
        lines.append(f"  {mark:<8}{check.what}: {check.told}")
    return lines + ([] if findings.record is None else _changes(findings.record))


def _changes(record: Record) -> list[str]:
    """What was done, by what, by whom and why."""
    width, height = record.size
    count = sum(last - first + 1 for first, last in record.touched)
    if "touched" in record.left_out:
        frames = f"of {record.frames} frames at {width}x{height}"
    else:
        frames = f"in {count} of {record.frames} frames at {width}x{height}{_runs(record.touched)}"
    changed = ", ".join(f"{key}={value}" for key, value in record.changed.items()) or "nothing"
    lines = [
        ("changed", f"{record.replaced:.2%} of all pixels, {frames}"),
        (
            "filled",
            f"{record.borrowed:.0%} with real background of the shot, the rest generated or interpolated",
        ),
        ("source", f"{record.source.name}{_hash(record.source.sha256)}"),
        ("output", f"{record.output.name}{_hash(record.output.sha256)}"),
        (
            "with",
            f"{record.tool} {record.version}, model {record.model}, flow {record.flow}, seed {record.seed}",
        ),
        ("settings", f"preset {record.preset}, otherwise than it: {changed}"),
        ("masks", f"sha256 {record.masks_sha256}"),
        ("when", f"{record.started}, {record.duration_s:.1f} s"),
        ("by", record.operator or "not said"),
        ("why", record.reason or "not said"),
    ]
    if record.damaged:
        lines.insert(2, ("damaged", f"the source was, in frames{_runs(runs_of(record.damaged)).lstrip(',')}"))
    return [f"  {name:<10}{text}" for name, text in lines]


def _hash(sha256: str | None) -> str:
    return "" if sha256 is None else f", sha256 {sha256}"


def _runs(runs: list[tuple[int, int]]) -> str:
    shown = [str(first) if first == last else f"{first}-{last}" for first, last in runs[:SHOWN_RUNS]]
    more = f" and {len(runs) - SHOWN_RUNS} more runs" if len(runs) > SHOWN_RUNS else ""
    return f": {', '.join(shown)}{more}" if runs else ""
