"""Pictures of a measured case: every method at a few frames, its difference from the truth, and a line of pixels over time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np

from osor_video.benchmark.cases import Case, TrueFrame
from osor_video.removal.crop import bounding_box
from osor_video.tensors import Picture

COLUMNS = 3
"""Frames of the clip that are shown."""
LOUDER = 4
"""The difference is shown this many times as strong, about grey."""
SLICE_ROW_PX = 4
"""Height of one frame in the slice over time: flicker shows as stripes, a frozen patch as streaks."""
CAPTION_PX = 18
WHITE = 255


class Gallery:
    """Gathers the pictures of one case, frame by frame."""

    def __init__(self, case: Case, frames: Callable[[], Iterable[TrueFrame]]) -> None:
        centres = []
        for frame in frames():
            box = bounding_box(frame.mask)
            centres.append(None if box is None else (box[0] + box[2]) // 2)
        there = [index for index, centre in enumerate(centres) if centre is not None]
        self._name = case.name
        self._chosen = (
            {there[len(there) * (2 * part + 1) // (2 * COLUMNS)] for part in range(COLUMNS)}
            if there
            else set()
        )
        rows = [centre for centre in centres if centre is not None]
        self._row = int(np.median(rows)) if rows else 0
        self._shown: dict[str, list[Picture]] = {}
        self._lines: dict[str, list[Picture]] = {}
        self._index = 0

    def add(self, frame: TrueFrame, results: dict[str, Picture]) -> None:
        """The next frame and what every method made of it."""
        for name, picture in ({"truth": frame.clean} | results).items():
            self._lines.setdefault(name, []).append(picture[self._row : self._row + 1])
            if self._index in self._chosen:
                difference = picture.astype(np.int16) - frame.clean
                loud = np.clip(128 + LOUDER * difference, 0, 255).astype(np.uint8)
                self._shown.setdefault(name, []).append(np.concatenate([picture, loud]))
        self._index += 1

    def write(self, folder: Path) -> None:
        """Write NAME_strip.png, methods below each other with their difference from the truth, and NAME_slice.png."""
        folder.mkdir(parents=True, exist_ok=True)
        strips = {name: np.concatenate(pictures, axis=1) for name, pictures in self._shown.items()}
        slices = {
            name: np.repeat(np.concatenate(lines), SLICE_ROW_PX, axis=0)
            for name, lines in self._lines.items()
        }
        for kind, pictures in (("strip", strips), ("slice", slices)):
            if pictures:
                rows = [
                    part for name, picture in pictures.items() for part in (_caption(name, picture), picture)
                ]
                write_picture(folder / f"{self._name}_{kind}.png", np.concatenate(rows))


def _caption(text: str, below: Picture) -> Picture:
    line = np.full((CAPTION_PX, below.shape[1], 3), WHITE, np.uint8)
    cv2.putText(line, text, (4, CAPTION_PX - 5), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
    return line


def write_picture(path: Path, picture: Picture) -> None:
    """Write uint8 [H, W, 3] RGB as PNG."""
    # imwrite would mangle names outside ASCII on Windows.
    path.write_bytes(cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes())
