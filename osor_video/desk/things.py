"""One object on the desk: where it is marked, what was followed from there, and what of that still holds."""

from __future__ import annotations

from dataclasses import dataclass, field

from osor_video.project import span_of


@dataclass
class Thing:
    """An object on the desk. ``track`` has what was followed, ``fresh`` the frames in which that still holds."""

    id: int
    name: str
    colour: str
    masks: dict[int, str] = field(default_factory=dict)
    track: dict[int, tuple[str, float]] = field(default_factory=dict)
    fresh: set[int] = field(default_factory=set)
    changed: list[tuple[int, int, int]] = field(default_factory=list)
    """(first, end, version) of what a change made stale: what a job that began earlier finds there is not taken."""

    def whole(self, frames: int) -> bool:
        """Whether each of ``frames`` frames has its mask."""
        return len(self.fresh) == frames

    def spans(self, frames: int) -> list[tuple[int, int]]:
        """What has to be followed (first, end not included), as few frames as the masks allow."""
        if not self.masks:
            return []
        found = {
            span_of(self.masks, frame, frames)
            for frame in range(frames)
            if frame not in self.fresh and frame not in self.masks
        }
        return sorted(found)

    def paint(self, frame: int, png: str | None, frames: int, version: int) -> None:
        """Set or take away the mask of ``frame``; what was followed from it is stale."""
        first, end = span_of(self.masks, frame, frames)
        if png is None:
            self.masks.pop(frame, None)
        else:
            self.masks[frame] = png
        stale = {index for index in range(first, end) if index not in self.masks}
        self.fresh -= stale
        self.changed.append((first, end, version))
        if png is not None:
            self.track[frame] = png, 1.0
            self.fresh.add(frame)
        elif not self.masks:
            self.track.clear()
            self.fresh.clear()

    def hear(self, frame: int, png: str, score: float, version: int) -> bool:
        """Take a mask that a job of ``version`` found, unless it is out of date."""
        if frame in self.masks or any(
            first <= frame < end and version < changed for first, end, changed in self.changed
        ):
            return False
        self.track[frame] = png, score
        self.fresh.add(frame)
        return True
