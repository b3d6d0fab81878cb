"""The models with names: what they are, under which licence, where they lie, what of them is there.

Published models lie in folders of the form of ``folder.py`` under one place, ``$OSOR_VIDEO_MODELS`` or the user's cache.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from osor_video.errors import WeightsError
from osor_video.removal.folder import BASE, PARTS, PROMPT_FILES, Kind, ModelFolder

PLACE = "OSOR_VIDEO_MODELS"
BUNDLED = "bundled"
ADAPTERS = "QinmingZhou/OSOR"


@dataclass(frozen=True)
class Published:
    """One published model: an adapter and the base it needs, both on the hub."""

    name: str
    kind: Kind
    licence: str
    notice: str | None
    """What a user has to know of the licence before using it."""
    base: str
    adapter: str
    """Path of the adapter in ``ADAPTERS``."""
    encoders: tuple[str, ...]
    """Parts of the base that encode the prompt, needed once."""
    size_gb: float
    """About what a fetch brings."""

    @property
    def folder(self) -> Path:
        """Where it lies, or would."""
        return models_folder() / self.name

    @property
    def adapter_file(self) -> Path:
        """Where its adapter lies, or would."""
        return self.folder / Path(self.adapter).name

    def missing(self) -> list[str]:
        """What is not there, each with where it belongs; empty where the model can run."""
        has_prompt = any((self.folder / file).exists() for file in PROMPT_FILES)
        parts = (*PARTS[self.kind], *(() if has_prompt else self.encoders))
        places = [self.folder / BASE / part for part in parts]
        lacking = [f"{place}/ ({place.name}/ of {self.base})" for place in places if not _is_whole(place)]
        if not self.adapter_file.exists():
            lacking.append(f"{self.adapter_file} ({self.adapter} of {ADAPTERS})")
        return lacking

    def open(self) -> ModelFolder:
        """Its folder; WeightsError that lists what is missing and where to put it."""
        lacking = self.missing()
        if lacking:
            raise WeightsError(
                f"The model {self.name} is not whole here. Fetch it with: osor-video models fetch {self.name}; without "
                f"a network put these in place: {'; '.join(lacking)}."
            )
        return ModelFolder.open(self.adapter_file, self.name, self.licence)


MODELS = {
    model.name: model
    for model in (
        Published(
            name="osor-sdxl",
            kind="sdxl",
            licence="CreativeML Open RAIL++-M",
            notice=None,
            base="diffusers/stable-diffusion-xl-1.0-inpainting-0.1",
            adapter="osor-sdxlinpainting/weights/sdxlinpainting_phase2.pth",
            encoders=("tokenizer", "text_encoder", "tokenizer_2", "text_encoder_2"),
            size_gb=15.4,
        ),
        Published(
            name="osor-flux",
            kind="flux",
            licence="FLUX.1 [dev] Non-Commercial License",
            notice="osor-flux builds on FLUX.1-Fill-dev, whose licence is for non-commercial use only (FLUX.1 [dev] "
            "Non-Commercial License): https://huggingface.co/black-forest-labs/FLUX.1-Fill-dev",
            base="black-forest-labs/FLUX.1-Fill-dev",
            adapter="osor-fluxfill/weights/fluxfill_phase2.pth",
            encoders=("tokenizer", "text_encoder", "tokenizer_2", "text_encoder_2"),
            size_gb=35.0,
        ),
    )
}
FLUX_NOTICE = MODELS["osor-flux"].notice


def _is_whole(part: Path) -> bool:
    """Whether a part of a base has its files: weights, or for those without any their settings; and none is half there."""
    has_weights = not part.name.startswith(("scheduler", "tokenizer"))
    wanted = "*.safetensors" if has_weights else "*.json"
    return any(part.glob(wanted)) and not any(part.glob("*.part"))


def bundled_model_path() -> Path:
    """Folder of the compact model that comes with the package."""
    return Path(__file__).parent / "weights" / "compact"


def models_folder() -> Path:
    """``$OSOR_VIDEO_MODELS``, or ``osor-video/models`` in the user's cache."""
    named = os.environ.get(PLACE)
    if named:
        return Path(named)
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "osor-video" / "models"
