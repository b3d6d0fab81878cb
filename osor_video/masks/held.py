"""Who says the mask of each frame: the tracker between the user's masks, or a sequence that has them all.

Between two keyframes the object is followed from both: forwards while the frames pass, backwards beforehand (the masks
that this gave are kept packed). The two are joined frame by frame.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from osor_video.flow.estimate import FlowPair
from osor_video.masks.build import Tracker
from osor_video.masks.snap import snap
from osor_video.masks.track import State, TrackedFrame
from osor_video.shapes import overlap
from osor_video.tensors import FloatMap, Mask, Picture

Marked = Callable[[Picture], Mask]
"""The user's mask [H, W] of a frame [H, W, 3]."""
ALIKE = 0.5
"""Overlap from which two masks are taken for the same object and blended; else one of them is chosen."""


def pack_mask(mask: Mask) -> bytes:
    """bool [H, W] -> a few hundred bytes."""
    return zlib.compress(np.packbits(mask).tobytes(), 1)


def unpack_mask(packed: bytes, size_hw: tuple[int, int]) -> Mask:
    """The mask that was packed, bool ``size_hw``."""
    bits = np.frombuffer(zlib.decompress(packed), np.uint8)
    return np.unpackbits(bits, count=size_hw[0] * size_hw[1]).reshape(size_hw).astype(bool)


@dataclass(frozen=True)
class HeldFrame:
    """The mask [H, W] of one frame, how sure it is in [0, 1], and whether it is the user's own."""

    mask: Mask
    score: float
    exact: bool


class FrameMasks(Protocol):
    """Says the mask of each frame, in order."""

    @property
    def follows(self) -> bool:
        """Whether the flow of the next frame is needed."""

    def step(self, picture: Picture, flow: FlowPair | None) -> HeldFrame:
        """The mask of the next frame [H, W, 3]; ``flow`` leads from the frame before, None after a cut."""

    def state(self) -> State | None:
        """What a later run needs to go on from here; None where that cannot be had."""

    def go_on(self, state: State) -> None:
        """Stand where the one stood that said ``state``; before the first step."""


@dataclass(frozen=True)
class BackFrame:
    """A mask that was followed backwards from a keyframe ``distance`` frames later, and the lowest score on the way.

    ``back_home`` is the overlap with the user's mask at the end of the way, the earlier keyframe; None where there is none.
    """

    packed: bytes
    lowest: float
    score: float
    distance: int
    back_home: float | None = None


class GivenFrames:
    """Masks [H, W] that the user gave for every frame, taken as they are."""

    follows = True

    def __init__(self, masks: Iterator[Mask]) -> None:
        self._masks = masks
        self._given = 0

    def step(self, picture: Picture, flow: FlowPair | None) -> HeldFrame:
        """The next given mask."""
        self._given += 1
        return HeldFrame(next(self._masks), 1.0, exact=True)

    def state(self) -> State:
        """How many were given."""
        return {"given": self._given}

    def go_on(self, state: State) -> None:
        """Pass over those that were given before."""
        self._given = state["given"]
        for _ in range(self._given):
            next(self._masks)


class KeyedFrames:
    """Masks between keyframes: ``keys`` are the user's, ``back`` was followed backwards from later keys beforehand."""

    def __init__(
        self, tracker: Tracker, keys: Mapping[int, Marked], back: Mapping[int, BackFrame] | None = None
    ) -> None:
        self._tracker = tracker
        self._keys = dict(keys)
        self._back = back or {}
        self._index = -1
        self._since = 0
        self._lowest = 0.0
        self._started = False

    @property
    def follows(self) -> bool:
        """True while there is something to track, or will be."""
        return bool(self._keys) or self._tracker.follows

    def step(self, picture: Picture, flow: FlowPair | None) -> HeldFrame:
        """The user's mask where there is one, else what the ways from both sides say together."""
        self._index += 1
        if self._index in self._keys:
            return self._begin(picture)
        if self._started:
            ahead = self._tracker.step(picture, flow)
        else:
            ahead = TrackedFrame(np.zeros(picture.shape[:2], dtype=bool), 1.0)
        self._since += 1
        self._lowest = min(self._lowest, ahead.score)
        back = self._back.get(self._index)
        if back is None:
            return HeldFrame(ahead.mask, ahead.score, exact=False)
        return self._join(picture, ahead, back)

    def state(self) -> State | None:
        """Where between its keyframes it stands, and where its tracker does; None where the tracker cannot say."""
        tracker = self._tracker.state() if self._started else {}
        if tracker is None:
            return None
        return {
            "index": self._index,
            "since": self._since,
            "lowest": self._lowest,
            "started": self._started,
            "tracker": tracker,
        }

    def go_on(self, state: State) -> None:
        """Stand where the one stood that said ``state``."""
        self._index, self._since = state["index"], state["since"]
        self._lowest, self._started = state["lowest"], state["started"]
        self._keys = {frame: key for frame, key in self._keys.items() if frame > self._index}
        if self._started:
            self._tracker.go_on(state["tracker"])

    def _begin(self, picture: Picture) -> HeldFrame:
        mask = self._keys[self._index](picture)
        self._tracker.start(picture, mask)
        # Only now: while a key lies ahead the flow is wanted.
        del self._keys[self._index]
        self._started, self._since, self._lowest = True, 0, 1.0
        return HeldFrame(mask, 1.0, exact=True)

    def _join(self, picture: Picture, ahead: TrackedFrame, back: BackFrame) -> HeldFrame:
        """The masks of both ways, weighted by how near and how sure each is."""
        other = unpack_mask(back.packed, (picture.shape[0], picture.shape[1]))
        if not ahead.mask.any():
            return HeldFrame(other, back.score, exact=False)
        way = self._since + back.distance
        weight = back.distance / way * self._lowest**2
        # A way back that ends on the earlier user's mask was right throughout, one that misses it went astray somewhere.
        home = 1.0 if back.back_home is None else 0.25 + 1.5 * back.back_home**2
        weight_back = self._since / way * back.lowest**2 * home
        share = weight / max(weight + weight_back, 1e-9)
        mask, alike = joined(picture, ahead.mask, other, share)
        surer = ahead.score if share > 0.5 else back.score
        return HeldFrame(mask, surer * (1 + alike) / 2, exact=False)


def joined(picture: Picture, first: Mask, second: Mask, share: float) -> tuple[Mask, float]:
    """Two opinions on one frame [H, W, 3] made one, ``share`` in [0, 1] being the first's; and their overlap.

    Where they mean the same object, they are mixed and the picture's edges decide what only one has; else the one with the
    greater share is taken whole.
    """
    alike = overlap(first, second)
    if alike < ALIKE:
        return (first if share > 0.5 else second), alike
    label: FloatMap = first.astype(np.float32) * share + second.astype(np.float32) * (1 - share)
    return (first if alike == 1 else snap(picture, label)), alike
