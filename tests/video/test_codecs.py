"""Which codec, which form of samples, which quality: by the source, or as asked."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from shutil import which

import av
import cv2
import numpy as np
import pytest

from osor_video.config import DecodeConfig, EncodeConfig
from osor_video.errors import ConfigError
from osor_video.video.codecs import choose_target
from osor_video.video.encoders import encoder_options
from osor_video.video.planes import ColorSpec
from osor_video.video.probe import SourceInfo, probe
from osor_video.video.reader import read_planes
from osor_video.video.source import open_source
from osor_video.video.writer import VideoWriter
from tests.video.clips import DEEP, DEEPER, PLAIN, make_clip

QUICK = {"encoder_preset": "ultrafast"}
RGB = ColorSpec("rgb", full_range=True, bit_depth=10, chroma_log2=(0, 0))
HDR = (
    "hdr10=1:repeat-headers=1:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50)"
    ":max-cll=1000,400"
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> SourceInfo:
    path = tmp_path_factory.mktemp("codecs") / "a.mp4"
    return probe(make_clip(path, frames=6, size_hw=(128, 256)))


def written(source: SourceInfo, path: Path, encode: EncodeConfig) -> tuple[SourceInfo, VideoWriter]:
    with VideoWriter(path, source, encode) as writer:
        for frame in read_planes(source):
            writer.write(frame)
    return probe(path), writer


@pytest.mark.parametrize(
    ("codec", "color", "suffix", "name", "note"),
    [
        ("h264", PLAIN, ".mp4", "h264", ""),
        ("hevc", PLAIN, ".mp4", "h265", ""),
        ("av1", PLAIN, ".mp4", "av1", ""),
        (
            "av1",
            replace(PLAIN, chroma_log2=(0, 0)),
            ".mp4",
            "h264",
            "AV1 does not take yuv444p: written as H.264",
        ),
        ("vp9", DEEP, ".mkv", "h264", ""),
        ("mpeg2video", PLAIN, ".mp4", "h264", ""),
        ("h264", DEEPER, ".mp4", "h265", "H.264 does not take yuv422p12le: written as H.265"),
        ("prores", replace(DEEP, chroma_log2=(0, 1)), ".mov", "prores", ""),
        ("prores", replace(DEEP, chroma_log2=(0, 0), alpha=True), ".mov", "prores-4444", ""),
        ("prores", replace(DEEPER, chroma_log2=(0, 0), alpha=True), ".mov", "prores-4444", "as yuva444p10le"),
        (
            "prores",
            replace(DEEP, chroma_log2=(0, 1)),
            ".mp4",
            "h264",
            "ProRes 422 sources go into .mov or .mkv",
        ),
        ("ffv1", DEEPER, ".mkv", "ffv1", ""),
        ("ffv1", DEEPER, ".mp4", "h265", "FFV1 sources go into .mkv"),
        ("png", RGB, ".mov", "h265", "gbrp10le is written as yuv444p10le"),
    ],
)
def test_the_sources_codec_is_kept_where_it_can_be(
    source: SourceInfo, codec: str, color: ColorSpec, suffix: str, name: str, note: str
) -> None:
    like = replace(source, codec=codec, color=color)
    target = choose_target(Path(f"out{suffix}"), like, EncodeConfig())
    assert target.name == name
    assert (note in target.note) if note else not target.note


def test_hdr10_goes_where_its_metadata_goes(source: SourceInfo) -> None:
    like = replace(source, hdr=HDR, color=DEEP)
    assert choose_target(Path("out.mp4"), like, EncodeConfig()).name == "h265"
    assert choose_target(Path("out.mp4"), replace(like, codec="av1"), EncodeConfig()).name == "av1"


@pytest.mark.parametrize(
    ("codec", "suffix", "form", "profile"),
    [
        ("h264", ".mp4", "yuv420p", "Baseline"),
        ("h265", ".mp4", "yuv420p", "Main"),
        ("av1", ".mp4", "yuv420p", "Main"),
        ("prores", ".mov", "yuv422p10le", "HQ"),
        ("prores-4444", ".mov", "yuv444p10le", "4444"),
        ("dnxhr", ".mov", "yuv422p", "DNXHR HQ"),
        ("ffv1", ".mkv", "yuv420p", ""),
    ],
)
def test_every_codec_writes(
    source: SourceInfo, tmp_path: Path, codec: str, suffix: str, form: str, profile: str
) -> None:
    encode = EncodeConfig.model_validate(QUICK | {"codec": codec})
    out, writer = written(source, tmp_path / f"out{suffix}", encode)
    target = choose_target(tmp_path / f"out{suffix}", source, encode)
    assert out.codec == target.codec.source_codec
    # 4444 decodes to 12 bit in newer FFmpeg.
    assert out.pix_fmt.replace("12le", "10le") == form
    assert profile.lower() in out.profile.lower()
    assert [p * out.time_base for p in out.pts] == [
        p * source.time_base for p in source.pts
    ] or suffix == ".mkv"
    assert writer.encoded.startswith(target.codec.title)
    for before, after in zip(read_planes(source), read_planes(out), strict=True):
        scale = 2 ** (out.color.bit_depth - 8)
        assert np.abs(before.planes[0].astype(float) - after.planes[0] / scale).mean() < 3


@pytest.mark.parametrize(
    ("codec", "name", "size", "message"),
    [
        (
            "prores",
            "out.mp4",
            None,
            r"ProRes 422 was asked for, which .mp4 does not hold. Name the output out.mov",
        ),
        ("dnxhr", "out.mkv", None, "DNxHR was asked for, which .mkv does not hold"),
        ("dnxhr", "out.mov", (96, 128), "DNxHR takes pictures from 256x120 on, and .* is 128x96"),
        ("av1", "out.mp4", (63, 95), "AV1 takes pictures from 64x64 on"),
        (
            "av1",
            "out.mp4",
            (65, 97),
            r"AV1 takes even sizes only, and .* is 97x65. Take --codec h265 or ffv1",
        ),
    ],
)
def test_a_codec_that_cannot_be_is_refused(
    source: SourceInfo, codec: str, name: str, size: tuple[int, int] | None, message: str
) -> None:
    like = source if size is None else replace(source, size_hw=size)
    with pytest.raises(ConfigError, match=message):
        choose_target(Path(name), like, EncodeConfig.model_validate({"codec": codec}))


def test_quality_is_matched_or_as_asked(tmp_path: Path) -> None:
    factors = {}
    for crf in (14, 30):
        path = tmp_path / f"{crf}.mp4"
        with av.open(str(path), "w") as out:
            stream = out.add_stream("libx264", rate=24, options={"crf": str(crf), "preset": "medium"})
            stream.height, stream.width, stream.pix_fmt = 96, 128, "yuv420p"
            random = np.random.default_rng(1)
            for _ in range(16):
                picture = random.integers(90, 160, (96, 128, 3)).astype(np.uint8)
                out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            out.mux(stream.encode(None))
        clip = probe(path)
        target = choose_target(Path("out.mp4"), clip, EncodeConfig())
        options, told = encoder_options(target, clip, EncodeConfig())
        assert told == f"H.264, CRF {options['crf']} to match the source"
        factors[crf] = int(options["crf"])
    # A quarter more bytes are some two steps of the factor; 23 is the bound.
    assert factors[14] in (12, 13, 14)
    assert factors[30] == 23
    clip = probe(tmp_path / "14.mp4")
    target = choose_target(Path("out.mp4"), clip, EncodeConfig())
    assert encoder_options(target, clip, EncodeConfig(quality=60))[1] == "H.264, CRF 20"
    assert encoder_options(target, clip, EncodeConfig(quality=60, crf=7))[1] == "H.264, CRF 7"


@pytest.mark.parametrize(
    ("codec", "quality", "profile"),
    [("prores", 10, "proxy"), ("prores", 60, "standard"), ("prores", None, "hq"), ("dnxhr", 50, "dnxhr_sq")],
)
def test_profiles_by_quality(source: SourceInfo, codec: str, quality: int | None, profile: str) -> None:
    encode = EncodeConfig.model_validate({"codec": codec, "quality": quality})
    target = choose_target(Path("out.mov"), source, encode)
    assert encoder_options(target, source, encode)[0]["profile"] == profile


def test_hdr10_metadata_goes_into_av1(source: SourceInfo, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "a.mkv", codec="ffv1", color=DEEP, tags=(9, 16, 9, 1), frames=3)
    like = replace(probe(clip), hdr=HDR)
    out, _ = written(like, tmp_path / "out.mp4", EncodeConfig.model_validate(QUICK | {"codec": "av1"}))
    # AV1 stores chromaticities as 16-bit fractions: back in steps of .00002 they are the same to one step.
    numbers = [
        int(n)
        for part in (HDR, out.hdr)
        for n in part.replace("(", ",").replace(")", ",").split(",")
        if n.isdigit()
    ]
    half = len(numbers) // 2
    assert max(abs(a - b) for a, b in zip(numbers[:half], numbers[half:], strict=True)) <= 1
    assert out.hdr.endswith("max-cll=1000,400")


@pytest.mark.skipif(which("ffprobe") is None, reason="FFmpeg's ffprobe reads how fields were marked")
@pytest.mark.parametrize(("order", "top_first"), [("tt", "1"), ("bb", "0")])
def test_an_interlaced_source_stays_one(
    source: SourceInfo, tmp_path: Path, order: str, top_first: str
) -> None:
    like = replace(source, interlaced=True, field_order=order)
    _, writer = written(like, tmp_path / "out.mov", EncodeConfig.model_validate(QUICK))
    assert writer.notes[0].startswith("stays interlaced")
    asked = ["-v", "error", "-show_entries", "frame=interlaced_frame,top_field_first", "-of", "csv=p=0"]
    shown = subprocess.run(
        ["ffprobe", *asked, str(tmp_path / "out.mov")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert {line.strip(",")[:3] for line in shown.stdout.split()} == {f"1,{top_first}"}


def test_deinterlacing_gives_a_whole_picture_a_frame(tmp_path: Path) -> None:
    clip = probe(make_clip(tmp_path / "a.mkv", codec="ffv1", frames=6))
    whole = replace(clip, deinterlaced=True)
    before, after = list(read_planes(clip)), list(read_planes(whole))
    assert [frame.pts for frame in after] == [frame.pts for frame in before]
    # Every other line is the frame's own, the rest is made from its neighbours.
    own = [(a.planes[0] == b.planes[0]).mean(axis=1) for a, b in zip(after, before, strict=True)]
    assert all(lines[0::2].min() == 1 for lines in own)
    assert any(lines[1::2].min() < 1 for lines in own)


@pytest.mark.parametrize("bit_depth", [8, 16])
@pytest.mark.parametrize("alpha", [False, True])
def test_rgb_of_any_depth_is_kept_bit_for_bit_by_ffv1(tmp_path: Path, bit_depth: int, alpha: bool) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    random = np.random.default_rng(bit_depth)
    kind = np.uint8 if bit_depth == 8 else np.uint16
    for index in range(2):
        picture = random.integers(0, 1 << (8 if bit_depth == 8 else 16), (48, 64, 4 if alpha else 3)).astype(
            kind
        )
        cv2.imwrite(str(folder / f"{index:04d}.png"), picture)
    source = open_source(folder / "%04d.png", DecodeConfig())
    info, _ = written(source, tmp_path / "a.mkv", EncodeConfig(lossless=True))
    assert info.color == source.color
    for before, after in zip(read_planes(source), read_planes(info), strict=True):
        for old, new in zip(before.planes, after.planes, strict=True):
            np.testing.assert_array_equal(new, old)
