from __future__ import annotations

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from osor_video.errors import VideoError
from osor_video.video.planes import ColorSpec
from osor_video.video.probe import SourceInfo, probe
from osor_video.video.reader import (
    _sound_from_sync,
    open_reader,
    read_from,
    read_planes,
    read_span,
)
from tests.video.clips import DEEP, FILM, index_planes, make_clip, make_edit_list, read_index, truncate

needs_decord = pytest.mark.skipif(find_spec("decord") is None, reason="decord has no wheel here")


def indices(source: SourceInfo, decoder: str = "auto") -> list[int]:
    with open_reader(source, decoder) as reader:  # type: ignore[arg-type]
        return [read_index(frame.rgb) for frame in reader]


@needs_decord
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_decord_and_pyav_give_the_same_frames(tmp_path: Path, suffix: str) -> None:
    source = probe(make_clip(tmp_path / f"a{suffix}", frames=40))
    with open_reader(source) as quick, open_reader(source, "pyav") as exact:
        pairs = list(zip(quick, exact, strict=True))

    assert (quick.decoder, quick.reason) == ("decord", "plain 8-bit 4:2:0")
    assert (exact.decoder, exact.reason) == ("PyAV", "asked for")
    for number, (a, b) in enumerate(pairs):
        assert (a.index, a.pts) == (b.index, b.pts) == (number, source.pts[number])
        assert read_index(a.rgb) == read_index(b.rgb) == number
        assert np.abs(a.rgb.astype(int) - b.rgb).mean() <= 2


@needs_decord
def test_a_long_clip_is_not_read_by_decord(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = probe(make_clip(tmp_path / "a.mp4", frames=20))
    monkeypatch.setattr("osor_video.video.reader.DECORD_MB", 0.3)
    with open_reader(source) as reader:
        assert reader.decoder == "PyAV"
        assert reader.reason == "20 frames of 64 lines, of which decord would hold many"
    monkeypatch.setattr("osor_video.video.reader.DECORD_MB", 0.4)
    with open_reader(source) as reader:
        assert reader.decoder == "decord"


@needs_decord
def test_variable_rate_by_decord_keeps_order_and_times(tmp_path: Path) -> None:
    source = probe(make_clip(tmp_path / "vfr.mp4", pts=[0, 1001, 4004, 5005, 5500, 9009]))
    with open_reader(source, "decord") as reader:
        seen = [(read_index(frame.rgb), frame.pts) for frame in reader]

    assert seen == list(enumerate(source.pts))


@needs_decord
def test_unfit_material_goes_to_pyav_with_a_reason(tmp_path: Path) -> None:
    plain = make_clip(tmp_path / "a.mp4")
    cases = {
        "edit list drops 5 frames": make_edit_list(plain, tmp_path / "edit.mp4", 5),
        "yuv420p10le is not 8-bit 4:2:0": make_clip(tmp_path / "deep.mp4", color=DEEP),
        "rotated by 90 degrees": make_clip(tmp_path / "turned.mp4", rotation=90),
        "mpegts container": make_clip(tmp_path / "a.ts"),
    }
    for reason, path in cases.items():
        source = probe(path)
        with open_reader(source) as reader:
            seen = [read_index(frame.rgb) for frame in reader]
        assert (reader.decoder, reader.reason) == ("PyAV", reason)
        assert seen == list(range(source.skipped, 24))


@needs_decord
def test_other_obstacles_are_named(tmp_path: Path) -> None:
    source = probe(make_clip(tmp_path / "a.mp4"))
    unstated = replace(source.tags, matrix=2)
    cases = {
        "interlaced": replace(source, interlaced=True),
        "pixel aspect 16/15": replace(source, sample_aspect=FILM / FILM * 16 / 15),
        "720 lines without a stated colour matrix": replace(source, size_hw=(720, 96), tags=unstated),
        "decord counts 24 frames, PyAV 23": replace(source, pts=source.pts[:-1]),
    }
    for reason, unfit in cases.items():
        with open_reader(unfit) as reader:
            assert reader.reason == reason


def test_decord_is_refused_where_it_would_be_wrong(tmp_path: Path) -> None:
    source = probe(make_clip(tmp_path / "deep.mp4", color=DEEP))
    with pytest.raises(
        VideoError, match=r"decord cannot read .*deep\.mp4 faithfully: .* use the decoder 'auto'"
    ):
        open_reader(source, "decord")


def test_a_file_that_decord_does_not_open_goes_to_pyav(tmp_path: Path) -> None:
    source = probe(make_clip(tmp_path / "a.mp4"))
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a video")
    with open_reader(replace(source, path=broken)) as reader:
        assert reader.decoder == "PyAV"
        with pytest.raises(VideoError, match="not a readable video"):
            next(iter(reader))


def test_planes_come_with_exact_times_and_samples(tmp_path: Path) -> None:
    deep = ColorSpec("bt709", full_range=False, bit_depth=10, chroma_log2=(0, 1))
    source = probe(make_clip(tmp_path / "deep.mkv", codec="ffv1", color=deep, frames=6))

    frames = list(read_planes(source))

    assert [frame.pts for frame in frames] == list(source.pts)
    assert [frame.index for frame in frames] == list(range(6))
    for frame in frames:
        expected = index_planes(frame.index, deep)
        assert all(np.array_equal(a, b) for a, b in zip(frame.planes, expected, strict=True))


def test_another_number_of_frames_than_probed_is_an_error(tmp_path: Path) -> None:
    source = probe(make_clip(tmp_path / "a.mp4"))
    with pytest.raises(
        VideoError, match=r"damaged at frame 24 of 25 .*the file ends there; 24 frames come before"
    ):
        list(read_planes(replace(source, pts=(*source.pts, 99999))))
    with pytest.raises(VideoError, match="its timestamp is 23023, the file's index says the end"):
        list(read_planes(replace(source, pts=source.pts[:-1])))


def test_another_form_than_probed_is_an_error(tmp_path: Path) -> None:
    source = probe(make_clip(tmp_path / "a.mp4"))
    with pytest.raises(VideoError, match=r"changes from \(32, 32\) yuv420p to \(64, 96\)"):
        list(read_planes(replace(source, size_hw=(32, 32))))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files through /proc")
def test_readers_free_the_file(tmp_path: Path) -> None:
    source = probe(make_clip(tmp_path / "a.mp4"))
    open_before = _open_files(source.path)
    planes = read_planes(source)
    next(planes)
    assert _open_files(source.path) == open_before + 1
    planes.close()
    with open_reader(source, "pyav") as reader:
        next(iter(reader))
    assert _open_files(source.path) == open_before


def _open_files(path: Path) -> int:
    return sum(link.resolve() == path.resolve() for link in Path("/proc/self/fd").iterdir() if link.exists())


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.mkv", "libx264"),
        ("a.ts", "libx264"),
        ("open.mp4", "libx265"),
        ("open.mkv", "libx265"),
    ],
)
def test_a_span_holds_the_frames_of_a_whole_reading(tmp_path: Path, name: str, codec: str) -> None:
    source = probe(make_clip(tmp_path / name, frames=30, codec=codec))
    with open_reader(source, "pyav") as reader:
        whole = list(reader)
    for start, stop in ((0, 3), (7, 10), (8, 9), (15, 27), (29, 30), (0, 30)):
        span = read_span(source, start, stop)
        assert [frame.index for frame in span] == list(range(start, stop))
        assert all(
            a.pts == b.pts and np.array_equal(a.rgb, b.rgb)
            for a, b in zip(span, whole[start:stop], strict=True)
        )


def test_a_span_behind_damage_is_refused(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "a.mkv", frames=60)
    source = probe(whole)
    spoilt = truncate(whole, tmp_path / "b.mkv", 0.4)
    with pytest.raises(VideoError, match=r"b\.mkv is damaged at frame \d+ of 60"):
        read_span(replace(source, path=spoilt), 50, 52)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.mkv", "libx264"),
        ("a.ts", "libx264"),
        ("open.mp4", "libx265"),
        ("open.mkv", "libx265"),
    ],
)
def test_reading_from_a_frame_on_gives_the_rest_of_a_whole_reading(
    tmp_path: Path, name: str, codec: str
) -> None:
    source = probe(make_clip(tmp_path / name, frames=30, codec=codec))
    whole = list(read_planes(source))
    for start in (0, 7, 15, 29):
        rest = list(read_from(source, start))
        assert [frame.index for frame in rest] == list(range(start, 30))
        for a, b in zip(rest, whole[start:], strict=True):
            assert (a.pts, a.duration) == (b.pts, b.duration)
            assert all(np.array_equal(x, y) for x, y in zip(a.planes, b.planes, strict=True))


def test_reading_from_a_frame_seeks_where_the_container_leads_there(tmp_path: Path) -> None:
    source = probe(make_clip(tmp_path / "a.mp4", frames=30))
    assert next(_sound_from_sync(source, 20), None) is not None


def test_reading_from_a_frame_names_damage_and_what_is_no_frame(tmp_path: Path) -> None:
    whole = make_clip(tmp_path / "a.mkv", frames=60)
    source = probe(whole)
    spoilt = replace(source, path=truncate(whole, tmp_path / "b.mkv", 0.4))
    for start in (0, 50):
        with pytest.raises(VideoError, match=r"b\.mkv is damaged at frame \d+ of 60"):
            list(read_from(spoilt, start))
    with pytest.raises(VideoError, match="Frame 60 is not in"):
        next(read_from(source, 60))
