"""The plan: every job of a list checked as ``remove`` checks it, before anything is written; all that is wrong told together."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from osor_video.batch.done import Mark, State, foreign, identify_job, read_mark, stamp, state_of
from osor_video.batch.entries import Entry, Listed
from osor_video.batch.options import CLIP, OUTPUT
from osor_video.errors import ConfigError, OsorError
from osor_video.work.identity import Identity

NOT_SPLIT = ("matte", "alpha_out")
"""Options whose files are written from every frame's fill, which the parts of a long clip do not keep."""


class BadJobsError(ConfigError):
    """Entries of a list that cannot be done, with a sentence each in ``complaints``."""

    def __init__(self, complaints: Sequence[str]) -> None:
        super().__init__(" ".join(complaints))
        self.complaints = tuple(complaints)


@dataclass(frozen=True)
class Planned:
    """One job: what ``remove`` is to be given, what its clip is, and what is still to be done.

    ``name`` is the output's within the folder of the results. ``why`` says why it is to be done again, ``notes`` what of the
    source will not come through, ``licence`` what a user of its model has to know.
    """

    name: str
    where: str
    given: Mapping[str, Any]
    clip: Path
    output: Path
    frames: int
    size_hw: tuple[int, int]
    masks: str
    state: State
    why: str
    identity: Identity
    notes: tuple[str, ...] = ()
    licence: str | None = None
    apart: bool = True
    """Whether its frames can be finished apart from each other."""

    @property
    def work(self) -> int:
        """Frames times pixels, to which the time is in proportion."""
        return self.frames * self.size_hw[0] * self.size_hw[1]

    def mark(self) -> Mark:
        """What is written down when it begins."""
        return Mark(self.identity, stamp(self.clip))


def make_plan(listed: Listed, out: Path) -> list[Planned]:
    """The plan for the jobs of a list whose results go to ``out``.

    Raises BadJobsError that names every entry which cannot be done. Folders that the check has to make are gone afterwards.
    """
    out = out.absolute()
    with _folders([entry.given[OUTPUT].parent for entry in listed.entries]) as complaint:
        if complaint:
            raise BadJobsError([complaint])
        with ThreadPoolExecutor(min(8, os.cpu_count() or 1), "osor-video-plan") as pool:
            found = list(pool.map(lambda entry: _planned(entry, out), listed.entries))
    complaints = [*listed.complaints, *(item for item in found if isinstance(item, str))]
    if complaints:
        raise BadJobsError(complaints)
    return [item for item in found if isinstance(item, Planned)]


def _planned(entry: Entry, out: Path) -> Planned | str:
    """One entry checked; a sentence where it cannot be done."""
    try:
        return plan_one(entry, out)
    except OsorError as error:
        return f"{entry.where}: {error}"


def plan_one(entry: Entry, out: Path) -> Planned:
    """One job, checked as ``remove`` does it; its errors."""
    from osor_video.apps.asked import removal_job  # noqa: PLC0415  (loads cv2)
    from osor_video.apps.inputs import check_clip  # noqa: PLC0415
    from osor_video.removal.choose import notice_of  # noqa: PLC0415  (loads torch)
    from osor_video.video.source import open_source  # noqa: PLC0415

    given = {**entry.given, "resume": True}
    job = removal_job(given)
    notes = check_clip(
        *(job.source, job.marks, job.regions, job.output, job.config, job.extras.matte, job.unfinished)
    )
    licence = notice_of(job.config.removal)  # also refuses a model that is not there
    info = open_source(job.source, job.config.decode)
    name = job.output.relative_to(out).as_posix()
    mark = read_mark(out, name)
    if refused := foreign(job.output, mark):
        raise ConfigError(refused)
    identity = identify_job(job, given, out, mark)
    state, why = state_of(job.output, name, identity, mark)
    return Planned(
        *(name, entry.where, entry.given, job.source, job.output, info.frames, info.size_hw),
        *(_masks(entry.given), state, why, identity, tuple(notes), licence),
        apart=job.follow is None and not any(given.get(option) for option in NOT_SPLIT),
    )


def _masks(given: Mapping[str, Any]) -> str:
    """How the object is marked, in a word or two."""
    if masks := given.get("mask"):
        return Path(masks[0].partition("=")[2] or masks[0]).name if len(masks) == 1 else f"{len(masks)} masks"
    marked = next((name for name in ("box", "polygon", "points", "boxes") if given.get(name)), None)
    return marked or f"project {Path(given[CLIP]).name}"


@contextmanager
def _folders(wanted: Sequence[Path]) -> Iterator[str]:
    """The folders are there inside the block, and those that were not before are gone after it; why not, if that fails."""
    made: list[Path] = []
    try:
        try:
            for folder in wanted:
                missing = [place for place in (folder, *folder.parents) if not place.exists()]
                for place in reversed(missing):
                    place.mkdir()
                    made.append(place)
        except OSError as error:
            yield f"The folder {error.filename} cannot be made ({error.strerror}). Choose another place with -o."
            return
        yield ""
    finally:
        for place in reversed(made):
            place.rmdir()
