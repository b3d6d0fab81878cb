"""Lists of jobs: what each form means, and everything that is wrong in one told together."""

from __future__ import annotations

import inspect
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from osor_video.apps.batch import Lines
from osor_video.apps.cli import app, remove
from osor_video.batch.entries import Listed, read_jobs
from osor_video.batch.options import options
from osor_video.batch.plan import BadJobsError, make_plan
from osor_video.batch.run import Event
from osor_video.batch.watch import Watch
from osor_video.errors import ConfigError
from osor_video.project import ObjectMarks, Project, encode_mask
from tests.apps.clips import FRAMES, SIZE_HW, square_mask
from tests.apps.conftest import Material
from tests.batch.clips import clip_folder
from tests.tiny_published import flux_model


@pytest.fixture
def home(material: Material, tmp_path: Path) -> Path:
    return clip_folder(tmp_path / "in", material, 3)


def listed(path: Path, text: str, **typed: Any) -> Listed:
    path.write_text(text, encoding="utf-8")
    return read_jobs(path, path.parent / "out", typed)


def given(entries: Listed, *names: str) -> list[tuple[Any, ...]]:
    assert entries.complaints == ()
    return [tuple(entry.given[name] for name in names) for entry in entries.entries]


def test_every_option_of_remove_is_one_of_a_job() -> None:
    assert {option.name for option in options().values()} == set(inspect.signature(remove).parameters)
    assert options()["set"] is options()["settings"]
    assert options()["clip"] is options()["source"]
    assert (
        options()["mask"].place,
        options()["report"].place,
        options()["model"].place,
        options()["box"].place,
    ) == (
        "file",
        "file",
        "name or file",
        "",
    )


def test_a_yaml_list_with_defaults_patterns_and_names(home: Path) -> None:
    found = listed(
        home / "jobs.yaml",
        """
defaults: {flow: dis, set: {mask.grow: 0.03}, masks-out: "{out}/masks/{name}"}
jobs:
  - {clip: c0.mp4, box: [16, 36, 24, 24], output: day1/first.mp4, seed: 7}
  - {clip: "c[12].mp4", mask: ["{name}.mask.png", "3=c0.mask.png"], settings: ["mask.grow=0.05"], fill: plate}
""",
        seed=3,
        settings=["fill=auto"],
    )
    out = home / "out"
    assert given(found, "source", "output", "seed", "box", "fill") == [
        (home / "c0.mp4", out / "day1/first.mp4", 7, "16,36,24,24", None),
        (home / "c1.mp4", out / "c1.mp4", 3, None, "plate"),
        (home / "c2.mp4", out / "c2.mp4", 3, None, "plate"),
    ]
    assert given(found, "mask", "masks_out")[1] == (
        [f"{home}/c1.mask.png", f"3={home}/c0.mask.png"],
        out / "masks/c1",
    )
    assert [entry.given["settings"] for entry in found.entries[:2]] == [
        ["mask.grow=0.03", "fill=auto"],
        ["mask.grow=0.03", "fill=auto", "mask.grow=0.05"],
    ]
    assert found.entries[2].where == "jobs.yaml, job 2 (c2.mp4)"


def test_a_csv_list(home: Path) -> None:
    found = listed(
        home / "jobs.csv",
        "clip,mask,box,seed,lossless_check,set\nc0.mp4,c0.mask.png;3=c1.mask.png,,5,yes,mask.grow=0.03;fill=plate\n"
        'c1.mp4,,"16,36,24,24",,,\n',
    )
    assert given(found, "source", "mask", "box", "seed", "lossless_check", "settings") == [
        (
            home / "c0.mp4",
            [f"{home}/c0.mask.png", f"3={home}/c1.mask.png"],
            None,
            5,
            True,
            ["mask.grow=0.03", "fill=plate"],
        ),
        (home / "c1.mp4", None, "16,36,24,24", None, False, None),
    ]


def test_a_folder_takes_what_lies_beside_each_clip(home: Path, material: Material, tmp_path: Path) -> None:
    for name in ("c1", "c2"):
        (home / f"{name}.mask.png").unlink()
    project = Project(
        clip="c1.mp4",
        frames=FRAMES,
        width=SIZE_HW[1],
        height=SIZE_HW[0],
        objects=(ObjectMarks(masks={0: encode_mask(square_mask(0))}),),
        container=".mkv",
    )
    (home / "c1.json").write_text(project.to_json(), encoding="utf-8")
    (home / "c2.yaml").write_text("mask: c0.mask.png\nseed: 4\n", encoding="utf-8")
    (home / "other.json").write_text("{}", encoding="utf-8")
    shutil.copy(
        material.clip, home / "c0.mask.mp4"
    )  # the masks of every frame: no clip, and the picture goes before it
    found = read_jobs(home, tmp_path / "out", {})
    assert given(found, "source", "mask", "output", "seed") == [
        (home / "c0.mp4", [f"{home}/c0.mask.png"], tmp_path / "out/c0.mp4", None),
        (home / "c1.json", None, tmp_path / "out/c1.mkv", None),
        (home / "c2.mp4", [f"{home}/c0.mask.png"], tmp_path / "out/c2.mp4", 4),
    ]
    plan = make_plan(found, tmp_path / "out")
    assert [(job.name, job.frames, job.size_hw, job.masks, job.state) for job in plan] == [
        ("c0.mp4", FRAMES, SIZE_HW, "c0.mask.png", "to do"),
        ("c1.mkv", FRAMES, SIZE_HW, "project c1.json", "to do"),
        ("c2.mp4", FRAMES, SIZE_HW, "c0.mask.png", "to do"),
    ]
    assert plan[1].clip == home / "c1.mp4"


BAD = """
jobs:
  - {clip: c0.mp4, mask: lost.png}
  - {clip: gone.mp4, box: "1,2,3,4"}
  - {clip: c1.mp4, colour: red}
  - {clip: c1.mp4, seed: many}
  - {box: "1,2,3,4"}
  - {clip: "x*.mp4"}
  - {clip: c2.mp4, box: "1,2,3"}
  - {clip: bare.mp4}
  - {clip: c1.mp4, output: ../c1.mp4}
  - {clip: c1.mp4, output: c1.txt}
  - {clip: c1.mp4, set: {mask.grow: 9}}
  - {clip: c0.mp4, output: twice.mp4}
  - {clip: c1.mp4, output: twice.mp4}
  - c2.mp4
"""
SAID = [
    "job 2 (gone.mp4): ",
    "job 3 has 'colour', which is no option of a job",
    "job 4 (c1.mp4) has seed: 'many', which does not fit",
    "job 5 names no clip",
    "job 6 has clip: x*.mp4, which fits no file in",
    "job 7 (c2.mp4): --box is '1,2,3', expected four whole numbers",
    "job 8 (bare.mp4) has nothing marked, and beside",
    "job 9 (c1.mp4) has output: ../c1.mp4, expected a name within",
    "ends in '.txt', expected one of",
    "job 11 (c1.mp4): mask.grow is 9",
    "jobs.yaml, job 12 (c0.mp4) and jobs.yaml, job 13 (c1.mp4) would both write",
    "job 14 is 'c2.mp4', expected options",
    "lost.png",
]


def test_all_bad_entries_are_told_together_and_nothing_is_written(home: Path, material: Material) -> None:
    shutil.copy(material.clip, home / "bare.mp4")
    (home / "jobs.yaml").write_text(BAD, encoding="utf-8")
    before = sorted(home.rglob("*"))
    out = home / "new" / "out"
    done = CliRunner().invoke(app, ["batch", str(home / "jobs.yaml"), "-o", str(out)])
    lines = done.output.splitlines()
    assert done.exit_code == 2
    assert len(lines) == len(SAID) + 1
    for said in SAID:
        assert sum(said in line for line in lines) == 1, said
    assert lines[-1] == "osor-video: 13 of the list's jobs cannot be done as they stand, so none was begun"
    assert sorted(home.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("jobs.txt", "", "ends in '.txt', expected one of .yaml, .yml, .csv, or a folder"),
        ("jobs.yaml", "clips: []", r"is none\. It has clips\. Expected jobs:"),
        ("jobs.yaml", "jobs: []", r"is none\. Expected jobs: with a list"),
        ("jobs.yaml", "jobs: [", "cannot be read as YAML"),
        ("jobs.yaml", "- clip: a.mp4", "holds list, expected lines such as"),
        (
            "jobs.yaml",
            "defaults: {preview: 3}\njobs: [{clip: a.mp4}]",
            "defaults has 'preview', which is no option of a job",
        ),
        ("jobs.csv", "clip,mask\n", "has no rows"),
    ],
)
def test_a_list_that_is_none_is_refused(name: str, text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        listed(tmp_path / name, text)


def test_an_empty_folder_and_a_missing_list_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has no clips\. Expected files such as walk\.mp4"):
        read_jobs(tmp_path, tmp_path, {})
    with pytest.raises(ConfigError, match="does not exist"):
        read_jobs(tmp_path / "jobs.yaml", tmp_path, {})


def test_what_no_batch_wrote_is_not_overwritten(home: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "c1.mp4").write_bytes(b"mine")
    with pytest.raises(BadJobsError, match=r"c1\.mp4 is there already, and no batch wrote it") as raised:
        make_plan(read_jobs(home, out, {}), out)
    assert len(raised.value.complaints) == 1


def test_the_plan_alone_writes_nothing_and_speaks_json(home: Path, tmp_path: Path) -> None:
    arguments = ["batch", str(home), "-o", str(tmp_path / "out"), "--dry-run", "--json"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    events = [json.loads(line) for line in done.output.splitlines()]
    assert [(event["event"], event["job"], event["state"]) for event in events] == [
        ("plan", f"c{number}.mp4", "to do") for number in range(3)
    ]
    assert not (tmp_path / "out").exists()


def test_the_licence_of_a_model_is_told_once(home: Path, flux_folder: Path, tmp_path: Path) -> None:
    model = flux_model(tmp_path / "model", flux_folder)
    arguments = ["batch", str(home), "-o", str(tmp_path / "out"), "--dry-run", "--model", str(model)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert done.output.count("licence  osor-flux builds on FLUX.1-Fill-dev") == 1
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert all("non-commercial" in json.loads(line)["licence"] for line in done.output.splitlines())
    told: list[Event] = []
    watch = Watch(home, tmp_path / "out", {"model": str(model)}, told.append, steady_s=0)
    assert [len(watch.fresh()), len(watch.fresh())] == [0, 3]
    assert [(event["event"], "non-commercial" in event["why"]) for event in told] == [("licence", True)]
    lines: list[str] = []
    Lines(lines.append)(told[0])
    assert lines[0].startswith("licence  osor-flux builds on")
