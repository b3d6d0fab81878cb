"""A long clip split over two workers by the batch: the bytes of ``remove``."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from osor_video.apps.cli import app
from tests.apps.conftest import Material
from tests.batch.clips import OPTIONS
from tests.test_pipeline import write_clip
from tests.world import World, night

SECOND, LENGTH = 6, 5


@pytest.fixture
def folder(world: World, tmp_path: Path) -> Path:
    """A clip of two shots; what is marked in both is masked."""
    (tmp_path / "in").mkdir()
    write_clip(tmp_path / "in" / "long.mp4", [*world.frames, *night(SECOND)], sound=True)
    for name in ("0", str(len(world.frames))):
        cv2.imwrite(str(tmp_path / "in" / f"{name}.png"), world.masks[0].astype(np.uint8) * 255)
    marks = f"mask: ['0=0.png', '{len(world.frames)}={len(world.frames)}.png']"
    (tmp_path / "in" / "long.yaml").write_text(f"{marks}\nmasks-out: '{{out}}/{{name}}'\n", encoding="utf-8")
    return tmp_path / "in"


def test_a_long_clip_is_finished_by_two_workers(folder: Path, world: World, material: Material) -> None:
    frames, out = len(world.frames) + SECOND, folder.parent / "out"
    common = ["--model", str(material.model), *OPTIONS, "--threads", "1"]
    masks = [f"--mask=0={folder}/0.png", f"--mask={len(world.frames)}={folder}/{len(world.frames)}.png"]
    whole = folder.parent / "whole.mp4"
    done = CliRunner().invoke(
        app, ["remove", str(folder / "long.mp4"), *masks, "-o", str(whole), *common, "--quiet"]
    )
    assert done.exit_code == 0, done.output
    split = ["--jobs", "2", "--split", str(LENGTH), "--json"]
    done = CliRunner().invoke(app, ["batch", str(folder), "-o", str(out), *common, *split])
    assert done.exit_code == 0, done.output
    events = [json.loads(line) for line in done.stdout.splitlines()]
    parts = next(event["parts"] for event in events if event["event"] == "parts")
    assert parts[0][0] == 0
    assert parts[-1][1] == frames
    assert len(world.frames) in [begin for begin, _ in parts]
    assert len(parts) >= 4
    assert len([event for event in events if event["event"] == "part"]) == len(parts)
    workers = {event["worker"] for event in events if event["event"] == "frame" and "part" in event}
    assert len(workers) == 2
    assert (out / "long.mp4").read_bytes() == whole.read_bytes()
    assert len(list((out / "long").glob("*.png"))) == frames
    assert sorted(path.name for path in out.iterdir()) == [
        ".osor-batch",
        "long",
        "long.mp4",
        "report.html",
        "report.json",
    ]
    figures = json.loads((out / "report.json").read_text(encoding="utf-8"))["jobs"][0]
    assert {"mask", "background", "encode"} <= {
        name for name, spent in figures["report"]["seconds"].items() if spent > 0
    }
