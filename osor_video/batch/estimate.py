"""What many clips will cost, from what some took: time is in proportion to frames times pixels."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

MEGA = 1e6


@dataclass(frozen=True)
class Rate:
    """Seconds of one worker for a million pixels of finished frames, networks loaded; ``load_s`` to load them.

    ``stages`` are the same of each stage of work, which lie beside each other in time: their sum is more than the time.
    """

    s_per_mpx: float
    load_s: float
    stages: Mapping[str, float]
    clips: int

    @classmethod
    def of(cls, outcomes: Iterable[Mapping[str, Any]]) -> Self | None:
        """The rate of finished jobs (their outcomes); None where there is none."""
        done = [each for each in outcomes if each.get("report")]
        mpx = sum(_mpx(each["report"]) for each in done)
        if not mpx:
            return None
        spent = sum(each["wall_s"] - each["load_s"] for each in done)
        stages: dict[str, float] = {}
        for each in done:
            for stage, seconds in each["report"]["seconds"].items():
                stages[stage] = stages.get(stage, 0.0) + seconds / mpx
        return cls(spent / mpx, max(each["load_s"] for each in done), stages, len(done))

    def seconds(self, work: int) -> float:
        """Seconds for ``work`` frames times pixels."""
        return self.s_per_mpx * work / MEGA


def span_s(seconds: Sequence[float], workers: int, load_s: float = 0.0) -> float:
    """When the last of ``workers`` is done that share jobs of these ``seconds``, the longest first, each taken by who is free.

    Each loads its networks once.
    """
    free = [load_s] * min(workers, max(len(seconds), 1))
    for spent in sorted(seconds, reverse=True):
        heapq.heappush(free, heapq.heappop(free) + spent)
    return max(free) if seconds else 0.0


def told(seconds: float) -> str:
    """``95 s``, ``12 min`` or ``7.5 h``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _mpx(report: Mapping[str, Any]) -> float:
    height, width = report["size_hw"]
    return float(report["frames"] * height * width / MEGA)
