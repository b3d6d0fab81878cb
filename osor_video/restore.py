"""Second pass over a clip: recover, remove and composite, window after window.

A window needs frames of its neighbours (to borrow from) and a small carry (the latent state), nothing else: memory
does not grow with the clip, and the windows' size does not change the result.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import groupby, islice, repeat

import numpy as np

from osor_video.analysis import FrameNotes, core_of, grain_of, hole_of
from osor_video.background.effects import box_of_effects, find_effects, join_effects, searched_margin
from osor_video.background.given import GivenPlate, lay_plate, prefer
from osor_video.background.recover import NeededBox, Plate, recover
from osor_video.background.register import ShotFrame
from osor_video.composite.fill import Fill, FrameGrain, dithered, make_fill
from osor_video.config import Config
from osor_video.memory import release_unused
from osor_video.removal.crop import Crop, shift_behind
from osor_video.removal.remover import OneStepRemover, Removal, RemovalInput, RemoverState
from osor_video.report import Stopwatch
from osor_video.tensors import FloatMap, Mask, Picture
from osor_video.video.planes import (
    ColorSpec,
    PlanarFrame,
    Planes,
    blend_planes,
    outside_difference,
    planes_to_rgb,
    whole_samples,
)

CAST = 0.8
"""The model's alpha beyond a frame's hole from which nothing is borrowed there."""
RELEASE_FRAMES = 16
"""Frames after which what their plates took goes back: left until a window's end, its gaps grow with the clip's length."""


@dataclass(frozen=True)
class Restored:
    """A finished frame, and the source's samples of it; ``fill`` is None where there was nothing to remove.

    ``outside``: the largest difference, in codes, from the source where nothing was replaced, as measured.
    """

    frame: PlanarFrame
    fill: Fill | None
    before: Planes
    outside: float = 0.0


@dataclass(frozen=True)
class Carry:
    """What passes from one window to the next."""

    shot: int = -1
    state: RemoverState | None = None


@dataclass(frozen=True)
class _Loaded:
    """A decoded frame; ``hole`` [H, W] is what is to be filled in it, ``kept`` what the user keeps."""

    planes: PlanarFrame
    seen: ShotFrame
    hole: Mask
    kept: Mask | None


class Restorer:
    """Finishes the frames of one clip, given the notes of its first pass."""

    def __init__(
        self,
        notes: Sequence[FrameNotes],
        remover: OneStepRemover,
        color: ColorSpec,
        config: Config,
        pool: Executor,
        clock: Stopwatch,
        given: GivenPlate | None = None,
    ) -> None:
        self._notes = notes
        self._remover = remover
        self._color = color
        self._config = config
        self._given = given
        margin = searched_margin(config.background.margin, config.effects)
        self._background = config.background.model_copy(update={"margin": margin})
        self._pool = pool
        self._clock = clock
        self._crops = self._plan()

    def run(self, planes: Iterator[PlanarFrame], start: int = 0) -> Iterator[Restored]:
        """Finish all frames of ``planes`` from frame ``start`` on, in order."""
        for results, _ in self.windows(planes, start):
            yield from results

    def windows(
        self,
        planes: Iterator[PlanarFrame],
        start: int = 0,
        carry: Carry | None = None,
        stop: int | None = None,
    ) -> Generator[tuple[list[Restored], Carry], None, None]:
        """The same window by window up to frame ``stop`` (not included), each with what it hands to the next.

        A later run that is given a window's ``carry`` and the frame after it as ``start`` goes on as if it had never stopped.
        ``planes`` begins with frame ``needed(start)`` or before it in any case: earlier frames are borrowed from.
        """
        reach, size = self._config.background.reach_frames, self._config.window_frames
        last = len(self._notes) if stop is None else stop
        loaded: deque[_Loaded] = deque()
        keys: deque[ShotFrame] = deque()
        carry = carry or Carry()
        first = start - start % size
        ahead: Future[None] | None = None
        with closing(self._laid()) as laid:
            for _ in range(first):
                next(laid)
            try:
                for begin in range(first, last, size):
                    end = min(begin + size, last)
                    if ahead is None:
                        self._load(planes, first, end + reach, loaded, keys)
                    else:
                        ahead.result()
                    window = [loaded.popleft() for _ in range(end - loaded[0].planes.index)]
                    pictures = {item.planes.index: next(laid) for item in window}
                    known = list(keys)
                    # The next window is decoded while this one is in work.
                    ahead = self._pool.submit(self._load, planes, first, end + size + reach, loaded, keys)
                    results, carry = self._finish(
                        [item for item in window if item.planes.index >= start], known, pictures, carry
                    )
                    yield results, carry
                    while keys and keys[0].index < end - reach:
                        keys.popleft()
                    release_unused()
            finally:
                # Whoever closes ``planes`` after this must find it at rest.
                wait([] if ahead is None else [ahead])

    def needed(self, start: int) -> int:
        """The first frame that finishing from ``start`` on has to see."""
        return max(0, start - start % self._config.window_frames - self._config.background.reach_frames)

    def shot_begin(self, frame: int) -> int:
        """The first frame of the shot of ``frame``."""
        shot = self._notes[frame].shot
        return next((index + 1 for index in range(frame - 1, -1, -1) if self._notes[index].shot != shot), 0)

    def warm(self, planes: Iterator[PlanarFrame], start: int) -> Carry:
        """What is handed to frame ``start`` by those before it in its shot, with which ``planes`` begins.

        Only those where the carried latent starts anew go through the network, so that it costs a small part of finishing them;
        with one frame a batch it is exactly what finishing hands on.
        """
        shot, state = self._notes[start].shot, None
        if self._config.fill == "plate":
            return Carry(shot)
        before = (self._look(frame) for frame in islice(planes, start - self.shot_begin(start)))
        for _, batch in self._batches(before):
            holed = [item for item in batch if self._has_hole(item)]
            if not holed:
                state = None
            for item in holed:
                state = self._remover.passed(self._input(item), state)
        return Carry(shot, state)

    def _laid(self) -> Generator[Picture | None, None, None]:
        """The user's plate for every frame, None where there is none."""
        if self._given is None:
            yield from repeat(None)
        else:
            yield from self._given.pictures()

    def _load(
        self,
        planes: Iterator[PlanarFrame],
        first: int,
        until: int,
        loaded: deque[_Loaded],
        keys: deque[ShotFrame],
    ) -> None:
        """Decode up to frame ``until``; every few frames one is kept to borrow from, and none before ``first`` to finish."""
        reach, step = self._config.background.reach_frames, self._config.background.step_frames
        while not loaded or loaded[-1].planes.index < until - 1:
            with self._clock.stage("decode"):
                frame = next(planes, None)
                if frame is None:
                    return
                is_key = frame.index % step == 0 and frame.index >= first - reach
                if frame.index < first and not is_key:
                    continue
                item = self._look(frame)
            if is_key:
                item = replace(item, seen=replace(item.seen, cast=self._cast(item)))
                keys.append(item.seen)
            if frame.index >= first:
                loaded.append(item)

    def _look(self, frame: PlanarFrame) -> _Loaded:
        notes = self._notes[frame.index]
        grown = hole_of(self._notes, frame.index, self._config.mask)
        kept = None if notes.kept is None else whole_samples(notes.kept, self._color.chroma_log2)
        seen = ShotFrame(frame.index, planes_to_rgb(frame.planes, self._color), grown, notes.camera)
        return _Loaded(frame, seen, grown if kept is None else grown & ~kept, kept)

    def _cast(self, item: _Loaded) -> Mask | None:
        """What the object casts in a frame that is borrowed from, by the model's alpha: of no use to another frame [H, W]."""
        effects = self._config.effects
        if self._config.fill == "diffusion" or effects.find == "off" or not self._has_hole(item):
            return None
        with self._clock.stage("background"):
            found = self._remover.found(self._input(item))
            if found is None:
                return None
            return np.asarray(join_effects(item.seen.hole, None, found.alpha, effects, found.box) > CAST)

    def _finish(
        self,
        window: Sequence[_Loaded],
        keys: Sequence[ShotFrame],
        pictures: Mapping[int, Picture | None],
        carry: Carry,
    ) -> tuple[list[Restored], Carry]:
        """Finish one window: the network sees its frames in order while plates are made beside it."""
        removing = self._pool.submit(self._remove_all, window, carry)
        plates = {
            item.planes.index: self._plate(item, keys, pictures[item.planes.index])
            for item in window
            if self._has_hole(item)
        }
        removals, carry = removing.result()
        # Each waits for its plate, which came into the pool before it.
        return list(self._pool.map(lambda item: self._complete(item, plates, removals), window)), carry

    def _remove_all(self, window: Sequence[_Loaded], carry: Carry) -> tuple[dict[int, Removal | None], Carry]:
        """The network's answers for a window's frames with a hole, by frame, batch by batch."""
        removals: dict[int, Removal | None] = {}
        for shot, batch in self._batches(window):
            state = carry.state if shot == carry.shot else None
            holed = [item for item in batch if self._has_hole(item)]
            answers, state = self._remove(holed, state) if holed else ([], None)
            removals |= {item.planes.index: answer for item, answer in zip(holed, answers, strict=True)}
            carry = Carry(shot, state)
        return removals, carry

    def _has_hole(self, item: _Loaded) -> bool:
        return bool(item.hole.any())

    def _batches(self, window: Iterable[_Loaded]) -> Iterator[tuple[int, list[_Loaded]]]:
        """Frames that the network sees together: of one shot, at places that do not depend on the windows."""

        def key(item: _Loaded) -> tuple[int, int]:
            return self._notes[item.planes.index].shot, item.planes.index // self._remover.batch

        for (shot, _), batch in groupby(window, key):
            yield shot, list(batch)

    def _plate(
        self, item: _Loaded, keys: Sequence[ShotFrame], picture: Picture | None
    ) -> Future[Plate] | None:
        """The plate of a frame from the user's and from its neighbours in the shot, in work."""
        if self._config.fill == "diffusion":
            return None
        index, reach = item.planes.index, self._config.background.reach_frames
        shot = self._notes[index].shot
        others = [key for key in keys if 0 < abs(key.index - index) <= reach]
        return self._pool.submit(
            self._recover, item.seen, [key for key in others if self._notes[key.index].shot == shot], picture
        )

    def _recover(self, seen: ShotFrame, others: Sequence[ShotFrame], picture: Picture | None) -> Plate:
        with self._clock.stage("background"):
            if seen.index % RELEASE_FRAMES == 0:
                release_unused()
            if self._given is None or picture is None:
                return recover(seen, others, self._background, self._needed(seen))
            trust = self._config.composite.trust
            laid = lay_plate(seen, picture, self._background.margin, self._given.moving)
            if bool((laid.confidence >= trust).all()):
                return laid
            return prefer(laid, recover(seen, others, self._background), trust)

    def _needed(self, seen: ShotFrame) -> NeededBox | None:
        effects, margin = self._config.effects, self._background.margin
        if effects.find == "off":
            return None
        return lambda plate: box_of_effects(seen.rgb, seen.hole, effects, margin, plate)

    def _remove(
        self, holed: Sequence[_Loaded], state: RemoverState | None
    ) -> tuple[Sequence[Removal | None], RemoverState | None]:
        if self._config.fill == "plate":
            return [None] * len(holed), None
        inputs = [self._input(item) for item in holed]
        with self._clock.stage("remove"):
            removals: tuple[Sequence[Removal], RemoverState | None] = self._remover.remove(inputs, state)
            return removals

    def _input(self, item: _Loaded) -> RemovalInput:
        index = item.planes.index
        crop = self._crops[index]
        assert crop is not None  # a frame with a hole has a crop: both come from the same notes
        core = core_of(self._notes, index, self._config.mask) & item.hole
        return RemovalInput(
            item.seen.rgb,
            core if core.any() else item.hole,
            crop,
            self._notes[index].flow_back,
            index,
            effects=self._config.effects.find != "off",
        )

    def _complete(
        self,
        item: _Loaded,
        plates: Mapping[int, Future[Plate] | None],
        removals: Mapping[int, Removal | None],
    ) -> Restored:
        """Lay the joined fill over one frame; without a hole it passes as it is."""
        if item.planes.index not in plates:
            return Restored(item.planes, None, item.planes.planes)
        waiting = plates[item.planes.index]
        plate = None if waiting is None else waiting.result()
        seen = item.seen
        with self._clock.stage("composite"):
            removal = removals[item.planes.index]
            effect = self._effect(item, plate, removal)
            fill = make_fill(
                seen.rgb,
                item.hole,
                plate,
                effect,
                removal,
                self._config.composite,
                item.kept,
                self._grain(item),
            )
            if self._color.bit_depth > 8:
                fill = dithered(fill, self._config.composite.dither, (self._config.seed, item.planes.index))
            before = item.planes.planes
            planes = blend_planes(before, fill.rgb, fill.alpha, self._color, fill.box)
            outside = outside_difference(before, planes, fill.alpha, self._color, fill.box)
        return Restored(replace(item.planes, planes=planes), fill, before, outside)

    def _effect(self, item: _Loaded, plate: Plate | None, removal: Removal | None) -> FloatMap:
        """Alpha [H, W] of what the object casts, by the plate's witness and by the model's."""
        effects = self._config.effects
        found = None
        if plate is not None and effects.find != "off":
            found = find_effects(item.seen.rgb, plate, item.seen.hole, effects)
        if removal is None:
            return join_effects(item.hole, found, None, effects)
        return join_effects(item.hole, found, removal.alpha, effects, removal.box)

    def _grain(self, item: _Loaded) -> FrameGrain | None:
        """The grain of the frame's surroundings as the first pass measured it."""
        measured = grain_of(self._notes, item.planes.index)
        return None if measured is None else FrameGrain(measured, self._config.seed, item.planes.index)

    def _plan(self) -> list[Crop | None]:
        """A steady crop for each frame, shot by shot."""
        crops: list[Crop | None] = []
        for _, group in groupby(self._notes, lambda note: note.shot):
            # A long shot's notes lie on disk: nothing of their size is kept.
            found = [
                (note.hole_box, shift_behind(note.hole_box, note.flow_back, note.size_hw), note.size_hw)
                for note in group
            ]
            boxes, shifts, sizes = zip(*found, strict=True)
            crops += self._remover.plan(boxes, shifts, sizes[0])
        return crops
