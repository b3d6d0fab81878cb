"""One clip and one tiny model for all tests of the command line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.apps.clips import square_clip
from tests.tiny import tiny_model


@dataclass(frozen=True)
class Material:
    clip: Path
    first: Path
    model: Path


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    folder = tmp_path_factory.mktemp("material")
    clip, first = square_clip(folder)
    tiny_model(folder / "model")
    return Material(clip, first, folder / "model")
