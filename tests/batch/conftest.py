"""The clip and the tiny model of the command line's tests."""

from tests.apps.conftest import material

__all__ = ["material"]
