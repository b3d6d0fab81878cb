"""Second pass over a clip: recover, remove and composite, window after window.

A window needs frames of its neighbours (to borrow from) and a small carry (the latent state), nothing else: memory
does not grow with the clip, and the windows' size does not change the result.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from osor_video.analysis import FrameNotes
from osor_video.background.effects import find_effects
from osor_video.background.recover import Plate, recover
from osor_video.background.register import ShotFrame
from osor_video.composite.fill import Fill, make_fill
from osor_video.config import Config
from osor_video.masks.track import hole
from osor_video.removal.crop import Crop, bounding_box, plan_crops
from osor_video.removal.remover import OneStepRemover, Removal, RemovalInput, RemoverState
from osor_video.report import Stopwatch
from osor_video.tensors import FloatMap
from osor_video.video.planes import ColorSpec, PlanarFrame, blend_planes, planes_to_rgb


@dataclass(frozen=True)
class Restored:
    """A finished frame; ``fill`` is None where there was nothing to remove."""

    frame: PlanarFrame
    fill: Fill | None


@dataclass(frozen=True)
class Carry:
    """What passes from one window to the next."""

    shot: int = -1
    state: RemoverState | None = None


@dataclass(frozen=True)
class _Loaded:
    planes: PlanarFrame
    seen: ShotFrame


class Restorer:
    """Finishes the frames of one clip, given the notes of its first pass."""

    def __init__(
        self,
        notes: Sequence[FrameNotes],
        remover: OneStepRemover,
        color: ColorSpec,
        config: Config,
        clock: Stopwatch,
    ) -> None:
        self._notes = notes
        self._remover = remover
        self._color = color
        self._config = config
        self._clock = clock
        self._crops = self._plan()

    def run(self, planes: Iterator[PlanarFrame], start: int = 0) -> Iterator[Restored]:
        """Finish all frames of ``planes`` from frame ``start`` on, in order."""
        reach, size = self._config.background.reach_frames, self._config.window_frames
        loaded: deque[_Loaded] = deque()
        keys: deque[ShotFrame] = deque()
        carry = Carry()
        for begin in range(start - start % size, len(self._notes), size):
            end = min(begin + size, len(self._notes))
            self._load(planes, end + reach, loaded, keys)
            window = [loaded.popleft() for _ in range(end - loaded[0].planes.index)]
            results, carry = self._finish(
                [item for item in window if item.planes.index >= start], keys, carry
            )
            yield from results
            while keys and keys[0].index < end - reach:
                keys.popleft()

    def _load(
        self, planes: Iterator[PlanarFrame], until: int, loaded: deque[_Loaded], keys: deque[ShotFrame]
    ) -> None:
        """Decode up to frame ``until``; every few frames one is kept to borrow from."""
        while not loaded or loaded[-1].planes.index < until - 1:
            with self._clock.stage("decode"):
                frame = next(planes, None)
                if frame is None:
                    return
                notes = self._notes[frame.index]
                grown = hole(notes.mask, self._config.mask.grow)
                seen = ShotFrame(frame.index, planes_to_rgb(frame.planes, self._color), grown, notes.camera)
            loaded.append(_Loaded(frame, seen))
            if frame.index % self._config.background.step_frames == 0:
                keys.append(seen)

    def _finish(
        self, window: Sequence[_Loaded], keys: Sequence[ShotFrame], carry: Carry
    ) -> tuple[list[Restored], Carry]:
        """Finish one window; the frames of a batch go through the network together."""
        results: list[Restored] = []
        batch: list[_Loaded] = []
        for item in window:
            if batch and not self._belongs(item, batch):
                done, carry = self._finish_batch(batch, keys, carry)
                results += done
                batch = []
            batch.append(item)
        if batch:
            done, carry = self._finish_batch(batch, keys, carry)
            results += done
        return results, carry

    def _belongs(self, item: _Loaded, batch: Sequence[_Loaded]) -> bool:
        first = batch[0].planes.index
        size = self._config.removal.batch
        same_batch = item.planes.index // size == first // size
        return same_batch and self._notes[item.planes.index].shot == self._notes[first].shot

    def _finish_batch(
        self, batch: Sequence[_Loaded], keys: Sequence[ShotFrame], carry: Carry
    ) -> tuple[list[Restored], Carry]:
        shot = self._notes[batch[0].planes.index].shot
        if shot != carry.shot:
            carry = Carry(shot)
        holed = [item for item in batch if item.seen.hole.any()]
        if not holed:
            return [Restored(item.planes, None) for item in batch], Carry(shot)
        plates = self._plates(holed, keys, shot)
        removals, state = self._remove(holed, carry.state)
        fills = {
            item.planes.index: self._fill(item, plate, removal)
            for item, plate, removal in zip(holed, plates, removals, strict=True)
        }
        results = [self._composite(item.planes, fills.get(item.planes.index)) for item in batch]
        return results, Carry(shot, state)

    def _plates(self, holed: Sequence[_Loaded], keys: Sequence[ShotFrame], shot: int) -> list[Plate | None]:
        """The plate of each frame from its neighbours in the shot."""
        if self._config.fill == "diffusion":
            return [None] * len(holed)
        reach = self._config.background.reach_frames
        with self._clock.stage("background"):
            own = [key for key in keys if self._notes[key.index].shot == shot]
            return [
                recover(
                    item.seen,
                    [key for key in own if 0 < abs(key.index - item.seen.index) <= reach],
                    self._config.background,
                )
                for item in holed
            ]

    def _remove(
        self, holed: Sequence[_Loaded], state: RemoverState | None
    ) -> tuple[Sequence[Removal | None], RemoverState | None]:
        if self._config.fill == "plate":
            return [None] * len(holed), None
        inputs = []
        for item in holed:
            crop = self._crops[item.planes.index]
            assert crop is not None  # a frame with a hole has a crop: both come from the same notes
            inputs.append(
                RemovalInput(item.seen.rgb, item.seen.hole, crop, self._notes[item.planes.index].flow_back)
            )
        with self._clock.stage("remove"):
            removals: tuple[Sequence[Removal], RemoverState | None] = self._remover.remove(inputs, state)
            return removals

    def _fill(self, item: _Loaded, plate: Plate | None, removal: Removal | None) -> Fill:
        with self._clock.stage("composite"):
            effects: FloatMap | None = None
            if plate is not None:
                effects = find_effects(item.seen.rgb, plate, item.seen.hole, self._config.effects)
            return make_fill(item.seen.rgb, item.seen.hole, plate, effects, removal, self._config.composite)

    def _composite(self, frame: PlanarFrame, fill: Fill | None) -> Restored:
        if fill is None:
            return Restored(frame, None)
        with self._clock.stage("composite"):
            planes = blend_planes(frame.planes, fill.rgb, fill.alpha, self._color, fill.box)
        return Restored(replace(frame, planes=planes), fill)

    def _plan(self) -> list[Crop | None]:
        """A steady crop for each frame, shot by shot."""
        removal = self._config.removal
        multiple = self._remover.model.record.multiple_px
        shots = np.array([notes.shot for notes in self._notes])
        crops: list[Crop | None] = []
        for shot in range(int(shots.max()) + 1):
            notes = [note for note in self._notes if note.shot == shot]
            boxes = [bounding_box(hole(note.mask, self._config.mask.grow)) for note in notes]
            crops += plan_crops(boxes, notes[0].size_hw, removal.context, removal.raster_px, multiple)
        return crops
