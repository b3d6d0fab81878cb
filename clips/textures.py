"""Procedural textures from seeded noise: bricks, paving, tiles, boards, grass, plaster, pictures and sky.

Convention: a shade is float32 `[size, size]`, a texture float32 `[H, W, 3]`, linear, in [0, 1]; both tile
without a seam. Colours that go in are sRGB in [0, 1]. Numpy alone is needed.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Colour = tuple[float, float, float]
SUN = np.array([7600.0, 6700.0, 5500.0])  # over a lobe about one degree wide
Surface = Literal["paving", "grass", "planks", "tiles", "brick", "plaster", "leaves"]


def noise(rng: np.random.Generator, size: int, falloff: float, stretch: float = 1.0) -> Array:
    """Periodic noise `[size, size]` in [0, 1] whose spectrum falls as frequency^-falloff."""
    fy = np.fft.fftfreq(size)[:, None] * stretch
    fx = np.fft.fftfreq(size)[None, :]
    weight = np.maximum(np.hypot(fy, fx), 1.0 / size) ** -falloff
    field = np.fft.ifft2(np.fft.fft2(rng.standard_normal((size, size))) * weight).real
    return np.asarray(np.clip(0.5 + field / (5.0 * field.std()), 0.0, 1.0), np.float32)


def masonry(
    rng: np.random.Generator, size: int, grid: tuple[int, int], *, shift: float, tint: float
) -> Array:
    """Shade `[size, size]` of stones in courses: each its own tone, with dark joints and worn faces."""
    rows, columns = grid
    place = np.arange(size) / size
    row = np.floor(place * rows).astype(int)[:, None]
    across = place[None, :] * columns + shift * (row % 2)
    tone = rng.uniform(1.0 - tint, 1.0, (rows, columns))[row, np.floor(across).astype(int) % columns]
    wobble = 0.004 * (noise(rng, size, 1.2) - 0.5)
    to_joint_y = np.abs((place[:, None] + wobble) * rows % 1.0 - 0.5) / rows
    to_joint_x = np.abs((across + wobble * columns) % 1.0 - 0.5) / columns
    inside = np.minimum(0.5 / rows - to_joint_y, 0.5 / columns - to_joint_x)
    joint = np.clip(inside / 0.005 - 0.3, 0.0, 1.0)
    worn = 0.70 + 0.45 * noise(rng, size, 0.9) + 0.25 * (noise(rng, size, 1.8) - 0.5)
    return np.asarray(tone * worn * (0.45 + 0.55 * joint), np.float32)


def blades(rng: np.random.Generator, size: int) -> Array:
    """Shade `[size, size]` of grass: short bright strokes laid over dark earth."""
    count, length = size * 28, max(8, size // 36)
    x, y = rng.uniform(0, size, (2, count, 1))
    angle = rng.normal(np.pi / 2, 0.6, (count, 1))
    steps = np.arange(length)[None, :]
    rows = (y + steps * np.sin(angle)).astype(int) % size
    columns = (x + steps * np.cos(angle)).astype(int) % size
    shade = np.full((size, size), 0.25, np.float32)
    np.maximum.at(shade, (rows, columns), rng.uniform(0.35, 1.0, (count, 1)) * (0.6 + 0.4 * steps / length))
    return np.asarray(shade * (0.7 + 0.6 * noise(rng, size, 1.6)), np.float32)


def planks(rng: np.random.Generator, size: int) -> Array:
    """Shade `[size, size]` of boards with grain running along x."""
    grain = noise(rng, size, 1.1, stretch=0.06)
    return np.asarray(masonry(rng, size, (8, 2), shift=0.5, tint=0.45) * (0.65 + 0.7 * grain), np.float32)


def plaster(rng: np.random.Generator, size: int) -> Array:
    """Shade `[size, size]` of a painted wall: wide stains and a fine tooth."""
    return np.asarray(0.55 + 0.45 * noise(rng, size, 1.7) + 0.22 * (noise(rng, size, 0.5) - 0.5), np.float32)


def leaves(rng: np.random.Generator, size: int) -> Array:
    """Shade `[size, size]` of foliage: clumps of light leaves over dark gaps."""
    clumps = noise(rng, size, 1.3) + 0.8 * (noise(rng, size, 0.7) - 0.5)
    return np.asarray(0.12 + 0.95 * np.clip(3.0 * clumps - 1.0, 0.0, 1.0), np.float32)


SHADES: dict[Surface, Callable[[np.random.Generator, int], Array]] = {
    "paving": lambda rng, size: masonry(rng, size, (6, 4), shift=0.5, tint=0.42),
    "grass": blades,
    "planks": planks,
    "tiles": lambda rng, size: masonry(rng, size, (6, 6), shift=0.0, tint=0.5),
    "brick": lambda rng, size: masonry(rng, size, (16, 6), shift=0.5, tint=0.5),
    "plaster": plaster,
    "leaves": leaves,
}


@lru_cache(maxsize=64)
def surface(kind: Surface, colour: Colour, seed: int, size: int = 768) -> Array:
    """A tiling texture of `kind`, its mean near `colour`; hue drifts slowly across it."""
    rng = np.random.default_rng([seed, sorted(SHADES).index(kind)])
    shade = SHADES[kind](rng, size)[..., None]
    drift = np.stack([noise(rng, size, 1.5) for _ in range(3)], -1) - 0.5
    base = np.asarray((0.45, 0.56, 0.24) if kind == "grass" else colour)
    return np.asarray(np.clip(base * shade * 1.15 + 0.05 * drift, 0.01, 1.0) ** 2.2, np.float32)


@lru_cache(maxsize=16)
def painting(seed: int, size: int = 256) -> Array:
    """An abstract picture: bands of colour bent by noise."""
    rng = np.random.default_rng([seed, 77])
    palette = 0.55 * rng.uniform(0.1, 1.0, (7, 1)) + 0.45 * rng.uniform(0.1, 0.9, (7, 3))
    level = np.clip(noise(rng, size, 1.9) * 10.0 - 1.5, 0, 6).astype(int)
    return np.asarray(
        (palette[level] * (0.8 + 0.3 * noise(rng, size, 0.8)[..., None])).clip(0, 1) ** 2.2, np.float32
    )


def directions(height: int) -> NDArray[np.float64]:
    """Unit vectors `[height, 2 height, 3]` of a panorama's pixels: zenith first, -z at u = 0."""
    theta = (np.arange(height) + 0.5)[:, None] / height * np.pi
    phi = (np.arange(2 * height) + 0.5)[None, :] / height * np.pi
    x, z = np.sin(phi) * np.sin(theta), -np.cos(phi) * np.sin(theta)
    return np.stack([x, np.broadcast_to(np.cos(theta), x.shape), z], -1)


@lru_cache(maxsize=4)
def sky(seed: int, towards: Colour, height: int = 256) -> Array:
    """Radiance `[height, 2 height, 3]` of a sky with drifting cloud and the sun at `towards`."""
    rng = np.random.default_rng([seed, 99])
    way = directions(height)
    up = np.clip(way[..., 1:2], 0.0, 1.0) ** 0.5
    clear = np.array([0.50, 0.68, 0.95]) * (1 - up) + np.array([0.16, 0.36, 0.85]) * up
    cloud = np.clip((noise(rng, 2 * height, 1.8, stretch=2.0)[:height] - 0.55) * 3.5, 0.0, 0.9)[..., None]
    disk = np.exp((way @ np.array(towards) - 1.0)[..., None] / 1e-4)
    return np.asarray(0.62 * (clear * (1 - cloud) + 1.05 * cloud) + SUN * disk, np.float32)


@lru_cache(maxsize=4)
def room_light(towards: Colour, height: int = 64) -> Array:
    """Radiance `[height, 2 height, 3]` of a room: a wide window at `towards`, a pale ceiling, dim air."""
    way = directions(height)
    window = np.exp((way @ np.array(towards) - 1.0)[..., None] / 0.06) * [4.6, 4.5, 4.4]
    ceiling = np.clip(way[..., 1:2], 0.0, 1.0) ** 2 * [0.75, 0.70, 0.60]
    return np.asarray(0.22 + window + ceiling, np.float32)
