"""A mask for every frame, as other programs write them: a folder of pictures, or a video of masks."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from osor_video.config import DecodeConfig
from osor_video.errors import MaskError, VideoError
from osor_video.masks.boxes import BoxMasks
from osor_video.masks.painted import (
    AS_PAINTED,
    PICTURE_SUFFIXES,
    MaskReading,
    check_coverage,
    check_picture_size,
    check_size,
    fitted,
    load_mask,
    missing,
)
from osor_video.tensors import Mask
from osor_video.video.orient import shown_size, to_shown
from osor_video.video.probe import SourceInfo
from osor_video.video.reader import open_reader
from osor_video.video.sequence import is_pattern
from osor_video.video.source import open_source

WHITE = 127
"""Grey level of a mask video above which it is object."""


@dataclass(frozen=True)
class FolderMasks:
    """A picture for every frame, in order."""

    files: tuple[Path, ...]
    reading: MaskReading = AS_PAINTED

    def check(self, size_hw: tuple[int, int]) -> None:
        """MaskError for a picture that cannot be read or is of another size, by the headers alone."""
        for path in self.files:
            check_picture_size(path, size_hw, self.reading.fit)

    def masks(self, size_hw: tuple[int, int]) -> Generator[Mask, None, None]:
        """The masks, bool ``size_hw`` as shown, one by one; an empty one says that the object is not there."""
        for path in self.files:
            yield load_mask(path, size_hw, self.reading, empty=True)


@dataclass(frozen=True)
class VideoMasks:
    """A video of masks, white = remove, a frame for every frame."""

    source: SourceInfo
    reading: MaskReading = AS_PAINTED

    def check(self, size_hw: tuple[int, int]) -> None:
        """MaskError for a video of another size."""
        own = shown_size(self.source.size_hw, self.source.rotation)
        check_size(own, size_hw, str(self.source.path), self.reading.fit)

    def masks(self, size_hw: tuple[int, int]) -> Generator[Mask, None, None]:
        """The masks, bool ``size_hw`` as shown, one by one; an empty one says that the object is not there."""
        with open_reader(self.source, "pyav") as frames:
            for frame in frames:
                name = f"{self.source.path}, frame {frame.index}"
                if frame.damaged:
                    raise MaskError(f"The mask video is damaged at {name}. Render it again.")
                mask = np.asarray(to_shown(frame.rgb, self.source.rotation).max(axis=2) > WHITE)
                mask = fitted(mask, size_hw, name, self.reading.fit)
                yield mask if self.reading.region else check_coverage(mask, name)


@dataclass(frozen=True)
class StoredMasks:
    """Pictures in memory, a PNG for every frame, white = remove."""

    pngs: tuple[bytes, ...]
    name: str = "the stored masks"

    def check(self, size_hw: tuple[int, int]) -> None:
        """MaskError where the first is of another size; the others are looked at when their turn comes."""
        read_stored(self.pngs[0], size_hw, f"{self.name}, frame 0")

    def masks(self, size_hw: tuple[int, int]) -> Generator[Mask, None, None]:
        """The masks, bool ``size_hw`` as shown, one by one; an empty one says that the object is not there."""
        for index, png in enumerate(self.pngs):
            name = f"{self.name}, frame {index}"
            yield check_coverage(read_stored(png, size_hw, name), name)


def read_stored(png: bytes, size_hw: tuple[int, int], name: str) -> Mask:
    """A mask picture in memory -> bool ``size_hw``; MaskError where it is none or of another size."""
    stored = np.frombuffer(png, np.uint8)
    picture = cv2.imdecode(stored, cv2.IMREAD_GRAYSCALE) if len(stored) else None
    if picture is None:
        raise MaskError(
            f"The mask of {name} is not a readable picture. Expected a PNG, object white, the rest black."
        )
    check_size(picture.shape, size_hw, name, fit=False)
    return np.asarray(picture > WHITE)


MaskPart = FolderMasks | VideoMasks | StoredMasks | BoxMasks


@dataclass(frozen=True)
class GivenMasks:
    """A mask for every frame of the clip: the union of the parts. Nothing is propagated."""

    parts: tuple[MaskPart, ...]

    def masks(self, size_hw: tuple[int, int]) -> Generator[Mask, None, None]:
        """bool ``size_hw`` as shown, one by one; MaskError where no frame has anything to remove."""
        anything = False
        with ExitStack() as stack:
            streams = [stack.enter_context(closing(part.masks(size_hw))) for part in self.parts]
            for masks in zip(*streams, strict=True):
                union = check_coverage(np.logical_or.reduce(masks), "all parts")
                anything = anything or bool(union.any())
                yield union
        if not anything:
            raise MaskError("The given masks are empty in every frame. Paint the object to remove in white.")


def open_folder(path: Path, frames: int, reading: MaskReading) -> tuple[FolderMasks | None, dict[int, Path]]:
    """What a folder of mask pictures is for a clip of ``frames``: a mask for every frame, or some by frame number.

    As many pictures as frames, numbered without a gap (from 0, 1, 1001 ...), are a mask for every frame; else each
    stands for the frame of its number. Raises MaskError for an empty folder, names without a number, and numbers
    that are twice there or beyond the clip.
    """
    numbered: dict[int, Path] = {}
    for file in sorted(path.iterdir()):
        if file.suffix.lower() not in PICTURE_SUFFIXES or file.name.startswith("."):
            continue
        digits = re.search(r"(\d+)$", file.stem)
        if digits is None:
            raise MaskError(
                f"Mask {file} has no frame number. Name the masks of a folder by their frames, such as 00045.png."
            )
        number = int(digits[1])
        if number in numbered:
            raise MaskError(f"Masks {numbered[number]} and {file} are both of frame {number}. Keep one.")
        numbered[number] = file
    if not numbered:
        raise MaskError(f"The mask folder {path} holds no pictures. Put in 00000.png and others by frame.")
    numbers = sorted(numbered)
    if len(numbers) == frames and numbers[-1] - numbers[0] == frames - 1:
        return FolderMasks(tuple(numbered[number] for number in numbers), reading), {}
    if numbers[-1] >= frames:
        raise MaskError(
            f"Mask {numbered[numbers[-1]]} is for frame {numbers[-1]}, but the clip has frames 0 to {frames - 1}. "
            f"Number the masks by the clip's frames, or give all {frames} (there are {len(numbers)})."
        )
    return None, {number: numbered[number] for number in numbers}


def open_mask_video(path: Path, frames: int, reading: MaskReading) -> VideoMasks:
    """The mask video or sequence (``mask.%04d.png``) at ``path``.

    MaskError where it cannot be read or has not as many frames as the clip.
    """
    if not path.exists() and not is_pattern(path):
        raise missing(path)
    try:
        source = open_source(path, DecodeConfig())
    except VideoError as error:
        raise MaskError(f"Mask {path} is not a readable picture, nor a video of masks: {error}") from error
    if source.frames != frames:
        raise MaskError(
            f"The mask video {path} has {source.frames} frames, the clip has {frames}. Render it over the whole clip."
        )
    return VideoMasks(source, reading)
