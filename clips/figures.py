"""Render figures and things on a transparent ground: cut-outs to train on, whole from head to foot.

    python clips/figures.py OUT --count 96       # about 3 s each on two CPU cores

writes `OUT/person-NNNNN.png` (four of five: walking or standing, seen from any side) and `OUT/thing-NNNNN.png` (balls,
crates, posts, bushes), 8-bit sRGB with alpha, for `--cutouts OUT`. Light, clothes, posture and view are drawn from the
number, so a file is the same whenever it is made. No scene of `spec.py` is in them. Needs Mitsuba as `render.py` does.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
from render import Array, Picture, add_mitsuba_options, begin
from scene import Node, box, bush, image, matte, mesh, mitsuba, post
from spec import random_spec
from textures import Surface, room_light, sky, surface
from walker import skins

THING_EVERY = 5
FIRST_SEED = 700_000  # far from the seeds that scenes are drawn with
CLOTH: tuple[Surface, ...] = ("plaster", "plaster", "plaster", "planks", "tiles", "leaves")
log = logging.getLogger("clips")


def light(number: int, rng: np.random.Generator) -> Node:
    """Sun and sky or a room, over a ground that throws back less than the sky sends."""
    mi = mitsuba()
    angle, rise = float(rng.uniform(0, 2 * np.pi)), float(rng.uniform(0.3, 1.5))
    x, y, z = np.array([np.cos(angle), rise, np.sin(angle)]) / np.hypot(1.0, rise)
    towards = (float(x), float(y), float(z))
    panorama = sky(number, towards) if rng.random() < 0.6 else 1.6 * room_light(towards)
    below = np.ones((panorama.shape[0], 1, 1), np.float32)
    below[panorama.shape[0] // 2 :] = rng.uniform(0.25, 0.6)
    return {"type": "envmap", "bitmap": mi.Bitmap(np.asarray(panorama * below, np.float32))}


def person(number: int, rng: np.random.Generator) -> tuple[Node, float]:
    """(a figure at a moment of its walk, the metres that it takes up); half of them carry nothing."""
    stands = bool(rng.random() < 0.25)
    speed = float(rng.uniform(0.0, 0.25)) if stands else float(rng.uniform(0.9, 2.0))
    spec = replace(
        random_spec(number), speed=speed, start_x=0.0, heading_deg=float(rng.uniform(0, 360)), seed=number
    )
    clothes = skins(spec, float(rng.uniform(0, 0.88)))
    if rng.random() < 0.5:
        del clothes["pack"]
    centre = np.mean([skin.points.mean(0) for skin in clothes.values()], axis=0) * [1, 0, 1]
    nodes: Node = {}
    for cloth, skin in clothes.items():
        kind = cast(Surface, rng.choice(CLOTH)) if cloth in {"shirt", "trousers", "pack"} else "plaster"
        weave = image(surface(kind, getattr(spec, cloth), number + 1, 256), (1.0, 0.5))
        nodes[cloth] = mesh(cloth, replace(skin, points=skin.points - centre), matte(weave))
    return nodes, spec.height


def thing(number: int, rng: np.random.Generator) -> tuple[Node, float]:
    """(a ball, crate, post or bush, the metres that it takes up)."""
    mi = mitsuba()
    kind = cast(Surface, rng.choice(["plaster", "planks", "brick", "tiles"]))
    red, green, blue = (float(value) for value in rng.uniform(0.1, 0.85, 3))
    shape = int(rng.integers(4))
    if shape == 0:
        texture = image(surface(kind, (red, green, blue), number, 256), (4.0, 2.0))
        where = mi.ScalarTransform4f().translate([0, 0.4, 0]).scale(0.4)
        return {"ball": {"type": "sphere", "to_world": where, "bsdf": matte(texture)}}, 0.8
    if shape == 1:
        half = [float(value) for value in rng.uniform(0.2, 0.5, 3)]
        crate = box((0, half[1], 0), (half[0], half[1], half[2]), kind, (red, green, blue), number)
        turn = mi.ScalarTransform4f().rotate([0, 1, 0], float(rng.uniform(0, 90)))
        return {"crate": crate | {"to_world": turn @ crate["to_world"]}}, 2 * float(np.linalg.norm(half))
    if shape == 2:
        height = float(rng.uniform(0.5, 1.6))
        return {"post": post(0.0, 0.0, number) | {"p1": [0, height, 0]}}, height
    return {"bush": bush("bush", (0, 0.35, 0), 0.42, number)}, 1.15


def camera(size_m: float, side_px: int, rng: np.random.Generator, spp: int) -> Node:
    """A camera some way above the ground, far enough to see all of what stands at the origin."""
    mi = mitsuba()
    away, above = 2.6 * size_m, size_m * float(rng.uniform(0.45, 1.3))
    film = {"type": "hdrfilm", "width": side_px, "height": side_px, "pixel_format": "rgba"}
    return {
        "type": "perspective",
        "fov": 26.0,
        "to_world": mi.ScalarTransform4f().look_at(
            origin=[0, above, away], target=[0, 0.46 * size_m, 0], up=[0, 1, 0]
        ),
        "film": film | {"rfilter": {"type": "gaussian", "stddev": 0.45}},
        "sampler": {"type": "multijitter", "sample_count": spp},
    }


def developed(frame: Array, exposure: float) -> Picture:
    """Linear light times coverage, and coverage `[H, W, 4]` -> sRGB and alpha, cut to what is covered."""
    alpha = np.clip(frame[..., 3:], 0, 1)
    linear = frame[..., :3] / np.maximum(alpha, 1e-3)
    film = 1.0 - np.exp(-1.3 * exposure * linear)
    coded = np.where(film < 0.0031308, 12.92 * film, 1.055 * np.maximum(film, 1e-6) ** (1 / 2.4) - 0.055)
    rgba = np.clip(np.rint(255.0 * np.dstack([coded, alpha])), 0, 255).astype(np.uint8)
    left, top, width, height = cv2.boundingRect((rgba[..., 3] > 5).astype(np.uint8))
    return np.asarray(rgba[top : top + height, left : left + width])


def render_cutout(number: int, side_px: int, spp: int) -> tuple[str, Picture]:
    """(name, RGBA picture) of the cut-out with this number."""
    mi = mitsuba()
    seed = FIRST_SEED + number
    rng = np.random.default_rng(seed)
    kind = "thing" if number % THING_EVERY == THING_EVERY - 1 else "person"
    nodes, size_m = thing(seed, rng) if kind == "thing" else person(seed, rng)
    integrator = {"type": "path", "max_depth": 3, "rr_depth": 9, "hide_emitters": True}
    scene: dict[str, Any] = {"type": "scene", "integrator": integrator, "light": light(seed, rng), **nodes}
    scene["sensor"] = camera(size_m, side_px, rng, spp)
    frame = np.array(mi.render(mi.load_dict(scene), spp=spp, seed=seed), dtype=np.float32)
    return f"{kind}-{number:05d}", developed(frame, float(rng.uniform(0.9, 1.7)))


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Render figures and things as cut-outs with alpha.")
    parser.add_argument("out", type=Path, help="folder of the PNG files")
    parser.add_argument("--count", type=int, default=96, help="how many")
    parser.add_argument("--first", type=int, default=0, help="number of the first")
    parser.add_argument("--side", type=int, default=320, help="side of the frame they are rendered in, in px")
    parser.add_argument("--spp", type=int, default=48, help="light samples per pixel")
    add_mitsuba_options(parser)
    options = parser.parse_args()
    begin(options)
    options.out.mkdir(parents=True, exist_ok=True)
    for number in range(options.first, options.first + options.count):
        name, rgba = render_cutout(number, options.side, options.spp)
        cv2.imwrite(str(options.out / f"{name}.png"), cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA))
        log.info("%s: %d x %d px", name, rgba.shape[1], rgba.shape[0])


if __name__ == "__main__":
    main()
