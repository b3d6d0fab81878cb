"""Boxes by frame: both forms, what is drawn of them, what is refused."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from osor_video.errors import MaskError
from osor_video.masks.boxes import read_boxes
from osor_video.masks.marks import Marks
from osor_video.masks.sequence import GivenMasks
from osor_video.tensors import Mask

SIZE_HW = (96, 128)
PACKED = "Ta1h0X2000000000000000000000000000000000000000000000Ro0LRQO000oZ4]O_VN"
"""As pycocotools packs the mask of ``packed_mask``."""


def packed_mask() -> Mask:
    mask = np.zeros(SIZE_HW, bool)
    mask[36:60, 16:40] = mask[5, 100] = mask[70:90, 50:53] = True
    return mask


def write(folder: Path, tree: Any) -> Path:
    file = folder / "boxes.json"
    file.write_text(json.dumps(tree))
    return file


def drawn(file: Path, frames: int = 4, *labels: str) -> list[Mask]:
    given = Marks(boxes=(read_boxes(file, labels),)).resolve(frames, SIZE_HW)
    assert isinstance(given, GivenMasks)
    return list(given.masks(SIZE_HW))


def coco(**changes: Any) -> dict[str, Any]:
    return {
        "images": [
            {"id": 7 + index, "file_name": f"shot/{index:05d}.jpg", "height": 96, "width": 128}
            for index in range(4)
        ],
        "annotations": [{"id": 1, "image_id": 8, "bbox": [10, 20, 5, 6], "category_id": 1, "track_id": 3}],
        "categories": [{"id": 1, "name": "face"}, {"id": 2, "name": "plate"}],
    } | changes


def test_the_simple_form(tmp_path: Path) -> None:
    tree = {
        "0": [[10, 20, 5, 6], {"box": [1.2, 2.5, 3, 4], "label": "face"}],
        "2": [[-5, 90, 10, 50]],
        "3": [],
    }
    masks = drawn(write(tmp_path, {"frames": tree}))
    expected = np.zeros((4, *SIZE_HW), bool)
    expected[0, 20:26, 10:15] = True
    expected[0, 2:7, 1:5] = True  # every pixel that is touched
    expected[2, 90:96, 0:5] = True
    assert np.array_equal(masks, expected)
    (only, *_) = drawn(tmp_path / "boxes.json", 4, "face")
    assert only.sum() == 5 * 4


def test_boxes_polygons_and_run_lengths_of_coco(tmp_path: Path) -> None:
    triangle = [10, 10, 50, 10, 10, 50]
    runs = np.flatnonzero(np.diff(np.r_[0, packed_mask().T.ravel(), 0]))
    counts = np.diff(np.r_[0, runs, packed_mask().size]).tolist()
    size = {"size": list(SIZE_HW)}
    annotations = [
        {"image_id": 7, "bbox": [10, 20, 5, 6], "segmentation": [triangle], "category_id": 1},
        {"image_id": 8, "bbox": [10, 20, 5, 6], "segmentation": [], "category_id": 2},
        {"image_id": 9, "segmentation": size | {"counts": counts}, "category_id": 2},
        {"image_id": 10, "segmentation": size | {"counts": PACKED}, "category_id": 1},
    ]
    masks = drawn(write(tmp_path, coco(annotations=annotations)))
    polygon = cv2.fillPoly(np.zeros(SIZE_HW, np.uint8), [np.array(triangle, np.int32).reshape(-1, 1, 2)], 1)
    assert np.array_equal(masks[0], polygon > 0)
    assert masks[1].sum() == 30
    assert np.array_equal(masks[2], packed_mask())
    assert np.array_equal(masks[3], packed_mask())
    faces = drawn(tmp_path / "boxes.json", 4, "face")
    assert [bool(mask.any()) for mask in faces] == [True, False, False, True]


@pytest.mark.parametrize("first", [0, 1, 1001])
def test_images_may_be_numbered_from_anywhere(tmp_path: Path, first: int) -> None:
    images = [{"id": index, "file_name": f"f{index + first}.png"} for index in range(4)]
    masks = drawn(write(tmp_path, coco(images=images, annotations=[{"image_id": 2, "bbox": [0, 0, 2, 2]}])))
    assert [bool(mask.any()) for mask in masks] == [False, False, True, False]


def test_frames_of_a_tracker_by_their_own_number(tmp_path: Path) -> None:
    images = [{"id": 4, "video_id": 1, "frame_id": 2, "file_name": "a.jpg"}]
    tree = coco(images=images, annotations=[{"image_id": 4, "bbox": [0, 0, 2, 2], "instance_id": 9}])
    masks = drawn(write(tmp_path, tree | {"videos": [{"id": 1, "name": "a"}]}))
    assert [bool(mask.any()) for mask in masks] == [False, False, True, False]


BAD: list[tuple[Any, str]] = [
    ([], 'has neither "frames" nor "images"'),
    ({"frames": []}, 'has neither "frames" nor "images"'),
    (
        {"frames": {"0": [[1, 2, 3]]}},
        r"boxes.json, frame 0: a box is \[1, 2, 3\], expected x, y, width, height",
    ),
    ({"frames": {"0": [[1, 2, 0, 4]]}}, "the last two above 0"),
    ({"frames": {"0": [[1, 2, "3", 4]]}}, "expected a list of numbers"),
    ({"frames": {"0": [[1, 2, float("nan"), 4]]}}, "expected a list of numbers"),
    ({"frames": {"0": [[1, 2, True, 4]]}}, "expected a list of numbers"),
    ({"frames": {"0": {"a": 1}}}, "expected a list of boxes"),
    ({"frames": {"-1": [[1, 2, 3, 4]]}}, "has a frame called '-1'"),
    ({"frames": {"x": [[1, 2, 3, 4]]}}, "has a frame called 'x'"),
    ({"frames": {"0": []}}, "has no boxes at all"),
    ({"frames": {"4": [[1, 2, 3, 4]]}}, "has boxes for frame 4, but the clip has frames 0 to 3"),
    ({"frames": {"0": [[128, 2, 3, 4]]}}, "the box 128,2,3,4 lies outside the frame of 128x96"),
    ({"frames": {"1": [[0, 0, 128, 96]]}}, "frame 1 covers 100% of the frame"),
    (coco(videos=[{"id": 1}, {"id": 2}]), "has 2 videos, expected one"),
    (coco(annotations=[{"image_id": 99, "bbox": [0, 0, 2, 2]}]), "an annotation for image 99"),
    (coco(annotations=[{"bbox": [0, 0, 2, 2]}]), "is not in COCO's form: KeyError 'image_id'"),
    (coco(annotations=7), "is not in COCO's form"),
    (coco(images=[{"id": 8, "file_name": "a.jpg"}]), "does not say which frame the image 'a.jpg' is"),
    (coco(images=[{"id": n, "file_name": "a0.jpg"} for n in (7, 8)]), "has two images of one frame"),
    (
        coco(images=[{"id": 8, "file_name": "1.jpg", "height": 48, "width": 64}]),
        "is made for pictures of 64x48, the clip is 128x96",
    ),
    (coco(annotations=[{"image_id": 8, "segmentation": [[1, 2, 3, 4]]}]), "fewer than three corners"),
    (
        coco(annotations=[{"image_id": 8, "segmentation": {"size": [48, 64], "counts": [48 * 64]}}]),
        "a segmentation is 64x48, the clip is 128x96",
    ),
    (
        coco(annotations=[{"image_id": 8, "segmentation": {"size": [96, 128], "counts": [5, 5]}}]),
        "add up to 10 pixels, expected 128x96",
    ),
    (
        coco(annotations=[{"image_id": 8, "segmentation": {"size": [96, 128], "counts": "Ta1"}}]),
        "add up to",
    ),
    (
        coco(annotations=[{"image_id": 8, "segmentation": {"size": [96, 128], "counts": "Ta"}}]),
        "break off in the middle",
    ),
    (coco(annotations=[{"image_id": 8}]), "expected a list of numbers"),
]


@pytest.mark.parametrize(("tree", "said"), BAD)
def test_what_does_not_do(tmp_path: Path, tree: Any, said: str) -> None:
    with pytest.raises(MaskError, match=said):
        Marks(boxes=(read_boxes(write(tmp_path, tree)),)).resolve(4, SIZE_HW)


def test_files_that_do_not_do(tmp_path: Path) -> None:
    with pytest.raises(MaskError, match="cannot be read"):
        read_boxes(tmp_path / "none.json")
    (tmp_path / "a.json").write_bytes(b"\xff{")
    with pytest.raises(MaskError, match="are not JSON"):
        read_boxes(tmp_path / "a.json")
    with pytest.raises(MaskError, match=r"has no boxes called 'dog'; there are: face"):
        read_boxes(write(tmp_path, coco()), ["dog"])


def test_boxes_over_each_other_may_have_more_area_than_the_frame(tmp_path: Path) -> None:
    (mask,) = drawn(write(tmp_path, {"frames": {"0": [[0, 0, 100, 90]] * 5}}), 1)
    assert mask.sum() == 100 * 90


def test_masks_of_a_long_clip_are_made_one_by_one(tmp_path: Path) -> None:
    frames, size_hw = 14_400, (1080, 1920)
    tree = {"frames": {str(index): [[index % 1000, 40, 60, 80]] for index in range(frames)}}
    file = write(tmp_path, tree)
    tracemalloc.start()
    given = Marks(boxes=(read_boxes(file),)).resolve(frames, size_hw)
    assert isinstance(given, GivenMasks)
    masks = given.masks(size_hw)
    assert [int(next(masks).sum()) for _ in range(20)] == [60 * 80] * 20
    assert tracemalloc.get_traced_memory()[1] < 40e6  # a mask is 2 MB, all of them 30 GB
    tracemalloc.stop()
