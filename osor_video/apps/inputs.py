"""What the user typed, made into the library's values; everything that can be refused early is refused here.

Nothing in this file loads torch before it is called: ``--help`` stays quick.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from osor_video.apps.pipes import PIPE
from osor_video.errors import ConfigError, MaskError, VideoError

if TYPE_CHECKING:
    from osor_video.config import Config
    from osor_video.masks.marks import Marks
    from osor_video.masks.region import Regions
    from osor_video.work.folder import Unfinished

SEED_FORMS = (
    "--mask FIRST.png, --box x,y,width,height, --polygon x1,y1,x2,y2,x3,y3, --points x,y or --boxes FILE.json"
)


@dataclass(frozen=True)
class SeedOptions:
    """The object as typed.

    ``masks`` of the first frame (several are removed together), or one of the others; beside either, masks of other frames
    (``45=fix.png``).
    """

    masks: tuple[str, ...] = ()
    box: str | None = None
    polygon: str | None = None
    points: str | None = None
    not_points: str | None = None
    labels: str | None = None
    fit: bool = False
    boxes: Path | None = None
    boxes_label: str | None = None

    def marks(self) -> Marks:
        """The library's marks; ConfigError for none or two forms, MaskError for numbers that are none."""
        from osor_video.masks.boxes import read_boxes  # noqa: PLC0415  (loads cv2)
        from osor_video.masks.marks import Marks  # noqa: PLC0415  (loads torch)
        from osor_video.masks.painted import MaskReading  # noqa: PLC0415
        from osor_video.masks.seed import BoxSeed, PictureSeed, PointsSeed, PolygonSeed, Seed  # noqa: PLC0415

        self.check()
        reading = MaskReading(_labels(self.labels), self.fit)
        typed = [_numbered(text) for text in self.masks]
        seeds: list[tuple[int, Seed]] = [
            (frame, PictureSeed(path, reading)) for frame, path in typed if frame is not None
        ]
        if self.box is not None:
            x, y, width, height = _box(self.box)
            seeds.append((0, BoxSeed((x, y, width, height))))
        if self.polygon is not None:
            seeds.append((0, PolygonSeed(_pairs("--polygon", self.polygon))))
        if self.points is not None:
            off = _pairs("--not-points", self.not_points) if self.not_points else ()
            seeds.append((0, PointsSeed(_pairs("--points", self.points), off)))
        paths = tuple(path for frame, path in typed if frame is None)
        boxes = () if self.boxes is None else (read_boxes(self.boxes, _names(self.boxes_label)),)
        return Marks(tuple(seeds), paths, reading, boxes=boxes)

    def check(self) -> None:
        """ConfigError unless the object is marked in one form; MaskError for numbers that cannot be read."""
        typed = [_numbered(text) for text in self.masks]
        forms = {
            "mask": any(frame is None for frame, _ in typed),
            "box": self.box is not None,
            "polygon": self.polygon is not None,
            "points": self.points is not None,
            "boxes": self.boxes is not None,
        }
        given = [f"--{name}" for name, there in forms.items() if there]
        if self.not_points is not None and self.points is None:
            raise ConfigError(
                f"--not-points {self.not_points} is given without --points. Give points on the object with --points x,y."
            )
        if self.boxes_label is not None and self.boxes is None:
            raise ConfigError(
                f"--boxes-label {self.boxes_label} is given without --boxes. Give the boxes too."
            )
        _names(self.boxes_label)
        if self.boxes is not None and typed:
            raise ConfigError(
                "--boxes has the masks of every frame, so nothing is followed. Leave --mask out."
            )
        if not given and not typed:
            raise ConfigError(f"What is to be removed is not marked. Give one of {SEED_FORMS}.")
        if len(given) > 1:
            raise ConfigError(
                f"{' and '.join(given)} are given together for the first frame, expected one of {SEED_FORMS}."
            )
        if (self.labels is not None or self.fit) and not typed:
            named = "--labels" if self.labels is not None else "--fit-mask"
            raise ConfigError(
                f"{named} says how masks are read, but there is no --mask. Give one, or leave it out."
            )
        _labels(self.labels)
        if self.box is not None:
            _box(self.box)
        for option, text in (
            ("--polygon", self.polygon),
            ("--points", self.points),
            ("--not-points", self.not_points),
        ):
            if text is not None:
                _pairs(option, text)


@dataclass(frozen=True)
class Wanted:
    """The settings as typed: preset (None: balanced, or a project's), file, ``--set``, and options with a name of their own."""

    preset: str | None
    file: Path | None
    settings: tuple[str, ...]
    named: dict[str, Any]

    def config(self) -> Config:
        """See ``load_config``."""
        return load_config(self.preset or "balanced", self.file, self.settings, self.named)


def painted_regions(added: Iterable[str], kept: Iterable[str], fit: bool) -> Regions:
    """The regions of --effect-mask and --keep as typed; MaskError for a frame that is none."""
    from osor_video.masks.painted import MaskReading  # noqa: PLC0415  (loads cv2)
    from osor_video.masks.region import Region, Regions  # noqa: PLC0415

    regions = []
    for option, texts in (("--effect-mask", added), ("--keep", kept)):
        typed = [_numbered(text, option) for text in texts]
        at_frames = tuple((frame, path) for frame, path in typed if frame is not None)
        paths = tuple(path for frame, path in typed if frame is None)
        regions.append(Region(at_frames, paths, MaskReading(fit=fit, region=True)))
    return Regions(*regions)


def _numbered(text: str, option: str = "--mask") -> tuple[int | None, Path]:
    """ "45=fix.png" -> (45, fix.png), "first.png" -> (None, first.png); a file with an equals sign wants ./ before it."""
    number, equals, name = text.partition("=")
    if not equals or not number.strip().lstrip("-").isdigit():
        return None, Path(text)
    if int(number) < 0 or not name:
        raise MaskError(
            f"{option} is {text!r}, expected FRAME=PICTURE with a frame from 0 on, such as 45=fix.png."
        )
    return int(number), Path(name)


def _labels(text: str | None) -> tuple[int, ...]:
    values = () if text is None else _integers(text)
    if values is None or (values and min(values) < 1):
        raise MaskError(f"--labels is {text!r}, expected whole numbers from 1 on, such as 1,3.")
    return values


def _names(text: str | None) -> tuple[str, ...]:
    names = () if text is None else tuple(name.strip() for name in text.split(","))
    if not all(names):
        raise MaskError(f"--boxes-label is {text!r}, expected names such as face or face,plate.")
    return names


def _box(text: str) -> tuple[int, ...]:
    values = _integers(text)
    if values is None or len(values) != 4:
        raise MaskError(
            f"--box is {text!r}, expected four whole numbers x,y,width,height, such as 40,60,80,150."
        )
    return values


def _pairs(option: str, text: str) -> tuple[tuple[int, int], ...]:
    values = _integers(text)
    if values is None or len(values) % 2:
        example = "40,60,80,60,60,150" if option == "--polygon" else "120,80 or 120,80,124,130"
        raise MaskError(f"{option} is {text!r}, expected whole numbers in pairs x,y, such as {example}.")
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


def speed_extent(lengths: str | None, size: str | None) -> tuple[tuple[int, ...], tuple[int, int] | None]:
    """ "100,2000" and "640x360" -> ((100, 2000), (360, 640)); ConfigError for anything else."""
    counts = () if lengths is None else _integers(lengths)
    if counts is None or (counts and min(counts) < 2):
        raise ConfigError(
            f"--lengths is {lengths!r}, expected numbers of frames from 2 on, such as 100,2000."
        )
    if size is None:
        return counts, None
    sides = _integers(size.replace("x", ","))
    if sides is None or len(sides) != 2 or min(sides) < 64 or any(side % 2 for side in sides):
        raise ConfigError(f"--size is {size!r}, expected even numbers from 64 on, such as 640x360.")
    return counts, (sides[1], sides[0])


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
    from osor_video.video.sequence import is_pattern  # noqa: PLC0415

    if path == PIPE or (is_pattern(path) and not path.exists()):
        return
    if not path.exists():
        raise VideoError(f"{path} does not exist. Give the path of a video.")
    if path.is_dir():
        raise VideoError(f"{path} is a folder, expected a video file.")
    if output is not None and output.resolve() == path.resolve():
        raise VideoError(
            f"{output} is the source itself, which is never overwritten. Choose another output name."
        )


def unfinished_runs(resume: bool, restart: bool) -> Unfinished:
    """What is to become of an unfinished run; ConfigError for both options together."""
    if resume and restart:
        raise ConfigError(
            "--resume goes on with an unfinished run, --restart throws it away. Give one of them."
        )
    return "resume" if resume else "restart" if restart else "refuse"


def check_clip(
    source: Path,
    marks: Marks,
    regions: Regions,
    output: Path | None,
    config: Config,
    matte: Path | None = None,
    unfinished: Unfinished = "refuse",
    frame: int = 0,
) -> list[str]:
    """Probe the source and refuse a target, mask or plate that does not fit it, before any network is loaded.

    So is a target that another run writes, or has left unfinished, and a ``frame`` that the clip does not have. What of the
    source will not come through, a phrase each.
    """
    from osor_video.background.given import open_plate  # noqa: PLC0415
    from osor_video.composite.matte import check_matte  # noqa: PLC0415
    from osor_video.video.orient import shown_size  # noqa: PLC0415
    from osor_video.video.outputs import check_output, output_notes  # noqa: PLC0415
    from osor_video.video.probe import check_frame  # noqa: PLC0415
    from osor_video.video.source import open_source  # noqa: PLC0415
    from osor_video.work.folder import check_work  # noqa: PLC0415

    info = open_source(source, config.decode)
    if output is not None:
        check_output(output, info, config.encode)
        if output != PIPE:
            check_work(output, unfinished)
    size_hw = shown_size(info.size_hw, info.rotation)
    marks.resolve(info.frames, size_hw)
    regions.check(info.frames, size_hw)
    open_plate(config, info)
    check_frame(info, frame)
    if matte is not None:
        check_matte(matte, info)
    return [] if output is None else output_notes(output, info, config.encode)


def check_file_target(path: Path | None, option: str, suffixes: tuple[str, ...]) -> None:
    """Refuse a file beside the video (report, picture) that could not be written; folders may yet be made."""
    if path is None:
        return
    if path.suffix.lower() not in suffixes:
        raise ConfigError(f"{option} is {path}, expected a name that ends in {' or '.join(suffixes)}.")
    if path.is_dir():
        raise ConfigError(f"{option} is {path}, which is a folder. Add a file name.")
    check_folder_target(path.parent, option)


def check_pictures_target(path: Path | None, option: str) -> None:
    """Refuse a folder that can neither be found nor made, and a pattern of files that is none."""
    from osor_video.video.sequence import check_pattern, is_pattern  # noqa: PLC0415  (loads cv2)

    if path is not None and is_pattern(path):
        check_pattern(path)
        check_folder_target(path.parent, option)
    else:
        check_folder_target(path, option)


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
