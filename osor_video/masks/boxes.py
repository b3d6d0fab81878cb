"""Boxes by frame from other programs' detectors, as the masks of a clip: nothing is followed, frames without boxes stay whole.

The simple form::

    {"frames": {"0": [[x, y, width, height], ...], "7": [{"box": [x, y, width, height], "label": "face"}]}}

and that of COCO: ``images`` (``id``, ``file_name`` or ``frame_index``), ``annotations`` (``image_id``, ``bbox``, or
``segmentation`` as polygons or run lengths) and ``categories``; with ``videos``, as trackers write it, there may be one video.
Pixels of the shown frame, from its upper left corner; fractions are allowed, and what sticks out of the frame is cut off.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from osor_video.errors import MaskError
from osor_video.masks.painted import MAX_COVERAGE, check_coverage
from osor_video.tensors import Mask

FRAME_KEYS = ("frame_index", "frame_id", "frame")
"""What programs call the number of a frame, from 0 on."""
SUBPIXEL_BITS = 4
SHOWN = 12


@dataclass(frozen=True)
class Box:
    """A rectangle x, y, width, height in pixels, and what it is said to hold."""

    xywh: tuple[float, float, float, float]
    label: str = ""

    def draw(self, mask: npt.NDArray[np.uint8]) -> None:
        """Set every pixel of ``mask`` [H, W] to 1 that the rectangle touches."""
        x, y, width, height = self.xywh
        rows = slice(max(math.floor(y), 0), max(math.ceil(y + height), 0))
        mask[rows, max(math.floor(x), 0) : max(math.ceil(x + width), 0)] = 1

    def extent(self) -> tuple[float, float, float, float]:
        """The rectangle."""
        return self.xywh


@dataclass(frozen=True)
class Outline:
    """Polygons, each x1, y1, x2, y2, ... in pixels; together they are one thing."""

    polygons: tuple[tuple[float, ...], ...]
    label: str = ""

    def draw(self, mask: npt.NDArray[np.uint8]) -> None:
        """Set every pixel of ``mask`` [H, W] to 1 that lies within one of them, or on its edge."""
        for corners in self.polygons:
            points = np.rint(np.asarray(corners).reshape(-1, 1, 2) * 2**SUBPIXEL_BITS).astype(np.int32)
            cv2.fillPoly(mask, [points], 1, shift=SUBPIXEL_BITS)

    def extent(self) -> tuple[float, float, float, float]:
        """The rectangle around all of them."""
        points = np.concatenate([np.asarray(corners).reshape(-1, 2) for corners in self.polygons])
        (x, y), (right, bottom) = points.min(axis=0), points.max(axis=0)
        return float(x), float(y), float(right - x), float(bottom - y)


@dataclass(frozen=True)
class RunLengths:
    """A mask as COCO packs it: lengths of runs of 0 and 1 in turn, down one column after the other."""

    size_hw: tuple[int, int]
    counts: str | tuple[int, ...]
    label: str = ""

    def draw(self, mask: npt.NDArray[np.uint8]) -> None:
        """Set every pixel of ``mask`` [H, W] to 1 that is within."""
        runs = self.lengths()
        values = np.arange(len(runs)) % 2
        mask |= np.repeat(values, runs).astype(np.uint8).reshape(self.size_hw[::-1]).T

    def lengths(self) -> list[int]:
        """The runs; MaskError where they do not add up to the size."""
        runs = _unpacked(self.counts) if isinstance(self.counts, str) else list(self.counts)
        if any(run < 0 for run in runs) or sum(runs) != self.size_hw[0] * self.size_hw[1]:
            raise MaskError(
                f"A segmentation's run lengths add up to {sum(runs)} pixels, expected {self.size_hw[1]}x{self.size_hw[0]}."
            )
        return runs

    def extent(self) -> tuple[float, float, float, float]:
        """The whole frame it was made for."""
        return 0, 0, self.size_hw[1], self.size_hw[0]


Shape = Box | Outline | RunLengths


@dataclass(frozen=True)
class BoxMasks:
    """What is to go, by frame; drawn when its frame's turn comes.

    ``numbered``: whether the numbers are the files' own, so that as many as the clip has frames, without a gap, are its frames in
    order whatever they begin with. ``size_hw`` is what the file says of the pictures' size.
    """

    name: str
    frames: Mapping[int, tuple[Shape, ...]]
    numbers: tuple[int, ...] = ()
    size_hw: tuple[int, int] | None = None

    def over(self, frames: int) -> BoxMasks:
        """The same by the frames of a clip of so many; MaskError where there are boxes beyond it."""
        numbers = self.numbers
        first = numbers[0] if numbers and len(numbers) == frames == numbers[-1] - numbers[0] + 1 else 0
        beyond = [number for number in self.frames if not first <= number < first + frames]
        if beyond:
            raise MaskError(
                f"{self.name} has boxes for frame {max(beyond, key=abs)}, but the clip has frames 0 to {frames - 1}. Number "
                "them by the clip's frames."
            )
        shifted = {number - first: shapes for number, shapes in self.frames.items()}
        drawn = {number: shifted.get(number, ()) for number in range(frames)}
        return BoxMasks(self.name, drawn, size_hw=self.size_hw)

    def check(self, size_hw: tuple[int, int]) -> None:
        """MaskError for boxes that lie outside a frame of ``size_hw``, that cover all of it, or are made for another size."""
        height, width = size_hw
        if self.size_hw is not None and self.size_hw != size_hw:
            rows, columns = self.size_hw
            raise MaskError(
                f"{self.name} is made for pictures of {columns}x{rows}, the clip is {width}x{height}. Detect at the clip's "
                "own size."
            )
        for frame, shapes in self.frames.items():
            for shape in shapes:
                self._check_shape(frame, shape, size_hw)
            if (
                sum(w * h for _, _, w, h in (shape.extent() for shape in shapes))
                > MAX_COVERAGE * width * height
            ):
                self._drawn(frame, shapes, size_hw)

    def masks(self, size_hw: tuple[int, int]) -> Generator[Mask, None, None]:
        """The masks, bool ``size_hw`` as shown, one by one; an empty one where there is no box."""
        for frame, shapes in self.frames.items():
            yield self._drawn(frame, shapes, size_hw)

    def _drawn(self, frame: int, shapes: Sequence[Shape], size_hw: tuple[int, int]) -> Mask:
        drawn = np.zeros(size_hw, np.uint8)
        for shape in shapes:
            shape.draw(drawn)
        return check_coverage(drawn.astype(bool), f"{self.name}, frame {frame}")

    def _check_shape(self, frame: int, shape: Shape, size_hw: tuple[int, int]) -> None:
        height, width = size_hw
        if isinstance(shape, RunLengths):
            if shape.size_hw != size_hw:
                raise MaskError(
                    f"{self.name}, frame {frame}: a segmentation is {shape.size_hw[1]}x{shape.size_hw[0]}, the clip is "
                    f"{width}x{height}."
                )
            shape.lengths()
            return
        x, y, w, h = shape.extent()
        if x >= width or y >= height or x + w <= 0 or y + h <= 0:
            raise MaskError(
                f"{self.name}, frame {frame}: the box {x:g},{y:g},{w:g},{h:g} lies outside the frame of {width}x{height}. Give "
                "x,y,width,height in pixels of the clip as it is shown."
            )


def read_boxes(path: Path, labels: Sequence[str] = ()) -> BoxMasks:
    """Read either form; with ``labels`` only what is called so. MaskError says what is wrong where, or that nothing is left."""
    try:
        tree = json.loads(path.read_bytes())
    except OSError as error:
        raise MaskError(f"The boxes {path} cannot be read ({error.strerror}). Give a JSON file.") from error
    except ValueError as error:
        raise MaskError(f"The boxes {path} are not JSON: {error}.") from error
    if isinstance(tree, dict) and isinstance(tree.get("frames"), dict):
        found = BoxMasks(str(path), dict(_simple(path, tree["frames"])))
    elif isinstance(tree, dict) and isinstance(tree.get("images"), list) and "annotations" in tree:
        found = _coco(path, tree)
    else:
        raise MaskError(
            f'{path} has neither "frames" nor "images" with "annotations". Expected '
            '{"frames": {"0": [[x, y, width, height]]}} or COCO\'s form.'
        )
    return _chosen(found, labels)


def _chosen(found: BoxMasks, labels: Sequence[str]) -> BoxMasks:
    there = sorted({shape.label for shapes in found.frames.values() for shape in shapes})
    missing = [label for label in labels if label not in there]
    if missing:
        named = ", ".join(label or "(none)" for label in there[:SHOWN])
        raise MaskError(
            f"{found.name} has no boxes called {missing[0]!r}; there are: {named or 'none at all'}."
        )
    kept = {
        frame: tuple(shape for shape in shapes if not labels or shape.label in labels)
        for frame, shapes in sorted(found.frames.items())
    }
    if not any(kept.values()):
        raise MaskError(f"{found.name} has no boxes at all, so there is nothing to remove.")
    return BoxMasks(found.name, {k: v for k, v in kept.items() if v}, found.numbers, found.size_hw)


def _simple(path: Path, frames: dict[str, Any]) -> Iterator[tuple[int, tuple[Shape, ...]]]:
    for key, given in frames.items():
        if not re.fullmatch(r"\d{1,9}", key):
            raise MaskError(f"{path} has a frame called {key!r}, expected its number from 0 on.")
        where = f"{path}, frame {key}"
        if not isinstance(given, list):
            raise MaskError(f"{where} is {given!r:.60}, expected a list of boxes [x, y, width, height].")
        shapes = []
        for item in given:
            whole = item if isinstance(item, dict) else {"box": item}
            shapes.append(Box(_xywh(where, whole.get("box")), str(whole.get("label", ""))))
        yield int(key), tuple(shapes)


def _coco(path: Path, tree: dict[str, Any]) -> BoxMasks:
    videos = tree.get("videos") or []
    if len(videos) > 1:
        raise MaskError(
            f"{path} has {len(videos)} videos, expected one: the clip. Write a file for each clip."
        )
    try:
        numbers, sizes = {}, set()
        for image in tree["images"]:
            numbers[image["id"]] = _number(path, image)
            sizes.add(
                (image["height"], image["width"]) if image.get("height") and image.get("width") else None
            )
        names = {category["id"]: str(category["name"]) for category in tree.get("categories") or ()}
        frames: dict[int, list[Shape]] = {}
        for item in tree["annotations"]:
            if item["image_id"] not in numbers:
                raise MaskError(
                    f"{path} has an annotation for image {item['image_id']!r}, which is not among its images."
                )
            frame = numbers[item["image_id"]]
            label = names.get(item.get("category_id"), "")
            frames.setdefault(frame, []).append(_annotated(f"{path}, frame {frame}", item, label))
    except (KeyError, TypeError, AttributeError) as error:
        raise MaskError(f"{path} is not in COCO's form: {type(error).__name__} {error}.") from error
    if len(set(numbers.values())) != len(numbers):
        raise MaskError(f"{path} has two images of one frame. Number them by the clip's frames.")
    if len(sizes) > 1:
        raise MaskError(f"{path} has images of several sizes, expected the clip's.")
    kept = {frame: tuple(shapes) for frame, shapes in frames.items()}
    return BoxMasks(str(path), kept, tuple(sorted(numbers.values())), next(iter(sizes), None))


def _number(path: Path, image: dict[str, Any]) -> int:
    """The frame of an image: as it is said, else the last number in its file's name."""
    said = next((image[key] for key in FRAME_KEYS if key in image), None)
    if said is None:
        digits = re.search(r"(\d+)$", Path(str(image.get("file_name", ""))).stem)
        said = int(digits[1]) if digits else None
    if not isinstance(said, int) or isinstance(said, bool) or said < 0:
        raise MaskError(
            f"{path} does not say which frame the image {image.get('file_name', image['id'])!r} is. Give it frame_index, or a "
            "name that ends in its number, such as 00045.jpg."
        )
    return said


def _annotated(where: str, item: dict[str, Any], label: str) -> Shape:
    """An annotation's segmentation, or its box where it has none."""
    given = item.get("segmentation")
    if isinstance(given, dict):
        size, counts = given["size"], given["counts"]
        if isinstance(counts, list):
            counts = tuple(int(count) for count in counts)
        return RunLengths((int(size[0]), int(size[1])), counts, label)
    if given:
        polygons = tuple(tuple(_numbers(where, corners)) for corners in given)
        if any(len(corners) < 6 or len(corners) % 2 for corners in polygons):
            raise MaskError(
                f"{where}: a polygon has fewer than three corners x1,y1,x2,y2,x3,y3, or half a one."
            )
        return Outline(polygons, label)
    return Box(_xywh(where, item.get("bbox")), label)


def _xywh(where: str, given: Any) -> tuple[float, float, float, float]:
    values = _numbers(where, given)
    if len(values) != 4 or min(values[2:]) <= 0:
        raise MaskError(
            f"{where}: a box is {given!r:.60}, expected x, y, width, height, the last two above 0."
        )
    return values[0], values[1], values[2], values[3]


def _numbers(where: str, given: Any) -> list[float]:
    good = isinstance(given, list) and all(
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        for value in given
    )
    if not good:
        raise MaskError(f"{where}: {given!r:.60} stands for a box or polygon, expected a list of numbers.")
    return [float(value) for value in given]


def _unpacked(counts: str) -> list[int]:
    """COCO's compressed run lengths: five bits a character from 48 on, the sixth says that more follow; from the third run on each
    is the difference from the run before the last (rleFrString of the COCO API, Lin et al., arXiv 1405.0312)."""
    runs: list[int] = []
    at = 0
    while at < len(counts):
        value = shift = 0
        more = True
        while more:
            if at >= len(counts):
                raise MaskError("A segmentation's compressed run lengths break off in the middle.")
            code = ord(counts[at]) - 48
            value |= (code & 0x1F) << shift
            more, shift, at = bool(code & 0x20), shift + 5, at + 1
            if not more and code & 0x10:
                value |= -1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
    return runs
