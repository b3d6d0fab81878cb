"""What a user's mask has missed of the object, to the pixel: the alpha head says where it goes on, colour and edges where it ends.

A rim of the object that is left in the picture is seen at once, and patches carry it on into the hole; ground that goes with the
object is made again. So where much was missed, a little too much is taken.
"""

from __future__ import annotations

import cv2
import numpy as np

from osor_video.masks.snap import MIN_SEEDS, grab_cut
from osor_video.shapes import dilate, erode
from osor_video.tensors import FloatMap, Mask, Picture

CERTAIN = 3.0
"""Logit from which the head is believed against colour and edges."""
UNLIKELY = -7.0
"""Logit below which, away from what was found, they are not asked."""
NO_OBJECT = -4.0
"""Logit below which what is to go is an effect of the object."""
NEAR_PX, RIM_PX = 16, 6
"""How far beyond what was found they are asked, and how far in any case: the head's cells are coarse."""
ROUNDS = 2
THIN_PX, THICK_PX = 1, 3
"""Additions no wider than twice the first are specks; from twice the second on they are a part of the object."""
MORE_PX, MUCH_MORE_PX = 1, 4
"""How much wider additions become, and those that are a part of the object."""
MISSED_SHARE = 0.05
"""Of the mask's area; with less beyond it the mask is whole."""


def complete_mask(picture: Picture, mask: Mask, alpha: FloatMap, logit: FloatMap) -> Mask:
    """``mask`` [H, W] and what it lacks of its object on ``picture`` [H, W, 3].

    ``alpha`` and ``logit`` [H, W] are the head's logits for all that is to go, and for the object alone. GrabCut (Rother et al.,
    SIGGRAPH 2004) begins with mask and head: what is masked and found is object, what is found or masked probably so, and a
    shadow is not, however dark. The mask itself counts in full.
    """
    found = logit > 0
    if (found & ~mask).sum() <= MISSED_SHARE * mask.sum():
        return mask
    ours = mask | found
    asked = dilate(ours, RIM_PX) | (dilate(ours, NEAR_PX) & (logit > UNLIKELY))
    trimap = np.where(asked, cv2.GC_PR_BGD, cv2.GC_BGD).astype(np.uint8)
    trimap[(alpha > 0) & (logit < NO_OBJECT)] = cv2.GC_BGD
    trimap[ours] = cv2.GC_PR_FGD
    trimap[mask & found] = cv2.GC_FGD
    if min(np.sum(~asked), np.sum(ours)) < MIN_SEEDS:
        return ours
    added = (grab_cut(picture, trimap, ROUNDS) | (logit > CERTAIN)) & ~mask
    thin = dilate(erode(added, THIN_PX), THIN_PX + MORE_PX)
    return np.asarray(mask | thin | dilate(erode(added, THICK_PX), THICK_PX + MUCH_MORE_PX))
