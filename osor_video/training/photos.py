"""Photographs of a folder: the split that training never sees, and random crops of the rest."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from osor_video.errors import ConfigError
from osor_video.tensors import Picture

SUFFIXES = {".jpg", ".jpeg", ".png"}
HELD_OUT_EVERY = 12
WORKING_SHORT_SIDE_PX = 448


def list_photos(folder: Path) -> list[Path]:
    """All photographs of ``folder``, sorted by name; ConfigError when there are fewer than two."""
    photos = sorted(path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES)
    if len(photos) < 2:
        raise ConfigError(
            f"{folder} holds {len(photos)} photographs; give a folder with two or more (--photos)."
        )
    return photos


def split_photos(photos: list[Path]) -> tuple[list[Path], list[Path]]:
    """(training, validation): every twelfth photograph by name is held out."""
    held_out = photos[::HELD_OUT_EVERY]
    return [photo for photo in photos if photo not in set(held_out)], held_out


@lru_cache(maxsize=512)
def read_photo(path: Path, short_side_px: int = WORKING_SHORT_SIDE_PX) -> Picture:
    """RGB uint8 [H, W, 3], shrunk (never enlarged) to ``short_side_px``; kept in memory."""
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ConfigError(f"{path} cannot be read as a picture; remove it from the folder of photographs.")
    scale = min(1.0, short_side_px / min(bgr.shape[:2]))
    size_wh = (round(bgr.shape[1] * scale), round(bgr.shape[0] * scale))
    small = cv2.resize(bgr, size_wh, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2RGB), np.uint8)


def random_crop(photo: Picture, side_px: int, widest_px: int, random: np.random.Generator) -> Picture:
    """A square of ``side_px`` to ``widest_px`` pixels, shrunk to ``side_px``, mirrored half of the time."""
    limit = min(*photo.shape[:2], max(widest_px, side_px))
    region = int(random.integers(min(side_px, limit), limit + 1))
    top = int(random.integers(photo.shape[0] - region + 1))
    left = int(random.integers(photo.shape[1] - region + 1))
    crop = photo[top : top + region, left : left + region]
    if random.random() < 0.5:
        crop = crop[:, ::-1]
    small = cv2.resize(np.ascontiguousarray(crop), (side_px, side_px), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.uint8)
