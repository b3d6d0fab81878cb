from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from osor_video.config import EncodeConfig
from osor_video.errors import VideoError
from osor_video.video.planes import ColorSpec, PlanarFrame
from osor_video.video.probe import SourceInfo, probe
from osor_video.video.reader import read_planes
from osor_video.video.writer import VideoWriter
from tests.video.clips import (
    DEEP,
    DEEPER,
    FILM,
    PLAIN,
    make_clip,
    make_edit_list,
    packets,
    read_index,
)

QUICK = EncodeConfig(encoder_preset="veryfast")
LOSSLESS = EncodeConfig(lossless=True)
VFR = [0, 1001, 4004, 5005, 5500, 9009, 20020]


def rewrite(source: SourceInfo, path: Path, encode: EncodeConfig = QUICK) -> SourceInfo:
    """Read every frame and write it as it is; the probe of what was written."""
    with VideoWriter(path, source, encode) as writer:
        for frame in read_planes(source):
            writer.write(frame)
    return probe(path)


def times(source: SourceInfo) -> list[Fraction]:
    return [pts * source.time_base for pts in source.pts]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".m4v"])
@pytest.mark.parametrize("pts", [None, VFR], ids=["even", "uneven"])
def test_every_time_and_frame_comes_through(tmp_path: Path, suffix: str, pts: list[int] | None) -> None:
    source = probe(make_clip(tmp_path / "a.mp4", pts=pts))

    out = rewrite(source, tmp_path / f"out{suffix}")

    assert times(out) == times(source)
    assert (out.size_hw, out.pix_fmt, out.tags) == (source.size_hw, source.pix_fmt, source.tags)
    assert [read_index(frame.planes[0]) for frame in read_planes(out)] == list(range(source.frames))
    if pts is None:
        assert out.rate == FILM


def test_a_late_start_is_kept_exactly(tmp_path: Path) -> None:
    source = probe(make_clip(tmp_path / "late.ts", frames=8, pts=[40037 + 1001 * i for i in range(8)]))

    assert times(rewrite(source, tmp_path / "out.mp4")) == times(source)


def test_an_edit_list_is_resolved_not_repeated(tmp_path: Path) -> None:
    source = probe(make_edit_list(make_clip(tmp_path / "a.mp4"), tmp_path / "edit.mp4", 5))

    out = rewrite(source, tmp_path / "out.mp4")

    assert times(out) == times(source)
    assert read_index(next(read_planes(out)).planes[0]) == 5


def test_matroska_keeps_times_to_the_millisecond_and_says_so(tmp_path: Path) -> None:
    source = probe(make_clip(tmp_path / "a.mp4", audio=1))
    writer = VideoWriter(tmp_path / "out.mkv", source, QUICK)
    assert writer.notes == ("Matroska rounds timestamps to milliseconds; .mp4 and .mov keep them exactly",)

    out = rewrite(source, tmp_path / "out.mkv")

    assert max(abs(a - b) for a, b in zip(times(out), times(source), strict=True)) <= Fraction(1, 2000)


@pytest.mark.parametrize(
    ("color", "suffix", "codec"),
    [
        (DEEP, ".mp4", "h264"),
        (DEEPER, ".mp4", "hevc"),
        (ColorSpec("bt601", full_range=True, bit_depth=8, chroma_log2=(0, 1)), ".mov", "h264"),
    ],
)
def test_depth_and_colour_come_through(tmp_path: Path, color: ColorSpec, suffix: str, codec: str) -> None:
    source = probe(make_clip(tmp_path / "a.mkv", codec="ffv1", color=color, frames=8))

    out = rewrite(source, tmp_path / f"out{suffix}")

    assert (out.codec, out.color, out.tags) == (codec, color, source.tags)


def test_an_rgb_source_keeps_its_colours(tmp_path: Path) -> None:
    flat = np.empty((64, 96, 3), np.uint8)
    flat[:] = (200, 60, 30)
    with av.open(str(tmp_path / "rgb.mov"), "w") as clip:
        stream = clip.add_stream("png", rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 96, "rgb24"
        for index in range(3):
            frame = av.VideoFrame.from_ndarray(flat, format="rgb24")
            frame.pts = index
            clip.mux(stream.encode(frame))
        clip.mux(stream.encode(None))
    source = probe(tmp_path / "rgb.mov")
    assert (source.note, source.color.pix_fmt) == ("", "gbrp")

    out = rewrite(source, tmp_path / "out.mp4")

    with av.open(str(out.path)) as container:
        shown = next(container.decode(video=0)).to_ndarray(format="rgb24")
    assert np.abs(shown.astype(int) - flat).max() <= 4


def test_gray_without_a_tag_is_written_as_the_full_range_it_is(tmp_path: Path) -> None:
    gray = ColorSpec("bt601", full_range=True, bit_depth=8, chroma_log2=(0, 0), gray=True)
    source = probe(make_clip(tmp_path / "a.mkv", codec="ffv1", color=gray, tags=(2, 2, 2, 0), frames=3))
    assert source.color == gray

    out = rewrite(source, tmp_path / "out.mp4")

    assert out.tags.range == 2


@pytest.mark.parametrize("tags", [(9, 16, 9, 1), (2, 2, 2, 0), (1, 1, 1, 2)])
def test_colour_tags_come_through(tmp_path: Path, tags: tuple[int, int, int, int]) -> None:
    source = probe(make_clip(tmp_path / "a.mp4", tags=tags, frames=4))

    assert rewrite(source, tmp_path / "out.mp4").tags == source.tags


def test_hdr10_metadata_comes_through(tmp_path: Path) -> None:
    hdr = (
        "hdr10=1:repeat-headers=1"
        ":master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):max-cll=1000,400"
    )
    clip = make_clip(
        tmp_path / "a.mp4", codec="libx265", color=DEEP, tags=(9, 16, 9, 1), frames=4, parameters=hdr
    )
    source = probe(clip)
    assert source.hdr == hdr

    out = rewrite(source, tmp_path / "out.mp4")

    assert (out.codec, out.hdr, out.tags, out.color) == ("hevc", hdr, source.tags, DEEP)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_rotation_comes_through(tmp_path: Path, suffix: str) -> None:
    source = probe(make_clip(tmp_path / "a.mp4", rotation=90, frames=4))

    out = rewrite(source, tmp_path / f"out{suffix}")

    assert out.rotation == 90
    if suffix != ".mkv":
        assert out.display_matrix == source.display_matrix


def test_pixel_aspect_comes_through(tmp_path: Path) -> None:
    source = replace(probe(make_clip(tmp_path / "a.mp4", frames=4)), sample_aspect=Fraction(16, 15))

    assert rewrite(source, tmp_path / "out.mp4").sample_aspect == Fraction(16, 15)


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_sound_is_copied_packet_for_packet(tmp_path: Path, suffix: str) -> None:
    source = probe(make_clip(tmp_path / "a.mp4", audio=2))

    rewrite(source, tmp_path / f"out{suffix}")

    before, after = packets(source.path, "audio"), packets(tmp_path / f"out{suffix}", "audio")
    assert len(before) == 2
    assert before[0]
    assert after == before


def test_subtitles_chapters_and_tags_come_through(tmp_path: Path) -> None:
    source = probe(_dress(make_clip(tmp_path / "a.mkv", audio=1), tmp_path / "dressed.mkv"))
    assert source.codecs("subtitle") == ("subrip",)

    out = rewrite(source, tmp_path / "out.mkv")

    assert packets(out.path, "subtitle") == packets(source.path, "subtitle")
    with av.open(str(out.path)) as container:
        assert container.metadata["title"] == "Zwölf Bäume"
        assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["Anfang"]
        subtitle = container.streams.subtitles[0]
        assert subtitle.metadata["language"] == "ger"
        assert subtitle.disposition & av.stream.Disposition.forced


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_chapters_timecode_and_own_tags_come_through(tmp_path: Path, suffix: str) -> None:
    source = probe(make_clip(tmp_path / "film.mov", timecode="01:02:03:04", chapter="Anfang"))
    assert source.codecs("data")

    out_info = rewrite(source, tmp_path / f"out{suffix}")

    with av.open(str(out_info.path)) as container:
        assert container.metadata["title"] == "Zwölf Bäume"
        assert container.metadata["shot"] == "12b"
        assert container.streams.video[0].metadata["timecode"] == "01:02:03:04"
        assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["Anfang"]


def _dress(clip: Path, path: Path) -> Path:
    """Copy a clip and add a chapter and a subtitle stream."""
    text = clip.with_suffix(".srt")
    text.write_text("1\n00:00:00,100 --> 00:00:00,600\nHallo\n\n")
    with av.open(str(clip)) as inp, av.open(str(text)) as sub, av.open(str(path), "w") as out:
        out.metadata.update(inp.metadata)
        streams = {s.index: out.add_stream_from_template(s, opaque=True) for s in inp.streams}
        title = out.add_stream_from_template(sub.streams[0])
        title.metadata["language"] = "ger"
        title.disposition = av.stream.Disposition.forced
        chapter = {"id": 1, "start": 0, "end": 500, "time_base": Fraction(1, 1000)}
        out.set_chapters([{**chapter, "metadata": {"title": "Anfang"}}])
        for packet in inp.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                out.mux(packet)
        for packet in sub.demux():
            if packet.dts is not None:
                packet.stream = title
                out.mux(packet)
    return path


def test_the_second_sound_track_stays_the_second(tmp_path: Path) -> None:
    source = probe(make_clip(tmp_path / "a.mkv", audio=2))
    rewrite(source, tmp_path / "out.mkv")
    with av.open(str(source.path)) as before, av.open(str(tmp_path / "out.mkv")) as after:
        for a, b in zip(before.streams, after.streams, strict=True):
            assert (a.type, a.disposition) == (b.type, b.disposition)


@pytest.mark.parametrize(
    "color",
    [PLAIN, DEEP, DEEPER, ColorSpec("bt601", full_range=True, bit_depth=8, chroma_log2=(0, 0), gray=True)],
    ids=lambda c: c.pix_fmt,
)
def test_lossless_decodes_to_exactly_the_planes(tmp_path: Path, color: ColorSpec) -> None:
    source = probe(make_clip(tmp_path / "a.mkv", codec="ffv1", color=color, frames=5))
    generator = np.random.default_rng(1)
    given = [
        PlanarFrame(
            index,
            pts,
            tuple(
                generator.integers(0, color.top + 1, size).astype(color.dtype)
                for size in color.plane_sizes(source.size_hw)
            ),
        )
        for index, pts in enumerate(source.pts)
    ]
    with VideoWriter(tmp_path / "out.mkv", source, LOSSLESS) as writer:
        for frame in given:
            writer.write(frame)

    out = probe(tmp_path / "out.mkv")
    assert out.codec == "ffv1"
    for frame, back in zip(given, read_planes(out), strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(frame.planes, back.planes, strict=True))


@pytest.mark.parametrize(
    ("suffix", "encode"),
    [(".mp4", QUICK), (".mov", QUICK), (".mkv", QUICK), (".mkv", LOSSLESS)],
    ids=["mp4", "mov", "mkv", "lossless"],
)
def test_the_same_input_gives_the_same_bytes(tmp_path: Path, suffix: str, encode: EncodeConfig) -> None:
    source = probe(make_clip(tmp_path / "a.mp4", audio=1))
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"

    rewrite(source, first, encode)
    rewrite(source, second, encode)

    assert first.read_bytes() == second.read_bytes()


def test_twelve_bit_gives_the_same_bytes_too(tmp_path: Path) -> None:
    source = probe(make_clip(tmp_path / "a.mkv", codec="ffv1", color=DEEPER, frames=8))
    for name in ("first.mp4", "second.mp4"):
        rewrite(source, tmp_path / name)
    assert (tmp_path / "first.mp4").read_bytes() == (tmp_path / "second.mp4").read_bytes()


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_failing_midway_leaves_the_old_output_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    source = probe(make_clip(tmp_path / "a.mp4", audio=1))
    folder = tmp_path / "out"
    folder.mkdir()
    target = folder / "old.mp4"
    target.write_bytes(b"older result")

    with pytest.raises(error, match="stop"):
        _write_and_stop(target, source, error("stop"))

    assert [path.name for path in folder.iterdir()] == ["old.mp4"]
    assert target.read_bytes() == b"older result"


def _write_and_stop(path: Path, source: SourceInfo, error: BaseException) -> None:
    with VideoWriter(path, source, QUICK) as writer:
        for frame in read_planes(source):
            if frame.index == 12:
                raise error
            writer.write(frame)


def test_a_whole_result_replaces_the_old_output(tmp_path: Path) -> None:
    source = probe(make_clip(tmp_path / "a.mp4"))
    (tmp_path / "out.mp4").write_bytes(b"older result")

    assert rewrite(source, tmp_path / "out.mp4").frames == 24
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "out.mp4"]


def test_too_few_frames_are_not_kept(tmp_path: Path) -> None:
    source = probe(make_clip(tmp_path / "a.mp4"))
    frame = next(read_planes(source))
    with (
        pytest.raises(VideoError, match=r"got 1 of 24 frames and is not kept"),
        VideoWriter(tmp_path / "out.mp4", source, QUICK) as writer,
    ):
        writer.write(frame)
    assert not (tmp_path / "out.mp4").exists()


def test_a_frame_out_of_order_is_refused(tmp_path: Path) -> None:
    source = probe(make_clip(tmp_path / "a.mp4"))
    frame = next(read_planes(source))
    with (
        pytest.raises(VideoError, match=r"Frame 3 at 0 was handed .* expected frame 0 at 0"),
        VideoWriter(tmp_path / "out.mp4", source, QUICK) as writer,
    ):
        writer.write(replace(frame, index=3))


NO_ROOM = """
import json, resource, signal, sys
from osor_video.config import EncodeConfig
from osor_video.errors import VideoError
from osor_video.video.probe import probe
from osor_video.video.reader import read_planes
from osor_video.video.writer import VideoWriter

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
source = probe(sys.argv[1])
encode = EncodeConfig(crf=0, encoder_preset="ultrafast")
messages = []
for limit in (0, 20_000, 100_000):
    for target in sys.argv[2:]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            with VideoWriter(target, source, encode) as writer:
                for frame in read_planes(source):
                    writer.write(frame)
        except VideoError as error:
            messages.append(str(error))
        else:
            messages.append("written whole")
sys.exit(json.dumps(messages))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of a file as POSIX has it")
def test_no_room_is_said_and_the_old_output_stays(tmp_path: Path) -> None:
    make_clip(tmp_path / "a.mp4", audio=1, size_hw=(128, 192), frames=48)
    folder = tmp_path / "out"
    folder.mkdir()
    targets = [folder / "old.mkv", folder / "old.mp4"]
    for target in targets:
        target.write_bytes(b"older result")

    command = [sys.executable, "-c", NO_ROOM, str(tmp_path / "a.mp4"), *map(str, targets)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)

    messages = json.loads(run.stderr)
    assert len(messages) == 6
    for message in messages:
        assert "There is no room for" in message
        assert "an older file of that name is untouched" in message
    assert sorted(folder.iterdir()) == targets
    assert all(target.read_bytes() == b"older result" for target in targets)
