"""What is known of a model: its record (``model.json``) and, for one made here, the sizes of its networks."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from osor_video.errors import WeightsError

RECORD_FILE = "model.json"
PredictionType = Literal["epsilon", "v_prediction", "residual"]
FirstGuess = Literal["interpolated", "patches"]


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Architecture(_Plain):
    """Numbers of the compact autoencoder (stride 8) and of its one-step UNet."""

    latent_channels: int = 16
    """C: channels of the latent; the UNet takes 2 C + 1 and gives C + 1."""
    decoder_width: int = 128
    """Channels of the decoder at latent size."""
    decoder_blocks: int = 4
    """Residual blocks at latent size."""
    finish_width: int = 32
    """Channels of the decoder at half the picture's size."""
    finish_blocks: int = 2
    """Residual blocks at half the picture's size."""
    unet_channels: tuple[int, ...] = (48, 96, 160, 224)
    """Width of each UNet level; the two lowest have attention."""
    unet_layers: int = 1
    """Residual blocks a UNet level."""
    unet_head_dim: int = 32
    """Width of one attention head."""
    unet_norm_groups: int = 16
    """Groups of the UNet's normalisation."""
    alpha_width: int = 96
    """Channels of the head that finds object and effects."""


class ModelRecord(_Plain):
    """The record of one model folder."""

    name: str
    """Short name, as in a log line."""
    licence: str
    """SPDX name of the licence of the weights."""
    timestep: int = Field(ge=0)
    """The one timestep the model was trained at, of the schedule in ``scheduler/``."""
    prediction_type: PredictionType
    """What the model's first C output channels are."""
    first_guess: FirstGuess = "interpolated"
    """What stands in the hole of the picture that a residual is added to."""
    latent_channels: int = Field(ge=1)
    """C."""
    latent_scale: float = Field(gt=0)
    """z = (mode - latent_shift) * latent_scale."""
    latent_shift: float = 0.0
    """See ``latent_scale``."""
    stride: int = Field(ge=1)
    """Pixels a latent cell."""
    multiple_px: int = Field(ge=1)
    """Sides of a picture must be multiples of this."""
    raster_px: int = Field(ge=1)
    """Side of the square crops the model was trained on; it does best near this."""
    made: dict[str, str | int | float] = {}
    """How the weights were made: data with licences, steps, hardware, hours."""
    validation: dict[str, float] = {}
    """Figures on material that training never saw; the unit stands in each key."""
    files: dict[str, str] = {}
    """sha256 of every file of the folder, by its path inside it."""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read ``folder/model.json``; WeightsError where it is missing or wrong."""
        path = folder / RECORD_FILE
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError as error:
            raise WeightsError(
                f"{folder} is not a model folder: it has no {RECORD_FILE}. Give the folder that holds it."
            ) from error
        except (OSError, ValidationError) as error:
            raise WeightsError(f"{path} is not a model record this version understands: {error}") from error

    def write(self, folder: Path) -> None:
        """Write ``folder/model.json``."""
        (folder / RECORD_FILE).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    def check_files(self, folder: Path, names: tuple[str, ...]) -> None:
        """WeightsError unless each of ``names`` is there with the content that the record says."""
        for name in names:
            found, expected = sha256_of(folder / name), self.files.get(name, "none recorded")
            if found != expected:
                raise WeightsError(
                    f"{folder / name} is damaged or of another version: sha256 {found[:12]}, expected "
                    f"{expected[:12]}. Fetch the model folder again."
                )


class AdapterRecord(_Plain):
    """The record of one adapter, ``NAME.json`` beside ``NAME.pth`` or ``NAME.safetensors``."""

    base: str
    """The base it was trained on: a name on the hub, or a folder."""
    phase: Literal[1, 2]
    """1: no alpha, the mask decides where the fill counts; 2: alpha decides."""
    timestep: int = Field(ge=0)
    """The one timestep it was trained at, of the base's schedule."""
    prediction_type: PredictionType
    """What the first C output channels are."""
    rank: int = Field(ge=1)
    """Rank of the pairs, and their alpha."""
    made: dict[str, str | int | float] = {}
    """How it was made: steps, hours, what it began with."""
    sha256: str = ""
    """Of the adapter's file."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a record; WeightsError where it is missing or wrong."""
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise WeightsError(f"{path} is not the record of an adapter: {error}") from error

    def write(self, path: Path) -> None:
        """Write the record."""
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file; WeightsError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise WeightsError(
            f"{path} is missing from the model folder. Fetch the model folder again."
        ) from error
