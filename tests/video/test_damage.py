"""Damage in the middle of a file: bridged, marked, and nothing behind it moves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import pytest

from osor_video.errors import MaskError, VideoError
from osor_video.masks.painted import MaskReading
from osor_video.masks.sequence import VideoMasks
from osor_video.video.planes import PlanarFrame
from osor_video.video.probe import probe
from osor_video.video.reader import open_reader, read_planes
from tests.video.clips import make_clip, read_index


def spoil_packets(source: Path, path: Path, which: Callable[[int], bool]) -> Path:
    """Copy a clip with the video packets of these numbers (in decoding order) made zeros."""
    with av.open(str(source)) as inp, av.open(str(path), "w") as out:
        streams = {stream.index: out.add_stream_from_template(stream) for stream in inp.streams}
        number = 0
        for packet in inp.demux():
            if not packet.size:
                continue  # the end of a stream
            copy = packet
            if packet.stream.type == "video":
                if which(number):
                    copy = av.Packet(bytes(packet.size))
                    copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
                    copy.duration, copy.is_keyframe = packet.duration, packet.is_keyframe
                number += 1
            copy.stream = streams[packet.stream.index]
            out.mux(copy)
    return path


def read(path: Path) -> list[PlanarFrame]:
    return list(read_planes(probe(path)))


def shown(frames: list[PlanarFrame]) -> list[int]:
    return [read_index(frame.planes[0]) for frame in frames]


def intra(path: Path, frames: int) -> Path:
    """A clip whose pictures need no other."""
    return make_clip(path, frames=frames, gop=1)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_lost_packets_are_stood_in_for_and_the_rest_keeps_its_times(tmp_path: Path, suffix: str) -> None:
    whole = make_clip(tmp_path / f"a{suffix}", frames=40)
    frames = read(spoil_packets(whole, tmp_path / f"b{suffix}", lambda number: number in (17, 18)))
    assert [frame.pts for frame in frames] == [frame.pts for frame in read(whole)]
    bad = [frame.index for frame in frames if frame.damaged]
    assert bad
    # A group of pictures has 8 frames; the damage stays within the third.
    assert set(bad) <= set(range(16, 24))
    good = [number for number in range(40) if not 16 <= number < 24]
    assert [shown(frames)[number] for number in good] == good


def test_a_stream_that_forgets_lost_packets_keeps_its_times_too(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "a.ts", frames=40)
    times = {frame.pts: shown([frame])[0] for frame in read(whole)}
    frames = read(spoil_packets(whole, tmp_path / "b.ts", lambda number: number in (17, 18)))
    assert len(frames) >= 38
    for frame, number in zip(frames, shown(frames), strict=True):
        assert times[frame.pts] == number or 16 <= times[frame.pts] < 24


def test_a_lost_picture_shows_the_one_before(tmp_path: Path) -> None:
    whole = intra(tmp_path / "a.mp4", 12)
    frames = read(spoil_packets(whole, tmp_path / "b.mp4", lambda number: number in (4, 5, 9)))
    assert shown(frames) == [0, 1, 2, 3, 3, 3, 6, 7, 8, 8, 10, 11]
    assert [frame.index for frame in frames if frame.damaged] == [4, 5, 9]


def test_both_readers_give_every_frame(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "a.mp4", frames=40)
    source = probe(spoil_packets(whole, tmp_path / "b.mp4", lambda number: 17 <= number < 20))
    for decoder in ("auto", "pyav"):
        with open_reader(source, decoder) as reader:
            found = [(frame.index, frame.pts) for frame in reader]
        assert found == list(enumerate(source.pts))


def test_more_damage_than_picture_is_refused(tmp_path: Path) -> None:
    whole = intra(tmp_path / "a.mp4", 20)
    spoilt = spoil_packets(whole, tmp_path / "b.mp4", lambda number: 2 <= number < 16)
    with pytest.raises(
        VideoError, match=r"damaged at frame 12 of 20 .*: 11 frames up to there are, too many"
    ):
        read(spoilt)


def test_damage_at_the_end_is_a_cut_file(tmp_path: Path) -> None:
    whole = intra(tmp_path / "a.mp4", 20)
    with pytest.raises(VideoError, match=r"damaged or cut off at its end: 18 of 20 frames"):
        read(spoil_packets(whole, tmp_path / "b.mp4", lambda number: number >= 18))


def test_damage_in_the_last_group_but_not_at_its_end_is_bridged(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "a.mp4", frames=12, gop=12)
    frames = read(spoil_packets(whole, tmp_path / "b.mp4", lambda number: number == 6))
    assert len(frames) == 12
    assert any(frame.damaged for frame in frames)


def test_a_file_that_ends_early_while_it_is_read_is_refused(tmp_path: Path) -> None:
    source = probe(make_clip(tmp_path / "a.mkv", frames=20, codec="ffv1"))
    data = source.path.read_bytes()
    source.path.write_bytes(data[: len(data) // 2])
    with pytest.raises(VideoError, match=r"damaged at frame \d+ of 20"):
        list(read_planes(source))


def test_a_size_that_changes_is_refused(tmp_path: Path) -> None:
    first, second = make_clip(tmp_path / "a.ts"), make_clip(tmp_path / "b.ts", size_hw=(96, 128))
    joined = tmp_path / "c.ts"
    late = replace(probe(first), path=joined)
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    with pytest.raises(VideoError, match=r"changes from \(64, 96\) yuv420p to \(96, 128\).*split it"):
        list(read_planes(late))


def test_a_damaged_mask_video_is_refused(tmp_path: Path) -> None:
    whole = intra(tmp_path / "a.mp4", 12)
    spoilt = probe(spoil_packets(whole, tmp_path / "b.mp4", lambda number: number == 4))
    with pytest.raises(MaskError, match=r"damaged at .*b\.mp4, frame 4\. Render it again"):
        list(VideoMasks(spoilt, MaskReading(region=True)).masks((64, 96)))
