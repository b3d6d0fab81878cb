"""Every setting of a run: frozen, typed, one class per stage, a sentence under each field.

Defaults live here; ``presets/*.yaml`` and user files hold only what differs. Unknown keys are rejected.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from osor_video.errors import ConfigError

PRESETS = ("fast", "balanced", "best")


class _Stage(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class DecodeConfig(_Stage):
    """Reading frames."""

    decoder: Literal["auto", "decord", "pyav"] = "auto"
    """Who decodes the frames that are analysed; auto takes decord where the material is plain, else PyAV."""


class FlowConfig(_Stage):
    """Optical flow between neighbouring frames."""

    backend: Literal["auto", "raft", "dis"] = "auto"
    """auto takes RAFT when weights are to be had without a download, else OpenCV's DIS flow."""
    weights: Path | None = None
    """A torchvision raft_small state dict (.safetensors or .pth)."""
    height_px: int = Field(default=160, ge=128, le=1080)
    """Working height of the flow; its cost grows with the square of the area."""
    updates: int = Field(default=6, ge=1, le=32)
    """Recurrent updates of RAFT a pair."""


class EncodeConfig(_Stage):
    """Writing the result."""

    crf: int = Field(default=16, ge=0, le=51)
    """x264/x265 constant rate factor; lower is better and larger."""
    encoder_preset: str = "medium"
    """x264/x265 speed preset."""
    lossless: bool = False
    """FFV1 (needs .mkv) instead of H.264: the file decodes to exactly the composited pixels."""


class Config(_Stage):
    """All settings of a removal."""

    decode: DecodeConfig = DecodeConfig()
    flow: FlowConfig = FlowConfig()
    encode: EncodeConfig = EncodeConfig()
    seed: int = Field(default=0, ge=0)
    """Seed of the noise tile; the same seed gives the same bytes."""
