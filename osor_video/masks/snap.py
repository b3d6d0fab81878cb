"""Edges of a coarse mask snapped to the picture: GrabCut (Rother et al., SIGGRAPH 2004) on the uncertain band."""

from __future__ import annotations

import cv2
import numpy as np

from osor_video.shapes import box_around
from osor_video.tensors import FloatMap, Mask, Picture

SURE_OBJECT = 0.6
SURE_BACKGROUND = 0.15
"""Labels beyond these are taken as they are. A wider band lets colour alone decide, and it takes shoes for ground."""
MIN_SEEDS = 30
"""Pixels of sure object and sure background that the colour models need."""
SURROUNDINGS = 0.5
"""Background shown to GrabCut around a region that the user drew, as a share of the region's sides."""
LEAST_OBJECT = 0.05
"""Share of such a region that has to be object: with less, colour could not tell, and the region itself is taken."""
MARGIN = 0.03
"""Surroundings shown to GrabCut, as a share of the picture's height."""
DECIDED = 0.15, 0.85
"""Shares of a trained network beyond which its word is taken: it errs less than matching does."""
REDRAWN_MARGIN = 0.25
"""Surroundings shown to GrabCut where a trained network's word is redrawn, over the object's side."""
MOST_CHANGE = 0.12
"""Of the object's area, what colour and edges may change at most; where they want more, they are misled."""


def snap(picture: Picture, label: FloatMap) -> Mask:
    """Decide a soft ``label`` [H, W] in [0, 1] per pixel of ``picture`` [H, W, 3] -> bool [H, W].

    Pixels surer than .6 or .15 stay as they are; the rest goes where colour and edges say. With too few sure pixels of either
    kind the label is cut at one half.
    """
    coarse = label > 0.5
    if not coarse.any():
        return coarse
    box = box_around(label > SURE_BACKGROUND, max(2, round(MARGIN * label.shape[0])))
    trimap = np.where(coarse[box], cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    trimap[label[box] > SURE_OBJECT] = cv2.GC_FGD
    trimap[label[box] < SURE_BACKGROUND] = cv2.GC_BGD
    if min(np.sum(trimap == cv2.GC_FGD), np.sum(trimap == cv2.GC_BGD)) < MIN_SEEDS:
        return coarse
    mask = np.zeros_like(coarse)
    mask[box] = grab_cut(picture[box], trimap, rounds=2)
    return mask


def redrawn(picture: Picture, share: FloatMap) -> FloatMap | None:
    """A ``share`` [h, w] of the object, in [0, 1], decided by ``picture`` [H, W, 3] where it is undecided: 0 or 1, [H, W].

    None where colour and edges cannot tell: too little is decided, or they would change much of the object.
    """
    fine = cv2.resize(share, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    coarse = fine > 0.5
    if not coarse.any():
        return None
    box = box_around(fine > DECIDED[0], max(8, round(REDRAWN_MARGIN * float(np.sqrt(coarse.sum())))))
    trimap = np.where(coarse[box], cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    trimap[fine[box] < DECIDED[0]], trimap[fine[box] > DECIDED[1]] = cv2.GC_BGD, cv2.GC_FGD
    if min(np.sum(trimap == cv2.GC_FGD), np.sum(trimap == cv2.GC_BGD)) < MIN_SEEDS:
        return None
    found = np.zeros(coarse.shape, np.float32)
    found[box] = grab_cut(picture[box], trimap, rounds=1)
    if abs(float(found.sum()) - int(coarse.sum())) >= MOST_CHANGE * coarse.sum():
        return None
    return found


def cut_out(picture: Picture, region: Mask, on: Mask | None = None, off: Mask | None = None) -> Mask:
    """The object inside a ``region`` [H, W] that was drawn around it on ``picture`` [H, W, 3].

    What lies outside the region is background, ``off`` too, ``on`` is object; of the rest colour and edges decide. Where they
    find next to nothing the region itself is returned.
    """
    box = _surroundings(region)
    trimap = np.where(region[box], cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    if min(np.sum(region[box]), np.sum(~region[box])) < MIN_SEEDS:
        return region
    if on is not None:
        trimap[on[box]] = cv2.GC_FGD
    if off is not None:
        trimap[off[box]] = cv2.GC_BGD
    found = np.zeros_like(region)
    found[box] = grab_cut(picture[box], trimap, rounds=5)
    return found if found.sum() >= LEAST_OBJECT * region.sum() else region


def _surroundings(region: Mask) -> tuple[slice, slice]:
    """The bounding box of ``region`` [H, W] with some background about it."""
    return box_around(
        region, *(max(8, round(SURROUNDINGS * (np.ptp(places) + 1))) for places in np.nonzero(region))
    )


def grab_cut(picture: Picture, trimap: np.ndarray[tuple[int, int], np.dtype[np.uint8]], rounds: int) -> Mask:
    """The object of a ``trimap`` [h, w], whose probable pixels are decided in place."""
    # GrabCut starts its colour models from OpenCV's global generator; a fixed seed keeps runs repeatable.
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(np.ascontiguousarray(picture), trimap, None, *models, rounds, cv2.GC_INIT_WITH_MASK)
    return np.asarray((trimap == cv2.GC_FGD) | (trimap == cv2.GC_PR_FGD))
