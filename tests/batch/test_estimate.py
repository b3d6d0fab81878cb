"""What clips will cost, from what some took."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from osor_video.apps.cli import app
from osor_video.batch.calibrate import calibrate
from osor_video.batch.entries import read_jobs
from osor_video.batch.estimate import Rate, span_s, told
from osor_video.batch.plan import make_plan
from tests.apps.conftest import Material
from tests.batch.clips import clip_folder

ROOT = Path(__file__).parents[2]


def outcome(frames: int, wall_s: float, load_s: float) -> dict[str, object]:
    return {
        "wall_s": wall_s,
        "load_s": load_s,
        "report": {"frames": frames, "size_hw": [500, 1000], "seconds": {"remove": wall_s}},
    }


def test_the_rate_of_finished_clips() -> None:
    assert Rate.of([]) is None
    assert Rate.of([{"failed": "why"}]) is None
    rate = Rate.of([outcome(10, 15, 5), outcome(30, 30, 0), {"failed": "why"}])
    assert rate is not None
    # 40 s of work for 20 megapixels; loading is told apart.
    assert (rate.s_per_mpx, rate.load_s, rate.clips) == (2.0, 5, 2)
    assert rate.stages == {"remove": 2.25}
    assert rate.seconds(6_000_000) == 12.0


def test_jobs_shared_out_among_workers() -> None:
    assert span_s([], 3) == 0
    assert span_s([5], 8, load_s=2) == 7
    assert span_s([3, 3, 2, 2, 2], 2) == 7  # the longest first: 3 2 2 and 3 2; the best would be 6
    assert span_s([10.0] * 1000, 8, load_s=30) == 30 + 125 * 10
    assert span_s([10.0] * 1000, 1) == 10_000


@pytest.mark.parametrize(("seconds", "text"), [(95.4, "95 s"), (720, "12 min"), (27_000, "7.5 h")])
def test_times_for_people(seconds: float, text: str) -> None:
    assert told(seconds) == text


def test_the_example_list_can_be_done(tmp_path: Path) -> None:
    out = tmp_path / "out"
    plan = make_plan(read_jobs(ROOT / "configs/cluster/jobs.yaml", out, {}), out)
    assert [(job.name, job.masks) for job in plan] == [
        ("walk.mp4", "walk_first.png"),
        ("walk_by_box.mp4", "box"),
    ]


def test_the_plan_says_what_finished_clips_let_expect(tmp_path: Path) -> None:
    arguments = ["batch", str(ROOT / "configs/cluster/jobs.yaml"), "-o", str(tmp_path / "out"), "--dry-run"]
    done = CliRunner().invoke(app, [*arguments, "--workers", "8"])
    assert done.exit_code == 0, done.output
    assert "no clip is done yet from which the time could be told" in done.output


def test_the_first_frames_of_a_clip_tell_what_all_cost(material: Material, tmp_path: Path) -> None:
    folder = clip_folder(tmp_path / "in", material, 3)
    (folder / "c0.mask.png").unlink()
    # A mask of a frame that the beginning does not have: another clip is timed.
    (folder / "c0.yaml").write_text("mask: '5=c1.mask.png'\n", encoding="utf-8")
    typed = {"model": str(material.model), "flow": "dis"}
    plan = make_plan(read_jobs(folder, tmp_path / "out", typed), tmp_path / "out")
    assert calibrate(plan[:1], 1, frames=4) is None
    rate = calibrate(plan, 1, frames=4)
    assert rate is not None
    assert rate.clips == 1
    assert rate.s_per_mpx > 0
    assert {"mask", "background", "encode"} <= rate.stages.keys()
    arguments = [
        "batch",
        str(folder),
        "-o",
        str(tmp_path / "out"),
        "--model",
        typed["model"],
        "--flow",
        "dis",
    ]
    done = CliRunner().invoke(app, [*arguments, "--dry-run", "--calibrate", "--workers", "8", "--json"])
    assert done.exit_code == 0, done.output
    cost = json.loads(done.stdout.splitlines()[-1])
    assert (cost["event"], cost["clips"], cost["workers"]) == ("cost", 1, 8)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["ray", "compose"])
def test_the_cluster_files_are_yaml_and_begin_ray(name: str) -> None:
    text = (ROOT / f"configs/cluster/{name}.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(text)
    assert "ray start --head" in text
    assert "--ray auto" in text
