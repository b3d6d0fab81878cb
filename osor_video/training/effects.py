"""What an object does to its surroundings: a cast shadow and a mirror reflection, drawn from its silhouette.

Convention: maps are float32 [S, S] or [S, S, 3] in [0, 1]; affine matrices are 2x3 and map cut-out pixels
(x, y) to picture pixels; ``foot`` is the picture position (x, y) where the object meets the ground.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from osor_video.tensors import FloatMap
from osor_video.training.cutouts import Cutout

Affine = npt.NDArray[np.float64]
DARKNESS = (0.25, 0.75)


@dataclass(frozen=True)
class Placed:
    """An object and where it stands in the picture."""

    cutout: Cutout
    matrix: Affine
    foot: tuple[float, float]
    height_px: float
    width_px: float


def warp(values: FloatMap, matrix: Affine, side_px: int) -> FloatMap:
    """Draw a cut-out's map into a square picture; zero outside."""
    drawn = cv2.warpAffine(values, matrix, (side_px, side_px), flags=cv2.INTER_LINEAR)
    return np.asarray(drawn, dtype=np.float32)


def ground_affine(matrix: Affine, foot: tuple[float, float], shear: float, rise: float) -> Affine:
    """Lay an object down: a point at height t above the foot goes to (x + shear t, foot_y - rise t).

    ``rise`` < 0 falls towards the viewer, > 0 away; -1 with no shear is the mirror image in the ground.
    """
    lay = np.array([[1.0, -shear, shear * foot[1]], [0.0, rise, (1 - rise) * foot[1]], [0.0, 0.0, 1.0]])
    return np.asarray((lay @ np.vstack([matrix, [0, 0, 1]]))[:2])


def _distance(side_px: int, foot: tuple[float, float], reach_px: float) -> FloatMap:
    y, x = np.mgrid[:side_px, :side_px].astype(np.float32)
    return np.asarray(np.clip(np.hypot(x - foot[0], y - foot[1]) / max(reach_px, 1.0), 0, 1), np.float32)


def cast_shadow(placed: Placed, side_px: int, random: np.random.Generator) -> FloatMap:
    """Share of the light that the shadow takes away [S, S, 3]; softer far from the foot."""
    foot, height_px = placed.foot, placed.height_px
    shear = float(random.uniform(-1.6, 1.6))
    rise = float(random.choice([-1, 1])) * float(random.uniform(0.05, 0.5))
    hard = warp(placed.cutout.matte, ground_affine(placed.matrix, foot, shear, rise), side_px)
    softness = float(random.uniform(0.005, 0.08)) * height_px
    far = _distance(side_px, foot, height_px * float(np.hypot(shear, rise)))
    near_blur = cv2.GaussianBlur(hard, (0, 0), 0.5 + 0.2 * softness)
    far_blur = cv2.GaussianBlur(hard, (0, 0), 0.8 + softness)
    shadow = (near_blur + (far_blur - near_blur) * far) * (1 - float(random.uniform(0, 0.6)) * far)
    tint = 1 - np.array([0.0, 0.04, 0.12]) * random.random()
    return np.asarray(shadow[..., None] * float(random.uniform(*DARKNESS)) * tint, np.float32)


def contact_shadow(placed: Placed, side_px: int, random: np.random.Generator) -> FloatMap:
    """A soft dark patch under the foot, as under an overcast sky [S, S, 3]."""
    y, x = np.mgrid[:side_px, :side_px].astype(np.float32)
    wide = placed.width_px * float(random.uniform(0.25, 0.5)) + 1
    flat = wide * float(random.uniform(0.12, 0.35))
    spot = np.exp(-(((x - placed.foot[0]) / wide) ** 2) - ((y - placed.foot[1]) / flat) ** 2)
    return np.repeat((spot * float(random.uniform(0.2, 0.6))).astype(np.float32)[..., None], 3, axis=2)


def reflection(placed: Placed, side_px: int, random: np.random.Generator) -> tuple[FloatMap, FloatMap]:
    """(colour premultiplied [S, S, 3], strength [S, S, 1]) of the faded mirror image below the foot."""
    colour, matte, height_px = placed.cutout.colour, placed.cutout.matte, placed.height_px
    mirrored = ground_affine(placed.matrix, placed.foot, 0.0, -float(random.uniform(0.8, 1.05)))
    drawn = warp(np.dstack([colour * matte[..., None], matte]), mirrored, side_px)
    if random.random() < 0.4:
        drawn = _ripple(drawn, height_px, random)
    drawn = cv2.GaussianBlur(drawn, (0, 0), 0.4 + float(random.uniform(0, 0.03)) * height_px)
    y = np.arange(side_px, dtype=np.float32)[:, None, None]
    fade = np.exp(-np.clip(y - placed.foot[1], 0, None) / (height_px * float(random.uniform(0.4, 2.5))))
    strength = fade * float(random.uniform(0.2, 0.7))
    return np.asarray(drawn[..., :3] * strength, np.float32), np.asarray(
        drawn[..., 3:] * strength, np.float32
    )


def _ripple(drawn: FloatMap, height_px: float, random: np.random.Generator) -> FloatMap:
    side = drawn.shape[0]
    y, x = np.mgrid[:side, :side].astype(np.float32)
    wave = height_px * float(random.uniform(0.01, 0.04))
    length = height_px * float(random.uniform(0.04, 0.2)) + 2
    moved = (x + wave * np.sin(y * (2 * np.pi / length))).astype(np.float32)
    return np.asarray(cv2.remap(drawn, moved, y, cv2.INTER_LINEAR), np.float32)
