"""The first pass written down: the notes of its frames by segments, where they stay, and where it stood after the last."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import astuple
from typing import Any, overload

import torch

from osor_video.analysis import FrameNotes, PassState
from osor_video.composite.grain import Grain
from osor_video.errors import VideoError
from osor_video.masks.drift import Drift
from osor_video.work.folder import WorkFolder

SEGMENT = 16
"""Frames whose notes are in one file."""
HELD = 8
"""Segments in memory at a time: readers go through the clip in order, two windows and what they borrow from apart."""
NOTES, STATE = "track-", "track-state"


class NoteBook(Sequence[FrameNotes]):
    """Notes of a clip's frames in its work folder; of a long clip only a few are in memory.

    ``finished``: the first pass has come to the clip's end.
    """

    def __init__(self, work: WorkFolder, every_s: float) -> None:
        """Takes up what an earlier run saved; a state is saved every ``every_s`` seconds, at the end of a segment."""
        self._work = work
        self._every_s = every_s
        self._saved_at = time.monotonic()
        self._held: OrderedDict[int, list[FrameNotes]] = OrderedDict()
        self._holding = threading.Lock()
        self._begun: list[FrameNotes] = []
        stood = work.load(STATE) or {"frames": 0, "finished": False, "state": None}
        self._frames: int = stood["frames"]
        self.finished: bool = stood["finished"]
        self._state = stood["state"]
        self._forget_later()

    @property
    def state(self) -> PassState | None:
        """Where the pass stood that saved these notes."""
        return PassState.of(self._state) if self._state else None

    def add(self, note: FrameNotes) -> bool:
        """Take the next frame's notes; True where ``save`` is due."""
        self._begun.append(note)
        self._frames += 1
        if len(self._begun) == SEGMENT:
            self._write()
            return time.monotonic() - self._saved_at >= self._every_s
        return False

    def save(self, state: PassState | None) -> None:
        """Write down that all notes so far hold, and where the pass stands; after a whole segment."""
        if state is None:
            return  # a pass that cannot say where it stands begins again
        self._save({"frames": self._frames, "finished": False, "state": state.tree()})

    def finish(self) -> None:
        """Write down that the pass is done."""
        if self._begun:
            self._write()
        self._save({"frames": self._frames, "finished": True, "state": None})
        self.finished, self._state = True, None

    def __len__(self) -> int:
        return self._frames

    @overload
    def __getitem__(self, index: int) -> FrameNotes: ...
    @overload
    def __getitem__(self, index: slice) -> list[FrameNotes]: ...
    def __getitem__(self, index: int | slice) -> FrameNotes | list[FrameNotes]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(self._frames))]
        if not -self._frames <= index < self._frames:
            raise IndexError(index)
        number, place = divmod(index % self._frames, SEGMENT)
        return self._segment(number)[place]

    def _segment(self, number: int) -> list[FrameNotes]:
        if number == (self._frames - len(self._begun)) // SEGMENT and self._begun:
            return self._begun
        # Windows side by side read from several threads.
        with self._holding:
            if number not in self._held:
                self._held[number] = self._loaded(number)
                if len(self._held) > HELD:
                    self._held.popitem(last=False)
            self._held.move_to_end(number)
            return self._held[number]

    def _loaded(self, number: int) -> list[FrameNotes]:
        tree = self._work.load(_name(number))
        if tree is None:
            raise VideoError(
                f"{self._work.path} has lost the notes of frames {number * SEGMENT} and after. Begin afresh with --restart."
            )
        return [_note(values) for values in tree["notes"]]

    def _write(self) -> None:
        number = (self._frames - 1) // SEGMENT
        self._work.save(_name(number), {"notes": [_tree(note) for note in self._begun]})
        self._begun = []

    def _save(self, stood: dict[str, Any]) -> None:
        self._work.save(STATE, stood)
        self._saved_at = time.monotonic()

    def _forget_later(self) -> None:
        """Segments after the last state belong to frames that will be seen again."""
        count = -(-self._frames // SEGMENT)
        self._work.drop([name for name in self._work.names(NOTES) if STATE != name >= _name(count)])


def _name(number: int) -> str:
    return f"{NOTES}{number:06d}"


def _tree(note: FrameNotes) -> dict[str, Any]:
    return {
        "mask": note.packed_mask,
        "size_hw": note.size_hw,
        "drift": astuple(note.drift),
        "shot": note.shot,
        "camera": torch.from_numpy(note.camera),
        "box": note.hole_box,
        "flow": None if note.flow_back is None else torch.from_numpy(note.flow_back),
        "added": note.packed_added,
        "kept": note.packed_kept,
        "grain": None if note.grain is None else astuple(note.grain),
    }


def _note(values: dict[str, Any]) -> FrameNotes:
    return FrameNotes(
        values["mask"],
        values["size_hw"],
        Drift(*values["drift"]),
        values["shot"],
        values["camera"].numpy(),
        values["box"],
        None if values["flow"] is None else values["flow"].numpy(),
        values["added"],
        values["kept"],
        None if values["grain"] is None else Grain(*values["grain"]),
    )
