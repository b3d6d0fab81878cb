"""What a clip is: the camera, the place, the light and the walker, as one frozen record.

Convention: metres, seconds and degrees; x right, y up, z towards the camera, ground at y = 0. Colours are
sRGB in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from textures import Colour, Surface

CameraKind = Literal["still", "pan", "dolly", "handheld"]
LightKind = Literal["sun", "room"]


@dataclass(frozen=True)
class SceneSpec:
    """One clip: where the camera goes, what stands there, how it is lit and who walks through."""

    name: str
    seed: int
    size_hw: tuple[int, int] = (256, 448)
    rate: int = 24
    frames: int = 44
    camera: CameraKind = "still"
    camera_at: Colour = (0.0, 2.2, 7.2)
    look_at: Colour = (0.0, 0.92, 0.0)
    fov_deg: float = 40.0
    travel: float = 0.0  # of a pan in degrees a second, of a dolly in metres a second
    shake: float = 0.0  # 1 = a steady hand
    light: LightKind = "sun"
    sun_from: Colour = (0.9, 1.5, 1.0)  # direction towards the sun (or, in a room, the window's side)
    exposure: float = 1.0
    floor: Surface = "paving"
    floor_colour: Colour = (0.62, 0.58, 0.52)
    gloss: float = 0.0  # share of light the floor mirrors
    roughness: float = 0.03
    wall: Surface = "brick"
    wall_colour: Colour = (0.60, 0.33, 0.24)
    wall_z: float = -2.6
    wall_height: float = 1.7
    wall_reach: float = 5.0  # to either side
    props: int = 4
    start_x: float = 1.6
    heading_deg: float = 180.0  # 0 = to the right, 180 = to the left, 270 = towards the camera
    speed: float = 1.6
    height: float = 1.75
    shirt: Colour = (0.16, 0.34, 0.62)
    trousers: Colour = (0.24, 0.23, 0.25)
    skin: Colour = (0.80, 0.60, 0.48)
    hair: Colour = (0.16, 0.10, 0.07)
    shoes: Colour = (0.30, 0.16, 0.09)
    pack: Colour = (0.72, 0.45, 0.13)


WALK = SceneSpec("walk", seed=11, frames=40, camera="pan", exposure=1.25, travel=2.0, shake=0.6)
MIRROR = SceneSpec(
    "mirror",
    seed=23,
    frames=38,
    exposure=1.75,
    camera="handheld",
    camera_at=(0.15, 1.7, 6.9),
    look_at=(0.0, 0.42, 0.0),
    fov_deg=43.0,
    shake=0.5,
    light="room",
    sun_from=(-1.0, 1.0, 0.6),
    floor="tiles",
    floor_colour=(0.42, 0.40, 0.38),
    gloss=0.6,
    roughness=0.015,
    wall="plaster",
    wall_colour=(0.74, 0.66, 0.53),
    wall_height=4.0,
    start_x=-1.65,
    heading_deg=0.0,
    speed=1.65,
    shirt=(0.66, 0.16, 0.17),
    trousers=(0.20, 0.24, 0.36),
    pack=(0.25, 0.36, 0.24),
    hair=(0.36, 0.22, 0.10),
)
CLIPS = {spec.name: spec for spec in (WALK, MIRROR)}


def random_spec(seed: int, size_hw: tuple[int, int] = (256, 448), frames: int = 24) -> SceneSpec:
    """Draw a scene: the same seed gives the same spec."""
    rng = np.random.default_rng(seed)

    def pick(*options: Any) -> Any:
        return options[int(rng.integers(len(options)))]

    def colour(low: float, high: float) -> Colour:
        r, g, b = (round(float(value), 3) for value in rng.uniform(low, high, 3))
        return r, g, b

    def muted(low: float, high: float) -> Colour:
        r, g, b = (round(float(v), 3) for v in rng.uniform(low, high) + rng.uniform(-0.09, 0.09, 3))
        return r, g, b

    camera_kind: CameraKind = pick("still", "pan", "dolly", "handheld")
    indoors = bool(rng.random() < 0.5)
    rightwards = bool(rng.random() < 0.5)
    side = 1.0 if rng.random() < 0.5 else -1.0
    return SceneSpec(
        name=f"random{seed:05d}",
        seed=seed,
        size_hw=size_hw,
        frames=frames,
        camera=camera_kind,
        camera_at=(float(rng.uniform(-0.5, 0.5)), float(rng.uniform(1.3, 2.6)), float(rng.uniform(7.0, 8.0))),
        look_at=(0.0, float(rng.uniform(0.6, 0.9)), 0.0),
        fov_deg=float(rng.uniform(38.0, 44.0)),
        travel=float(rng.uniform(0.5, 2.0)) * (1.0 if camera_kind == "pan" else 0.25),
        shake=float(rng.uniform(0.2, 1.0)),
        light="room" if indoors else "sun",
        sun_from=(
            side * float(rng.uniform(0.4, 1.2)),
            float(rng.uniform(0.8, 1.8)),
            float(rng.uniform(0.3, 1.1)),
        ),
        exposure=float(rng.uniform(0.8, 1.2)) * (1.6 if indoors else 1.2),
        floor=pick("tiles", "planks") if indoors else pick("paving", "grass", "planks"),
        floor_colour=muted(0.35, 0.7),
        # Indoors only: a mirror in the sun throws the sun on the wall, which few samples do not resolve.
        gloss=float(rng.uniform(0.2, 0.65)) if indoors and rng.random() < 0.85 else 0.0,
        roughness=float(rng.uniform(0.01, 0.12)),
        wall=pick("plaster", "planks", "tiles") if indoors else pick("brick", "planks", "plaster"),
        wall_colour=muted(0.35, 0.75),
        wall_z=float(rng.uniform(-3.4, -2.2)),
        wall_height=4.0 if indoors else float(rng.uniform(1.5, 2.6)),
        props=int(rng.integers(2, 6)),
        start_x=-1.6 if rightwards else 1.6,
        heading_deg=(0.0 if rightwards else 180.0) + float(rng.uniform(-14.0, 14.0)),
        speed=float(rng.uniform(1.3, 1.8)),
        height=float(rng.uniform(1.55, 1.9)),
        shirt=colour(0.1, 0.85),
        trousers=muted(0.12, 0.5),
        skin=pick((0.86, 0.67, 0.55), (0.74, 0.53, 0.40), (0.50, 0.33, 0.24), (0.33, 0.21, 0.15)),
        hair=muted(0.1, 0.4),
        shoes=muted(0.12, 0.5),
        pack=colour(0.1, 0.8),
    )
