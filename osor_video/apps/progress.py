"""The progress bar: stage, frames a second, time left; on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from osor_video.report import Progress, silent

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

STAGES = {
    "learn": "learn its looks",
    "back": "follow it backwards",
    "track": "follow the object",
    "remove": "remove it",
    "fetch": "fetch it",
}
UNITS = {"train": "steps", "learn": "steps", "fetch": "MiB"}


class ProgressBar:
    """A Progress that draws one line a stage."""

    def __init__(self, bars: RichProgress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Move the bar of ``stage`` to ``done`` of ``total`` frames."""
        if stage not in self._tasks:
            self._tasks[stage] = self._bars.add_task(STAGES.get(stage, stage), total=total, rate="")
        task = self._tasks[stage]
        speed = self._bars.tasks[task].finished_speed or self._bars.tasks[task].speed
        self._bars.update(
            task, completed=done, rate=f"{speed:.1f} {UNITS.get(stage, 'frames')}/s" if speed else ""
        )


@contextmanager
def shown_progress(quiet: bool) -> Iterator[Progress]:
    """A progress bar on stderr, or silence where that is no terminal or ``quiet`` is asked for."""
    if quiet or not sys.stderr.isatty():
        yield silent
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415
    from rich.progress import Progress as RichProgress  # noqa: PLC0415

    columns = (
        TextColumn("{task.description:<19}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with RichProgress(*columns, console=Console(stderr=True)) as bars:
        yield ProgressBar(bars)
