"""The user's first mask: each way to give it, each way it can be wrong."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from osor_video.errors import MaskError
from osor_video.masks.painted import load_mask
from osor_video.masks.seed import ArraySeed, BoxSeed, PictureSeed, PolygonSeed, Seed
from osor_video.tensors import Mask

SIZE_HW = (40, 60)


def drawn() -> Mask:
    mask = np.zeros(SIZE_HW, dtype=bool)
    mask[10:20, 30:45] = True
    return mask


def white(dtype: type[np.uint8] | type[np.uint16] = np.uint8) -> np.ndarray:
    return drawn().astype(dtype) * np.iinfo(dtype).max


def save(path: Path, picture: np.ndarray) -> Path:
    assert cv2.imwrite(str(path), picture)
    return path


def rgba(opaque: Mask, colour: Mask) -> np.ndarray:
    channels = [colour.astype(np.uint8) * 255] * 3
    return np.stack([*channels, opaque.astype(np.uint8) * 255], axis=-1)


@pytest.mark.parametrize(
    "picture",
    [
        pytest.param(white(), id="grey"),
        pytest.param(white(np.uint16), id="16 bit"),
        pytest.param(np.repeat(white()[..., None], 3, axis=2), id="rgb"),
        pytest.param(np.stack([white() * 0, white(), white() * 0], axis=-1), id="green counts as painted"),
        pytest.param(rgba(drawn(), np.ones(SIZE_HW, bool)), id="rgba, alpha says it"),
        pytest.param(rgba(drawn(), np.zeros(SIZE_HW, bool)), id="rgba, black paint on clear ground"),
        pytest.param(rgba(np.ones(SIZE_HW, bool), drawn()), id="rgba, opaque throughout"),
    ],
)
def test_pictures_of_every_kind_give_the_same_mask(tmp_path: Path, picture: np.ndarray) -> None:
    found = PictureSeed(save(tmp_path / "mask.png", picture)).mask(SIZE_HW)
    assert found.dtype == np.bool_
    assert np.array_equal(found, drawn())


def test_a_soft_edge_is_cut_at_half(tmp_path: Path) -> None:
    grey = np.zeros(SIZE_HW, np.uint8)
    grey[0, :4] = 127, 128, 1, 255
    assert load_mask(save(tmp_path / "mask.png", grey), SIZE_HW)[0, :4].tolist() == [False, True, False, True]


def test_a_path_beyond_ascii_is_read(tmp_path: Path) -> None:
    save(tmp_path / "mask.png", white()).rename(tmp_path / "Käfer ü.png")
    assert np.array_equal(load_mask(tmp_path / "Käfer ü.png", SIZE_HW), drawn())


def test_a_box_is_x_y_width_height() -> None:
    assert np.array_equal(BoxSeed((30, 10, 15, 10)).mask(SIZE_HW), drawn())


def test_a_box_may_touch_the_edges() -> None:
    assert BoxSeed((50, 30, 10, 10)).mask(SIZE_HW).sum() == 100
    assert BoxSeed((0, 0, 1, 1)).mask(SIZE_HW)[0, 0]


def test_a_polygon_includes_its_corners() -> None:
    assert np.array_equal(PolygonSeed(((30, 10), (44, 10), (44, 19), (30, 19))).mask(SIZE_HW), drawn())


def test_an_array_is_taken_as_it_is() -> None:
    assert np.array_equal(ArraySeed(drawn()).mask(SIZE_HW), drawn())


@pytest.mark.parametrize(
    ("seed", "message"),
    [
        (BoxSeed((50, 10, 11, 5)), r"Box 50,10,11,5 does not lie inside the 60x40 frame"),
        (BoxSeed((5, 36, 5, 5)), r"does not lie inside"),
        (BoxSeed((-1, 0, 5, 5)), r"does not lie inside"),
        (BoxSeed((0, -1, 5, 5)), r"does not lie inside"),
        (BoxSeed((0, 0, 0, 5)), r"does not lie inside"),
        (BoxSeed((0, 0, 5, 0)), r"does not lie inside"),
        (BoxSeed((0, 0, 60, 40)), r"mask of the box covers 100% of the frame, at most 95% can be filled"),
        (PolygonSeed(((0, 0), (5, 5))), r"A polygon needs at least 3 corners, got 2"),
        (
            PolygonSeed(((0, 0), (60, 5), (5, 5))),
            r"Corner 60,5 lies outside the 60x40 frame.*x from 0 to 59",
        ),
        (PolygonSeed(((0, 0), (5, 40), (5, 5))), r"Corner 5,40 lies outside.*y from 0 to 39"),
        (PolygonSeed(((0, 0), (-1, 4), (5, 5))), r"Corner -1,4 lies outside"),
        (ArraySeed(np.zeros(SIZE_HW, bool)), r"The mask of the array is empty\. Paint the object"),
        (ArraySeed(np.ones(SIZE_HW, bool)), r"mask of the array covers 100%.*is the mask inverted"),
        (
            ArraySeed(np.ones((60, 40), bool)),
            r"mask array is \(60, 40\), the clip is \(40, 60\)",
        ),
    ],
)
def test_a_seed_that_does_not_fit_is_refused(seed: Seed, message: str) -> None:
    with pytest.raises(MaskError, match=message):
        seed.mask(SIZE_HW)


def test_a_missing_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MaskError, match=r"none\.png does not exist\. Give a PNG of the first frame"):
        load_mask(tmp_path / "none.png", SIZE_HW)


@pytest.mark.parametrize("content", [b"", b"no picture at all"])
def test_a_file_that_is_no_picture_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "mask.png").write_bytes(content)
    with pytest.raises(MaskError, match=r"mask\.png is not a readable picture\. Save it as PNG"):
        load_mask(tmp_path / "mask.png", SIZE_HW)


def test_a_picture_of_another_size_is_refused_never_resized(tmp_path: Path) -> None:
    path = save(tmp_path / "mask.png", white()[:, :50])
    with pytest.raises(MaskError, match=r"mask\.png is 50x40, the clip is 60x40"):
        load_mask(path, SIZE_HW)


def test_an_empty_picture_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "mask.png", np.zeros(SIZE_HW, np.uint8))
    with pytest.raises(MaskError, match=r"mask\.png is empty\. Paint the object to remove in white"):
        load_mask(path, SIZE_HW)
