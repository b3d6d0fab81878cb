"""Regions that the user painted beside the object: what is to go too, and what is never to be touched."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from osor_video.errors import MaskError
from osor_video.masks.painted import (
    PICTURE_SUFFIXES,
    MaskReading,
    check_picture_size,
    check_size,
    load_mask,
    missing,
)
from osor_video.masks.sequence import FolderMasks, VideoMasks, open_folder, open_mask_video
from osor_video.tensors import Mask
from osor_video.video.orient import shown_size, to_coded
from osor_video.video.sequence import is_pattern

AS_REGION = MaskReading(region=True)


@dataclass(frozen=True)
class Region:
    """What was painted, before the clip is known.

    ``at_frames``: (frame, picture or bool [H, W]), each holding from its frame on until the next such one (a black one ends it).
    ``paths``: pictures that hold for the whole clip, folders of pictures by frame, videos of masks. All are united.
    """

    at_frames: tuple[tuple[int, Path | Mask], ...] = ()
    paths: tuple[Path, ...] = ()
    reading: MaskReading = AS_REGION

    def resolve(self, frames: int, size_hw: tuple[int, int]) -> ResolvedRegion:
        """The region in a clip of ``frames`` that is shown at ``size_hw``; MaskError where something does not fit."""
        held: list[tuple[int, Path | Mask]] = list(self.at_frames)
        whole: list[Path] = []
        streams: list[FolderMasks | VideoMasks] = []
        for path in self.paths:
            if path.is_dir():
                every, some = open_folder(path, frames, self.reading)
                streams += [every] if every else []
                held += some.items()
            elif path.suffix.lower() in PICTURE_SUFFIXES and not is_pattern(path):
                whole.append(path)
            else:
                streams.append(open_mask_video(path, frames, self.reading))
        for frame, _ in held:
            if not 0 <= frame < frames:
                raise MaskError(
                    f"A region is given for frame {frame}, but the clip has frames 0 to {frames - 1}. Choose one of them."
                )
        for picture in (*whole, *(picture for _, picture in held)):
            _check_picture(picture, size_hw, self.reading.fit)
        for stream in streams:
            stream.check(size_hw)
        by_frame: dict[int, list[Path | Mask]] = {}
        for frame, picture in held:
            by_frame.setdefault(frame, []).append(picture)
        return ResolvedRegion(frames, size_hw, tuple(whole), by_frame, tuple(streams), self.reading)


def _check_picture(picture: Path | Mask, size_hw: tuple[int, int], fit: bool) -> None:
    """MaskError where a picture, by its header alone, or a mask in memory does not do."""
    if not isinstance(picture, Path):
        check_size(picture.shape, size_hw, "in memory", fit=False)
        return
    if not picture.is_file():
        raise missing(picture)
    check_picture_size(picture, size_hw, fit)


@dataclass(frozen=True)
class ResolvedRegion:
    """A region that fits its clip."""

    frames: int
    size_hw: tuple[int, int]
    whole: tuple[Path, ...]
    held: dict[int, list[Path | Mask]]
    streams: tuple[FolderMasks | VideoMasks, ...]
    reading: MaskReading

    def masks(self) -> Generator[Mask, None, None]:
        """bool ``size_hw`` as shown, a mask for every frame."""
        always = self._union(self.whole)
        since = np.zeros(self.size_hw, dtype=bool)
        with ExitStack() as stack:
            streams = [stack.enter_context(closing(part.masks(self.size_hw))) for part in self.streams]
            for frame in range(self.frames):
                if frame in self.held:
                    since = self._union(self.held[frame])
                yield np.logical_or.reduce([always, since, *(next(stream) for stream in streams)])

    def _union(self, pictures: Sequence[Path | Mask]) -> Mask:
        found = [
            load_mask(picture, self.size_hw, self.reading) if isinstance(picture, Path) else picture
            for picture in pictures
        ]
        return np.asarray(np.logical_or.reduce([np.zeros(self.size_hw, dtype=bool), *found]))


@dataclass(frozen=True)
class FrameRegions:
    """The regions in one frame, bool [H, W] as coded; None where nothing is painted."""

    added: Mask | None = None
    kept: Mask | None = None


@dataclass(frozen=True)
class Regions:
    """The user's regions: ``added`` is to go like the object, ``kept`` is never touched, whatever else says so."""

    added: Region = field(default_factory=Region)
    kept: Region = field(default_factory=Region)

    def check(self, frames: int, size_hw: tuple[int, int]) -> None:
        """MaskError where a region does not fit a clip of ``frames`` that is shown at ``size_hw``."""
        for region in (self.added, self.kept):
            region.resolve(frames, size_hw)

    def by_frame(
        self, frames: int, coded_hw: tuple[int, int], rotation: int
    ) -> Generator[FrameRegions, None, None]:
        """The regions of every frame in turn, for a clip of ``coded_hw`` that is shown turned by ``rotation``."""
        size_hw = shown_size(coded_hw, rotation)
        added, kept = (region.resolve(frames, size_hw).masks() for region in (self.added, self.kept))
        with closing(added), closing(kept):
            for both in zip(added, kept, strict=True):
                yield FrameRegions(*(to_coded(mask, rotation) if mask.any() else None for mask in both))


NO_REGIONS = Regions()
