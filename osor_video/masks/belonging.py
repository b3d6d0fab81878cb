"""What, of all that looks like the object, is the object: it holds together, keeps its size and was there a moment ago.

The refiner says what is like the object; a sign of its colour is, and another person in dark clothes. Parts that neither the
flow nor the last frames know are left out, and so is what stands far from the rest. Where what is found is larger than the
object has been of late, by more than it comes nearer, only what was the object a moment ago is kept; and an object that went
out of sight is not taken for what stood beside it. (Things that distract, known by where they were: Zhu et al., ECCV 2018.)
"""

from __future__ import annotations

from collections import deque
from typing import Any

import cv2
import numpy as np
import torch

from osor_video.flow.estimate import FlowPair
from osor_video.flow.warp import warp
from osor_video.masks.growth import nearer
from osor_video.tensors import FloatMap, Mask, resize_flow

RECENT_FRAMES = 25
"""Frames in which the object has shown how large it is."""
MOST_GROWTH = 1.15
"""Ratio of an area to the largest of these frames from which something else must be in it. Over whole sequences of
DAVIS 2016 the true masks stay below 1.12, scale apart."""
MOST_NEARER = 1.3
"""Growth by coming nearer, of one frame, that the flow is believed at most."""
KNOWN = 0.3
"""Share of a part that must have been the object a moment ago, if it is not the main part."""
KEPT = 0.4
"""Support from which a pixel is kept where growth is refused."""
LEAST_LEFT = 0.05
"""Of the object, what must be left of it, or it is lost: what hides it is taken for it otherwise."""
GAP = 0.75
"""How far from the main part another may lie, over the object's side."""
NEW_SHARE = 0.02
"""What a pixel that nobody knows is worth in the choice of the main part."""
OTHER = 0.5


class Belonging:
    """Watches over one object's size and place along a clip."""

    def __init__(self) -> None:
        self._areas: deque[float] = deque(maxlen=RECENT_FRAMES)
        self._others: FloatMap | None = None

    def start(self, mask: Mask) -> None:
        """Begin with a mask [H, W] that is the user's."""
        self._areas.clear()
        self._areas.append(float(mask.sum()))
        self._others = None

    def choose(
        self, found: FloatMap, last: FloatMap, recalled: FloatMap, flow: FlowPair
    ) -> tuple[FloatMap, float]:
        """Of ``found`` [H, W] what is the object, and how much of it that is, in [0, 1]; less than 1 where growth was refused.

        Next to nothing of the object is none of it: it is lost then.
        ``last`` [H, W] is the object in the frame before, ``recalled`` [H, W] what matching with the last frames says.
        """
        carried = _carried(last, flow)
        most = MOST_GROWTH * min(max(nearer(carried, flow), 1), MOST_NEARER) * max(self._areas)
        own = _parts(found, np.maximum(carried, recalled), most)
        area = left = float((own > 0.5).sum())
        if area > most:
            own = np.where(carried + recalled > 2 * KEPT, own, 0).astype(np.float32)
            left = float((own > 0.5).sum())
        self._others = ((found > 0.5) & (own <= 0.5)).astype(np.float32)
        if left < LEAST_LEFT * max(self._areas):
            return np.zeros_like(own), 0.0
        self._areas.append(left)
        return own, left / area

    def find(self, found: FloatMap, flow: FlowPair | None) -> FloatMap:
        """Of ``found`` [H, W] the one part that may be the object come back: the likeliest that is not too large.

        What stood beside the object when it was lost is something else; ``flow`` says where that is now, None after a cut.
        """
        if flow is None or self._others is None:
            self._others = None
        else:
            self._others = _carried(self._others, flow)
            found = np.where(self._others > OTHER, 0, found).astype(np.float32)
        count, parts = cv2.connectedComponents((found > 0.5).astype(np.uint8))
        amounts = np.bincount(parts.ravel(), weights=found.ravel(), minlength=count)
        if flow is not None:
            amounts[np.bincount(parts.ravel(), minlength=count) > MOST_GROWTH * max(self._areas)] = 0
        amounts[0] = 0
        return np.where(parts == int(np.argmax(amounts)), found * (amounts.max() > 0), 0).astype(np.float32)

    @property
    def state(self) -> dict[str, Any]:
        """What was seen; may be set again."""
        return {
            "areas": list(self._areas),
            "others": None if self._others is None else torch.from_numpy(self._others.copy()),
        }

    @state.setter
    def state(self, state: dict[str, Any]) -> None:
        self._areas = deque(state["areas"], maxlen=RECENT_FRAMES)
        self._others = None if state["others"] is None else state["others"].numpy()


def _carried(last: FloatMap, flow: FlowPair) -> FloatMap:
    """``last`` [H, W] brought to the next frame through ``flow`` of another size."""
    fine = resize_flow(flow.backward, (last.shape[0], last.shape[1]))
    return np.asarray(warp(torch.from_numpy(last)[None, None], fine)[0, 0].numpy())


def _parts(found: FloatMap, known: FloatMap, most: float) -> FloatMap:
    """``found`` [H, W] without the parts that nobody knows or that lie far from the main one."""
    count, parts = cv2.connectedComponents((found > 0.5).astype(np.uint8))
    if count <= 2:
        return found
    areas, support = (
        np.bincount(parts.ravel(), weights=values.ravel(), minlength=count)
        for values in ((found > 0.5).astype(np.float32), known)
    )
    # A part larger than the object has ever been is not the object as a whole.
    worth = (support + NEW_SHARE * areas) * np.minimum(1, most / np.maximum(areas, 1)) ** 2
    main = 1 + int(np.argmax(worth[1:]))
    away = cv2.distanceTransform((parts != main).astype(np.uint8), cv2.DIST_L2, 3)
    near = np.zeros(count, dtype=bool)
    near[np.unique(parts[away < GAP * np.sqrt(most)])] = True
    kept = near & (support > KNOWN * areas)
    kept[main] = kept[0] = True
    return np.where(kept[parts], found, 0).astype(np.float32)
