"""A made scene, with and without its object, whose object and shadow are known to the pixel."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from osor_video.tensors import FloatMap, Mask, Picture, to_uint8
from tests.training.conftest import texture


@dataclass(frozen=True)
class Scene:
    """``shot`` and ``clean`` uint8 [H, W, 3], the ``object_mask`` and the ``effect_mask`` (object and shadow)."""

    shot: Picture
    clean: Picture
    object_mask: Mask
    effect_mask: Mask


def ellipse(size_hw: tuple[int, int], centre: tuple[float, float], axes: tuple[float, float]) -> FloatMap:
    """1 inside, 0 outside; centre and half axes (y, x) in parts of the picture."""
    height, width = size_hw
    canvas = np.zeros(size_hw, np.float32)
    middle = (round(centre[1] * width), round(centre[0] * height))
    cv2.ellipse(canvas, middle, (round(axes[1] * width), round(axes[0] * height)), 0, 0, 360, 1.0, -1)
    return canvas


def scene(seed: int = 0, size_hw: tuple[int, int] = (384, 512), grain: float = 0.0) -> Scene:
    """A dark figure with a soft shadow that takes up to half of the light; ``grain`` differs in both pictures."""
    clean = 0.35 + 0.5 * texture(seed, *size_hw).astype(np.float32) / 255
    figure = ellipse(size_hw, (0.45, 0.4), (0.25, 0.1))
    shadow = cv2.GaussianBlur(ellipse(size_hw, (0.7, 0.58), (0.06, 0.25)), (0, 0), size_hw[0] / 96)
    # Half of the light is .73 of the sRGB value.
    shaded = clean * (1 - 0.27 * shadow[..., None])
    shot = np.where(figure[..., None] > 0, np.array([0.25, 0.1, 0.12], np.float32), shaded)
    random = np.random.default_rng(seed)
    sides = [to_uint8(side + random.normal(0, grain, side.shape)) for side in (shot, clean)]
    object_mask = np.asarray(figure > 0)
    return Scene(sides[0], sides[1], object_mask, object_mask | (shadow > 0.25))


def write_rgb(path: Path, picture: Picture) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


def write_mask(path: Path, mask: Mask) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), mask.astype(np.uint8) * 255)


def write_plates(folder: Path, count: int = 3, *, masks: tuple[str, ...] = ("mask", "object_mask")) -> Path:
    """``count`` scenes as plates named 00, 01 ...; ``masks`` says which of the optional folders are written."""
    for index in range(count):
        made = scene(index, (160, 192))
        write_rgb(folder / f"shot/{index:02d}.png", made.shot)
        write_rgb(folder / f"background/{index:02d}.png", made.clean)
        if "mask" in masks:
            write_mask(folder / f"mask/{index:02d}.png", made.effect_mask)
        if "object_mask" in masks:
            write_mask(folder / f"object_mask/{index:02d}.png", made.object_mask)
    return folder


def iou(found: Mask, true: Mask) -> float:
    return float((found & true).sum() / (found | true).sum())
