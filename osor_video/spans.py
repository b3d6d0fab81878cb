"""Parts of a clip: following an object through some frames only, and one finished frame from those around it.

Both are what an editor needs between two touches: what is followed between two of the user's masks depends on nothing beyond them.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path

from osor_video.analysis import FirstPass, shots_of, track_back, ways_back, with_hole_boxes
from osor_video.errors import ConfigError, MaskError
from osor_video.follow import follow
from osor_video.masks.build import build_tracker
from osor_video.masks.drift import DriftWatch
from osor_video.masks.held import BackFrame, GivenFrames, KeyedFrames, Marked
from osor_video.masks.marks import Keyframes, Marks
from osor_video.masks.region import NO_REGIONS, Regions
from osor_video.masks.seed import Seed
from osor_video.parallel import shared_cores
from osor_video.pipeline import VideoRemover, coded_seed
from osor_video.project import preview_span
from osor_video.report import Progress, Stopwatch, silent
from osor_video.restore import Restorer
from osor_video.tensors import Mask, Picture
from osor_video.video.orient import shown_size, to_coded, to_shown
from osor_video.video.planes import PlanarFrame, planes_to_rgb
from osor_video.video.probe import SourceInfo
from osor_video.video.reader import read_from
from osor_video.video.source import open_source


def follow_span(
    remover: VideoRemover,
    path: Path,
    seeds: Mapping[int, Seed],
    span: tuple[int, int] | None = None,
    progress: Progress = silent,
) -> Iterator[tuple[int, Mask, float]]:
    """Follow one object through the frames ``span`` (first, end not included) of the clip at ``path``; all, if none is given.

    Yields frame, mask [H, W] as shown and score in [0, 1]. Only ``seeds`` inside the span count; where it begins and ends at frames
    that have one, the masks are those of a run over the whole clip. Raises VideoError and MaskError as ``VideoRemover.remove``.
    """
    source = open_source(path, remover.config.decode)
    start, stop = span or (0, source.frames)
    inside = tuple((frame, seed) for frame, seed in seeds.items() if start <= frame < stop)
    marked = Marks(inside).resolve(source.frames, shown_size(source.size_hw, source.rotation))
    if not isinstance(marked, Keyframes):
        raise MaskError(
            "A mask for every frame is given, so nothing is followed. Give masks of single frames."
        )
    keys = {
        frame - start: coded_seed(seed, source.rotation, remover.config.mask)
        for frame, seed in marked.seeds.items()
    }
    clock, watch, shot = Stopwatch(), DriftWatch(), -1
    with shared_cores() as pool, closing(_pictures(source, start, stop)) as pictures:
        back = _back(remover, source, keys, (start, stop), pool, progress) if any(keys) else {}
        masks = KeyedFrames(build_tracker(remover.config.mask, remover.features), keys, back)
        moving = follow(pictures, remover.flow, pool, lambda: masks.follows, clock)
        for index, frame in enumerate(moving):
            held = masks.step(frame.picture, frame.flow)
            cut, shot = frame.shot != shot, frame.shot
            drift = watch.see(held.mask, held.score, frame.flow, exact=held.exact, cut=cut)
            yield start + index, to_shown(held.mask, source.rotation), drift.score
            progress("track", index + 1, stop - start)


def preview_near(
    remover: VideoRemover,
    path: Path,
    frame: int,
    masks: Sequence[Mask],
    regions: Regions = NO_REGIONS,
    progress: Progress = silent,
) -> tuple[Picture, Picture]:
    """Frame number ``frame`` and as it will be, uint8 [H, W, 3] as shown, from the frames of ``preview_span`` alone.

    ``masks`` [H, W] as shown are those of that span. What lies farther away in the clip is not borrowed: a whole run may know
    more of the background. Raises VideoError, MaskError, and ConfigError for a plate of the user's, which this leaves out.
    """
    source, config = open_source(path, remover.config.decode), remover.config
    if config.background.plate is not None:
        raise ConfigError(
            f"background.plate is {config.background.plate}, which a preview from near frames does not use. Leave it out, or "
            "preview with VideoRemover.preview."
        )
    start, stop = preview_span(frame, source.frames, config)
    if len(masks) != stop - start:
        raise MaskError(
            f"{len(masks)} masks are given, expected {stop - start}, one for each of frames {start} to {stop - 1}."
        )
    size_hw = shown_size(source.size_hw, source.rotation)
    regions.check(source.frames, size_hw)
    given = GivenFrames(to_coded(mask, source.rotation) for mask in masks)
    with shared_cores() as pool, closing(_pictures(source, start, stop)) as pictures:
        painted = regions.by_frame(source.frames, source.size_hw, source.rotation)
        near = islice(painted, start, stop)
        notes = []
        for _, note in FirstPass(given, remover.flow, config, pool, Stopwatch()).run(pictures, near):
            notes.append(note)
            progress("track", len(notes), stop - start)
        painted.close()
        boxed = with_hole_boxes(notes, config.mask)
        restorer = Restorer(boxed, remover.remover, source.color, config, pool, Stopwatch())
        begin = max(0, frame - start - config.removal.anchor_frames)
        with closing(_renumbered(source, start, stop)) as planes:
            for done, restored in enumerate(restorer.run(planes, begin), start=1):
                progress("remove", done, frame - start - begin + 1)
                if restored.frame.index == frame - start:
                    break
    with closing(read_from(source, frame)) as frames:
        before = next(frames)
    both = (planes_to_rgb(item.planes, source.color) for item in (before, restored.frame))
    shown, finished = (to_shown(picture, source.rotation) for picture in both)
    return shown, finished


def _back(
    remover: VideoRemover,
    source: SourceInfo,
    keys: Mapping[int, Marked],
    span: tuple[int, int],
    pool: Executor,
    progress: Progress,
) -> dict[int, BackFrame]:
    """Masks followed backwards from each of ``keys``, all numbered from the span's begin."""
    start, stop = span
    clock, found = Stopwatch(), dict[int, BackFrame]()
    with closing(_pictures(source, start, stop)) as pictures:
        shots = shots_of(pictures, clock)

    def read(first: int, end: int) -> list[Picture]:
        return list(_pictures(source, start + first, start + end))

    for way in ways_back(keys, shots):
        tracker = build_tracker(remover.config.mask, remover.features)
        window = remover.config.window_frames
        found |= track_back(way, read, keys, tracker, remover.flow, window, pool, clock, progress)
    return found


def _renumbered(source: SourceInfo, start: int, stop: int) -> Generator[PlanarFrame, None, None]:
    """Frames ``start`` to ``stop`` (not included), counted from 0."""
    with closing(read_from(source, start)) as frames:
        for frame in islice(frames, stop - start):
            yield replace(frame, index=frame.index - start)


def _pictures(source: SourceInfo, start: int, stop: int) -> Generator[Picture, None, None]:
    """Frames ``start`` to ``stop`` (not included) as RGB [H, W, 3], as coded."""
    with closing(read_from(source, start)) as frames:
        for frame in islice(frames, stop - start):
            yield planes_to_rgb(frame.planes, source.color)
