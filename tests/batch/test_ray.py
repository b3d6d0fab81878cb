"""Workers on a Ray cluster: a node that is killed costs only what it was at; what is missing is said in a sentence."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from typer.testing import CliRunner

from osor_video.apps.cli import app
from osor_video.batch import ray_crew
from osor_video.batch.ray_crew import RayCrew, places
from osor_video.errors import ConfigError
from tests.apps.conftest import Material
from tests.batch.clips import clip_folder

needs_ray = pytest.mark.skipif(
    sys.platform != "linux" or find_spec("ray") is None,
    reason="needs the package ray, and Linux to kill a node",
)


@needs_ray
def test_a_killed_node_costs_only_what_it_was_at() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.batch.cluster", "--clips", "12", "--kill-only"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    if "ClusterError" in done.stderr:
        pytest.skip(f"Ray's nodes do not start here: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(
        r"one killed at work: \d worker lost, 1 clip begun again, 12 clips of the same bytes", done.stdout
    )
    assert "the same list again: nothing done, nothing changed" in done.stdout


def test_without_the_package_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_crew, "find_spec", lambda name: None)
    with pytest.raises(
        ConfigError, match=r"--ray needs the package ray.*pip install 'osor-video\[cluster\]'"
    ):
        RayCrew("auto", tmp_path)


@needs_ray
def test_a_cluster_that_does_not_answer_is_named(material: Material, tmp_path: Path) -> None:
    folder = clip_folder(tmp_path / "in", material, 1)
    arguments = [
        "batch",
        str(folder),
        "-o",
        str(tmp_path / "out"),
        "--ray",
        "auto",
        "--model",
        str(material.model),
    ]
    done = CliRunner().invoke(app, [*arguments, "--quiet"])
    assert done.exit_code == 2, done.output
    assert "No Ray cluster answers at auto" in done.output
    assert not (tmp_path / "out").exists()


def test_room_for_workers() -> None:
    nodes = [{"CPU": 16.0, "GPU": 2.0}, {"CPU": 6.0}, {"memory": 1.0}]
    assert places(nodes, 4, gpus=False) == 4 + 1
    assert places(nodes, 4, gpus=True) == 2
    assert places(nodes, 16, gpus=True) == 1
