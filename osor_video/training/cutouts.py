"""Objects to paste: cut from labelled photographs, or from pictures with transparency.

Labels are YOLO's polygons (class x y x y ..., normalised). A picture with transparency (PNG or WebP) is one object;
``person`` among the words of its name says that it is one, ``cut`` that it ends at the lower edge before its feet.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from osor_video.errors import ConfigError
from osor_video.tensors import FloatMap, Picture, to_uint8
from osor_video.training.photos import (
    HELD_OUT,
    HELD_OUT_EVERY,
    TRAIN,
    is_pack,
    is_split,
    pictures_in,
    read_picture,
)

PERSON, THING = 0, -1
"""Labels of people (as in COCO) and of what has no label."""
TRANSPARENT_SUFFIXES = {".png", ".webp"}
SMALLEST_HEIGHT_PX = 56
SMALLEST_AREA_PX = 1600
EDGE_PX = 3
"""An object that ends this near to its photograph's lower edge goes on beyond it."""
FAINTEST = 0.02
"""Rows and columns of a matte that is nowhere above this are no part of the object."""
LARGEST_PIECE = 0.95
"""An object of several pieces, the largest with a smaller share, was half hidden in its photograph."""
BUST_SHARE = 0.4
"""Of a person's width, taken up by the lowest rows: feet are narrower."""
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
    """(training, validation) objects of ``folder``, whatever it holds; split by file.

    It may hold labelled photographs (``images/`` and ``labels/``), pictures with transparency, or those in the
    folders of a split (``train/`` and ``held_out/``), or be a data pack. ConfigError where there are too few objects.
    """
    if is_pack(folder):
        return load_cutouts(folder / "cutouts")
    if is_split(folder):
        parts = [pictures_in(folder / part) for part in (TRAIN, HELD_OUT)]
        split = [[read_cutout(path) for path in part] for part in parts]
    elif (folder / "images").is_dir():
        split = _split_by_file([_labelled(path) for path in sorted(folder.glob("images/**/*.jpg"))])
    else:
        paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in TRANSPARENT_SUFFIXES)
        split = _split_by_file([[read_cutout(path)] for path in paths])
    if not split[0] or not split[1]:
        raise ConfigError(
            f"{folder} holds too few objects ({len(split[0])} to train on, {len(split[1])} to validate); expected "
            "images/*.jpg with labels/*.txt, or PNG or WebP files with transparency."
        )
    return split[0], split[1]


def _split_by_file(files: list[list[Cutout]]) -> list[list[Cutout]]:
    return [
        [
            cutout
            for index, found in enumerate(files)
            if (index % HELD_OUT_EVERY == 0) == held
            for cutout in found
        ]
        for held in (False, True)
    ]


def read_cutout(path: Path) -> Cutout:
    """The object of a picture with transparency, its empty rim cut away; ConfigError for any other picture."""
    bgra = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if bgra is None:
        raise ConfigError(f"{path} cannot be read as a picture; remove it from the folder of cut-outs.")
    if bgra.ndim != 3 or bgra.shape[2] != 4:
        raise ConfigError(f"{path} has no transparency; a cut-out is a PNG or WebP with an alpha channel.")
    values = bgra.astype(np.float32) / np.iinfo(bgra.dtype).max
    blue, green, red, matte = cv2.split(values)
    words = re.split(r"[^a-z]+", path.stem.lower())
    label = PERSON if "person" in words else THING
    cutout = _ready(Cutout(label, cv2.merge([red, green, blue]), matte, "cut" in words))
    if cutout is None:
        raise ConfigError(f"{path} is transparent all over; remove it from the folder of cut-outs.")
    return cutout


def read_labels(image_path: Path) -> list[tuple[int, FloatMap]]:
    """(class, polygon [N, 2] of x, y in [0, 1]) of each object of a labelled photograph; none where it has no labels."""
    label_path = Path(str(image_path).replace("/images/", "/labels/")).with_suffix(".txt")
    if not label_path.exists():
        return []
    rows = [line.split() for line in label_path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return [(int(row[0]), np.array(row[1:], dtype=np.float32).reshape(-1, 2)) for row in rows]


def polygon_points(picture: Picture, polygon: FloatMap) -> np.ndarray[tuple[int, ...], np.dtype[np.int32]]:
    """The corners of a label's polygon in pixels of its picture [H, W, 3], int32 [N, 2]."""
    return np.rint(polygon * [picture.shape[1], picture.shape[0]]).astype(np.int32)


def _labelled(image_path: Path) -> list[Cutout]:
    """The objects of one photograph; none where it has no labels."""
    labels = read_labels(image_path)
    if not labels:
        return []
    picture = read_picture(image_path)
    found = [_cut(picture, label, polygon) for label, polygon in labels]
    return [cutout for cutout in found if cutout is not None]


def _cut(picture: Picture, label: int, polygon: FloatMap) -> Cutout | None:
    """Cut one polygon; None where the object is too small to be pasted larger than a smudge."""
    points = polygon_points(picture, polygon)
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
    ends_early = top + height >= picture.shape[0] - EDGE_PX or (label == PERSON and _is_bust(matte))
    return _ready(Cutout(label, colour, soft, cut_off=ends_early))


def _is_bust(matte: FloatMap) -> bool:
    """Whether the object ends below in a long straight edge, as a person behind a table does."""
    low = matte[-max(2, matte.shape[0] // 25) :].min(axis=0)
    return bool(low.sum() > BUST_SHARE * matte.shape[1])


def _in_one_piece(matte: FloatMap) -> bool:
    """Whether hardly anything stands before the object: a head and two feet would throw no man's shadow."""
    # Labels of several polygons are joined by lines; a thin object is thicker than they are.
    opened = cv2.morphologyEx((matte > 0.5).astype(np.uint8), cv2.MORPH_OPEN, np.ones((4, 4), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(opened)
    areas = stats[1:, cv2.CC_STAT_AREA]
    return len(areas) > 0 and bool(areas.max() >= LARGEST_PIECE * areas.sum())


def _ready(cutout: Cutout) -> Cutout | None:
    """Shrunk if it is large, in steps of 1 / 255 as a file holds it, without an empty rim; None if empty."""
    longest = max(cutout.matte.shape)
    if longest > LONGEST_SIDE_PX:
        cutout = sized(cutout, cutout.matte.shape[0] * LONGEST_SIDE_PX / longest, 10**6, mirrored=False)
    colour, matte = (to_uint8(values).astype(np.float32) / 255.0 for values in (cutout.colour, cutout.matte))
    left, top, width, height = cv2.boundingRect((matte > FAINTEST).astype(np.uint8))
    if width < 2 or height < 2:
        return None
    rows, columns = slice(top, top + height), slice(left, left + width)
    return replace(
        cutout,
        colour=np.ascontiguousarray(colour[rows, columns]),
        matte=np.ascontiguousarray(matte[rows, columns]),
    )


def choose_cutout(cutouts: list[Cutout], random: np.random.Generator, person_share: float = 0.6) -> Cutout:
    """A person with ``person_share``, else any object; less often one that its photograph cut off."""
    people = [cutout for cutout in cutouts if cutout.label == PERSON]
    pool = people if people and random.random() < person_share else cutouts
    whole = [cutout for cutout in pool if not cutout.cut_off]
    pool = whole if whole and random.random() < WHOLE_SHARE else pool
    return pool[int(random.integers(len(pool)))]


def choose_like(cutout: Cutout, cutouts: list[Cutout], random: np.random.Generator) -> Cutout:
    """A whole object with the label of ``cutout``; that itself where there is no other."""
    alike = [other for other in cutouts if other.label == cutout.label and not other.cut_off]
    return alike[int(random.integers(len(alike)))] if alike else cutout


def raised(cutout: Cutout, gap_px: int) -> Cutout:
    """The object with ``gap_px`` empty rows below it: it hovers."""
    rows = ((0, gap_px), (0, 0))
    return replace(cutout, colour=np.pad(cutout.colour, (*rows, (0, 0))), matte=np.pad(cutout.matte, rows))


def repainted(cutout: Cutout, random: np.random.Generator, pattern: Picture | None = None) -> Cutout:
    """The same shape in other colours on one side of a line through it, as clothes have and their wearer has not.

    With a ``pattern`` [S, S, 3] that side is printed with it, in the light that was on the object. What belongs together does not
    always look alike: whoever completes a mask has to learn it from shapes.
    """
    height, width = cutout.matte.shape
    angle = float(random.normal(0, 0.5))
    y, x = np.mgrid[:height, :width].astype(np.float32)
    along = y * np.float32(np.cos(angle)) + x * np.float32(np.sin(angle))
    line = np.quantile(along[cutout.matte > 0.5], float(random.uniform(0.15, 0.85)))
    softness_px = 1.0 + 0.01 * height
    part = (0.5 + 0.5 * np.tanh((along - line) / (2 * softness_px)))[..., None].astype(np.float32)
    if random.random() < 0.5:
        part = 1 - part
    painted = _dyed(cutout, random) if pattern is None else _printed(cutout, pattern)
    return replace(cutout, colour=part * painted + (1 - part) * cutout.colour)


def _dyed(cutout: Cutout, random: np.random.Generator) -> FloatMap:
    """A turn of the hue about the grey axis, another saturation, and a gamma that burns nothing out."""
    grey = cutout.colour.mean(axis=2, keepdims=True)
    turned = (cutout.colour - grey) @ _hue_turn(float(random.uniform(0, 2 * np.pi)))
    painted = np.clip(grey + turned * np.float32(random.uniform(0.3, 1.5)), 0, 1)
    return np.asarray(painted ** np.float32(np.exp(random.normal(0, 0.5))), np.float32)


def _printed(cutout: Cutout, pattern: Picture) -> FloatMap:
    """``pattern`` with the shading of the object."""
    height, width = cutout.matte.shape
    cloth = cv2.resize(pattern, (width, height), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    grey = cutout.colour.mean(axis=2, keepdims=True)
    usual = max(float(grey[cutout.matte > 0.5].mean()), 0.05)
    return np.asarray(np.clip(cloth * np.clip(grey / usual, 0.4, 1.6), 0, 1), np.float32)


def _hue_turn(angle: float) -> FloatMap:
    """The rotation [3, 3] of colours about grey (Rodrigues)."""
    matrix: FloatMap = cv2.Rodrigues(np.full(3, angle / np.sqrt(3)))[0].astype(np.float32)
    return matrix


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
