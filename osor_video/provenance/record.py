"""The record of one edit: which clip was changed into which, where and how much, by what, how set, by whom and why."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from osor_video.config import Config, preset_values
from osor_video.errors import ConfigError, VideoError
from osor_video.tensors import Mask
from osor_video.video.sequence import is_pattern, sequence_files
from osor_video.work.folder import write_whole
from osor_video.work.identity import flattened

KIND: Literal["osor-video record 1"] = "osor-video record 1"
Runs = list[tuple[int, int]]
"""Frames from 0 on: the first and the last of each run."""


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Material(_Plain):
    """A clip by its content. What cannot be known where the record lies is None."""

    name: str
    """Of the file, without its folder; of a sequence its pattern."""
    bytes: int | None = None
    """Size; of a sequence that of all its pictures."""
    sha256: str | None = None
    """Of the file; of a sequence of the lines ``HASH  NAME``, one a picture in order (as sha256sum prints them)."""
    sha256_without_record: str | None = None
    """Of the file with the room of the record within it blank; only in a record that lies within an unsigned file."""
    streams: dict[str, str] = {}
    """SHA-256 of each stream's content (video/packets.py): it stays when a signature is added."""


class Record(_Plain):
    """The record; ``osor-video record 1`` names its form."""

    kind: Literal["osor-video record 1"] = KIND
    room: int | None = None
    """Bytes that the record has within a container; None elsewhere."""
    own_sha256: str | None = None
    """Within a container: of the record's own text there, with null in this place."""
    tool: str = "osor-video"
    version: str
    """Of the tool."""
    programs: dict[str, str] = {}
    """Versions of what computed and encoded."""
    started: str
    """Time in UTC, ISO 8601."""
    duration_s: float
    """From the start until the last frame was finished."""
    operator: str | None = None
    """Who ran it, as given."""
    reason: str | None = None
    """Why, as given."""
    source: Material
    output: Material
    model: str
    """Name of the model."""
    flow: str
    """Optical flow that was used."""
    weights: dict[str, str] = {}
    """SHA-256 of the files of weights, by part and name."""
    preset: str
    """Preset that ``changed`` is held against."""
    changed: dict[str, Any] = {}
    """Settings that differ from the preset, by dotted key."""
    settings: dict[str, Any] = {}
    """Every setting."""
    seed: int
    """Of the noise."""
    frames: int = Field(ge=0)
    """Of the clip."""
    size: tuple[int, int]
    """Width and height in pixels."""
    touched: Runs = []
    """Frames in which something was replaced."""
    replaced: float = Field(ge=0, le=1)
    """Share of all pixels of the clip that were replaced."""
    borrowed: float = Field(ge=0, le=1)
    """Share of the hole that is real background of the shot."""
    masks_sha256: str
    """Of the masks' bits, frame after frame, eight pixels a byte, the first of a row highest; each frame begins a byte."""
    cuts: list[int] = []
    """Frames that begin a new shot."""
    damaged: list[int] = []
    """Frames where the source is damaged."""
    unseen: dict[int, float] = {}
    """Share of the hole, by frame, that the shot does not show: it was generated or interpolated."""
    signed: bool = False
    """Whether the output was signed."""
    left_out: list[str] = []
    """Fields that this copy does not have for want of room; the record in a file of its own has them."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a record's file; ConfigError where it is none."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except OSError as error:
            raise ConfigError(f"The record {path} cannot be read ({error.strerror}).") from error
        except ValidationError as error:
            raise ConfigError(
                f"{path} is not a record of this form ({KIND}): {_first(error)}. Give a file that --record wrote."
            ) from error

    def write(self, path: Path) -> None:
        """Write the record as indented JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        write_paper(path, (self.model_dump_json(indent=2) + "\n").encode())

    def compact(self, room: int | None = None) -> Self:
        """Without what is long: of the settings only those that differ, and no shares by frame."""
        changes: dict[str, Any] = {
            "settings": {},
            "unseen": {},
            "left_out": ["settings", "unseen"],
            "room": room,
        }
        return self.model_copy(update=changes)

    def plain(self) -> dict[str, Any]:
        """JSON's own types."""
        return dict(json.loads(self.model_dump_json()))


class MaskDigest:
    """Takes every frame's mask in order; see ``Record.masks_sha256``."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def __call__(self, index: int, mask: Mask) -> None:
        """The mask [H, W] of the next frame."""
        self._digest.update(np.packbits(mask).tobytes())

    def hex(self) -> str:
        """Of what was taken."""
        return self._digest.hexdigest()


def utc_now() -> str:
    """Now, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def material(path: Path, streams: Mapping[str, str] | None = None) -> Material:
    """The clip at ``path``, a file or a sequence; VideoError where it cannot be read."""
    try:
        if is_pattern(path) and not path.exists():
            files = sequence_files(path)
            lines = hashlib.sha256()
            for file in files:
                lines.update(f"{file_sha256(file)}  {file.name}\n".encode())
            return Material(
                name=path.name, bytes=sum(f.stat().st_size for f in files), sha256=lines.hexdigest()
            )
        return Material(
            name=path.name,
            bytes=path.stat().st_size,
            sha256=file_sha256(path),
            streams=dict(streams or {}),
        )
    except OSError as error:
        raise VideoError(f"{path} cannot be read ({error.strerror}).") from error


def file_sha256(path: Path) -> str:
    """Hex SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_paper(path: Path, data: bytes) -> None:
    """Write a file that is there as it was before or whole; VideoError where it cannot be written."""
    try:
        write_whole(path, data)
    except OSError as error:
        raise VideoError(
            f"{path} could not be written ({error.strerror}). The clip itself is whole."
        ) from error


def settings_of(config: Config) -> dict[str, Any]:
    """Every setting by dotted key; of a file only its name: a record is published, folders are nobody's business."""
    return {key: _nameable(value) for key, value in flattened(config.model_dump()).items()}


def changed_settings(config: Config, preset: str) -> dict[str, Any]:
    """The settings that are not the preset's; ConfigError for an unknown preset."""
    usual = settings_of(Config.model_validate(preset_values(preset)))
    return {key: value for key, value in settings_of(config).items() if usual[key] != value}


def _nameable(value: Any) -> Any:
    local = isinstance(value, Path) or (isinstance(value, str) and os.sep in value and Path(value).exists())
    return Path(value).name if local else value


def _first(error: ValidationError) -> str:
    """The first thing that pydantic found wrong."""
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the whole'}: {first['msg']}"
