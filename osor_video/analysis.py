"""First pass over a clip: where the object is in each frame, how the camera moves, how the background flows.

What is kept of a frame is small (a packed mask, nine numbers, a coarse flow), so a long clip's notes fit in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from itertools import repeat

import cv2
import numpy as np

from osor_video.background.camera import GreyPicture, Homography, camera_step
from osor_video.composite.grain import Grain, measure_grain, median_grain
from osor_video.config import Config, MaskConfig
from osor_video.flow.complete import complete_flow
from osor_video.flow.estimate import FlowEstimator, FlowPair
from osor_video.flow.warp import validity
from osor_video.follow import follow
from osor_video.masks.build import Tracker
from osor_video.masks.drift import Drift, DriftWatch
from osor_video.masks.held import BackFrame, FrameMasks, Marked, pack_mask, unpack_mask
from osor_video.masks.region import FrameRegions
from osor_video.masks.shots import CutDetector
from osor_video.masks.track import hole
from osor_video.removal.crop import HoleBox, bounding_box
from osor_video.report import Progress, Stopwatch, silent
from osor_video.shapes import overlap
from osor_video.tensors import FloatMap, Mask, Picture

FLOW_GRID = 4
"""The completed background flow is smooth: it is kept on a grid this many times coarser than it was estimated on."""
GRAIN_FRAMES = 6
"""Frames back and ahead that are heard about a frame's grain: coding changes it from frame to frame."""


@dataclass(frozen=True)
class FrameNotes:
    """What the second pass needs to know of one frame."""

    packed_mask: bytes
    size_hw: tuple[int, int]
    drift: Drift
    shot: int
    camera: Homography
    hole_box: HoleBox | None
    """Bounding box of the grown mask, None where there is nothing to remove."""
    flow_back: FloatMap | None
    """Completed background flow to the frame before, [h, w, 2] in pixels of the frame."""
    packed_added: bytes | None = None
    packed_kept: bytes | None = None
    grain: Grain | None = None
    """Of the surroundings of the hole; None in the first frame of a shot, and where too little is known."""

    @property
    def mask(self) -> Mask:
        """The object's mask [H, W]."""
        return unpack_mask(self.packed_mask, self.size_hw)

    @property
    def added(self) -> Mask | None:
        """The user's region [H, W] that is to go too."""
        return None if self.packed_added is None else unpack_mask(self.packed_added, self.size_hw)

    @property
    def kept(self) -> Mask | None:
        """The user's region [H, W] that is never touched."""
        return None if self.packed_kept is None else unpack_mask(self.packed_kept, self.size_hw)

    @property
    def score(self) -> float:
        """How far the mask is to be trusted, in [0, 1]."""
        return self.drift.score


@dataclass(frozen=True)
class _Last:
    picture: Picture
    grey: GreyPicture
    grown: Mask
    shot: int


def analyse(
    frames: Iterable[Picture],
    masks: FrameMasks,
    flow: FlowEstimator,
    config: Config,
    pool: Executor,
    clock: Stopwatch,
    regions: Iterable[FrameRegions] | None = None,
) -> Iterator[tuple[Mask, FrameNotes]]:
    """Follow the object through ``frames`` [H, W, 3] with ``masks``; yields each frame's mask with its notes, in order.

    ``regions`` are the user's for every frame. The flow of the next frame is estimated in ``pool`` meanwhile.
    """
    camera: Homography = np.eye(3)
    last: _Last | None = None
    watch = DriftWatch()
    painted = repeat(FrameRegions()) if regions is None else regions
    moving = follow(frames, flow, pool, lambda: masks.follows, clock)
    for frame, region in zip(moving, painted, strict=False):
        cut = last is None or frame.shot != last.shot
        with clock.stage("mask"):
            held = masks.step(frame.picture, frame.flow)
            drift = watch.see(held.mask, held.score, frame.flow, exact=held.exact, cut=cut)
        with clock.stage("camera"):
            grey = cv2.cvtColor(frame.picture, cv2.COLOR_RGB2GRAY)
            grown = _with(hole(held.mask, config.mask.grow, config.mask.smooth), region.added)
            if last is not None and not cut:
                camera = camera_step(last.grey, grey, last.grown, grown) @ camera
            else:
                camera = np.eye(3)
            flow_back = _background_flow(frame.flow, grown)
            box, grain = bounding_box(grown), None
            if config.composite.grain and last is not None and frame.flow is not None and box is not None:
                grain = measure_grain(last.picture, frame.picture, frame.flow, grown, box)
        last = _Last(frame.picture, grey, grown, frame.shot)
        yield (
            held.mask,
            FrameNotes(
                pack_mask(held.mask),
                held.mask.shape,
                drift,
                frame.shot,
                camera,
                bounding_box(_without(grown, region.kept)),
                flow_back,
                _packed(region.added),
                _packed(region.kept),
                grain,
            ),
        )


def hole_of(notes: Sequence[FrameNotes], index: int, config: MaskConfig) -> Mask:
    """What hides the background in frame ``index`` [H, W]: the mask smoothed and grown, with those of the neighbours in

    time and the region that the user added. What the user keeps is not left out of it.
    """
    reach = config.window_frames
    near = notes[max(index - reach, 0) : index + reach + 1]
    masks = [note.mask for note in near if note.shot == notes[index].shot]
    return _with(hole(np.logical_or.reduce(masks), config.grow, config.smooth), notes[index].added)


def _packed(mask: Mask | None) -> bytes | None:
    return None if mask is None else pack_mask(mask)


def grain_of(notes: Sequence[FrameNotes], index: int) -> Grain | None:
    """The grain about frame ``index``: the median of what its neighbours in the shot measured, None where none did."""
    near = notes[max(index - GRAIN_FRAMES, 0) : index + GRAIN_FRAMES + 1]
    found = [note.grain for note in near if note.grain is not None and note.shot == notes[index].shot]
    return median_grain(found) if found else None


def _with(mask: Mask, added: Mask | None) -> Mask:
    return mask if added is None else mask | added


def _without(mask: Mask, kept: Mask | None) -> Mask:
    return mask if kept is None else mask & ~kept


def with_hole_boxes(notes: Sequence[FrameNotes], config: MaskConfig) -> list[FrameNotes]:
    """``notes`` whose boxes hold the neighbours' holes too, where a window over time is asked for."""
    if not config.window_frames:
        return list(notes)
    return [
        replace(note, hole_box=bounding_box(_without(hole_of(notes, index, config), note.kept)))
        for index, note in enumerate(notes)
    ]


def shots_of(frames: Iterable[Picture], clock: Stopwatch) -> list[int]:
    """The number of each frame's shot, as ``analyse`` will find them."""
    detector, shots = CutDetector(), [0]
    for index, picture in enumerate(frames):
        with clock.stage("flow"):
            cut = detector.is_cut(picture)
        if index:
            shots.append(shots[-1] + cut)
    return shots


def ways_back(keys: Iterable[int], shots: Sequence[int]) -> list[range]:
    """The frames to follow backwards, for each of ``keys``: down to the key before, or to the begin of the shot.

    The first of each range is the key itself; its last is the key before, where that is in the shot.
    """
    ways, before = [], -1
    for key in sorted(keys):
        begin = shots.index(shots[key])
        way = range(key, max(begin, before) - 1, -1)
        ways += [way] if len(way) > 1 else []
        before = key
    return ways


def track_back(
    way: range,
    read_span: Callable[[int, int], Sequence[Picture]],
    keys: Mapping[int, Marked],
    tracker: Tracker,
    flow: FlowEstimator,
    window_frames: int,
    pool: Executor,
    clock: Stopwatch,
    progress: Progress = silent,
) -> dict[int, BackFrame]:
    """Follow the object from the key ``way[0]`` backwards; its masks by frame, those of keys left out.

    ``read_span(start, stop)`` gives pictures [H, W, 3]; so many as a window has are in memory at a time.
    """
    found: dict[int, BackFrame] = {}
    key, end, lowest, home = way[0], way[-1], 1.0, None
    backwards = _reversed(way, read_span, window_frames, clock)
    moving = follow(backwards, flow, pool, lambda: tracker.follows, clock, is_cut=lambda _: False)
    for index, frame in zip(way, moving, strict=True):
        with clock.stage("mask"):
            if index == key:
                tracker.start(frame.picture, keys[key](frame.picture))
                continue
            tracked = tracker.step(frame.picture, frame.flow)
            lowest = min(lowest, tracked.score)
            if index == end and end in keys:
                home = overlap(tracked.mask, keys[end](frame.picture))
            else:
                found[index] = BackFrame(pack_mask(tracked.mask), lowest, tracked.score, key - index)
        progress("back", key - index, key - end)
        if not tracked.mask.any():
            home = 0.0 if end in keys else None
            break
    return {index: replace(frame, back_home=home) for index, frame in found.items()}


def _reversed(
    way: range,
    read_span: Callable[[int, int], Sequence[Picture]],
    window_frames: int,
    clock: Stopwatch,
) -> Iterator[Picture]:
    """The pictures of a ``way`` backwards, decoded window by window."""
    for stop in range(way[0] + 1, way[-1], -window_frames):
        with clock.stage("decode"):
            pictures = list(read_span(max(stop - window_frames, way[-1]), stop))
        while pictures:
            yield pictures.pop()


def _background_flow(pair: FlowPair | None, grown: Mask) -> FloatMap | None:
    """The flow to the frame before, completed behind the object."""
    if pair is None or not grown.any():
        return None
    size = pair.backward.shape[-1], pair.backward.shape[-2]
    covered = cv2.resize(grown.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
    trusted = validity(pair.backward, pair.forward)[0, 0].numpy() > 0
    flow = complete_flow(pair.backward, covered, trusted)
    scale = np.array([grown.shape[1] / size[0], grown.shape[0] / size[1]], np.float32)
    coarse = cv2.resize(
        flow[0].permute(1, 2, 0).numpy(),
        (size[0] // FLOW_GRID, size[1] // FLOW_GRID),
        interpolation=cv2.INTER_AREA,
    )
    return np.asarray(coarse * scale, dtype=np.float32)
