"""What the worker process does: follow, preview, remove. It is told what by messages and answers with messages.

The page's own process loads no torch: it stays quick, and survives what happens here.
"""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from osor_video.desk.film import encode_png
from osor_video.errors import OsorError
from osor_video.project import Project, decode_mask, encode_mask
from osor_video.report import Progress

if TYPE_CHECKING:
    from osor_video.pipeline import VideoRemover
    from osor_video.tensors import FloatMap

Say = Callable[..., None]
TOLD_EVERY_S = 0.1
NICE = 5


class Flag(Protocol):
    """Says whether the work is to stop."""

    def is_set(self) -> bool:
        """True when it is."""


class CancelledError(Exception):
    """The user has had enough of it."""


@dataclass(frozen=True)
class Task:
    """One thing to do. ``spans``: (object, first frame, end) to follow; ``folder`` is for what it leaves behind."""

    kind: str
    clip: Path
    project: Project
    spans: tuple[tuple[int, int, int], ...] = ()
    frame: int = 0
    output: Path = Path()
    folder: Path = Path()
    known: dict[int, dict[int, str]] = field(default_factory=dict)
    """For a preview: the masks of the frames around it that are known, by object and frame."""


def serve(link: Connection, stop: Flag) -> None:
    """The worker's life: a Task at a time, until the link is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if hasattr(os, "nice"):
        os.nice(NICE)
    worker = Worker(stop)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            task = link.recv()
            if task is None:
                load()
                continue
            link.send(worker.outcome(task, lambda *message: link.send(message)))


def load() -> None:
    """Import what every task needs."""
    import osor_video.api  # noqa: F401, PLC0415
    from osor_video.removal.model import quiet_libraries  # noqa: PLC0415

    quiet_libraries()


class Worker:
    """Keeps the networks of the last configuration."""

    def __init__(self, stop: Flag) -> None:
        self._stop = stop
        self._built: tuple[str, VideoRemover] | None = None

    def outcome(self, task: Task, say: Say) -> tuple[Any, ...]:
        """Do it; the last message, which says how it ended."""
        try:
            return ("done", getattr(self, f"_{task.kind}")(task, say))
        except CancelledError:
            return ("cancelled",)
        except OsorError as error:
            return ("failed", " ".join(str(error).split()), "")
        except Exception as error:  # noqa: BLE001  (whatever it is, the page has to hear of it and the next task has to run)
            text = f"This is a fault of ours, not of your clip: {type(error).__name__}: {error}"
            return ("failed", " ".join(text.split()), traceback.format_exc())

    def _remover(self, project: Project, say: Say) -> VideoRemover:
        from osor_video.api import VideoRemover  # noqa: PLC0415  (seconds)
        from osor_video.removal.model import quiet_libraries  # noqa: PLC0415

        say("progress", "load", 0, 1)
        quiet_libraries()
        config = project.config()
        key = config.model_copy(update={"encode": None}).model_dump_json()
        if self._built is None or self._built[0] != key:
            self._built = key, VideoRemover.from_config(config)
        remover = self._built[1]
        remover.config = config
        say("progress", "load", 1, 1)
        return remover

    def _progress(self, say: Say) -> Progress:
        """A Progress that tells the page ten times a second at most, and stops the work where that is wanted."""
        last = 0.0, ""

        def progress(stage: str, done: int, total: int) -> None:
            nonlocal last
            if self._stop.is_set():
                raise CancelledError
            now = time.monotonic()
            if stage != last[1] or now - last[0] > TOLD_EVERY_S or done == total:
                last = now, stage
                say("progress", stage, done, total)

        return progress

    def _propagate(self, task: Task, say: Say) -> dict[str, Any]:
        self._follow(task, self._remover(task.project, say), say)
        return {}

    def _follow(self, task: Task, remover: VideoRemover, say: Say) -> None:
        from osor_video.api import follow_span  # noqa: PLC0415

        frames, before = sum(stop - start for _, start, stop in task.spans), 0
        tell = self._progress(say)
        for index, start, stop in task.spans:
            seeds = task.project.seeds(task.project.objects[index])

            def progress(stage: str, done: int, total: int, before: int = before) -> None:
                whole = stage == "track"
                tell(stage, done + before if whole else done, frames if whole else total)

            for frame, mask, score in follow_span(remover, task.clip, seeds, (start, stop), progress):
                say("mask", index, frame, encode_mask(mask), round(score, 4))
            before += stop - start

    def _preview(self, task: Task, say: Say) -> dict[str, Any]:
        from osor_video.api import preview_near, preview_span  # noqa: PLC0415

        remover = self._remover(task.project, say)
        project, progress = task.project, self._progress(say)
        start, stop = preview_span(task.frame, project.frames, remover.config)
        masks = np.zeros((stop - start, *project.size_hw), dtype=bool)
        for index, part in enumerate(project.objects):
            if part.masks:
                self._fill_in(masks, index, start, task, remover, say)
        before, after = preview_near(remover, task.clip, task.frame, list(masks), project.regions(), progress)
        for name, picture in (("before", before), ("after", after)):
            (task.folder / f"{name}.png").write_bytes(encode_png(picture))
        return {"frame": task.frame}

    def _fill_in(
        self,
        masks: npt.NDArray[np.bool_],
        index: int,
        start: int,
        task: Task,
        remover: VideoRemover,
        say: Say,
    ) -> None:
        """Lay one object's masks into ``masks`` [T, H, W], the first of frame ``start``; what is not known is followed."""
        from osor_video.api import follow_span  # noqa: PLC0415

        part, stop = task.project.objects[index], start + len(masks)
        known = task.known.get(index, {})
        for frame, png in known.items():
            masks[frame - start] |= decode_mask(png, task.project.size_hw, part.name)
        if len(known) == len(masks):
            return
        seeds = task.project.seeds(part)
        earlier = [frame for frame in seeds if frame <= start]
        later = [frame for frame in seeds if frame >= stop - 1]
        within = any(start < frame < stop - 1 for frame in seeds)
        # From the nearest masks on either side; of those within the span nothing beyond is needed.
        first = max(earlier) if earlier else start
        end = stop if within or earlier or not later else min(later) + 1
        progress = self._progress(say)
        for frame, mask, _ in follow_span(remover, task.clip, seeds, (first, end), progress):
            if start <= frame < stop and frame not in known:
                masks[frame - start] |= mask

    def _run(self, task: Task, say: Say) -> dict[str, Any]:
        remover = self._remover(task.project, say)
        project = task.project
        if task.spans:
            project = self._followed(task, remover, say)
        (task.folder / "alpha").mkdir(parents=True, exist_ok=True)

        def keep_alpha(index: int, alpha: FloatMap) -> None:
            grey = np.rint(alpha * np.float32(255)).astype(np.uint8)
            (task.folder / "alpha" / f"{index}.png").write_bytes(encode_png(grey))

        report = remover.remove(
            task.clip,
            project.marks(),
            task.output,
            self._progress(say),
            regions=project.regions(),
            on_alpha=keep_alpha,
            unfinished="restart",
        )
        left_out = ("mask_drift", "mask_scores", "seconds")
        values = {key: value for key, value in asdict(report).items() if key not in left_out}
        return {**values, "frames_per_s": round(report.frames_per_s, 2)}

    def _followed(self, task: Task, remover: VideoRemover, say: Say) -> Project:
        """The project with the masks that are still to be followed, which the page hears of as well."""
        tracks = {index: dict(task.known.get(index, {})) for index in range(len(task.project.objects))}

        def hear(kind: str, *values: Any) -> None:
            if kind == "mask":
                index, frame, png, _ = values
                tracks[index][frame] = png
            say(kind, *values)

        self._follow(task, remover, hear)
        objects = tuple(
            part.model_copy(
                update={"track": tuple(tracks[index][frame] for frame in range(task.project.frames))}
            )
            if part.masks
            else part
            for index, part in enumerate(task.project.objects)
        )
        return task.project.model_copy(update={"objects": objects})


def warm() -> None:
    """Import what finding an object needs."""
    import osor_video.masks.seed  # noqa: F401, PLC0415  (loads torch)


def find_object(
    picture: npt.NDArray[np.uint8],
    kind: str,
    values: list[tuple[int, int]],
    off: list[tuple[int, int]],
    with_sam2: bool,
) -> str:
    """The object that points, a box or a polygon mark on a picture [H, W, 3], as PNG in base64; MaskError where none is found.

    ``values`` are (x, y) in pixels: the points, the box's corner and its (width, height), or the polygon's corners.
    """
    from osor_video.masks.seed import BoxSeed, PointsSeed, PolygonSeed, Seed  # noqa: PLC0415  (loads torch)

    seed: Seed
    if kind == "points":
        seed = PointsSeed(tuple(values), tuple(off))
    elif kind == "box":
        (x, y), (width, height) = values
        seed = BoxSeed((x, y, width, height))
    else:
        seed = PolygonSeed(tuple(values))
    if with_sam2:
        from osor_video.config import MaskConfig  # noqa: PLC0415
        from osor_video.masks.build import object_of  # noqa: PLC0415

        return encode_mask(object_of(seed, picture, MaskConfig(tracker="sam2")))
    return encode_mask(seed.object_in(picture))
