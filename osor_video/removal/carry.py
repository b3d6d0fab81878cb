"""Latent warping: the clean latent of an earlier frame, carried along the background's motion.

Convention: flow on the latent grid is in cells; ``flow_to_anchor`` [1, 2, h, w] lives on the current frame's crop and
points into the anchor's crop. Fusion is in x0, which constrains a frame far more than warping the noise does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import exp

import torch
from torch import Tensor
from torch.nn import functional as F

from osor_video.flow.warp import inside, warp

AT_REST, MOVING = 0.03, 0.03
"""Cells a frame up to which a camera rests, and beyond that the way over which detail fades to 1/e."""
FADING = 0.7
"""Share of its strength that detail keeps from frame to frame while it fades or comes back."""


@dataclass(frozen=True)
class Carry:
    """An anchor's clean latent ``z0`` [1, C, h, w], the way back to it, and how many frames ago it was.

    ``detail`` [1, 3, H, W] is what its picture had beside the decoded latent, None where that was nothing; ``lent`` in [0, 1]
    is the share of it that frames show. Detail that is a part of a pixel out of place is seen as flicker, so before a moving
    camera it fades, and comes back when the camera rests.
    """

    z0: Tensor
    flow_to_anchor: Tensor
    trust: Tensor
    age: int
    detail: Tensor | None = None
    lent: float = 1.0

    @classmethod
    def anchor(cls, z0: Tensor, detail: Tensor | None = None, lent: float = 1.0) -> Carry:
        """A carry that begins at this frame."""
        batch, _, height, width = z0.shape
        flow, trust = z0.new_zeros((batch, 2, height, width)), z0.new_ones((batch, 1, height, width))
        return cls(z0, flow, trust, 0, detail, lent)

    def to(self, device: torch.device) -> Carry:
        """The same on another device."""
        detail = None if self.detail is None else self.detail.to(device)
        return replace(
            self,
            z0=self.z0.to(device),
            flow_to_anchor=self.flow_to_anchor.to(device),
            trust=self.trust.to(device),
            detail=detail,
        )

    def moved(self, flow_back: Tensor) -> Carry:
        """One frame on. ``flow_back`` [1, 2, h, w] points from the new frame's cells to the last frame's.

        Flows are composed and the anchor is sampled once, so latents do not blur as the chain grows.
        """
        composed = flow_back + warp(self.flow_to_anchor, flow_back)
        trust = warp(self.trust, flow_back) * inside(flow_back) * inside(composed)
        way = float(flow_back.square().sum(dim=1).sqrt().mean())
        wanted = exp(-max(0.0, way - AT_REST) / MOVING)
        lent = FADING * self.lent + (1 - FADING) * wanted
        return Carry(self.z0, composed, trust, self.age + 1, self.detail, lent)

    def warped(self) -> Tensor:
        """The anchor's latent as this frame should show it, [1, C, h, w]."""
        return warp(self.z0, self.flow_to_anchor)

    def carried_detail(self, made: Tensor | None) -> Tensor | None:
        """The anchor's detail as this frame should show it, [1, 3, H, W]; what was ``made`` for it where there is no way back.

        Sampled once from the anchor, as the latent is, and bicubically: softened detail would come and go with each frame's
        part of a pixel.
        """
        if self.detail is None:
            return made
        scale = self.detail.shape[-1] // self.z0.shape[-1]
        flow, trust = (
            F.interpolate(part, scale_factor=scale, mode="bilinear", align_corners=False)
            for part in (self.flow_to_anchor * scale, self.trust)
        )
        carried = trust * warp(self.detail, flow, "bicubic")
        return carried if made is None else carried + (1 - trust) * made


def fuse(z0: Tensor, carry: Carry, region: Tensor, strength: float) -> Tensor:
    """z0 <- (1 - c m) z0 + c m W(z0_anchor), c = strength x trust, m = ``region`` [1, 1, h, w].

    A convex mean of two independent guesses loses contrast; the fused latent gets back the spread that the two had, channel by
    channel, over the region.
    """
    share = (strength * carry.trust * region).clamp(0, 1)
    warped = carry.warped()
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
