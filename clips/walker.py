"""The walker: bones posed by a walking cycle, and the skin over them.

The feet are placed first and the knees follow, so a foot that stands does not slide: the shadow and the
reflection stay joined to the soles. Numpy alone is needed.

Convention: metres and seconds; y up, ground at y = 0. In the walker's own frame x is forward and z sideways.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from spec import SceneSpec
from textures import Colour

Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Bone:
    """A capsule of radius `r0` at `start` and `r1` at `end`; `width` stretches it sideways (z)."""

    cloth: str
    start: Vector
    end: Vector
    r0: float
    r1: float
    width: float = 1.0


STEP_PERIOD_S = 0.88  # both steps
STANCE = 0.6  # share of the cycle a foot stands
HIP = 0.90
THIGH, SHIN = 0.44, 0.43


def cycle(spec: SceneSpec, time: float) -> float:
    """Phase of the walk in [0, 1): 0 when the left heel comes down."""
    return (time / STEP_PERIOD_S + 0.13 + 0.1 * (spec.seed % 5)) % 1.0


def heel_strikes(spec: SceneSpec) -> list[float]:
    """Times, within the clip, at which a heel comes down."""
    first = -cycle(spec, 0.0) * STEP_PERIOD_S
    times = [
        first + k * STEP_PERIOD_S / 2 for k in range(int(2 * spec.frames / spec.rate / STEP_PERIOD_S) + 4)
    ]
    return [t for t in times if 0 <= t < spec.frames / spec.rate]


def ankle(phase: float, stride: float) -> tuple[float, float]:
    """(forward, up) of an ankle from the body's middle: it stands still on the ground, then swings."""
    if phase < STANCE:
        part = phase / STANCE
        return stride * (0.5 - part), 0.085 + 0.085 * max(0.0, part - 0.6) / 0.4
    part = (phase - STANCE) / (1 - STANCE)
    eased = part * part * (3 - 2 * part)
    lift = 0.085 * (1 - part) + 0.11 * np.sin(np.pi * part)
    return stride * (eased - 0.5), 0.085 + float(lift)


def bob(phase: float) -> float:
    """How far the body rises: highest as one foot passes the other."""
    return 0.018 * float(np.cos(4 * np.pi * (phase - STANCE / 2)))


def leg(phase: float, stride: float, side: float) -> list[Bone]:
    """Thigh, shin and shoe; the knee is where two circles meet, in front."""
    hip = np.array([0.0, HIP + bob(phase), 0.09 * side])
    forward, up = ankle(phase, stride)
    foot = np.array([forward, up, 0.07 * side])
    reach = min(float(np.linalg.norm(foot - hip)), THIGH + SHIN - 1e-3)
    along = (foot - hip) / np.linalg.norm(foot - hip)
    ahead = np.array([-along[1], along[0], 0.0])
    drop = (THIGH**2 - SHIN**2 + reach**2) / (2 * reach)
    knee = hip + along * drop + ahead * np.sqrt(max(THIGH**2 - drop**2, 0.0))
    foot = hip + along * reach
    toe = np.array([foot[0] + 0.15, max(0.033, foot[1] - 0.055 - 0.25 * max(0.0, foot[1] - 0.1)), foot[2]])
    heel = foot + np.array([-0.03, -0.038, 0.0])
    return [
        Bone("trousers", hip, knee, 0.088, 0.066, 1.05),
        Bone("trousers", knee, foot + np.array([0.0, 0.03, 0.0]), 0.066, 0.052),
        Bone("shoes", heel, toe, 0.046, 0.033, 1.1),
    ]


def arm(swing: float, side: float, rise: float) -> list[Bone]:
    """Sleeve, forearm and hand; `swing` in [-1, 1], 1 is forward."""
    upper, lower = 0.50 * swing - 0.05, 0.62 * swing + 0.38
    shoulder = np.array([0.0, 1.40 + rise, 0.185 * side])
    elbow = shoulder + 0.29 * np.array([np.sin(upper), -np.cos(upper), 0.09 * side])
    wrist = elbow + 0.25 * np.array([np.sin(lower), -np.cos(lower), 0.0])
    return [
        Bone("shirt", shoulder, elbow, 0.062, 0.05),
        Bone("skin", elbow, wrist, 0.041, 0.031),
        Bone("skin", wrist, wrist + (wrist - elbow) * 0.32, 0.034, 0.03),
    ]


def figure(spec: SceneSpec, time: float) -> list[Bone]:
    """The walker at `time`, in its own frame: x forward, height 1.75 m, the middle over the origin."""
    stride = spec.speed * STEP_PERIOD_S * STANCE * 1.75 / spec.height
    left = cycle(spec, time)
    right = (left + 0.5) % 1.0
    swing, rise = float(np.cos(2 * np.pi * left)), bob(left)
    bones = (
        leg(left, stride, -1.0) + leg(right, stride, 1.0) + arm(-swing, -1.0, rise) + arm(swing, 1.0, rise)
    )

    def bone(cloth: str, start: Colour, end: Colour, radii: tuple[float, float], width: float = 1.0) -> None:
        up = np.array([0.0, rise, 0.0])
        bones.append(Bone(cloth, start + up, end + up, *radii, width))

    bone("trousers", (0.0, 0.92, 0.0), (0.0, 0.98, 0.0), (0.118, 0.112), 1.45)
    bone("shirt", (0.0, 0.99, 0.0), (0.015, 1.33, 0.0), (0.118, 0.128), 1.40)
    bone("shirt", (0.0, 1.395, -0.15), (0.0, 1.395, 0.15), (0.066, 0.066))
    bone("pack", (-0.165, 1.10, 0.0), (-0.155, 1.32, 0.0), (0.095, 0.085), 1.5)
    bone("skin", (0.005, 1.42, 0.0), (0.025, 1.54, 0.0), (0.056, 0.05))
    bone("skin", (0.035, 1.57, 0.0), (0.03, 1.64, 0.0), (0.08, 0.095))
    bone("skin", (0.11, 1.59, 0.0), (0.125, 1.575, 0.0), (0.016, 0.018))
    bone("hair", (-0.012, 1.60, 0.0), (0.014, 1.655, 0.0), (0.09, 0.098), 1.04)
    return bones


@dataclass(frozen=True)
class Skin:
    """A surface of triangles: points `[N, 3]`, normals `[N, 3]`, uv `[N, 2]`, triangles `[M, 3]`."""

    points: Vector
    normals: Vector
    uv: Vector
    triangles: NDArray[np.int64]


def capsule(bone: Bone, rings: int = 12, sectors: int = 28) -> Skin:
    """The skin of a bone: two half balls and, between their equators, a tube."""
    axis = (bone.end - bone.start) / np.linalg.norm(bone.end - bone.start)
    side = np.cross(axis, [0.0, 1.0, 0.0] if abs(axis[1]) < 0.9 else [1.0, 0.0, 0.0])
    side /= np.linalg.norm(side)
    front = np.cross(axis, side)
    quarter = np.linspace(0, np.pi / 2, rings)
    theta = np.concatenate([quarter, quarter + np.pi / 2])[:, None, None]
    phi = np.linspace(0, 2 * np.pi, sectors)[None, :, None]
    tail = (np.arange(2 * rings) >= rings)[:, None, None]
    normal = -np.cos(theta) * axis + np.sin(theta) * (np.cos(phi) * side + np.sin(phi) * front)
    points = np.where(tail, bone.end, bone.start) + normal * np.where(tail, bone.r1, bone.r0) * [
        1,
        1,
        bone.width,
    ]
    normal = normal / [1, 1, bone.width]
    index = np.arange(2 * rings * sectors).reshape(-1, sectors)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, :-1], index[1:, 1:]
    halves = [np.stack(corners, -1).reshape(-1, 3) for corners in ((a, b, c), (b, d, c))]
    uv = np.concatenate(np.broadcast_arrays(phi / np.pi, theta), -1)
    return Skin(points.reshape(-1, 3), normal.reshape(-1, 3), uv.reshape(-1, 2), np.concatenate(halves))


def skins(spec: SceneSpec, time: float) -> dict[str, Skin]:
    """The walker's skins by cloth, at its place in the world."""
    angle = np.deg2rad(spec.heading_deg)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
    place = turn @ [spec.speed * time, 0.0, 0.0] + [spec.start_x, 0.0, 0.0]
    scale = spec.height / 1.75
    parts: dict[str, list[Skin]] = {}
    for bone in figure(spec, time):
        skin = capsule(bone)
        moved = replace(skin, points=skin.points @ turn.T * scale + place, normals=skin.normals @ turn.T)
        parts.setdefault(bone.cloth, []).append(moved)
    return {cloth: join(group) for cloth, group in parts.items()}


def join(parts: list[Skin]) -> Skin:
    """One skin of many."""
    starts = np.cumsum([0] + [len(part.points) for part in parts[:-1]])
    return Skin(
        np.concatenate([part.points for part in parts]),
        np.concatenate([part.normals for part in parts]),
        np.concatenate([part.uv for part in parts]),
        np.concatenate([part.triangles + start for part, start in zip(parts, starts, strict=True)]),
    )
