"""One clip and one tiny model for all tests of records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from osor_video.apps.cli import app
from tests.apps.clips import square_clip
from tests.tiny import tiny_model

QUICK = ("--preset", "fast", "--flow", "dis", "--fill", "plate", "--effects", "off", "--quiet")
Remove = Callable[..., Result]


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``square.mp4``, the mask of its first frame and the folder ``model`` beside it."""
    folder = tmp_path_factory.mktemp("material")
    tiny_model(folder / "model")
    return square_clip(folder)[0]


@pytest.fixture(scope="session")
def remove(clip: Path) -> Remove:
    """``osor-video remove`` with quick settings."""

    def run(*arguments: str | Path, source: Path = clip) -> Result:
        first = ("--mask", clip.with_name("square_first.png"), "--model", clip.with_name("model"))
        return CliRunner().invoke(app, ["remove", str(source), *map(str, (*first, *arguments)), *QUICK])

    return run
