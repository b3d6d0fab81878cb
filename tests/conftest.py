"""Shared fixtures: the synthetic world and the networks, made once a session; nobody changes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from osor_video.flow.estimate import DisFlow
from osor_video.masks.features import RecognitionFeatures, build_features
from tests.world import World, make_world


@pytest.fixture(scope="session")
def world() -> World:
    """A camera that pans, an object that walks, its shadow."""
    return make_world()


@pytest.fixture(scope="session")
def features() -> RecognitionFeatures:
    """The tracker's network with its real weights."""
    return build_features()


@pytest.fixture(scope="session")
def sdxl_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SDXL-inpainting base with all its parts."""
    from tests.tiny_sdxl import tiny_sdxl  # noqa: PLC0415  (its libraries take half a minute to import)

    return tiny_sdxl(tmp_path_factory.mktemp("sdxl") / "base")


@pytest.fixture(scope="session")
def flux_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny FLUX-Fill base with all its parts."""
    from tests.tiny_flux import tiny_flux  # noqa: PLC0415  (its libraries take half a minute to import)

    return tiny_flux(tmp_path_factory.mktemp("flux") / "base")


@pytest.fixture
def flow() -> DisFlow:
    """Flow that needs no weights."""
    return DisFlow(160)
