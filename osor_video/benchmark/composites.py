"""Cases made on the spot: an object cut out of one sequence, laid with a drawn shadow on another, so that the truth is known.

The sequences are those of a folder laid out as DAVIS lays them out (``davis.py``); the recipes are YAML files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

import cv2
import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field

from osor_video.benchmark.cases import Case, read_recipes
from osor_video.benchmark.davis import open_sequences, read_mask, read_picture
from osor_video.benchmark.gallery import write_picture
from osor_video.removal.crop import bounding_box
from osor_video.tensors import FloatMap, Mask, Picture, to_uint8

EDGE_PX = 0.7
"""Standard deviation of the blur that softens a drawn mask to the edge of a picture."""
SHAKE_SHARE = 0.004
"""Standard deviation of the hand's shift from frame to frame, over the height."""
SHAKE_RAD = 0.002
STEADYING = 0.9
"""Share of the hand's way that is left a frame later."""
BORDER_SHARE = 0.06
"""Width that a hand-held picture is cut by on each side, so that its edge never shows."""

Share = Annotated[float, Field(gt=0, le=1)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Shadow(_Part):
    """A shadow on the ground, sheared away from the object's foot."""

    lean: float = Field(ge=-3, le=3)
    """Way to the right over the way upwards."""
    squash: Share
    """Length upwards over the object's height."""
    strength: Share
    """Share of the light it takes."""
    blur: float = Field(ge=0, le=0.1)
    """Standard deviation of its softness over the picture's height."""


class Composite(_Part):
    """One recipe."""

    name: str
    """Name in the table."""
    object: str
    """Sequence whose object is laid on."""
    ground: str
    """Sequence that it is laid on."""
    camera: Literal["filmed", "still", "handheld"]
    """``filmed``: the ground as it was filmed; else its first frame, held still or shaken as by a hand."""
    place: tuple[Share, Share]
    """Where the object's centre is held, (x, y) over width and height."""
    drift: tuple[float, float] = (0.0, 0.0)
    """How far the place moves a frame, over width and height."""
    scale: float = Field(gt=0.05, le=2)
    """Size of the object over its own."""
    shadow: Shadow
    frames: int = Field(ge=8)
    """How many; at most as many as the sequences have."""
    height: int = Field(default=256, ge=64, multiple_of=2)
    """Of the pictures, in pixels; their width keeps the ground's aspect."""
    grain: float = Field(default=1.0, ge=0, le=20)
    """Standard deviation of the camera's noise, in levels, new in every frame."""


def read_composites(folder: Path) -> list[Composite]:
    """Every ``*.yaml`` of ``folder``; ConfigError where there is none or one does not fit."""
    return read_recipes(folder, Composite, "composites")


def make_case(recipe: Composite, sequences: Path, folder: Path) -> Case:
    """Write the shot, its first mask, the clean plate and all masks of ``recipe`` into ``folder``, as PNG sequences.

    The camera's noise is the same in the shot and on the plate. Raises ConfigError where ``sequences`` has not what is named.
    """
    cut_out, ground = open_sequences(sequences, [recipe.object, recipe.ground])
    random = np.random.default_rng(0)
    plates = _plates(recipe, ground.pictures)
    paths = {key: folder / recipe.name / key / "%04d.png" for key in ("clip", "clean", "masks")}
    for path in paths.values():
        path.parent.mkdir(parents=True)
    for index, (drawn, path, plate) in enumerate(zip(cut_out.masks, cut_out.pictures, plates, strict=False)):
        shot, mask = _laid_on(plate, read_picture(path), read_mask(drawn), recipe, index)
        grain = random.normal(0, recipe.grain, plate.shape)
        for key, values in (("clip", shot + grain), ("clean", plate + grain), ("masks", _white(mask))):
            write_picture(Path(str(paths[key]) % index), to_uint8(values / 255))
    return Case(name=recipe.name, first=Path(str(paths["masks"]) % 0), **paths)


def _plates(recipe: Composite, pictures: Sequence[Path]) -> Iterator[FloatMap]:
    """The ground without the object [H, W, 3] in levels, frame by frame."""
    hand = _Hand(recipe.height)
    for index in range(min(recipe.frames, len(pictures))):
        picture = read_picture(pictures[index if recipe.camera == "filmed" else 0])
        width = round(picture.shape[1] * recipe.height / picture.shape[0] / 2) * 2
        size = width, recipe.height
        if recipe.camera == "handheld":
            matrix = hand.shaken(picture.shape, size)
            plate = cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_AREA)
        else:
            plate = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        yield np.asarray(plate, np.float32)


class _Hand:
    """A camera that is held by hand: it strays and is brought back."""

    def __init__(self, height: int) -> None:
        self._random = np.random.default_rng(1)
        self._spread = np.array([height * SHAKE_SHARE, height * SHAKE_SHARE, SHAKE_RAD])
        self._stray = np.zeros(3)

    def shaken(self, shape: tuple[int, ...], size: tuple[int, int]) -> npt.NDArray[np.float64]:
        """The map [2, 3] of the next frame, from a picture of ``shape`` to one of ``size`` (width, height)."""
        self._stray = STEADYING * self._stray + self._random.normal(0, self._spread)
        x, y, angle = self._stray
        scale = size[1] / shape[0] * (1 + 2 * BORDER_SHARE)
        matrix = cv2.getRotationMatrix2D((shape[1] / 2, shape[0] / 2), float(np.degrees(angle)), scale)
        matrix[:, 2] += size[0] / 2 - shape[1] / 2 + x, size[1] / 2 - shape[0] / 2 + y
        return np.asarray(matrix, np.float64)


def _laid_on(
    plate: FloatMap, picture: Picture, drawn: Mask, recipe: Composite, index: int
) -> tuple[FloatMap, Mask]:
    """The object of ``picture`` on ``plate`` with its shadow, in levels [H, W, 3], and its mask [H, W]."""
    height, width = plate.shape[:2]
    scale = recipe.scale * height / drawn.shape[0]
    middle = _middle(drawn)
    wanted = (
        (share + index * drift) * side
        for share, drift, side in zip(recipe.place, recipe.drift, (width, height), strict=True)
    )
    shift = [there - scale * here for there, here in zip(wanted, middle, strict=True)]
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]])
    colour, matte = (
        cv2.warpAffine(values, matrix, (width, height), flags=cv2.INTER_AREA)
        for values in (picture.astype(np.float32), drawn.astype(np.float32))
    )
    mask = np.asarray(matte > 0.5)
    lit = plate * (1 - _shadow(recipe.shadow, mask))[..., None]
    opaque = cv2.GaussianBlur(matte, (0, 0), EDGE_PX)[..., None]
    return np.asarray(lit * (1 - opaque) + colour * opaque, np.float32), mask


def _middle(mask: Mask) -> tuple[float, float]:
    """Centre (x, y) of a mask's bounding box; of the picture where it is empty."""
    box = bounding_box(mask)
    if box is None:
        return mask.shape[1] / 2, mask.shape[0] / 2
    top, left, bottom, right = box
    return (left + right - 1) / 2, (top + bottom - 1) / 2


def _shadow(shadow: Shadow, mask: Mask) -> FloatMap:
    """Share of the light [H, W] that the object takes from the ground: its outline, laid down from its lowest row."""
    height, width = mask.shape
    if not mask.any():
        return np.zeros((height, width), np.float32)
    foot = float(np.flatnonzero(mask.any(axis=1))[-1])
    lean = -shadow.lean * shadow.squash
    matrix = np.array([[1, lean, -lean * foot], [0, shadow.squash, (1 - shadow.squash) * foot]])
    lying = cv2.warpAffine(mask.astype(np.float32), matrix, (width, height))
    if shadow.blur:
        lying = cv2.GaussianBlur(lying, (0, 0), shadow.blur * height)
    return np.asarray(shadow.strength * lying, np.float32)


def _white(mask: Mask) -> FloatMap:
    return np.repeat(mask[..., None], 3, axis=2).astype(np.float32) * 255
