from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from osor_video.config import EncodeConfig
from osor_video.errors import ConfigError, VideoError
from osor_video.video.probe import SourceInfo, StreamSummary, probe
from osor_video.video.target import check_target, target_notes
from tests.video.clips import make_clip

DEFAULT = EncodeConfig()


@pytest.fixture
def source(tmp_path: Path) -> SourceInfo:
    return probe(make_clip(tmp_path / "a.mp4", frames=2))


def test_good_targets_pass(tmp_path: Path, source: SourceInfo) -> None:
    for name in ("out.mp4", "out.MOV", "out.m4v", "out.mkv"):
        check_target(tmp_path / name, source, DEFAULT)
    check_target(tmp_path / "out.mkv", source, EncodeConfig(lossless=True))


def test_unknown_suffix(tmp_path: Path, source: SourceInfo) -> None:
    with pytest.raises(VideoError, match=r"ends in '.avi', expected one of .mp4, .mov, .m4v, .mkv"):
        check_target(tmp_path / "out.avi", source, DEFAULT)


def test_lossless_needs_matroska(tmp_path: Path, source: SourceInfo) -> None:
    with pytest.raises(ConfigError, match=r"FFV1, which .mp4 does not hold. Name the output out.mkv"):
        check_target(tmp_path / "out.mp4", source, EncodeConfig(lossless=True))


def test_unknown_preset(tmp_path: Path, source: SourceInfo) -> None:
    with pytest.raises(ConfigError, match="encoder_preset is 'quick', expected one of: ultrafast"):
        check_target(tmp_path / "out.mp4", source, EncodeConfig(encoder_preset="quick"))


def test_the_source_is_never_overwritten(tmp_path: Path, source: SourceInfo) -> None:
    (tmp_path / "link.mp4").symlink_to(source.path)
    (tmp_path / "hard.mp4").hardlink_to(source.path)
    for same in (source.path, tmp_path / "x" / ".." / "a.mp4", tmp_path / "link.mp4", tmp_path / "hard.mp4"):
        with pytest.raises(VideoError, match="is the source itself"):
            check_target(same, source, DEFAULT)


def test_folder_as_target(tmp_path: Path, source: SourceInfo) -> None:
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(VideoError, match="is a folder"):
        check_target(tmp_path / "folder.mp4", source, DEFAULT)


def test_missing_folder(tmp_path: Path, source: SourceInfo) -> None:
    with pytest.raises(VideoError, match=r"does not exist\. Make it first"):
        check_target(tmp_path / "nowhere" / "out.mp4", source, DEFAULT)


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="rights do not bind this user")
def test_read_only_folder(tmp_path: Path, source: SourceInfo) -> None:
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o500)
    with pytest.raises(VideoError, match="is not writable"):
        check_target(locked / "out.mp4", source, DEFAULT)


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="/proc is a folder where nobody may write")
def test_a_folder_where_nothing_can_be_made(source: SourceInfo) -> None:
    with pytest.raises(VideoError, match="is not writable"):
        check_target("/proc/out.mp4", source, DEFAULT)


@pytest.mark.parametrize(
    ("stream", "suffix", "advice"),
    [
        ("subtitle subrip", ".mp4", "Name the output out.mkv"),
        ("subtitle mov_text", ".mkv", "Name the output out.mp4"),
        ("audio vorbis", ".mov", "Name the output out.mkv"),
        ("subtitle no_such_codec", ".mkv", "Convert or drop that stream first"),
    ],
)
def test_a_stream_that_the_container_cannot_hold(
    tmp_path: Path, source: SourceInfo, stream: str, suffix: str, advice: str
) -> None:
    kind, codec = stream.split()
    laden = replace(source, streams=(StreamSummary(1, kind, codec),))
    with pytest.raises(VideoError, match=f"cannot hold what .* has: {stream}. {advice}"):
        check_target(tmp_path / f"out{suffix}", laden, DEFAULT)


def test_what_is_left_out_is_noted(tmp_path: Path, source: SourceInfo) -> None:
    streams = (
        StreamSummary(1, "data", "unknown"),
        StreamSummary(2, "audio", "unknown"),
        StreamSummary(3, "audio", "aac"),
    )
    laden = replace(
        source, streams=streams, hdr="hdr10=1", interlaced=True, note="yuv411p is converted once to yuv444p"
    )
    notes = target_notes(tmp_path / "out.mkv", laden, EncodeConfig(lossless=True))
    assert notes == [
        "data stream 1 (unknown) is left behind: .mkv does not hold it",
        "audio stream 2 (unknown) is left behind: .mkv does not hold it",
        "yuv411p is converted once to yuv444p",
        "FFV1 carries no HDR10 mastering metadata; the colour tags are kept",
        "stays interlaced; moving edges are combed and fills show it: --deinterlace makes whole pictures",
        "Matroska rounds timestamps to milliseconds; .mp4 and .mov keep them exactly",
    ]
    assert target_notes(tmp_path / "out.mp4", source, DEFAULT) == []


def test_a_rate_factor_beyond_the_encoders_scale(tmp_path: Path, source: SourceInfo) -> None:
    with pytest.raises(ConfigError, match=r"encode\.crf is 60, expected 0 to 51 for H\.264"):
        check_target(tmp_path / "out.mp4", source, EncodeConfig(crf=60))
    large = replace(source, size_hw=(64, 96))
    check_target(tmp_path / "out.mp4", large, EncodeConfig(crf=60, codec="av1"))


def test_streams_may_be_left_behind_on_request(tmp_path: Path, source: SourceInfo) -> None:
    laden = replace(source, streams=(StreamSummary(1, "subtitle", "subrip"),))
    with pytest.raises(VideoError, match=r"or leave it behind with --drop-streams\.$"):
        check_target(tmp_path / "out.mp4", laden, DEFAULT)

    willing = EncodeConfig(drop_streams=True)
    check_target(tmp_path / "out.mp4", laden, willing)
    assert target_notes(tmp_path / "out.mp4", laden, willing) == [
        "subtitle stream 1 (subrip) is left behind: .mp4 does not hold it"
    ]


def test_telemetry_that_no_container_holds_is_only_noted(tmp_path: Path, source: SourceInfo) -> None:
    laden = replace(source, streams=(StreamSummary(1, "data", "epg"),))
    check_target(tmp_path / "out.mp4", laden, DEFAULT)
    assert "data stream 1 (epg) is left behind" in target_notes(tmp_path / "out.mp4", laden, DEFAULT)[0]


def test_timecode_and_chapters_are_written_anew(tmp_path: Path, source: SourceInfo) -> None:
    streams = tuple(StreamSummary(1, "data", "unknown", role=role) for role in ("timecode", "chapters"))
    laden = replace(source, streams=streams)
    check_target(tmp_path / "out.mkv", laden, DEFAULT)
    assert not [note for note in target_notes(tmp_path / "out.mkv", laden, DEFAULT) if "stream" in note]
