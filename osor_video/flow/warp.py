"""Backward warping and the trust in a flow.

Convention: flow [B, 2, H, W] in pixels of its own grid, channel 0 = x right, 1 = y down. ``warp(content, flow)``
samples ``content`` at ``x + flow(x)``: the result lives on the flow's grid.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F


def pixel_grid(size_hw: tuple[int, int], like: Tensor) -> Tensor:
    """Pixel coordinates [1, 2, H, W] (x, y) with the dtype and device of ``like``."""
    height, width = size_hw
    ys = torch.arange(height, dtype=like.dtype, device=like.device)
    xs = torch.arange(width, dtype=like.dtype, device=like.device)
    return torch.stack(torch.meshgrid(xs, ys, indexing="xy"))[None]


def warp(content: Tensor, flow: Tensor, mode: Literal["bilinear", "bicubic"] = "bilinear") -> Tensor:
    """Sample ``content`` [B, C, H, W] at ``x + flow(x)``; outside the picture its edge is repeated."""
    size_hw = (flow.shape[-2], flow.shape[-1])
    target = pixel_grid(size_hw, flow) + flow
    scale = flow.new_tensor([2 / max(size_hw[1] - 1, 1), 2 / max(size_hw[0] - 1, 1)]).view(1, 2, 1, 1)
    # Kept inside by hand: grid_sample on Apple's GPUs knows no repeated edge.
    grid = (target * scale - 1).clamp(-1, 1).permute(0, 2, 3, 1)
    return F.grid_sample(content, grid, mode=mode, padding_mode="zeros", align_corners=True)


def inside(flow: Tensor) -> Tensor:
    """float [B, 1, H, W]: 1 where ``x + flow(x)`` lies in the picture."""
    height, width = flow.shape[-2:]
    x, y = (pixel_grid((height, width), flow) + flow).unbind(1)
    return ((x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)).to(flow.dtype)[:, None]


def validity(flow: Tensor, back: Tensor) -> Tensor:
    """Trust in ``flow`` [B, 1, H, W] of zeros and ones, by the forward-backward test.

    ``|f + W(b)|^2 < .01 (|f|^2 + |W(b)|^2) + .5`` (Sundaram et al., ECCV 2010, eq. 5), and in frame. ``back`` is the flow
    of the other direction, on the other frame.
    """
    returned = warp(back, flow)
    error = (flow + returned).square().sum(1, keepdim=True)
    size = flow.square().sum(1, keepdim=True) + returned.square().sum(1, keepdim=True)
    return (error < 0.01 * size + 0.5).to(flow.dtype) * inside(flow)
