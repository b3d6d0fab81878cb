"""A data pack: all that a training looks at, in one folder small enough to be carried to the machine that trains.

    PACK/
    ├── manifest.json     counts, sizes, licences, and the sha256 of every file
    ├── photos/           train/ and held_out/: photographs at the working size, JPEG or WebP
    └── cutouts/          train/ and held_out/: objects, WebP without loss, colour and matte

Photographs and objects are the sources' own, in the sources' order and split, so a seed makes of a pack the pairs
that it makes of them, but for the photographs' compression where they had to be shrunk.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from osor_video.errors import ConfigError
from osor_video.tensors import to_uint8
from osor_video.training.cutouts import PERSON, Cutout, load_cutouts
from osor_video.training.photos import (
    HELD_OUT,
    MANIFEST,
    TRAIN,
    WORKING_SHORT_SIDE_PX,
    is_pack,
    list_photos,
    read_picture,
    shrink,
    split_photos,
)

QUALITY = 92
"""Of the JPEG files of photographs that are shrunk."""
LIMIT_MB = 60.0
LOSSLESS = 101
"""OpenCV's WebP quality above 100."""
KEPT_SUFFIXES = {".jpg", ".jpeg", ".webp"}


class Manifest(BaseModel):
    """What a pack says of itself."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: int = Field(default=1, ge=1, le=1)
    short_side_px: int
    photos: dict[str, int]
    """How many in ``train`` and ``held_out``."""
    cutouts: dict[str, int]
    """Likewise; and ``people`` among them."""
    licences: str
    """Whose the pictures are and what may be done with them, in the words of whoever packed them."""
    sha256: dict[str, str]
    """Of each file, by its path in the pack."""


def check_pack(folder: Path) -> None:
    """ConfigError unless ``folder`` is a pack whose files are all there, unchanged, and no others."""
    manifest = _read_manifest(folder)
    for name, digest in manifest.sha256.items():
        path = folder / name
        if not path.is_file() or _sha256(path) != digest:
            state = "has changed" if path.is_file() else "is missing"
            raise ConfigError(
                f"{path} {state} since the pack was made; copy the pack again, or make it anew."
            )
    for path in sorted((*folder.glob("photos/*/*"), *folder.glob("cutouts/*/*"))):
        if path.relative_to(folder).as_posix() not in manifest.sha256:
            raise ConfigError(f"{path} is not in the pack's {MANIFEST}; remove it, or make the pack anew.")


def cutouts_folder(photos: Path, cutouts: Path | None) -> Path:
    """Where the objects are: in ``cutouts``, or where there is none in ``photos``, which must be a sound pack."""
    if cutouts is not None:
        return cutouts
    if not is_pack(photos):
        raise ConfigError(f"{photos} is no data pack, so --cutouts is needed: a folder of objects to paste.")
    check_pack(photos)
    return photos


def write_pack(
    photos: Path,
    cutouts: Iterable[Path],
    out: Path,
    *,
    licences: str,
    short_side_px: int = WORKING_SHORT_SIDE_PX,
    quality: int = QUALITY,
    limit_mb: float = LIMIT_MB,
) -> Manifest:
    """Write the photographs of a folder and the objects of one or more as ``out``, whole or not at all.

    Raises ConfigError where ``out`` exists, a source holds too little, two photographs have one name, nothing can be
    written, or the pack is larger than ``limit_mb`` megabytes (10^6 bytes).
    """
    if out.exists():
        raise ConfigError(f"{out} exists already; give a new folder for the pack, or remove that one.")
    part = out.with_name(out.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        photo_counts = _write_photos(photos, part, short_side_px, quality)
        cutout_counts = _write_cutouts(list(cutouts), part)
        files = sorted(path for path in part.rglob("*") if path.is_file())
        size_mb = sum(path.stat().st_size for path in files) / 1e6
        if size_mb > limit_mb:
            raise ConfigError(
                f"The pack takes {size_mb:.1f} MB, more than {limit_mb:g}; "
                f"lower --quality ({quality}) or --short-side ({short_side_px}), or raise --limit-mb."
            )
        manifest = Manifest(
            short_side_px=short_side_px,
            photos=photo_counts,
            cutouts=cutout_counts,
            licences=licences,
            sha256={path.relative_to(part).as_posix(): _sha256(path) for path in files},
        )
        (part / MANIFEST).write_text(manifest.model_dump_json(indent=1), encoding="utf-8")
        part.rename(out)
    except OSError as error:
        raise ConfigError(f"The pack {out} cannot be written: {error}; give another place.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return manifest


def read_licences(path: Path) -> str:
    """The text of a file that says whose the pictures are; ConfigError where there is none."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The licences {path} cannot be read: {error}; give a text file (UTF-8)."
        ) from error
    if not text:
        raise ConfigError(f"The licences {path} are empty; write down whose the pictures are.")
    return text


def _write_photos(folder: Path, out: Path, short_side_px: int, quality: int) -> dict[str, int]:
    counts = {}
    for part, paths in zip((TRAIN, HELD_OUT), split_photos(list_photos(folder)), strict=True):
        target = out / "photos" / part
        target.mkdir(parents=True)
        for path in paths:
            _write_photo(path, target, short_side_px, quality)
        counts[part] = len(paths)
    return counts


def _write_photo(path: Path, target: Path, short_side_px: int, quality: int) -> None:
    if any(target.glob(f"{_escaped(path.stem)}.*")):
        raise ConfigError(f"{path.parent} holds two photographs named {path.stem}; rename one of them.")
    photo = read_picture(path)
    # What is compressed and small enough already would only lose by another compression.
    if min(photo.shape[:2]) <= short_side_px and path.suffix.lower() in KEPT_SUFFIXES:
        shutil.copyfile(path, target / path.name)
        return
    bgr = cv2.cvtColor(shrink(photo, short_side_px), cv2.COLOR_RGB2BGR)
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    _, data = cv2.imencode(".jpg", bgr, options)
    (target / f"{path.stem}.jpg").write_bytes(data.tobytes())


def _escaped(name: str) -> str:
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _write_cutouts(folders: list[Path], out: Path) -> dict[str, int]:
    """Number the objects of all folders, those of one split after another: sorted names keep their order."""
    splits = [load_cutouts(folder) for folder in folders]
    counts = {"people": 0}
    for index, part in enumerate((TRAIN, HELD_OUT)):
        cutouts = [cutout for split in splits for cutout in split[index]]
        target = out / "cutouts" / part
        target.mkdir(parents=True)
        for number, cutout in enumerate(cutouts):
            words = ["person" if cutout.label == PERSON else "thing", *(["cut"] if cutout.cut_off else [])]
            (target / f"{number:05d}-{'-'.join(words)}.webp").write_bytes(_encoded(cutout))
        counts[part] = len(cutouts)
        counts["people"] += sum(cutout.label == PERSON for cutout in cutouts)
    return counts


def _encoded(cutout: Cutout) -> bytes:
    rgba = to_uint8(np.dstack([cutout.colour, cutout.matte]))
    # What cannot be seen need not be kept, and compresses to nothing.
    rgba[rgba[..., 3] == 0] = 0
    # WebP leaves out a matte that is full everywhere, and a cut-out needs one.
    rgba[0, 0, 3] = min(rgba[0, 0, 3], 254)
    _, data = cv2.imencode(
        ".webp", cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA), [cv2.IMWRITE_WEBP_QUALITY, LOSSLESS]
    )
    return bytes(data.tobytes())


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST
    try:
        return Manifest.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise ConfigError(
            f"{folder} is no data pack ({path.name}: {error}); make one with python -m osor_video.training pack."
        ) from error


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
