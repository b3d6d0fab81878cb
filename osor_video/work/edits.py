"""The second pass written down: what was changed in each finished frame, without loss, and what passes on to later ones.

An encoder's state cannot be saved. A run that goes on therefore encodes its finished frames once more, from the source and these
changes: every frame in the same order through the same encoder gives the same bytes.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch

from osor_video.composite.fill import alpha_of
from osor_video.errors import VideoError
from osor_video.masks.held import pack_mask, unpack_mask
from osor_video.removal.carry import Anchor
from osor_video.removal.carry import Carry as Carried
from osor_video.removal.crop import Crop
from osor_video.removal.remover import RemoverState
from osor_video.restore import Carry, Restored
from osor_video.tensors import FloatMap
from osor_video.video.planes import PlanarFrame, Plane, Planes
from osor_video.work.folder import WorkFolder

EDITS, STATE = "fill-", "fill-state"
PNG = [cv2.IMWRITE_PNG_COMPRESSION, 1, cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY]
"""Pixels are mostly noise: measured, half the time of zlib's default and a tenth less to write."""


@dataclass(frozen=True)
class Edit:
    """What a finished frame has that its source has not.

    ``planes``: of each the changed part as PNG, where it changed (packed), and its place (top, left, height, width); empty where
    nothing did. ``effect`` is that of ``Fill`` in steps of 1/255 on ``box``, deflated. ``outside`` is that of ``Restored``;
    ``covered`` is where alpha is above 0, packed, where that is to be known.
    """

    planes: tuple[tuple[bytes, bytes, tuple[int, int, int, int]], ...] = ()
    box: tuple[int, int, int, int] | None = None
    effect: bytes = b""
    borrowed: float | None = None
    replaced: float = 0.0
    damaged: bool = False
    outside: float = 0.0
    covered: bytes = b""

    @classmethod
    def of(cls, restored: Restored, *, covered: bool = False) -> Edit:
        """What was changed in a frame."""
        fill, bad = restored.fill, restored.frame.damaged
        if fill is None:
            return cls(damaged=bad)
        effect = np.rint(fill.effect * 255).astype(np.uint8)
        planes = tuple(map(_pack, restored.frame.planes, restored.before))
        deflated = zlib.compress(effect.tobytes(), 1)
        where = pack_mask(alpha_of(fill, restored.before[0].shape) > 0) if covered else b""
        replaced = float(fill.alpha.sum())
        return cls(planes, fill.box, deflated, fill.borrowed, replaced, bad, float(restored.outside), where)

    def on(self, frame: PlanarFrame) -> PlanarFrame:
        """The source's ``frame`` with the changes."""
        if not self.planes:
            return frame
        return replace(frame, planes=_planes(self.planes, frame.planes))

    def effect_on(self, size_hw: tuple[int, int]) -> FloatMap:
        """Alpha [H, W] of what was found beyond the hole, in steps of 1/255."""
        whole = np.zeros(size_hw, np.float32)
        if self.box is not None:
            top, left, bottom, right = self.box
            codes = np.frombuffer(zlib.decompress(self.effect), np.uint8).reshape(bottom - top, right - left)
            whole[top:bottom, left:right] = codes / np.float32(255)
        return whole


class EditBook:
    """The edits of a clip's frames in its work folder, and the carry after the last of them."""

    def __init__(self, work: WorkFolder, every_s: float, first: int = 0) -> None:
        """Takes up what an earlier run saved; what is added is written every ``every_s`` seconds.

        ``first`` is the frame of the first edit: a part of a clip has a book of its own.
        """
        self._work = work
        self._every_s = every_s
        self._saved_at = time.monotonic()
        self._begun: list[Edit] = []
        stood = work.load(STATE) or {"frames": first, "carry": None}
        self.frames: int = stood["frames"]
        self.carry = _carry(stood["carry"])
        work.drop([name for name in work.names(EDITS) if STATE != name >= _name(self.frames)])

    def edits(self) -> Iterator[Edit]:
        """The saved ones from the first frame on."""
        done = 0
        while done < self.frames:
            tree = self._work.load(_name(done))
            if tree is None:
                raise VideoError(
                    f"{self._work.path} has lost the finished frames from {done} on. Begin afresh with --restart."
                )
            for values in tree["edits"]:
                yield Edit(**values)
            done += len(tree["edits"])

    def add(self, edits: Sequence[Edit], carry: Carry) -> None:
        """Take a window's edits and what it hands to the next; written at once or with later ones."""
        self._begun += edits
        if time.monotonic() - self._saved_at >= self._every_s:
            self.save(carry)

    def save(self, carry: Carry) -> None:
        """Write down what was added, and ``carry``, which passes on to what comes after it."""
        # First the edits, then the word that they are there.
        if self._begun:
            self._work.save(_name(self.frames), {"edits": [vars(edit) for edit in self._begun]})
        self.frames += len(self._begun)
        self._work.save(STATE, {"frames": self.frames, "carry": _carry_tree(carry)})
        self._begun, self._saved_at = [], time.monotonic()


def _name(frame: int) -> str:
    return f"{EDITS}{frame:09d}"


def _pack(plane: Plane, before: Plane) -> tuple[bytes, bytes, tuple[int, int, int, int]]:
    codes, old = _codes(plane), _codes(before)
    changed = codes != old
    rows, columns = np.flatnonzero(changed.any(axis=1)), np.flatnonzero(changed.any(axis=0))
    if not len(rows):
        return b"", b"", (0, 0, 0, 0)
    top, left = int(rows[0]), int(columns[0])
    area = np.s_[top : int(rows[-1]) + 1, left : int(columns[-1]) + 1]
    where = changed[area]
    done, png = cv2.imencode(".png", np.where(where, codes[area], 0).astype(codes.dtype), PNG)
    assert done  # a plane of codes is a grey picture
    return png.tobytes(), pack_mask(where), (top, left, *where.shape)


def _codes(plane: Plane) -> npt.NDArray[Any]:
    """Samples as whole numbers that PNG holds, bit for bit: float ones [H, W] as 16-bit parts [H, W or 2 W]."""
    return plane.view(np.uint16) if plane.dtype.kind == "f" else plane


def _planes(packed: Sequence[tuple[bytes, bytes, tuple[int, int, int, int]]], before: Planes) -> Planes:
    planes = []
    for (png, where, (top, left, height, width)), plane in zip(packed, before, strict=True):
        edited = plane.copy(order="C")
        if png:
            stored: npt.NDArray[Any] = np.asarray(
                cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
            )
            changed = unpack_mask(where, (height, width))
            _codes(edited)[top : top + height, left : left + width][changed] = stored[changed]
        planes.append(edited)
    return tuple(planes)


def _carry_tree(carry: Carry) -> dict[str, Any]:
    state = carry.state
    if state is None:
        return {"shot": carry.shot, "state": None}
    carried, crop = state.carry, state.crop
    anchor = carried.anchor
    tensors = anchor.z0, anchor.picture, anchor.known, carried.flow_to_anchor, carried.trust
    return {
        "shot": carry.shot,
        "state": {
            "tensors": [tensor.detach().cpu().clone() for tensor in tensors],
            "age": carried.age,
            "crop": (crop.top, crop.left, crop.size_hw, crop.raster_hw),
        },
    }


def _carry(tree: dict[str, Any] | None) -> Carry:
    if tree is None:
        return Carry()
    state = tree["state"]
    if state is None:
        return Carry(tree["shot"])
    *anchor, flow, trust = (torch.as_tensor(tensor) for tensor in state["tensors"])
    carried = Carried(Anchor(*anchor), flow, trust, state["age"])
    return Carry(tree["shot"], RemoverState(carried, Crop(*state["crop"])))
