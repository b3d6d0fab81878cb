"""Optical flow between neighbouring frames: torchvision's RAFT, or OpenCV's DIS where no weights are to be had.

RAFT-small estimates a vector for each cell of 8 x 8 pixels; DIS takes it from there to single pixels. Each frame is encoded
once. Both directions of a pair share one correlation volume: the volume of (b, a) is the transpose of that of (a, b), so a
pair costs half of two calls of torchvision's ``RAFT.forward``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import log2, sqrt
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from osor_video.flow.recurrence import Recurrence
from osor_video.flow.warp import pixel_grid
from osor_video.tensors import Picture, picture_to_tensor, resize_flow

WIDE = 16 / 9
"""Aspect of the picture whose height settings name."""
POLISHED_FROM = 2
"""Coarsest scale at which DIS corrects RAFT, in halvings of RAFT's size: what is coarser RAFT knows better."""
REFINEMENTS = 3
"""Variational ones a scale. Five, the preset's, are 1.4 % nearer to the true flow and take an eighth of DIS's time more."""


@dataclass(frozen=True)
class FlowPair:
    """Flow between frames a and b, both [1, 2, H, W] at the working size, in pixels of that size.

    ``forward`` lives on a and points to b; ``backward`` lives on b and points to a.
    """

    forward: Tensor
    backward: Tensor

    def resized(self, size_hw: tuple[int, int]) -> FlowPair:
        """The same motion on a grid of ``size_hw``."""
        return FlowPair(resize_flow(self.forward, size_hw), resize_flow(self.backward, size_hw))


class FlowEstimator(Protocol):
    """Encodes each frame once, then matches encoded neighbours."""

    name: str

    def encode(self, picture: Picture) -> Any:
        """Whatever ``match`` needs of one frame."""

    def match(self, a: Any, b: Any) -> FlowPair:
        """Flow of both directions between two encoded frames."""


def working_size(size_hw: tuple[int, int], height_px: int) -> tuple[int, int]:
    """The size to estimate flow at, sides in multiples of 8 and at least 128.

    At most the area of ``height_px`` lines of 16:9: a picture of another shape costs the same, and a squarer one has more lines.
    """
    scale = min(1.0, height_px * sqrt(WIDE / (size_hw[0] * size_hw[1])))
    height, width = (max(128, round(side * scale / 8) * 8) for side in size_hw)
    return height, width


def _shrink(picture: Picture, size_hw: tuple[int, int]) -> Picture:
    shrunk: Picture = cv2.resize(picture, size_hw[::-1], interpolation=cv2.INTER_AREA)
    return shrunk


class DisFlow:
    """Dense inverse search (Kroeger et al., ECCV 2016) from OpenCV: needs no weights."""

    def __init__(self, fine_px: int) -> None:
        self.name = "DIS (OpenCV)"
        self._fine_px = fine_px
        self._search = _dense_search()

    def encode(self, picture: Picture) -> Any:
        """uint8 [H, W, 3] -> the grey picture at the working size."""
        return _grey(picture, self._fine_px)

    def match(self, a: Any, b: Any) -> FlowPair:
        """Flow of both directions between two encoded frames."""
        forward, backward = self._search.calc(a, b, None), self._search.calc(b, a, None)
        return FlowPair(_flow_tensor(forward), _flow_tensor(backward))


def _dense_search() -> Any:
    """DIS down to single pixels; its presets stop at two or four, which doubles the error on what moves."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    search.setFinestScale(0)
    search.setVariationalRefinementIterations(REFINEMENTS)
    return search


def _grey(picture: Picture, height_px: int) -> Any:
    return cv2.cvtColor(_shrink(picture, working_size(picture.shape[:2], height_px)), cv2.COLOR_RGB2GRAY)


def _flow_tensor(flow: np.ndarray[Any, Any]) -> Tensor:
    return torch.from_numpy(flow).permute(2, 0, 1)[None].contiguous()


def _flow_array(flow: Tensor, size_hw: tuple[int, int]) -> np.ndarray[Any, Any]:
    """[1, 2, h, w] -> [H, W, 2] of its own."""
    return np.ascontiguousarray(resize_flow(flow, size_hw)[0].permute(1, 2, 0).numpy())


@dataclass(frozen=True)
class RaftFrames:
    """B encoded pictures: features for matching, and what the recurrent updates start from, at an eighth of the size."""

    features: Tensor
    hidden: Tensor
    context: Tensor


def encode_frames(net: Any, pictures: Tensor) -> RaftFrames:
    """Encode ``pictures`` [B, 3, H, W] in [0, 1], sides in multiples of 8 and at least 128, with a RAFT of torchvision's."""
    scaled = pictures * 2 - 1
    context = net.context_encoder(scaled)
    hidden_size = net.update_block.hidden_state_size
    hidden, context = context.split([hidden_size, context.shape[1] - hidden_size], dim=1)
    return RaftFrames(net.feature_encoder(scaled), hidden.tanh(), context.relu())


def match_frames(net: Any, a: RaftFrames, b: RaftFrames, updates: int) -> Iterator[Tensor]:
    """After each update the flow [2 B, 2, H/8, W/8] so far, in cells: first from a to b, then from b to a.

    Gradients do not pass from one update to the next through the position, as in RAFT.
    """
    net.corr_block.corr_pyramid = _pyramid(a.features, b.features, net.corr_block.num_levels)
    hidden, context = torch.cat([a.hidden, b.hidden]), torch.cat([a.context, b.context])
    start = pixel_grid((hidden.shape[-2], hidden.shape[-1]), hidden).expand(len(hidden), -1, -1, -1)
    coords, recurrence = start, Recurrence(net.update_block, context)
    for _ in range(updates):
        correlation = net.corr_block.index_pyramid(centroids_coords=coords)
        hidden, delta = recurrence.update(hidden, correlation, coords - start)
        coords = coords + delta
        yield coords - start
        coords = coords.detach()


def enlarge_flow(cells: Tensor) -> Tensor:
    """Flow [B, 2, h, w] in cells -> [B, 2, 8 h, 8 w] in pixels, as RAFT-small does it."""
    return F.interpolate(cells, scale_factor=8, mode="bilinear", align_corners=True) * 8


def _pyramid(a: Tensor, b: Tensor, levels: int) -> list[Tensor]:
    """The correlation pyramid of (a, b) and (b, a) from one product."""
    batch, channels, height, width = a.shape
    volume = a.flatten(2).transpose(1, 2) @ b.flatten(2) / sqrt(channels)
    both = torch.cat([volume, volume.transpose(1, 2)]).reshape(2 * batch * height * width, 1, height, width)
    pyramid = [both]
    for _ in range(levels - 1):
        pyramid.append(F.avg_pool2d(pyramid[-1], kernel_size=2, stride=2))
    return pyramid


class RaftView(NamedTuple):
    """A picture as RAFT knows it, and the grey picture [H, W] that DIS goes by."""

    cells: RaftFrames
    grey: Any


class RaftFlow:
    """RAFT-small (Teed and Deng, ECCV 2020) as torchvision builds it, both directions at once; DIS polishes what it finds.

    RAFT works on ``height_px`` lines, DIS on ``fine_px``, or on as many where that is less.
    """

    def __init__(
        self, net: Any, height_px: int, fine_px: int, updates: int, origin: str, device: torch.device
    ) -> None:
        self.name = f"RAFT-small ({origin})"
        self._net = net.eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
        self._height_px, self._fine_px = height_px, max(fine_px, height_px)
        self._updates = updates
        self._device = device
        self._search = _dense_search()

    @torch.inference_mode()
    def encode(self, picture: Picture) -> RaftView:
        """uint8 [H, W, 3] -> features and context at an eighth of RAFT's size, and the grey picture."""
        shrunk = _shrink(picture, working_size(picture.shape[:2], self._height_px))
        cells = encode_frames(self._net, picture_to_tensor(shrunk).to(self._device))
        return RaftView(cells, _grey(picture, self._fine_px))

    @torch.inference_mode()
    def match(self, a: RaftView, b: RaftView) -> FlowPair:
        """Flow of both directions between two encoded frames."""
        *_, cells = match_frames(self._net, a.cells, b.cells, self._updates)
        flows, size_hw = enlarge_flow(cells).cpu(), a.grey.shape
        self._search.setCoarsestScale(POLISHED_FROM + round(log2(size_hw[0] / flows.shape[-2])))
        forward, backward = (_flow_array(flow, size_hw) for flow in flows.split(1))
        return FlowPair(
            _flow_tensor(self._search.calc(a.grey, b.grey, forward)),
            _flow_tensor(self._search.calc(b.grey, a.grey, backward)),
        )
