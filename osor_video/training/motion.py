"""Paths of a camera and of objects over a photograph, as functions of time: every flow follows from them exactly.

Convention: time ``t`` is in frames and may be fractional. Points are float64 [..., 2], (x to the right, y down), in pixels: of the
frame, of the photograph, or of a cut-out. A path says where things are; where a point goes from ``t`` to ``s`` is the inverse
of one place after the other, so the flow is known behind an object and outside the picture, too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from osor_video.tensors import FloatMap
from osor_video.training.cutouts import Cutout

Points = npt.NDArray[np.float64]
Matrix = npt.NDArray[np.float64]
"""3x3, maps homogeneous points."""


@dataclass(frozen=True)
class Drift:
    """n numbers that change smoothly: ``start + velocity t + acceleration t^2 / 2 + sum_k shake_k sin(pulse_k t + phase_k)``.

    ``start``, ``velocity``, ``acceleration`` are [n]; ``shake`` and ``phase`` [K, n], ``pulse`` [K] in radians a frame.
    """

    start: Points
    velocity: Points
    acceleration: Points
    shake: Points
    pulse: Points
    phase: Points

    @classmethod
    def steady(cls, start: list[float], velocity: list[float]) -> Drift:
        """Constant speed, nothing else."""
        none = np.zeros(len(start))
        return cls(
            np.array(start), np.array(velocity), none, none[None], np.zeros(1), np.zeros((1, len(start)))
        )

    def at(self, t: float) -> Points:
        """The numbers at time ``t``, [n]."""
        shaken = (self.shake * np.sin(self.pulse[:, None] * t + self.phase)).sum(axis=0)
        return np.asarray(self.start + self.velocity * t + self.acceleration * t * t / 2 + shaken)


def frame_points(size_hw: tuple[int, int]) -> Points:
    """The middle of each pixel, [H, W, 2]."""
    return np.stack(np.meshgrid(np.arange(size_hw[1]), np.arange(size_hw[0])), axis=-1).astype(np.float64)


def moved(matrix: npt.NDArray[Any], points: Points) -> Points:
    """Points [..., 2] through a 3x3 matrix."""
    x, y = points[..., 0], points[..., 1]
    scale = matrix[2, 0] * x + matrix[2, 1] * y + matrix[2, 2]
    rows = [matrix[row, 0] * x + matrix[row, 1] * y + matrix[row, 2] for row in range(2)]
    return np.asarray(np.stack(rows, axis=-1) / scale[..., None])


def shift(x: float, y: float) -> Matrix:
    """Moves points by (x, y)."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def _turn(angle: float, scale: float) -> Matrix:
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class Camera:
    """A frame that moves over a photograph.

    ``drift`` holds six numbers: the point of the photograph in the frame's middle (x, y), log zoom out, angle in radians, and
    the tilts of the plane (x, y) in 1/px.
    """

    drift: Drift
    size_hw: tuple[int, int]

    def to_photo(self, t: float) -> Matrix:
        """From pixels of the frame at ``t`` to pixels of the photograph."""
        x, y, zoom, angle, tilt_x, tilt_y = self.drift.at(t)
        tilt = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [tilt_x, tilt_y, 1.0]])
        height, width = self.size_hw
        middle = shift(-(width - 1) / 2, -(height - 1) / 2)
        return np.asarray(shift(x, y) @ _turn(angle, float(np.exp(zoom))) @ tilt @ middle)

    def flow(self, t: float, s: float) -> FloatMap:
        """Where the ground at each pixel of frame ``t`` goes until ``s``: [H, W, 2], behind objects as well."""
        points = frame_points(self.size_hw)
        there = moved(np.linalg.inv(self.to_photo(s)) @ self.to_photo(t), points)
        return np.asarray(there - points, np.float32)

    def view(self, photo: FloatMap, t: float) -> FloatMap:
        """What the camera sees of ``photo`` [h, w, 3]; beyond its edges the photograph is mirrored."""
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        seen = cv2.warpPerspective(
            photo, self.to_photo(t), self.size_hw[::-1], flags=flags, borderMode=cv2.BORDER_REFLECT_101
        )
        return np.asarray(np.clip(seen, 0, 1), np.float32)


@dataclass(frozen=True)
class Actor:
    """A cut-out that stands on the photograph, walks, grows, leans and sways.

    ``drift`` holds five numbers: its foot on the photograph (x, y), log scale, angle in radians, and the sway in pixels of the
    cut-out. A swaying body bends sideways by ``sway sin(wave (y - foot_y))``, so its foot stays where it is.
    """

    cutout: Cutout
    foot: tuple[float, float]
    wave: float
    flip: bool
    drift: Drift

    def scale(self, t: float) -> float:
        """Pixels of the photograph that a pixel of the cut-out is long at ``t``."""
        return float(np.exp(self.drift.at(t)[2]))

    def to_frame(self, camera: Camera, t: float) -> Matrix:
        """From pixels of the upright cut-out to pixels of the frame at ``t``: a similarity, perhaps mirrored."""
        x, y, _, angle, _ = self.drift.at(t)
        _, _, zoom, camera_angle, _, _ = camera.drift.at(t)
        foot = moved(np.linalg.inv(camera.to_photo(t)), np.array([x, y]))
        turn = _turn(angle - camera_angle, self.scale(t) / float(np.exp(zoom)))
        mirror = np.diag([-1.0 if self.flip else 1.0, 1.0, 1.0])
        return np.asarray(shift(*foot) @ turn @ mirror @ shift(-self.foot[0], -self.foot[1]))

    def _swayed(self, points: Points, t: float, direction: int) -> Points:
        aside = self.drift.at(t)[4] * np.sin(self.wave * (points[..., 1] - self.foot[1]))
        return np.stack([points[..., 0] + direction * aside, points[..., 1]], axis=-1)

    def source(self, camera: Camera, t: float) -> Points:
        """The place of the cut-out that each pixel of the frame at ``t`` shows, [H, W, 2]."""
        points = frame_points(camera.size_hw)
        return self._swayed(moved(np.linalg.inv(self.to_frame(camera, t)), points), t, -1)

    def flow(self, camera: Camera, t: float, s: float) -> FloatMap:
        """Where the actor's body at each pixel of frame ``t`` goes until ``s``, [H, W, 2]; it means nothing beside the actor."""
        there = moved(self.to_frame(camera, s), self._swayed(self.source(camera, t), s, 1))
        return np.asarray(there - frame_points(camera.size_hw), np.float32)

    def drawn(self, camera: Camera, t: float) -> tuple[FloatMap, FloatMap]:
        """(colour [H, W, 3], matte [H, W]) in the frame at ``t``."""
        return _sample(self.cutout, self.source(camera, t))

    def posed(self, t: float) -> Cutout:
        """The cut-out as it sways at ``t``, still upright: what casts the shadow."""
        points = frame_points((self.cutout.matte.shape[0], self.cutout.matte.shape[1]))
        colour, matte = _sample(self.cutout, self._swayed(points, t, -1))
        return replace(self.cutout, colour=colour, matte=matte)


def _sample(cutout: Cutout, points: Points) -> tuple[FloatMap, FloatMap]:
    """Colour and matte of a cut-out at ``points`` [H, W, 2]; there is nothing beyond its edges."""
    x, y = (np.ascontiguousarray(points[..., axis], np.float32) for axis in range(2))
    colour = cv2.remap(cutout.colour, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    matte = cv2.remap(cutout.matte, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.clip(colour, 0, 1), np.asarray(matte, np.float32)
