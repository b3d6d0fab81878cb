"""Photographs of a folder: the split that training never sees, and random crops of the rest."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from osor_video.errors import ConfigError
from osor_video.tensors import Picture

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}
TRAIN, HELD_OUT = "train", "held_out"
"""Folders of a split that somebody made; without them every twelfth file is held out."""
MANIFEST = "manifest.json"
"""The file that makes a folder a data pack, with its photographs in photos/ and its objects in cutouts/."""
HELD_OUT_EVERY = 12
WORKING_SHORT_SIDE_PX = 448


def list_photos(folder: Path) -> list[Path]:
    """All photographs of ``folder``, sorted by name; ConfigError when there are fewer than two.

    A folder with ``train/`` and ``held_out/`` gives those of both, the split being made; a data pack is one.
    """
    if is_pack(folder):
        return list_photos(folder / "photos")
    folders = [folder / TRAIN, folder / HELD_OUT] if is_split(folder) else [folder]
    photos = [path for part in folders for path in pictures_in(part)]
    if len(photos) < 2:
        raise ConfigError(
            f"{folder} holds {len(photos)} photographs; give a folder with two or more (--photos)."
        )
    return photos


def is_pack(folder: Path) -> bool:
    """Whether ``folder`` is a data pack (``pack.py``)."""
    return (folder / MANIFEST).is_file()


def is_split(folder: Path) -> bool:
    """Whether ``folder`` has the folders ``train/`` and ``held_out/``."""
    return (folder / TRAIN).is_dir() and (folder / HELD_OUT).is_dir()


def pictures_in(folder: Path) -> list[Path]:
    """The picture files of ``folder``, sorted by name."""
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)


def split_photos(photos: list[Path]) -> tuple[list[Path], list[Path]]:
    """(training, validation): by their folders if those are a split, else every twelfth by name is held out."""
    if {photo.parent.name for photo in photos} == {TRAIN, HELD_OUT}:
        held_out = [photo for photo in photos if photo.parent.name == HELD_OUT]
    else:
        held_out = photos[::HELD_OUT_EVERY]
    return [photo for photo in photos if photo not in set(held_out)], held_out


@lru_cache(maxsize=512)
def read_photo(path: Path, short_side_px: int = WORKING_SHORT_SIDE_PX) -> Picture:
    """RGB uint8 [H, W, 3], shrunk (never enlarged) to ``short_side_px``; kept in memory."""
    return shrink(read_picture(path), short_side_px)


def shrink(photo: Picture, short_side_px: int) -> Picture:
    """RGB uint8 [H, W, 3] shrunk to ``short_side_px``; as it is if it is no larger."""
    scale = min(1.0, short_side_px / min(photo.shape[:2]))
    if scale == 1.0:
        return photo
    size_wh = (round(photo.shape[1] * scale), round(photo.shape[0] * scale))
    return np.asarray(cv2.resize(photo, size_wh, interpolation=cv2.INTER_AREA), np.uint8)


def read_picture(path: Path) -> Picture:
    """RGB uint8 [H, W, 3] at the file's own size; ConfigError when it is no picture."""
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ConfigError(f"{path} cannot be read as a picture; give a JPEG, PNG or WebP file in its place.")
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8)


def square_region(
    size_hw: tuple[int, int],
    side_px: int,
    widest_px: int,
    random: np.random.Generator,
    *,
    around: tuple[int, int] | None = None,
) -> tuple[slice, slice]:
    """(rows, columns) of a random square of ``side_px`` to ``widest_px`` that fits; ``around`` (y, x) lies in it."""
    limit = min(*size_hw, max(widest_px, side_px))
    region = int(random.integers(min(side_px, limit), limit + 1))
    starts = []
    for axis, length in enumerate(size_hw):
        first, last = 0, length - region
        if around is not None:
            first, last = max(first, around[axis] - region + 1), min(last, around[axis])
        starts.append(int(random.integers(first, last + 1)))
    return slice(starts[0], starts[0] + region), slice(starts[1], starts[1] + region)


def random_crop(photo: Picture, side_px: int, widest_px: int, random: np.random.Generator) -> Picture:
    """A square of ``side_px`` to ``widest_px`` pixels, shrunk to ``side_px``, mirrored half of the time."""
    crop = photo[square_region((photo.shape[0], photo.shape[1]), side_px, widest_px, random)]
    if random.random() < 0.5:
        crop = crop[:, ::-1]
    small = cv2.resize(np.ascontiguousarray(crop), (side_px, side_px), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)
