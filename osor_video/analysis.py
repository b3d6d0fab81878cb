"""First pass over a clip: where the object is in each frame, how the camera moves, how the background flows.

What is kept of a frame is small (a packed mask, nine numbers, a coarse flow), so a long clip's notes fit in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace

import cv2
import numpy as np

from osor_video.background.camera import Homography, camera_step
from osor_video.config import Config, MaskConfig
from osor_video.flow.complete import complete_flow
from osor_video.flow.estimate import FlowEstimator, FlowPair
from osor_video.flow.warp import validity
from osor_video.follow import follow
from osor_video.masks.build import Tracker
from osor_video.masks.drift import Drift, DriftWatch
from osor_video.masks.held import BackFrame, FrameMasks, Marked, pack_mask, unpack_mask
from osor_video.masks.shots import CutDetector
from osor_video.masks.track import hole
from osor_video.removal.crop import HoleBox, bounding_box
from osor_video.report import Progress, Stopwatch, silent
from osor_video.shapes import overlap
from osor_video.tensors import FloatMap, Mask, Picture

FLOW_GRID = 4
"""The completed background flow is smooth: it is kept on a grid this many times coarser than it was estimated on."""


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

    @property
    def mask(self) -> Mask:
        """The object's mask [H, W]."""
        return unpack_mask(self.packed_mask, self.size_hw)

    @property
    def score(self) -> float:
        """How far the mask is to be trusted, in [0, 1]."""
        return self.drift.score


def analyse(
    frames: Iterable[Picture],
    masks: FrameMasks,
    flow: FlowEstimator,
    config: Config,
    pool: Executor,
    clock: Stopwatch,
) -> Iterator[tuple[Mask, FrameNotes]]:
    """Follow the object through ``frames`` [H, W, 3] with ``masks``; yields each frame's mask with its notes, in order.

    The flow of the next frame is estimated in ``pool`` meanwhile.
    """
    camera: Homography = np.eye(3)
    last: tuple[np.ndarray, Mask, int] | None = None
    watch = DriftWatch()
    for frame in follow(frames, flow, pool, lambda: masks.follows, clock):
        cut = last is None or frame.shot != last[2]
        with clock.stage("mask"):
            held = masks.step(frame.picture, frame.flow)
            drift = watch.see(held.mask, held.score, frame.flow, exact=held.exact, cut=cut)
        with clock.stage("camera"):
            grey = cv2.cvtColor(frame.picture, cv2.COLOR_RGB2GRAY)
            grown = hole(held.mask, config.mask.grow, config.mask.smooth)
            if last is not None and not cut:
                camera = camera_step(last[0], grey, last[1], grown) @ camera
            else:
                camera = np.eye(3)
            flow_back = _background_flow(frame.flow, grown)
        last = grey, grown, frame.shot
        yield (
            held.mask,
            FrameNotes(
                pack_mask(held.mask),
                held.mask.shape,
                drift,
                frame.shot,
                camera,
                bounding_box(grown),
                flow_back,
            ),
        )


def hole_of(notes: Sequence[FrameNotes], index: int, config: MaskConfig) -> Mask:
    """What is to be filled in frame ``index`` [H, W]: the mask smoothed and grown, with those of the neighbours in time."""
    reach = config.window_frames
    near = notes[max(index - reach, 0) : index + reach + 1]
    masks = [note.mask for note in near if note.shot == notes[index].shot]
    return hole(np.logical_or.reduce(masks), config.grow, config.smooth)


def with_hole_boxes(notes: Sequence[FrameNotes], config: MaskConfig) -> list[FrameNotes]:
    """``notes`` whose boxes hold the neighbours' holes too, where a window over time is asked for."""
    if not config.window_frames:
        return list(notes)
    return [
        replace(note, hole_box=bounding_box(hole_of(notes, index, config)))
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
