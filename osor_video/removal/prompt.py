"""What a network is told beside the picture: one fixed prompt, encoded once, and to SDXL the picture's size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from torch import Tensor

from osor_video.errors import ConfigError, WeightsError
from osor_video.removal.base import HALF
from osor_video.removal.room import SHARE_OF_FREE, free_bytes
from osor_video.tensors import load_tensors, save_tensors

PROMPT = "Remove the instance of object"
"""The prompt of all published OSOR weights."""
TOKENS, POOLED = "prompt_embeds", "pooled_prompt_embeds"
FLUX_TOKENS = 512
CPU = torch.device("cpu")


@dataclass(frozen=True, eq=False)
class PromptEmbeddings:
    """``tokens`` [1, N, D] and ``pooled`` [1, P]; float32. SDXL: 77 tokens, both encoders' side by side."""

    tokens: Tensor
    pooled: Tensor

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read ``prompt_embeds`` and ``pooled_prompt_embeds`` of a ``.safetensors`` or ``.pt`` file; WeightsError."""
        state = load_tensors(path)
        try:
            found = cls(state[TOKENS].float(), state[POOLED].float())
        except (KeyError, TypeError, IndexError, AttributeError) as error:
            raise WeightsError(
                f"{path} holds no prompt embeddings: expected the tensors {TOKENS} and {POOLED}."
            ) from error
        shapes = (tuple(found.tokens.shape), tuple(found.pooled.shape))
        if [len(shape) for shape in shapes] != [3, 2] or shapes[0][0] != 1 or shapes[1][0] != 1:
            raise WeightsError(
                f"The prompt embeddings {path} are {shapes[0]} and {shapes[1]}, not [1, 77, D] and [1, P]."
            )
        return found

    def write(self, path: Path) -> None:
        """Write the same, whole or not at all; OSError where it cannot be written."""
        save_tensors(path, {TOKENS: self.tokens, POOLED: self.pooled})

    def to(self, device: torch.device | str, dtype: torch.dtype = torch.float32) -> Self:
        """The same on a device, in a precision."""
        return type(self)(self.tokens.to(device, dtype), self.pooled.to(device, dtype))

    def arguments(self, batch: int, size_hw: tuple[int, int]) -> dict[str, Any]:
        """What SDXL's UNet takes beside input and timestep, for ``batch`` pictures of ``size_hw`` pixels.

        The six size numbers are (h, w) of the original, (top, left) of the crop, (h, w) of the target: here the crop
        is the whole.
        """
        sizes = self.pooled.new_tensor([[*size_hw, 0, 0, *size_hw]], dtype=torch.float32)
        conditions = {"text_embeds": self.pooled.expand(batch, -1), "time_ids": sizes.expand(batch, -1)}
        return {"encoder_hidden_states": self.tokens.expand(batch, -1, -1), "added_cond_kwargs": conditions}


@torch.no_grad()
def encode_prompt(
    base: str, prompt: str = PROMPT, *, half: bool = False, device: torch.device = CPU
) -> PromptEmbeddings:
    """Encode ``prompt`` with both text encoders of ``base``, a folder in diffusers' layout or a name on the hub.

    SDXL's way (arXiv 2307.01952, section 2.1): the layer before the last of both encoders, concatenated, and the
    second's projected summary. ``half``: float16 numbers, as OSOR's fixed embeddings are; a GPU with room for an encoder
    works in float16 too, a processor in float32, since most take minutes in any other. ConfigError without transformers,
    WeightsError where the encoders cannot be read.
    """
    library = _transformers()
    kinds = (library.CLIPTextModel, library.CLIPTextModelWithProjection)
    dtype = torch.float16 if half else torch.float32
    layers, pooled = [], torch.empty(0)
    for kind, end in zip(kinds, ("", "_2"), strict=True):
        tokenizer, encoder = _load_encoder(base, library.CLIPTokenizer, kind, end, dtype, device)
        numbers = _numbers(tokenizer, prompt, tokenizer.model_max_length)
        said = encoder(numbers.to(encoder.device), output_hidden_states=True)
        layers.append(_kept(said.hidden_states[-2], dtype))
        pooled = _kept(said[0], dtype)
    return PromptEmbeddings(torch.cat(layers, dim=-1), pooled)


@torch.no_grad()
def encode_flux_prompt(
    base: str, prompt: str = PROMPT, *, half: bool = False, device: torch.device = CPU
) -> PromptEmbeddings:
    """Encode ``prompt`` as FLUX does: T5's last layer for the tokens, [1, 512, D], CLIP's summary for ``pooled``.

    ``half``: bfloat16, for T5 overflows in float16. The rest as for ``encode_prompt``.
    """
    library = _transformers()
    dtype = torch.bfloat16 if half else torch.float32
    tokenizer, clip = _load_encoder(base, library.CLIPTokenizer, library.CLIPTextModel, "", dtype, device)
    numbers = _numbers(tokenizer, prompt, tokenizer.model_max_length)
    pooled = _kept(clip(numbers.to(clip.device)).pooler_output, dtype)
    tokenizer, t5 = _load_encoder(base, library.AutoTokenizer, library.T5EncoderModel, "_2", dtype, device)
    tokens = t5(_numbers(tokenizer, prompt, FLUX_TOKENS).to(t5.device)).last_hidden_state
    return PromptEmbeddings(_kept(tokens, dtype), pooled)


def _kept(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """float32 on the processor, rounded to ``dtype``."""
    return tensor.to(dtype).float().cpu()


def clip_encoders(first: Mapping[str, Any], second: Mapping[str, Any]) -> tuple[Any, Any]:
    """SDXL's two kinds of text encoder, fresh, of these sizes; ConfigError without transformers."""
    library = _transformers()
    config = library.CLIPTextConfig
    return library.CLIPTextModel(config(**first)), library.CLIPTextModelWithProjection(config(**second))


def _transformers() -> Any:
    try:
        import transformers  # noqa: PLC0415  (takes seconds to import; not everybody has it)
    except ImportError as error:
        raise ConfigError(
            "Encoding the prompt needs the package transformers: install osor-video[sdxl], or give ready embeddings."
        ) from error
    transformers.logging.disable_progress_bar()
    return transformers


def _load_encoder(
    base: str, tokenizer_kind: Any, kind: Any, end: str, dtype: torch.dtype, device: torch.device
) -> tuple[Any, Any]:
    """``tokenizer{end}/`` and ``text_encoder{end}/`` of a base, on ``device`` in ``dtype`` where it has room, else in float32."""
    folder = Path(base) / f"text_encoder{end}"
    plain = [path for path in folder.glob("*.safetensors") if f".{HALF}." not in path.name]
    variant = {"variant": HALF} if folder.is_dir() and not plain else {}
    try:
        tokenizer = tokenizer_kind.from_pretrained(base, subfolder=f"tokenizer{end}")
        size = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
        free = free_bytes(device)
        place, used = (
            (device, dtype) if free is not None and size < SHARE_OF_FREE * free else (CPU, torch.float32)
        )
        encoder = kind.from_pretrained(base, subfolder=f"text_encoder{end}", dtype=used, **variant)
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise WeightsError(
            f"{base} has no readable tokenizer{end}/ and text_encoder{end}/: {reason} Give the whole base, or "
            "ready prompt embeddings."
        ) from error
    return tokenizer, encoder.to(place).eval()


def _numbers(tokenizer: Any, prompt: str, length: int) -> Tensor:
    said = tokenizer(prompt, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    numbers: Tensor = said.input_ids
    return numbers
