"""What the frames of a run add up to, as its report tells it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from osor_video.analysis import FrameNotes
from osor_video.masks.drift import Drift
from osor_video.masks.held import unpack_mask
from osor_video.report import runs_of
from osor_video.tensors import Mask
from osor_video.video.probe import SourceInfo
from osor_video.work.edits import Edit

SEEN = 0.995
"""Share of a hole that has to be borrowed for the rest, specks, not to be spoken of."""


class Tally:
    """What the frames of one run add up to."""

    def __init__(self, size_hw: tuple[int, int]) -> None:
        self._size_hw = size_hw
        self.frames = 0
        self.borrowed: dict[int, float] = {}
        self.replaced = 0.0
        self.outside = 0.0
        self.damaged: list[int] = []
        self._coverage: list[bytes] = []

    def add(self, edit: Edit) -> None:
        """The next frame's."""
        if edit.damaged:
            self.damaged.append(self.frames)
        if edit.borrowed is not None:
            self.borrowed[self.frames] = edit.borrowed
            self.replaced += edit.replaced
        self.outside = max(self.outside, edit.outside)
        self._coverage.append(edit.covered)
        self.frames += 1

    def unseen(self) -> dict[int, float]:
        """Share of the hole that nothing borrowed fills, of the frames where it is more than specks."""
        return {frame: round(1 - share, 4) for frame, share in self.borrowed.items() if share < SEEN}

    def replaced_in(self) -> Iterator[Mask]:
        """Where anything was replaced in each frame, [H, W]; known where ``encode.check`` is set."""
        nowhere = np.zeros(self._size_hw, dtype=bool)
        return (unpack_mask(packed, self._size_hw) if packed else nowhere for packed in self._coverage)

    def facts(self, source: SourceInfo, notes: Sequence[FrameNotes], fill: str) -> dict[str, Any]:
        """What the report says of the frames, by the names of ``RunReport``."""
        drift, shots, holes = zip(
            *((note.drift, note.shot, note.hole_box is not None) for note in notes), strict=True
        )
        return {
            "frames": source.frames,
            "size_hw": source.size_hw,
            "borrowed": float(np.mean(list(self.borrowed.values()))) if self.borrowed else 0.0,
            "replaced": self.replaced / (source.frames * source.size_hw[0] * source.size_hw[1]),
            "unseen": {} if fill == "diffusion" else self.unseen(),
            "mask_scores": [round(signs.score, 4) for signs in drift],
            "mask_drift": _signs(drift),
            "touched": runs_of(self.borrowed),
            "cuts": [i for i in range(1, source.frames) if shots[i] != shots[i - 1]],
            "untouched": _untouched(shots, holes),
            "damaged": self.damaged,
            "outside_max_difference": self.outside,
        }

    def warnings(self) -> list[str]:
        """What has to be said of the source."""
        return [_damage(self.damaged)] if self.damaged else []


def _signs(drift: Sequence[Drift]) -> dict[str, list[float]]:
    """Each sign of drift over the frames."""
    return {
        sign: [round(getattr(signs, sign), 3) for signs in drift]
        for sign in ("appearance", "area", "cycle", "validity", "extent")
    }


def _untouched(shots: Sequence[int], holes: Sequence[bool]) -> list[int]:
    """First frames of the shots in which nothing is masked."""
    grouped = [list(shot) for _, shot in groupby(range(len(shots)), lambda index: shots[index])]
    return [shot[0] for shot in grouped if not any(holes[index] for index in shot)]


def _damage(frames: Sequence[int]) -> str:
    """The warning about a damaged source."""
    return (
        f"the source is damaged at {len(frames)} frames, {frames[0]} to {frames[-1]}: what decodes of them stands there, or the "
        "frame before, and frames behind them may show traces; all times are kept"
    )
