"""What the user gives: several masks, labels, masks by frame, whole sequences, points; and each way it can be wrong."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from PIL import Image

from osor_video.errors import MaskError
from osor_video.masks.marks import Keyframes, Marks
from osor_video.masks.painted import MaskReading, load_mask
from osor_video.masks.seed import ArraySeed, PictureSeed, PointsSeed, UnionSeed
from osor_video.masks.sequence import GivenMasks
from osor_video.tensors import Mask
from tests.masks.test_snap_and_shots import red_disc
from tests.world import World, jaccard

SIZE_HW = (40, 60)
FRAMES = 5


def square(left: int) -> Mask:
    mask = np.zeros(SIZE_HW, dtype=bool)
    mask[10:20, left : left + 10] = True
    return mask


def save(path: Path, mask: Mask) -> Path:
    assert cv2.imwrite(str(path), mask.astype(np.uint8) * 255)
    return path


def save_labels(path: Path, palette: list[int]) -> Path:
    """Labels 1 (at column 5) and 3 (at 30) in an indexed PNG."""
    numbers = np.zeros(SIZE_HW, np.uint8)
    numbers[square(5)], numbers[square(30)] = 1, 3
    picture = Image.fromarray(numbers, mode="P")
    picture.putpalette(palette)
    picture.save(path)
    return path


def save_video(path: Path, masks: list[Mask], codec: str, pix_fmt: str) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=Fraction(24))
        stream.height, stream.width, stream.pix_fmt = *SIZE_HW, pix_fmt
        for mask in masks:
            frame = av.VideoFrame.from_ndarray(mask.astype(np.uint8) * 255, format="gray")
            out.mux(stream.encode(frame.reformat(format=pix_fmt)))
        out.mux(stream.encode(None))
    return path


COLOURS = [0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0]


def masks_of(marks: Marks) -> list[Mask]:
    given = marks.resolve(FRAMES, SIZE_HW)
    assert isinstance(given, GivenMasks)
    return list(given.masks(SIZE_HW))


def seeds_of(marks: Marks) -> dict[int, Mask]:
    found = marks.resolve(FRAMES, SIZE_HW)
    assert isinstance(found, Keyframes)
    return {frame: seed.mask(SIZE_HW) for frame, seed in found.seeds.items()}


# --- one frame --------------------------------------------------------------------------------------------


def test_every_label_of_an_indexed_picture_is_an_object_or_those_that_are_chosen(tmp_path: Path) -> None:
    path = save_labels(tmp_path / "labels.png", COLOURS)
    assert np.array_equal(load_mask(path, SIZE_HW), square(5) | square(30))
    assert np.array_equal(load_mask(path, SIZE_HW, MaskReading((3,))), square(30))
    assert np.array_equal(load_mask(path, SIZE_HW, MaskReading((1, 3))), square(5) | square(30))
    with pytest.raises(MaskError, match=r"labels\.png has no label 2; its labels are: 1, 3\. Choose"):
        load_mask(path, SIZE_HW, MaskReading((1, 2)))


def test_an_indexed_picture_of_greys_is_a_painted_mask(tmp_path: Path) -> None:
    path = save_labels(tmp_path / "grey.png", [255, 255, 255, 0, 0, 0, 9, 9, 9, 0, 0, 0])
    assert np.array_equal(load_mask(path, SIZE_HW), ~(square(5) | square(30)))
    assert np.array_equal(load_mask(path, SIZE_HW, MaskReading((1,))), square(5))


def test_labels_in_a_grey_picture_are_read_when_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    cv2.imwrite(str(path), square(5).astype(np.uint16) + square(30).astype(np.uint16) * 700)
    assert np.array_equal(load_mask(path, SIZE_HW, MaskReading((700,))), square(30))
    with pytest.raises(MaskError, match="is empty"):
        load_mask(path, SIZE_HW)


def test_labels_of_a_picture_in_colour_are_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "colour.png"), np.full((*SIZE_HW, 3), 200, np.uint8))
    with pytest.raises(MaskError, match=r"--labels is given, but mask .*colour\.png has colours, not labels"):
        load_mask(tmp_path / "colour.png", SIZE_HW, MaskReading((1,)))


def test_a_mask_of_another_size_is_fitted_only_when_asked_and_of_one_aspect(tmp_path: Path) -> None:
    half = save(tmp_path / "half.png", square(30)[::2, ::2])
    assert np.array_equal(load_mask(half, SIZE_HW, MaskReading(fit=True)), square(30))
    with pytest.raises(MaskError, match=r"half\.png is 30x20, the clip is 60x40.*--fit-mask to resize it"):
        load_mask(half, SIZE_HW)
    odd = save(tmp_path / "odd.png", square(30)[:, :50])
    with pytest.raises(MaskError, match=r"odd\.png is 50x40, .*--fit-mask takes the same aspect within 2%"):
        load_mask(odd, SIZE_HW, MaskReading(fit=True))
    save(tmp_path / "near.png", np.pad(square(30), ((0, 0), (0, 1))))
    assert load_mask(tmp_path / "near.png", SIZE_HW, MaskReading(fit=True)).shape == SIZE_HW


def test_a_point_finds_the_object_it_lies_on() -> None:
    picture, mask = red_disc()
    found = PointsSeed(((60, 50),)).object_in(picture)
    assert jaccard(found, mask) > 0.97


def test_points_find_the_walker_and_leave_what_is_said_not_to_be(world: World) -> None:
    ys, xs = np.nonzero(world.masks[0])
    x, y = int(xs.mean()), int(ys.mean())
    on = ((x, y), (x, y - 15), (x, y + 15))
    assert jaccard(PointsSeed(on).object_in(world.frames[0]), world.masks[0]) > 0.8
    off = (x, y + 20)
    assert not PointsSeed(on[:2], (off,)).object_in(world.frames[0])[off[1], off[0]]


@pytest.mark.parametrize("seed", [PointsSeed(((60, 5),)), PointsSeed(((5, 5),), ((60, 5),))])
def test_a_point_outside_is_refused(seed: PointsSeed) -> None:
    with pytest.raises(MaskError, match=r"Point 60,5 lies outside the 60x40 frame.*x from 0 to 59"):
        seed.mask(SIZE_HW)


def test_a_union_that_covers_the_frame_is_refused() -> None:
    left, right = np.zeros((2, *SIZE_HW), dtype=bool)
    left[:, :31], right[:, 29:] = True, True
    with pytest.raises(MaskError, match="mask of all parts covers 100%"):
        UnionSeed((ArraySeed(left), ArraySeed(right))).mask(SIZE_HW)


# --- by frame ---------------------------------------------------------------------------------------------


def test_several_pictures_are_removed_together(tmp_path: Path) -> None:
    paths = save(tmp_path / "person.png", square(5)), save(tmp_path / "bag.png", square(30))
    found = seeds_of(Marks(paths=paths))
    assert list(found) == [0]
    assert np.array_equal(found[0], square(5) | square(30))


def test_masks_stand_at_their_frames(tmp_path: Path) -> None:
    fix = PictureSeed(save(tmp_path / "fix.png", square(30)))
    found = seeds_of(Marks(((3, fix), (0, ArraySeed(square(5))))))
    assert list(found) == [0, 3]
    assert np.array_equal(found[3], square(30))


def test_a_folder_with_some_frames_gives_keyframes(tmp_path: Path) -> None:
    for frame in (1, 4):
        save(tmp_path / f"{frame:05d}.png", square(5 * frame))
    (tmp_path / "notes.txt").write_text("no mask")
    found = seeds_of(Marks(paths=(tmp_path,)))
    assert list(found) == [1, 4]
    assert np.array_equal(found[4], square(20))


@pytest.mark.parametrize("first", [0, 1001])
def test_a_folder_with_a_picture_for_every_frame_is_the_masks(tmp_path: Path, first: int) -> None:
    masks = [square(5 * index) for index in range(FRAMES)]
    masks[2] &= False  # out of the picture
    for index, mask in enumerate(masks):
        save(tmp_path / f"matte.{first + index:04d}.png", mask)
    found = masks_of(Marks(paths=(tmp_path,)))
    assert all(np.array_equal(a, b) for a, b in zip(found, masks, strict=True))


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [("m.mkv", "ffv1", "gray"), ("m.mp4", "libx264", "yuv420p"), ("m.mov", "prores_ks", "yuv422p10le")],
)
def test_a_video_of_masks_is_the_masks(tmp_path: Path, name: str, codec: str, pix_fmt: str) -> None:
    masks = [square(5 * index) for index in range(FRAMES)]
    found = masks_of(Marks(paths=(save_video(tmp_path / name, masks, codec, pix_fmt),)))
    wrong = [int((a ^ b).sum()) for a, b in zip(found, masks, strict=True)]
    assert max(wrong) == 0 if codec == "ffv1" else max(wrong) <= 8


def test_two_sequences_are_joined_frame_by_frame(tmp_path: Path) -> None:
    ones = [square(5)] * FRAMES
    for index, mask in enumerate(ones):
        save(tmp_path / f"{index}.png", mask)
    video = save_video(tmp_path / "bag.mkv", [square(30)] * FRAMES, "ffv1", "gray")
    found = masks_of(Marks(paths=(tmp_path, video)))
    assert all(np.array_equal(mask, square(5) | square(30)) for mask in found)


def test_a_sequence_beside_a_mask_of_one_frame_is_refused(tmp_path: Path) -> None:
    video = save_video(tmp_path / "m.mkv", [square(5)] * FRAMES, "ffv1", "gray")
    with pytest.raises(
        MaskError, match="A mask for every frame is given, so nothing is followed, and 1 more"
    ):
        Marks(((2, ArraySeed(square(5))),), (video,)).resolve(FRAMES, SIZE_HW)


def test_a_sequence_that_masks_nothing_is_refused(tmp_path: Path) -> None:
    video = save_video(tmp_path / "m.mkv", [square(5) & False] * FRAMES, "ffv1", "gray")
    with pytest.raises(MaskError, match="given masks are empty in every frame"):
        masks_of(Marks(paths=(video,)))


def test_a_video_of_another_length_size_or_kind_is_refused(tmp_path: Path) -> None:
    video = save_video(tmp_path / "m.mkv", [square(5)] * FRAMES, "ffv1", "gray")
    with pytest.raises(MaskError, match=r"m\.mkv has 5 frames, the clip has 6\. Render it over"):
        Marks(paths=(video,)).resolve(6, SIZE_HW)
    with pytest.raises(MaskError, match=r"m\.mkv is 60x40, the clip is 120x80"):
        Marks(paths=(video,)).resolve(FRAMES, (80, 120))
    fitted = Marks(paths=(video,), reading=MaskReading(fit=True)).resolve(FRAMES, (80, 120))
    assert isinstance(fitted, GivenMasks)
    assert next(fitted.masks((80, 120))).sum() == 400
    (tmp_path / "text.mov").write_text("no video")
    with pytest.raises(MaskError, match=r"text\.mov is not a readable picture, nor a video of masks: "):
        Marks(paths=(tmp_path / "text.mov",)).resolve(FRAMES, SIZE_HW)
    with pytest.raises(MaskError, match=r"none\.mov does not exist"):
        Marks(paths=(tmp_path / "none.mov",)).resolve(FRAMES, SIZE_HW)


FOLDERS = {
    "empty": ([], "holds no pictures"),
    "no number": (["first.png"], r"first\.png has no frame number"),
    "twice": (["1.png", "01.png"], r"are both of frame 1\. Keep one"),
    "beyond": (["0.png", "5.png"], r"is for frame 5, but the clip has frames 0 to 4\. .*\(there are 2\)"),
}


@pytest.mark.parametrize(("names", "said"), FOLDERS.values(), ids=list(FOLDERS))
def test_a_folder_that_cannot_be_meant_is_refused(tmp_path: Path, names: list[str], said: str) -> None:
    for name in names:
        save(tmp_path / name, square(5))
    with pytest.raises(MaskError, match=said):
        Marks(paths=(tmp_path,)).resolve(FRAMES, SIZE_HW)


def test_a_picture_of_another_size_in_a_sequence_is_refused_before_the_run(tmp_path: Path) -> None:
    for index in range(FRAMES):
        save(tmp_path / f"{index}.png", square(5)[:, : 50 if index == 3 else 60])
    with pytest.raises(MaskError, match=r"3\.png is 50x40, the clip is 60x40"):
        Marks(paths=(tmp_path,)).resolve(FRAMES, SIZE_HW)
    (tmp_path / "3.png").write_bytes(b"no picture")
    with pytest.raises(MaskError, match=r"3\.png is not a readable picture"):
        Marks(paths=(tmp_path,)).resolve(FRAMES, SIZE_HW)


def test_a_frame_that_the_clip_does_not_have_is_refused() -> None:
    with pytest.raises(MaskError, match=r"given for frame 5, but the clip has frames 0 to 4"):
        Marks(((5, ArraySeed(square(5))),)).resolve(FRAMES, SIZE_HW)


def test_nothing_marked_is_refused() -> None:
    with pytest.raises(MaskError, match="Nothing is marked"):
        Marks().resolve(FRAMES, SIZE_HW)
