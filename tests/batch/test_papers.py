"""What a batch leaves behind for those who ask later: records, signatures, lines of the audit log."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from osor_video.apps.cli import app
from tests.apps.conftest import Material
from tests.batch.clips import OPTIONS, clip_folder


def _run(*arguments: Any) -> Any:
    return CliRunner().invoke(app, [str(part) for part in arguments])


@pytest.fixture
def jobs(material: Material, tmp_path: Path) -> Path:
    clips = clip_folder(tmp_path / "in", material, 2)
    papers = 'record: "{out}/{name}.json", audit-log: "{out}/audit.jsonl", operator: Zoë, reason: ticket 4711'
    listed = tmp_path / "jobs.yaml"
    listed.write_text(f"defaults: {{{papers}}}\njobs:\n  - clip: {clips.name}/*.mp4\n", encoding="utf-8")
    return listed


@pytest.mark.parametrize("split", [(), ("--split", 4)])
def test_every_clip_has_its_record_and_its_line(
    jobs: Path, material: Material, tmp_path: Path, split: tuple[Any, ...]
) -> None:
    out = tmp_path / "out"
    common = ("--model", material.model, *OPTIONS, "--threads", 1)
    done = _run("batch", jobs, "-o", out, *common, "--jobs", 2, *split)
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in (out / "audit.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 2
    for name in ("c0", "c1"):
        told = _run("verify", out / f"{name}.mp4", "--record", out / f"{name}.json")
        assert told.exit_code == 0, told.output
        assert "Zoë" in told.output
        assert "ticket 4711" in told.output
    assert _run("verify", out / "audit.jsonl").exit_code == 0
    (out / "c1.mp4").write_bytes((out / "c1.mp4").read_bytes()[:-1] + b"x")
    assert _run("verify", out / "c1.mp4", "--record", out / "c1.json").exit_code == 1


def test_a_bad_certificate_is_told_before_anything_is_begun(jobs: Path, tmp_path: Path) -> None:
    text = jobs.read_text(encoding="utf-8").replace("operator: Zoë", "sign: [no.pem, key.pem], operator: Zoë")
    jobs.write_text(text, encoding="utf-8")
    done = _run("batch", jobs, "-o", tmp_path / "out", *OPTIONS)
    assert done.exit_code == 2
    assert "no.pem" in done.output
    assert not (tmp_path / "out").exists()
