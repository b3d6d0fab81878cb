"""The desk itself: what is open on it, its queue of work, and how a task is made of what is asked."""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

from osor_video.desk.film import Film
from osor_video.desk.jobs import Job, Queue
from osor_video.desk.options import VIDEO_SUFFIXES
from osor_video.desk.projects import Result, Session
from osor_video.desk.things import Thing
from osor_video.desk.work import Task, find_object, warm
from osor_video.errors import ConfigError, MaskError, VideoError
from osor_video.project import SUFFIX, Project, preview_span

NAME = re.compile(r"[^/\\\x00-\x1f:*?\"<>|]{1,200}")
KEPT_PREVIEWS = 12


class Desk:
    """Everything behind the page.

    ``folder`` is its own, for uploads and results. ``paths``: whether clips may be opened by path. ``ready``: whether the worker
    loads its libraries as soon as a clip is opened.
    """

    def __init__(self, folder: Path, paths: bool = True, ready: bool = True) -> None:
        self.folder = folder
        self.paths = paths
        self.sessions: dict[str, Session] = {}
        self.queue = Queue()
        self._ready = ready
        self._finder: ProcessPoolExecutor | None = None

    def open(self, path: Path, named: str | None = None) -> Session:
        """Open the clip or project at ``path``; ``named`` is what an upload was called.

        Raises VideoError, MaskError and ConfigError, each with one sentence for the user.
        """
        if path.suffix.lower() == SUFFIX and named is None:
            return self._open_project(path)
        if path.suffix.lower() not in VIDEO_SUFFIXES:
            raise VideoError(
                f"{named or path} is not taken for a video by its name. Expected one that ends in {', '.join(VIDEO_SUFFIXES[:7])} "
                f"or the like, or a project ({SUFFIX})."
            )
        if not path.exists():
            raise VideoError(f"{path} does not exist. Check the spelling and the folder.")
        session = Session(path.resolve(), named or path.name, beside=named is None)
        return self._put(session)

    def _open_project(self, path: Path) -> Session:
        project = Project.read(path)
        clip = project.clip_path(path.resolve().parent)
        if clip.suffix.lower() not in VIDEO_SUFFIXES or not clip.exists():
            raise VideoError(
                f"The clip of {path.name} is {project.clip}, which is not there. Put it beside the project."
            )
        session = Session(clip.resolve(), clip.name, beside=True)
        session.take(project)
        return self._put(session)

    def _put(self, session: Session) -> Session:
        self.sessions[session.id] = session
        (self.folder / session.id).mkdir()
        if self._ready:
            self.queue.warm()
            self._finding().submit(warm)
        return session

    def upload_target(self, name: str) -> Path:
        """Where an upload called ``name`` goes; VideoError for a name that is no video's."""
        checked = checked_name(name)
        if Path(checked).suffix.lower() not in VIDEO_SUFFIXES:
            raise VideoError(f"{checked} is not taken for a video by its name. Drop a clip such as walk.mp4.")
        return self.folder / f"upload-{secrets.token_hex(8)}{Path(checked).suffix.lower()}"

    def find(
        self,
        session: Session,
        frame: int,
        kind: str,
        values: list[tuple[int, int]],
        off: list[tuple[int, int]],
    ) -> str:
        """The object that was marked in ``frame``, as PNG in base64; MaskError where none is found."""
        picture = session.film.rgb(session.check_frame(frame))
        with_sam2 = session.settings.get("mask.tracker") == "sam2"
        try:
            return self._finding().submit(find_object, picture, kind, values, off, with_sam2).result()
        except BrokenProcessPool as error:
            self._finder = None
            raise MaskError("Finding the object stopped all at once. Try again, or paint it.") from error

    def start(self, session: Session, kind: str, frame: int = 0) -> Job:
        """Queue what is asked of a session: "propagate", "preview" (of ``frame``) or "run".

        Raises MaskError where nothing is marked or nothing is left to follow.
        """
        with session.lock:
            version, project, things = session.version, session.project(), list(session.things)
            spans = [
                (index, *span) for index, thing in enumerate(things) for span in thing.spans(session.frames)
            ]
            known = {
                index: {number: thing.track[number][0] for number in thing.fresh}
                for index, thing in enumerate(things)
                if thing.masks
            }
        if not project.marked:
            raise MaskError("Nothing is marked yet. Paint the object in one frame.")
        if kind == "propagate" and not spans:
            raise MaskError(
                "Every frame is followed already. Correct a mask, and what depends on it is followed anew."
            )
        folder = self.folder / session.id / secrets.token_hex(6)
        folder.mkdir()
        task = Task(kind, session.clip, project, folder=folder, frame=session.check_frame(frame))
        if kind == "preview":
            task = replace(task, known=_near(known, task, project))
        elif kind == "run":
            output = folder / f"{Path(session.name).stem}_removed{session.container}"
            task = replace(task, output=output, spans=tuple(spans), known=known)
        else:
            task = replace(task, spans=tuple(spans))
        return self.queue.add(Job(session.id, task, version, _hearing(session, things), self._ended(session)))

    def _ended(self, session: Session) -> Callable[[Job], None]:
        def ended(job: Job) -> None:
            if job.task.kind == "run" and job.state == "done":
                output = job.task.output
                session.results[job.id] = Result(
                    job.id, output, job.task.folder, Film(output), output.name, job.version, job.result
                )
            elif job.state != "done":
                shutil.rmtree(job.task.folder, ignore_errors=True)
            with session.lock:
                session.revision += 1
            previews = [
                old for old in self.queue.of(session.id) if old.task.kind == "preview" and not old.open
            ]
            for old in previews[:-KEPT_PREVIEWS]:
                shutil.rmtree(old.task.folder, ignore_errors=True)

        return ended

    def save(self, session: Session, source: Path | str, name: str, overwrite: bool) -> Path:
        """Write a file or a text beside the session's clip under ``name``.

        Raises ConfigError for a clip that has no place of the user's, a name with folders in it, the clip itself, and for a file
        that is there unless it may be overwritten.
        """
        if not session.beside:
            raise ConfigError("This clip was uploaded, so there is no place beside it. Download the result.")
        target = session.clip.parent / checked_name(name)
        if target.exists() and (target.is_dir() or target.samefile(session.clip)):
            raise ConfigError(f"{name} is the clip itself or a folder. Choose another name.")
        wanted = source.suffix if isinstance(source, Path) else SUFFIX
        if target.suffix.lower() != wanted.lower():
            raise ConfigError(f"The name is {name}, expected one that ends in {wanted}.")
        if target.exists() and not overwrite:
            raise FileExistsError(f"{target} is there already.")
        part = target.with_name(f".{target.stem}.part{target.suffix}")
        try:
            if isinstance(source, Path):
                shutil.copyfile(source, part)
            else:
                part.write_text(source, encoding="utf-8")
            part.replace(target)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise ConfigError(
                f"{target} could not be written ({error.strerror}). Download it instead."
            ) from error
        return target

    def forget(self, session: Session) -> None:
        """Close a session, its jobs and its files."""
        for job in self.queue.of(session.id):
            self.queue.cancel(job)
        self.sessions.pop(session.id, None)
        session.close()

    def close(self) -> None:
        """End all work."""
        self.queue.close()
        if self._finder is not None:
            self._finder.shutdown(wait=False, cancel_futures=True)
        for session in self.sessions.values():
            session.close()

    def _finding(self) -> ProcessPoolExecutor:
        if self._finder is None:
            self._finder = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        return self._finder


def checked_name(name: str) -> str:
    """``name`` where it is that of a file alone, without a folder; ConfigError for any other."""
    if not NAME.fullmatch(name) or name.startswith(".") or name.strip() != name:
        raise ConfigError(
            f"The name is {name!r}, expected that of a file without a folder, such as walk_removed.mp4."
        )
    return name


def _near(known: dict[int, dict[int, str]], task: Task, project: Project) -> dict[int, dict[int, str]]:
    """Of the known masks those that a preview looks at."""
    start, stop = preview_span(task.frame, project.frames, project.config())
    return {
        index: {frame: png for frame, png in masks.items() if start <= frame < stop}
        for index, masks in known.items()
    }


def _hearing(session: Session, things: list[Thing]) -> Callable[[Job, int, int, str, float], None]:
    numbers = [thing.id for thing in things]

    def hear(job: Job, index: int, frame: int, png: str, score: float) -> None:
        session.hear(numbers[index], frame, png, score, job.version)

    return hear
