"""Pictures of a sequence, ``frame.%04d.png`` or ``frame.####.exr``, as a source."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

from osor_video.errors import VideoError
from osor_video.video.planes import PlanarFrame
from osor_video.video.probe import ColorTags, SourceInfo
from osor_video.video.stills import READ_SUFFIXES, SUFFIX_CODECS, SUFFIXES, read_still

PLACE = re.compile(r"%(?:0(\d+))?d|(#+)")
SRGB_CURVE, LINEAR_LIGHT, BT709_PRIMARIES, RGB_MATRIX, FULL_RANGE = 13, 8, 1, 0, 2
"""ITU-T H.273 numbers."""
CONTAINER = "sequence"


def is_pattern(path: Path) -> bool:
    """Whether the name has a place for the number of a frame."""
    return bool(PLACE.search(path.name))


def numbered(pattern: Path, number: int) -> Path:
    """The file of frame ``number``; VideoError for a pattern with two places."""
    _check_places(pattern)
    return pattern.with_name(PLACE.sub(f"{number:0{_width(pattern)}d}", pattern.name))


def check_pattern(pattern: Path, suffixes: Sequence[str] = SUFFIXES) -> None:
    """VideoError for a pattern that is none, or of other files than ``suffixes``; those of pictures that can be written."""
    _check_places(pattern)
    if pattern.suffix.lower() not in suffixes:
        raise VideoError(
            f"{pattern} ends in {pattern.suffix!r}, expected one of {', '.join(suffixes)} for a sequence."
        )


def _check_places(pattern: Path) -> None:
    if len(PLACE.findall(pattern.name)) != 1:
        raise VideoError(f"{pattern} has several places for a number, expected one, such as frame.%04d.png.")


def frame_numbers(source: SourceInfo) -> list[int]:
    """Number of every frame: as the source's files have it, else from 0."""
    if not source.files:
        return list(range(source.frames))
    return [_number(source.path, file.name) or 0 for file in source.files]


def probe_sequence(pattern: Path, rate: Fraction) -> SourceInfo:
    """What a sequence is, by its first picture; VideoError where none is there or one is lacking in between."""
    check_pattern(pattern, READ_SUFFIXES)
    files = sequence_files(pattern)
    planes, color = read_still(files[0])
    height, width = planes[0].shape
    transfer = LINEAR_LIGHT if color.linear else SRGB_CURVE
    matrix = BT709_PRIMARIES if color.gray else RGB_MATRIX
    return SourceInfo(
        path=pattern,
        size_hw=(height, width),
        sample_aspect=Fraction(1),
        rate=rate,
        time_base=1 / rate,
        pts=tuple(range(len(files))),
        container=CONTAINER,
        codec=SUFFIX_CODECS[pattern.suffix.lower()],
        pix_fmt=color.pix_fmt,
        color=color,
        tags=ColorTags(BT709_PRIMARIES, transfer, matrix, FULL_RANGE),
        rotation=0,
        display_matrix=(),
        interlaced=False,
        streams=(),
        skipped=0,
        hdr="",
        note="",
        files=tuple(files),
    )


def sequence_planes(source: SourceInfo) -> Iterator[PlanarFrame]:
    """Every picture in order; VideoError where one differs in size or form from the first."""
    for index, file in enumerate(source.files):
        planes, color = read_still(file)
        if color != source.color or planes[0].shape != source.size_hw:
            raise VideoError(
                f"The picture {file} is {color.pix_fmt} {planes[0].shape}, the first one is {source.color.pix_fmt} "
                f"{source.size_hw} (height, width). Expected one form throughout."
            )
        yield PlanarFrame(index, source.pts[index], planes, 1)


def sequence_files(pattern: Path) -> list[Path]:
    """The files of a sequence in order; VideoError where there is none, or one is lacking in between."""
    if not pattern.parent.is_dir():
        raise VideoError(f"The folder {pattern.parent} does not exist. Check the spelling.")
    found = {
        number: path
        for path in pattern.parent.iterdir()
        if (number := _number(pattern, path.name)) is not None
    }
    if not found:
        raise VideoError(f"No picture fits {pattern}. Expected files such as {numbered(pattern, 1).name}.")
    first, last = min(found), max(found)
    if len(found) != last - first + 1:
        gap = next(number for number in range(first, last) if number not in found)
        raise VideoError(
            f"{pattern} has {len(found)} pictures from {first} to {last}, but {numbered(pattern, gap).name} is lacking. "
            f"Expected every number in between."
        )
    return [found[number] for number in sorted(found)]


def _number(pattern: Path, name: str) -> int | None:
    before, after = (re.escape(part) for part in (*_parts(pattern),))
    match = re.fullmatch(f"{before}(\\d{{{_width(pattern)},}}){after}", name)
    return int(match[1]) if match else None


def _parts(pattern: Path) -> tuple[str, str]:
    match = PLACE.search(pattern.name)
    assert match is not None  # patterns have been told from other names
    return pattern.name[: match.start()], pattern.name[match.end() :]


def _width(pattern: Path) -> int:
    match = PLACE.search(pattern.name)
    assert match is not None
    return int(match[1] or 1) if match[2] is None else len(match[2])
