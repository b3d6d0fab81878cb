"""Edges of a coarse mask snapped to the picture: GrabCut (Rother et al., SIGGRAPH 2004) on the uncertain band."""

from __future__ import annotations

import cv2
import numpy as np

from osor_video.tensors import FloatMap, Mask, Picture

SURE_OBJECT = 0.6
SURE_BACKGROUND = 0.15
"""Labels beyond these are taken as they are. A wider band lets colour alone decide, and it takes shoes for ground."""
MIN_SEEDS = 30
"""Pixels of sure object and sure background that the colour models need."""
MARGIN = 0.03
"""Surroundings shown to GrabCut, as a share of the picture's height."""


def snap(picture: Picture, label: FloatMap) -> Mask:
    """Decide a soft ``label`` [H, W] in [0, 1] per pixel of ``picture`` [H, W, 3] -> bool [H, W].

    Pixels surer than .6 or .15 stay as they are; the rest goes where colour and edges say. With too few sure pixels of either
    kind the label is cut at one half.
    """
    coarse = label > 0.5
    ys, xs = np.nonzero(label > SURE_BACKGROUND)
    if not coarse.any():
        return coarse
    margin = max(2, round(MARGIN * label.shape[0]))
    box = np.s_[
        max(ys.min() - margin, 0) : ys.max() + margin + 1, max(xs.min() - margin, 0) : xs.max() + margin + 1
    ]
    trimap = np.where(coarse[box], cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    trimap[label[box] > SURE_OBJECT] = cv2.GC_FGD
    trimap[label[box] < SURE_BACKGROUND] = cv2.GC_BGD
    if min(np.sum(trimap == cv2.GC_FGD), np.sum(trimap == cv2.GC_BGD)) < MIN_SEEDS:
        return coarse
    # GrabCut starts its colour models from OpenCV's global generator; a fixed seed keeps runs repeatable.
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(np.ascontiguousarray(picture[box]), trimap, None, *models, 2, cv2.GC_INIT_WITH_MASK)
    mask = np.zeros_like(coarse)
    mask[box] = (trimap == cv2.GC_FGD) | (trimap == cv2.GC_PR_FGD)
    return mask
