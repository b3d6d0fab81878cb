"""The whole run, told once.

probe and check ── decode (decord or PyAV) ── flow, masks, camera          first pass:  analysis.py
decode (PyAV, the source's own planes) ── background ── remove ── composite     second pass: restore.py
── encode, sound and timing copied, renamed when whole                                       video/writer.py
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Self

import numpy as np

from osor_video.analysis import FrameNotes, analyse
from osor_video.config import Config
from osor_video.errors import VideoError
from osor_video.flow.estimate import FlowEstimator
from osor_video.flow.weights import build_flow
from osor_video.masks.build import build_tracker, check_sam2, outline
from osor_video.masks.features import RecognitionFeatures, build_features
from osor_video.masks.seed import Seed
from osor_video.parallel import shared_cores
from osor_video.removal.model import OsorModel, bundled_model_path
from osor_video.removal.remover import OneStepRemover
from osor_video.report import Progress, RunReport, Stopwatch, peak_memory_mb, silent
from osor_video.restore import Restored, Restorer
from osor_video.tensors import Mask, Picture
from osor_video.video.orient import shown_size, to_coded, to_shown
from osor_video.video.planes import planes_to_rgb
from osor_video.video.probe import SourceInfo, probe
from osor_video.video.reader import open_reader, read_planes
from osor_video.video.target import check_target
from osor_video.video.writer import VideoWriter


@dataclass(frozen=True)
class Analysed:
    """A clip after its first pass."""

    source: SourceInfo
    notes: list[FrameNotes]
    decoder: str


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
        model = OsorModel.from_folder(config.removal.model or bundled_model_path())
        remover = OneStepRemover(model, config.removal, config.seed)
        return cls(build_flow(config.flow), build_features(), remover, config)

    def remove(
        self,
        path: Path,
        seed: Seed,
        output: Path,
        progress: Progress = silent,
        on_mask: Callable[[int, Mask], None] | None = None,
    ) -> RunReport:
        """Write ``output``: the clip at ``path`` without what ``seed`` marks in its first frame.

        ``on_mask`` is given every frame's index and mask [H, W] as shown, before any frame is finished.
        Raises VideoError and MaskError for input that cannot be used; nothing is written then.
        """
        begin, clock = time.perf_counter(), Stopwatch()
        source = probe(path)
        check_target(output, source, self.config.encode)
        borrowed, replaced = [], 0.0
        with shared_cores() as pool:
            clip = self._analyse(source, seed, pool, clock, progress, on_mask)
            with VideoWriter(output, source, self.config.encode) as writer:
                for done, restored in enumerate(self._restore(clip, pool, clock), start=1):
                    with clock.stage("encode"):
                        writer.write(restored.frame)
                    if restored.fill is not None:
                        borrowed.append(restored.fill.borrowed)
                        replaced += float(restored.fill.alpha.sum())
                    progress("remove", done, source.frames)
        return RunReport(
            source=str(path),
            output=str(output),
            frames=source.frames,
            size_hw=source.size_hw,
            wall_s=time.perf_counter() - begin,
            seconds=clock.seconds,
            decoder=clip.decoder,
            flow=self.flow.name,
            model=self.remover.model.record.name,
            fill=self.config.fill,
            borrowed=float(np.mean(borrowed)) if borrowed else 0.0,
            replaced=replaced / (source.frames * source.size_hw[0] * source.size_hw[1]),
            mask_scores=[round(note.score, 4) for note in clip.notes],
            cuts=[i for i in range(1, source.frames) if clip.notes[i].shot != clip.notes[i - 1].shot],
            notes=[*([source.note] if source.note else []), *writer.notes],
            peak_memory_mb=peak_memory_mb(),
        )

    def masks(self, path: Path, seed: Seed, progress: Progress = silent) -> Iterator[tuple[Mask, float]]:
        """The object's mask [H, W] in each frame as shown, with its score: the first pass alone."""
        source = probe(path)
        with shared_cores() as pool:
            for mask, notes in self._passes(source, seed, pool, Stopwatch(), progress)[1]:
                yield to_shown(mask, source.rotation), notes.score

    def preview(
        self, path: Path, seed: Seed, frame: int, progress: Progress = silent
    ) -> tuple[Picture, Picture]:
        """Frame number ``frame`` of the source and as it will be, both uint8 [H, W, 3] as shown.

        Only the few frames before it are finished, enough for the carried latent.
        """
        source = probe(path)
        if not 0 <= frame < source.frames:
            raise VideoError(f"Frame {frame} is not in {path}: it has frames 0 to {source.frames - 1}.")
        with shared_cores() as pool:
            clip = self._analyse(source, seed, pool, Stopwatch(), progress)
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
        seed: Seed,
        pool: Executor,
        clock: Stopwatch,
        progress: Progress,
        on_mask: Callable[[int, Mask], None] | None = None,
    ) -> Analysed:
        decoder, passing = self._passes(source, seed, pool, clock, progress)
        notes = []
        for index, (mask, note) in enumerate(passing):
            notes.append(note)
            if on_mask is not None:
                on_mask(index, to_shown(mask, source.rotation))
        return Analysed(source, notes, decoder)

    def _passes(
        self, source: SourceInfo, seed: Seed, pool: Executor, clock: Stopwatch, progress: Progress
    ) -> tuple[str, Iterator[tuple[Mask, FrameNotes]]]:
        """Who decodes, and the first pass frame by frame. The seed is checked before anything is decoded."""
        shown = seed.mask(shown_size(source.size_hw, source.rotation))
        first_mask = to_coded(shown, source.rotation)
        tracker = build_tracker(self.config.mask, self.features)
        reader = open_reader(source, self.config.decode.decoder)

        def passing() -> Iterator[tuple[Mask, FrameNotes]]:
            with reader:
                pictures = (frame.rgb for frame in reader)
                first = next(pictures)
                mask = first_mask if seed.exact else outline(first, first_mask, self.config.mask)
                analysed = analyse(
                    chain([first], pictures), mask, self.flow, tracker, self.config, pool, clock
                )
                for done, item in enumerate(analysed, start=1):
                    yield item
                    progress("track", done, source.frames)

        return f"{reader.decoder}: {reader.reason}", passing()

    def _restore(
        self, clip: Analysed, pool: Executor, clock: Stopwatch, start: int = 0
    ) -> Iterator[Restored]:
        restorer = Restorer(clip.notes, self.remover, clip.source.color, self.config, pool, clock)
        with closing(read_planes(clip.source)) as planes:
            yield from restorer.run(planes, start)
