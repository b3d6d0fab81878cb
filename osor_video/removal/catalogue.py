"""The models with names: what they are, under which licence, where they lie, what of them is there.

Published models lie in folders of the form of ``folder.py`` under one place, ``$OSOR_VIDEO_MODELS`` or the user's cache.
"""

from __future__ import annotations

import json
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

    def parts(self) -> tuple[str, ...]:
        """The parts of the base that it needs: its encoders only until the prompt is encoded."""
        has_prompt = any((self.folder / file).exists() for file in PROMPT_FILES)
        return (*PARTS[self.kind], *(() if has_prompt else self.encoders))

    def cached_base(self) -> Path | None:
        """The base in the hub's cache, where it has all that is needed and its own folder has none."""
        if (self.folder / BASE).is_dir():
            return None
        from osor_video.removal.fetch import cached_snapshot  # noqa: PLC0415  (the hub's client)

        found = cached_snapshot(self.base)
        return found if found is not None and all(_is_whole(found / part) for part in self.parts()) else None

    def missing(self) -> list[str]:
        """What is not there, each with where it belongs; empty where the model can run."""
        places = [] if self.cached_base() else [self.folder / BASE / part for part in self.parts()]
        lacking = [f"{place}/ ({place.name}/ of {self.base})" for place in places if not _is_whole(place)]
        if not self.adapter_file.exists():
            lacking.append(f"{self.adapter_file} ({self.adapter} of {ADAPTERS})")
        return lacking

    def lacking(self) -> str:
        """The same as a part of a sentence: what to put where; empty where nothing is missing."""
        parts = () if self.cached_base() else self.parts()
        wanted = ", ".join(f"{part}/" for part in parts if not _is_whole(self.folder / BASE / part))
        pieces = [f"{wanted} of {self.base} into {self.folder / BASE}"] if wanted else []
        if not self.adapter_file.exists():
            pieces.append(f"{self.adapter} of {ADAPTERS} into {self.folder}")
        return ", and ".join(pieces)

    def open(self) -> ModelFolder:
        """Its folder; WeightsError that lists what is missing and where to put it."""
        lacking = self.lacking()
        if lacking:
            raise WeightsError(
                f"The model {self.name} is not whole here. Fetch it with: osor-video models fetch {self.name}; without "
                f"a network put {lacking}."
            )
        cached = self.cached_base()
        return ModelFolder.open(self.adapter_file, self.name, self.licence, str(cached) if cached else None)


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
    pieces = [_pieces(index) for index in part.glob("*.safetensors.index*.json")]
    has_all = not pieces or any(all((part / name).exists() for name in names) for names in pieces)
    return any(part.glob(wanted)) and has_all and not any(part.glob("*.part"))


def _pieces(index: Path) -> set[str]:
    """The files that an index of weights in several of them names; itself where it cannot be read."""
    try:
        return set(json.loads(index.read_bytes())["weight_map"].values())
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return {index.name}


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
