"""Everything that the user marked in a clip: seeds at some frames, or a mask for every frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from osor_video.errors import MaskError
from osor_video.masks.boxes import BoxMasks
from osor_video.masks.painted import AS_PAINTED, PICTURE_SUFFIXES, MaskReading
from osor_video.masks.seed import PictureSeed, Seed, UnionSeed
from osor_video.masks.sequence import (
    GivenMasks,
    MaskPart,
    StoredMasks,
    open_folder,
    open_mask_video,
)
from osor_video.video.sequence import is_pattern


@dataclass(frozen=True)
class Keyframes:
    """Seeds by frame, in order; between them the object is followed."""

    seeds: Mapping[int, Seed]


@dataclass(frozen=True)
class Marks:
    """What was given, before the clip is known.

    ``seeds``: (frame, seed), several of one frame being removed together. ``paths``: pictures of the first frame, folders
    of pictures, videos of masks. ``stored``: masks of every frame in memory. ``boxes``: boxes by frame; where there are none
    nothing goes.
    """

    seeds: tuple[tuple[int, Seed], ...] = ()
    paths: tuple[Path, ...] = ()
    reading: MaskReading = AS_PAINTED
    stored: tuple[StoredMasks, ...] = ()
    boxes: tuple[BoxMasks, ...] = ()

    @classmethod
    def of(cls, marks: Marks | Seed) -> Marks:
        """A lone seed marks the first frame."""
        return marks if isinstance(marks, Marks) else cls(((0, marks),))

    def resolve(self, frames: int, size_hw: tuple[int, int]) -> Keyframes | GivenMasks:
        """What is marked in a clip of ``frames`` that is shown at ``size_hw``; MaskError where something does not fit."""
        seeds = list(self.seeds)
        given: list[MaskPart] = [_whole(part, frames) for part in self.stored]
        given += [part.over(frames) for part in self.boxes]
        for path in self.paths:
            if path.is_dir():
                whole, some = open_folder(path, frames, self.reading)
                given += [whole] if whole else []
                seeds += [(frame, PictureSeed(file, self.reading)) for frame, file in some.items()]
            elif path.suffix.lower() in PICTURE_SUFFIXES and not is_pattern(path):
                seeds.append((0, PictureSeed(path, self.reading)))
            else:
                given.append(open_mask_video(path, frames, self.reading))
        if given and seeds:
            raise MaskError(
                f"A mask for every frame is given, so nothing is followed, and {len(seeds)} more for single frames. "
                "Paint those into the sequence, or leave the sequence out."
            )
        for part in given:
            part.check(size_hw)
        return GivenMasks(tuple(given)) if given else _keyframes(seeds, frames, size_hw)


def _whole(part: StoredMasks, frames: int) -> StoredMasks:
    """``part`` where it has a mask for every frame, else MaskError."""
    if len(part.pngs) != frames:
        raise MaskError(
            f"{part.name} has {len(part.pngs)} masks, the clip has {frames} frames. Give one for every frame."
        )
    return part


def _keyframes(seeds: list[tuple[int, Seed]], frames: int, size_hw: tuple[int, int]) -> Keyframes:
    by_frame: dict[int, list[Seed]] = {}
    for frame, seed in sorted(seeds, key=lambda item: item[0]):
        if not 0 <= frame < frames:
            raise MaskError(
                f"A mask is given for frame {frame}, but the clip has frames 0 to {frames - 1}. Choose one of them."
            )
        by_frame.setdefault(frame, []).append(seed)
    if not by_frame:
        raise MaskError("Nothing is marked. Give a mask of at least one frame.")
    joined = {
        frame: parts[0] if len(parts) == 1 else UnionSeed(tuple(parts)) for frame, parts in by_frame.items()
    }
    for seed in joined.values():
        seed.mask(size_hw)
    return Keyframes(joined)
