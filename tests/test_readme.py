"""What the README promises: its commands exist, its Python runs, its files are there."""

from __future__ import annotations

import re
import subprocess
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from types import CodeType

import pytest
from typer.testing import CliRunner

from osor_video.apps.cli import app
from osor_video.config import Config
from osor_video.training.__main__ import main
from tests.apps.clips import square_clip
from tests.tiny import tiny_model

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL)
    return [text for kind, text in found if kind == language]


def python_block() -> tuple[str, CodeType]:
    (block,) = blocks("python")
    return block, compile(block, "README.md", "exec")


def test_make_commands_are_targets() -> None:
    targets = re.findall(r"make (\w+)", "\n".join(blocks("")))
    assert targets[:2] == ["demo", "test"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in targets:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)


def test_the_first_command_runs_the_program_on_a_clip_of_the_repository() -> None:
    done = subprocess.run(
        ["make", "-n", "--no-print-directory", "demo"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    match = re.search(r"osor-video remove (\S+) --mask (\S+) -o (\S+)", done.stdout)
    assert match
    assert (ROOT / match[1]).is_file()
    assert (ROOT / match[2]).is_file()
    assert match[3] in done.stdout.splitlines()[-1]


def test_every_option_of_the_readme_exists() -> None:
    known = "".join(
        CliRunner().invoke(app, [name, "--help"], env={"COLUMNS": "200"}).output
        for name in ("remove", "batch", "masks", "verify", "ui", "bench", "train")
    )
    for task in ("pack", "export", "validate"):
        with pytest.raises(SystemExit), redirect_stdout(StringIO()) as help_text:
            main([task, "--help"])
        known += help_text.getvalue()
    for option in set(re.findall(r"`(--[a-z][a-z-]+)|[ (|`](--[a-z][a-z-]+) ", TEXT)):
        assert (option[0] or option[1]) in known


def test_the_python_lines_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    block, code = python_block()
    assert len([line for line in block.splitlines() if line]) <= 6
    (tmp_path / "clips").mkdir()
    clip, first = square_clip(tmp_path / "clips")
    clip.rename(tmp_path / "clips" / "walk.mp4")
    first.rename(tmp_path / "clips" / "walk_first.png")
    tiny_model(tmp_path / "model")
    small = Config.load(overrides={"removal.model": tmp_path / "model", "flow.backend": "dis"})
    monkeypatch.setattr(Config, "load", lambda *_, **__: small)
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert (tmp_path / "out.mp4").stat().st_size > 0
    assert "real background" in capsys.readouterr().out


def test_the_files_named_exist() -> None:
    for path in re.findall(r"`((?:osor_video|configs|clips|tests)/[\w./*-]*)`", TEXT):
        assert list(ROOT.glob(path.rstrip("/"))), path


def test_the_file_map_is_whole() -> None:
    listing = next(block for block in blocks("") if block.startswith("osor_video/"))
    inside: set[str] = set()
    top: set[str] = set()
    for line in listing.splitlines():
        name = line.split()[0]
        (inside if line.startswith("  ") else top).add(name)
    package = ROOT / "osor_video"
    files = {path.name for path in package.glob("*.py") if not path.name.startswith("__")}
    folders = {f"{path.parent.name}/" for path in package.glob("*/__init__.py")}
    assert inside == files | folders
    assert all((ROOT / name).exists() for name in top)
