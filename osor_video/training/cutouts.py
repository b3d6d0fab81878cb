"""Objects cut from photographs along polygon labels (YOLO format: class x y x y ..., normalised)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from osor_video.errors import ConfigError
from osor_video.tensors import FloatMap, Picture
from osor_video.training.photos import HELD_OUT_EVERY

PERSON = 0
SMALLEST_HEIGHT_PX = 56
SMALLEST_AREA_PX = 1600


@dataclass(frozen=True)
class Cutout:
    """One object: ``colour`` float32 [H, W, 3] in [0, 1] and ``matte`` float32 [H, W] in [0, 1]."""

    label: int
    colour: FloatMap
    matte: FloatMap


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
    if matte.sum() < SMALLEST_AREA_PX:
        return None
    # Polygon labels run a little outside the object; a thinner rim leaves no halo of the old background.
    soft = cv2.GaussianBlur(cv2.erode(matte, np.ones((3, 3), np.uint8)), (0, 0), 0.8)
    return Cutout(label, colour, soft)


def choose_cutout(cutouts: list[Cutout], random: np.random.Generator, person_share: float = 0.6) -> Cutout:
    """A person with ``person_share``, else any object."""
    people = [cutout for cutout in cutouts if cutout.label == PERSON]
    pool = people if people and random.random() < person_share else cutouts
    return pool[int(random.integers(len(pool)))]
