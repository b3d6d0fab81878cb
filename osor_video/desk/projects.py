"""What is open on the desk: a clip with its marks, under version numbers, so that two windows do not undo each other."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from osor_video.config import Config
from osor_video.desk.film import Film
from osor_video.desk.ops import AddObject, ChangeSettings, Op, PaintMask, RenameObject
from osor_video.desk.options import CHOICES, EXPORTS, MODEL_NAMES, PATH_KEYS, QUALITY_KEY
from osor_video.desk.things import Thing
from osor_video.errors import ConfigError, MaskError, OsorError
from osor_video.project import ObjectMarks, Project, decode_mask, encode_mask
from osor_video.report import doubtful_runs

COLOURS = ("#e8a33d", "#4fb3c8", "#c678dd", "#7fbf5f", "#e06c75", "#6f8ff0", "#d9c04a", "#5fc9a2")


class StaleError(OsorError):
    """Another window changed the project meanwhile."""


@dataclass
class Result:
    """A finished clip: the file, its frames and the alpha beside it, made from ``version`` of the project."""

    id: str
    file: Path
    folder: Path
    film: Film
    name: str
    version: int
    report: dict[str, Any]


class Session:
    """One clip on the desk. ``beside``: the clip lies where the user has it, so that results may be saved beside it."""

    def __init__(self, clip: Path, name: str, beside: bool) -> None:
        self.id = secrets.token_hex(8)
        self.clip = clip
        self.name = name
        self.beside = beside
        self.film = Film(clip)
        self.lock = threading.RLock()
        self.version = 1
        self.revision = 1
        """Counts what was followed, too."""
        self.things: list[Thing] = [Thing(1, "Object 1", COLOURS[0])]
        self.regions: dict[str, dict[int, str]] = {"also": {}, "keep": {}}
        self.preset = "balanced"
        self.settings: dict[str, Any] = {}
        self.container = ".mp4"
        self.results: dict[str, Result] = {}
        self.saved_version = 1

    @property
    def frames(self) -> int:
        """How many the clip has."""
        return self.film.source.frames

    def check_frame(self, frame: int) -> int:
        """``frame`` where the clip has it, else MaskError."""
        if not 0 <= frame < self.frames:
            raise MaskError(f"There is no frame {frame}: {self.name} has frames 0 to {self.frames - 1}.")
        return frame

    def edit(self, ops: Sequence[Op], version: int) -> None:
        """Carry out ``ops``, all or none, on ``version`` of the project.

        Raises StaleError where it has moved on, MaskError and ConfigError for what does not fit.
        """
        with self.lock:
            if version != self.version:
                raise StaleError(
                    f"Another window changed this project meanwhile (it is at version {self.version}, this window knew "
                    f"{version}). Your last change was not taken; you now see the project as it is."
                )
            steps = [self._step(op) for op in ops]
            self.version += 1
            self.revision += 1
            for step in steps:
                step()

    def _step(self, op: Op) -> Callable[[], None]:
        """What ``op`` does, checked."""
        if isinstance(op, PaintMask):
            self.check_frame(op.frame)
            return self._painting(op.target, op.frame, op.png)
        if isinstance(op, AddObject):
            for frame in op.masks:
                self.check_frame(frame)
            masks = {frame: self._checked(png, "the object") for frame, png in op.masks.items()}
            return lambda: self._add(op, {frame: png for frame, png in masks.items() if png})
        if isinstance(op, ChangeSettings):
            return self._setting(op)
        thing = self.thing(op.target)
        if isinstance(op, RenameObject):
            return lambda: setattr(thing, "name", op.name)
        return lambda: self.things.remove(thing)

    def _checked(self, png: str, name: str) -> str | None:
        """The mask in one bit a pixel; None where nothing is painted."""
        mask = decode_mask(png, self.film.size_hw, name)
        return encode_mask(mask) if mask.any() else None

    def _painting(self, target: int | str, frame: int, png: str | None) -> Callable[[], None]:
        if isinstance(target, int):
            thing = self.thing(target)
            stored = None if png is None else self._checked(png, thing.name)
            return lambda: thing.paint(frame, stored, self.frames, self.version)
        region = self.regions[target]
        if png is None:
            return lambda: _drop(region, frame)
        painted = self._checked(png, target)
        # A region that is empty from here on ends what was painted before.
        empty = (
            encode_mask(np.zeros(self.film.size_hw, dtype=bool)) if any(k < frame for k in region) else None
        )
        if painted is None and empty is None:
            return lambda: _drop(region, frame)
        return lambda: region.__setitem__(frame, painted or empty or "")

    def _add(self, op: AddObject, masks: dict[int, str]) -> None:
        taken = {thing.id for thing in self.things}
        number = op.id if op.id is not None and op.id not in taken else max(taken, default=0) + 1
        colour = op.colour or next(
            (c for c in COLOURS if c not in {thing.colour for thing in self.things}),
            COLOURS[number % len(COLOURS)],
        )
        thing = Thing(number, op.name or f"Object {number}", colour)
        for frame, png in masks.items():
            thing.paint(frame, png, self.frames, self.version)
        self.things.append(thing)
        self.things.sort(key=lambda item: item.id)

    def _setting(self, op: ChangeSettings) -> Callable[[], None]:
        settings = {
            key: value for key, value in {**self.settings, **op.settings}.items() if value is not None
        }
        preset, container = op.preset or self.preset, op.container or self.container
        check_settings(settings)
        if container not in {export.container for export in EXPORTS}:
            raise ConfigError(f"The container is {container!r}, expected one of those offered.")
        wanted = Project(clip="-", frames=1, width=1, height=1, settings=settings).config(preset=preset)
        follows_anew = wanted.mask != self._config().mask or wanted.flow != self._config().flow

        def change() -> None:
            self.preset, self.settings, self.container = preset, settings, container
            if follows_anew:
                for thing in self.things:
                    thing.fresh = set(thing.masks)
                    thing.changed.append((0, self.frames, self.version))

        return change

    def _effective(self) -> dict[str, Any]:
        """The values that hold of what the page lets choose."""
        config = self._config()
        keys = [choice.key for choice in CHOICES if choice.key != "preset"]
        return {key: reduce(getattr, key.split("."), config) for key in (*keys, QUALITY_KEY)}

    def _config(self) -> Config:
        return Project(clip="-", frames=1, width=1, height=1, settings=self.settings).config(
            preset=self.preset
        )

    def thing(self, number: int) -> Thing:
        """The object of that id; MaskError where it is gone."""
        for thing in self.things:
            if thing.id == number:
                return thing
        raise MaskError(f"There is no object {number} any more. Choose another one.")

    def hear(self, number: int, frame: int, png: str, score: float, version: int) -> None:
        """Take a followed mask from a job that began at ``version``."""
        with self.lock:
            for thing in self.things:
                if thing.id == number and thing.hear(frame, png, score, version):
                    self.revision += 1

    def project(self, clip: str | None = None) -> Project:
        """What is on the desk, as a file would have it; ``clip`` is how the file is to name it."""
        with self.lock:
            height, width = self.film.size_hw
            return Project(
                clip=clip or str(self.clip),
                frames=self.frames,
                width=width,
                height=height,
                objects=tuple(self._object(thing) for thing in self.things),
                also=dict(self.regions["also"]),
                keep=dict(self.regions["keep"]),
                preset=self.preset,  # type: ignore[arg-type]
                settings=dict(self.settings),
                container=self.container,
            )

    def _object(self, thing: Thing) -> ObjectMarks:
        whole = thing.whole(self.frames) and bool(thing.masks)
        kept = [thing.track[frame] for frame in range(self.frames)] if whole else []
        return ObjectMarks(
            name=thing.name,
            colour=thing.colour,
            masks=dict(sorted(thing.masks.items())),
            track=tuple(png for png, _ in kept),
            scores=tuple(score for _, score in kept),
        )

    def take(self, project: Project) -> None:
        """Replace what is on the desk by ``project``; MaskError where it is of another clip, ConfigError for its settings."""
        height, width = self.film.size_hw
        if (project.frames, project.height, project.width) != (self.frames, height, width):
            raise MaskError(
                f"The project is of a clip of {project.frames} frames of {project.width}x{project.height}, but {self.name} has "
                f"{self.frames} of {width}x{height}. Open the clip it was made for."
            )
        check_settings(project.settings)
        project.config()
        things = []
        for number, part in enumerate(project.objects, start=1):
            thing = Thing(number, part.name, part.colour)
            for frame, png in part.masks.items():
                stored = self._checked(png, part.name)
                if stored:
                    thing.masks[frame] = stored
            scores = part.scores or (1.0,) * len(part.track)
            for frame, (png, score) in enumerate(zip(part.track, scores, strict=True)):
                decode_mask(png, self.film.size_hw, part.name)
                thing.track[frame] = png, score
            thing.fresh = set(thing.track) if thing.masks else set()
            thing.track |= {frame: (png, 1.0) for frame, png in thing.masks.items()}
            things.append(thing)
        regions = {"also": dict(project.also), "keep": dict(project.keep)}
        for name, region in regions.items():
            for png in region.values():
                decode_mask(png, self.film.size_hw, name)
        with self.lock:
            self.version += 1
            self.revision += 1
            self.things = things or [Thing(1, "Object 1", COLOURS[0])]
            self.regions = regions
            self.preset, self.settings = project.preset, dict(project.settings)
            known = {export.container for export in EXPORTS}
            self.container = project.container if project.container in known else ".mp4"

    def masks(self, frame: int) -> dict[str, Any]:
        """The masks of one frame: of objects with where they are from (key, track, or stale), and of the regions that hold."""
        self.check_frame(frame)
        with self.lock:
            objects = {}
            for thing in self.things:
                if frame in thing.masks:
                    objects[str(thing.id)] = {"png": thing.masks[frame], "kind": "key"}
                elif frame in thing.track and thing.masks:
                    kind = "track" if frame in thing.fresh else "stale"
                    objects[str(thing.id)] = {"png": thing.track[frame][0], "kind": kind}
            regions = {}
            for name, region in self.regions.items():
                begun = max((key for key in region if key <= frame), default=None)
                if begun is not None:
                    regions[name] = {"png": region[begun], "kind": "key" if begun == frame else "held"}
        return {"frame": frame, "revision": self.revision, "objects": objects, **regions}

    def scores(self) -> list[float | None]:
        """How far each frame's masks are to be trusted, the least of all objects; None where one is not followed yet."""
        marked = [thing for thing in self.things if thing.masks]
        return [
            min(thing.track[frame][1] for thing in marked)
            if marked and all(frame in thing.fresh for thing in marked)
            else None
            for frame in range(self.frames)
        ]

    def state(self) -> dict[str, Any]:
        """Everything that the page shows, but pictures and masks."""
        source = self.film.source
        with self.lock:
            scores = self.scores()
            return {
                "id": self.id,
                "name": self.name,
                "beside": str(self.clip.parent) if self.beside else None,
                "frames": self.frames,
                "height": self.film.size_hw[0],
                "width": self.film.size_hw[1],
                "rate": float(source.rate),
                "duration_s": source.duration_s,
                "codec": source.codec,
                "version": self.version,
                "revision": self.revision,
                "objects": [
                    {
                        "id": t.id,
                        "name": t.name,
                        "colour": t.colour,
                        "keys": sorted(t.masks),
                        "whole": t.whole(self.frames),
                    }
                    for t in self.things
                ],
                "also": sorted(self.regions["also"]),
                "keep": sorted(self.regions["keep"]),
                "preset": self.preset,
                "settings": self.settings,
                "effective": self._effective(),
                "container": self.container,
                "scores": scores,
                "doubts": doubts(scores),
                "to_follow": sum(e - s for t in self.things for s, e in t.spans(self.frames)),
                "results": [
                    {
                        "id": r.id,
                        "name": r.name,
                        "version": r.version,
                        "report": r.report,
                        "bytes": r.file.stat().st_size,
                    }
                    for r in self.results.values()
                ],
            }

    def close(self) -> None:
        """Free the decoders."""
        for film in (self.film, *(result.film for result in self.results.values())):
            film.close()


def _drop(region: dict[int, str], frame: int) -> None:
    region.pop(frame, None)


def doubts(scores: Sequence[float | None]) -> list[dict[str, Any]]:
    """Runs of doubtful frames, the worst first."""
    known = [1.0 if score is None else score for score in scores]
    runs = sorted(doubtful_runs(known), key=lambda run: known[run.worst])
    return [
        {"first": run.first, "last": run.last, "worst": run.worst, "score": round(known[run.worst], 3)}
        for run in runs
    ]


def check_settings(settings: Mapping[str, Any]) -> None:
    """ConfigError for a setting that names a file."""
    for key, value in settings.items():
        if key in PATH_KEYS or (key == "removal.model" and value not in MODEL_NAMES):
            raise ConfigError(
                f"The setting {key} is {value!r} and names a file, which the desk does not take. Use it with osor-video remove."
            )
