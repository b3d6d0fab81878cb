"""Shadow and reflection, as the plate gives them away: where the frame differs from it, joined to the object.

After OSOR's SAVP (arXiv 2606.28094, section 3.1), which finds effects in before/after pairs; here the plate is the "after".
"""

from __future__ import annotations

import cv2
import numpy as np

from osor_video.background.recover import Plate, margin_px
from osor_video.background.register import Box
from osor_video.config import EffectsConfig
from osor_video.shapes import dilate, disc, touching
from osor_video.tensors import FloatMap, Mask, Picture, channel_sum

LOG_FLOOR = 0.03
"""Added to luminance before the logarithm: noise in the dark is no effect."""
BLUR_PX = 1.5
"""Frame and plate are compared after this blur: their grain differs."""
MISSED_SHARE = 0.15
"""Pieces at the hole's rim up to this share of the hole are the object's; larger ones are another thing."""
UNUSUAL = 4.0
"""How many times the usual difference of frame and plate an effect's has to be."""
REACH_PX = 3
"""Distance from the hole at which something still touches it."""
SURE_PLATE = 0.3
"""Plate confidence below which a difference says nothing."""
MODEL_ALPHA = {"auto": 0.5, "strong": 0.3}
"""The model's alpha counts from here, and where it touches the hole: its weaker guesses are not worth a changed pixel."""
RIM_PX = 4
LEAVING_PX = 16
"""Pixels of an effect within ``RIM_PX`` of a side of the plate from which it is taken to go on beyond that side."""
FADED_SHARE = 1 / 24
"""Width along a side of plate or crop in which an effect that goes on beyond it fades, over the picture's height."""
STRONG_THRESHOLD = 0.6
"""Of the usual threshold, where faint effects are wanted too."""
STRONG_MARGIN = 1.0
"""Surroundings in which they are looked for, as a share of the hole's longer side."""


def find_effects(picture: Picture, plate: Plate, hole: Mask, config: EffectsConfig) -> FloatMap:
    """Alpha [H, W] of what the object casts: 1 in the effect, soft at its edge, 0 elsewhere.

    A pixel belongs to an effect when its luminance differs from the plate's by more than ``threshold`` in the
    logarithm while its hue stays near the plate's, in a region that touches the hole. What differs in hue as well, or
    is as dark as black clothes, is another thing and stays, unless it is a small piece at the hole's rim: then it is a
    piece of the object that the mask has missed. Where the plate ends before the frame does an effect ends softly.
    """
    return faded(_found(picture, plate, hole, config), plate.box)


def _found(picture: Picture, plate: Plate, hole: Mask, config: EffectsConfig) -> FloatMap:
    """What ``find_effects`` finds, up to the sides of the plate."""
    top, left, bottom, right = plate.box
    inner = hole[top:bottom, left:right]
    shown = cv2.GaussianBlur(picture[top:bottom, left:right].astype(np.float32) / 255, (0, 0), BLUR_PX)
    expected = cv2.GaussianBlur(plate.rgb, (0, 0), BLUR_PX)
    sure = (plate.confidence > SURE_PLATE) & ~inner
    change = _log_luminance(shown) - _log_luminance(expected)
    foreign = sure & (
        (_hue_distance(shown, expected) > config.hue) | (change > config.brighter) | (change < -config.darker)
    )
    near = dilate(inner, REACH_PX)
    missed = _pieces_at(foreign, near, MISSED_SHARE * float(inner.sum()))
    other_thing = dilate(foreign & ~missed, 1)
    size = np.abs(change)
    # Where frame and plate differ everywhere (water, motion blur, a plate out of place) only more than that says anything.
    usual = float(np.median(size[sure])) if sure.any() else 0.0
    threshold = config.threshold * (STRONG_THRESHOLD if config.find == "strong" else 1)
    low = sure & (size > max(threshold, UNUSUAL * usual)) & ~other_thing
    region = touching(_clean(low | missed, hole.shape[0]) | missed, near)
    alpha = np.zeros(hole.shape, np.float32)
    soft = cv2.GaussianBlur(dilate(region, 2).astype(np.float32), (0, 0), 1.0)
    alpha[top:bottom, left:right] = np.where(sure & ~other_thing, soft, 0)
    return alpha


def box_of_effects(picture: Picture, hole: Mask, config: EffectsConfig, margin: float, plate: Plate) -> Box:
    """The box of ``plate``, wider by ``margin`` times the hole's longer side wherever an effect leaves it.

    A reflection is as long as what it mirrors, a shadow in the evening longer.
    """
    top, left, bottom, right = plate.box
    found = _found(picture, plate, hole, config)[top:bottom, left:right] > 0.5
    reach = margin_px(hole, margin)
    sides = (found[:RIM_PX], found[:, :RIM_PX], found[-RIM_PX:], found[:, -RIM_PX:])
    up, back, down, on = (reach if np.count_nonzero(side) >= LEAVING_PX else 0 for side in sides)
    height, width = hole.shape
    return max(top - up, 0), max(left - back, 0), min(bottom + down, height), min(right + on, width)


def faded(alpha: FloatMap, box: Box) -> FloatMap:
    """``alpha`` [H, W] that ends softly where ``box``, the plate or the model's crop, ends before the picture does:

    a straight edge is seen.
    """
    height, width = alpha.shape
    reach = max(1, round(FADED_SHARE * height))
    shares = []
    for first, last, length in ((box[0], box[2], height), (box[1], box[3], width)):
        places = np.arange(length)
        share = np.ones(length, np.float32)
        if first > 0:
            share = np.minimum(share, (places - first + 0.5) / reach)
        if last < length:
            share = np.minimum(share, (last - places - 0.5) / reach)
        shares.append(np.clip(share, 0, 1))
    return np.asarray(alpha * np.minimum(shares[0][:, None], shares[1]), np.float32)


def join_effects(
    hole: Mask,
    seen: FloatMap | None,
    model: FloatMap | None,
    config: EffectsConfig,
    box: Box | None = None,
) -> FloatMap:
    """Alpha [H, W] of all effects outside the ``hole``: what the plate gave away joined with the model's alpha.

    Of the model's alpha, which saw ``box`` or all of the frame, only what touches the hole and exceeds a limit is taken. All is 0
    where effects are off.
    """
    alpha = np.zeros(hole.shape, np.float32)
    if config.find == "off":
        return alpha
    if seen is not None:
        alpha = np.maximum(alpha, seen)
    if model is not None:
        model = model if box is None else faded(model, box)
        alpha = np.maximum(
            alpha, np.where(touching((model > MODEL_ALPHA[config.find]) | hole, hole), model, 0)
        )
    return np.where(hole, 0, alpha).astype(np.float32)


def searched_margin(margin: float, config: EffectsConfig) -> float:
    """Surroundings of the hole whose background is to be known, as a share of its longer side."""
    return max(margin, STRONG_MARGIN) if config.find == "strong" else margin


def _hue_distance(a: FloatMap, b: FloatMap) -> FloatMap:
    """Distance of normalised colours [h, w, 3]; dark pixels have none."""
    floor = np.float32(3 * LOG_FLOOR)
    normal = [side / (channel_sum(side) + floor)[..., None] for side in (a, b)]
    return channel_sum(cv2.absdiff(*normal))


def _pieces_at(region: Mask, near: Mask, largest: float) -> Mask:
    """The parts of ``region`` no larger than ``largest`` px that reach into ``near``."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8))
    small = stats[:, cv2.CC_STAT_AREA] <= largest
    small[0] = False
    return touching(np.asarray(small[labels]), near)


def _log_luminance(rgb: FloatMap) -> FloatMap:
    """Log of Rec. 709 luma of [h, w, 3] in [0, 1]."""
    return np.asarray(np.log(rgb @ np.array([0.2126, 0.7152, 0.0722], np.float32) + LOG_FLOOR))


def _clean(region: Mask, height: int) -> Mask:
    """Opened, then closed: specks go, gaps in a shadow fill."""
    radius = max(1, round(height / 320))
    opened = cv2.morphologyEx(region.astype(np.uint8), cv2.MORPH_OPEN, disc(radius))
    return np.asarray(cv2.morphologyEx(opened, cv2.MORPH_CLOSE, disc(2 * radius)) > 0)
