"""Masks that somebody painted, read from pictures: grey, colour, alpha, or labels in an indexed PNG."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from warnings import catch_warnings, simplefilter

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from osor_video.errors import MaskError
from osor_video.tensors import Mask
from osor_video.video.frames import MOST_PIXELS

PICTURE_SUFFIXES = (".png", ".bmp", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".tga")
MAX_COVERAGE = 0.95
"""A mask over more of the frame than this leaves nothing to fill from."""
FIT_ASPECT = 0.02
"""Difference of aspect up to which a mask of another size may be fitted."""
SHOWN_LABELS = 12
UNREADABLE = (
    *(UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError),
    *(TypeError, EOFError, OverflowError, IndexError, KeyError, AttributeError, struct.error, MemoryError),
)
"""What Pillow raises on files that are damaged, by its formats; seen while files were mutated at random."""


@dataclass(frozen=True)
class MaskReading:
    """How mask pictures are read.

    ``labels``: which numbers of an indexed picture count (none given: all but 0, where it is a picture of labels).
    ``fit``: a mask of another size is resized to the clip's.
    ``region``: it is no object, so it may be empty and may cover everything.
    """

    labels: tuple[int, ...] = ()
    fit: bool = False
    region: bool = False


AS_PAINTED = MaskReading()


def load_mask(
    path: Path, size_hw: tuple[int, int], reading: MaskReading = AS_PAINTED, *, empty: bool = False
) -> Mask:
    """Read a mask picture -> bool ``size_hw``.

    White (or opaque, where it has alpha) = remove; in an indexed PNG with a coloured palette every number but 0.
    Raises MaskError for a missing or unreadable file, another size, a label that is not there, a mask that covers
    everything and, unless ``empty`` is allowed, an empty one.
    """
    if not path.is_file():
        raise missing(path)
    # The header first: what it declares may be far larger than the file.
    check_picture_size(path, size_hw, reading.fit)
    labels = _labels(path, wanted=bool(reading.labels))
    mask = _binarise(_decode(path)) if labels is None else _chosen(labels, reading.labels, path)
    mask = fitted(mask, size_hw, str(path), reading.fit)
    if reading.region:
        return mask
    return check_coverage(mask, str(path)) if empty else check_mask(mask, str(path))


def missing(path: Path) -> MaskError:
    """What to say of a mask that is not there."""
    return MaskError(
        f"Mask {path} does not exist. Give a PNG of the first frame with the object painted white."
    )


def unreadable(path: Path) -> MaskError:
    """What to say of a file that is no picture."""
    return MaskError(f"Mask {path} is not a readable picture. Save it as PNG, object white, the rest black.")


def fitted(mask: Mask, size_hw: tuple[int, int], name: str, fit: bool) -> Mask:
    """``mask`` [H, W] at ``size_hw``, resized to it where ``fit`` allows; see ``check_size``."""
    check_size(mask.shape, size_hw, name, fit)
    if mask.shape == size_hw:
        return mask
    resized = cv2.resize(mask.astype(np.uint8), size_hw[::-1], interpolation=cv2.INTER_NEAREST)
    return np.asarray(resized > 0)


def check_picture_size(path: Path, size_hw: tuple[int, int], fit: bool) -> None:
    """MaskError where the header of a picture says that it cannot be read, or that its size does not do or is absurd."""
    own_hw = picture_size(path)
    if own_hw is None:
        raise unreadable(path)
    check_size(own_hw, size_hw, str(path), fit)
    if own_hw[0] * own_hw[1] > MOST_PIXELS:
        raise MaskError(
            f"Mask {path} is {own_hw[1]}x{own_hw[0]}, expected at most {MOST_PIXELS / 1e6:.0f} million pixels. "
            "Save it at the clip's own size."
        )


def picture_size(path: Path) -> tuple[int, int] | None:
    """(height, width) that a picture's header declares; None where it has none. Nothing is decoded."""
    try:
        with _picture(path) as picture:
            return picture.height, picture.width
    except UNREADABLE:
        return None


@contextmanager
def _picture(path: Path) -> Iterator[Image.Image]:
    """A picture by Pillow, which would warn of damage that is met elsewhere, and of sizes for which there are limits here."""
    with catch_warnings():
        simplefilter("ignore")
        with Image.open(path) as picture:
            yield picture


def check_size(own_hw: tuple[int, int], size_hw: tuple[int, int], name: str, fit: bool) -> None:
    """MaskError where a mask's size is not the clip's, unless ``fit`` is asked for and the aspect is the same."""
    (height, width), (rows, columns) = own_hw, size_hw
    if own_hw == size_hw:
        return
    if not fit:
        raise MaskError(
            f"Mask {name} is {width}x{height}, the clip is {columns}x{rows}. "
            "Draw the mask on a frame of the clip at its own size, or add --fit-mask to resize it."
        )
    if abs((width / height) / (columns / rows) - 1) > FIT_ASPECT:
        raise MaskError(
            f"Mask {name} is {width}x{height}, the clip is {columns}x{rows}: --fit-mask takes the same aspect within "
            f"{FIT_ASPECT:.0%}. Draw the mask on a whole frame of the clip."
        )


def check_mask(mask: Mask, name: str) -> Mask:
    """Return ``mask`` unless it is empty or leaves nothing of the frame to fill from (MaskError)."""
    if not mask.any():
        raise MaskError(f"The mask of {name} is empty. Paint the object to remove in white.")
    return check_coverage(mask, name)


def check_coverage(mask: Mask, name: str) -> Mask:
    """Return ``mask`` unless it leaves nothing of the frame to fill from (MaskError)."""
    share = float(mask.mean())
    if share > MAX_COVERAGE:
        raise MaskError(
            f"The mask of {name} covers {share:.0%} of the frame, at most {MAX_COVERAGE:.0%} can be filled. "
            "Paint only the object (is the mask inverted?)."
        )
    return mask


def _decode(path: Path) -> npt.NDArray[Any]:
    stored = decode_picture(path, cv2.IMREAD_UNCHANGED)
    if stored is None:
        raise unreadable(path)
    return stored


def decode_picture(path: Path, flags: int) -> npt.NDArray[Any] | None:
    """A picture as OpenCV has it, [H, W] or [H, W, BGR or BGRA]; None where it is damaged."""
    data = np.fromfile(path, dtype=np.uint8)
    try:
        stored = cv2.imdecode(data, flags) if data.size else None
    except cv2.error:
        return None
    return None if stored is None else np.asarray(stored)


def _binarise(stored: np.ndarray) -> Mask:
    """Grey, RGB or RGBA picture of any depth -> bool: above half of its range; alpha counts where it says anything."""
    half = np.iinfo(stored.dtype).max / 2
    if stored.ndim == 3 and stored.shape[2] == 4 and stored[..., 3].min() <= half:
        return np.asarray(stored[..., 3] > half)
    return np.asarray(stored > half) if stored.ndim == 2 else np.asarray(stored[..., :3].max(axis=2) > half)


def _labels(path: Path, wanted: bool) -> npt.NDArray[np.integer] | None:
    """The numbers of a picture of labels [H, W]; None for a picture that is painted, unless labels are ``wanted``."""
    try:
        with _picture(path) as picture:
            if picture.mode == "P":
                numbers = np.asarray(picture)
                if wanted or _is_coloured(picture, numbers):
                    return numbers
            elif wanted and picture.mode in ("L", "I", "I;16", "1"):
                return np.asarray(picture).astype(np.int64)
    except UNREADABLE:
        # Whoever decodes it next says what is wrong.
        return None
    if wanted:
        raise MaskError(
            f"--labels is given, but mask {path} has colours, not labels. Save it as an indexed or a grey PNG whose "
            "numbers are the labels, or leave --labels out."
        )
    return None


def _is_coloured(picture: Image.Image, numbers: npt.NDArray[np.integer]) -> bool:
    """Whether an indexed picture's colours stand for labels: a palette of greys is a painted mask, saved small."""
    palette = np.asarray(picture.getpalette("RGB") or [0, 0, 0]).reshape(-1, 3)
    used = palette[np.unique(numbers[numbers < len(palette)])]
    return bool((used != used[:, :1]).any())


def _chosen(numbers: npt.NDArray[np.integer], wanted: tuple[int, ...], path: Path) -> Mask:
    if not wanted:
        return np.asarray(numbers != 0)
    there = np.unique(numbers[numbers != 0]).tolist()
    missing = sorted(set(wanted) - set(there))
    if missing:
        listed = ", ".join(str(label) for label in there[:SHOWN_LABELS]) or "none"
        raise MaskError(
            f"Mask {path} has no label {missing[0]}; its labels are: {listed}. Choose among them with --labels."
        )
    return np.isin(numbers, wanted)
