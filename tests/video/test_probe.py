from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from osor_video.errors import VideoError
from osor_video.video.planes import ColorSpec
from osor_video.video.probe import probe
from tests.video.clips import (
    DEEP,
    FILM,
    HEIGHT,
    PLAIN,
    WIDTH,
    make_clip,
    make_edit_list,
    make_sound_only,
    truncate,
)


def test_plain_clip_is_described_in_full(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", audio=1)

    source = probe(path)

    assert (source.size_hw, source.frames, source.rate) == ((HEIGHT, WIDTH), 24, FILM)
    assert source.pts == tuple(i * 1001 for i in range(24))
    assert source.time_base == Fraction(1, 24000)
    assert (source.codec, source.pix_fmt, source.color) == ("h264", "yuv420p", PLAIN)
    assert (source.rotation, source.interlaced, source.skipped, source.note) == (0, False, 0, "")
    assert source.sample_aspect == 1
    assert (source.codecs("audio"), source.codecs("subtitle")) == (("aac",), ())
    assert not source.variable_rate
    assert source.duration_s == pytest.approx(24 * 1001 / 24000)


def test_variable_rate_keeps_every_timestamp(tmp_path: Path) -> None:
    times = [0, 1001, 4004, 5005, 5500, 9009, 20020]

    source = probe(make_clip(tmp_path / "vfr.mp4", pts=times))

    assert source.pts == tuple(times)
    assert source.variable_rate


def test_rotation_is_counter_clockwise_degrees(tmp_path: Path) -> None:
    source = probe(make_clip(tmp_path / "turned.mp4", rotation=90))

    assert source.rotation == 90
    assert source.size_hw == (HEIGHT, WIDTH)


def test_ten_bit_colour_is_read_from_the_tags(tmp_path: Path) -> None:
    source = probe(make_clip(tmp_path / "deep.mp4", color=DEEP, tags=(9, 16, 9, 1)))

    assert source.color == DEEP
    assert (source.tags.primaries, source.tags.transfer, source.tags.matrix, source.tags.range) == (
        9,
        16,
        9,
        1,
    )


@pytest.mark.parametrize(("height", "matrix"), [(64, "bt601"), (720, "bt709")])
def test_unstated_matrix_follows_the_picture_height(tmp_path: Path, height: int, matrix: str) -> None:
    clip = make_clip(tmp_path / "untagged.mp4", frames=2, tags=(2, 2, 2, 0), size_hw=(height, 96))

    assert probe(clip).color.matrix == matrix


def test_frames_dropped_by_an_edit_list_are_not_counted(tmp_path: Path) -> None:
    clip = make_edit_list(make_clip(tmp_path / "a.mp4"), tmp_path / "edit.mp4", 5)

    source = probe(clip)

    assert (source.frames, source.skipped, source.pts[0]) == (19, 5, 0)


def test_an_odd_size_is_worked_in_its_own_planes(tmp_path: Path) -> None:
    full = ColorSpec("bt709", full_range=False, bit_depth=8, chroma_log2=(0, 0))
    path = tmp_path / "odd.mkv"
    make_clip(path, codec="ffv1", color=full, size_hw=(65, 97), frames=2)
    assert probe(path).note == ""

    _rewrap_as_420(path, tmp_path / "odd420.mkv")

    source = probe(tmp_path / "odd420.mkv")
    assert source.color.pix_fmt == "yuv420p"
    assert source.note == ""


def _rewrap_as_420(path: Path, target: Path) -> None:
    with av.open(str(path)) as inp, av.open(str(target), "w") as out:
        stream = out.add_stream("ffv1", rate=24)
        stream.height, stream.width, stream.pix_fmt = 65, 97, "yuv420p"
        for frame in inp.decode(video=0):
            out.mux(stream.encode(frame.reformat(format="yuv420p")))
        out.mux(stream.encode(None))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"nope\.mp4 does not exist\. Expected a video file"):
        probe(tmp_path / "nope.mp4")


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="is a folder"):
        probe(tmp_path)


def test_empty_file(tmp_path: Path) -> None:
    (tmp_path / "empty.mp4").touch()
    with pytest.raises(VideoError, match="is empty"):
        probe(tmp_path / "empty.mp4")


def test_text_file(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("not a video\n" * 40)
    with pytest.raises(VideoError, match="not a readable video"):
        probe(tmp_path / "text.mp4")


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_still_picture(tmp_path: Path, suffix: str) -> None:
    _, data = cv2.imencode(suffix, np.zeros((16, 16, 3), np.uint8))
    (tmp_path / f"still{suffix}").write_bytes(data.tobytes())
    with pytest.raises(VideoError, match="is a still picture"):
        probe(tmp_path / f"still{suffix}")


def test_sound_only(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"has no video stream \(it holds: audio\)"):
        probe(make_sound_only(tmp_path / "sound.m4a"))


def test_raw_stream_without_timestamps(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="frames without timestamps"):
        probe(make_clip(tmp_path / "raw.h264"))


def test_unknown_colour_matrix(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="uses colour matrix 8"):
        probe(make_clip(tmp_path / "ycgco.mp4", tags=(1, 1, 8, 2)))


def test_mp4_cut_in_half_has_no_index(tmp_path: Path) -> None:
    cut = truncate(make_clip(tmp_path / "a.mp4"), tmp_path / "cut.mp4", 0.5)
    with pytest.raises(VideoError, match="not a readable video"):
        probe(cut)


def test_mkv_cut_in_half_misses_seconds(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "a.mkv", frames=96)
    with pytest.raises(VideoError, match=r"is cut off: its last \d\.\d s are missing, \d+ frames are there"):
        probe(truncate(whole, tmp_path / "cut.mkv", 0.5))


def test_transport_stream_cut_inside_its_last_frame(tmp_path: Path) -> None:
    # Large enough that its last picture spans several transport packets.
    whole = make_clip(tmp_path / "a.ts", frames=12, gop=4, size_hw=(256, 384))
    assert probe(whole).frames == 12
    size = whole.stat().st_size
    with pytest.raises(VideoError, match=r"damaged or cut off at its end: \d+ of \d+ frames decode"):
        probe(truncate(whole, tmp_path / "cut.ts", (size * 4 // 10) / size))


def test_repeated_timestamps_are_refused(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mkv", codec="ffv1", frames=6)
    with av.open(str(clip)) as inp, av.open(str(tmp_path / "twice.mkv"), "w") as out:
        stream = out.add_stream_from_template(inp.streams.video[0], opaque=True)
        kept = [packet for packet in inp.demux() if packet.dts is not None]
        kept[3].pts = kept[4].pts
        for packet in kept:
            packet.stream = stream
            out.mux(packet)
    with pytest.raises(VideoError, match="repeats 1 timestamps, expected every frame to have its own"):
        probe(tmp_path / "twice.mkv")


def test_a_cover_picture_is_no_video(tmp_path: Path) -> None:
    sound = make_sound_only(tmp_path / "sound.m4a")
    _, data = cv2.imencode(".png", np.zeros((16, 16, 3), np.uint8))
    (tmp_path / "cover.png").write_bytes(data.tobytes())
    with (
        av.open(str(sound)) as inp,
        av.open(str(tmp_path / "cover.png")) as cover,
        av.open(str(tmp_path / "song.m4a"), "w", format="mp4") as out,
    ):
        picture = out.add_stream_from_template(cover.streams.video[0], opaque=True)
        picture.disposition = av.stream.Disposition.attached_pic
        tone = out.add_stream_from_template(inp.streams.audio[0])
        for container, target in ((cover, picture), (inp, tone)):
            for packet in container.demux():
                if packet.dts is not None:
                    packet.stream = target
                    out.mux(packet)
    with pytest.raises(VideoError, match="has no video stream"):
        probe(tmp_path / "song.m4a")
