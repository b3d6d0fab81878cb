"""A small world whose truth is known: a textured wall, a panning camera, an object that casts a shadow."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from osor_video.background.camera import Homography
from osor_video.background.register import ShotFrame
from osor_video.flow.complete import homography_flow
from osor_video.masks.track import hole
from osor_video.tensors import FloatMap, Mask, Picture, to_uint8

SIZE_HW = (128, 192)
FRAMES = 14
SHADOW = 0.45
"""Share of the light that the shadow takes where it is darkest."""
PAN_XY = (2.3, 0.35)
"""Pixels that the camera moves over the wall from frame to frame."""
GROW = 0.016


@dataclass(frozen=True)
class World:
    """Frames with their truth, all lists over time.

    ``cameras`` map the first frame to each one; ``flow_back[t]`` [H, W, 2] lives on t and points to t - 1
    (zeros for t = 0).
    ``effects`` are the pixels outside the object that its shadow darkens by more than a tenth.
    """

    frames: list[Picture] = field(default_factory=list)
    masks: list[Mask] = field(default_factory=list)
    effects: list[Mask] = field(default_factory=list)
    plates: list[Picture] = field(default_factory=list)
    cameras: list[Homography] = field(default_factory=list)
    flow_back: list[FloatMap] = field(default_factory=list)

    def shot(self) -> list[ShotFrame]:
        """The frames as the background stage sees them, with the true masks and cameras."""
        return [
            ShotFrame(index, frame, hole(mask, GROW), camera)
            for index, (frame, mask, camera) in enumerate(
                zip(self.frames, self.masks, self.cameras, strict=True)
            )
        ]


def make_world(
    frames: int = FRAMES,
    *,
    seed: int = 0,
    walk_px: float = 6.0,
    pan_xy: tuple[float, float] = PAN_XY,
    shadow: float = SHADOW,
    shadow_px: float = 15,
    stranger: bool = False,
) -> World:
    """Render a world; ``walk_px`` is the object's step over the wall, a ``stranger`` another moving thing.

    ``shadow_px`` is half the shadow's length.
    """
    wall = texture((SIZE_HW[0] + 40, SIZE_HW[1] + 140), seed)
    skin = np.clip(texture((64, 64), seed + 1) * np.array([0.9, 0.35, 0.25]) + [0.25, 0, 0.05], 0, 1)
    world = World()
    for time in range(frames):
        camera = np.array([[1, 0, -pan_xy[0] * time], [0, 1, -pan_xy[1] * time], [0, 0, 1]], np.float64)
        plate = _view(wall, camera)
        if stranger:
            coat = _ellipse(camera, (150 - 1.5 * time, 30), (9, 14))
            plate = plate * (1 - coat[..., None]) + coat[..., None] * np.array([0.1, 0.2, 0.75])
        feet = 50 + walk_px * time, 96.0
        alpha = _ellipse(camera, (feet[0], feet[1] - 24), (11, 25))
        shade = cv2.GaussianBlur(
            _ellipse(camera, (feet[0] + shadow_px - 1, feet[1] + 2), (shadow_px, 6)), (0, 0), 1.0
        )
        moved = camera @ np.array([[1, 0, feet[0] - 32], [0, 1, feet[1] - 56], [0, 0, 1.0]])
        body = cv2.warpPerspective(
            skin, moved, SIZE_HW[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
        )
        lit = plate * (1 - shadow * shade[..., None])
        world.frames.append(to_uint8(lit * (1 - alpha[..., None]) + body * alpha[..., None]))
        world.plates.append(to_uint8(plate))
        world.masks.append(alpha > 0.5)
        world.effects.append((shadow * shade > 0.1) & (alpha == 0))
        last = world.cameras[-1] if world.cameras else camera
        world.flow_back.append(homography_flow(last @ np.linalg.inv(camera), SIZE_HW))
        world.cameras.append(camera)
    return world


def night(frames: int) -> list[Picture]:
    """Frames of another scene, a dark one: what a cut leads to."""
    return [frame // 3 for frame in make_world(frames, seed=9).frames]


def texture(size_hw: tuple[int, int], seed: int) -> FloatMap:
    """Seeded noise of many sizes, [H, W, 3] in [0, 1]: corners everywhere, no two places alike."""
    random = np.random.default_rng(seed)
    picture = np.zeros((*size_hw, 3))
    for cell, strength in ((32, 0.5), (12, 0.35), (5, 0.3)):
        coarse = random.random((size_hw[0] // cell + 2, size_hw[1] // cell + 2, 3)) - 0.5
        picture += strength * cv2.resize(coarse, size_hw[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(picture + 0.5, 0.05, 0.95).astype(np.float32)


def psnr_db(picture: Picture | FloatMap, truth: Picture, where: Mask) -> float:
    """PSNR of 8-bit levels over the pixels ``where``; a float picture lies in [0, 1]."""
    levels = picture.astype(np.float64) * (1.0 if picture.dtype == np.uint8 else 255.0)
    error = float(np.square(levels[where] - truth[where]).mean())
    return 10 * float(np.log10(255**2 / max(error, 1e-9)))


def jaccard(mask: Mask, truth: Mask) -> float:
    """Intersection over union; 1 where both are empty."""
    union = float((mask | truth).sum())
    return float((mask & truth).sum()) / union if union else 1.0


def _view(wall: FloatMap, camera: Homography) -> FloatMap:
    """What the camera sees of the wall, whose origin lies 20 pixels above and left of the first frame's."""
    shifted = camera @ np.array([[1, 0, -20], [0, 1, -20], [0, 0, 1.0]])
    return np.asarray(cv2.warpPerspective(wall, shifted, SIZE_HW[::-1], flags=cv2.INTER_CUBIC), np.float32)


def _ellipse(camera: Homography, centre_xy: tuple[float, float], radii_xy: tuple[float, float]) -> FloatMap:
    """Coverage [H, W] of an upright ellipse on the wall, soft over one pixel."""
    x, y, _ = camera @ np.array([*centre_xy, 1.0])
    ys, xs = np.mgrid[0 : SIZE_HW[0], 0 : SIZE_HW[1]].astype(np.float32)
    distance = np.hypot((xs - x) / radii_xy[0], (ys - y) / radii_xy[1])
    return np.asarray(np.clip((1 - distance) * min(radii_xy) + 0.5, 0, 1), np.float32)
