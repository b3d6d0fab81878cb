"""Settings of the training runs, read from ``configs/train/*.yaml``; folders come from the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from osor_video.errors import ConfigError
from osor_video.removal.record import Architecture

T = TypeVar("T", bound=BaseModel)


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class LoopConfig(_Section):
    """What every optimisation shares."""

    steps: int = Field(default=2000, ge=1)
    """Length of the learning-rate schedule; training ends here."""
    minutes: float = Field(default=600.0, gt=0)
    """Wall time of one call; when it is over a checkpoint is saved and the call ends."""
    batch: int = Field(default=4, ge=1)
    """Samples a step."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Peak of the schedule: linear warm-up, then a cosine down to a twentieth."""
    warmup_steps: int = Field(default=100, ge=0)
    """Steps of the linear warm-up."""
    ema_decay: float = Field(default=0.999, ge=0, lt=1)
    """Decay of the averaged weights, which are the ones exported."""
    checkpoint_steps: int = Field(default=200, ge=1)
    """Steps between checkpoints."""
    seed: int = Field(default=0, ge=0)
    """Seed of the first weights and, together with the step number, of every sample."""
    threads: int = Field(default=1, ge=1)
    """CPU threads of the tensor library."""


class AutoencoderConfig(_Section):
    """Training of the autoencoder."""

    architecture: Architecture = Architecture()
    loop: LoopConfig = LoopConfig()
    crop_px: int = Field(default=128, ge=32, multiple_of=8)
    """Side of the square crops."""
    widest_crop_px: int = Field(default=384, ge=32)
    """Largest region of a photograph that is shrunk into one crop."""
    gradient_weight: float = Field(default=1.0, ge=0)
    """Weight of the loss on picture gradients."""
    kl_weight: float = Field(default=1e-4, ge=0)
    """Weight of the divergence of the posterior from a unit normal."""
    freeze_encoder: bool = False
    """Train the decoder alone, so that latents made earlier stay valid."""


def load_config(path: Path, kind: type[T]) -> T:
    """Read a YAML file of differences from the defaults; ConfigError names the file and the wrong key."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        return kind.model_validate(values)
    except (OSError, yaml.YAMLError, ValidationError) as error:
        raise ConfigError(f"Cannot use the training configuration {path}: {error}") from error
