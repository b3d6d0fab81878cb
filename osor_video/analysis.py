"""First pass over a clip: where the object is in each frame, how the camera moves, how the background flows.

What is kept of a frame is small (a packed mask, nine numbers, a coarse flow), so a long clip's notes fit in memory.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass

import cv2
import numpy as np

from osor_video.background.camera import Homography, camera_step
from osor_video.config import Config
from osor_video.flow.complete import complete_flow
from osor_video.flow.estimate import FlowEstimator, FlowPair
from osor_video.flow.warp import validity
from osor_video.follow import follow
from osor_video.masks.build import Tracker
from osor_video.masks.track import hole
from osor_video.removal.crop import HoleBox, bounding_box
from osor_video.report import Stopwatch
from osor_video.tensors import FloatMap, Mask, Picture

FLOW_GRID = 4
"""The completed background flow is smooth: it is kept on a grid this many times coarser than it was estimated on."""


@dataclass(frozen=True)
class FrameNotes:
    """What the second pass needs to know of one frame."""

    packed_mask: bytes
    size_hw: tuple[int, int]
    score: float
    shot: int
    camera: Homography
    hole_box: HoleBox | None
    """Bounding box of the grown mask, None where there is nothing to remove."""
    flow_back: FloatMap | None
    """Completed background flow to the frame before, [h, w, 2] in pixels of the frame."""

    @property
    def mask(self) -> Mask:
        """The object's mask [H, W]."""
        height, width = self.size_hw
        bits = np.frombuffer(zlib.decompress(self.packed_mask), np.uint8)
        return np.unpackbits(bits, count=height * width).reshape(height, width).astype(bool)


def pack_mask(mask: Mask) -> bytes:
    """bool [H, W] -> a few hundred bytes."""
    return zlib.compress(np.packbits(mask).tobytes(), 1)


def analyse(
    frames: Iterable[Picture],
    first_mask: Mask,
    flow: FlowEstimator,
    tracker: Tracker,
    config: Config,
    pool: Executor,
    clock: Stopwatch,
) -> Iterator[tuple[Mask, FrameNotes]]:
    """Track the object through ``frames`` [H, W, 3]; yields each frame's mask with its notes, in order.

    The flow of the next frame is estimated in ``pool`` meanwhile.
    """
    camera: Homography = np.eye(3)
    last: tuple[np.ndarray, Mask, int] | None = None
    for frame in follow(frames, flow, pool, lambda: tracker.follows, clock):
        with clock.stage("mask"):
            if last is None:
                tracked = tracker.start(frame.picture, first_mask)
            else:
                tracked = tracker.step(frame.picture, frame.flow)
        with clock.stage("camera"):
            grey = cv2.cvtColor(frame.picture, cv2.COLOR_RGB2GRAY)
            grown = hole(tracked.mask, config.mask.grow)
            if last is not None and frame.shot == last[2]:
                camera = camera_step(last[0], grey, last[1], grown) @ camera
            else:
                camera = np.eye(3)
            flow_back = _background_flow(frame.flow, grown)
        last = grey, grown, frame.shot
        yield (
            tracked.mask,
            FrameNotes(
                pack_mask(tracked.mask),
                tracked.mask.shape,
                tracked.score,
                frame.shot,
                camera,
                bounding_box(grown),
                flow_back,
            ),
        )


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
