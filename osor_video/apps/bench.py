"""The commands that measure and show: bench and strip."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from osor_video.apps.progress import shown_progress
from osor_video.benchmark.cases import Case, cases_from_clips, cases_from_configs
from osor_video.benchmark.davis import open_sequences, track
from osor_video.benchmark.run import Extent, measure_all
from osor_video.benchmark.speed import LENGTHS, measure_speed
from osor_video.benchmark.table import (
    DETAIL_HEADER,
    HEADER,
    Rows,
    detail_rows,
    markdown,
    mask_rows,
    rows,
    speed_rows,
    stage_rows,
)
from osor_video.config import Config
from osor_video.errors import ConfigError
from osor_video.flow.weights import build_flow
from osor_video.masks.features import build_features
from osor_video.removal.model import quiet_libraries

PLAIN_WIDTH = 150
CASES = Path("configs/benchmark")

Tables = list[tuple[str, Sequence[str], Rows]]


def chosen_cases(clips: Path | None, names: Sequence[str]) -> list[Case]:
    """The cases of ``configs/benchmark`` or of the folder ``clips``; where given, only those of ``names``."""
    cases = cases_from_clips(clips) if clips else cases_from_configs(CASES)
    known = {case.name: case for case in cases}
    for name in names:
        if name not in known:
            raise ConfigError(f"There is no case {name!r}, expected one of: {', '.join(known)}.")
    return [known[name] for name in names] if names else cases


def measure_quality(
    cases: Sequence[Case], config: Config, method: str, markdown_file: Path | None, extent: Extent
) -> None:
    """Print, and where asked for write, the tables of quality and the share of each stage."""
    quiet_libraries()
    with shown_progress(quiet=False) as progress:
        outcomes = measure_all(cases, config, method, progress, extent)
    runs = [
        (outcome.case, outcome.report) for outcome in outcomes if outcome.report and outcome.method == method
    ]
    tables: Tables = [("Quality", HEADER, rows(outcomes)), ("Time", *stage_rows(runs))]
    _show([*tables, ("In detail", DETAIL_HEADER, detail_rows(outcomes))], markdown_file)


def measure_lengths(case: Case, config: Config, markdown_file: Path | None) -> None:
    """Print, and where asked for write, speed and memory against length."""
    runs = [measure_speed(case.clip, case.first, config, frames) for frames in LENGTHS]
    _show([(f"Speed on {case.name}", *speed_rows(runs))], markdown_file)


def measure_masks(folder: Path, names: Sequence[str], config: Config, markdown_file: Path | None) -> None:
    """Print, and where asked for write, how well masks hold on the sequences of a DAVIS-like folder."""
    sequences = open_sequences(folder, list(names))
    flow, features = build_flow(config.flow), build_features()
    with shown_progress(quiet=False) as progress:
        runs = [track(sequence, flow, features, config, progress) for sequence in sequences]
    _show([(f"Masks with {flow.name}", *mask_rows(runs))], markdown_file)


def _show(tables: Tables, markdown_file: Path | None) -> None:
    # In a file or a pipe rich would squeeze the table into 80 columns.
    console = Console(width=None if sys.stdout.isatty() else PLAIN_WIDTH)
    for title, header, body in tables:
        table = Table(title=title, title_justify="left")
        for number, name in enumerate(header):
            table.add_column(name, justify="right" if number else "left")
        for line in body:
            table.add_row(*line)
        console.print(table)
    if markdown_file:
        markdown_file.parent.mkdir(parents=True, exist_ok=True)
        markdown_file.write_text(
            "\n".join(markdown(header, body) for _, header, body in tables), encoding="utf-8"
        )
