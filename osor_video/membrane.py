"""Smooth interpolation of values that are known only in places: the membrane behind holes of every kind.

A push-pull pyramid (Burt 1988; Gortler et al. 1996, "The Lumigraph", section 3.3.1) stands in for the harmonic equation: it
agrees with it at the rim, costs a few milliseconds whatever the hole's size, and also fills where little is known.
"""

from __future__ import annotations

import cv2
import numpy as np

from osor_video.tensors import FloatMap


def fill_membrane(values: FloatMap, weight: FloatMap) -> FloatMap:
    """Interpolate ``values`` [H, W] or [H, W, C] smoothly from where ``weight`` [H, W] in [0, 1] is high.

    Where the weight is 1 the values are returned as they are; where it is 0 they come from the surroundings alone.
    All-zero weights give zeros.
    """
    if min(weight.shape) <= 2:
        total = max(float(weight.sum()), 1e-12)
        mean = (values * _like(weight, values)).sum(axis=(0, 1)) / total
        return _mix(values, np.broadcast_to(mean, values.shape).astype(np.float32), weight)
    coarse_weight = cv2.pyrDown(weight)
    coarse_values = cv2.pyrDown(values * _like(weight, values)) / np.maximum(
        _like(coarse_weight, values), 1e-8
    )
    # A coarse cell counts as known once an eighth of it is: rims would otherwise lose against far surroundings.
    coarse = fill_membrane(coarse_values, np.minimum(coarse_weight * 8, 1))
    return _mix(values, cv2.pyrUp(coarse, dstsize=(weight.shape[1], weight.shape[0])), weight)


def _like(weight: FloatMap, values: FloatMap) -> FloatMap:
    return weight if values.ndim == 2 else weight[..., None]


def _mix(values: FloatMap, filled: FloatMap, weight: FloatMap) -> FloatMap:
    weight = _like(weight, values)
    return weight * values + (1 - weight) * filled
