"""First pass over a clip: where the object is in each frame, how the camera moves, how the background flows.

What is kept of a frame is small (a packed mask, nine numbers, a coarse flow); between two frames the pass can say where it stands,
and another can go on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from itertools import chain, repeat
from typing import Self, overload

import cv2
import numpy as np

from osor_video.background.camera import GreyPicture, Homography, Tracks, camera_step, track_corners
from osor_video.background.register import to_grey
from osor_video.composite.grain import Grain, measure_grain, median_grain
from osor_video.config import Config, MaskConfig
from osor_video.flow.complete import complete_flow
from osor_video.flow.estimate import FlowEstimator, FlowPair
from osor_video.flow.warp import validity
from osor_video.follow import FollowState, MovingFrame, follow
from osor_video.masks.build import Tracker
from osor_video.masks.drift import Drift, DriftWatch
from osor_video.masks.held import BackFrame, FrameMasks, Marked, pack_mask, unpack_mask
from osor_video.masks.region import FrameRegions
from osor_video.masks.shots import CutDetector
from osor_video.masks.track import State, hole
from osor_video.removal.crop import HoleBox, bounding_box
from osor_video.report import Progress, Stopwatch, silent
from osor_video.shapes import overlap
from osor_video.tensors import FloatMap, Mask, Picture

FLOW_GRID = 8
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


@dataclass(frozen=True)
class PassState:
    """Where the first pass stands after some frames, beside their notes: enough to go on as if it had never stopped."""

    follow: FollowState
    drift: State
    masks: State

    def tree(self) -> State:
        """As plain names and values."""
        return {"follow": asdict(self.follow), "drift": self.drift, "masks": self.masks}

    @classmethod
    def of(cls, tree: State) -> Self:
        """From what ``tree`` gave."""
        return cls(FollowState(**tree["follow"]), tree["drift"], tree["masks"])


class FirstPass:
    """Follows the object through frames with ``masks``; the flow of the next frame is estimated in ``pool`` meanwhile."""

    def __init__(
        self, masks: FrameMasks, flow: FlowEstimator, config: Config, pool: Executor, clock: Stopwatch
    ) -> None:
        self._masks = masks
        self._flow = flow
        self._config = config
        self._pool = pool
        self._clock = clock
        self._watch = DriftWatch()
        self._camera: Homography = np.eye(3)
        self._last: _Last | None = None
        self._follow: FollowState | None = None
        self._begun: FrameNotes | None = None

    def state(self) -> PassState | None:
        """Where it stands between two frames; None before the first, and where the masks' source cannot say."""
        masks = self._masks.state()
        if self._follow is None or masks is None:
            return None
        return PassState(self._follow, self._watch.state(), masks)

    def go_on(self, last: FrameNotes, state: PassState) -> None:
        """Stand where another pass stood whose last notes were ``last``."""
        self._masks.go_on(state.masks)
        self._watch.go_on(last.mask, state.drift)
        self._camera, self._begun, self._follow = last.camera, last, state.follow

    def run(
        self, frames: Iterable[Picture], regions: Iterable[FrameRegions] | None = None
    ) -> Iterator[tuple[Mask, FrameNotes]]:
        """Each frame's mask with its notes, in order, for pictures [H, W, 3]; ``regions`` are the user's for every frame.

        After ``go_on`` both begin with the last frame that was noted, which is not yielded again.
        """
        painted = repeat(FrameRegions()) if regions is None else iter(regions)
        pictures = iter(frames)
        if self._begun is not None:
            picture = next(pictures)
            self._last = self._seen(
                picture, to_grey(picture), self._begun.mask, next(painted), self._begun.shot
            )
            pictures = chain([picture], pictures)
        moving = follow(
            pictures, self._flow, self._pool, lambda: self._masks.follows, self._clock, begun=self._follow
        )
        for frame, region in zip(moving, painted, strict=False):
            yield self._note(frame, region)

    def _seen(
        self, picture: Picture, grey: GreyPicture, mask: Mask, region: FrameRegions, shot: int
    ) -> _Last:
        grown = _with(hole(mask, self._config.mask.grow, self._config.mask.smooth), region.added)
        return _Last(picture, grey, grown, shot)

    def _track(self, last: _Last, grey: GreyPicture) -> Tracks:
        with self._clock.stage("camera"):
            return track_corners(last.grey, grey, last.grown)

    def _measure_grain(self, last: _Last | None, frame: MovingFrame, now: _Last) -> Grain | None:
        box = bounding_box(now.grown)
        if not self._config.composite.grain or last is None or frame.flow is None or box is None:
            return None
        with self._clock.stage("camera"):
            return measure_grain(last.picture, frame.picture, frame.flow, now.grown, box)

    def _note(self, frame: MovingFrame, region: FrameRegions) -> tuple[Mask, FrameNotes]:
        last = self._last
        cut = last is None or frame.shot != last.shot
        grey = to_grey(frame.picture)
        # What needs no mask of this frame is done while that is found.
        tracks = None if last is None or cut else self._pool.submit(self._track, last, grey)
        with self._clock.stage("mask"):
            held = self._masks.step(frame.picture, frame.flow)
            drift = self._watch.see(held.mask, held.score, frame.flow, exact=held.exact, cut=cut)
        tracked = None if tracks is None else tracks.result()
        with self._clock.stage("camera"):
            now = self._seen(frame.picture, grey, held.mask, region, frame.shot)
            measuring = self._pool.submit(self._measure_grain, last, frame, now)
            self._camera = np.eye(3) if tracked is None else camera_step(tracked, now.grown) @ self._camera
            flow_back = _background_flow(frame.flow, now.grown)
        grain = measuring.result()
        self._last, self._follow = now, frame.after
        return held.mask, FrameNotes(
            pack_mask(held.mask),
            held.mask.shape,
            drift,
            frame.shot,
            self._camera,
            bounding_box(_without(now.grown, region.kept)),
            flow_back,
            _packed(region.added),
            _packed(region.kept),
            grain,
        )


def hole_of(notes: Sequence[FrameNotes], index: int, config: MaskConfig) -> Mask:
    """What hides the background in frame ``index`` [H, W]: the mask smoothed and grown, with those of the neighbours in

    time and the region that the user added. What the user keeps is not left out of it.
    """
    return _hole_of(notes, index, config, config.grow)


def core_of(notes: Sequence[FrameNotes], index: int, config: MaskConfig) -> Mask:
    """What of the hole is generated where nothing can be borrowed [H, W]: all but the outer part of its rim.

    A place is borrowed as well as it is seen, but generated only from what is left around the hole.
    """
    return _hole_of(notes, index, config, config.core_grow)


def _hole_of(notes: Sequence[FrameNotes], index: int, config: MaskConfig, grow: float) -> Mask:
    reach = config.window_frames
    near = notes[max(index - reach, 0) : index + reach + 1]
    masks = [note.mask for note in near if note.shot == notes[index].shot]
    return _with(hole(np.logical_or.reduce(masks), grow, config.smooth), notes[index].added)


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


def with_hole_boxes(notes: Sequence[FrameNotes], config: MaskConfig) -> Sequence[FrameNotes]:
    """``notes`` whose boxes hold the neighbours' holes too, where a window over time is asked for."""
    if not config.window_frames:
        return notes
    return _Boxed(
        notes,
        [
            bounding_box(_without(hole_of(notes, index, config), note.kept))
            for index, note in enumerate(notes)
        ],
    )


class _Boxed(Sequence[FrameNotes]):
    """Notes with other boxes; the notes stay where they are, which may be a disk."""

    def __init__(self, notes: Sequence[FrameNotes], boxes: Sequence[HoleBox | None]) -> None:
        self._notes = notes
        self._boxes = boxes

    def __len__(self) -> int:
        return len(self._notes)

    @overload
    def __getitem__(self, index: int) -> FrameNotes: ...
    @overload
    def __getitem__(self, index: slice) -> list[FrameNotes]: ...
    def __getitem__(self, index: int | slice) -> FrameNotes | list[FrameNotes]:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(len(self)))]
        return replace(self._notes[index], hole_box=self._boxes[index])


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
    moving = follow(backwards, flow, pool, lambda: tracker.follows, clock, cuts=False)
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
