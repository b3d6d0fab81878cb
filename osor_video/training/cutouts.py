"""Objects cut from photographs along polygon labels (YOLO format: class x y x y ..., normalised)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from osor_video.errors import ConfigError
from osor_video.tensors import FloatMap, Picture
from osor_video.training.photos import HELD_OUT_EVERY

PERSON = 0
SMALLEST_HEIGHT_PX = 56
SMALLEST_AREA_PX = 1600
EDGE_PX = 3
"""An object that ends this near to its photograph's lower edge goes on beyond it."""
LARGEST_PIECE = 0.95
"""An object of several pieces, the largest with a smaller share, was half hidden in its photograph."""
LONGEST_SIDE_PX = 384
"""Larger cut-outs are shrunk when they are loaded."""
WHOLE_SHARE = 0.85
"""How often the choice is among whole objects only: those have a foot, and effects in the picture."""
WIDEST_SHARE = 0.9
"""Of the picture's side, the most that an object is wide."""


@dataclass(frozen=True)
class Cutout:
    """One object: ``colour`` float32 [H, W, 3] in [0, 1] and ``matte`` float32 [H, W] in [0, 1]."""

    label: int
    colour: FloatMap
    matte: FloatMap
    cut_off: bool = False
    """Whether the photograph ended before the object did: it can only stand at a picture's lower edge."""


def load_cutouts(folder: Path) -> tuple[list[Cutout], list[Cutout]]:
    """(training, validation) objects of a folder with ``images/`` and ``labels/``; split by photograph."""
    images = sorted(folder.glob("images/**/*.jpg"))
    split: tuple[list[Cutout], list[Cutout]] = ([], [])
    for index, path in enumerate(images):
        labels = Path(str(path).replace("/images/", "/labels/")).with_suffix(".txt")
        if labels.exists():
            split[index % HELD_OUT_EVERY == 0].extend(_cutouts_of(path, labels))
    if not split[0] or not split[1]:
        raise ConfigError(f"{folder} holds too few labelled objects; expected images/*.jpg, labels/*.txt.")
    return split


def _cutouts_of(image_path: Path, label_path: Path) -> list[Cutout]:
    bgr = cv2.imread(str(image_path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ConfigError(f"{image_path} cannot be read as a picture; remove it from the folder of cut-outs.")
    picture = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    rows = [line.split() for line in label_path.read_text(encoding="utf-8").splitlines() if line.strip()]
    found = [_cut(picture, int(row[0]), np.array(row[1:], dtype=np.float32).reshape(-1, 2)) for row in rows]
    return [cutout for cutout in found if cutout is not None]


def _cut(picture: Picture, label: int, polygon: FloatMap) -> Cutout | None:
    """Cut one polygon; None where the object is too small to be pasted larger than a smudge."""
    points = np.rint(polygon * [picture.shape[1], picture.shape[0]]).astype(np.int32)
    left, top, width, height = cv2.boundingRect(points)
    if height < SMALLEST_HEIGHT_PX:
        return None
    colour = picture[top : top + height, left : left + width].astype(np.float32) / 255.0
    matte = np.zeros(colour.shape[:2], np.float32)
    cv2.fillPoly(matte, [points - [left, top]], 1.0)
    if matte.sum() < SMALLEST_AREA_PX or not _in_one_piece(matte):
        return None
    # Polygon labels run a little outside the object; a thinner rim leaves no halo of the old background.
    soft = cv2.GaussianBlur(cv2.erode(matte, np.ones((3, 3), np.uint8)), (0, 0), 0.8)
    return _kept_small(Cutout(label, colour, soft, cut_off=top + height >= picture.shape[0] - EDGE_PX))


def _in_one_piece(matte: FloatMap) -> bool:
    """Whether hardly anything stands before the object: a head and two feet would throw no man's shadow."""
    # Labels of several polygons are joined by lines; a thin object is thicker than they are.
    opened = cv2.morphologyEx((matte > 0.5).astype(np.uint8), cv2.MORPH_OPEN, np.ones((4, 4), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(opened)
    areas = stats[1:, cv2.CC_STAT_AREA]
    return areas.size > 0 and bool(areas.max() >= LARGEST_PIECE * areas.sum())


def _kept_small(cutout: Cutout) -> Cutout:
    longest = max(cutout.matte.shape)
    if longest <= LONGEST_SIDE_PX:
        return cutout
    return sized(cutout, cutout.matte.shape[0] * LONGEST_SIDE_PX / longest, 10**6, mirrored=False)


def choose_cutout(cutouts: list[Cutout], random: np.random.Generator, person_share: float = 0.6) -> Cutout:
    """A person with ``person_share``, else any object; less often one that its photograph cut off."""
    people = [cutout for cutout in cutouts if cutout.label == PERSON]
    pool = people if people and random.random() < person_share else cutouts
    whole = [cutout for cutout in pool if not cutout.cut_off]
    pool = whole if whole and random.random() < WHOLE_SHARE else pool
    return pool[int(random.integers(len(pool)))]


def premultiplied(cutout: Cutout) -> FloatMap:
    """Colour times matte, and the matte [H, W, 4]: the form in which pictures may be resized and laid over."""
    colours = [colour * cutout.matte for colour in cv2.split(cutout.colour)]
    return np.asarray(cv2.merge([*colours, cutout.matte]), np.float32)


def sized(cutout: Cutout, height_px: float, side_px: int, *, mirrored: bool) -> Cutout:
    """The object at ``height_px``, less where it would be wider than most of the picture."""
    height, width = cutout.matte.shape
    scale = min(height_px / height, WIDEST_SHARE * side_px / width)
    size_wh = (max(2, round(width * scale)), max(4, round(height * scale)))
    shrunk = cv2.resize(premultiplied(cutout), size_wh, interpolation=cv2.INTER_AREA)
    if mirrored:
        shrunk = np.ascontiguousarray(shrunk[:, ::-1])
    *colours, matte = cv2.split(shrunk)
    gain = 1 / np.maximum(matte, 1e-3)
    return replace(
        cutout, colour=np.clip(cv2.merge([colour * gain for colour in colours]), 0, 1), matte=matte
    )
