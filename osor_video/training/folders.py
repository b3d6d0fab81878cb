"""Plates of one's own: before/after pairs in folders, laid out as CORNE (OSOR, arXiv 2606.28094) lays them out.

    PLATES/
    ├── shot/          the place with the object
    ├── background/    the same place without it
    ├── mask/          white = object and effects (without this folder SAVP makes them)
    └── object_mask/   white = the object alone (without this folder the mask serves as both)

A pair's pictures have one name in all folders; the suffix may differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import overload

import cv2
import numpy as np

from osor_video.errors import ConfigError, MaskError
from osor_video.tensors import Mask, Picture
from osor_video.training.pairs import Pair
from osor_video.training.photos import SUFFIXES, WORKING_SHORT_SIDE_PX, read_picture, square_region
from osor_video.training.savp import effect_aware_mask

WHITE = 127
"""A mask's pixel above this is white."""


@dataclass(frozen=True)
class PlateFiles:
    """The files of one pair; None where a folder is missing."""

    shot: Path
    clean: Path
    effect_mask: Path | None
    object_mask: Path | None


@dataclass(frozen=True)
class Plates(Sequence[Pair]):
    """The pairs of a folder, each read when it is asked for; the last ones are kept in memory."""

    files: tuple[PlateFiles, ...]

    def __len__(self) -> int:
        return len(self.files)

    @overload
    def __getitem__(self, index: int) -> Pair: ...
    @overload
    def __getitem__(self, index: slice) -> Plates: ...
    def __getitem__(self, index: int | slice) -> Pair | Plates:
        """One pair as ``read_plate`` gives it, or some of the plates."""
        return Plates(self.files[index]) if isinstance(index, slice) else read_plate(self.files[index])


def open_plates(folder: Path) -> Plates:
    """List the pairs of ``folder``, sorted by name; pictures are read, and their sizes checked, on access.

    Raises ConfigError for a missing folder, one without pictures, and names that do not match.
    """
    shots = pictures_of(folder / "shot")
    cleans = partners_of(shots, folder / "background")
    optional = [
        partners_of(shots, folder / name) if (folder / name).exists() else {}
        for name in ("mask", "object_mask")
    ]
    return Plates(
        tuple(
            PlateFiles(shots[name], cleans[name], *(found.get(name) for found in optional)) for name in shots
        )
    )


def pictures_of(folder: Path) -> dict[str, Path]:
    """The pictures of ``folder`` by name without suffix, sorted; ConfigError when there are none."""
    if not folder.is_dir():
        raise ConfigError(
            f"{folder} is no folder; expected pictures there (plates have shot/ and background/, photographs "
            "for a sheet image/ and mask/)."
        )
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise ConfigError(f"{folder} holds no pictures; put {', '.join(sorted(SUFFIXES))} files there.")
    pictures = {path.stem: path for path in paths}
    if len(pictures) < len(paths):
        twice = next(path for path in paths if pictures[path.stem] != path)
        raise ConfigError(f"{folder} holds two pictures named {twice.stem}; keep one of them.")
    return pictures


def partners_of(shots: dict[str, Path], folder: Path) -> dict[str, Path]:
    """The pictures of ``folder`` by name; ConfigError unless they have the names of ``shots``, which is not empty."""
    pictures = pictures_of(folder)
    odd = sorted(shots.keys() ^ pictures.keys())
    if odd:
        shot_folder = next(iter(shots.values())).parent
        lacking = folder if odd[0] in shots else shot_folder
        raise ConfigError(
            f"{lacking} has no picture named {odd[0]} (names that differ: {len(odd)}); "
            f"{shot_folder} and {folder} must hold the same names: add the pictures or remove their partners."
        )
    return pictures


def read_before_after(shot: Path, clean: Path) -> tuple[Picture, Picture]:
    """Both pictures of a pair, RGB uint8 [H, W, 3]; ConfigError where their sizes differ."""
    before, after = read_picture(shot), read_picture(clean)
    if before.shape != after.shape:
        raise ConfigError(
            f"{clean} is {_size(after)}, its shot {shot} is {_size(before)}; "
            "a pair needs one size and one camera position: save both again at the same size."
        )
    return before, after


@lru_cache(maxsize=128)
def read_plate(files: PlateFiles, short_side_px: int = WORKING_SHORT_SIDE_PX) -> Pair:
    """One pair [H, W], shrunk (never enlarged) to ``short_side_px``; the masks are never empty.

    The object's mask lies inside the effect mask. Raises ConfigError for pictures that cannot be read or differ in
    size, MaskError for a mask of another size or an empty one.
    """
    shot, clean = read_before_after(files.shot, files.clean)
    if files.effect_mask is not None:
        effect_mask = read_mask(files.effect_mask, files.shot, shot)
    else:
        effect_mask = effect_aware_mask(shot, clean)
        if not effect_mask.any():
            raise MaskError(
                f"{files.shot} and {files.clean} do not differ: no object is found. "
                "Remove the pair, or paint its mask/."
            )
    mask = effect_mask if files.object_mask is None else read_mask(files.object_mask, files.shot, shot)
    scale = min(1.0, short_side_px / min(shot.shape[:2]))
    size_hw = (round(shot.shape[0] * scale), round(shot.shape[1] * scale))
    return resize_pair(Pair(shot, clean, mask, mask | effect_mask), size_hw)


def random_plate_crop(plate: Pair, side_px: int, widest_px: int, random: np.random.Generator) -> Pair:
    """A square of ``side_px`` to ``widest_px`` pixels, shrunk to ``side_px``, mirrored half of the time.

    It always holds some of the object's mask, which must not be empty.
    """
    ys, xs = np.nonzero(plate.mask)
    chosen = int(random.integers(len(ys)))
    size_hw = (plate.mask.shape[0], plate.mask.shape[1])
    rows, columns = square_region(
        size_hw, side_px, widest_px, random, around=(int(ys[chosen]), int(xs[chosen]))
    )
    where = (rows, columns)
    step = -1 if random.random() < 0.5 else 1
    crop = Pair(
        plate.shot[where][:, ::step],
        plate.clean[where][:, ::step],
        plate.mask[where][:, ::step],
        plate.effect_mask[where][:, ::step],
    )
    return resize_pair(crop, (side_px, side_px))


def resize_pair(pair: Pair, size_hw: tuple[int, int]) -> Pair:
    """The pair at another size; however small, a mask that had pixels keeps some."""
    mask = _resize_mask(pair.mask, size_hw)
    return Pair(
        _resize(pair.shot, size_hw),
        _resize(pair.clean, size_hw),
        mask,
        mask | _resize_mask(pair.effect_mask, size_hw),
    )


def _resize(picture: Picture, size_hw: tuple[int, int]) -> Picture:
    resized = cv2.resize(np.ascontiguousarray(picture), size_hw[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(resized, np.uint8)


def _resize_mask(mask: Mask, size_hw: tuple[int, int]) -> Mask:
    covered = cv2.resize(mask.astype(np.float32), size_hw[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray((covered > 0) & (covered >= min(0.5, float(covered.max()))))


def write_effect_masks(shot: Path, clean: Path, out: Path) -> dict[Path, float]:
    """SAVP's mask of two pictures as the PNG ``out``, or of two folders of them as ``out``/NAME.png; white = effect.

    Returns the share of the picture that each mask covers. Raises ConfigError for names or sizes that do not match
    and where nothing can be written.
    """
    if shot.is_dir():
        shots = pictures_of(shot)
        cleans = partners_of(shots, clean)
        jobs = [(shots[name], cleans[name], out / f"{name}.png") for name in shots]
    elif out.suffix.lower() == ".png":
        jobs = [(shot, clean, out)]
    else:
        raise ConfigError(f"{out} is no name of a mask; give a name that ends in .png.")
    shares = {}
    for shot_path, clean_path, target in jobs:
        mask = effect_aware_mask(*read_before_after(shot_path, clean_path))
        _write_mask(target, mask)
        shares[target] = float(mask.mean())
    return shares


def _write_mask(path: Path, mask: Mask) -> None:
    _, data = cv2.imencode(".png", mask.astype(np.uint8) * 255)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error}; give another place.") from error


def read_mask(path: Path, shot_path: Path, shot: Picture) -> Mask:
    """The mask [H, W] that was painted on ``shot``; MaskError for another size, an empty or an unreadable one."""
    grey = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if grey is None:
        raise MaskError(f"Mask {path} cannot be read as a picture; save it as PNG, white = remove.")
    if grey.shape != shot.shape[:2]:
        raise MaskError(
            f"Mask {path} is {_size(grey)}, its shot {shot_path} is {_size(shot)}; paint the mask on the shot."
        )
    mask = np.asarray(grey > WHITE)
    if not mask.any():
        raise MaskError(f"Mask {path} is empty; paint in white what the shot shows, or remove the pair.")
    return mask


def _size(picture: Picture) -> str:
    return f"{picture.shape[1]}x{picture.shape[0]}"
