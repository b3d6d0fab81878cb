"""What is measured: a clip, the mask of its first frame, and the truth it is held against."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from osor_video.config import DecodeConfig
from osor_video.errors import ConfigError
from osor_video.tensors import Mask, Picture
from osor_video.video.planes import planes_to_rgb
from osor_video.video.reader import read_planes
from osor_video.video.source import open_source

Recipe = TypeVar("Recipe", bound=BaseModel)


class Case(BaseModel):
    """One clip with its truth."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    """Name in the table."""
    clip: Path
    """The shot with the object."""
    first: Path
    """Mask of its first frame; all that the remover is given."""
    clean: Path
    """The same shot without the object."""
    masks: Path
    """The true mask of every frame, as a lossless video."""
    ceiling: Path | None = None
    """What the camera itself shows without the object, its noise included, where the truth is free of that: the most that
    can be asked for."""


@dataclass(frozen=True)
class TrueFrame:
    """One frame of a case: ``shot`` and ``clean`` uint8 [H, W, 3], ``mask`` bool [H, W]."""

    shot: Picture
    clean: Picture
    mask: Mask


def cases_from_configs(folder: Path) -> list[Case]:
    """Every ``*.yaml`` of ``folder``; ConfigError where there is none or one does not fit."""
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise ConfigError(
            f"{folder} holds no benchmark cases (*.yaml). Run in a checkout, or pass --clips FOLDER."
        )
    return [_read_case(path) for path in files]


def cases_from_clips(folder: Path) -> list[Case]:
    """Every NAME.mp4 of ``folder`` that has NAME_first.png, NAME_clean.mp4 and NAME_mask.mkv beside it."""
    found = []
    for clip in sorted(folder.glob("*.mp4")):
        first, clean, masks = (
            clip.with_name(clip.stem + end) for end in ("_first.png", "_clean.mp4", "_mask.mkv")
        )
        if first.is_file() and clean.is_file() and masks.is_file():
            found.append(Case(name=clip.stem, clip=clip, first=first, clean=clean, masks=masks))
    if not found:
        raise ConfigError(
            f"{folder} has no case. Expected NAME.mp4 with NAME_first.png, NAME_clean.mp4 and NAME_mask.mkv."
        )
    return found


def true_frames(case: Case) -> Iterator[TrueFrame]:
    """The frames of a case in order; ConfigError where its files do not fit each other."""
    with ExitStack() as open_files:
        streams = []
        for path in (case.clip, case.clean, case.masks):
            pictures = pictures_of(path)
            open_files.enter_context(closing(pictures))
            streams.append(pictures)
        try:
            for shot, clean, mask in zip(*streams, strict=True):
                yield TrueFrame(shot, clean, mask[..., 1] > 127)
        except ValueError as error:
            raise ConfigError(f"The files of case {case.name} differ in length: {error}") from error


def pictures_of(path: Path) -> Generator[Picture, None, None]:
    """All frames of a video or a sequence as uint8 [H, W, 3] RGB, as coded."""
    source = open_source(path, DecodeConfig())
    with closing(read_planes(source)) as frames:
        for frame in frames:
            yield planes_to_rgb(frame.planes, source.color)


def read_recipes(folder: Path, kind: type[Recipe], called: str) -> list[Recipe]:
    """Every ``*.yaml`` of ``folder`` by name; ConfigError where there is none or one does not fit."""
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise ConfigError(f"{folder} holds no recipes of {called} (*.yaml). Run in a checkout.")
    return [read_recipe(path, kind, f"recipe of {called}") for path in files]


def read_recipe(path: Path, kind: type[Recipe], called: str) -> Recipe:
    """What the YAML file at ``path`` describes; ConfigError, which says what it is ``called``, where it does not fit."""
    try:
        return kind.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise ConfigError(f"Cannot use the {called} {path}: {' '.join(str(error).split())}") from error


def _read_case(path: Path) -> Case:
    case = read_recipe(path, Case, "benchmark case")
    named = ("clip", "first", "clean", "masks", *(("ceiling",) if case.ceiling else ()))
    files = {key: (path.parent / getattr(case, key)).resolve() for key in named}
    for key, file in files.items():
        if not file.is_file():
            raise ConfigError(f"The benchmark case {path} names {key}: {file}, which does not exist.")
    return case.model_copy(update=files)
