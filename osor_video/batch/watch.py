"""A folder that is watched: clips are taken when they are complete and something beside them says what is to go."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from osor_video.batch.done import Stamp, stamp
from osor_video.batch.entries import Listed, beside, clips_in, entry_of
from osor_video.batch.plan import Planned, make_plan
from osor_video.batch.run import Event
from osor_video.errors import OsorError
from osor_video.project import SUFFIX

STEADY_S = 2.0
"""How long the size of a clip has to stay the same before it counts as complete."""


class Watch:
    """Looks into ``folder`` for clips that are new or have changed; results go to ``out``."""

    def __init__(
        self,
        folder: Path,
        out: Path,
        typed: Mapping[str, Any],
        tell: Callable[[Event], None],
        steady_s: float = STEADY_S,
    ) -> None:
        self._folder = folder.absolute()
        self._out = out.absolute()
        self._typed = typed
        self._tell = tell
        self._steady_s = steady_s
        self._looked = -steady_s
        self._seen: dict[Path, list[Stamp]] = {}
        self._taken: dict[Path, list[Stamp]] = {}
        self._licences: set[str] = set()

    def fresh(self) -> list[Planned]:
        """Jobs that came since; what cannot be done is told, once. Looks again after ``steady_s`` only."""
        if time.monotonic() - self._looked < self._steady_s:
            return []
        self._looked = time.monotonic()
        before, self._seen = self._seen, {clip: self._stamps(clip) for clip in clips_in(self._folder)}
        jobs: list[Planned] = []
        for clip, now in self._seen.items():
            complete = now == before.get(clip) and len(now) > (clip.suffix != SUFFIX)
            if complete and self._taken.get(clip) != now:
                self._taken[clip] = now
                jobs += self._job(clip)
        return jobs

    def _stamps(self, clip: Path) -> list[Stamp]:
        """Sizes and times of the clip and of what lies beside it; one more than the clip where something does."""
        near = [
            path
            for path in sorted(self._folder.glob(f"{clip.stem}.*"))
            if path != clip and path.suffix != ".part"
        ]
        files = [path for path in near if path.stem in (clip.stem, f"{clip.stem}.mask")]
        inside = [file for path in files if path.is_dir() for file in sorted(path.iterdir())]
        return [stamp(clip), *(stamp(path) for path in (*files, *inside))]

    def _job(self, clip: Path) -> list[Planned]:
        try:
            if not beside(clip) and clip.suffix != SUFFIX:
                return []
            entry = entry_of(clip, self._typed, self._out)
            jobs = [job for job in make_plan(Listed((entry,), ()), self._out) if job.state != "done"]
        except OsorError as error:
            self._tell({"event": "refused", "job": clip.name, "why": str(error)})
            return []
        for job in jobs:
            if job.licence and job.licence not in self._licences:
                self._licences.add(job.licence)
                self._tell({"event": "licence", "job": job.name, "why": job.licence})
        return jobs
