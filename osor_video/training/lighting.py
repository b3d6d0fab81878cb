"""The light of a made sequence: one source, and ground that every object throws its shadow on.

Convention: frames are [H, W]; a shade is float32 in [0, 1], the share of a light that is kept from the ground.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import cv2
import numpy as np

from osor_video.tensors import FloatMap
from osor_video.training.effects import Ground, Light, Matrix, Patch, Placed, cast_shadow, contact_shadow
from osor_video.training.motion import Actor, Camera, shift

SOFT_SHARE = 0.3
"""How often the source is a window or a lamp, not the sun."""
ROOM = 8
"""Side of the square that a shadow is drawn in, over the object's longer side."""


@dataclass(frozen=True)
class Lighting:
    """A source and the ground it shines on; both turn and grow with the photograph, as what stands there does.

    Every foot is seen as steeply, ``depression`` rows below the horizon over the focal length, and straight before the
    camera: the photograph is flat, and only so does a shadow keep its shape where its object and the camera just shift.
    """

    light: Light
    depression: float
    focal_px: float
    """In pixels of the photograph."""
    contact: float
    """Share of the sky's light that is lost right at a foot."""
    contact_reach: float
    """Over the object's height."""

    @classmethod
    def draw(cls, side_px: float, random: np.random.Generator) -> Self:
        """As in the pairs (``places.py``), without the rarer kinds; ``side_px`` is the frame's longer side."""
        soft = bool(random.random() < SOFT_SHARE)
        share = float(random.uniform(0.3, 0.65) if soft else random.uniform(0.45, 0.85))
        return cls(
            Light.draw(random, soft=soft, share=share),
            depression=float(np.exp(random.uniform(np.log(0.2), np.log(1.1)))),
            focal_px=side_px * float(np.exp(random.uniform(np.log(0.9), np.log(2.8)))),
            contact=float(random.uniform(0, 0.75)),
            contact_reach=float(np.exp(random.uniform(np.log(0.008), np.log(0.12)))),
        )

    def seen_by(self, *, flip: bool) -> Light:
        """The source in the pixels of a cut-out that is shown mirrored, or as it is."""
        return replace(self.light, across=-self.light.across) if flip else self.light

    def shaded(self, clean: FloatMap, actors: tuple[Actor, ...], camera: Camera, t: float) -> FloatMap:
        """The ground ``clean`` [H, W, 3] at ``t`` with the actors' shadows; where two meet it is no darker than in one."""
        cast, contact = np.zeros(camera.size_hw, np.float32), np.zeros(camera.size_hw, np.float32)
        for actor in actors:
            far, near = self._shades(actor, camera, t)
            cast, contact = np.maximum(cast, far), np.maximum(contact, near)
        kept = (1 - cast[..., None] * self.light.share) * (1 - np.float32(self.contact) * contact[..., None])
        return np.asarray(clean * kept, np.float32)

    def _shades(self, actor: Actor, camera: Camera, t: float) -> tuple[FloatMap, FloatMap]:
        """(cast shadow, contact shadow) of an actor [H, W]: drawn upright, then carried to where the actor is."""
        cutout = actor.posed(t)
        side_px = ROOM * max(cutout.matte.shape)
        foot = side_px / 2, side_px / 2
        focal_px = self.focal_px / actor.scale(t)
        ground = Ground(side_px, foot[1] - self.depression * focal_px, focal_px)
        placed = Placed(cutout, foot)
        to_frame = actor.to_frame(camera, t) @ np.linalg.inv(placed.upright())
        # The ground has no wall: the shadow is one patch.
        (cast,) = cast_shadow(ground, placed, self.seen_by(flip=actor.flip))
        contact = contact_shadow(ground, placed, self.contact_reach)
        return _carried(cast, to_frame, camera.size_hw), _carried(contact, to_frame, camera.size_hw)


def _carried(patch: Patch, matrix: Matrix, size_hw: tuple[int, int]) -> FloatMap:
    """A patch through an affine matrix, [H, W]; 0 beside it."""
    there = (matrix @ shift(patch.left, patch.top))[:2]
    return np.asarray(cv2.warpAffine(patch.values, there, size_hw[::-1]), np.float32)
