"""Render still pairs in folders that the validation of a model reads (and nothing is trained on).

    python clips/pairs.py OUT --count 32 --size 256      # 12 s a pair on one CPU core

gives `OUT/shot`, `OUT/background` (the same place without the figure), `OUT/object_mask` (the figure alone) and
`OUT/mask` (figure, shadow and reflection), each with `0000.png` and so on. Shot and plate share light samples and
grain, so they differ by the figure and its effects and by nothing else; the effects are found before the grain
is laid over both. Pairs take turns in the sun, in a room with soft light, and on a floor that mirrors. Needs what
`clips/render.py` needs.
"""

from __future__ import annotations

import argparse
import logging
from dataclasses import replace
from itertools import count
from pathlib import Path
from time import perf_counter

import cv2
import numpy as np
from numpy.typing import NDArray
from render import (
    Array,
    Picture,
    add_mitsuba_options,
    begin,
    develop,
    expose,
    object_mask,
    render_frame,
)
from spec import SceneSpec, random_spec
from textures import Colour

KINDS = ("sun", "room", "mirror")
VISIBLE = 0.035
"""Change of the strongest colour channel from which an effect counts as seen; as the drawn pairs of training have it."""
BLUR_PX = 1.0
"""Of the change, signed, before it is judged: single light samples that the figure caught average out."""
SPECK_SHARE = 0.0005
"""Parts of the effect smaller than this share of the picture, and away from the figure, are noise."""
log = logging.getLogger("clips")


def pair_spec(seed: int, side_px: int) -> tuple[SceneSpec, int]:
    """(scene, frame to render): a random place of the kind whose turn it is, the figure anywhere in view."""
    rng = np.random.default_rng([seed, 17])
    kind = KINDS[seed % len(KINDS)]
    light = "sun" if kind == "sun" else "room"
    drawn = (random_spec(1000 * seed + trial, (side_px, side_px)) for trial in count())
    spec = next(spec for spec in drawn if spec.light == light)
    light_x, light_y, _ = spec.sun_from
    frame = int(rng.integers(spec.frames))
    heading = float(rng.uniform(0, 360))
    along = spec.speed * frame / spec.rate
    stands_x = float(rng.uniform(-1.2, 1.2))
    stands_z = -along * float(np.sin(np.deg2rad(heading)))
    at = (
        stands_x + float(rng.uniform(-1.0, 1.0)),
        float(rng.uniform(1.0, 2.4)),
        float(rng.uniform(4.6, 7.0)),
    )
    fov = float(rng.uniform(34.0, 46.0))
    aim = look_past((stands_x, spec.height / 2, stands_z), at, fov, rng)
    gloss, roughness = float(rng.uniform(0.35, 0.65)), float(rng.uniform(0.005, 0.05))
    return replace(
        spec,
        name=f"{kind}{seed:04d}",
        camera="still",
        camera_at=at,
        look_at=aim,
        fov_deg=fov,
        sun_from=(light_x, light_y, float(rng.uniform(-0.5, 1.1))),
        wall_z=min(spec.wall_z, -2.8),  # what stands along it stays clear of the figure
        wall_reach=12.0,
        heading_deg=heading,
        start_x=stands_x - along * float(np.cos(np.deg2rad(heading))),
        gloss=gloss if kind == "mirror" else 0.0,
        roughness=roughness,
    ), frame


def look_past(figure: Colour, at: Colour, fov_deg: float, rng: np.random.Generator) -> Colour:
    """Where to look for the figure's middle to stand anywhere but near the picture's edge."""
    half = float(np.tan(np.deg2rad(fov_deg) / 2) * np.hypot(at[0] - figure[0], at[2] - figure[2]))
    right, up = rng.uniform(-0.75, 0.75), rng.uniform(-0.15, 0.35)
    return figure[0] - half * float(right), figure[1] - half * float(up), figure[2]


def effect_mask(shot: Array, plate: Array, figure: Picture) -> Picture:
    """255 where exposed pictures [H, W, 3] without grain visibly differ, and where the figure is."""
    change = np.abs(cv2.GaussianBlur(shot - plate, (0, 0), BLUR_PX)).max(axis=2)
    seen = ((change > VISIBLE) | (figure > 0)).astype(np.uint8)
    _, labels, stats, _ = cv2.connectedComponentsWithStats(seen)
    kept = stats[:, cv2.CC_STAT_AREA] >= SPECK_SHARE * seen.size
    kept[np.unique(labels[figure > 0])] = True
    kept[0] = False
    return np.asarray(np.where(kept[labels], 255, 0), np.uint8)


def render_pair(seed: int, side_px: int, spp: int) -> dict[str, NDArray[np.uint8]]:
    """The pictures of one pair by the folder they belong in, RGB or grey."""
    spec, frame = pair_spec(seed, side_px)
    shot, plate = (render_frame(spec, frame, figure, spp) for figure in (True, False))
    figure = object_mask(spec, frame)
    return {
        "shot": develop(shot, spec, frame),
        "background": develop(plate, spec, frame),
        "object_mask": figure,
        "mask": effect_mask(expose(shot, spec), expose(plate, spec), figure),
    }


def write_pair(out: Path, name: str, pictures: dict[str, NDArray[np.uint8]]) -> None:
    """One PNG a folder."""
    for folder, picture in pictures.items():
        path = out / folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        stored = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(path), stored)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Render pairs for the validation of a model.")
    parser.add_argument("out", type=Path, help="folder of the pairs")
    parser.add_argument("--count", type=int, default=32, help="how many")
    parser.add_argument("--size", type=int, default=256, help="side of a picture in pixels")
    parser.add_argument("--spp", type=int, default=36, help="light samples per pixel")
    add_mitsuba_options(parser)
    options = parser.parse_args()
    begin(options)
    for seed in range(options.count):
        begun = perf_counter()
        write_pair(options.out, f"{seed:04d}", render_pair(seed, options.size, options.spp))
        log.info("pair %d of %d: %.1f s", seed + 1, options.count, perf_counter() - begun)


if __name__ == "__main__":
    main()
