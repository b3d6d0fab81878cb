"""Second pass over a clip: recover, remove and composite, window after window.

A window needs frames of its neighbours (to borrow from) and a small carry (the latent state), nothing else: memory
does not grow with the clip, and the windows' size does not change the result.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby, repeat

import numpy as np

from osor_video.analysis import FrameNotes, core_of, grain_of, hole_of
from osor_video.background.effects import box_of_effects, find_effects, join_effects, searched_margin
from osor_video.background.given import GivenPlate, lay_plate, prefer
from osor_video.background.recover import NeededBox, Plate, recover
from osor_video.background.register import ShotFrame
from osor_video.composite.fill import Fill, FrameGrain, dithered, make_fill
from osor_video.config import Config
from osor_video.feed import Fed, FrameFeed, FrameKinds, Loaded
from osor_video.memory import release_unused
from osor_video.removal.crop import Crop, shift_behind
from osor_video.removal.gather import Witness
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
class _Window:
    """Frames in work: the network's answers and the plates, by frame, of those that have a hole."""

    frames: Sequence[Loaded]
    removing: Future[tuple[dict[int, Removal | None], Carry]]
    plates: Mapping[int, Future[Plate] | None]


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
        size = self._config.window_frames
        last = len(self._notes) if stop is None else stop
        first = start - start % size
        ends = [min(begin + size, last) for begin in range(first, last, size)]
        if not ends:
            return
        kinds = FrameKinds(self._look, self._with_cast)
        feed = FrameFeed(planes, first, self._config.background, kinds, self._pool, self._clock)
        # Whoever closes ``planes`` after this must find it at rest.
        with closing(feed), closing(self._laid()) as laid:
            for _ in range(first):
                next(laid)

            def begin(end: int, carry: Carry) -> _Window:
                fed = feed.window(end, size)
                pictures = {item.index: next(laid) for item in fed.frames}
                wanted = [item for item in fed.frames if item.index >= start]
                return self._begin(replace(fed, frames=wanted), pictures, carry)

            window = begin(ends[0], carry or Carry())
            for following in [*ends[1:], None]:
                finished, handed = self._end(window)
                if following is not None:
                    # Begun before this one is finished, so that no worker waits for the last frame.
                    window = begin(following, handed)
                yield [one.result() for one in finished], handed
                release_unused()

    def needed(self, start: int) -> int:
        """The first frame that finishing from ``start`` on has to see."""
        return max(0, start - start % self._config.window_frames - self._config.background.reach_frames)

    def shot_begin(self, frame: int) -> int:
        """The first frame of the shot of ``frame``."""
        shot = self._notes[frame].shot
        return next((index + 1 for index in range(frame - 1, -1, -1) if self._notes[index].shot != shot), 0)

    def warm(self, planes: Iterator[PlanarFrame], start: int) -> Carry:
        """What is handed to frame ``start`` by those before it in its shot, with which ``planes`` begins and goes on.

        Only those where the carried latent starts anew go through the network, so that it costs a small part of finishing them;
        with one frame a batch it is exactly what finishing hands on.
        """
        shot, state = self._notes[start].shot, None
        if self._config.fill == "plate":
            return Carry(shot)
        begin, size = self.shot_begin(start), self._config.window_frames
        kinds = FrameKinds(self._look, lambda item: item)
        feed = FrameFeed(planes, begin, self._config.background, kinds, self._pool, self._clock)
        with closing(feed):
            for first in range(begin - begin % size, start, size):
                fed = feed.window(min(first + size, start), size)
                for _, batch in self._batches(fed.frames):
                    holed = [item for item in batch if self._has_hole(item)]
                    if not holed:
                        state = None
                    for item in holed:
                        state = self._remover.passed(self._input(item, fed), state)
        return Carry(shot, state)

    def _laid(self) -> Generator[Picture | None, None, None]:
        """The user's plate for every frame, None where there is none."""
        if self._given is None:
            yield from repeat(None)
        else:
            yield from self._given.pictures()

    def _look(self, frame: PlanarFrame) -> Loaded:
        notes = self._notes[frame.index]
        grown = hole_of(self._notes, frame.index, self._config.mask)
        kept = None if notes.kept is None else whole_samples(notes.kept, self._color.chroma_log2)
        seen = ShotFrame(frame.index, planes_to_rgb(frame.planes, self._color), grown, notes.camera)
        return Loaded(frame, seen, grown if kept is None else grown & ~kept, kept)

    def _with_cast(self, item: Loaded) -> Loaded:
        """``item`` with what its object casts, by the model's alpha: of no use to a frame that borrows from it."""
        if self._config.fill == "diffusion":
            return item
        with self._clock.stage("background"):
            return self._casting(item)

    def _casting(self, item: Loaded) -> Loaded:
        """The same, whatever is filled with."""
        effects = self._config.effects
        if effects.find == "off" or not self._has_hole(item):
            return item
        found = self._remover.found(self._input(item))
        if found is None:
            return item
        cast = np.asarray(join_effects(item.seen.hole, None, found.alpha, effects, found.box) > CAST)
        return replace(item, seen=replace(item.seen, cast=cast), looked=found.looked)

    def _begin(self, fed: Fed, pictures: Mapping[int, Picture | None], carry: Carry) -> _Window:
        """Begin with a window: the network sees its frames in order while plates are made beside it."""
        removing = self._pool.submit(self._remove_all, fed, carry)
        plates = {
            item.index: self._plate(item, fed.lent, pictures[item.index])
            for item in fed.frames
            if self._has_hole(item)
        }
        return _Window(fed.frames, removing, plates)

    def _end(self, window: _Window) -> tuple[list[Future[Restored]], Carry]:
        """Have a window's frames completed; returns what it hands to the next."""
        removals, carry = window.removing.result()
        # Each waits for its plate, which came into the pool before it.
        return [
            self._pool.submit(self._complete, item, window.plates, removals) for item in window.frames
        ], carry

    def _remove_all(self, fed: Fed, carry: Carry) -> tuple[dict[int, Removal | None], Carry]:
        """The network's answers for a window's frames with a hole, by frame, batch by batch."""
        removals: dict[int, Removal | None] = {}
        for shot, batch in self._batches(fed.frames):
            state = carry.state if shot == carry.shot else None
            holed = [item for item in batch if self._has_hole(item)]
            answers, state = self._remove(holed, fed, state) if holed else ([], None)
            removals |= {item.index: answer for item, answer in zip(holed, answers, strict=True)}
            carry = Carry(shot, state)
        return removals, carry

    def _has_hole(self, item: Loaded) -> bool:
        return bool(item.hole.any())

    def _batches(self, window: Iterable[Loaded]) -> Iterator[tuple[int, list[Loaded]]]:
        """Frames that the network sees together: of one shot, at places that do not depend on the windows."""

        def key(item: Loaded) -> tuple[int, int]:
            return self._notes[item.index].shot, item.index // self._remover.batch

        for (shot, _), batch in groupby(window, key):
            yield shot, list(batch)

    def _plate(
        self, item: Loaded, keys: Sequence[ShotFrame], picture: Picture | None
    ) -> Future[Plate] | None:
        """The plate of a frame from the user's and from its neighbours in the shot, in work."""
        if self._config.fill == "diffusion":
            return None
        others = [key for key in keys if self._borrows(item.index, key.index)]
        return self._pool.submit(self._recover, item.seen, others, picture)

    def _borrows(self, index: int, other: int) -> bool:
        """Whether frame ``index`` may see what the ``other`` shows."""
        reach = self._config.background.reach_frames
        return 0 < abs(other - index) <= reach and self._notes[other].shot == self._notes[index].shot

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
        self, holed: Sequence[Loaded], fed: Fed, state: RemoverState | None
    ) -> tuple[Sequence[Removal | None], RemoverState | None]:
        if self._config.fill == "plate":
            return [None] * len(holed), None
        inputs = [self._input(item, fed) for item in holed]
        with self._clock.stage("remove"):
            removals: tuple[Sequence[Removal], RemoverState | None] = self._remover.remove(inputs, state)
            return removals

    def _input(self, item: Loaded, fed: Fed | None = None) -> RemovalInput:
        index = item.index
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
            looked=item.looked,
            # Where the shot's background is borrowed anyway it gains nothing.
            witnesses=partial(self._witnesses, item.seen, fed)
            if fed and self._config.fill == "diffusion"
            else None,
        )

    def _witnesses(self, seen: ShotFrame, fed: Fed) -> list[Witness]:
        """What others of the shot show of a frame that is ``seen``, the nearest first: those after it, and those lent before it

        that hide nothing.
        """

        def cast_of(item: Loaded) -> Mask | None:
            return self._casting(item).seen.cast

        others: dict[ShotFrame, Callable[[], Mask | None]] = {
            key: lambda: None for key in fed.lent if key.index < seen.index and not key.hole.any()
        }
        for item in (*fed.frames, *fed.ahead):
            if item.index > seen.index:
                others[item.seen] = partial(cast_of, item)
        asked = [other for other in others if self._borrows(seen.index, other.index)]
        asked.sort(key=lambda other: abs(other.index - seen.index))
        back, own = np.linalg.inv(seen.camera), self._crops[seen.index]
        assert own is not None  # as in _input
        return [
            Witness(
                other.rgb, other.hole, self._crops[other.index] or own, other.camera @ back, others[other]
            )
            for other in asked
        ]

    def _complete(
        self,
        item: Loaded,
        plates: Mapping[int, Future[Plate] | None],
        removals: Mapping[int, Removal | None],
    ) -> Restored:
        """Lay the joined fill over one frame; without a hole it passes as it is."""
        if item.index not in plates:
            return Restored(item.planes, None, item.planes.planes)
        waiting = plates[item.index]
        plate = None if waiting is None else waiting.result()
        seen = item.seen
        with self._clock.stage("composite"):
            removal = removals[item.index]
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
                fill = dithered(fill, self._config.composite.dither, (self._config.seed, item.index))
            before = item.planes.planes
            planes = blend_planes(before, fill.rgb, fill.alpha, self._color, fill.box)
            outside = outside_difference(before, planes, fill.alpha, self._color, fill.box)
        return Restored(replace(item.planes, planes=planes), fill, before, outside)

    def _effect(self, item: Loaded, plate: Plate | None, removal: Removal | None) -> FloatMap:
        """Alpha [H, W] of what the object casts, by the plate's witness and by the model's."""
        effects = self._config.effects
        found = None
        if plate is not None and effects.find != "off":
            found = find_effects(item.seen.rgb, plate, item.seen.hole, effects)
        if removal is None:
            return join_effects(item.hole, found, None, effects)
        return join_effects(item.hole, found, removal.alpha, effects, removal.box)

    def _grain(self, item: Loaded) -> FrameGrain | None:
        """The grain of the frame's surroundings as the first pass measured it."""
        measured = grain_of(self._notes, item.index)
        return None if measured is None else FrameGrain(measured, self._config.seed, item.index)

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
