"""The whole run, told once.

probe and check ── decode (decord or PyAV) ── flow, masks, camera          first pass:  analysis.py
decode (PyAV, the source's own planes) ── background ── remove ── composite     second pass: restore.py
── encode, sound and timing copied, renamed when whole                                       video/writer.py
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Self

import numpy as np

from osor_video.analysis import FrameNotes, analyse, shots_of, track_back, ways_back, with_hole_boxes
from osor_video.background.given import GivenPlate, open_plate
from osor_video.composite.fill import Fill
from osor_video.config import Config, MaskConfig
from osor_video.errors import VideoError
from osor_video.flow.estimate import FlowEstimator
from osor_video.flow.weights import build_flow
from osor_video.masks.build import build_tracker, check_sam2, object_of
from osor_video.masks.features import RecognitionFeatures, build_features
from osor_video.masks.held import BackFrame, FrameMasks, GivenFrames, KeyedFrames, Marked
from osor_video.masks.marks import Keyframes, Marks
from osor_video.masks.region import NO_REGIONS, Regions
from osor_video.masks.seed import Seed
from osor_video.parallel import shared_cores
from osor_video.removal.choose import build_model
from osor_video.removal.remover import OneStepRemover
from osor_video.report import Progress, RunReport, Stopwatch, peak_memory_mb, silent
from osor_video.restore import Restored, Restorer
from osor_video.tensors import FloatMap, Mask, Picture
from osor_video.video.orient import shown_size, to_coded, to_shown
from osor_video.video.planes import planes_to_rgb
from osor_video.video.probe import SourceInfo, probe
from osor_video.video.reader import open_reader, read_planes, read_span
from osor_video.video.target import check_target
from osor_video.video.writer import VideoWriter

SEEN = 0.995
"""Share of a hole that has to be borrowed for the rest, specks, not to be spoken of."""


@dataclass(frozen=True)
class Analysed:
    """A clip after its first pass."""

    source: SourceInfo
    notes: list[FrameNotes]
    decoder: str
    plate: GivenPlate | None = None


class _Tally:
    """What the frames of one run add up to."""

    def __init__(self, source: SourceInfo) -> None:
        self._size_hw = source.size_hw
        self._frames = 0
        self.borrowed: dict[int, float] = {}
        self.replaced = 0.0

    def add(self, fill: Fill | None) -> None:
        """The next frame's fill."""
        if fill is not None:
            self.borrowed[self._frames] = fill.borrowed
            self.replaced += float(fill.alpha.sum())
        self._frames += 1

    def unseen(self) -> dict[int, float]:
        """Share of the hole that nothing borrowed fills, of the frames where it is more than specks."""
        return {frame: round(1 - share, 4) for frame, share in self.borrowed.items() if share < SEEN}

    def effect(self, fill: Fill | None) -> FloatMap:
        """A fill's effect on the whole frame, [H, W]."""
        return self._on_frame(fill, None if fill is None else fill.effect)

    def alpha(self, fill: Fill | None) -> FloatMap:
        """A fill's alpha on the whole frame, [H, W]."""
        return self._on_frame(fill, None if fill is None else fill.alpha)

    def _on_frame(self, fill: Fill | None, part: FloatMap | None) -> FloatMap:
        whole = np.zeros(self._size_hw, np.float32)
        if fill is not None and part is not None:
            top, left, bottom, right = fill.box
            whole[top:bottom, left:right] = part
        return whole


class VideoRemover:
    """Removes one object from clips; build it once, use it for many."""

    def __init__(
        self, flow: FlowEstimator, features: RecognitionFeatures, remover: OneStepRemover, config: Config
    ) -> None:
        self.flow = flow
        self.features = features
        self.remover = remover
        self.config = config

    @classmethod
    def from_config(cls, config: Config) -> Self:
        """Load the networks that ``config`` names. Raises WeightsError where one is missing,
        ConfigError where the package of an optional one is."""
        check_sam2(config.mask)
        remover = OneStepRemover(build_model(config.removal), config.removal, config.seed)
        return cls(build_flow(config.flow), build_features(), remover, config)

    def remove(
        self,
        path: Path,
        marks: Marks | Seed,
        output: Path,
        progress: Progress = silent,
        on_mask: Callable[[int, Mask], None] | None = None,
        regions: Regions = NO_REGIONS,
        on_effect: Callable[[int, FloatMap], None] | None = None,
        on_alpha: Callable[[int, FloatMap], None] | None = None,
    ) -> RunReport:
        """Write ``output``: the clip at ``path`` without what ``marks`` mark (a lone seed: in its first frame).

        ``on_mask`` is given every frame's index and mask [H, W] as shown, before any frame is finished; ``on_effect`` its index and
        the alpha [H, W] of what was found beyond the hole, shadow and reflection, when it is; ``on_alpha`` the alpha of all
        that was replaced. ``regions`` are the user's own.
        Raises VideoError, MaskError and ConfigError for input that cannot be used; nothing is written then.
        """
        begin, clock = time.perf_counter(), Stopwatch()
        source = probe(path)
        check_target(output, source, self.config.encode)
        tally = _Tally(source)
        with shared_cores() as pool:
            clip = self._analyse(source, marks, pool, clock, progress, on_mask, regions)
            with VideoWriter(output, source, self.config.encode) as writer:
                for done, restored in enumerate(self._restore(clip, pool, clock), start=1):
                    with clock.stage("encode"):
                        writer.write(restored.frame)
                    tally.add(restored.fill)
                    if on_effect is not None:
                        on_effect(done - 1, to_shown(tally.effect(restored.fill), source.rotation))
                    if on_alpha is not None:
                        on_alpha(done - 1, to_shown(tally.alpha(restored.fill), source.rotation))
                    progress("remove", done, source.frames)
        return self._report(clip, tally, writer, clock, time.perf_counter() - begin)

    def _report(
        self, clip: Analysed, tally: _Tally, writer: VideoWriter, clock: Stopwatch, wall_s: float
    ) -> RunReport:
        source = clip.source
        return RunReport(
            source=str(source.path),
            output=str(writer.path),
            frames=source.frames,
            size_hw=source.size_hw,
            wall_s=wall_s,
            seconds=clock.seconds,
            decoder=clip.decoder,
            flow=self.flow.name,
            model=self.remover.model.record.name,
            fill=self.config.fill,
            borrowed=float(np.mean(list(tally.borrowed.values()))) if tally.borrowed else 0.0,
            replaced=tally.replaced / (source.frames * source.size_hw[0] * source.size_hw[1]),
            unseen={} if self.config.fill == "diffusion" else tally.unseen(),
            mask_scores=[round(note.score, 4) for note in clip.notes],
            mask_drift=_signs(clip.notes),
            cuts=[i for i in range(1, source.frames) if clip.notes[i].shot != clip.notes[i - 1].shot],
            untouched=_untouched(clip.notes),
            notes=[*([source.note] if source.note else []), *writer.notes],
            peak_memory_mb=peak_memory_mb(),
        )

    def masks(
        self, path: Path, marks: Marks | Seed, progress: Progress = silent
    ) -> Iterator[tuple[Mask, float]]:
        """The object's mask [H, W] in each frame as shown, with its score: the first pass alone."""
        source = probe(path)
        with shared_cores() as pool:
            for mask, notes in self._passes(source, marks, pool, Stopwatch(), progress)[1]:
                yield to_shown(mask, source.rotation), notes.score

    def preview(
        self,
        path: Path,
        marks: Marks | Seed,
        frame: int,
        progress: Progress = silent,
        regions: Regions = NO_REGIONS,
    ) -> tuple[Picture, Picture]:
        """Frame number ``frame`` of the source and as it will be, both uint8 [H, W, 3] as shown.

        Only the few frames before it are finished, enough for the carried latent.
        """
        source = probe(path)
        if not 0 <= frame < source.frames:
            raise VideoError(f"Frame {frame} is not in {path}: it has frames 0 to {source.frames - 1}.")
        with shared_cores() as pool:
            clip = self._analyse(source, marks, pool, Stopwatch(), progress, None, regions)
            start = max(0, frame - self.config.removal.anchor_frames)
            for restored in self._restore(clip, pool, Stopwatch(), start):
                if restored.frame.index == frame:
                    break
        with closing(read_planes(source)) as planes:
            before = next(item for item in planes if item.index == frame)
        both = (planes_to_rgb(item.planes, source.color) for item in (before, restored.frame))
        shown, finished = (to_shown(picture, source.rotation) for picture in both)
        return shown, finished

    def _analyse(
        self,
        source: SourceInfo,
        marks: Marks | Seed,
        pool: Executor,
        clock: Stopwatch,
        progress: Progress,
        on_mask: Callable[[int, Mask], None] | None = None,
        regions: Regions = NO_REGIONS,
    ) -> Analysed:
        plate = open_plate(self.config, source)
        decoder, passing = self._passes(source, marks, pool, clock, progress, regions)
        notes = []
        for index, (mask, note) in enumerate(passing):
            notes.append(note)
            if on_mask is not None:
                on_mask(index, to_shown(mask, source.rotation))
        return Analysed(source, with_hole_boxes(notes, self.config.mask), decoder, plate)

    def _passes(
        self,
        source: SourceInfo,
        marks: Marks | Seed,
        pool: Executor,
        clock: Stopwatch,
        progress: Progress,
        regions: Regions = NO_REGIONS,
    ) -> tuple[str, Iterator[tuple[Mask, FrameNotes]]]:
        """Who decodes, and the first pass frame by frame. The marks are checked before anything is decoded."""
        size_hw = shown_size(source.size_hw, source.rotation)
        marked = Marks.of(marks).resolve(source.frames, size_hw)
        regions.check(source.frames, size_hw)
        reader = open_reader(source, self.config.decode.decoder)

        def passing() -> Iterator[tuple[Mask, FrameNotes]]:
            masks: FrameMasks
            given: Iterator[Mask] = iter(())
            with reader, ExitStack() as stack:
                if isinstance(marked, Keyframes):
                    keys = {
                        frame: coded_seed(seed, source.rotation, self.config.mask)
                        for frame, seed in marked.seeds.items()
                    }
                    back = self._follow_back(source, keys, pool, clock, progress)
                    masks = KeyedFrames(build_tracker(self.config.mask, self.features), keys, back)
                else:
                    given = stack.enter_context(closing(marked.masks(size_hw)))
                    masks = GivenFrames(to_coded(mask, source.rotation) for mask in given)
                pictures = (frame.rgb for frame in reader)
                painted = stack.enter_context(
                    closing(regions.by_frame(source.frames, source.size_hw, source.rotation))
                )
                analysed = analyse(pictures, masks, self.flow, self.config, pool, clock, painted)
                for done, item in enumerate(analysed, start=1):
                    yield item
                    progress("track", done, source.frames)
                next(given, None)  # masks that were empty in every frame are refused at their end

        return f"{reader.decoder}: {reader.reason}", passing()

    def _follow_back(
        self,
        source: SourceInfo,
        keys: Mapping[int, Marked],
        pool: Executor,
        clock: Stopwatch,
        progress: Progress,
    ) -> dict[int, BackFrame]:
        """Masks followed backwards from each keyframe behind the first frame; nothing is decoded where there is none."""
        if not any(keys):
            return {}
        with open_reader(source, self.config.decode.decoder) as reader:
            shots = shots_of((frame.rgb for frame in reader), clock)
        found: dict[int, BackFrame] = {}
        for way in ways_back(keys, shots):
            found |= track_back(
                way,
                lambda start, stop: [frame.rgb for frame in read_span(source, start, stop)],
                keys,
                build_tracker(self.config.mask, self.features),
                self.flow,
                self.config.window_frames,
                pool,
                clock,
                progress,
            )
        return found

    def _restore(
        self, clip: Analysed, pool: Executor, clock: Stopwatch, start: int = 0
    ) -> Iterator[Restored]:
        restorer = Restorer(clip.notes, self.remover, clip.source.color, self.config, pool, clock, clip.plate)
        with closing(read_planes(clip.source)) as planes:
            yield from restorer.run(planes, start)


def coded_seed(seed: Seed, rotation: int, config: MaskConfig) -> Marked:
    """What finds a seed's object in a picture as coded."""
    return lambda picture: to_coded(object_of(seed, to_shown(picture, rotation), config), rotation)


def _signs(notes: Sequence[FrameNotes]) -> dict[str, list[float]]:
    """Each sign of drift over the frames."""
    return {
        sign: [round(getattr(note.drift, sign), 3) for note in notes]
        for sign in ("appearance", "area", "cycle", "validity")
    }


def _untouched(notes: Sequence[FrameNotes]) -> list[int]:
    """First frames of the shots in which nothing is masked."""
    shots = [list(shot) for _, shot in groupby(range(len(notes)), lambda index: notes[index].shot)]
    return [shot[0] for shot in shots if all(notes[index].hole_box is None for index in shot)]
