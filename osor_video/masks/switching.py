"""The object followed by matching and flow until its masks are to be doubted, from there on by the trained network.

Most objects are easy, and cost no more than ``MaskTracker``. Where the signs of drift (``drift.py``) stay low, or the object is
lost in the middle of the picture, ``RefinedTracker`` learns it from the frames that were marked and takes over.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np

from osor_video.flow.estimate import FlowPair
from osor_video.masks.drift import DriftWatch
from osor_video.masks.refined import LEARNT_FRAMES, RefinedTracker, kept_pair, pair_of
from osor_video.masks.track import MaskTracker, State, TrackedFrame
from osor_video.tensors import Mask, Picture

UNLIKE = 0.79
"""Appearance below which the masks are doubted, and ``DRIFTING`` likewise the score of all signs (``drift.py``).

On eight sequences of DAVIS 2016 the first finds those of people who dance, leap and ride behind trees; what walks and drives, and
figures of 60 lines in rendered clips, keep above .80 and .71."""
DRIFTING = 0.65
DOUBTED_FRAMES = 5
"""Frames that both are means over: a single one may be blurred."""
FEWEST_FRAMES = 3
"""Frames since the last mark from which there is a mean to speak of."""


class SwitchingTracker:
    """Carries one object's mask through a clip: ``quick`` does, until the one that ``trained`` makes is needed."""

    def __init__(self, quick: MaskTracker, trained: Callable[[], RefinedTracker]) -> None:
        self._quick = quick
        self._build = trained
        self._trained: RefinedTracker | None = None
        self._marked: deque[tuple[Picture, Mask]] = deque(maxlen=LEARNT_FRAMES)
        self._watch = DriftWatch()
        self._signs: deque[tuple[float, float]] = deque(maxlen=DOUBTED_FRAMES)

    @property
    def follows(self) -> bool:
        """Whether the next step needs the flow: until the object has left, and with the trained network always."""
        return self._quick.follows if self._trained is None else self._trained.follows

    @property
    def doubted(self) -> bool:
        """Whether the trained network has taken over."""
        return self._trained is not None

    def start(self, picture: Picture, mask: Mask) -> TrackedFrame:
        """Begin with the user's mask [H, W] of a frame [H, W, 3], or go on with one that corrects."""
        if self._trained is not None:
            return self._trained.start(picture, mask)
        self._last = picture, mask
        self._marked.append(self._last)
        self._watch.see(mask, 1.0, None, exact=True, cut=False)
        self._signs.clear()
        return self._quick.start(picture, mask)

    def step(self, picture: Picture, flow: FlowPair | None) -> TrackedFrame:
        """The mask of the next frame [H, W, 3], given the flow between the frame before and this one; None after a cut.

        The first frame that is doubted is followed anew.
        """
        if self._trained is not None:
            return self._trained.step(picture, flow)
        found = self._quick.step(picture, flow)
        drift = self._watch.see(found.mask, found.score, flow, exact=False, cut=flow is None)
        self._signs.append((drift.appearance, drift.score))
        lost = not found.mask.any() and drift.score == 0
        if flow is not None and (lost or self._unsure()):
            self._trained = self._build()
            self._trained.take_over(list(self._marked), *self._last)
            return self._trained.step(picture, flow)
        self._last = picture, found.mask
        return found

    def _unsure(self) -> bool:
        if len(self._signs) < FEWEST_FRAMES:
            return False
        appearance, score = np.mean(self._signs, axis=0)
        return bool(appearance < UNLIKE or score < DRIFTING)

    def state(self) -> State:
        """That of who follows, and what the other would begin with."""
        if self._trained is not None:
            return {"trained": self._trained.state()}
        return {
            "quick": self._quick.state(),
            "watch": self._watch.state(),
            "signs": list(self._signs),
            "marked": [kept_pair(*pair) for pair in self._marked],
            # A frame that was marked stays the same one: who takes over there does not look at it twice.
            "last": None if self._last is self._marked[-1] else kept_pair(*self._last),
        }

    def go_on(self, state: State) -> None:
        """Stand where the tracker stood that said ``state``."""
        if "trained" in state:
            self._trained = self._build()
            self._trained.go_on(state["trained"])
            return
        self._quick.go_on(state["quick"])
        self._marked.extend(pair_of(kept) for kept in state["marked"])
        self._last = self._marked[-1] if state["last"] is None else pair_of(state["last"])
        self._watch.go_on(self._last[1], state["watch"])
        self._signs.extend(state["signs"])
