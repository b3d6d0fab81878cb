"""``--boxes``: masks from a team's own detectors at the command line."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from osor_video.apps.cli import app
from tests.apps.clips import FRAMES, SIDE
from tests.apps.conftest import Material

QUICK = ("--preset", "fast", "--flow", "dis", "--effects", "off", "--quiet")


@pytest.fixture
def boxes(tmp_path: Path) -> Path:
    """The square's box in the frames 1 to 3, called plate, and another one called face."""
    frames = {str(i): [{"box": [16 + 8 * i, 36, SIDE, SIDE], "label": "plate"}] for i in (1, 2, 3)}
    frames["5"] = [{"box": [100, 70, 10, 10], "label": "face"}]
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps({"frames": frames}))
    return file


def test_only_frames_with_boxes_are_touched(material: Material, boxes: Path, tmp_path: Path) -> None:
    out, masks, record = tmp_path / "out.mkv", tmp_path / "masks", tmp_path / "r.json"
    asked = [
        "remove",
        material.clip,
        "--boxes",
        boxes,
        "--boxes-label",
        "plate",
        "--model",
        material.model,
        "-o",
        out,
    ]
    extras = ["--lossless", "--lossless-check", "--masks-out", masks, "--record", record]
    done = CliRunner().invoke(app, [*map(str, [*asked, *extras]), *QUICK])
    assert done.exit_code == 0, done.output
    told = json.loads(record.read_text())
    assert told["touched"] == [[1, 3]]
    for index in range(FRAMES):
        mask = np.asarray(cv2.imread(str(masks / f"{index:05d}.png"), cv2.IMREAD_GRAYSCALE))
        expected = np.zeros_like(mask)
        if index in (1, 2, 3):
            expected[36 : 36 + SIDE, 16 + 8 * index : 16 + 8 * index + SIDE] = 255
        assert np.array_equal(mask, expected)


def test_masks_of_boxes(material: Material, boxes: Path, tmp_path: Path) -> None:
    asked = [
        "masks",
        str(material.clip),
        "--boxes",
        str(boxes),
        "-o",
        str(tmp_path / "masks"),
        "--flow",
        "dis",
    ]
    done = CliRunner().invoke(app, [*asked, "--quiet"])
    assert done.exit_code == 0, done.output
    assert len(list((tmp_path / "masks").iterdir())) == FRAMES


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--boxes-label", "face", "--box", "1,2,3,4"), "--boxes-label face is given without --boxes"),
        (("--boxes", "b.json", "--box", "1,2,3,4"), "--box and --boxes are given together"),
        (("--boxes", "b.json", "--mask", "5=a.png"), "--boxes has the masks of every frame"),
        (("--boxes", "b.json", "--boxes-label", "a,,b"), "expected names such as face or face,plate"),
        (("--boxes", "none.json"), "The boxes none.json cannot be read"),
    ],
)
def test_what_does_not_go_together(
    material: Material, tmp_path: Path, given: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["remove", str(material.clip), "-o", "o.mp4", *given])
    assert done.exit_code == 2
    assert said in done.stderr
    assert list(tmp_path.iterdir()) == []
