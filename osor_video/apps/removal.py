"""The commands that run networks: remove, its preview, and masks."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import typer

from osor_video.apps.doubts import doubts, write_contact_sheet
from osor_video.apps.exits import PROGRAM, writing
from osor_video.apps.inputs import check_clip, check_file_target, check_pictures_target
from osor_video.apps.papers import audited, check_papers
from osor_video.apps.pictures import MaskFiles, side_by_side, write_png
from osor_video.apps.pipes import PIPE, spooled
from osor_video.apps.progress import shown_progress
from osor_video.apps.summary import summary
from osor_video.composite.matte import MatteWriter
from osor_video.config import Config
from osor_video.errors import ConfigError
from osor_video.masks.marks import Marks
from osor_video.masks.region import NO_REGIONS, Regions
from osor_video.provenance.papers import NO_PAPERS, Papers
from osor_video.report import RunReport
from osor_video.video.sequence import frame_numbers
from osor_video.video.source import open_source

if TYPE_CHECKING:
    from osor_video.pipeline import VideoRemover
    from osor_video.provenance.keep import Keeper
    from osor_video.provenance.record import Record
    from osor_video.report import Progress
    from osor_video.work.folder import Unfinished


@dataclass(frozen=True)
class Extras:
    """What is to be written beside the clip: masks and effects, the report, the sheet of doubtful masks, alpha, the matte."""

    masks_out: Path | None = None
    effects_out: Path | None = None
    report: Path | None = None
    contact_sheet: Path | None = None
    alpha_out: Path | None = None
    matte: Path | None = None

    def check(self) -> None:
        """ConfigError for a place that cannot be written to."""
        check_file_target(self.report, "--report", (".json",))
        check_file_target(self.contact_sheet, "--contact-sheet", (".png",))
        check_pictures_target(self.masks_out, "--masks-out")
        check_pictures_target(self.effects_out, "--effects-out")
        check_pictures_target(self.alpha_out, "--alpha-out")


@dataclass(frozen=True)
class Job:
    """What to remove from which clip, and how."""

    source: Path
    marks: Marks
    output: Path
    config: Config
    threads: int | None = None
    quiet: bool = False
    extras: Extras = Extras()
    regions: Regions = NO_REGIONS
    unfinished: Unfinished = "refuse"
    follow: Callable[[Path, VideoRemover, Progress], Marks] | None = None
    """How the masks are found beforehand, where one pass over the clip would not do."""
    papers: Papers = NO_PAPERS
    """The record that goes with the result."""

    def tell(self, text: str) -> None:
        """Say it, unless all is to be quiet; on stderr where standard output carries the pictures."""
        if not self.quiet:
            typer.echo(text, err=self.output == PIPE)

    def followed(self, remover: VideoRemover, progress: Progress) -> Marks:
        """The marks for the run, with what has to be followed beforehand."""
        return self.marks if self.follow is None else self.follow(self.source, remover, progress)


def remove_clip(
    job: Job, build: Callable[[Job], VideoRemover] | None = None, progress: Progress | None = None
) -> RunReport:
    """Write the whole clip, and the extras where asked for; exit code 1 where it was to be lossless and is not.

    ``build`` gives the networks where they are loaded already; ``progress`` is told instead of a bar on the terminal.
    """
    with audited(job.papers, job.source, job.output) as outcome, spooled(job.source) as source:
        taken = replace(job, source=source)
        report, outcome.record = _removed(taken, build or build_remover, progress)
    job.tell(summary(report))
    encode, difference = job.config.encode, report.decoded_max_difference
    if difference and (encode.lossless or encode.codec == "ffv1"):
        typer.echo(
            f"{PROGRAM}: {job.output} is not lossless: it differs by {difference:g} where nothing was replaced",
            err=True,
        )
        raise typer.Exit(1)
    return report


def _removed(
    job: Job, build: Callable[[Job], VideoRemover], progress: Progress | None
) -> tuple[RunReport, Record | None]:
    extras = job.extras
    check_papers(job.papers, job.source, job.output)
    notes = check_clip(
        *(job.source, job.marks, job.regions, job.output, job.config, extras.matte, job.unfinished)
    )
    for note in notes:
        job.tell(f"{'note':<9}{note}")
    tell_licence(job)
    remover = build(job)
    info = open_source(job.source, job.config.decode)
    first = frame_numbers(info)[0]
    masks = MaskFiles(extras.masks_out, first) if extras.masks_out or extras.contact_sheet else None
    effects = MaskFiles(extras.effects_out, first) if extras.effects_out else None
    alphas = MaskFiles(extras.alpha_out, first) if extras.alpha_out else None
    keeper = begin_record(job, info.frames) if job.papers.wanted else None
    with ExitStack() as stack:
        matte = stack.enter_context(MatteWriter(extras.matte, info)) if extras.matte else None
        progress = progress or stack.enter_context(shown_progress(job.quiet))
        report = remover.remove(
            *(job.source, job.followed(remover, progress), job.output, progress),
            *(keeper.masks(masks) if keeper else masks, job.regions, effects),
            on_alpha=alphas,
            on_restored=None if matte is None else lambda it: matte.write(it.frame, it.fill),
            unfinished=job.unfinished,
            seal=keeper.seal() if keeper else None,
        )
    for files in (masks, effects, alphas):
        if files:
            files.write()
    if masks and extras.contact_sheet:
        write_contact_sheet(extras.contact_sheet, job.source, masks, report.mask_scores)
    if extras.report:
        with writing(extras.report):
            extras.report.parent.mkdir(parents=True, exist_ok=True)
            report.write(extras.report)
    record = keeper.finish(report) if keeper else None
    return replace(report, notes=[note for note in report.notes if note not in notes]), record


def preview_frame(job: Job, frame: int) -> None:
    """Write one frame beside its finished self as PNG."""
    check_file_target(job.output, "-o with --preview", (".png",))
    if job.papers != NO_PAPERS:
        raise ConfigError("A preview leaves no record. Leave --record and its like out, or --preview.")
    check_clip(job.source, job.marks, job.regions, None, job.config, frame=frame)
    tell_licence(job)
    with shown_progress(job.quiet) as progress:
        remover = build_remover(job)
        marks = job.followed(remover, progress)
        before, after = remover.preview(job.source, marks, frame, progress, job.regions)
    write_png(job.output, side_by_side(before, after))
    job.tell(f"frame {frame}, before and after: {job.output}")


def write_masks(job: Job) -> None:
    """Write the object's mask in every frame into the folder ``job.output``."""
    check_clip(job.source, job.marks, job.regions, None, job.config)
    files, scores = MaskFiles(job.output), []
    with shown_progress(job.quiet) as progress:
        for index, (mask, score) in enumerate(build_remover(job).masks(job.source, job.marks, progress)):
            files(index, mask)
            scores.append(score)
    count = files.write()
    if job.extras.contact_sheet:
        write_contact_sheet(job.extras.contact_sheet, job.source, files, scores)
    mean, least = sum(scores) / count, min(scores)
    job.tell(f"{count} masks in {job.output}, score {mean:.2f} on average, {least:.2f} at least")
    for line in doubts(scores):
        job.tell(line)


def begin_record(job: Job, frames: int) -> Keeper:
    """The record of a run over ``frames`` that begins now."""
    from osor_video.provenance.keep import Keeper  # noqa: PLC0415  (loads torch)

    return Keeper(job.papers, job.source, job.output, job.config, frames)


def tell_licence(job: Job) -> None:
    """Say what a user of the chosen model has to know; also refuses a model that is not there before much is loaded."""
    from osor_video.removal.choose import notice_of  # noqa: PLC0415  (loads torch)

    notice = notice_of(job.config.removal)
    if notice:
        job.tell(notice)


def build_remover(job: Job) -> VideoRemover:
    """Load the networks, with the libraries' chatter turned off."""
    import torch  # noqa: PLC0415

    from osor_video.pipeline import VideoRemover  # noqa: PLC0415  (seconds; the checks come before it)
    from osor_video.removal.model import quiet_libraries  # noqa: PLC0415

    quiet_libraries()
    if job.threads:
        torch.set_num_threads(job.threads)
        cv2.setNumThreads(job.threads)
    return VideoRemover.from_config(job.config)
