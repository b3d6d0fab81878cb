"""Hard cuts, found while the frames pass by."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from osor_video.tensors import FloatMap, Picture

THUMB_HW = (36, 64)
MIN_CHANGE = 0.10
"""Mean absolute change of a thumbnail, of full range, below which nothing is a cut."""
MIN_RATIO = 4.0
"""A cut changes the picture this many times more than its neighbours in time do."""
MEMORY = 8


class CutDetector:
    """Says of each frame whether a new shot begins with it."""

    def __init__(self) -> None:
        self._last: FloatMap | None = None
        self._changes: list[float] = []

    @property
    def changes(self) -> tuple[float, ...]:
        """What it remembers of the frames before the last: how much each differed from the one before it."""
        return tuple(self._changes)

    def go_on(self, picture: Picture, changes: Sequence[float]) -> None:
        """Stand where another detector stood that had just seen ``picture`` [H, W, 3] and remembers ``changes``."""
        self._last, self._changes = _thumb(picture), list(changes)

    def is_cut(self, picture: Picture) -> bool:
        """Feed the next frame, uint8 [H, W, 3]; True where it does not continue the one before."""
        thumb = _thumb(picture)
        last, self._last = self._last, thumb
        if last is None:
            return False
        change = float(np.abs(thumb - last).mean())
        usual = float(np.median(self._changes)) if self._changes else 0.0
        cut = change > max(MIN_CHANGE, MIN_RATIO * usual)
        self._changes = [] if cut else [*self._changes, change][-MEMORY:]
        return cut


def _thumb(picture: Picture) -> FloatMap:
    small = cv2.resize(picture, THUMB_HW[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(small.astype(np.float32) / 255)
