"""The command line's targets: matte, alpha, pipes, sequences, streams left behind, the check after decoding."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from osor_video.apps.cli import app
from osor_video.config import DecodeConfig
from osor_video.errors import VideoError
from osor_video.video.planes import planes_to_rgb, to_linear
from osor_video.video.probe import probe
from osor_video.video.reader import read_planes
from osor_video.video.source import open_source
from osor_video.video.stills import read_still
from tests.apps.clips import FRAMES, SIZE_HW, square_mask
from tests.apps.conftest import Material

LUMA = (0.299, 0.587, 0.114)
QUICK = ("--preset", "fast", "--flow", "dis", "--fill", "plate", "--effects", "off", "--quiet")


def remove(*arguments: str | Path, quick: Sequence[str] = QUICK) -> Result:
    return CliRunner().invoke(app, ["remove", *map(str, arguments), *quick])


@pytest.fixture
def common(material: Material) -> tuple[str | Path, ...]:
    return material.clip, "--mask", material.first, "--model", material.model


def rgb(path: Path) -> list[np.ndarray]:
    source = open_source(path, DecodeConfig())
    return [planes_to_rgb(frame.planes, source.color).astype(np.float64) for frame in read_planes(source)]


def test_the_matte_over_the_original_is_the_result(common: tuple[str | Path, ...], tmp_path: Path) -> None:
    out, matte, alphas = tmp_path / "out.mkv", tmp_path / "m.%03d.png", tmp_path / "alpha.####.tif"
    done = remove(
        *common, "-o", out, "--lossless", "--lossless-check", "--matte", matte, "--alpha-out", alphas
    )
    assert done.exit_code == 0, done.output
    originals, results = rgb(Path(common[0])), rgb(out)
    for index in range(FRAMES):
        (green, blue, red, alpha), color = read_still(tmp_path / f"m.{index:03d}.png")
        assert (color.bit_depth, color.alpha) == (16, True)
        share = (alpha.astype(np.float64) / 65535)[..., None]
        laid = np.dstack([red, green, blue]).astype(np.float64) / 257 * share + originals[index] * (1 - share)
        # Both sides were rounded to 8 bit; of colour the result has a quarter of the samples, of luma all.
        inside = cv2.erode(square_mask(index).astype(np.uint8), np.ones((5, 5))).astype(bool)
        assert np.abs((laid - results[index]) @ LUMA)[inside].mean() < 0.8
        assert (alpha[square_mask(index)] == 65535).all()
        assert not alpha[:20].any()
        stored = cv2.imread(str(tmp_path / f"alpha.{index:04d}.tif"), cv2.IMREAD_UNCHANGED)
        assert stored is not None
        assert np.abs(stored.astype(np.float64) / 255 - share[..., 0]).max() < 0.003


def test_a_matte_for_editors_and_one_in_light(common: tuple[str | Path, ...], tmp_path: Path) -> None:
    pytest.importorskip("OpenEXR", reason="the extra vfx is not installed")
    assert remove(*common, "-o", tmp_path / "out.mp4", "--matte", tmp_path / "m.mov").exit_code == 0
    assert remove(*common, "-o", tmp_path / "again.mp4", "--matte", tmp_path / "m.%d.exr").exit_code == 0
    movie = probe(tmp_path / "m.mov")
    assert (movie.codec, movie.frames, movie.color.alpha) == ("prores", FRAMES, True)
    first = next(read_planes(movie)).planes
    library = pytest.importorskip("OpenEXR")
    with library.File(str(tmp_path / "m.0.exr"), separate_channels=True) as file:
        light = {name: file.channels()[name].pixels.astype(np.float32) for name in "RGBA"}
    assert np.abs(light["A"] - first[3] / movie.color.top).max() < 0.01
    inside = square_mask(0)
    shown = (planes_to_rgb(first, movie.color) / 255).astype(np.float32)
    # Alpha is 1 there: premultiplied and straight are the same.
    assert np.abs(to_linear(shown)[inside] - np.dstack([light[n] for n in "RGB"])[inside]).mean() < 0.01
    assert not light["R"][light["A"] == 0].any()


def test_a_matte_that_cannot_be(common: tuple[str | Path, ...], tmp_path: Path) -> None:
    done = remove(*common, "-o", tmp_path / "out.mp4", "--matte", tmp_path / "m.mp4")
    assert done.exit_code == 2
    assert "expected a name that ends in .mov" in done.output
    assert list(tmp_path.iterdir()) == []


def test_what_was_to_be_lossless_and_is_not_ends_with_1(
    common: tuple[str | Path, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = tmp_path / "r.json"
    lossy = remove(*common, "-o", tmp_path / "out.mp4", "--lossless-check", "--crf", "30", "--report", report)
    assert lossy.exit_code == 0, lossy.output
    told = json.loads(report.read_text())
    assert told["outside_max_difference"] == 0
    assert told["decoded_max_difference"] > 0
    monkeypatch.setattr("osor_video.pipeline.decoded_difference", lambda *_: 2.0)
    failed = remove(*common, "-o", tmp_path / "out.mkv", "--codec", "ffv1", "--lossless-check")
    assert failed.exit_code == 1
    assert "is not lossless: it differs by 2 where nothing was replaced" in failed.output


def test_the_summary_tells_both_differences(common: tuple[str | Path, ...], tmp_path: Path) -> None:
    done = remove(*common, "-o", tmp_path / "out.mkv", "--lossless", "--lossless-check", quick=QUICK[:-1])
    assert "outside  max difference: 0 before encoding, 0 in the file as it decodes" in done.output
    assert "encoded  FFV1, lossless" in done.output


def test_pictures_in_and_out(material: Material, tmp_path: Path) -> None:
    for index, picture in enumerate(rgb(material.clip)):
        cv2.imwrite(str(tmp_path / f"in.{index + 1001}.png"), picture[..., ::-1].astype(np.uint16) * 257)
        cv2.imwrite(str(tmp_path / f"given.{index}.png"), square_mask(index).astype(np.uint8) * 255)
    done = remove(
        tmp_path / "in.%04d.png", "--mask", tmp_path / "given.%d.png", "--model", material.model,
        "-o", tmp_path / "new" / "folder" / "out.%04d.png", "--masks-out", tmp_path / "mask.%04d.png", "--lossless-check",
        "--rate", "24000/1001",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    for number in range(1001, 1001 + FRAMES):
        before, after, mask = (
            np.asarray(cv2.imread(str(tmp_path / f"{name}.{number}.png"), cv2.IMREAD_UNCHANGED))
            for name in ("in", "new/folder/out", "mask")
        )
        near = cv2.dilate(mask, np.ones((17, 17))) > 0
        assert np.array_equal(before[~near], after[~near])
        assert (before[mask > 0] != after[mask > 0]).mean() > 0.9
        # The fill has 16 bit of its own, not 8 spread out.
        assert len(np.unique(after[mask > 0] % 257)) > 100


def test_a_run_that_fails_leaves_no_new_folder(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise VideoError("The disk is gone.")

    monkeypatch.setattr("osor_video.pipeline.VideoRemover.analyse", fail)
    failed = remove(
        material.clip,
        "--mask",
        material.first,
        "--model",
        material.model,
        "-o",
        tmp_path / "new" / "out.%04d.png",
    )
    assert failed.exit_code == 2
    assert list(tmp_path.iterdir()) == []


def test_streams_are_left_behind_on_request_only(material: Material, tmp_path: Path) -> None:
    clip = tmp_path / "a.mkv"
    text = tmp_path / "a.srt"
    text.write_text("1\n00:00:00,000 --> 00:00:00,200\nHallo\n\n")
    with av.open(str(material.clip)) as inp, av.open(str(text)) as sub, av.open(str(clip), "w") as out:
        streams = [out.add_stream_from_template(item.streams[0]) for item in (inp, sub)]
        for item, stream in zip((inp, sub), streams, strict=True):
            for packet in item.demux():
                if packet.dts is not None:
                    packet.stream = stream
                    out.mux(packet)
    asked = (clip, "--mask", material.first, "--model", material.model, "-o", tmp_path / "out.mp4")
    refused = remove(*asked)
    assert refused.exit_code == 2
    assert "Name the output out.mkv, or leave it behind with --drop-streams." in refused.output
    assert not (tmp_path / "out.mp4").exists()
    done = remove(*asked, "--drop-streams", quick=QUICK[:-1])
    assert done.exit_code == 0, done.output
    note = "note     subtitle stream 1 (subrip) is left behind: .mp4 does not hold it"
    # Said before the run, which tells of its frames at its end.
    assert done.output.index(note) < done.output.index("frames   ")
    assert done.output.count(note) == 1


def test_a_pipe_in_and_out_has_nothing_but_pictures(material: Material, tmp_path: Path) -> None:
    asked = ["remove", "-", "--mask", str(material.first), "-o", "-", "--model", str(material.model)]
    run = CliRunner().invoke(app, [*asked, *QUICK[:-1]], input=material.clip.read_bytes())
    assert run.exit_code == 0, run.stderr
    (tmp_path / "out.y4m").write_bytes(run.stdout_bytes)
    back = probe(tmp_path / "out.y4m")
    assert (back.frames, back.size_hw) == (FRAMES, SIZE_HW)
    frame = len(b"FRAME\n") + SIZE_HW[0] * SIZE_HW[1] * 3 // 2
    header, rest = run.stdout_bytes.split(b"\n", 1)
    assert header.startswith(b"YUV4MPEG2 W128 H96 F24:1")
    assert len(rest) == FRAMES * frame
    assert "outside  max difference: 0" in run.stderr


def test_nothing_through_the_pipe(material: Material, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["remove", "-", "--mask", str(material.first), "-o", str(tmp_path / "o.mp4"), *QUICK], input=b""
    )
    assert done.exit_code == 2
    assert "Nothing came through standard input" in done.output


def test_deinterlacing_is_told(common: tuple[str | Path, ...], tmp_path: Path) -> None:
    done = remove(*common, "-o", tmp_path / "out.mp4", "--deinterlace", quick=QUICK[:-1])
    assert done.exit_code == 0, done.output
    assert "deinterlaced: every pixel is made anew" in done.output
