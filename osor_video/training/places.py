"""Places for objects to stand in: a photograph as it is, or a floor and a wall laid out in perspective.

Photographs of leaves and stars have no ground. A floor of a photograph's texture or of tiles, seen by the same camera
that throws the shadows, is one; a wall behind it catches the shadow, and a polished floor mirrors the wall.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from osor_video.tensors import FloatMap
from osor_video.training.effects import Ground, Light, Mirror, fresnel, ripple, soften, spread
from osor_video.training.photos import random_crop, read_photo

STAGE_SHARE = 0.6
"""Places that are laid out; the others are photographs."""
MIRROR_SHARE = 0.4
TEXTURE_PX = 256
TILED_FLOORS = 48
"""Different floors and walls of tiles, planks and bricks."""
BANDS_SHARE = 0.3
"""Places with shadows of things out of sight."""
PRINTS_SHARE = 0.25
"""Places with dark marks painted on the ground."""


@dataclass(frozen=True)
class Place:
    """A scene without objects: what scatters light, what the ground mirrors, and the lights.

    ``diffuse`` float32 [S, S, 3]; ``reflected`` what is seen in the ground [S, S, 3], None where that is no other
    than the ground itself; ``shades`` the shadows [S, S] that already lie there, one a light.
    """

    ground: Ground
    diffuse: FloatMap
    reflected: FloatMap | None
    mirror: Mirror | None
    lights: tuple[Light, ...]
    shades: tuple[FloatMap, ...]


def draw_place(
    photos: list[Path], ground: Ground, widest_px: int, random: np.random.Generator, height_px: float
) -> Place:
    """A place for an object of ``height_px``; a wall of ``ground`` is built if it has one."""
    mirror = _draw_mirror(ground, height_px, random) if random.random() < MIRROR_SHARE else None
    picture = _crop(photos, ground.side_px, widest_px, random)
    reflected = None
    if ground.wall_px is not None:
        picture, reflected = _build(picture, photos, ground, random)
        reflected = None if mirror is None else soften(reflected, 0.5 + 20 * mirror.blur)
    on_floor = 1.0 if ground.wall_px is not None else 0.4
    if random.random() < PRINTS_SHARE * on_floor:
        picture = picture * spread(1 - _prints(ground, random))
    lights = _draw_lights(random)
    if lights and random.random() < BANDS_SHARE * on_floor:
        bands = _bands(ground, lights[0], random)
    else:
        bands = np.zeros((ground.side_px, ground.side_px), np.float32)
    shades = tuple(bands if index == 0 else np.zeros_like(bands) for index in range(len(lights)))
    return Place(ground, np.asarray(picture, np.float32), reflected, mirror, lights, shades)


def _crop(photos: list[Path], side_px: int, widest_px: int, random: np.random.Generator) -> FloatMap:
    photo = read_photo(photos[int(random.integers(len(photos)))])
    return random_crop(photo, side_px, widest_px, random).astype(np.float32) / np.float32(255)


def _draw_lights(random: np.random.Generator) -> tuple[Light, ...]:
    """The sun, a soft source, two sources, or the sky alone."""
    kind = random.random()
    if kind < 0.55:
        return (Light.draw(random, soft=False, share=float(random.uniform(0.45, 0.85))),)
    if kind < 0.75:
        return (Light.draw(random, soft=True, share=float(random.uniform(0.3, 0.65))),)
    if kind < 0.92:
        share = float(random.uniform(0.25, 0.5))
        soft = bool(random.random() < 0.5)
        return tuple(
            Light.draw(random, soft=soft, share=share * float(random.uniform(0.7, 1.2))) for _ in range(2)
        )
    return ()


def _draw_mirror(ground: Ground, height_px: float, random: np.random.Generator) -> Mirror:
    """Polished stone, water, or a floor that is wet in places."""
    kind = random.random()
    side = ground.side_px
    straight = float(random.uniform(0.05, 0.5))
    strength = np.repeat(fresnel(ground, straight) * float(random.uniform(0.5, 0.95)), side, axis=1)
    blur = float(np.exp(random.uniform(np.log(0.004), np.log(0.06))))
    if kind < 0.45:
        return Mirror(strength, blur, None)
    if kind < 0.75:
        return Mirror(strength, 0.5 * blur, ripple(ground, height_px, random))
    cells = int(random.integers(3, 12))
    puddles = cv2.resize(
        random.normal(0, 1, (cells, cells)).astype(np.float32), (side, side), interpolation=3
    )
    wet = 1 / (1 + np.exp(-4 * (puddles - float(random.uniform(-0.8, 0.3)))))
    return Mirror(np.asarray(strength * wet, np.float32), blur, None)


def _build(
    picture: FloatMap, photos: list[Path], ground: Ground, random: np.random.Generator
) -> tuple[FloatMap, FloatMap]:
    """(floor and wall, what the floor mirrors) [S, S, 3]; ``picture`` may become the wall."""
    side, wall_px = ground.side_px, float(ground.wall_px or 0.0)
    if random.random() < 0.4:
        wall = _tiled_wall(side, random)
    else:
        wall = picture
    texture = (
        _photo_texture(photos, random)
        if random.random() < 0.5
        else _tiles(int(random.integers(TILED_FLOORS)))
    )
    floor = _laid(texture, ground, random) * float(random.uniform(0.7, 1.15))
    floor = floor * _pool_of_light(side, random)
    rows = np.arange(side)
    source = np.clip(2 * wall_px - rows, 0, side - 1).astype(int)
    first = int(np.clip(round(wall_px), 0, side))
    built = np.concatenate([wall[:first], floor[first:]])
    corner = float(random.uniform(0.0, 0.5)) * np.exp(-np.abs(rows - wall_px) / (0.02 * side + 1))
    built *= (1 - corner).astype(np.float32)[:, None, None]
    return np.clip(built, 0, 1, out=built), np.asarray(wall[source], np.float32)


def _photo_texture(photos: list[Path], random: np.random.Generator) -> FloatMap:
    """A part of a photograph without its coarse light and dark, so that it can lie on the ground [P, P, 3]."""
    texture = _crop(photos, TEXTURE_PX // 2, 256, random)
    coarse = soften(texture, 12)
    even = texture - 0.7 * (coarse - coarse.mean((0, 1)))
    return np.asarray(np.clip(even, 0, 1), np.float32)


@lru_cache(maxsize=TILED_FLOORS)
def _tiles(seed: int) -> FloatMap:
    """Tiles, planks, bricks or a chequerboard with joints and grain [P, P, 3], kept in memory."""
    random = np.random.default_rng([seed, 17])
    down, right = int(random.integers(2, 9)), int(random.integers(1, 6))
    y, x = np.mgrid[:TEXTURE_PX, :TEXTURE_PX] / TEXTURE_PX
    row = (y * down).astype(int)
    shifted = (x + (row % 2) * (0.5 / right if random.random() < 0.6 else 0.0)) % 1.0
    column = (shifted * right).astype(int)
    colour = random.uniform(0.2, 0.75) + random.normal(0, 0.06, 3) * [1, 0.3, -1]
    tones = random.normal(0, float(random.uniform(0.01, 0.09)), (down, right, 1)) + random.normal(
        0, 0.015, (down, right, 3)
    )
    if random.random() < 0.2:
        tones += float(random.uniform(0.1, 0.35)) * (np.indices((down, right)).sum(0) % 2)[..., None]
    tiles = colour + tones[row, column]
    inside = np.minimum(
        np.minimum(y * down % 1, 1 - y * down % 1) / down,
        np.minimum(shifted * right % 1, 1 - shifted * right % 1) / right,
    )
    joint = np.clip(1 - inside * TEXTURE_PX / float(random.uniform(0.8, 3)), 0, 1)[..., None]
    tiles = tiles * (1 - joint * float(random.uniform(0.1, 0.7)))
    grain = sum(
        cv2.resize(random.normal(0, 1, (size, int(size * stretch))), (TEXTURE_PX, TEXTURE_PX))
        for size, stretch in ((64, 1), (128, float(random.choice([0.1, 1.0]))), (256, 1))
    )
    return np.asarray(np.clip(tiles + 0.02 * np.asarray(grain)[..., None], 0, 1), np.float32)


def _tiled_wall(side_px: int, random: np.random.Generator) -> FloatMap:
    """A wall of bricks, boards or plaster seen from the front [S, S, 3]."""
    texture = _tiles(int(random.integers(TILED_FLOORS)))
    if random.random() < 0.3:
        texture = np.asarray(cv2.mean(texture)[:3], np.float32) + 0.4 * (
            texture - cv2.GaussianBlur(texture, (0, 0), 3)
        )
    zoom = float(random.uniform(0.25, 1.0)) * side_px / TEXTURE_PX
    size_px = max(8, round(TEXTURE_PX * zoom))
    shrunk = cv2.resize(texture, (size_px, size_px), interpolation=cv2.INTER_AREA)
    times = -(-side_px // size_px)
    wall = np.tile(shrunk, (times, times, 1))[:side_px, :side_px]
    return np.asarray(wall * _pool_of_light(side_px, random), np.float32)


def _pool_of_light(side_px: int, random: np.random.Generator) -> FloatMap:
    """A coarse change of brightness about 1 [S, S, 3]."""
    coarse = 1 + float(random.uniform(0.0, 0.25)) * random.normal(0, 1, (3, 3))
    return spread(cv2.resize(coarse.astype(np.float32), (side_px, side_px), interpolation=cv2.INTER_CUBIC))


def _laid(texture: FloatMap, ground: Ground, random: np.random.Generator) -> FloatMap:
    """``texture`` laid on the ground as the camera sees it [S, S, 3]; mirrored at its edges to go on for ever."""
    scale = float(np.exp(random.uniform(np.log(60), np.log(400))))
    size_px = texture.shape[0]
    map_x, map_y = _ground_maps(ground, size_px, scale, random)
    # Far away many texels fall into a pixel: their mean, not one of them.
    rows = np.maximum(np.arange(ground.side_px, dtype=np.float32) + 0.5 - ground.horizon_px, 1.0)[:, None]
    many = np.clip((scale * ground.focal_px / rows**2 - 1.5) / 6, 0, 1)
    sharp = cv2.remap(texture, map_x, map_y, cv2.INTER_LINEAR)
    means = cv2.resize(texture, (size_px // 8, size_px // 8), interpolation=cv2.INTER_AREA)
    coarse = cv2.remap(
        means, map_x / 8 - 0.44, map_y / 8 - 0.44, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT
    )
    return np.asarray(sharp + (coarse - sharp) * spread(np.repeat(many, ground.side_px, axis=1)), np.float32)


def _ground_map(ground: Ground, values: FloatMap, random: np.random.Generator) -> FloatMap:
    """A square map [P, P] spread over the ground [S, S]."""
    size = values.shape[0]
    maps = _ground_maps(ground, size, size * float(random.uniform(0.15, 0.5)), random)
    # Towards the horizon the marks would be finer than pixels.
    seen = np.clip(ground.depression() * 8 - 0.4, 0, 1) * ground.visible()
    return np.asarray(cv2.remap(values, *maps, cv2.INTER_LINEAR) * seen, np.float32)


def _ground_maps(
    ground: Ground, size_px: int, scale: float, random: np.random.Generator
) -> tuple[FloatMap, FloatMap]:
    """Texels (x, y) of a square texture under each pixel [S, S], at any angle; ``scale`` texels a camera height."""
    side = ground.side_px
    rows = np.maximum(np.arange(side, dtype=np.float32) + 0.5 - ground.horizon_px, 1.0)[:, None]
    away, across = (
        np.float32(ground.focal_px) / rows,
        (np.arange(side, dtype=np.float32)[None] - side / 2) / rows,
    )
    angle = float(random.uniform(0, 2 * np.pi))
    cosine, sine = np.float32(np.cos(angle) * scale), np.float32(np.sin(angle) * scale)
    start = random.uniform(0, 2 * size_px, 2).astype(np.float32)
    turned = across * cosine - away * sine + start[0], across * sine + away * cosine + start[1]
    # The texture goes on as its mirror image; cv2's own reflection of far positions takes a hundred times as long.
    last = np.float32(size_px - 1)
    folded = [np.abs(position - 2 * last * np.rint(position / (2 * last))) for position in turned]
    return np.asarray(folded[0], np.float32), np.asarray(folded[1], np.float32)


def _bands(ground: Ground, light: Light, random: np.random.Generator) -> FloatMap:
    """Shadows on the ground of walls, poles and leaves that are out of sight [S, S]."""
    canvas = np.zeros((96, 96), np.float32)
    if random.random() < 0.6:
        for _ in range(int(random.integers(1, 4))):
            left, wide = int(random.integers(96)), int(random.integers(3, 40))
            cv2.rectangle(canvas, (left, 0), (left + wide, 95), 1.0, -1)
    else:
        leaves = cv2.GaussianBlur(random.normal(0, 1, (96, 96)).astype(np.float32), (0, 0), 2.5)
        canvas = np.clip(leaves * 20 + float(random.uniform(-1, 1)), 0, 1).astype(np.float32)
    softness = 0.4 + 12 * light.softness
    return _ground_map(ground, np.asarray(cv2.GaussianBlur(canvas, (0, 0), softness), np.float32), random)


def _prints(ground: Ground, random: np.random.Generator) -> FloatMap:
    """Dark marks on the ground that are nobody's shadow: stains, lines, lids [S, S]."""
    canvas = np.zeros((96, 96), np.float32)
    for _ in range(int(random.integers(1, 6))):
        middle = random.uniform(0, 96, 2)
        axes = random.uniform(2, 22, 2) * [1.0, float(random.uniform(0.2, 1))]
        box = (tuple(middle.tolist()), tuple((2 * axes).tolist()), float(random.uniform(0, 180)))
        cv2.ellipse(canvas, box, float(random.uniform(0.2, 0.7)), -1)
    blurred = cv2.GaussianBlur(canvas, (0, 0), float(random.uniform(0.4, 4)))
    return _ground_map(ground, np.asarray(blurred, np.float32), random)
