"""Latent warping: the clean latent of an earlier frame, carried along the background's motion, and the picture that it gave.

Convention: flow on the latent grid is in cells; ``flow_to_anchor`` [1, 2, h, w] lives on the current frame's crop and
points into the anchor's crop. Fusion is in x0, which constrains a frame far more than warping the noise does. A latent's cells
do not shift by parts of a cell without a trace, so what is seen again is the anchor's picture, sampled once.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from osor_video.flow.warp import inside, warp
from osor_video.motionblur import motion_blur
from osor_video.removal.align import Alignment, fine_flow, seen_there
from osor_video.removal.step import raised
from osor_video.tensors import FloatMap, tensor_to_map

SURELY = 0.5
"""What was carried with this trust needs no guess of its own."""


@dataclass(frozen=True)
class Anchor:
    """A finished crop: its clean latent ``z0`` [1, C, h, w], the ``picture`` [1, 3, H, W] in [0, 1] that was shown.

    ``known`` [1, 1, H, W] is 1 where the picture is the frame itself, 0 in the hole.
    """

    z0: Tensor
    picture: Tensor
    known: Tensor


@dataclass(frozen=True)
class Carry:
    """An ``anchor``, the way back to it, how far it is to be trusted [1, 1, h, w], and how many frames ago it was."""

    anchor: Anchor
    flow_to_anchor: Tensor
    trust: Tensor
    age: int

    @classmethod
    def begin(cls, anchor: Anchor) -> Carry:
        """A carry that begins at the anchor's own frame."""
        batch, _, height, width = anchor.z0.shape
        flow = anchor.z0.new_zeros((batch, 2, height, width))
        return cls(anchor, flow, torch.ones_like(flow[:, :1]), 0)

    def to(self, device: torch.device) -> Carry:
        """The same on another device."""
        anchor = Anchor(
            *(part.to(device) for part in (self.anchor.z0, self.anchor.picture, self.anchor.known))
        )
        return Carry(anchor, self.flow_to_anchor.to(device), self.trust.to(device), self.age)

    def moved(self, flow_back: Tensor) -> Carry:
        """One frame on. ``flow_back`` [1, 2, h, w] points from the new frame's cells to the last frame's.

        Flows are composed and the anchor is sampled once, so nothing blurs as the chain grows.
        """
        composed = flow_back + warp(self.flow_to_anchor, flow_back)
        trust = warp(self.trust, flow_back) * inside(flow_back) * inside(composed)
        return Carry(self.anchor, composed, trust, self.age + 1)

    def aligned(self, image: Tensor, known: Tensor) -> Aligned:
        """The carry as the frame ``image`` [1, 3, H, W] shows it, which is ``known`` [1, 1, H, W] outside its hole."""
        way = Alignment(self.anchor.picture, self.anchor.known, image, known).find(self.flow_to_anchor)
        back = fine_flow(way.flow, image)
        picture = (warp(self.anchor.picture, back, "bicubic") * way.gain).clamp(0, 1)
        both = known * seen_there(self.anchor.known, back)
        blur = motion_blur(tensor_to_map(picture), tensor_to_map(image), tensor_to_map(both)[..., 0])
        trust = torch.zeros_like(self.trust) if way.lost else self.trust
        return Aligned(warp(self.anchor.z0, way.flow), picture, trust, raised(trust, image), blur)


@dataclass(frozen=True)
class Aligned:
    """What is carried to a frame: ``z0`` [1, C, h, w] with ``trust`` [1, 1, h, w], and the ``picture`` [1, 3, H, W] with a trust of

    its own, ``seen`` [1, 1, H, W].

    ``blur`` is the kernel that would make the picture as blurred as the frame is by its motion, None where it is as sharp.
    """

    z0: Tensor
    picture: Tensor
    trust: Tensor
    seen: Tensor
    blur: FloatMap | None = None


def fuse(z0: Tensor, carried: Aligned, region: Tensor, strength: float) -> Tensor:
    """z0 <- (1 - c m) z0 + c m W(z0_anchor), c = strength x trust, m = ``region`` [1, 1, h, w].

    A convex mean of two independent guesses loses contrast; the fused latent gets back the spread that the two had, channel by
    channel, over the region.
    """
    share = (strength * carried.trust * region).clamp(0, 1)
    warped = carried.z0
    fused = (1 - share) * z0 + share * warped
    if not bool((share > 0).any()):
        return fused
    weight = share / share.sum()
    wanted = (1 - strength) * _spread(z0, weight) + strength * _spread(warped, weight)
    mean = (fused * weight).sum(dim=(2, 3), keepdim=True)
    gain = (wanted / _spread(fused, weight).clamp(min=1e-4)).clamp(1, 1.5)
    return torch.where(share > 0, mean + (fused - mean) * gain, fused)


def _spread(z: Tensor, weight: Tensor) -> Tensor:
    """Weighted standard deviation of each channel, [1, C, 1, 1]."""
    mean = (z * weight).sum(dim=(2, 3), keepdim=True)
    return ((z - mean).square() * weight).sum(dim=(2, 3), keepdim=True).sqrt()
