"""Latent warping: the clean latent of an earlier frame, carried along the background's motion.

Convention: flow on the latent grid is in cells; ``flow_to_anchor`` [1, 2, h, w] lives on the current frame's crop and
points into the anchor's crop. Fusion is in x0, which constrains a frame far more than warping the noise does.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from osor_video.flow.warp import inside, warp


@dataclass(frozen=True)
class Carry:
    """An anchor's clean latent ``z0`` [1, C, h, w], the way back to it, and how many frames ago it was."""

    z0: Tensor
    flow_to_anchor: Tensor
    trust: Tensor
    age: int

    @classmethod
    def anchor(cls, z0: Tensor) -> Carry:
        """A carry that begins at this frame."""
        batch, _, height, width = z0.shape
        return cls(z0, z0.new_zeros((batch, 2, height, width)), z0.new_ones((batch, 1, height, width)), 0)

    def to(self, device: torch.device) -> Carry:
        """The same on another device."""
        return Carry(self.z0.to(device), self.flow_to_anchor.to(device), self.trust.to(device), self.age)

    def moved(self, flow_back: Tensor) -> Carry:
        """One frame on. ``flow_back`` [1, 2, h, w] points from the new frame's cells to the last frame's.

        Flows are composed and the anchor is sampled once, so latents do not blur as the chain grows.
        """
        composed = flow_back + warp(self.flow_to_anchor, flow_back)
        trust = warp(self.trust, flow_back) * inside(flow_back) * inside(composed)
        return Carry(self.z0, composed, trust, self.age + 1)

    def warped(self) -> Tensor:
        """The anchor's latent as this frame should show it, [1, C, h, w]."""
        return warp(self.z0, self.flow_to_anchor)


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
