"""Shared fixtures: the synthetic world and the networks, made once a session; nobody changes them."""

from __future__ import annotations

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


@pytest.fixture
def flow() -> DisFlow:
    """Flow that needs no weights."""
    return DisFlow(160)
