"""Regions painted beside the object: for the whole clip, from a frame on, by frame, as a video."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from osor_video.errors import MaskError
from osor_video.masks.painted import MaskReading
from osor_video.masks.region import AS_REGION, FrameRegions, Region, Regions
from osor_video.tensors import Mask
from tests.apps.clips import write_clip

SIZE_HW = (96, 128)
FRAMES = 6


def square(left: int) -> Mask:
    mask = np.zeros(SIZE_HW, dtype=bool)
    mask[20:40, left : left + 10] = True
    return mask


def paint(path: Path, mask: Mask) -> Path:
    cv2.imwrite(str(path), mask.astype(np.uint8) * 255)
    return path


def masks(region: Region) -> list[Mask]:
    return list(region.resolve(FRAMES, SIZE_HW).masks())


def test_a_picture_holds_for_the_whole_clip(tmp_path: Path) -> None:
    found = masks(Region(paths=(paint(tmp_path / "a.png", square(10)),)))
    assert len(found) == FRAMES
    assert all(np.array_equal(mask, square(10)) for mask in found)


def test_a_picture_of_a_frame_holds_until_the_next_and_a_black_one_ends_it(tmp_path: Path) -> None:
    at = {2: square(10), 3: square(50), 5: square(0) & False}
    region = Region(
        tuple((frame, paint(tmp_path / f"{frame}.png", mask)) for frame, mask in at.items()),
        (paint(tmp_path / "always.png", square(90)),),
    )
    wanted = [square(0) & False] * 2 + [square(10), square(50), square(50), square(0) & False]
    for mask, held in zip(masks(region), wanted, strict=True):
        assert np.array_equal(mask, held | square(90))


def test_a_folder_by_frame_number_and_a_whole_one(tmp_path: Path) -> None:
    some, every = tmp_path / "some", tmp_path / "every"
    for folder, frames in ((some, (0, 4)), (every, range(FRAMES))):
        folder.mkdir()
        for frame in frames:
            paint(folder / f"{frame:05d}.png", square(10 * frame))
    found = masks(Region(paths=(some,)))
    assert [np.array_equal(mask, square(0)) for mask in found] == [True] * 4 + [False] * 2
    assert np.array_equal(found[5], square(40))
    assert all(
        np.array_equal(mask, square(10 * frame)) for frame, mask in enumerate(masks(Region(paths=(every,))))
    )


def test_a_video_of_masks(tmp_path: Path) -> None:
    pictures = [np.repeat(square(10 * i)[..., None] * np.uint8(255), 3, axis=2) for i in range(FRAMES)]
    found = masks(Region(paths=(write_clip(tmp_path / "m.mkv", pictures),)))
    assert all((mask != square(10 * i)).mean() < 0.02 for i, mask in enumerate(found))


def test_a_region_may_be_empty_and_may_cover_everything(tmp_path: Path) -> None:
    black, white = (
        paint(tmp_path / f"{value}.png", np.full(SIZE_HW, value, dtype=bool)) for value in (False, True)
    )
    assert not masks(Region(paths=(black,)))[0].any()
    assert masks(Region(paths=(white,)))[0].all()
    with pytest.raises(MaskError, match="covers 100%"):
        masks(Region(paths=(white,), reading=MaskReading()))


def test_what_does_not_fit_is_refused_at_the_door(tmp_path: Path) -> None:
    small = paint(tmp_path / "small.png", square(0)[::2, ::2])
    with pytest.raises(MaskError, match=r"small\.png is 64x48, the clip is 128x96"):
        Region(paths=(small,)).resolve(FRAMES, SIZE_HW)
    fitted = Region(paths=(small,), reading=MaskReading(fit=True, region=True))
    assert masks(fitted)[0].shape == SIZE_HW
    with pytest.raises(MaskError, match=r"none\.png does not exist"):
        Region(paths=(tmp_path / "none.png",)).resolve(FRAMES, SIZE_HW)
    with pytest.raises(MaskError, match="given for frame 6, but the clip has frames 0 to 5"):
        Region(((6, small),)).resolve(FRAMES, SIZE_HW)
    assert AS_REGION.region


def test_regions_come_as_the_clip_is_coded_and_none_where_nothing_is_painted(tmp_path: Path) -> None:
    added = Region(((1, paint(tmp_path / "a.png", square(10))),))
    frames = list(Regions(added).by_frame(FRAMES, SIZE_HW, 0))
    assert frames[0] == FrameRegions()
    assert frames[1].added is not None
    assert np.array_equal(frames[1].added, square(10))
    assert frames[1].kept is None
    turned = next(
        iter(Regions(Region(paths=(tmp_path / "a.png",))).by_frame(FRAMES, SIZE_HW[::-1], 90))
    ).added
    assert turned is not None
    assert turned.shape == SIZE_HW[::-1]
