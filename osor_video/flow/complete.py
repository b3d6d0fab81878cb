"""Flow of the background behind an object: what the object hides moves as its surroundings do.

Inside the hole a measured flow is the removed object's. It is replaced by a homography fitted to the flow outside
plus a smooth residual from the rim (homography: Hartley and Zisserman 2004, section 4.7).
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from osor_video.membrane import fill_membrane
from osor_video.tensors import FloatMap, Mask

MIN_POINTS = 32


def complete_flow(flow: Tensor, hole: Mask, trusted: Mask | None = None) -> Tensor:
    """Replace ``flow`` [1, 2, H, W] inside ``hole`` [H, W] (and where not ``trusted``) by the background's motion.

    Outside the hole, where trusted, the flow is returned unchanged. With fewer than 32 usable points the hole moves by the
    median of what is known, or not at all.
    """
    field: FloatMap = np.ascontiguousarray(flow[0].permute(1, 2, 0).numpy())
    known = ~hole if trusted is None else ~hole & trusted
    done = np.where(known[..., None], field, plausible_motion(field, known.astype(np.float32)))
    return torch.from_numpy(done).permute(2, 0, 1)[None].contiguous()


def plausible_motion(field: FloatMap, trust: FloatMap) -> FloatMap:
    """A homography fitted to the trusted part of ``field`` [H, W, 2], plus the smooth residual of what is trusted.

    ``trust`` [H, W] in [0, 1]. Planes come out straight behind the hole, because the homography carries them; depth comes in from
    the rim.
    """
    model = _fit_motion(field, trust > 0.5 * float(trust.max()))
    return model + fill_membrane(field - model, trust)


def _fit_motion(field: FloatMap, known: Mask) -> FloatMap:
    """The flow [H, W, 2] of a homography fitted robustly to the known part of ``field``."""
    height, width = known.shape
    ys, xs = np.nonzero(known)
    if len(ys) < MIN_POINTS:
        middle = np.median(field[known], axis=0) if len(ys) else np.zeros(2)
        return np.broadcast_to(middle, field.shape).astype(np.float32)
    # About 2000 points fix eight numbers well; more only cost time.
    step = max(1, len(ys) // 2000)
    points = np.stack([xs[::step], ys[::step]], axis=1).astype(np.float32)
    homography, _ = cv2.findHomography(points, points + field[ys[::step], xs[::step]], cv2.USAC_MAGSAC, 1.0)
    if homography is None:
        return np.broadcast_to(np.median(field[known], axis=0), field.shape).astype(np.float32)
    return homography_flow(homography, (height, width))


def homography_flow(
    homography: np.ndarray[tuple[int, int], np.dtype[np.float64]], size_hw: tuple[int, int]
) -> FloatMap:
    """Flow [H, W, 2] that moves each pixel x to ``homography`` applied to x."""
    height, width = size_hw
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float64)
    moved = cv2.perspectiveTransform(grid.reshape(1, -1, 2), homography).reshape(height, width, 2)
    return np.asarray(moved - grid, dtype=np.float32)
