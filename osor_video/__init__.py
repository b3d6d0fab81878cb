"""Remove a thing from a video clip, with its shadow and its reflection: one mask, one diffusion step a frame.

    from osor_video import remove_object

    report = remove_object("walk.mp4", "walk_first.png", "out.mp4")

Names are imported when they are first used: importing the package alone loads no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from osor_video.api import VideoRemover, as_marks, as_region, as_seed, remove_object
    from osor_video.config import Config
    from osor_video.errors import ConfigError, MaskError, OsorError, VideoError, WeightsError
    from osor_video.report import RunReport

__all__ = [
    "Config",
    "ConfigError",
    "MaskError",
    "OsorError",
    "RunReport",
    "VideoError",
    "VideoRemover",
    "WeightsError",
    "__version__",
    "as_marks",
    "as_region",
    "as_seed",
    "remove_object",
]

__version__ = "0.1.0"

_HOME = {
    **dict.fromkeys(("VideoRemover", "as_marks", "as_region", "as_seed", "remove_object"), "osor_video.api"),
    **dict.fromkeys(
        ("ConfigError", "MaskError", "OsorError", "VideoError", "WeightsError"), "osor_video.errors"
    ),
    "Config": "osor_video.config",
    "RunReport": "osor_video.report",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
