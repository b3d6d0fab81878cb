"""A batch on this machine: the bytes of ``remove``, what fails alone, what is lost and tried again, what is not done twice."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from osor_video.apps.cli import app
from osor_video.batch.crew import LocalCrew
from osor_video.batch.done import read_mark
from osor_video.batch.entries import read_jobs
from osor_video.batch.page import rows_of
from osor_video.batch.plan import BadJobsError, make_plan
from osor_video.batch.run import Batch, Event, failed
from osor_video.batch.watch import Watch
from osor_video.errors import ConfigError
from tests.apps.clips import FRAMES
from tests.apps.conftest import Material
from tests.batch.clips import OPTIONS, clip_folder

HEARING = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from osor_video.apps.cli import main; main()"
)
"""The program, hearing Ctrl-C also where these tests run in the background of a shell, which has them ignore it."""


def run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(part) for part in arguments])


def events(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]


@pytest.fixture(scope="module")
def home(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clip_folder(tmp_path_factory.mktemp("batch") / "in", material, 4)


@pytest.fixture(scope="module")
def whole(home: Path, material: Material) -> dict[str, bytes]:
    """What ``remove`` makes of each clip."""
    found = {}
    for clip in sorted(home.glob("*.mp4")):
        output = home.parent / f"whole_{clip.name}"
        done = run(
            *(
                "remove",
                clip,
                "--mask",
                clip.with_suffix(".mask.png"),
                "-o",
                output,
                "--model",
                material.model,
            ),
            *(*OPTIONS, "--threads", 1, "--quiet"),
        )
        assert done.exit_code == 0, done.output
        found[clip.name] = output.read_bytes()
    return found


def batch(home: Path, out: Path, material: Material, *more: Any) -> Any:
    return run("batch", home, "-o", out, "--model", material.model, *OPTIONS, "--threads", 1, *more)


def tree(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
    }


def test_several_clips_one_of_which_fails(
    home: Path, whole: dict[str, bytes], material: Material, tmp_path: Path
) -> None:
    """One run of two workers, and what a second and a third make of the same list."""
    clips, out = tmp_path / "in", tmp_path / "out"
    shutil.copytree(home, clips)
    bad = clips / "c3.yaml"
    bad.write_text(
        "mask: c3.mask.png\nset: {encode.check: true}\nlossless: false\nfill: plate\nreport: '{out}/c3.json'\n"
    )
    done = batch(clips, out, material, "--jobs", 2, "--json")
    assert done.exit_code == 0, done.output
    heard = events(done.output)
    assert [event["state"] for event in heard if event["event"] == "plan"] == ["to do"] * 4
    assert {event["job"] for event in heard if event["event"] == "done"} == {f"c{n}.mp4" for n in range(4)}
    assert len({event["worker"] for event in heard if event["event"] == "begin"}) == 2
    frames = [event for event in heard if event["event"] == "frame" and event["job"] == "c0.mp4"]
    assert [event["done"] for event in frames if event["stage"] == "remove"] == list(range(1, FRAMES + 1))
    assert heard[-1]["event"] == "end"
    assert {name: (out / name).read_bytes() for name in ("c0.mp4", "c1.mp4", "c2.mp4")} == {
        name: whole[name] for name in ("c0.mp4", "c1.mp4", "c2.mp4")
    }
    assert json.loads((out / "c3.json").read_text(encoding="utf-8"))["fill"] == "plate"

    before = tree(out)
    again = batch(clips, out, material, "--jobs", 2)
    assert again.exit_code == 0, again.output
    assert "Nothing to do: all 4 are done." in again.output
    assert tree(out) == before

    # Another setting, a clip that was touched but not changed, one that was changed, and an output that is gone.
    bad.write_text("mask: c3.mask.png\nset: {encode.check: true}\nfill: auto\nreport: '{out}/c3.json'\n")
    os.utime(clips / "c0.mp4")
    (clips / "c1.mp4").write_bytes((clips / "c1.mp4").read_bytes() + b"\0\0\0\x08free")
    (out / "c2.mp4").unlink()
    plan = {
        job.name: (job.state, job.why) for job in make_plan(read_jobs(clips, out, options(material)), out)
    }
    assert plan["c0.mp4"] == ("done", "")
    assert plan["c1.mp4"] == ("changed", "the clip is another one")
    assert plan["c2.mp4"] == ("to do", "")
    assert plan["c3.mp4"] == ("changed", "fill was plate, is auto")

    (out / "c0.mp4").write_bytes(b"touched up by hand")
    with pytest.raises(BadJobsError, match=r"c0\.mp4 was changed since the batch wrote it\. Move it away"):
        make_plan(read_jobs(clips, out, options(material)), out)


def options(material: Material) -> dict[str, Any]:
    settings = [value for name, value in zip(OPTIONS[::2], OPTIONS[1::2], strict=True) if name == "--set"]
    return {"model": str(material.model), "flow": "dis", "settings": settings}


@contextmanager
def started(home: Path, out: Path, material: Material, *more: str) -> Iterator[subprocess.Popen[str]]:
    command = [
        "batch",
        str(home),
        "-o",
        str(out),
        "--model",
        str(material.model),
        *OPTIONS,
        "--threads",
        "1",
        "--json",
    ]
    with subprocess.Popen(
        [sys.executable, "-c", HEARING, *command, *more],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        yield process
        process.kill()


def test_ctrl_c_keeps_what_is_finished_and_the_same_command_goes_on(
    home: Path, whole: dict[str, bytes], material: Material, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    with started(home, out, material) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            event = json.loads(line)
            if event["event"] == "frame" and (event["job"], event["stage"], event["done"]) == (
                "c1.mp4",
                "remove",
                2,
            ):
                process.send_signal(signal.SIGINT)
                break
        rest, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "What is finished is kept: the same command goes on." in said
    assert (out / "c0.mp4").read_bytes() == whole["c0.mp4"]
    kept = {path.name for path in out.glob("*.osor-work")}
    done_meanwhile = "c1.mp4" in {event["job"] for event in events(rest) if event["event"] == "done"}
    assert kept == (set() if done_meanwhile else {"c1.mp4.osor-work"})
    states = [job.state for job in make_plan(read_jobs(home, out, options(material)), out)]
    assert states == ["done", "done" if done_meanwhile else "unfinished", "to do", "to do"]
    done = batch(home, out, material)
    assert done.exit_code == 0, done.output
    assert {path.name: path.read_bytes() for path in out.glob("*.mp4")} == whole
    assert list(out.glob("*.osor-work")) == []


class Killer:
    """Hears a batch and kills the worker that is at ``job`` when it has finished a frame, ``times`` times."""

    def __init__(self, crew: LocalCrew, job: str, times: int) -> None:
        self.crew, self.job, self.times = crew, job, times
        self.at: dict[str, str] = {}
        self.heard: list[Event] = []

    def __call__(self, event: Event) -> None:
        self.heard.append(event)
        if event["event"] == "begin":
            self.at[event["job"]] = event["worker"]
        if (
            event["event"] == "frame"
            and event["job"] == self.job
            and event["stage"] == "remove"
            and self.times
        ):
            self.times -= 1
            for hand in self.crew._hands.values():
                hand.process.kill()


def test_a_killed_worker_costs_only_what_it_was_at(
    home: Path, whole: dict[str, bytes], material: Material, tmp_path: Path
) -> None:
    plan = make_plan(read_jobs(home, tmp_path, options(material)), tmp_path)[:2]
    with LocalCrew(1, 1) as crew:
        killer = Killer(crew, "c0.mp4", 1)
        courses = Batch(plan, tmp_path, crew, killer, retries=1).run()
        assert [course.lost for course in courses] == [1, 0]
        assert not list(failed(courses))
        again = [event for event in killer.heard if event["event"] == "again"]
        assert len(again) == 1
        assert again[0]["why"] == "its worker was lost (its process ended with -9)"
        assert {path.name: path.read_bytes() for path in tmp_path.glob("*.mp4")} == {
            name: whole[name] for name in ("c0.mp4", "c1.mp4")
        }
    # Once more, with no try left: it fails, the next goes on.
    shutil.rmtree(tmp_path / ".osor-batch")
    for path in tmp_path.glob("*.mp4"):
        path.unlink()
    with LocalCrew(1, 1) as crew:
        courses = Batch(plan, tmp_path, crew, Killer(crew, "c0.mp4", 1), retries=0).run()
    assert [course.planned.name for course in failed(courses)] == ["c0.mp4"]
    assert (tmp_path / "c1.mp4").read_bytes() == whole["c1.mp4"]
    mark = read_mark(tmp_path, "c0.mp4")
    assert mark is not None
    assert mark.state == "begun"
    rows = {row.name: row for row in rows_of(courses, tmp_path)}
    assert rows["c0.mp4"].state == "failed"
    assert rows["c0.mp4"].why == "its worker was lost (its process ended with -9)"


def test_one_that_fails_is_told_and_reported_and_the_others_go_on(
    home: Path, whole: dict[str, bytes], material: Material, tmp_path: Path
) -> None:
    clips, out = tmp_path / "in", tmp_path / "out"
    shutil.copytree(home, clips)
    for name in ("c2", "c3"):
        (clips / f"{name}.mp4").unlink()
    # The networks are loaded when the list has been checked; what they cannot be is seen there.
    (clips / "c0.yaml").write_text("flow: raft\nflow_weights: c0.mask.png\n", encoding="utf-8")
    done = batch(clips, out, material, "--json")
    assert done.exit_code == 1, done.output
    heard = events(done.output)
    assert [event["job"] for event in heard if event["event"] == "failed"] == ["c0.mp4"]
    assert (out / "c1.mp4").read_bytes() == whole["c1.mp4"]
    figures = json.loads((out / "report.json").read_text(encoding="utf-8"))
    assert [(job["name"], job["state"]) for job in figures["jobs"]] == [
        ("c0.mp4", "failed"),
        ("c1.mp4", "done"),
    ]
    assert figures["jobs"][1]["report"]["frames"] == FRAMES
    page = (out / "report.html").read_text(encoding="utf-8")
    assert len(re.findall(r'src="data:image/jpeg;base64,/9j/', page)) == 2
    assert "1 done, 1 failed" in page
    assert "frame 3, before" in page
    assert figures["jobs"][0]["why"].split(".")[0] in page.replace("&#x27;", "'")
    assert figures["jobs"][1]["warnings"]
    assert all(text in page for text in figures["jobs"][1]["warnings"])
    assert not re.search(r'(src|href)="(?!data:)', page)


def test_a_watched_folder_takes_clips_when_they_are_whole(
    home: Path, whole: dict[str, bytes], material: Material, tmp_path: Path
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    told: list[Event] = []
    watch = Watch(folder, out, options(material), told.append, steady_s=0)
    data = (home / "c0.mp4").read_bytes()
    shutil.copy(home / "c0.mask.png", folder)
    (folder / "c0.mp4").write_bytes(data[: len(data) // 2])
    assert watch.fresh() == []
    (folder / "c0.mp4").write_bytes(data)  # it grows still
    shutil.copy(home / "c1.mp4", folder)  # nothing beside it
    assert watch.fresh() == []
    assert [job.name for job in watch.fresh()] == ["c0.mp4"]
    assert watch.fresh() == []
    (folder / "c1.yaml").write_text("mask: lost.png\n", encoding="utf-8")
    assert [watch.fresh(), watch.fresh()] == [[], []]
    assert [event["job"] for event in told] == ["c1.mp4"]
    assert "lost.png" in told[0]["why"]
    (folder / "c1.yaml").write_text("mask: c0.mask.png\n", encoding="utf-8")
    assert [[job.name for job in watch.fresh()] for _ in range(2)] == [[], ["c1.mp4"]]
    assert len(told) == 1


def test_the_command_watches_until_ctrl_c(
    home: Path, whole: dict[str, bytes], material: Material, tmp_path: Path
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in ("c0.mp4", "c0.mask.png"):
        shutil.copy(home / name, folder)
    command = ["batch", "--watch", str(folder), "-o", str(out), "--model", str(material.model), *OPTIONS]
    with subprocess.Popen(
        [sys.executable, "-c", HEARING, *command, "--threads", "1", "--json"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["event"] == "done":
                break
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert (out / "c0.mp4").read_bytes() == whole["c0.mp4"]
    assert "1 done" in (out / "report.html").read_text(encoding="utf-8")


def test_options_that_do_not_go_together(tmp_path: Path) -> None:
    folder = str(tmp_path)
    for arguments, said in (
        (["-o", folder], "Give a list of jobs or a folder of clips, or else --watch"),
        (
            [folder, "-o", folder, "--watch", folder],
            "Give a list of jobs or a folder of clips, or else --watch",
        ),
        (["-o", folder, "--watch", folder], "the folder that is watched"),
        (["-o", folder, "--watch", f"{folder}/none"], "expected a folder that exists"),
        (["-o", f"{folder}/out", "--watch", folder, "--dry-run"], "--dry-run shows the plan of a list"),
    ):
        done = run("batch", *arguments)
        assert done.exit_code == 2
        assert said in done.output


def test_workers_that_cannot_begin_are_not_hired_for_ever(
    home: Path, material: Material, tmp_path: Path
) -> None:
    plan = make_plan(read_jobs(home, tmp_path, options(material)), tmp_path)

    class Doomed(LocalCrew):
        """Its workers end as soon as they are hired."""

        def _hire(self, place: int) -> None:
            super()._hire(place)
            for hand in self._hands.values():
                hand.process.kill()

    with (
        Doomed(1, 1) as crew,
        pytest.raises(ConfigError, match="3 workers were lost before they could begin"),
    ):
        Batch(plan, tmp_path, crew, lambda event: None).run()
