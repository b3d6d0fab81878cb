"""Frames of the clip itself that are remembered for long beside the marked one, where the tracker was sure of them.

In other light, or before other ground, a thing resembles itself of a second ago more than itself as it was marked. Only cells
that were surely the object or surely not are kept: what is remembered wrongly would be found wrongly ever after. (A memory
of frames some way apart: STM, Oh et al., ICCV 2019, section 3.4.)
"""

from __future__ import annotations

from collections import deque
from typing import Any

import torch
from torch import Tensor

from osor_video.masks.matching import Remembered

EVERY_FRAMES = 5
"""How far apart these frames lie."""
LEAST_SCORE = 0.6
"""Score of a frame from which it is trusted."""
MOST_CELLS = 4000
"""Cells up to which a frame is kept: one in which most of the picture was searched would make every later search slow."""
SURE = 0.1, 0.9
"""Labels below and above which a cell is kept."""


class TrustedFrames:
    """The marked frame and up to ``count`` later ones, for ``compare_anywhere``."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._later: deque[tuple[Tensor, Tensor]] = deque(maxlen=count)
        self._seen = 0

    def start(self, marked: Remembered) -> None:
        """Begin with the marked frame, which is kept whole."""
        self._marked = self._memory = marked
        self._later.clear()
        self._seen = 0

    def see(self, frame: Remembered, score: float) -> None:
        """The next frame in which the object was found, with the ``score`` it was found with."""
        self._seen += 1
        due = self._count and self._seen % EVERY_FRAMES == 0
        if not due or score < LEAST_SCORE or frame.label.numel() > MOST_CELLS:
            return
        sure = (frame.label < SURE[0]) | (frame.label > SURE[1])
        self._later.append((frame.features[:, sure], (frame.label[sure] > SURE[1]).float()))
        self._join()

    @property
    def marked(self) -> Remembered:
        """The marked frame alone."""
        return self._marked

    @property
    def memory(self) -> Remembered:
        """All that is kept as one frame, whose cells lie nowhere in particular."""
        return self._memory

    @property
    def state(self) -> dict[str, Any]:
        """What is kept; may be set again."""
        return {
            "marked": self._marked.kept(),
            "later": [(features.clone(), label.clone()) for features, label in self._later],
            "seen": self._seen,
        }

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self.start(Remembered(*state["marked"]))
        self._later.extend(state["later"])
        self._seen = state["seen"]
        self._join()

    def _join(self) -> None:
        if not self._later:
            return
        features, labels = zip(
            (self._marked.features.flatten(1), self._marked.label.flatten()), *self._later, strict=True
        )
        self._memory = Remembered(torch.cat(features, dim=1)[:, None], torch.cat(labels)[None], (0, 0))
