"""Folders of published models: what lies where.

    FOLDER/
        base/                      diffusers' layout: unet/ or transformer/, vae/, scheduler/ (SDXL)
                                   and text_encoder*/, tokenizer*/ unless there are embeddings
        NAME.pth or .safetensors   the adapter, in OSOR's published layout
        NAME.json                  its record, where it comes from osor_video.training (may name the base)
        fixed_prompt_embeds.pt     the prompt's embeddings, or prompt.safetensors; made once where there are none

A lone adapter with its record is a model too, and so is a folder without ``base/`` whose record, or whose user, names one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import torch

from osor_video.errors import WeightsError
from osor_video.removal import adapter as adapters
from osor_video.removal.prompt import PROMPT, PromptEmbeddings, encode_flux_prompt, encode_prompt
from osor_video.removal.record import AdapterRecord

Kind = Literal["sdxl", "flux"]
BASE = "base"
MADE_PROMPT = "prompt.safetensors"
PROMPT_FILES = (MADE_PROMPT, "fixed_prompt_embeds.pt", "fixed_prompt_embeds.safetensors")
PARTS: dict[Kind, tuple[str, ...]] = {
    "sdxl": ("unet", "vae", "scheduler"),
    "flux": ("transformer", "vae"),
}
REFERENCE = "reference_phase"
UNKNOWN_LICENCE = "unknown"


@dataclass(frozen=True)
class ModelFolder:
    """The parts of one published model on disk, found but not yet read."""

    name: str
    kind: Kind
    base: str
    """A folder in diffusers' layout."""
    adapter: Path
    record: AdapterRecord | None
    prompt: Path
    """Of the embeddings; where there is no such file they are made and kept there."""
    licence: str = UNKNOWN_LICENCE

    @classmethod
    def open(
        cls, path: Path, name: str | None = None, licence: str = UNKNOWN_LICENCE, base_name: str | None = None
    ) -> Self:
        """Find the parts of the folder, or of the lone adapter, at ``path``; WeightsError says what is missing.

        ``base_name``: a folder or a hub name in the cache, which goes before ``base/`` and before what the record names.
        """
        folder = path if path.is_dir() else path.parent
        adapter = path if path.is_file() else _adapter_in(folder)
        record_path = adapter.with_suffix(".json")
        record = AdapterRecord.read(record_path) if record_path.exists() else None
        base = _base_of(
            folder, base_name or (None if (folder / BASE).is_dir() or record is None else record.base)
        )
        kind = kind_of(base)
        missing = [part for part in PARTS[kind] if not (base / part).is_dir()]
        if missing:
            raise WeightsError(
                f"The base {base} has no {', '.join(f'{part}/' for part in missing)}; put "
                f"{', '.join(f'{part}/' for part in PARTS[kind])} there in diffusers' layout."
            )
        prompt = next(
            (folder / file for file in PROMPT_FILES if (folder / file).exists()), folder / MADE_PROMPT
        )
        return cls(name or folder.resolve().name, kind, str(base), adapter, record, prompt, licence)

    def read_prompt(self, device: torch.device) -> PromptEmbeddings:
        """The embeddings of the fixed prompt; made with the base's text encoders the first time, on ``device``, then kept.

        WeightsError where there are neither, or where they cannot be kept.
        """
        if self.prompt.exists():
            return PromptEmbeddings.read(self.prompt)
        encode = encode_flux_prompt if self.kind == "flux" else encode_prompt
        made: PromptEmbeddings = encode(self.base, PROMPT, half=True, device=device)
        try:
            made.write(self.prompt)
        except OSError as error:
            raise WeightsError(
                f"The prompt's embeddings cannot be kept as {self.prompt}: {error}. Free some space there, or make the "
                "folder writable."
            ) from error
        return made

    def timestep(self, phase: int) -> int | None:
        """What the adapter's record says, where there is one; WeightsError where it is of another phase."""
        if self.record is None:
            return None
        if self.record.phase != phase:
            raise WeightsError(
                f"{self.adapter} is of phase {phase}, but its record {self.adapter.with_suffix('.json').name} says "
                f"{self.record.phase}. Take the pair as it was exported."
            )
        return self.record.timestep


def is_published(path: Path) -> bool:
    """Whether ``path`` reads like a published model: a folder with ``base/`` or an adapter, or an adapter."""
    if path.is_file():
        return path.suffix in adapters.FILES
    return (path / BASE).is_dir() or bool(adapters_in(path))


def adapters_in(folder: Path) -> list[Path]:
    """The files of ``folder`` that can be adapters, by name."""
    others = {*PROMPT_FILES}
    return [
        path
        for path in sorted(folder.glob("*"))
        if path.suffix in adapters.FILES and path.name not in others and not path.name.startswith(REFERENCE)
    ]


def kind_of(base: Path) -> Kind:
    """By its network's folder; WeightsError where there is none."""
    for kind, parts in PARTS.items():
        if (base / parts[0]).is_dir():
            return kind
    raise WeightsError(
        f"The base {base} has neither unet/ (SDXL) nor transformer/ (FLUX). Put a base in diffusers' layout there."
    )


def _adapter_in(folder: Path) -> Path:
    found = adapters_in(folder)
    if len(found) > 1:
        # Both phases are published side by side, and the second is what removes effects.
        found = [path for path in found if "phase2" in path.name] or found
    if len(found) != 1:
        named = f"several: {', '.join(path.name for path in found)}" if found else "none"
        raise WeightsError(
            f"{folder} should hold one adapter (.pth or .safetensors), and has {named}. Give the adapter's own path, or "
            "put it there."
        )
    return found[0]


def _base_of(folder: Path, named: str | None) -> Path:
    """``base/``, unless another is ``named``: a folder, or a repository in the hub's cache."""
    if named is None:
        if (folder / BASE).is_dir():
            return folder / BASE
        raise WeightsError(
            f"{folder} has no {BASE}/. Put the base in diffusers' layout there: unet/, vae/ and scheduler/, or transformer/ "
            "and vae/; or name one with --set removal.base=NAME."
        )
    if Path(named).is_dir():
        return Path(named)
    from osor_video.removal.fetch import cached_snapshot  # noqa: PLC0415  (most folders need no hub)

    snapshot = cached_snapshot(named)
    if snapshot is None:
        raise WeightsError(
            f"The base {named} of {folder} is neither a folder nor in the hub's cache. Put it into {folder / BASE}, or "
            f"fetch it with: hf download {named}"
        )
    return snapshot
