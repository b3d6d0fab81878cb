"""Sequences of pictures as source and as target, and the pipe."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from osor_video.config import DecodeConfig, EncodeConfig
from osor_video.errors import ConfigError, VideoError
from osor_video.video.check import decoded_difference
from osor_video.video.outputs import PipeWriter, SequenceWriter, check_output, open_writer, output_notes
from osor_video.video.planes import ColorSpec, planes_to_signal
from osor_video.video.probe import SourceInfo, StreamSummary, probe
from osor_video.video.reader import open_reader, read_planes, read_span
from osor_video.video.source import open_source
from osor_video.video.stills import read_still, write_still
from tests.video.clips import DEEP, make_clip, read_index

SIZE_HW = (20, 30)
DECODE = DecodeConfig(rate="24000/1001")


def write_pictures(
    folder: Path, suffix: str, dtype: Any, channels: int, first: int = 7, count: int = 4
) -> Path:
    random = np.random.default_rng(0)
    for number in range(first, first + count):
        shape = (*SIZE_HW, channels) if channels > 1 else SIZE_HW
        picture = random.integers(0, np.iinfo(dtype).max, shape, endpoint=True).astype(dtype)
        assert cv2.imwrite(str(folder / f"frame.{number:04d}{suffix}"), picture)
    return folder / f"frame.%04d{suffix}"


def copy(source: SourceInfo, path: Path) -> SourceInfo:
    with open_writer(path, source, EncodeConfig(codec="auto", crf=10)) as writer:
        for frame in read_planes(source):
            writer.write(frame)
    return open_source(path, DECODE)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.filterwarnings("ignore")
def test_pictures_keep_every_sample_and_their_numbers(
    tmp_path: Path, suffix: str, dtype: Any, channels: int
) -> None:
    source = open_source(write_pictures(tmp_path, suffix, dtype, channels), DECODE)
    assert (source.frames, source.size_hw, source.rate) == (4, SIZE_HW, Fraction(24000, 1001))
    assert source.color.bit_depth == 8 * np.dtype(dtype).itemsize

    copy(source, tmp_path / "out" / f"done.####{suffix}")

    for number in range(7, 11):
        before = cv2.imread(str(tmp_path / f"frame.{number:04d}{suffix}"), cv2.IMREAD_UNCHANGED)
        after = cv2.imread(str(tmp_path / "out" / f"done.{number:04d}{suffix}"), cv2.IMREAD_UNCHANGED)
        assert before is not None
        assert after is not None
        assert np.array_equal(before, after)
    assert len(list((tmp_path / "out").iterdir())) == 4


def test_exr_keeps_light_header_and_further_channels(tmp_path: Path) -> None:
    library = pytest.importorskip("OpenEXR", reason="the extra vfx is not installed")
    random = np.random.default_rng(0)
    for number in (1001, 1002):
        names = ("R", "G", "B", "A", "depth.Z")
        channels = {name: (random.random(SIZE_HW) * 6 - 1).astype(np.float16) for name in names}
        header = {"compression": library.PIZ_COMPRESSION, "type": library.scanlineimage, "comment": "12b"}
        library.File(header, channels).write(str(tmp_path / f"in.{number}.exr"))
    source = open_source(tmp_path / "in.%04d.exr", DECODE)
    assert source.color == ColorSpec("rgb", True, 16, (0, 0), linear=True)

    out = copy(source, tmp_path / "out.%04d.exr")

    assert all(
        np.array_equal(a, b)
        for x, y in zip(read_planes(source), read_planes(out), strict=True)
        for a, b in zip(x.planes, y.planes, strict=True)
    )
    with (
        library.File(str(tmp_path / "in.1002.exr"), separate_channels=True) as before,
        library.File(str(tmp_path / "out.1002.exr"), separate_channels=True) as after,
    ):
        assert after.header()["comment"] == "12b"
        assert after.header()["compression"] == library.PIZ_COMPRESSION
        for name in ("R", "A", "depth.Z"):
            assert np.array_equal(before.channels()[name].pixels, after.channels()[name].pixels)


def test_light_becomes_signal_by_the_srgb_curve_and_back(tmp_path: Path) -> None:
    pytest.importorskip("OpenEXR", reason="the extra vfx is not installed")
    linear = ColorSpec("rgb", True, 16, (0, 0), linear=True)
    light = tuple(np.full(SIZE_HW, value, np.float16) for value in (0.2140, 0.0, 1.0))
    write_still(tmp_path / "a.0.exr", light, linear)
    source = open_source(tmp_path / "a.%d.exr", DECODE)

    png = copy(source, tmp_path / "b.%d.png")
    (green, blue, red), color = read_still(tmp_path / "b.0.png")
    assert (png.color, color.bit_depth) == (color, 16)
    # The sRGB curve brings .2140 to one half.
    assert (round(green[0, 0] / 65535, 3), blue[0, 0], red[0, 0]) == (0.5, 0, 65535)

    copy(png, tmp_path / "c.%d.exr")
    back, _ = read_still(tmp_path / "c.0.exr")
    assert all(np.abs(a.astype(float) - b).max() < 0.001 for a, b in zip(light, back, strict=True))

    video = copy(source, tmp_path / "d.mkv")
    assert video.tags.transfer == 13
    assert np.abs(planes_to_signal(next(read_planes(video)).planes, video.color) - [1, 0.5, 0]).max() < 0.02


def test_a_video_becomes_pictures_and_back(tmp_path: Path) -> None:
    source = probe(make_clip(tmp_path / "a.mp4", frames=5, color=DEEP, tags=(1, 1, 9, 1)))
    pictures = copy(source, tmp_path / "f.%03d.png")
    assert (pictures.color.bit_depth, pictures.files[0].name) == (16, "f.000.png")
    assert output_notes(tmp_path / "f.%03d.png", source, EncodeConfig()) == [
        "yuv420p10le is written as gbrp16le"
    ]
    assert [read_index(frame.rgb) for frame in open_reader(pictures)] == list(range(5))
    assert [frame.index for frame in read_span(pictures, 2, 4)] == [2, 3]
    assert (
        decoded_difference(tmp_path / "f.%03d.png", source, (np.zeros((64, 96), bool) for _ in range(5))) <= 1
    )


def test_a_rotated_clip_is_written_upright(tmp_path: Path) -> None:
    source = probe(make_clip(tmp_path / "a.mp4", frames=2, rotation=90))
    assert copy(source, tmp_path / "f.%03d.png").size_hw == (96, 64)
    assert (
        decoded_difference(tmp_path / "f.%03d.png", source, (np.zeros((64, 96), bool) for _ in range(2))) <= 1
    )


def test_a_gap_is_named(tmp_path: Path) -> None:
    pattern = write_pictures(tmp_path, ".png", np.uint8, 3)
    (tmp_path / "frame.0009.png").unlink()
    with pytest.raises(VideoError, match=r"has 3 pictures from 7 to 10, but frame\.0009\.png is lacking"):
        open_source(pattern, DECODE)


def test_other_sizes_and_forms_are_refused(tmp_path: Path) -> None:
    pattern = write_pictures(tmp_path, ".png", np.uint8, 3)
    cv2.imwrite(str(tmp_path / "frame.0009.png"), np.zeros((20, 31, 3), np.uint8))
    with pytest.raises(
        VideoError, match=r"frame\.0009\.png is gbrp \(20, 31\), the first one is gbrp \(20, 30\)"
    ):
        list(read_planes(open_source(pattern, DECODE)))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.%04d.png", r"No picture fits .*none\.%04d\.png\. Expected files such as none\.0001\.png"),
        ("a.%04d.%02d.png", "has several places for a number"),
        ("a.%04d.bmp", r"ends in '\.bmp', expected one of \.png, .*\.jpg, \.jpeg for a sequence"),
    ],
)
def test_patterns_that_are_none(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(VideoError, match=message):
        open_source(tmp_path / name, DECODE)


def test_jpeg_is_read_and_never_written(tmp_path: Path) -> None:
    pattern = write_pictures(tmp_path, ".jpg", np.uint8, 3)
    source = open_source(pattern, DECODE)
    first: Any = cv2.imread(str(source.files[0]))
    green, blue, red = next(read_planes(source)).planes
    assert np.array_equal(np.dstack([blue, green, red]), first)
    with pytest.raises(VideoError, match=r"ends in '\.jpg', expected one of \.png, \.tif, \.tiff, \.exr for"):
        check_output(tmp_path / "out.%04d.jpg", source, EncodeConfig())
    check_output(tmp_path / "out.%04d.png", source, EncodeConfig())


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    pattern = write_pictures(tmp_path, ".png", np.uint8, 3)
    (tmp_path / "frame.0007.png").write_bytes(b"not a picture")
    with pytest.raises(VideoError, match=r"frame\.0007\.png cannot be read"):
        open_source(pattern, DECODE)


def test_the_source_is_never_overwritten(tmp_path: Path) -> None:
    pattern = write_pictures(tmp_path, ".png", np.uint8, 3)
    source = open_source(pattern, DECODE)
    for name in (pattern, tmp_path / "frame.####.png"):
        with pytest.raises(VideoError, match="is never overwritten"):
            check_output(name, source, EncodeConfig())


def test_an_earlier_result_may_be_replaced(tmp_path: Path) -> None:
    source = open_source(write_pictures(tmp_path, ".png", np.uint8, 3), DECODE)
    earlier = make_clip(tmp_path / "out.mp4", frames=2)
    check_output(earlier, source, EncodeConfig())


def test_a_sequence_that_is_cut_off_leaves_nothing(tmp_path: Path) -> None:
    source = open_source(write_pictures(tmp_path, ".png", np.uint8, 3), DECODE)
    out = tmp_path / "out"

    def half() -> None:
        with SequenceWriter(out / "f.%04d.png", source) as writer:
            writer.write(next(read_planes(source)))

    with pytest.raises(VideoError, match="got 1 of 4 frames and is not kept"):
        half()
    assert list(out.iterdir()) == []


def test_pq_is_not_taken_for_srgb(tmp_path: Path) -> None:
    source = probe(make_clip(tmp_path / "a.mp4", frames=1, color=DEEP, tags=(9, 16, 9, 1)))
    with pytest.raises(VideoError, match="is PQ or HLG, whose light needs a colour pipeline"):
        check_output(tmp_path / "a.%04d.exr", source, EncodeConfig())
    check_output(tmp_path / "a.%04d.png", source, EncodeConfig())


@pytest.mark.parametrize("depth", [8, 10])
def test_a_pipe_carries_every_sample(tmp_path: Path, depth: int) -> None:
    color = ColorSpec("bt709", full_range=False, bit_depth=depth, chroma_log2=(0, 1))
    source = probe(make_clip(tmp_path / "a.mkv", codec="ffv1", color=color, frames=4))
    pipe = BytesIO()
    with PipeWriter(source, pipe) as writer:
        for frame in read_planes(source):
            writer.write(frame)
    (tmp_path / "stdin").write_bytes(pipe.getvalue())
    assert pipe.getvalue().startswith(b"YUV4MPEG2 W96 H64 F24000:1001 Ip")

    back = probe(tmp_path / "stdin")

    assert (back.rate, back.frames, back.color.pix_fmt) == (source.rate, 4, color.pix_fmt)
    for before, after in zip(read_planes(source), read_planes(back), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(before.planes, after.planes, strict=True))


def test_what_a_pipe_does_not_carry_is_told(tmp_path: Path) -> None:
    source = probe(make_clip(tmp_path / "a.mp4", frames=4, pts=[0, 1001, 4004, 5005]))
    laden = replace(source, streams=(StreamSummary(1, "audio", "aac"),))
    assert output_notes(Path("-"), laden, EncodeConfig()) == [
        "pictures only: audio stream 1 (aac) left behind",
        "y4m has one rate: uneven times are not told",
    ]
    with pytest.raises(ConfigError, match="went into a pipe cannot be decoded again"):
        check_output(Path("-"), laden, EncodeConfig(check=True))


def test_the_difference_after_decoding_is_seen(tmp_path: Path) -> None:
    source = probe(make_clip(tmp_path / "a.mkv", codec="ffv1", frames=3))
    replaced = np.zeros((64, 96), bool)
    replaced[10:20, 10:30] = True
    with open_writer(tmp_path / "out.mkv", source, EncodeConfig()) as writer:
        for frame in read_planes(source):
            luma = frame.planes[0].copy()
            luma[10:20, 10:30] = 7
            luma[63, 95] += 3 if frame.index == 2 else 0
            writer.write(replace(frame, planes=(luma, *frame.planes[1:])))
    assert decoded_difference(tmp_path / "out.mkv", source, (replaced for _ in range(3))) == 3
    with av.open(str(tmp_path / "out.mkv")) as container:
        assert container.streams.video[0].codec_context.name == "ffv1"
