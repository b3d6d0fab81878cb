"""What the desk offers to choose from. One more codec or setting is one more line here: the page draws itself from these."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from osor_video.config import PRESETS

VIDEO_SUFFIXES = (
    *(".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".ts", ".mts", ".m2ts"),
    *(".mxf", ".mpg", ".mpeg", ".ogv", ".y4m", ".3gp", ".flv", ".wmv"),
)


@dataclass(frozen=True)
class Choice:
    """One setting: its dotted key ("preset" stands for the preset), what the page calls it, and (value, name) pairs."""

    key: str
    name: str
    values: tuple[tuple[Any, str], ...]
    hint: str = ""


@dataclass(frozen=True)
class Export:
    """One way of writing the result: ``settings`` by dotted key, and whether its quality can be set."""

    name: str
    title: str
    container: str
    settings: dict[str, Any] = field(default_factory=dict)
    quality: bool = True


MODEL_NAMES = ("bundled", "osor-sdxl", "osor-flux")
CHOICES = (
    Choice(
        "preset",
        "Quality",
        tuple((name, name.capitalize()) for name in PRESETS),
        "Fast for a look, best for the final render.",
    ),
    Choice(
        "effects.find",
        "Effects",
        (("off", "Left as they are"), ("auto", "Removed as well"), ("strong", "Faint ones too")),
        "Shadow and reflection of the object.",
    ),
    Choice(
        "fill",
        "Fill",
        (("auto", "Real, then generated"), ("diffusion", "Generated"), ("plate", "Real only")),
        "Real pixels of the shot where it shows them.",
    ),
    Choice(
        "removal.model",
        "Model",
        (
            (None, "Automatic"),
            ("bundled", "Compact (bundled)"),
            ("osor-sdxl", "OSOR SDXL"),
            ("osor-flux", "OSOR FLUX"),
        ),
        "SDXL and FLUX have to be fetched first: osor-video models.",
    ),
    Choice(
        "mask.tracker",
        "Following",
        (
            (None, "Automatic"),
            ("propagate", "Flow and features"),
            ("refined", "Trained network"),
            ("sam2", "SAM2"),
        ),
        "Automatic calls the trained network where the mask is in doubt. SAM2 needs the extra sam and its weights.",
    ),
)
EXPORTS = (
    Export("mp4", "MP4, as the source", ".mp4"),
    Export("mov", "QuickTime, as the source", ".mov"),
    Export("mkv", "Matroska, as the source", ".mkv"),
    Export("h265", "MP4, H.265", ".mp4", {"encode.codec": "h265"}),
    Export("av1", "MP4, AV1", ".mp4", {"encode.codec": "av1"}),
    Export("prores", "QuickTime, ProRes 422", ".mov", {"encode.codec": "prores"}, quality=False),
    Export("prores-4444", "QuickTime, ProRes 4444", ".mov", {"encode.codec": "prores-4444"}, quality=False),
    Export("dnxhr", "QuickTime, DNxHR", ".mov", {"encode.codec": "dnxhr"}, quality=False),
    Export("ffv1", "Matroska, FFV1 lossless", ".mkv", {"encode.lossless": True}, quality=False),
)
QUALITY_KEY, QUALITY_RANGE = "encode.crf", (0, 40)
PATH_KEYS = ("flow.weights", "background.plate", "removal.tiny_vae", "mask.sam2_model")
"""Settings that name files: a project that comes through the browser may not."""


def offered() -> dict[str, Any]:
    """Everything above as the page gets it."""
    return {
        "choices": [asdict(choice) for choice in CHOICES],
        "exports": [asdict(export) for export in EXPORTS],
        "quality": {"key": QUALITY_KEY, "range": QUALITY_RANGE},
        "suffixes": VIDEO_SUFFIXES,
    }
