"""``osor-video batch``: the plan, the run, what is said of it meanwhile and at the end."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from osor_video.apps.exits import say, writing
from osor_video.batch.crew import Crew, LocalCrew
from osor_video.batch.done import FOLDER, read_mark
from osor_video.batch.entries import Listed, read_jobs
from osor_video.batch.estimate import Rate, span_s, told
from osor_video.batch.page import Row, rows_of, write_json, write_page
from osor_video.batch.plan import BadJobsError, Planned, make_plan
from osor_video.batch.run import Batch, Event, failed
from osor_video.batch.watch import Watch
from osor_video.errors import ConfigError

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

HOW = ("jobs", "threads", "dry_run", "watch", "ray", "retries", "split", "workers", "calibrate", "quiet")
"""Options of the command that say how the list is done."""
PAGE, FIGURES = "report.html", "report.json"


@dataclass(frozen=True)
class Asked:
    """What was typed. ``typed`` are options of ``remove`` for all jobs; ``threads`` None shares the cores out."""

    source: Path | None
    out: Path
    typed: Mapping[str, Any]
    jobs: int | None = None
    threads: int | None = None
    dry_run: bool = False
    watch: Path | None = None
    ray: str | None = None
    retries: int = 2
    split: int = 0
    workers: int | None = None
    calibrate: bool = False
    as_json: bool = False
    quiet: bool = False

    def check(self) -> None:
        """ConfigError for options that do not go together."""
        if (self.source is None) == (self.watch is None):
            raise ConfigError("Give a list of jobs or a folder of clips, or else --watch with a folder.")
        if self.watch is not None and not self.watch.is_dir():
            raise ConfigError(f"--watch is {self.watch}, expected a folder that exists.")
        if self.workers is not None and not self.dry_run:
            raise ConfigError(
                "--workers asks what a plan would take, which --dry-run shows. Add it, or give --jobs."
            )
        if self.watch is not None and self.dry_run:
            raise ConfigError("--dry-run shows the plan of a list, and --watch has none. Give one of them.")
        if self.watch is not None and self.watch.resolve() == self.out.resolve():
            raise ConfigError(
                f"-o is {self.out}, the folder that is watched. Choose another for the results."
            )


def run_batch(asked: Asked) -> None:
    """Check, tell the plan, do it, report; exit code 2 for bad entries, 1 where a job failed."""
    asked.check()
    plan = _planned(asked)
    _tell_plan(asked, plan)
    _tell_cost(asked, plan)
    if asked.dry_run or (asked.watch is None and all(job.state == "done" for job in plan)):
        if not asked.dry_run:
            _say(asked, {"event": "end", "done": 0, "failed": 0}, f"Nothing to do: all {len(plan)} are done.")
        return
    with _shown(asked, plan) as tell, _crew(asked) as crew:
        batch = Batch(plan, asked.out.absolute(), crew, tell, asked.retries, asked.split)
        watch = Watch(asked.watch, asked.out, asked.typed, tell) if asked.watch else None
        try:
            batch.run(watch.fresh if watch else None)
        except BaseException as error:
            if not isinstance(error, Exception):
                error.add_note("What is finished is kept: the same command goes on.")
            raise
        finally:
            rows = _report(asked, batch)
    _sum_up(asked, rows, batch)
    if any(failed(batch.courses)):
        raise typer.Exit(1)


def _planned(asked: Asked) -> list[Planned]:
    if asked.source is None:
        return []
    try:
        return make_plan(_listed(asked.source, asked), asked.out)
    except BadJobsError as error:
        for complaint in error.complaints:
            say(complaint)
        say(f"{len(error.complaints)} of the list's jobs cannot be done as they stand, so none was begun")
        raise typer.Exit(2) from error


def _listed(source: Path, asked: Asked) -> Listed:
    return read_jobs(source, asked.out, asked.typed)


def _crew(asked: Asked) -> Crew:
    """The workers: on a cluster, or on this machine."""
    if asked.ray is not None:
        from osor_video.batch.ray_crew import RayCrew  # noqa: PLC0415

        return RayCrew(asked.ray, asked.out, asked.jobs, asked.threads, asked.typed.get("device") != "cpu")
    return LocalCrew(asked.jobs or 1, _threads(asked))


def _threads(asked: Asked) -> int:
    """Those of a worker here: a share of the cores, which OMP_NUM_THREADS limits as it does for ``remove``."""
    import torch  # noqa: PLC0415

    return asked.threads or max(1, int(torch.get_num_threads()) // (asked.jobs or 1))


def _tell_plan(asked: Asked, plan: list[Planned]) -> None:
    if asked.as_json:
        for job in plan:
            values = {"event": "plan", "job": job.name, "clip": str(job.clip), "frames": job.frames}
            values |= {"size_hw": job.size_hw, "masks": job.masks, "state": job.state, "why": job.why}
            typer.echo(json.dumps(values | {"notes": job.notes, "licence": job.licence}))
        return
    if asked.quiet or not plan:
        return
    from osor_video.apps.tables import show_tables  # noqa: PLC0415

    body = [
        [
            *(job.clip.name, str(job.frames), f"{job.size_hw[1]}x{job.size_hw[0]}", job.masks, job.name),
            f"{job.state}: {job.why}" if job.why else job.state,
        ]
        for job in plan
    ]
    show_tables([("Plan", ("clip", "frames", "size", "masks", "output", "state"), body)])
    for job in plan:
        for note in job.notes:
            typer.echo(f"{'note':<9}{job.name}: {note}")
    for licence in dict.fromkeys(job.licence for job in plan if job.licence):
        typer.echo(f"{'licence':<9}{licence}")


def _tell_cost(asked: Asked, plan: list[Planned]) -> None:
    """What is left will take as long as what was finished into the same folder lets expect."""
    left = [job for job in plan if job.state != "done"]
    rate, how = Rate.of(_finished(asked.out.absolute())), "the clips that are finished"
    if asked.calibrate and left and rate is None:
        from osor_video.batch.calibrate import calibrate  # noqa: PLC0415  (loads torch)

        rate, how = calibrate(left, _threads(asked)), "the first frames of one"
    count = asked.workers or asked.jobs or 1
    if not left or (rate is None and not (asked.workers or asked.calibrate)):
        return
    if rate is None:
        _say(
            asked,
            {"event": "cost", "clips": 0},
            "cost     no clip is done yet from which the time could be told",
        )
        return
    seconds = span_s([rate.seconds(job.work) for job in left], count, rate.load_s)
    text = f"{'cost':<9}about {told(seconds)} for {len(left)} clips by {count} workers, as {how} let expect"
    event = {
        "event": "cost",
        "clips": rate.clips,
        "s_per_mpx": rate.s_per_mpx,
        "workers": count,
        "s": seconds,
    }
    _say(asked, {**event, "stages": dict(rate.stages)}, text)


def _finished(out: Path) -> Iterator[Mapping[str, Any]]:
    """What came of the jobs that were done into ``out``."""
    for path in sorted((out / FOLDER).glob("*.json")):
        mark = read_mark(out, path.stem)
        if mark is not None and mark.state == "done" and mark.outcome:
            yield mark.outcome


@contextmanager
def _shown(asked: Asked, plan: list[Planned]) -> Iterator[Callable[[Event], None]]:
    """What hears of events: JSON lines, bars on a terminal, or a line for each job."""
    if asked.as_json:
        # What libraries print is no event.
        out = sys.stdout
        with redirect_stdout(sys.stderr):
            yield lambda event: typer.echo(json.dumps(event), file=out)
    elif asked.quiet:
        yield lambda event: say(f"{event['job']}: {event['why']}") if event["event"] in SPOKEN else None
    elif sys.stderr.isatty():
        with _bars(plan) as bars:
            yield bars
    else:
        yield Lines()


SPOKEN = ("failed", "refused", "again")


class Lines:
    """A line for each job that is done or failed; what is done goes to ``write``."""

    def __init__(self, write: Callable[[str], None] = typer.echo) -> None:
        self._write = write

    def __call__(self, event: Event) -> None:
        """Hear of an event."""
        kind = event["event"]
        if kind == "done":
            self._write(f"{'done':<9}{event['job']} in {event['wall_s']:.1f} s")
        elif kind == "licence":
            self._write(f"{'licence':<9}{event['why']}")
        elif kind in SPOKEN:
            say(f"{event['job']}: {event['why']}{', so it is tried again' if kind == 'again' else ''}")


class Bars:
    """A bar for all frames of all jobs, and one for each job in work."""

    def __init__(self, bars: RichProgress, plan: list[Planned]) -> None:
        self._bars = bars
        self._frames: dict[str, int] = {job.name: job.frames for job in plan if job.state != "done"}
        self._all = bars.add_task("all clips", total=2 * sum(self._frames.values()) or None)
        self._tasks: dict[str, TaskID] = {}
        self._done: dict[str, dict[str, int]] = {}
        self._lines = Lines(partial(bars.console.print, markup=False, highlight=False))

    def __call__(self, event: Event) -> None:
        """Hear of an event."""
        kind, job = event["event"], event.get("job", "")
        if kind == "begin":
            self._tasks[job] = self._bars.add_task(job, total=None)
        elif kind == "frame" and event["stage"] in ("track", "remove"):
            stage = f"{event['stage']} {event.get('part', '')}"
            self._done.setdefault(job, {})[stage] = event["done"]
            total = 2 * int(self._frames.get(job) or event["total"])
            self._bars.update(
                self._tasks[job], completed=min(sum(self._done[job].values()), total), total=total
            )
        elif kind in ("done", "failed"):
            self._done[job] = {"all": 2 * self._frames.get(job, 0)}
            self._bars.remove_task(self._tasks.pop(job))
        self._bars.update(self._all, completed=sum(sum(stages.values()) for stages in self._done.values()))
        if kind in ("done", "licence", *SPOKEN):
            self._lines(event)


@contextmanager
def _bars(plan: list[Planned]) -> Iterator[Bars]:
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn  # noqa: PLC0415
    from rich.progress import Progress as RichProgress  # noqa: PLC0415

    columns = (TextColumn("{task.description:<24}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with RichProgress(*columns, console=Console(stderr=True)) as bars:
        yield Bars(bars, plan)


def _report(asked: Asked, batch: Batch) -> list[Row]:
    """Write the page and the figures; nothing where nothing was done."""
    rows = rows_of(batch.courses, asked.out.absolute())
    if not rows:
        return rows
    totals = {"wall_s": round(batch.wall_s, 3), "workers": batch.workers}
    for name, write in ((FIGURES, write_json), (PAGE, write_page)):
        with writing(asked.out / name):
            asked.out.mkdir(parents=True, exist_ok=True)
            write(asked.out / name, rows, totals)
    return rows


def _sum_up(asked: Asked, rows: list[Row], batch: Batch) -> None:
    counts = {state: sum(row.state == state for row in rows) for state in ("done", "done before", "failed")}
    event = {
        "event": "end",
        "done": counts["done"],
        "failed": counts["failed"],
        "wall_s": round(batch.wall_s, 3),
    }
    if not asked.as_json and not asked.quiet:
        from osor_video.apps.tables import show_tables  # noqa: PLC0415

        body = [
            [row.name, row.state, str(row.frames), f"{row.wall_s:.1f}", str(len(row.warnings) or ""), row.why]
            for row in rows
        ]
        show_tables([("Done", ("clip", "state", "frames", "s", "warnings", ""), body)])
    text = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    _say(asked, event, f"{text} in {batch.wall_s:.1f} s; {asked.out / PAGE}")


def _say(asked: Asked, event: Event, text: str) -> None:
    if asked.as_json:
        typer.echo(json.dumps(event))
    elif not asked.quiet:
        typer.echo(text)
