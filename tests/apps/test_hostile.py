"""Files and places that mean no good: each is one sentence, exit code 2, and nothing is written; damage is got through."""

from __future__ import annotations

import json
import os
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from typer.testing import CliRunner

from osor_video.apps.cli import app
from osor_video.apps.pictures import write_png
from osor_video.errors import ConfigError
from osor_video.video.probe import probe
from tests.apps.clips import FRAMES, SIZE_HW, square_picture
from tests.apps.conftest import Material
from tests.video.clips import add_tone, make_clip, make_sound_only, packets
from tests.video.test_damage import spoil_packets


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(part) for part in arguments])


def tiny_y4m(path: Path, width: int, height: int, payload: int = 64) -> Path:
    path.write_bytes(f"YUV4MPEG2 W{width} H{height} F25:1 C420jpeg\nFRAME\n".encode() + b"\x80" * payload)
    return path


def unknown_codec(path: Path) -> Path:
    data = make_clip(path).read_bytes()
    path.write_bytes(data.replace(b"avc1", b"zzzz"))
    return path


def png_header(path: Path, width: int, height: int) -> Path:
    """A PNG of a few bytes that declares ``width`` x ``height`` and holds a bomb of zeros."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    zeros = zlib.compress(bytes(1 << 22), 9)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zeros) + chunk(b"IEND", b"")
    )
    return path


def empty(path: Path) -> Path:
    path.write_bytes(b"")
    return path


SOURCES: dict[str, tuple[Callable[[], Path], str]] = {
    "zero length": (lambda: empty(Path("a.mp4")), "is empty (0 bytes)"),
    "audio only": (lambda: make_sound_only(Path("a.mp4")), "has no video stream (it holds: audio)"),
    "one pixel": (
        lambda: tiny_y4m(Path("a.y4m"), 1, 1),
        "frames of 1x1 pixels, expected sides of 16 to 8192",
    ),
    "too wide": (
        lambda: tiny_y4m(Path("a.y4m"), 16384, 64, 16384 * 96),
        "frames of 16384x64 pixels, expected sides",
    ),
    "huge by its header": (lambda: tiny_y4m(Path("a.y4m"), 60000, 60000), "a.y4m"),
    "unknown codec": (lambda: unknown_codec(Path("a.mp4")), "codec that is not known here"),
    "cut in half": (
        lambda: _half(make_clip(Path("a.mp4"))),
        "is not a readable video",
    ),
}
MASKS: dict[str, tuple[Callable[[], Path], str]] = {
    "bomb": (lambda: png_header(Path("m.png"), 60000, 45000), "not a readable picture"),
    "large of the clip's shape": (
        lambda: png_header(Path("m.png"), 12000, 9000),
        "is 12000x9000, expected at most 38 million pixels",
    ),
    "no data": (lambda: empty(Path("m.png")), "is not a readable picture"),
}


def _half(path: Path) -> Path:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return path


def refused(result: Any, said: str) -> None:
    assert result.exit_code == 2, (result.output, result.exception)
    assert said in result.stderr
    assert result.stderr.startswith("osor-video: ")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("name", SOURCES)
def test_hostile_sources(
    name: str, material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make, said = SOURCES[name]
    path = make()
    refused(run("remove", path, "--mask", material.first, "-o", "o.mp4"), said)
    assert list(tmp_path.iterdir()) == [tmp_path / path]


@pytest.mark.parametrize("name", MASKS)
def test_hostile_masks(
    name: str, material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make, said = MASKS[name]
    path = make()
    refused(run("remove", material.clip, "--mask", path, "--fit-mask", "-o", "o.mp4"), said)
    assert list(tmp_path.iterdir()) == [tmp_path / path]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_under_a_picture_is_a_sentence() -> None:
    with pytest.raises(ConfigError, match=r"/dev/full could not be written \(No space left on device\)"):
        write_png(Path("/dev/full"), np.zeros((8, 8), np.uint8))


@pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="the administrator may read and write everything"
)
def test_what_may_not_be_read_or_written(material: Material, tmp_path: Path) -> None:
    secret = tmp_path / "secret.mp4"
    secret.write_bytes(material.clip.read_bytes())
    secret.chmod(0)
    refused(run("remove", secret, "--mask", material.first, "-o", tmp_path / "o.mp4"), "Permission denied")
    tmp_path.chmod(0o500)
    refused(run("remove", material.clip, "--mask", material.first, "-o", tmp_path / "o.mp4"), "not writable")


def test_a_read_only_place_without_rights_to_ask(material: Material) -> None:
    if not Path("/proc/self").exists():
        pytest.skip("needs Linux's /proc, where nobody can write")
    refused(run("remove", material.clip, "--mask", material.first, "-o", "/proc/o.mp4"), "is not writable")


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """What a full disk does: files cannot grow beyond ``size`` bytes."""
    import resource  # noqa: PLC0415  (absent on Windows)

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of a file as POSIX has it")
def test_a_full_disk_is_a_sentence_and_with_room_the_run_goes_on(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "o.mkv"
    command: tuple[Any, ...] = (
        "remove",
        material.clip,
        "--mask",
        material.first,
        "-o",
        output,
        "--lossless",
        "--quiet",
    )
    command += ("--model", material.model, "--flow", "dis")
    with no_file_above(1000):
        refused(run(*command), "There is no room for the work files")
    assert list(tmp_path.iterdir()) == []

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("osor_video.restore.make_fill", stop)
        assert run(*command).exit_code == 130
    with no_file_above(5000):
        result = run(*command, "--resume")
    refused(result, f"There is no room for {output}")
    assert "the same command with --resume goes on" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["o.mkv.osor-work"]
    assert run(*command, "--resume").exit_code == 0
    assert list(tmp_path.iterdir()) == [output]
    assert probe(output).frames == FRAMES


def hostile_clip(path: Path) -> Path:
    """A square that crosses a wall, with sound, an attachment that would like to be elsewhere, and a title that draws."""
    with av.open(str(path), "w") as out:
        out.metadata["title"] = "\x1b[2J../../../etc/passwd\n" + "x" * 5000
        stream = out.add_stream("libx264", rate=Fraction(24), options={"crf": "8", "g": "1"})
        stream.height, stream.width, stream.pix_fmt = *SIZE_HW, "yuv420p"
        sound = out.add_stream("aac", rate=48000)
        out.add_attachment("../../../../evil.ttf", "font/ttf", b"\x00" * 64)
        for index in range(12):
            picture = square_picture(min(index, FRAMES - 1))
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
        add_tone(out, sound, 0.5)
    return path


def test_damage_and_hostile_metadata_are_got_through(material: Material, tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b" / "c"
    inner.mkdir(parents=True)
    whole = hostile_clip(inner / "whole.mkv")
    spoilt = spoil_packets(whole, inner / "spoilt.mkv", lambda number: number in (5, 6))
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    report = inner / "run.json"
    result = run(
        *("remove", spoilt, "--mask", material.first, "-o", inner / "o.mkv", "--report", report),
        *("--model", material.model, "--flow", "dis"),
    )
    assert result.exit_code == 0, (result.output, result.exception)
    assert "the source is damaged at 2 frames, 5 to 6" in result.stdout
    values = json.loads(report.read_text(encoding="utf-8"))
    assert values["damaged"] == [5, 6]
    after, source = probe(inner / "o.mkv"), probe(spoilt)
    assert after.frames == 12
    assert [pts * after.time_base for pts in after.pts] == [pts * source.time_base for pts in source.pts]
    assert packets(inner / "o.mkv", "audio") == packets(spoilt, "audio")
    written = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert written == {inner / "o.mkv", report}


def test_an_error_shows_no_control_characters(tmp_path: Path, material: Material) -> None:
    name = tmp_path / "\x1b[31mred.mp4"
    result = run("remove", name, "--mask", material.first, "-o", tmp_path / "o.mp4")
    refused(result, "?[31mred.mp4 does not exist")
    assert "\x1b" not in result.stderr


def test_a_preview_of_no_frame_is_refused_before_networks_are_loaded(
    tmp_path: Path, material: Material, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("osor_video.apps.removal.build_remover", lambda _: pytest.fail("networks are loaded"))
    arguments = ("-o", tmp_path / "o.png", "--preview", FRAMES)
    refused(run("remove", material.clip, "--mask", material.first, *arguments), f"Frame {FRAMES} is not in")


def test_a_stream_that_appears_late_is_a_sentence(tmp_path: Path, material: Material) -> None:
    first, second = tmp_path / "a.ts", tmp_path / "b.ts"
    make_clip(first, size_hw=SIZE_HW)
    make_clip(second, size_hw=SIZE_HW, audio=2)
    first.write_bytes(first.read_bytes() * 40 + second.read_bytes())
    result = run("remove", first, "--mask", material.first, "-o", tmp_path / "o.mkv")
    assert result.exit_code == 2, (result.output, result.exception)
    assert result.stderr.count("\n") == 1
