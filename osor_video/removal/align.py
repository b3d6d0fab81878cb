"""The way back to an anchor, measured on the pictures: composed flow drifts, and its noise bends what stands still.

Around the hole the frame and the anchor show the same place. The plainest motion that explains the one by the other is affine;
it is found by Lucas's and Kanade's method (IJCAI 1981) with weights that leave out passers-by. Where the composed flow explains
it better, as before a camera that passes things at many depths, its bends are kept, and an affine motion puts the rest right.

Convention: flow [1, 2, h, w] is in cells, from the frame's crop into the anchor's; pictures are [1, 3, H, W] in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from kornia.filters import gaussian_blur2d, spatial_gradient
from torch import Tensor
from torch.nn import functional as F

from osor_video.flow.warp import inside, warp
from osor_video.removal.step import raised

HALVED = 2
"""Pictures are aligned at this part of their size: as exactly, in a quarter of the time."""
BLUR_PX = 1
"""Standard deviation of the blur before slopes are measured: a step may then be a few pixels long."""
TURNS = 3
TOLERANCE = 12 / 255
"""Difference between the pictures at which a pixel loses most of its say."""
FEWEST_PX = 60
"""With fewer pixels that both show, the composed flow is taken as it is."""
FLAT = 25 / 255**2
"""Sum of squared slopes below which nothing is said of a motion."""
NEEDED = 0.95
"""Share of the affine motion's cost that the composed flow has to go below, or it follows noise."""
NEGLIGIBLE = 0.002
"""And so much below that: what is left of a motion that explains nearly all is the pictures' own."""
MOST_GAIN = 1.25
ELSEWHERE = 0.5
"""Cost from which frame and anchor show different places: a camera that swung round takes nothing along."""


@dataclass(frozen=True)
class Way:
    """Back to an anchor: ``flow`` [1, 2, h, w], and the ``gain`` [1, 3, 1, 1] that its light has to be given here.

    ``lost``: what both should show they do not.
    """

    flow: Tensor
    gain: Tensor
    lost: bool = False


@dataclass(frozen=True)
class _Fit:
    """What a flow makes of the anchor, all [1, 1, H, W]: its grey, the difference to the frame, and what both show."""

    moved: Tensor
    difference: Tensor
    shared: Tensor

    @property
    def weight(self) -> Tensor:
        """What is shared, as far as it agrees."""
        return self.shared * (-(self.difference / TOLERANCE).square()).exp()

    @property
    def cost(self) -> float:
        """Mean error, which a passer-by cannot outweigh (Geman and McClure 1987)."""
        square = self.difference.square()
        return float((self.shared * square / (square + TOLERANCE**2)).sum() / self.shared.sum())


class Alignment:
    """Aligns an ``anchor`` to a frame, ``image``; each is ``known`` [1, 1, H, W], 1 or 0, where it shows the place itself."""

    def __init__(self, anchor: Tensor, anchor_known: Tensor, image: Tensor, known: Tensor) -> None:
        self._anchor, self._image = (F.avg_pool2d(picture, HALVED) for picture in (anchor, image))
        self._source, self._target = _grey(self._anchor), _grey(self._image)
        self._source_known, self._known = (-F.max_pool2d(-part, HALVED) for part in (anchor_known, known))

    def find(self, flow: Tensor) -> Way:
        """The way, begun with the composed ``flow``."""
        begun = self._fit(flow)
        if begun is None:
            return Way(flow, flow.new_ones(1, 3, 1, 1))
        stiff, bent = (self._improved(start) for start in (_affine(flow, begun.shared), flow))
        fit, other = self._fit(stiff), self._fit(bent)
        if fit is not None and (other is None or other.cost >= NEEDED * fit.cost - NEGLIGIBLE):
            return self._way(stiff, fit)
        if other is not None and other.cost <= begun.cost:
            return self._way(bent, other)
        return self._way(flow, begun)

    def _fit(self, flow: Tensor) -> _Fit | None:
        """None where hardly anything is shared."""
        way = fine_flow(flow, self._image)
        moved, shared = warp(self._source, way), self._known * seen_there(self._source_known, way)
        if int(shared.sum()) < FEWEST_PX:
            return None
        difference = moved - self._target
        # Exposure is no motion.
        return _Fit(moved, difference - difference[shared > 0].median(), shared)

    def _improved(self, flow: Tensor) -> Tensor:
        """``flow`` with the affine motion on top that brings the pictures together."""
        scale = self._image.shape[-1] / flow.shape[-1]
        fine, coarse = _basis(self._image), _basis(flow)
        for _ in range(TURNS):
            fit = self._fit(flow)
            if fit is None:
                return flow
            weight = fit.weight.flatten()
            slopes = spatial_gradient(fit.moved)[0, 0]
            parts = (slopes[:, None] * fine).flatten(2).flatten(0, 1)
            steep, wanted = (parts * weight) @ parts.T, -(parts * weight) @ fit.difference.flatten()
            steep = steep + torch.diag(1e-3 * steep.diagonal() + FLAT)
            step = torch.linalg.solve(steep.cpu(), wanted.cpu()).view(2, 3).to(flow)
            flow = flow + torch.einsum("ij,jhw->ihw", step, coarse)[None] / scale
        return flow

    def _way(self, flow: Tensor, fit: _Fit) -> Way:
        return Way(flow, self._gain(flow, fit), fit.cost > ELSEWHERE)

    def _gain(self, flow: Tensor, fit: _Fit) -> Tensor:
        """What the light of the shared place has grown by, channel by channel."""
        moved = warp(self._anchor, fine_flow(flow, self._image))
        now, then = ((fit.weight * picture).sum(dim=(2, 3), keepdim=True) for picture in (self._image, moved))
        return ((now + FLAT) / (then + FLAT)).clamp(1 / MOST_GAIN, MOST_GAIN)


def fine_flow(flow: Tensor, picture: Tensor) -> Tensor:
    """``flow`` on the pixels of ``picture`` [1, C, H, W], in pixels."""
    scale = picture.shape[-1] / flow.shape[-1]
    return raised(flow * scale, picture)


def seen_there(known: Tensor, way: Tensor) -> Tensor:
    """float [1, 1, H, W]: 1 where ``way`` [1, 2, H, W], in pixels, leads to what is ``known`` [1, 1, H, W] of 0 and 1."""
    return (warp(known, way) > 1 - 1e-3) * inside(way)


def _grey(picture: Tensor) -> Tensor:
    size = 4 * BLUR_PX + 1
    return gaussian_blur2d(picture.mean(dim=1, keepdim=True), (size, size), (BLUR_PX, BLUR_PX))


def _basis(like: Tensor) -> Tensor:
    """1 and the places x and y in [-1, 1] of the centres of a grid [1, C, H, W], [3, H, W]."""
    rows, columns = (
        (torch.arange(length, dtype=like.dtype, device=like.device) + 0.5) / length * 2 - 1
        for length in like.shape[-2:]
    )
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack([torch.ones_like(x), x, y])


def _affine(flow: Tensor, shared: Tensor) -> Tensor:
    """The affine motion nearest to ``flow`` where it is ``shared`` [1, 1, H, W]."""
    basis = _basis(flow)
    flat = basis.flatten(1)
    weight = F.adaptive_avg_pool2d(shared, flow.shape[-2:]).flatten()
    steep = (flat * weight) @ flat.T + 1e-3 * torch.eye(3, dtype=flow.dtype, device=flow.device)
    motion = torch.linalg.solve(steep.cpu(), ((flat * weight) @ flow[0].flatten(1).T).cpu()).to(flow)
    return torch.einsum("ji,jhw->ihw", motion, basis)[None]
