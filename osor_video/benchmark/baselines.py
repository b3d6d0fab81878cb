"""What a result must beat: the shot as it is, and classical fills of a single picture or along time."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from itertools import islice
from typing import Any

import cv2
import numpy as np

from osor_video.benchmark.cases import TrueFrame
from osor_video.benchmark.floor import Floors
from osor_video.errors import ConfigError
from osor_video.flow.complete import complete_flow
from osor_video.flow.estimate import DisFlow, FlowPair
from osor_video.flow.warp import inside, validity, warp
from osor_video.shapes import dilate
from osor_video.tensors import Mask, Picture, picture_to_tensor, resize_flow, tensor_to_picture

MARGIN_PX = 3
"""Widening of the mask, so that no rim of the object is spread into the hole."""
TELEA_RADIUS_PX = 5
PATCH_RADIUS_PX = 3
PATCH_SEED = 0
FLOW_HEIGHT_PX = 256
MEDIAN_FRAMES = 64

Baseline = Callable[[TrueFrame], Picture]


def untouched(frame: TrueFrame) -> Picture:
    """Nothing is done."""
    return frame.shot


def telea(frame: TrueFrame) -> Picture:
    """Telea's fast marching fill of the true mask, a little widened; no frame knows of another."""
    hole = _widened(frame.mask)
    return np.asarray(cv2.inpaint(np.ascontiguousarray(frame.shot), hole, TELEA_RADIUS_PX, cv2.INPAINT_TELEA))


def patchmatch(frame: TrueFrame) -> Picture:
    """PatchMatch (Barnes et al. 2009) in the same hole, always with the same seed; ConfigError where it is not installed."""
    try:
        library = importlib.import_module("patchmatch")
    except ImportError as error:
        raise ConfigError(
            'PatchMatch, one of the fills compared with, is not installed: pip install "osor-video[validate]".'
        ) from error
    library.set_random_seed(PATCH_SEED)
    hole = _widened(frame.mask)
    return np.asarray(
        library.inpaint(np.ascontiguousarray(frame.shot), hole, patch_size=PATCH_RADIUS_PX), np.uint8
    )


def _widened(mask: Mask) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return dilate(mask, MARGIN_PX).astype(np.uint8)


class FlowCopy:
    """Carries the fill of the frame before along the completed background flow; Telea where nothing comes from there.

    What video inpainting does before any network is asked, frame after frame, each resampling what the last one made.
    """

    def __init__(self) -> None:
        self._flow = DisFlow(FLOW_HEIGHT_PX)
        self._last: tuple[Picture, Any] | None = None

    def __call__(self, frame: TrueFrame) -> Picture:
        """The fill of the next frame, in order."""
        hole = _widened(frame.mask) > 0
        encoded, result = self._flow.encode(frame.shot), telea(frame)
        if self._last is not None and hole.any():
            pair = self._flow.match(self._last[1], encoded)
            result = np.where(hole[..., None], self._carried(pair, hole, result), frame.shot)
        self._last = result, encoded
        return result

    def _carried(self, pair: FlowPair, hole: Mask, other: Picture) -> Picture:
        assert self._last is not None  # it is asked from the second frame on
        size = pair.backward.shape[-1], pair.backward.shape[-2]
        covered = cv2.resize(hole.astype(np.float32), size, interpolation=cv2.INTER_AREA) > 0
        trusted = validity(pair.backward, pair.forward)[0, 0].numpy() > 0
        back = resize_flow(complete_flow(pair.backward, covered, trusted), hole.shape)
        moved = warp(picture_to_tensor(self._last[0]), back)
        return np.where((inside(back)[0, 0].numpy() > 0)[..., None], tensor_to_picture(moved), other)


def temporal_median(frames: Iterable[TrueFrame]) -> Baseline:
    """The median of what a pixel shows while no object covers it, put into the hole; a camera that moves is not followed.

    ``MEDIAN_FRAMES`` frames at most are heard, from the begin on. Where all are covered the median of all stands.
    """
    heard = list(islice(frames, MEDIAN_FRAMES))
    shots = np.stack([frame.shot for frame in heard]).astype(np.float32)
    hidden = np.stack([dilate(frame.mask, MARGIN_PX) for frame in heard])
    always = hidden.all(axis=0)
    shots[hidden & ~always] = np.nan
    median = np.nanmedian(shots, axis=0)
    return lambda frame: np.where(
        dilate(frame.mask, MARGIN_PX)[..., None], np.rint(median), frame.shot
    ).astype(np.uint8)


def peers_for(
    frames: Callable[[], Iterable[TrueFrame]], every: bool, *, floors: bool = True
) -> dict[str, Baseline]:
    """The peers of one case by name; ``frames()`` reads it from its begin. Only the quick ones unless ``every`` is asked for.

    PatchMatch is among them where it is installed. The plate without and with other grain is what the best fill would score,
    asked for with ``floors``.
    """
    quick: dict[str, Baseline] = {"input": untouched, "Telea per frame": telea}
    if floors:
        best = Floors(frames)
        quick |= {"the plate, no grain": best.still, "the plate, new grain": best.alive}
    if not every:
        return quick
    installed = {"PatchMatch per frame": patchmatch} if find_spec("patchmatch") else {}
    return quick | installed | {"temporal median": temporal_median(frames()), "flow copy": FlowCopy()}
