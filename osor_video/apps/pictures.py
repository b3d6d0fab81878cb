"""PNG files that the command line writes: masks, the preview."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from osor_video.apps.exits import writing
from osor_video.video.planes import ColorSpec
from osor_video.video.sequence import is_pattern, numbered
from osor_video.video.stills import write_still

GAP_PX = 4


class MaskFiles:
    """Masks as PNG, white = object; kept in memory (a kilobyte each) until the run has succeeded.

    ``place`` is a folder, or a pattern such as ``mask.%04d.exr`` whose numbers begin with ``first``; without one they are only
    kept.
    """

    def __init__(self, place: Path | None, first: int = 0) -> None:
        self._place = place
        self._first = first
        self._files: dict[int, bytes] = {}

    def __call__(self, index: int, mask: npt.NDArray[np.bool_] | npt.NDArray[np.float32]) -> None:
        """Keep the mask [H, W] of frame ``index``; an alpha in [0, 1] becomes grey."""
        self._files[index] = png_bytes(np.rint(mask * np.float32(255)).astype(np.uint8))

    def mask(self, index: int) -> npt.NDArray[np.bool_]:
        """The mask [H, W] of frame ``index``."""
        stored = np.frombuffer(self._files[index], np.uint8)
        return np.asarray(np.asarray(cv2.imdecode(stored, cv2.IMREAD_GRAYSCALE)) > 0)

    def __len__(self) -> int:
        return len(self._files)

    def write(self) -> int:
        """Write ``00000.png`` and so on, or what the pattern says; returns how many."""
        if self._place is None:
            return len(self._files)
        if is_pattern(self._place):
            with writing(self._place):
                self._place.parent.mkdir(parents=True, exist_ok=True)
                for index, data in self._files.items():
                    self._store(numbered(self._place, self._first + index), data)
            return len(self._files)
        with writing(self._place):
            self._place.mkdir(parents=True, exist_ok=True)
        for index, data in self._files.items():
            path = self._place / f"{index:05d}.png"
            with writing(path):
                path.write_bytes(data)
        return len(self._files)

    def _store(self, path: Path, data: bytes) -> None:
        grey = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE), np.uint8)
        if path.suffix.lower() == ".exr":
            half = (grey / np.float32(255)).astype(np.float16)
            write_still(path, (half, half, half), ColorSpec("rgb", True, 16, (0, 0), linear=True))
        else:
            write_still(path, (grey,), ColorSpec("bt709", True, 8, (0, 0), gray=True))


def side_by_side(*pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """RGB pictures [H, W, 3] of one height in a row, a white gap between."""
    gap = np.full((pictures[0].shape[0], GAP_PX, 3), 255, np.uint8)
    parts = [part for picture in pictures for part in (gap, picture)]
    return np.concatenate(parts[1:], axis=1)


def write_png(path: Path, picture: npt.NDArray[np.uint8]) -> None:
    """Write an RGB or grey picture as PNG, making its folder."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png_bytes(picture))


def png_bytes(picture: npt.NDArray[np.uint8]) -> bytes:
    """uint8 [H, W] or RGB [H, W, 3] -> PNG."""
    stored: Any = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    # imwrite would mangle names outside ASCII on Windows.
    done, data = cv2.imencode(".png", stored, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    if not done:
        raise ValueError(f"a picture of {picture.shape} {picture.dtype} cannot be stored as PNG")
    return bytes(data.tobytes())
