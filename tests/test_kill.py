"""Killed for real: what ``python -m tests.kill`` does twenty times, three times."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(sys.platform == "win32", reason="runs are forked, and Windows has no fork")
def test_killed_runs_are_gone_on_with_and_give_the_same_bytes() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.kill", "--kills", "3", "--frames", "20"],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[1],
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 kills, " in done.stdout
    assert "runs gone on with to the end, all bytes the same" in done.stdout
    assert "SIGTERM: exit 143" in done.stdout
    assert "SIGINT: exit 130" in done.stdout
