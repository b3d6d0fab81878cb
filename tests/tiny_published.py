"""Model folders of the published form from the tiny bases: adapters are injected with PEFT and saved under its names."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import FluxTransformer2DModel, UNet2DConditionModel
from peft import LoraConfig
from torch import Tensor, nn

SDXL_TARGETS = [
    *("to_k", "to_q", "to_v", "to_out.0", "conv", "conv1", "conv2", "conv_shortcut"),
    *("proj_in", "proj_out", "ff.net.2", "ff.net.0.proj"),
]
FLUX_TARGETS = ["to_k", "to_q", "to_v", "to_out.0", "ff.net.0.proj", "ff.net.2", "proj_mlp"]
RANK = 3


def adapted_unet(base: Path, rows: int) -> Any:
    """The UNet of ``base`` with seeded PEFT pairs beside its layers and ``rows`` outputs."""
    unet = UNet2DConditionModel.from_pretrained(base / "unet")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        unet.conv_out = nn.Conv2d(unet.conv_out.in_channels, rows, 3, padding=1)
        unet.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=SDXL_TARGETS))
        _shake(unet)
    return unet.eval()


def adapted_transformer(base: Path, rows: int) -> Any:
    """The same of a FLUX base; PEFT takes the last ``proj_out`` for no target, as none ends so."""
    transformer = FluxTransformer2DModel.from_pretrained(base / "transformer")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(8)
        transformer.proj_out = nn.Linear(transformer.proj_out.in_features, rows)
        transformer.add_adapter(LoraConfig(r=RANK, lora_alpha=RANK, target_modules=FLUX_TARGETS))
        _shake(transformer)
    return transformer.eval()


def published_state(network: Any, prefix: str, whole: str) -> dict[str, Tensor]:
    """What a training script saves: the pairs under PEFT's names, and the output layer."""
    return {
        prefix + name: value
        for name, value in network.state_dict().items()
        if ".lora_" in name or name.startswith(f"{whole}.")
    }


def sdxl_model(folder: Path, base: Path, phase: int = 2, *, embeddings: bool = True) -> Path:
    """A model folder with ``base/``, the adapter of a phase, and embeddings unless the base is to make them."""
    shutil.copytree(base, folder / "base")
    state = published_state(adapted_unet(base, 3 + phase), "unet.", "conv_out")
    torch.save(state, folder / f"sdxlinpainting_phase{phase}.pth")
    if embeddings:
        _save_embeddings(folder, (1, 77, 16), (1, 8))
    return folder


def flux_model(folder: Path, base: Path, rows: int = 68, *, embeddings: bool = True) -> Path:
    """The same of FLUX."""
    shutil.copytree(base, folder / "base")
    network = adapted_transformer(base, rows)
    torch.save(
        published_state(network, "transformer.base_model.model.", "proj_out"), folder / "fluxfill_phase2.pth"
    )
    if embeddings:
        _save_embeddings(folder, (1, 12, 8), (1, 8))
    return folder


def _shake(network: Any) -> None:
    """Pairs that do something: PEFT begins with B = 0."""
    for name, parameter in network.named_parameters():
        if ".lora_" in name:
            nn.init.normal_(parameter, std=0.1)


def _save_embeddings(folder: Path, tokens: tuple[int, ...], pooled: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(5)
    values = {
        "prompt_embeds": torch.randn(tokens, generator=generator),
        "pooled_prompt_embeds": torch.randn(pooled, generator=generator),
        "prompt": "Remove the instance of object",
    }
    torch.save(values, folder / "fixed_prompt_embeds.pt")
