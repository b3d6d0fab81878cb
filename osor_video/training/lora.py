"""A frozen UNet with trained adapters: to a training run it is a small module of the trained tensors alone."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Self

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput
from torch import Tensor, nn
from torch.func import functional_call

from osor_video.errors import WeightsError
from osor_video.removal.adapter import SDXL_LAYOUT, AdapterLayout, adapter_rank, check_names
from osor_video.removal.prompt import PromptEmbeddings

STRIDE = 8


@dataclass(frozen=True, eq=False)
class Frozen:
    """What does not change in training, and is shared by all copies of what does."""

    unet: Any
    prompt: PromptEmbeddings
    dtype: torch.dtype

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


class AdaptedUNet(nn.Module):
    """The trained tensors of ``frozen.unet`` under their published names, and a call of the whole.

    The base is no submodule: optimiser, average and checkpoint see the trained tensors and nothing else. A deep copy
    (the average) has tensors of its own and answers with them, on the same base.
    """

    def __init__(self, frozen: Frozen, layout: AdapterLayout = SDXL_LAYOUT) -> None:
        super().__init__()
        self.frozen, self._layout = frozen, layout
        for name, parameter in frozen.unet.named_parameters():
            if parameter.requires_grad:
                _plant(self, layout.prefix + name, parameter)

    def enable_gradient_checkpointing(self) -> None:
        """Work out the base's inner values again on the way back."""
        save_memory(self.frozen.unet)

    def forward(self, inputs: Tensor, timestep: int) -> UNet2DConditionOutput:
        """[B, 2C+1, h, w] -> ``sample`` [B, C+1, h, w], float32; in phase 1 [B, C, h, w]."""
        frozen = self.frozen
        own = {name.removeprefix(self._layout.prefix): value for name, value in self.named_parameters()}
        height, width = (STRIDE * side for side in inputs.shape[-2:])
        told = frozen.prompt.arguments(len(inputs), (height, width))
        is_mixed = frozen.dtype != torch.float32
        with torch.autocast(inputs.device.type, frozen.dtype) if is_mixed else nullcontext():
            out = functional_call(frozen.unet, own, (inputs.to(frozen.dtype), timestep), told)
        return UNet2DConditionOutput(sample=out.sample.float())

    @torch.no_grad()
    def begin_with(self, tensors: Mapping[str, Tensor], origin: str) -> None:
        """Take over an adapter of the same base and rank; one of phase 1 leaves alpha's row of phase 2 as it is.

        WeightsError where it does not fit; nothing has changed then.
        """
        own = dict(self.named_parameters())
        check_names(tensors, own, origin)
        ranks = adapter_rank(tensors, origin), adapter_rank(own, "the run")
        if ranks[0] != ranks[1]:
            raise WeightsError(f"{origin} has rank {ranks[0]} and the configuration rank {ranks[1]}.")
        for name, value in tensors.items():
            may_grow = name in self._layout.whole_names and len(value) <= len(own[name])
            if value.shape[1 if may_grow else 0 :] != own[name].shape[1 if may_grow else 0 :]:
                raise WeightsError(
                    f"{origin} does not fit: {name} is {tuple(value.shape)}, not {tuple(own[name].shape)}."
                )
        for name, value in tensors.items():
            own[name][: len(value)] = value


def save_memory(network: Any) -> None:
    """Gradient checkpointing of a diffusers network."""
    # Older diffusers do so in training mode alone; nothing else in the networks of SDXL goes by it.
    network.train().enable_gradient_checkpointing()


def _plant(root: nn.Module, name: str, parameter: nn.Parameter) -> None:
    """Register ``parameter`` under a name with dots, in modules made for it."""
    *path, last = name.split(".")
    for part in path:
        if part not in dict(root.named_children()):
            root.add_module(part, nn.Module())
        root = root.get_submodule(part)
    root.register_parameter(last, parameter)
