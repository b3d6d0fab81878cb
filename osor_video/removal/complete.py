"""Where in a user's mask, and beyond it, the object ends, to the pixel: the alpha head says roughly, colour and edges exactly.

A rim of the object that is left in the picture is seen at once, and patches carry it on into the hole; ground that goes with the
object is made again. So where much was missed, a little too much is taken.

Of a small thing the head's cells hold too much, and its limbs are as thin as specks: it is looked at again, twice as large.

What a mask has beside the object is made anew as well, in case the head is wrong. But the ground next to the object says most
about what it hides, so it is told apart, to be seen while that is filled.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from osor_video.masks.snap import MIN_SEEDS, grab_cut
from osor_video.removal.crop import bounding_box
from osor_video.shapes import box_around, dilate, erode, touching
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
"""Of the mask's area; with less beyond it, and nowhere a thick part, the mask is whole."""
SMALL_PX = 96
"""Longer side of what is small."""
CLOSER, AROUND, STEP_PX = 2, 1.6, 32
"""How much it is enlarged, with how much around it in parts of its side, and the step of the side of that."""
COVERED = 0.3
"""Share of a pixel that belongs to the object, from which it is taken."""
LIKELY = 1.0
"""Logit from which a place inside a mask is the object's until colour and edges say otherwise; below it is ground until then."""
LEAST_FOUND = 0.1
"""Of the mask, what the head takes for the object at least where it knows what is meant."""
NEARBY_PX = 32
"""How much around the mask tells of the ground's colours."""


Closer = Callable[[Picture, Mask], FloatMap]
"""The head's logit for the object [h, w] on a picture [h, w, 3], sides in multiples of ``2 * STEP_PX``, with a mask [h, w]."""


def complete_mask(
    picture: Picture, mask: Mask, alpha: FloatMap, logit: FloatMap, closer: Closer | None = None
) -> Mask:
    """``mask`` [H, W] and what it lacks of its object on ``picture`` [H, W, 3], sides in multiples of ``STEP_PX``.

    ``alpha`` and ``logit`` [H, W] are the head's logits for all that is to go, and for the object alone; where something is missing
    of a small thing, ``closer`` is asked about that, enlarged. The mask itself counts in full.
    """
    found = logit > 0
    missed = found & ~mask
    if missed.sum() <= MISSED_SHARE * mask.sum() and not erode(missed, THICK_PX).any():
        return mask
    area = None if closer is None else _surroundings(mask | touching(found, mask))
    if closer is None or area is None:
        return _completed(picture, mask, alpha, logit)
    size_wh = CLOSER * picture[area].shape[1], CLOSER * picture[area].shape[0]
    large = cv2.resize(picture[area], size_wh, interpolation=cv2.INTER_CUBIC)
    large_mask = cv2.resize(mask[area].astype(np.uint8), size_wh, interpolation=cv2.INTER_NEAREST) > 0
    alpha, logit = (
        cv2.resize(values[area], size_wh, interpolation=cv2.INTER_LINEAR) for values in (alpha, logit)
    )
    whole = _completed(large, large_mask, alpha, np.maximum(logit, closer(large, large_mask)))
    completed = mask.copy()
    shares = cv2.resize(whole.astype(np.float32), picture[area].shape[1::-1], interpolation=cv2.INTER_AREA)
    completed[area] |= shares > COVERED
    return completed


def _surroundings(thing: Mask) -> tuple[slice, slice] | None:
    """A square around a small ``thing`` [H, W], or what of it fits; None for a large one, or none."""
    box = bounding_box(thing)
    if box is None:
        return None
    top, left, bottom, right = box
    longest = max(bottom - top, right - left)
    if longest > SMALL_PX:
        return None
    side = -(-max(round(AROUND * longest), 2 * STEP_PX) // STEP_PX) * STEP_PX
    starts = [
        min(max((first + end - side) // 2, 0), max(length - side, 0))
        for first, end, length in zip((top, left), (bottom, right), thing.shape, strict=True)
    ]
    return slice(starts[0], starts[0] + side), slice(starts[1], starts[1] + side)


def _completed(picture: Picture, mask: Mask, alpha: FloatMap, logit: FloatMap) -> Mask:
    """GrabCut (Rother et al., SIGGRAPH 2004) that begins with mask and head.

    What is masked and found is object, what is found or masked probably so, and a shadow is not, however dark.
    """
    found = logit > 0
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


def ground_beside(picture: Picture, mask: Mask, logit: FloatMap) -> Mask:
    """What of a ``mask`` [H, W] is no object on ``picture`` [H, W, 3], by the head's ``logit`` [H, W] for that and GrabCut.

    A shadow counts as ground. Nothing where the head hardly finds an object there.
    """
    beside = np.zeros_like(mask)
    if np.sum(mask & (logit > 0)) < LEAST_FOUND * mask.sum():
        return beside
    trimap = np.where(mask, cv2.GC_PR_BGD, cv2.GC_BGD).astype(np.uint8)
    trimap[mask & (logit > LIKELY)] = cv2.GC_PR_FGD
    trimap[mask & (logit > CERTAIN)] = cv2.GC_FGD
    if min(np.sum(trimap == cv2.GC_FGD), np.sum(~mask)) < MIN_SEEDS:
        return beside
    box = box_around(mask, NEARBY_PX)
    ground = mask[box] & ~grab_cut(picture[box], trimap[box], ROUNDS)
    beside[box] = dilate(erode(ground, THIN_PX), THIN_PX)
    return beside
