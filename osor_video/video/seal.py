"""What is done to a finished file in the moment before it gets its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from osor_video.report import RunReport


@dataclass(frozen=True)
class Seal:
    """``finish`` is given the whole file under its temporary name, and what the run did; an error of it and nothing is kept.

    ``tags`` are put into the container beside those of the source.
    """

    finish: Callable[[Path, RunReport], None]
    tags: Mapping[str, str] = field(default_factory=dict)
