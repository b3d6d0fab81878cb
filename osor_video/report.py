"""What a run did, in figures: written as JSON with ``--report``, told in a few lines at the end."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Protocol

DOUBTFUL = 0.6
"""Score under which a mask is to be looked at."""
RUN_GAP = 3
"""Frames from one doubtful frame to the next within a run."""


class Progress(Protocol):
    """Told about every finished frame of a stage."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """``done`` of ``total`` frames of ``stage`` are finished."""


def silent(stage: str, done: int, total: int) -> None:
    """A Progress that tells nobody."""


class Stopwatch:
    """Seconds of work in each named stage, summed over the threads that work side by side."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time inside the with-block to ``name``."""
        begin = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - begin
            with self._lock:
                self.seconds[name] = self.seconds.get(name, 0.0) + spent


@dataclass(frozen=True)
class Doubt:
    """Frames ``first`` to ``last`` whose mask is to be doubted, and the worst of them, where a mask helps most."""

    first: int
    last: int
    worst: int


def doubtful_runs(scores: Sequence[float], below: float = DOUBTFUL) -> list[Doubt]:
    """Runs of frames that score under ``below``; those at most ``RUN_GAP`` frames apart are one."""
    runs: list[list[int]] = []
    for index, score in enumerate(scores):
        if score >= below:
            continue
        if runs and index - runs[-1][-1] <= RUN_GAP:
            runs[-1].append(index)
        else:
            runs.append([index])
    return [Doubt(run[0], run[-1], min(run, key=lambda index: (scores[index], index))) for run in runs]


def runs_of(frames: Iterable[int]) -> list[tuple[int, int]]:
    """Frame numbers in ascending order as runs without a gap, the first and the last of each."""
    runs: list[tuple[int, int]] = []
    for frame in frames:
        if runs and frame == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], frame)
        else:
            runs.append((frame, frame))
    return runs


@dataclass(frozen=True)
class RunReport:
    """One finished removal. ``seconds`` are of work per stage, summed over the threads that work side by side.

    Shares lie in [0, 1]; ``peak_memory_mb`` is the process's.
    """

    source: str
    output: str
    frames: int
    size_hw: tuple[int, int]
    wall_s: float
    seconds: dict[str, float]
    decoder: str
    flow: str
    model: str
    fill: str
    borrowed: float
    """Share of the hole filled with real pixels of the shot, mean over frames with a hole."""
    replaced: float
    """Share of all pixels that were replaced, effects included."""
    mask_scores: list[float]
    """How far each frame's mask is to be trusted, the signs of drift taken together."""
    cuts: list[int]
    """Frames that begin a new shot."""
    touched: list[tuple[int, int]] = field(default_factory=list)
    """Runs of frames in which anything was replaced: the first and the last of each."""
    unseen: dict[int, float] = field(default_factory=dict)
    """Share of the hole, by frame, that neither the shot nor a given plate shows; frames where all is shown are left out."""
    untouched: list[int] = field(default_factory=list)
    """First frames of the shots in which nothing was masked: they were left as they are."""
    mask_drift: dict[str, list[float]] = field(default_factory=dict)
    """The signs of drift over the frames, in [0, 1], 1 = nothing to doubt (masks/drift.py)."""
    damaged: list[int] = field(default_factory=list)
    """Frames where the source is damaged: what decodes of them stands there, or the frame before."""
    notes: list[str] = field(default_factory=list)
    outside_max_difference: float = 0.0
    """Largest difference from the source, in codes, measured before encoding where nothing was replaced; 0 where all is well."""
    encoded: str = ""
    """Codec and quality of what was written."""
    decoded_max_difference: float | None = None
    """The same after decoding what was written; None where that was not asked for."""
    peak_memory_mb: float | None = None

    @property
    def frames_per_s(self) -> float:
        """Frames over wall time; loading the networks comes before and is not counted."""
        return self.frames / max(self.wall_s, 1e-9)

    def doubtful(self, below: float = DOUBTFUL) -> list[int]:
        """Frames whose mask scores under ``below``."""
        return [index for index, score in enumerate(self.mask_scores) if score < below]

    def doubtful_runs(self, below: float = DOUBTFUL) -> list[Doubt]:
        """The same frames in runs, where gaps of a frame or two do not part them."""
        return doubtful_runs(self.mask_scores, below)

    def to_json(self) -> str:
        """All fields and the derived ones, indented."""
        values = asdict(self) | {
            "frames_per_s": round(self.frames_per_s, 3),
            "doubtful_frames": self.doubtful(),
            "doubtful_runs": [asdict(run) for run in self.doubtful_runs()],
        }
        return json.dumps(values, indent=2)

    def write(self, path: Path) -> None:
        """Write the JSON to ``path``."""
        path.write_text(self.to_json() + "\n", encoding="utf-8")
