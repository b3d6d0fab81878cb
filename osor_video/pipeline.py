"""The whole run, told once.

probe and check ── decode (decord or PyAV) ── flow, masks, camera          first pass:  analysis.py
decode (PyAV, the source's own planes) ── background ── remove ── composite     second pass: restore.py
── encode, sound and timing copied, renamed when whole                                       video/writer.py
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import astuple, dataclass, replace
from itertools import groupby, islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Self

import numpy as np

from osor_video.analysis import FirstPass, FrameNotes, shots_of, track_back, ways_back, with_hole_boxes
from osor_video.background.given import GivenPlate, open_plate
from osor_video.composite.fill import alpha_of
from osor_video.config import Config, MaskConfig
from osor_video.errors import ConfigError
from osor_video.flow.estimate import FlowEstimator
from osor_video.flow.weights import build_flow
from osor_video.masks.build import build_tracker, check_sam2, object_of
from osor_video.masks.drift import Drift
from osor_video.masks.features import RecognitionFeatures, build_features
from osor_video.masks.held import (
    BackFrame,
    FrameMasks,
    GivenFrames,
    KeyedFrames,
    Marked,
    unpack_mask,
)
from osor_video.masks.marks import Keyframes, Marks
from osor_video.masks.region import NO_REGIONS, Regions
from osor_video.masks.seed import Seed
from osor_video.memory import peak_memory_mb
from osor_video.parallel import shared_cores
from osor_video.removal.choose import build_model
from osor_video.removal.remover import OneStepRemover
from osor_video.report import Progress, RunReport, Stopwatch, runs_of, silent
from osor_video.restore import Carry, Restored, Restorer
from osor_video.tensors import FloatMap, Mask, Picture
from osor_video.video.check import decoded_difference
from osor_video.video.orient import shown_size, to_coded, to_shown
from osor_video.video.outputs import PIPE, Writer, check_output, open_writer
from osor_video.video.planes import planes_to_rgb
from osor_video.video.probe import SourceInfo, check_frame
from osor_video.video.reader import open_reader, read_planes, read_span
from osor_video.video.seal import Seal
from osor_video.video.source import open_source
from osor_video.video.writer import VideoWriter
from osor_video.work.edits import Edit, EditBook
from osor_video.work.folder import Unfinished, WorkFolder
from osor_video.work.identity import Identity, identify
from osor_video.work.notebook import NoteBook

SEEN = 0.995
"""Share of a hole that has to be borrowed for the rest, specks, not to be spoken of."""


@dataclass(frozen=True)
class Analysed:
    """A clip after its first pass."""

    source: SourceInfo
    notes: Sequence[FrameNotes]
    decoder: str
    plate: GivenPlate | None = None


class _Tally:
    """What the frames of one run add up to."""

    def __init__(self, size_hw: tuple[int, int]) -> None:
        self._size_hw = size_hw
        self.frames = 0
        self.borrowed: dict[int, float] = {}
        self.replaced = 0.0
        self.outside = 0.0
        self.damaged: list[int] = []
        self._coverage: list[bytes] = []

    def add(self, edit: Edit) -> None:
        """The next frame's."""
        if edit.damaged:
            self.damaged.append(self.frames)
        if edit.borrowed is not None:
            self.borrowed[self.frames] = edit.borrowed
            self.replaced += edit.replaced
        self.outside = max(self.outside, edit.outside)
        self._coverage.append(edit.covered)
        self.frames += 1

    def unseen(self) -> dict[int, float]:
        """Share of the hole that nothing borrowed fills, of the frames where it is more than specks."""
        return {frame: round(1 - share, 4) for frame, share in self.borrowed.items() if share < SEEN}

    def replaced_in(self) -> Iterator[Mask]:
        """Where anything was replaced in each frame, [H, W]; known where ``encode.check`` is set."""
        nowhere = np.zeros(self._size_hw, dtype=bool)
        return (unpack_mask(packed, self._size_hw) if packed else nowhere for packed in self._coverage)


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
        on_restored: Callable[[Restored], None] | None = None,
        unfinished: Unfinished = "refuse",
        seal: Seal | None = None,
    ) -> RunReport:
        """Write ``output``: the clip at ``path`` without what ``marks`` mark (a lone seed: in its first frame).

        ``on_mask`` is given every frame's index and mask [H, W] as shown, before any frame is finished; ``on_effect`` its index and
        the alpha [H, W] of what was found beyond the hole, shadow and reflection, when it is; ``on_alpha`` the alpha of all that
        was replaced. ``regions`` are the user's own. ``on_restored`` is given every finished frame with its fill. What is done
        is written down beside the output as the run goes; ``unfinished`` says what is to become of what an earlier run left
        there, and with "resume" the result is that of a run that was never cut off, byte for byte. ``seal`` has the last word on
        a video file before it gets its name.
        Raises VideoError, MaskError and ConfigError for input that cannot be used; nothing is written then."""
        begin, clock = time.perf_counter(), Stopwatch()
        source, marks = open_source(path, self.config.decode), Marks.of(marks)

        def told(restored: Restored) -> None:
            if on_alpha is not None:
                alpha = alpha_of(restored.fill, source.size_hw)
                on_alpha(restored.frame.index, to_shown(alpha, source.rotation))
            if on_restored is not None:
                on_restored(restored)

        check_output(output, source, self.config.encode)
        self.check(source, marks, regions)
        identity = self.identity(source, marks, regions)
        with _work_folder(output, identity, unfinished) as work, shared_cores() as pool:
            book = NoteBook(work, self.config.checkpoint_s)
            edits = EditBook(work, self.config.checkpoint_s)
            resumed = _resumed(book, edits) if work.resumed else []
            if on_restored is not None or on_alpha is not None:
                _check_nothing_lost(edits, output)
            clip = self.analyse(source, marks, pool, clock, progress, on_mask, regions, work, book)
            with (
                open_writer(output, source, self.config.encode, seal.tags if seal else None) as writer,
                closing(self._finish(clip, edits, writer, pool, clock, told)) as finished,
            ):
                tally = _Tally(source.size_hw)
                for edit in finished:
                    if on_effect is not None:
                        effect = edit.effect_on(source.size_hw)
                        on_effect(tally.frames, to_shown(effect, source.rotation))
                    tally.add(edit)
                    progress("remove", tally.frames, source.frames)
                report = self._report(clip, tally, writer, clock, begin, resumed)
                _seal_with(seal, writer, report)
            report = replace(report, wall_s=time.perf_counter() - begin)
        if not self.config.encode.check:
            return report
        return replace(report, decoded_max_difference=decoded_difference(output, source, tally.replaced_in()))

    def identity(self, source: SourceInfo, marks: Marks, regions: Regions) -> Identity:
        """What tells a run over ``source`` from every other: see ``identify``."""
        record, batch = self.remover.model.record, self.remover.batch
        return identify(source, marks, regions, self.config, self.flow.name, record, batch)

    def check(self, source: SourceInfo, marks: Marks, regions: Regions) -> None:
        """MaskError for marks or regions that do not fit the clip."""
        size_hw = shown_size(source.size_hw, source.rotation)
        marks.resolve(source.frames, size_hw)
        regions.check(source.frames, size_hw)

    def _finish(
        self,
        clip: Analysed,
        edits: EditBook,
        writer: Writer,
        pool: Executor,
        clock: Stopwatch,
        told: Callable[[Restored], None],
    ) -> Generator[Edit, None, None]:
        """The second pass: finish, encode and write down every frame; one window is encoded while the next is made.

        Frames that an earlier run finished are encoded again: the encoder's own state cannot be kept.
        """
        start, carry = edits.frames, edits.carry
        with closing(read_planes(clip.source)) as planes, clock.stage("encode"):
            for edit, frame in zip(edits.edits(), planes, strict=False):
                writer.write(edit.on(frame))
                yield edit
        if start == clip.source.frames:
            return

        def write(window: Sequence[Restored], carry: Carry) -> list[Edit]:
            done = []
            for restored in window:
                with clock.stage("encode"):
                    writer.write(restored.frame)
                told(restored)
                with clock.stage("keep"):
                    done.append(Edit.of(restored, covered=self.config.encode.check))
            with clock.stage("keep"):
                edits.add(done, carry)
            return done

        with (
            ThreadPoolExecutor(1, "osor-video-write") as hand,
            closing(self._restore(clip, pool, clock, start, carry)) as windows,
        ):
            writing: Future[list[Edit]] | None = None
            for window, carried in windows:
                if writing is not None:
                    yield from writing.result()
                writing = hand.submit(write, window, carried)
            if writing is not None:
                yield from writing.result()

    def _report(
        self,
        clip: Analysed,
        tally: _Tally,
        writer: Writer,
        clock: Stopwatch,
        begin: float,
        resumed: list[str],
    ) -> RunReport:
        source = clip.source
        drift, shots, holes = zip(
            *((note.drift, note.shot, note.hole_box is not None) for note in clip.notes), strict=True
        )
        return RunReport(
            source=str(source.path),
            output=str(writer.path),
            frames=source.frames,
            size_hw=source.size_hw,
            wall_s=time.perf_counter() - begin,
            seconds=clock.seconds,
            decoder=clip.decoder,
            flow=self.flow.name,
            model=self.remover.model.record.name,
            fill=self.config.fill,
            borrowed=float(np.mean(list(tally.borrowed.values()))) if tally.borrowed else 0.0,
            replaced=tally.replaced / (source.frames * source.size_hw[0] * source.size_hw[1]),
            unseen={} if self.config.fill == "diffusion" else tally.unseen(),
            mask_scores=[round(signs.score, 4) for signs in drift],
            mask_drift=_signs(drift),
            touched=runs_of(tally.borrowed),
            cuts=[i for i in range(1, source.frames) if shots[i] != shots[i - 1]],
            untouched=_untouched(shots, holes),
            damaged=tally.damaged,
            notes=[
                *([_damage(tally.damaged)] if tally.damaged else []),
                *writer.notes,
                *resumed,
            ],
            outside_max_difference=tally.outside,
            encoded=writer.encoded,
            peak_memory_mb=peak_memory_mb(),
        )

    def masks(
        self, path: Path, marks: Marks | Seed, progress: Progress = silent
    ) -> Iterator[tuple[Mask, float]]:
        """The object's mask [H, W] in each frame as shown, with its score: the first pass alone."""
        source = open_source(path, self.config.decode)
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
        source = open_source(path, self.config.decode)
        check_frame(source, frame)
        with shared_cores() as pool:
            clip = self.analyse(source, marks, pool, Stopwatch(), progress, None, regions)
            start = max(0, frame - self.config.removal.anchor_frames)
            restored = next(
                restored
                for window, _ in self._restore(clip, pool, Stopwatch(), start)
                for restored in window
                if restored.frame.index == frame
            )
        with closing(read_planes(source)) as planes:
            before = next(item for item in planes if item.index == frame)
        both = (planes_to_rgb(item.planes, source.color) for item in (before, restored.frame))
        shown, finished = (to_shown(picture, source.rotation) for picture in both)
        return shown, finished

    def analyse(
        self,
        source: SourceInfo,
        marks: Marks | Seed,
        pool: Executor,
        clock: Stopwatch,
        progress: Progress,
        on_mask: Callable[[int, Mask], None] | None = None,
        regions: Regions = NO_REGIONS,
        work: WorkFolder | None = None,
        book: NoteBook | None = None,
    ) -> Analysed:
        """The first pass; what ``book`` has already is not seen again, and it is given the rest, for a later run."""
        plate = open_plate(self.config, source)
        decoder, passing = self._passes(source, marks, pool, clock, progress, regions, work, book)
        notes: list[FrameNotes] = []
        if on_mask is not None and book is not None:
            for index, note in enumerate(book):
                on_mask(index, to_shown(note.mask, source.rotation))
        for index, (mask, note) in enumerate(passing, start=0 if book is None else len(book)):
            if book is None:
                notes.append(note)
            if on_mask is not None:
                on_mask(index, to_shown(mask, source.rotation))
        return Analysed(
            source, with_hole_boxes(notes if book is None else book, self.config.mask), decoder, plate
        )

    def _passes(
        self,
        source: SourceInfo,
        marks: Marks | Seed,
        pool: Executor,
        clock: Stopwatch,
        progress: Progress,
        regions: Regions = NO_REGIONS,
        work: WorkFolder | None = None,
        book: NoteBook | None = None,
    ) -> tuple[str, Iterator[tuple[Mask, FrameNotes]]]:
        """Who decodes, and the first pass frame by frame. The marks are checked before anything is decoded.

        What ``book`` has already is left out; it is given the rest.
        """
        size_hw = shown_size(source.size_hw, source.rotation)
        marked = Marks.of(marks).resolve(source.frames, size_hw)
        regions.check(source.frames, size_hw)
        reader = open_reader(source, self.config.decode.decoder)

        def passing() -> Iterator[tuple[Mask, FrameNotes]]:
            masks: FrameMasks
            given: Iterator[Mask] = iter(())
            with reader, ExitStack() as stack:
                if book is not None and book.finished:
                    return
                if isinstance(marked, Keyframes):
                    keys = {
                        frame: coded_seed(seed, source.rotation, self.config.mask)
                        for frame, seed in marked.seeds.items()
                    }
                    back = self._follow_back(source, keys, pool, clock, progress, work)
                    masks = KeyedFrames(build_tracker(self.config.mask, self.features, progress), keys, back)
                else:
                    given = stack.enter_context(closing(marked.masks(size_hw)))
                    masks = GivenFrames(to_coded(mask, source.rotation) for mask in given)
                painted = stack.enter_context(
                    closing(regions.by_frame(source.frames, source.size_hw, source.rotation))
                )
                run, begun = FirstPass(masks, self.flow, self.config, pool, clock), 0
                if book is not None and book.state is not None:
                    run.go_on(book[-1], book.state)
                    begun = len(book)
                pictures = (frame.rgb for frame in islice(reader, max(begun - 1, 0), None))
                analysed = run.run(pictures, islice(painted, max(begun - 1, 0), None))
                for done, item in enumerate(analysed, start=begun + 1):
                    if book is not None and book.add(item[1]):
                        book.save(run.state())
                    yield item
                    progress("track", done, source.frames)
                next(given, None)  # masks that were empty in every frame are refused at their end
                if book is not None:
                    book.finish()

        return f"{reader.decoder}: {reader.reason}", passing()

    def _follow_back(
        self,
        source: SourceInfo,
        keys: Mapping[int, Marked],
        pool: Executor,
        clock: Stopwatch,
        progress: Progress,
        work: WorkFolder | None,
    ) -> dict[int, BackFrame]:
        """Masks followed backwards from each keyframe behind the first frame; nothing is decoded where there is none.

        Each way is written down when it is done.
        """
        if not any(keys):
            return {}
        with open_reader(source, self.config.decode.decoder) as reader:
            shots = shots_of((frame.rgb for frame in reader), clock)
        found: dict[int, BackFrame] = {}
        for way in ways_back(keys, shots):
            saved = work.load(f"back-{way[0]:06d}") if work else None
            if saved is not None:
                found |= {index: BackFrame(*values) for index, values in saved["frames"]}
                continue
            followed = track_back(
                way,
                lambda start, stop: [frame.rgb for frame in read_span(source, start, stop)],
                keys,
                build_tracker(self.config.mask, self.features, progress),
                self.flow,
                self.config.window_frames,
                pool,
                clock,
                progress,
            )
            if work:
                frames = [(index, astuple(frame)) for index, frame in followed.items()]
                work.save(f"back-{way[0]:06d}", {"frames": frames})
            found |= followed
        return found

    def _restore(
        self,
        clip: Analysed,
        pool: Executor,
        clock: Stopwatch,
        start: int = 0,
        carry: Carry | None = None,
    ) -> Generator[tuple[list[Restored], Carry], None, None]:
        restorer = Restorer(clip.notes, self.remover, clip.source.color, self.config, pool, clock, clip.plate)
        with closing(read_planes(clip.source)) as planes:
            yield from restorer.windows(planes, start, carry)


@contextmanager
def _work_folder(output: Path, identity: Identity, unfinished: Unfinished) -> Iterator[WorkFolder]:
    """Beside the output; for a pipe, with which no later run can go on, somewhere for the time of the run."""
    if output != PIPE:
        with WorkFolder(output, identity, unfinished) as work:
            yield work
        return
    with (
        TemporaryDirectory(prefix="osor-video-") as folder,
        WorkFolder(Path(folder) / "pipe", identity, lasting=False) as work,
    ):
        yield work


def coded_seed(seed: Seed, rotation: int, config: MaskConfig) -> Marked:
    """What finds a seed's object in a picture as coded."""
    return lambda picture: to_coded(object_of(seed, to_shown(picture, rotation), config), rotation)


def _signs(drift: Sequence[Drift]) -> dict[str, list[float]]:
    """Each sign of drift over the frames."""
    return {
        sign: [round(getattr(signs, sign), 3) for signs in drift]
        for sign in ("appearance", "area", "cycle", "validity", "extent")
    }


def _untouched(shots: Sequence[int], holes: Sequence[bool]) -> list[int]:
    """First frames of the shots in which nothing is masked."""
    grouped = [list(shot) for _, shot in groupby(range(len(shots)), lambda index: shots[index])]
    return [shot[0] for shot in grouped if not any(holes[index] for index in shot)]


def _damage(frames: Sequence[int]) -> str:
    """The warning about a damaged source."""
    return (
        f"the source is damaged at {len(frames)} frames, {frames[0]} to {frames[-1]}: what decodes of them stands there, or the "
        "frame before, and frames behind them may show traces; all times are kept"
    )


def _seal_with(seal: Seal | None, writer: Writer, report: RunReport) -> None:
    """Have a video file sealed when it is whole."""
    if seal is not None and isinstance(writer, VideoWriter):
        writer.before_naming = lambda path: seal.finish(path, report)


def _check_nothing_lost(edits: EditBook, output: Path) -> None:
    """ConfigError where frames are finished of which more is wanted than was kept."""
    if edits.frames:
        raise ConfigError(
            f"{edits.frames} frames of {output} are finished, and what a matte or the alpha takes of them is not kept. "
            "Go on without --matte and --alpha-out, or begin afresh with --restart."
        )


def _resumed(book: NoteBook, edits: EditBook) -> list[str]:
    """What the report says of a run that was gone on with."""
    followed = "every" if book.finished else str(len(book))
    return [f"gone on with an unfinished run: {followed} frame followed, {edits.frames} finished before"]
