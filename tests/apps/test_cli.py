"""The command line: what it writes, what it says, and how it ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from osor_video import __version__
from osor_video.apps.cli import app
from osor_video.apps.exits import Terminated
from osor_video.benchmark.cases import pictures_of
from osor_video.video.probe import probe
from tests.apps.clips import FRAMES, SIZE_HW, square_mask, wall, write_clip
from tests.apps.conftest import Material


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(part) for part in arguments])


def write_mask(path: Path, mask: Any) -> Path:
    cv2.imwrite(str(path), np.asarray(mask).astype(np.uint8) * 255)
    return path


def read_picture(path: Path) -> NDArray[np.uint8]:
    return np.asarray(cv2.imread(str(path)), dtype=np.uint8)


# --- what it writes ---------------------------------------------------------------------------------------


def test_remove_writes_clip_masks_and_report_and_sums_up(material: Material, tmp_path: Path) -> None:
    output, masks, report = (
        tmp_path / "out.mp4",
        tmp_path / "new" / "masks",
        tmp_path / "figures" / "run.json",
    )
    result = run(
        *("remove", material.clip, "--mask", material.first, "-o", output, "--model", material.model),
        *(
            "--flow",
            "dis",
            "--masks-out",
            masks,
            "--report",
            report,
            "--threads",
            1,
            "--set",
            "mask.grow=0.02",
        ),
    )
    assert result.exit_code == 0, result.output
    assert probe(output).frames == FRAMES
    assert [path.name for path in sorted(masks.iterdir())] == [f"{index:05d}.png" for index in range(FRAMES)]
    np.testing.assert_array_equal(read_picture(masks / "00000.png")[..., 0] == 255, square_mask(0))
    values = json.loads(report.read_text(encoding="utf-8"))
    assert values["frames"] == FRAMES
    assert values["model"] == "tiny"
    for part in ("DIS", "tiny", "real background", "score", "MiB", str(output)):
        assert part in result.stdout
    assert result.stderr == ""


def test_regions_plate_and_effects_are_heard(material: Material, tmp_path: Path) -> None:
    left = np.zeros(SIZE_HW, dtype=bool)
    left[:, :50] = True
    spot = np.zeros(SIZE_HW, dtype=bool)
    spot[70:80, 90:110] = True
    cv2.imwrite(str(tmp_path / "plate.png"), wall()[..., ::-1])
    result = run(
        *(
            "remove",
            material.clip,
            "--mask",
            material.first,
            "-o",
            tmp_path / "o.mkv",
            "--model",
            material.model,
        ),
        *("--flow", "dis", "--lossless", "--quiet", "--effects", "off", "--plate", tmp_path / "plate.png"),
        *("--keep", write_mask(tmp_path / "keep.png", left), "--effects-out", tmp_path / "effects"),
        *("--effect-mask", f"3={write_mask(tmp_path / 'spot.png', spot)}", "--set", "composite.grain=0"),
    )
    assert result.exit_code == 0, result.output
    before, after = (list(pictures_of(path)) for path in (material.clip, tmp_path / "o.mkv"))
    for index, (shot, done) in enumerate(zip(before, after, strict=True)):
        # In RGB the next chroma samples colour the last kept columns; test_controls.py compares the samples themselves.
        assert np.array_equal(shot[:, :44], done[:, :44])
        assert (shot != done)[spot].any() == (index >= 3)
    # In the last frame the whole square lies outside what is kept, and the plate shows what is behind it.
    assert np.abs(after[-1].astype(int) - wall())[square_mask(FRAMES - 1)].mean() < 8
    found = sorted((tmp_path / "effects").iterdir())
    assert [path.name for path in found] == [f"{index:05d}.png" for index in range(FRAMES)]
    assert max(read_picture(path).max() for path in found) == 0


def test_preview_puts_the_finished_frame_beside_its_source(material: Material, tmp_path: Path) -> None:
    output = tmp_path / "look.png"
    arguments = ("-o", output, "--model", material.model, "--flow", "dis", "--preview", 2, "--quiet")
    result = run("remove", material.clip, "--box", "16,36,24,24", *arguments)
    assert result.exit_code == 0, result.output
    assert result.output == ""
    picture = read_picture(output)
    assert picture.shape[0] == SIZE_HW[0]
    before, after = picture[:, : SIZE_HW[1]].astype(int), picture[:, -SIZE_HW[1] :].astype(int)
    change = np.abs(before - after).max(axis=2)
    assert change[44:52, 40:48].min() > 20
    assert change[:12].max() == 0


def test_masks_alone(material: Material, tmp_path: Path) -> None:
    arguments = ("-o", tmp_path / "m", "--flow", "dis", "--set", f"removal.model={material.model}")
    sheet = tmp_path / "sheet.png"
    result = run(
        *(
            "masks",
            material.clip,
            "--polygon",
            "16,36,39,36,39,59,16,59",
            *arguments,
            "--contact-sheet",
            sheet,
        )
    )
    assert result.exit_code == 0, result.output
    assert read_picture(sheet).shape == (2 * 240 + 4, 4 * 320 + 3 * 4, 3)
    assert len(list((tmp_path / "m").iterdir())) == FRAMES
    assert f"{FRAMES} masks" in result.stdout


def test_sam2_follows_what_it_finds_in_a_box(material: Material, tmp_path: Path) -> None:
    from tests.tiny_sam import tiny_sam2  # noqa: PLC0415  (its library takes seconds to import)

    weights = tiny_sam2(tmp_path / "sam2")
    arguments = ("--tracker", "sam2", "--set", f"mask.sam2_model={weights}", "--flow", "dis")
    output, masks = tmp_path / "out.mp4", tmp_path / "m"
    result = run(
        *("remove", material.clip, "--box", "16,36,24,24", "-o", output, "--masks-out", masks),
        *("--model", material.model, *arguments),
    )
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    assert probe(output).frames == FRAMES
    found = [read_picture(masks / f"{index:05d}.png")[..., 0] == 255 for index in range(FRAMES)]
    # Random weights find anything but the square; what GrabCut would have found is the square.
    assert all(mask.any() for mask in found)
    assert (found[0] & ~square_mask(0)).any()


def test_strip_shows_before_mask_and_after(material: Material, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    for index in (0, 3):
        write_mask(masks / f"{index:05d}.png", square_mask(index))
    output = tmp_path / "strip.png"
    arguments = ("-o", output, "--frames", "0,3", "--width", 64)
    assert run("strip", material.clip, masks, material.clip, *arguments).exit_code == 0
    assert read_picture(output).shape == (3 * 48 + 8, 2 * 64 + 4, 3)
    result = run("strip", material.clip, masks, material.clip, "-o", output, "--frames", "99")
    assert result.exit_code == 2
    assert "no frame 99" in result.stderr


# --- what it refuses --------------------------------------------------------------------------------------

REFUSED = {
    "missing file": (["nowhere.mp4", "--mask", "FIRST", "-o", "o.mp4"], "does not exist"),
    "a folder": ([".", "--mask", "FIRST", "-o", "o.mp4"], "is a folder"),
    "not a video": (["text.mp4", "--mask", "FIRST", "-o", "o.mp4"], "is not a readable video"),
    "truncated video": (["short.mp4", "--mask", "FIRST", "-o", "o.mp4"], "is not a readable video"),
    "mask missing": (["CLIP", "--mask", "no.png", "-o", "o.mp4"], "no.png does not exist"),
    "mask no picture": (["CLIP", "--mask", "text.mp4", "-o", "o.mp4"], "not a readable picture"),
    "mask of another size": (["CLIP", "--mask", "small.png", "-o", "o.mp4"], "is 20x10, the clip is 128x96"),
    "empty mask": (["CLIP", "--mask", "empty.png", "-o", "o.mp4"], "is empty"),
    "mask over everything": (["CLIP", "--mask", "full.png", "-o", "o.mp4"], "covers 100%"),
    "box outside": (["CLIP", "--box", "100,10,60,20", "-o", "o.mp4"], "does not lie inside the 128x96 frame"),
    "box no numbers": (["CLIP", "--box", "1,2,x,4", "-o", "o.mp4"], "--box is '1,2,x,4', expected four"),
    "polygon odd": (["CLIP", "--polygon", "1,2,3", "-o", "o.mp4"], "--polygon is '1,2,3', expected whole"),
    "polygon of two": (["CLIP", "--polygon", "1,2,3,4", "-o", "o.mp4"], "at least 3 corners"),
    "mask video of another length": (
        ["CLIP", "--mask", "two.mkv", "-o", "o.mp4"],
        "has 2 frames, the clip has 6",
    ),
    "mask at no frame": (["CLIP", "--mask", "-1=FIRST", "-o", "o.mp4"], "expected FRAME=PICTURE"),
    "mask beyond the clip": (["CLIP", "--mask", "9=small.png", "-o", "o.mp4"], "given for frame 9, but"),
    "labels no numbers": (
        ["CLIP", "--mask", "FIRST", "--labels", "a", "-o", "o.mp4"],
        "--labels is 'a', expected",
    ),
    "labels without a mask": (
        ["CLIP", "--box", "1,2,3,4", "--labels", "1", "-o", "o.mp4"],
        "there is no --mask",
    ),
    "fit without a mask": (["CLIP", "--box", "1,2,3,4", "--fit-mask", "-o", "o.mp4"], "--fit-mask says how"),
    "fit of another aspect": (
        ["CLIP", "--mask", "small.png", "--fit-mask", "-o", "o.mp4"],
        "same aspect within 2%",
    ),
    "points odd": (["CLIP", "--points", "1,2,3", "-o", "o.mp4"], "--points is '1,2,3', expected whole"),
    "point outside": (["CLIP", "--points", "200,2", "-o", "o.mp4"], "Point 200,2 lies outside the 128x96"),
    "not-points alone": (["CLIP", "--not-points", "1,2", "-o", "o.mp4"], "is given without --points"),
    "points and box": (["CLIP", "--points", "1,2", "--box", "1,2,3,4", "-o", "o.mp4"], "--box and --points"),
    "sheet suffix": (["CLIP", "--mask", "FIRST", "-o", "o.mp4", "--contact-sheet", "s.txt"], "ends in .png"),
    "no seed": (["CLIP", "-o", "o.mp4"], "is not marked"),
    "two seeds": (["CLIP", "--mask", "FIRST", "--box", "1,2,3,4", "-o", "o.mp4"], "--mask and --box"),
    "output is input": (["CLIP", "--mask", "FIRST", "-o", "CLIP"], "is the source itself"),
    "output folder missing": (["CLIP", "--mask", "FIRST", "-o", "no/o.mp4"], "output folder"),
    "unknown suffix": (["CLIP", "--mask", "FIRST", "-o", "o.avi"], "ends in '.avi'"),
    "lossless mp4": (["CLIP", "--mask", "FIRST", "-o", "o.mp4", "--lossless"], "Name the output o.mkv"),
    "unknown setting": (["CLIP", "--mask", "FIRST", "-o", "o.mp4", "--set", "flow.hight=9"], "flow.hight"),
    "no setting": (["CLIP", "--mask", "FIRST", "-o", "o.mp4", "--set", "flow"], "expected key=value"),
    "unknown preset": (["CLIP", "--mask", "FIRST", "-o", "o.mp4", "--preset", "x"], "fast, balanced, best"),
    "crf too large": (["CLIP", "--mask", "FIRST", "-o", "o.mp4", "--crf", "99"], "encode.crf is 99"),
    "unknown flow": (["CLIP", "--mask", "FIRST", "-o", "o.mp4", "--flow", "x"], "flow.backend is 'x'"),
    "config missing": (
        ["CLIP", "--mask", "FIRST", "-o", "o.mp4", "--config", "c.yaml"],
        "c.yaml does not exist",
    ),
    "no model": (
        ["CLIP", "--mask", "FIRST", "-o", "o.mp4", "--model", "."],
        ". is no model: expected a folder",
    ),
    "report suffix": (["CLIP", "--mask", "FIRST", "-o", "o.mp4", "--report", "r.txt"], "ends in .json"),
    "report in a file": (
        ["CLIP", "--mask", "FIRST", "-o", "o.mp4", "--report", "text.mp4/r.json"],
        "is a file",
    ),
    "masks in a file": (["CLIP", "--mask", "FIRST", "-o", "o.mp4", "--masks-out", "text.mp4"], "is a file"),
    "unknown effects": (
        ["CLIP", "--mask", "FIRST", "-o", "o.mp4", "--effects", "x"],
        "effects.find is 'x', expected 'off', 'auto' or 'strong'",
    ),
    "keep of another size": (
        ["CLIP", "--mask", "FIRST", "-o", "o.mp4", "--keep", "small.png"],
        "is 20x10, the",
    ),
    "keep missing": (["CLIP", "--mask", "FIRST", "-o", "o.mp4", "--keep", "no.png"], "no.png does not exist"),
    "effect mask beyond the clip": (
        ["CLIP", "--mask", "FIRST", "-o", "o.mp4", "--effect-mask", "9=small.png"],
        "given for frame 9, but",
    ),
    "effect mask at no frame": (
        ["CLIP", "--mask", "FIRST", "-o", "o.mp4", "--effect-mask", "-1=FIRST"],
        "--effect-mask is '-1=FIRST', expected FRAME=PICTURE",
    ),
    "plate of another size": (
        ["CLIP", "--mask", "FIRST", "-o", "o.mp4", "--plate", "small.png"],
        "The plate small.png is 20x10, the clip is 128x96",
    ),
    "plate of another length": (
        ["CLIP", "--mask", "FIRST", "-o", "o.mp4", "--plate", "two.mkv"],
        "has 2 frames, the clip has 6",
    ),
    "plate with diffusion": (
        ["CLIP", "--mask", "FIRST", "-o", "o.mp4", "--plate", "small.png", "--fill", "diffusion"],
        "borrows nothing",
    ),
    "effects in a file": (
        ["CLIP", "--mask", "FIRST", "-o", "o.mp4", "--effects-out", "text.mp4"],
        "--effects-out needs the folder",
    ),
    "resume and restart": (
        ["CLIP", "--mask", "FIRST", "-o", "o.mp4", "--resume", "--restart"],
        "--resume goes on with an unfinished run, --restart throws it away",
    ),
    "preview no PNG": (["CLIP", "--mask", "FIRST", "-o", "o.mp4", "--preview", "1"], "ends in .png"),
}


@pytest.mark.parametrize(("arguments", "said"), REFUSED.values(), ids=list(REFUSED))
def test_bad_input_is_one_sentence_and_nothing_is_written(
    arguments: list[str], said: str, material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("text.mp4").write_text("no video", encoding="utf-8")
    Path("short.mp4").write_bytes(material.clip.read_bytes()[:900])
    write_mask(Path("small.png"), np.ones((10, 20)))
    write_mask(Path("empty.png"), np.zeros(SIZE_HW))
    write_mask(Path("full.png"), np.ones(SIZE_HW))
    write_clip(Path("two.mkv"), [np.zeros((*SIZE_HW, 3), np.uint8)] * 2)
    before = {path: path.read_bytes() for path in (*tmp_path.rglob("*.*"), material.clip)}
    named = {"CLIP": str(material.clip), "FIRST": str(material.first)}
    result = run("remove", *(named.get(part, part) for part in arguments))
    assert result.exit_code == 2, result.output
    assert said in result.stderr
    assert result.stderr.startswith("osor-video: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""
    assert {path: path.read_bytes() for path in (*tmp_path.rglob("*.*"), material.clip)} == before


def test_usage_errors_end_with_2() -> None:
    assert run("remove", "--nonsense").exit_code == 2
    assert run("nonsense").exit_code == 2


STOPS = {"interrupted": (KeyboardInterrupt, 130), "terminated": (Terminated, 143)}


@pytest.mark.parametrize("how", STOPS)
def test_a_stop_before_anything_is_done_says_that_nothing_is_written(
    how: str, material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise STOPS[how][0]

    monkeypatch.setattr("osor_video.analysis.measure_grain", stop)
    target = ("-o", tmp_path / "o.mp4", "--masks-out", tmp_path / "m")
    result = run(
        *("remove", material.clip, "--mask", material.first, *target),
        *("--model", material.model, "--flow", "dis"),
    )
    assert result.exit_code == STOPS[how][1]
    assert result.stderr == f"osor-video: {how}, nothing written\n"
    assert list(tmp_path.iterdir()) == []


def test_a_stop_later_says_how_to_go_on_and_the_run_is_then_the_same(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    output, work = tmp_path / "o.mp4", tmp_path / "o.mp4.osor-work"
    command = ("remove", material.clip, "--mask", material.first, "--model", material.model, "--flow", "dis")
    with monkeypatch.context() as patch:
        patch.setattr("osor_video.restore.make_fill", stop)
        result = run(*command, "-o", output)
    assert result.exit_code == 130
    assert f"kept in {work}: the same command with --resume goes on" in result.stderr
    assert result.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == [work]

    result = run(*command, "-o", output)
    assert result.exit_code == 2
    assert "has an unfinished run" in result.stderr
    assert "--resume" in result.stderr
    result = run(*command, "-o", output, "--resume", "--seed", 1)
    assert result.exit_code == 2
    assert "is another one: seed was 0, is 1. Give what it was begun with" in result.stderr

    report = tmp_path / "run.json"
    assert run(*command, "-o", output, "--resume", "--quiet", "--report", report).exit_code == 0
    assert run(*command, "-o", tmp_path / "whole.mp4", "--quiet").exit_code == 0
    assert output.read_bytes() == (tmp_path / "whole.mp4").read_bytes()
    assert "gone on with an unfinished run" in json.loads(report.read_text(encoding="utf-8"))["notes"][-1]
    assert not work.exists()


def test_our_own_fault_shows_a_traceback_and_ends_with_1(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("osor_video.apps.removal.build_remover", fail)
    result = run("remove", material.clip, "--mask", material.first, "-o", tmp_path / "o.mp4")
    assert result.exit_code == 1
    assert isinstance(result.exception, ZeroDivisionError)


# --- how it starts ----------------------------------------------------------------------------------------

WITHOUT_TORCH = """
import sys
from typer.testing import CliRunner
import osor_video
from osor_video.apps.cli import app
from osor_video.apps.exits import Terminated
for arguments in (["--help"], ["--version"], ["remove", "--help"], ["bench", "--help"], ["models", "--help"]):
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
print(*sorted({"torch", "cv2", "av", "diffusers", "decord", "numpy"} & set(sys.modules)))
"""


def test_help_and_version_load_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_module_and_version() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "osor_video", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == f"osor-video {__version__}"
