"""The scene of a spec at a time, as Mitsuba 3 describes scenes: camera, light, place, and the walker or not.

Everything is made from seeded numbers; no photograph and no third-party model goes in. Mitsuba is imported
when a scene is built, never before.

Convention: metres and seconds; x right, y up, z towards the camera, ground at y = 0.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

import numpy as np
from spec import SceneSpec
from textures import Array, Colour, Surface, noise, painting, room_light, sky, surface
from walker import Bone, Skin, Vector, capsule, skins

Node = dict[str, Any]  # a part of a Mitsuba scene


class RenderError(RuntimeError):
    """Mitsuba, or the LLVM it needs, is not to be had."""


def mitsuba() -> Any:
    """The module `mitsuba`; a variant must have been chosen before scenes are built."""
    try:
        return importlib.import_module("mitsuba")
    except ImportError as error:
        raise RenderError('rendering needs Mitsuba 3: pip install "osor-video[render]"') from error


TILE_M: dict[Surface, float] = {
    "paving": 2.4,
    "grass": 1.5,
    "planks": 1.6,
    "tiles": 3.0,
    "brick": 1.4,
    "plaster": 3.0,
    "leaves": 1.0,
}


def camera(spec: SceneSpec, time: float) -> tuple[Vector, Vector]:
    """(where the camera is, what it looks at) at `time`."""
    rng = np.random.default_rng([spec.seed, 3])
    at, to = np.array(spec.camera_at), np.array(spec.look_at)
    part = time - 0.8  # so that a shortened clip shows the same frames
    side = float(np.sign(np.cos(np.deg2rad(spec.heading_deg))))
    if spec.camera == "pan":
        to[0] += side * np.tan(np.deg2rad(spec.travel) * part) * np.linalg.norm(to - at)
    if spec.camera == "dolly":
        shift = np.array([side * spec.travel * part, 0.0, 0.0])
        at, to = at + shift, to + shift
    if spec.camera == "still":
        return at, to
    hertz, phase = rng.uniform(0.5, 2.2, (2, 3, 3)), rng.uniform(0, 2 * np.pi, (2, 3, 3))
    sway = np.sin(2 * np.pi * hertz * time + phase).sum(1)
    return at + spec.shake * 0.006 * sway[0], to + spec.shake * 0.014 * sway[1] * [1.0, 1.0, 0.0]


def image(texture: Array, repeat: tuple[float, float] = (1.0, 1.0)) -> Node:
    """A bitmap that is linear already."""
    mi = mitsuba()
    across = mi.ScalarTransform3f().scale([repeat[0], repeat[1]])
    return {
        "type": "bitmap",
        "bitmap": mi.Bitmap(np.ascontiguousarray(texture)),
        "raw": True,
        "to_uv": across,
    }


def matte(texture: Node) -> Node:
    """A surface that scatters evenly, on both sides."""
    return {"type": "twosided", "bsdf": {"type": "diffuse", "reflectance": texture}}


def polished(texture: Node, gloss: float, roughness: float) -> Node:
    """A surface that mirrors a share of the light and scatters the rest."""
    if gloss <= 0:
        return matte(texture)
    mirror = {"type": "roughconductor", "material": "none", "alpha": roughness}
    scatter = {"type": "diffuse", "reflectance": texture}
    return {"type": "twosided", "bsdf": {"type": "blendbsdf", "weight": gloss, "a": scatter, "b": mirror}}


def box(centre: Colour, half: Colour, kind: Surface, colour: Colour, seed: int) -> Node:
    """A block standing in the world, its front textured true to scale."""
    mi = mitsuba()
    repeat = (2 * half[1] / TILE_M[kind], 2 * half[0] / TILE_M[kind])
    texture = surface(kind, colour, seed).transpose(1, 0, 2)  # a cube's u runs up its front
    where = mi.ScalarTransform4f().translate(list(centre)).scale(list(half))
    return {"type": "cube", "to_world": where, "bsdf": matte(image(texture, repeat))}


def post(x: float, z: float, seed: int) -> Node:
    """A round post or column."""
    bsdf = matte(image(surface("plaster", (0.72, 0.70, 0.66), seed, 256)))
    return {
        "type": "cylinder",
        "p0": [x, 0, z],
        "p1": [x, 4.0, z],
        "radius": 0.11,
        "bsdf": bsdf,
    }


def mesh(name: str, skin: Skin, bsdf: Node) -> Any:
    """A Mitsuba mesh of a skin."""
    mi = mitsuba()
    props = mi.Properties()
    props["bsdf"] = mi.load_dict(bsdf)
    shape = mi.Mesh(name, len(skin.points), len(skin.triangles), props, True, True)
    params = mi.traverse(shape)
    params["vertex_positions"] = skin.points.astype(np.float32).ravel()
    params["vertex_normals"] = skin.normals.astype(np.float32).ravel()
    params["vertex_texcoords"] = skin.uv.astype(np.float32).ravel()
    params["faces"] = skin.triangles.astype(np.uint32).ravel()
    params.update()
    return shape


def bush(name: str, centre: Colour, radius: float, seed: int) -> Any:
    """A ball of leaves: a lumpy skin with a leafy texture."""
    rng = np.random.default_rng([seed, 41])
    start = np.array(centre)
    skin = capsule(Bone("leaves", start, start + np.array([0.0, 0.02, 0.0]), radius, radius), 40, 90)
    lumps = noise(rng, 128, 1.3)[:80, :90].reshape(-1, 1) + 0.25 * rng.random((7200, 1))
    points = start + (skin.points - start) * (0.72 + 0.5 * lumps)
    leaves = image(surface("leaves", (0.42, 0.52, 0.22), seed, 512), (1.5 * radius, radius))
    return mesh(name, replace(skin, points=points), matte(leaves))


def furniture(spec: SceneSpec) -> Node:
    """What stands about: posts, crates and bushes outdoors; columns, a bench and pictures in a room."""
    rng = np.random.default_rng([spec.seed, 7])
    nodes: Node = {}
    slots = rng.permutation(np.linspace(-2.3, 2.3, spec.props)) + rng.uniform(-0.2, 0.2, spec.props)
    near = spec.wall_z + 0.45
    for index, x in enumerate(map(float, slots)):
        red, green, blue = map(
            float, rng.uniform(0.3, 0.7) + rng.uniform(-0.12, 0.12, 3) + [0.08, 0.0, -0.08]
        )
        key, seed = f"prop{index}", spec.seed + index
        if index % 3 == 0:
            nodes[key] = post(x, near, seed)
        elif spec.light == "room":
            nodes[key] = hang(x, spec.wall_z + 0.02, float(rng.uniform(0.4, 0.6)), seed)
        elif index % 3 == 1:
            half = float(rng.uniform(0.24, 0.4))
            nodes[key] = box((x, half, near), (half * 1.2, half, half), "planks", (red, green, blue), seed)
        else:
            nodes[key] = bush(key, (x, 0.3, near), 0.42, seed)
    return nodes


def hang(x: float, z: float, half: float, seed: int) -> Node:
    """A picture on the wall."""
    mi = mitsuba()
    where = mi.ScalarTransform4f().translate([x, 1.55, z]).scale([half, half * 0.75, 1.0])
    return {"type": "rectangle", "to_world": where, "bsdf": matte(image(painting(seed)))}


def lights(spec: SceneSpec) -> Node:
    """Sun and sky, or a room's window and ceiling: one panorama, so that every light sample counts."""
    mi = mitsuba()
    x, y, z = np.array(spec.sun_from) / np.linalg.norm(spec.sun_from)
    light = sky(spec.seed, (x, y, z)) if spec.light == "sun" else room_light((x, y, z))
    return {"light": {"type": "envmap", "bitmap": mi.Bitmap(light)}}


def surroundings(spec: SceneSpec) -> Node:
    """Floor and walls; trees beyond a low wall."""
    mi = mitsuba()
    flat = mi.ScalarTransform4f().rotate([1, 0, 0], -90).scale(14.0)
    ground = image(surface(spec.floor, spec.floor_colour, spec.seed, 1024), (28 / TILE_M[spec.floor],) * 2)
    nodes: Node = {"floor": {"type": "rectangle", "to_world": flat}}
    nodes["floor"]["bsdf"] = polished(ground, spec.gloss, spec.roughness)
    half = spec.wall_height / 2
    wide, back = spec.wall_reach, spec.wall_z - 0.15
    nodes["wall"] = box((0.0, half, back), (wide, half, 0.15), spec.wall, spec.wall_colour, spec.seed)
    if spec.light == "room":
        low: Colour = (0.0, 0.3, spec.wall_z)
        nodes["plinth"] = box(low, (wide, 0.3, 0.03), "planks", (0.42, 0.27, 0.16), spec.seed)
        return nodes
    top: Colour = (0.0, 2 * half + 0.05, back)
    nodes["coping"] = box(top, (wide, 0.05, 0.22), "plaster", (0.7, 0.68, 0.64), spec.seed)
    for index, x in enumerate((-4.6, -1.7, 1.5, 4.3)):
        key, rise = f"tree{index}", 0.3 * (index % 2)
        nodes[key] = bush(key, (x, 0.9 + rise, -7.0), 1.35, spec.seed + index)
    return nodes


def sensor(spec: SceneSpec, time: float, spp: int) -> Node:
    """The camera at `time`, its film and its light samples."""
    mi = mitsuba()
    at, to = camera(spec, time)
    height, width = spec.size_hw
    film = {"type": "hdrfilm", "width": width, "height": height}
    return {
        "type": "perspective",
        "fov": spec.fov_deg,
        "fov_axis": "x",
        "to_world": mi.ScalarTransform4f().look_at(origin=at.tolist(), target=to.tolist(), up=[0, 1, 0]),
        "film": film | {"rfilter": {"type": "gaussian", "stddev": 0.45}},
        "sampler": {"type": "multijitter", "sample_count": spp},
    }


def build_scene(spec: SceneSpec, time: float, with_figure: bool, *, spp: int = 36) -> Node:
    """The Mitsuba description of the scene at `time` seconds, with the figure or as the clean plate."""
    # Sun and sky need no bounce between surfaces to look right, a mirror needs one: each further bounce
    # costs time and adds noise that would have to be coded.
    depth = 2 if spec.light == "sun" and not spec.gloss else 3
    scene: Node = {"type": "scene", "integrator": {"type": "path", "max_depth": depth, "rr_depth": 9}}
    scene["sensor"] = sensor(spec, time, spp)
    scene |= lights(spec) | surroundings(spec) | furniture(spec)
    if with_figure:
        for cloth, skin in skins(spec, time).items():
            weave = image(surface("plaster", getattr(spec, cloth), spec.seed + 1, 256), (1.0, 0.5))
            scene[f"figure_{cloth}"] = mesh(f"figure_{cloth}", skin, matte(weave))
    return scene
