"""What an object does to its surroundings: cast shadows, mirror images, contact darkening, light spill.

Everything is drawn from the object's silhouette, taken to be a thin board that stands upright on level ground.

Convention: maps are float32 [S, S] or [S, S, C] in [0, 1]; picture positions are (x, y) pixels, x right, y down.
Ground positions are (across, away) and heights go up from the foot, all in pixels as long as they are at the foot's
distance; a shadow's ``across`` and ``away`` are lengths per height. Matrices map homogeneous columns (x, y, 1).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import cv2
import numpy as np
import numpy.typing as npt

from osor_video.tensors import FloatMap
from osor_video.training.cutouts import Cutout, premultiplied

Matrix = npt.NDArray[np.float64]
FLATTEST_WALL_FALL = 0.15
"""Shadows that lead away less than this per height never reach the wall."""
NEAREST = 0.35
"""A shadow ends where the ground is this share of the foot's distance away: nothing lies behind the camera."""
WIDE_BLUR_PX = 5.0
STEPS = (0.0, 0.3, 1.0)
"""Shares of an object's height at which a shadow or a mirror image is blurred anew; between them it is blended."""


@dataclass(frozen=True)
class Patch:
    """A map of a part of the picture: ``values`` [h, w] or [h, w, C] begin at row ``top``, column ``left``."""

    top: int
    left: int
    values: FloatMap

    @property
    def where(self) -> tuple[slice, slice]:
        """The rows and columns of the picture that it covers."""
        height, width = self.values.shape[:2]
        return slice(self.top, self.top + height), slice(self.left, self.left + width)

    def of(self, values: FloatMap) -> Patch:
        """Other values at the same place."""
        return Patch(self.top, self.left, np.asarray(values, np.float32))


@dataclass(frozen=True)
class Ground:
    """Level ground up to the row ``horizon_px``, or to a wall that stands at the row ``wall_px``."""

    side_px: int
    horizon_px: float
    focal_px: float
    wall_px: float | None = None

    def visible(self) -> FloatMap:
        """Share of each pixel row that is ground [S, 1]."""
        end = self.horizon_px if self.wall_px is None else self.wall_px
        rows = np.arange(self.side_px, dtype=np.float32) + 0.5 - end
        return np.asarray(np.clip(rows, 0, 1)[:, None], np.float32)

    def depression(self) -> FloatMap:
        """Rows below the horizon over the focal length, at least 0 [S, 1]: how steeply a ray meets the ground."""
        rows = np.arange(self.side_px, dtype=np.float32) + 0.5 - self.horizon_px
        return np.asarray(np.maximum(rows, 0)[:, None] / self.focal_px, np.float32)


@dataclass(frozen=True)
class Placed:
    """An object at its size in the picture and the point where the middle of its lower edge stands."""

    cutout: Cutout
    foot: tuple[float, float]

    @property
    def height_px(self) -> int:
        """Rows of the cut-out."""
        return int(self.cutout.matte.shape[0])

    @property
    def width_px(self) -> int:
        """Columns of the cut-out."""
        return int(self.cutout.matte.shape[1])

    def upright(self) -> Matrix:
        """Cut-out pixels -> picture pixels [3, 3]."""
        left, top = self.foot[0] - self.width_px / 2, self.foot[1] - self.height_px
        return np.array([[1.0, 0, left], [0, 1.0, top], [0, 0, 1.0]])

    def mirrored(self) -> Matrix:
        """Cut-out pixels -> picture pixels of the mirror image in level ground [3, 3]."""
        left, bottom = self.foot[0] - self.width_px / 2, self.foot[1] + self.height_px
        return np.array([[1.0, 0, left], [0, -1.0, bottom], [0, 0, 1.0]])

    def board(self) -> Matrix:
        """Cut-out pixels -> (across, height, 1) of the board, from its foot [3, 3]."""
        return np.array([[1.0, 0, -self.width_px / 2], [0, -1.0, self.height_px], [0, 0, 1.0]])


@dataclass(frozen=True)
class Light:
    """One source: where shadows fall, how soft they are, and the share of each colour that they take."""

    across: float
    away: float
    softness: float
    """Blur of the shadow of the head over the object's height."""
    fade: float
    """Share of the shadow that is lost up to the head's."""
    share: FloatMap
    """[3]: what a full shadow takes from red, green and blue."""

    @classmethod
    def draw(cls, random: np.random.Generator, *, soft: bool, share: float) -> Self:
        """A source from anywhere above; ``soft`` as a window or a lamp with a shade, else the sun."""
        length = float(np.exp(random.uniform(np.log(0.55), np.log(1.7 if soft else 3.5))))
        angle = float(random.uniform(0, 2 * np.pi))
        softness = np.exp(random.uniform(*np.log([0.05, 0.22] if soft else [0.008, 0.06])))
        # The sky lights what the sun does not: a shadow in the sun loses less blue than red.
        sky = np.array([1.0, 0.95, 0.82]) if not soft else np.array([1.0, 1.0, 0.96])
        tint = 1 - (1 - sky) * float(random.uniform(0, 1.3))
        fade = float(random.uniform(0.2, 0.8) if soft else random.uniform(0.0, 0.35))
        across, away = length * float(np.cos(angle)), length * float(np.sin(angle))
        return cls(across, away, float(softness), fade, np.asarray(share * tint, np.float32))

    def crisp(self, random: np.random.Generator) -> Self:
        """The same source on a clear day: shadows with harder edges, and less light in them."""
        left = (1 - self.share) * float(random.uniform(0.2, 0.8))
        softness = self.softness * float(np.exp(random.uniform(np.log(0.05), np.log(0.6))))
        return replace(
            self,
            softness=softness,
            fade=self.fade * float(random.uniform(0, 1)),
            share=np.asarray(1 - left, np.float32),
        )


def spread(values: FloatMap) -> FloatMap:
    """The map [H, W] for each of three colours [H, W, 3]; many times faster than broadcasting over so few."""
    return np.asarray(cv2.merge([values] * 3))


def draw(values: FloatMap, matrix: Matrix, side_px: int, margin_px: float = 1.0) -> Patch:
    """Draw a cut-out's map [h, w] or [h, w, C] into a square picture, with an empty margin if there is room."""
    height, width = values.shape[:2]
    x, y, depth = matrix @ np.array([[0, width, 0, width], [0, 0, height, height], [1.0, 1, 1, 1]])
    top, bottom, left, right = 0, side_px, 0, side_px
    if depth.min() > 1e-3:
        margin = int(np.ceil(margin_px)) + 1
        top, bottom = _span(y / depth, margin, side_px)
        left, right = _span(x / depth, margin, side_px)
    moved = np.array([[1.0, 0, -left], [0, 1.0, -top], [0, 0, 1.0]]) @ matrix
    size_wh = (right - left, bottom - top)
    if not matrix[2, :2].any():
        drawn = cv2.warpAffine(values, moved[:2], size_wh)
    else:
        drawn = cv2.warpPerspective(values, moved, size_wh)
    return Patch(top, left, np.asarray(drawn, np.float32))


def _span(positions: Matrix, margin: int, side_px: int) -> tuple[int, int]:
    """First and last pixel but one of ``positions`` and their margin; at least one pixel."""
    first = int(np.clip(np.floor(positions.min()) - margin, 0, side_px - 1))
    return first, int(np.clip(np.ceil(positions.max()) + margin, first + 1, side_px))


def ground_homography(ground: Ground, foot: tuple[float, float]) -> Matrix:
    """(across, away, 1) on the ground, from the foot -> picture pixels [3, 3].

    At the foot's distance a pixel is a unit, so the camera is ``focal_px`` units away and a point ``away`` units
    behind the foot is seen at 1 / (1 + away / focal_px) of the size, that much nearer to the horizon.
    """
    middle, horizon, focal = ground.side_px / 2, ground.horizon_px, ground.focal_px
    return np.array([[1.0, middle / focal, foot[0]], [0, horizon / focal, foot[1]], [0, 1 / focal, 1.0]])


def turn_of(light: Light, placed: Placed) -> float:
    """Angle by which the board turns towards the light: a slim object has a shadow from all sides."""
    slim = max(0.0, 1 - placed.width_px / placed.height_px)
    facing = np.arctan2(-light.across, abs(light.away)) * (1.0 if light.away >= 0 else -1.0)
    return float(facing) * min(1.0, 1.2 * slim) * 0.8


def shadow_on_ground(ground: Ground, placed: Placed, light: Light, turn: float = 0.0) -> Matrix:
    """Cut-out pixels -> picture pixels of the shadow on the ground [3, 3]; the foot's line stays where it is.

    A point at the height t throws its shadow ``light.across`` t beside and ``light.away`` t behind the board.
    """
    fall = np.array([[np.cos(turn), light.across, 0], [np.sin(turn), light.away, 0], [0, 0, 1.0]])
    return np.asarray(ground_homography(ground, placed.foot) @ fall @ placed.board())


def shadow_on_wall(ground: Ground, placed: Placed, light: Light, turn: float = 0.0) -> Matrix:
    """Cut-out pixels -> picture pixels of the shadow on the wall [3, 3].

    The ray through a point at the height t has sunk by (wall - its own distance) / ``light.away`` when it arrives.
    """
    if ground.wall_px is None:
        raise ValueError("shadow_on_wall wants a ground with a wall; wall_px is None")
    camera = placed.foot[1] - ground.horizon_px
    scale = (ground.wall_px - ground.horizon_px) / camera
    distance = (1 / scale - 1) * ground.focal_px
    sunk = np.array([-np.sin(turn) / light.away, 0, distance / light.away])
    across = np.array([np.cos(turn), 0, 0]) + light.across * sunk
    height = np.array([0, 1.0, 0]) - sunk
    middle = ground.side_px / 2
    x = scale * across + [0, 0, middle + scale * (placed.foot[0] - middle)]
    y = -scale * height + [0, 0, ground.wall_px]
    return np.asarray(np.vstack([x, y, [0, 0, 1.0]]) @ placed.board())


def cast_shadow(ground: Ground, placed: Placed, light: Light) -> list[Patch]:
    """How much of ``light`` the object keeps from the ground, and from the wall if the shadow gets there.

    The penumbra grows with the height of what casts it.
    """
    light = _kept_before_camera(ground, placed, light)
    turn = turn_of(light, placed)
    lay = shadow_on_ground(ground, placed, light, turn)
    widest_px = light.softness * placed.height_px
    flat = draw(placed.cutout.matte, lay, ground.side_px, 2.5 * widest_px)
    height = _height_of(lay, placed, flat)
    visible = ground.visible()[flat.where[0]]
    blurred = _blurred_by_height(flat.values * visible, height, widest_px, 0.35)
    patches = [flat.of(blurred * (1 - light.fade * height) * visible)]
    if ground.wall_px is not None and light.away > FLATTEST_WALL_FALL and ground.wall_px < placed.foot[1] - 1:
        up = draw(
            placed.cutout.matte, shadow_on_wall(ground, placed, light, turn), ground.side_px, 2 * widest_px
        )
        soft = soften(up.values, 0.5 + 0.7 * widest_px) * (1 - 0.6 * light.fade)
        patches.append(up.of(soft * (1 - ground.visible()[up.where[0]])))
    return patches


def _kept_before_camera(ground: Ground, placed: Placed, light: Light) -> Light:
    """A shadow so long that it would pass under the camera is turned up to end before it."""
    shortest = -(1 - NEAREST) * ground.focal_px / placed.height_px
    if light.away >= shortest:
        return light
    return Light(light.across, shortest, light.softness, light.fade, light.share)


def _height_of(lay: Matrix, placed: Placed, patch: Patch) -> FloatMap:
    """Height of the board's point whose shadow a pixel is, over the object's height, in [0, 1] [h, w]."""
    back = np.linalg.inv(lay)
    rows, depths = (placed.board()[1] @ back).astype(np.float32), back[2].astype(np.float32)
    height, width = patch.values.shape[:2]
    y = np.arange(patch.top, patch.top + height, dtype=np.float32)[:, None]
    x = np.arange(patch.left, patch.left + width, dtype=np.float32)[None]
    depth = depths[0] * x + (depths[1] * y + depths[2])
    above = rows[0] * x + (rows[1] * y + rows[2])
    heights = above / np.where(np.abs(depth) < 1e-6, 1e-6, depth) / placed.height_px
    return np.asarray(np.clip(heights, 0, 1), np.float32)


def soften(values: FloatMap, sigma_px: float) -> FloatMap:
    """Gaussian blur [H, W] or [H, W, C]; a wide one is made at a quarter of the size, where it costs little."""
    height, width = values.shape[:2]
    if sigma_px < WIDE_BLUR_PX or min(height, width) < 16:
        return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma_px), np.float32)
    small = cv2.resize(values, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(
        small, (0, 0), sigmaX=sigma_px * (width // 4) / width, sigmaY=sigma_px * (height // 4) / height
    )
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _blurred_by_height(drawn: FloatMap, height: FloatMap, widest_px: float, sharpest_px: float) -> FloatMap:
    """Blur from ``sharpest_px`` at the foot to ``widest_px`` at the full height."""
    if widest_px < 2 * sharpest_px:
        return np.asarray(cv2.GaussianBlur(drawn, (0, 0), sharpest_px + 0.3), np.float32)
    levels = [soften(drawn, sharpest_px + step * widest_px) for step in STEPS]
    low = np.clip(height / STEPS[1], 0, 1)
    high = np.clip((height - STEPS[1]) / (1 - STEPS[1]), 0, 1)
    if drawn.ndim == 3:
        low, high = (cv2.merge([np.broadcast_to(part, drawn.shape[:2])] * 4) for part in (low, high))
    levels[0] += (levels[1] - levels[0]) * low
    levels[0] += (levels[2] - levels[0]) * high
    return np.asarray(levels[0], np.float32)


def contact_shadow(ground: Ground, placed: Placed, reach: float) -> Patch:
    """Ground light that the object's lowest part keeps away; ``reach`` is the blur over its height."""
    low = placed.cutout.matte[-max(2, placed.height_px // 8) :].max(axis=0, keepdims=True)
    wide_px = 0.5 + reach * placed.height_px
    squash = float(np.clip((placed.foot[1] - ground.horizon_px) / ground.focal_px, 0.1, 0.6))
    flat_px = 0.5 + wide_px * squash
    left, top = placed.foot[0] - placed.width_px / 2, placed.foot[1] - flat_px
    lay = np.array([[1.0, 0, left], [0, 2 * flat_px / 3, top], [0, 0, 1.0]])
    spot = draw(np.repeat(low, 3, axis=0), lay, ground.side_px, 3 * wide_px)
    blurred = cv2.GaussianBlur(spot.values, (0, 0), sigmaX=wide_px, sigmaY=flat_px)
    return spot.of(np.minimum(1.5 * blurred, 1) * ground.visible()[spot.where[0]])


def light_spill(ground: Ground, placed: Placed, strength: float) -> Patch:
    """Coloured light that a bright object throws on the ground round its foot [h, w, 3], as a gain less 1."""
    matte = placed.cutout.matte[..., None]
    colour = (placed.cutout.colour * matte).sum((0, 1)) / max(float(matte.sum()), 1.0)
    glow = contact_shadow(ground, placed, 0.25)
    return glow.of(glow.values[..., None] * (strength * colour * colour.max()))


@dataclass(frozen=True)
class Mirror:
    """How the ground mirrors: ``strength`` [S, S], the blur of the mirrored head, and the water's shift [S, S]."""

    strength: FloatMap
    blur: float
    ripple: FloatMap | None

    def image_of(self, ground: Ground, placed: Placed) -> Patch:
        """The object's mirror image: premultiplied colour and matte [h, w, 4], farther up more blurred."""
        blur_px = self.blur * placed.height_px
        image = draw(premultiplied(placed.cutout), placed.mirrored(), ground.side_px, 2.5 * blur_px)
        rows = np.arange(image.values.shape[0], dtype=np.float32)[:, None] + image.top - placed.foot[1]
        height = np.clip(rows / placed.height_px, 0, 1).astype(np.float32)
        drawn = image.values
        if self.ripple is not None:
            y, x = np.indices(drawn.shape[:2], np.float32)
            # Water is calm at the foot: the image there lies where it must.
            shift = self.ripple[image.where] * np.minimum(height * 4, 1)
            drawn = cv2.remap(drawn, x + shift, y + 1.5 * shift, cv2.INTER_LINEAR)
        return image.of(_blurred_by_height(drawn, height, blur_px, 0.3))


def fresnel(ground: Ground, straight: float) -> FloatMap:
    """Mirrored share by Schlick's approximation [S, 1]: ``straight`` for a look straight down, 1 at the horizon."""
    depression = ground.depression()
    cosine = depression / np.sqrt(1 + depression**2)
    return np.asarray((straight + (1 - straight) * (1 - cosine) ** 5) * ground.visible(), np.float32)


def ripple(ground: Ground, height_px: float, random: np.random.Generator) -> FloatMap:
    """Sideways shift of what the water mirrors, in pixels [S, S]: waves, shorter towards the horizon."""
    y, x = np.indices((ground.side_px, ground.side_px), np.float32)
    near = np.maximum(y - ground.horizon_px, 1.0)
    depth = ground.focal_px / near
    shift = np.zeros_like(near)
    for _ in range(3):
        rate, drift = float(random.uniform(8, 40)), float(random.normal(0, 0.4))
        phase = rate * (depth + drift * depth * (x / ground.side_px - 0.5)) + float(random.uniform(0, 6.3))
        shift += np.sin(phase)
    swing = height_px * float(random.uniform(0.006, 0.03))
    return np.asarray(shift * swing * np.clip(near / (0.3 * ground.side_px), 0.2, 1), np.float32)
