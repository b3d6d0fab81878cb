"""What the user typed, made into the library's values; everything that can be refused early is refused here.

Nothing in this file loads torch before it is called: ``--help`` stays quick.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osor_video.errors import ConfigError, MaskError, VideoError

if TYPE_CHECKING:
    from osor_video.config import Config
    from osor_video.masks.seed import Seed

SEED_FORMS = "--mask FIRST.png, --box x,y,width,height or --polygon x1,y1,x2,y2,x3,y3"


@dataclass(frozen=True)
class SeedOptions:
    """The object as typed: exactly one of the three is given."""

    mask: Path | None
    box: str | None
    polygon: str | None

    def seed(self) -> Seed:
        """The library's seed; ConfigError for none or two, MaskError for numbers that are none."""
        from osor_video.masks.seed import BoxSeed, PictureSeed, PolygonSeed  # noqa: PLC0415  (loads torch)

        self.check()
        if self.mask is not None:
            return PictureSeed(self.mask)
        if self.box is not None:
            x, y, width, height = _box(self.box)
            return BoxSeed((x, y, width, height))
        return PolygonSeed(_polygon(self.polygon or ""))

    def check(self) -> None:
        """ConfigError unless exactly one form is given; MaskError for numbers that cannot be read."""
        given = [
            f"--{name}"
            for name, value in (("mask", self.mask), ("box", self.box), ("polygon", self.polygon))
            if value is not None
        ]
        if not given:
            raise ConfigError(f"What is to be removed is not marked. Give one of {SEED_FORMS}.")
        if len(given) > 1:
            raise ConfigError(f"{' and '.join(given)} are given together, expected one of {SEED_FORMS}.")
        if self.box is not None:
            _box(self.box)
        if self.polygon is not None:
            _polygon(self.polygon)


def _box(text: str) -> tuple[int, ...]:
    values = _integers(text)
    if values is None or len(values) != 4:
        raise MaskError(
            f"--box is {text!r}, expected four whole numbers x,y,width,height, such as 40,60,80,150."
        )
    return values


def _polygon(text: str) -> tuple[tuple[int, int], ...]:
    values = _integers(text)
    if values is None or len(values) % 2:
        raise MaskError(
            f"--polygon is {text!r}, expected whole numbers in pairs x1,y1,x2,y2,x3,y3, "
            "such as 40,60,80,60,60,150."
        )
    return tuple(zip(values[::2], values[1::2], strict=True))


def _integers(text: str) -> tuple[int, ...] | None:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        return None


def frame_numbers(text: str) -> tuple[int, ...]:
    """ "3,13,24" -> (3, 13, 24); ConfigError for anything else."""
    values = _integers(text)
    if values is None or min(values) < 0:
        raise ConfigError(f"--frames is {text!r}, expected frame numbers such as 3,13,24.")
    return values


def load_config(
    preset: str, file: Path | None, settings: Iterable[str] = (), named: dict[str, Any] | None = None
) -> Config:
    """Preset, then file, then ``--set``, then the options with a name of their own (None = not given)."""
    from osor_video.config import Config, parse_override  # noqa: PLC0415

    overrides = dict(parse_override(text) for text in settings)
    overrides |= {key: value for key, value in (named or {}).items() if value is not None}
    return Config.load(preset, file, overrides)


def check_source(path: Path, output: Path | None) -> None:
    """Refuse a source that is missing and an output that is the source."""
    if not path.exists():
        raise VideoError(f"{path} does not exist. Give the path of a video.")
    if path.is_dir():
        raise VideoError(f"{path} is a folder, expected a video file.")
    if output is not None and output.resolve() == path.resolve():
        raise VideoError(
            f"{output} is the source itself, which is never overwritten. Choose another output name."
        )


def check_clip(source: Path, seed: Seed, output: Path | None, config: Config) -> None:
    """Probe the source and refuse a target or a mask that does not fit it, before any network is loaded."""
    from osor_video.video.orient import shown_size  # noqa: PLC0415
    from osor_video.video.probe import probe  # noqa: PLC0415
    from osor_video.video.target import check_target  # noqa: PLC0415

    info = probe(source)
    if output is not None:
        check_target(output, info, config.encode)
    seed.mask(shown_size(info.size_hw, info.rotation))


def check_file_target(path: Path | None, option: str, suffixes: tuple[str, ...]) -> None:
    """Refuse a file beside the video (report, picture) that could not be written; folders may yet be made."""
    if path is None:
        return
    if path.suffix.lower() not in suffixes:
        raise ConfigError(f"{option} is {path}, expected a name that ends in {' or '.join(suffixes)}.")
    if path.is_dir():
        raise ConfigError(f"{option} is {path}, which is a folder. Add a file name.")
    check_folder_target(path.parent, option)


def check_folder_target(folder: Path | None, option: str) -> None:
    """Refuse a folder that neither exists nor can be made."""
    if folder is None:
        return
    nearest = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    if not nearest.is_dir():
        raise ConfigError(
            f"{option} needs the folder {folder}, but {nearest} is a file. Choose another place."
        )
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise ConfigError(
            f"{option} needs the folder {folder}, but {nearest} is not writable. Choose another place."
        )
