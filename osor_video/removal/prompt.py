"""What SDXL's UNet is told beside the picture: one fixed prompt, encoded once, and the picture's size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, Self

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from osor_video.errors import ConfigError, WeightsError
from osor_video.tensors import load_tensors

PROMPT = "Remove the instance of object"
"""The prompt of all published OSOR weights."""
TOKENS, POOLED = "prompt_embeds", "pooled_prompt_embeds"


@dataclass(frozen=True, eq=False)
class PromptEmbeddings:
    """``tokens`` [1, 77, D], both encoders' side by side, and ``pooled`` [1, P] of the second; float32."""

    tokens: Tensor
    pooled: Tensor

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read ``prompt_embeds`` and ``pooled_prompt_embeds`` of a ``.safetensors`` or ``.pt`` file; WeightsError."""
        try:
            state = load_tensors(path)
            found = cls(state[TOKENS].float(), state[POOLED].float())
        except (
            OSError,
            RuntimeError,
            EOFError,
            UnpicklingError,
            SafetensorError,
            KeyError,
            TypeError,
        ) as error:
            raise WeightsError(
                f"The prompt embeddings {path} cannot be read: expected the tensors {TOKENS} and {POOLED} ({error})."
            ) from error
        shapes = (tuple(found.tokens.shape), tuple(found.pooled.shape))
        if [len(shape) for shape in shapes] != [3, 2] or shapes[0][0] != 1 or shapes[1][0] != 1:
            raise WeightsError(
                f"The prompt embeddings {path} are {shapes[0]} and {shapes[1]}, not [1, 77, D] and [1, P]."
            )
        return found

    def write(self, path: Path) -> None:
        """Write the same as safetensors."""
        save_file({TOKENS: self.tokens.contiguous(), POOLED: self.pooled.contiguous()}, path)

    def to(self, device: torch.device | str) -> Self:
        """The same on a device."""
        return type(self)(self.tokens.to(device), self.pooled.to(device))

    def arguments(self, batch: int, size_hw: tuple[int, int]) -> dict[str, Any]:
        """What SDXL's UNet takes beside input and timestep, for ``batch`` pictures of ``size_hw`` pixels.

        The six size numbers are (h, w) of the original, (top, left) of the crop, (h, w) of the target: here the crop
        is the whole.
        """
        sizes = self.pooled.new_tensor([[*size_hw, 0, 0, *size_hw]])
        conditions = {"text_embeds": self.pooled.expand(batch, -1), "time_ids": sizes.expand(batch, -1)}
        return {"encoder_hidden_states": self.tokens.expand(batch, -1, -1), "added_cond_kwargs": conditions}


@torch.no_grad()
def encode_prompt(base: str, prompt: str = PROMPT) -> PromptEmbeddings:
    """Encode ``prompt`` with both text encoders of ``base``, a folder in diffusers' layout or a name on the hub.

    SDXL's way (arXiv 2307.01952, section 2.1): the layer before the last of both encoders, concatenated, and the
    second's projected summary. ConfigError without transformers, WeightsError where the encoders cannot be read.
    """
    try:
        from transformers import (  # noqa: PLC0415  (takes seconds to import; not everybody has it)
            CLIPTextModel,
            CLIPTextModelWithProjection,
            CLIPTokenizer,
            logging,
        )
    except ImportError as error:
        raise ConfigError(
            "Encoding the prompt needs the package transformers: install osor-video[sdxl], or give ready embeddings."
        ) from error
    logging.disable_progress_bar()
    layers, pooled = [], torch.empty(0)
    for kind, end in ((CLIPTextModel, ""), (CLIPTextModelWithProjection, "_2")):
        try:
            tokenizer = CLIPTokenizer.from_pretrained(base, subfolder=f"tokenizer{end}")
            encoder = kind.from_pretrained(base, subfolder=f"text_encoder{end}", dtype=torch.float32)
        except (OSError, ValueError, TypeError) as error:
            reason = " ".join(str(error).split())
            raise WeightsError(
                f"{base} has no readable tokenizer{end}/ and text_encoder{end}/: {reason} Give the whole base, or "
                "ready prompt embeddings."
            ) from error
        numbers = tokenizer(
            prompt,
            padding="max_length",
            max_length=tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        ).input_ids
        said = encoder.eval()(numbers, output_hidden_states=True)
        layers.append(said.hidden_states[-2])
        pooled = said[0]
    return PromptEmbeddings(torch.cat(layers, dim=-1), pooled)
