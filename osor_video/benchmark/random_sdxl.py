"""SDXL's networks at their true size, filled with seeded noise: what a published model is, without any download."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from torch import Tensor, nn

from osor_video.removal.adapter import DOWN, SDXL_LAYOUT, UP, write_adapter
from osor_video.removal.folder import BASE, MADE_PROMPT
from osor_video.removal.prompt import PromptEmbeddings, clip_encoders
from osor_video.removal.sdxl import SdxlBase

Scale = Literal["full", "tiny"]
BLOCK = 1 << 22
WORDS = 77

COMMON = {
    "in_channels": 9,
    "out_channels": 4,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
}
UNETS: dict[Scale, dict[str, Any]] = {
    # 2567 million weights: unet/config.json of diffusers/stable-diffusion-xl-1.0-inpainting-0.1.
    "full": COMMON
    | {
        "sample_size": 128,
        "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "layers_per_block": 2,
        "transformer_layers_per_block": (1, 2, 10),
        "attention_head_dim": (5, 10, 20),
        "cross_attention_dim": 2048,
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
    "tiny": COMMON
    | {
        "sample_size": 16,
        "block_out_channels": (32, 64),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "layers_per_block": 1,
        "transformer_layers_per_block": (1, 2),
        "attention_head_dim": (2, 4),
        "cross_attention_dim": 64,
        "norm_num_groups": 8,
        "addition_time_embed_dim": 8,
        "projection_class_embeddings_input_dim": 80,
    },
}
VAES: dict[Scale, dict[str, Any]] = {
    "full": {"block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "norm_num_groups": 32},
    "tiny": {"block_out_channels": (16, 16, 32, 32), "layers_per_block": 1, "norm_num_groups": 8},
}
ENCODERS: dict[Scale, tuple[dict[str, Any], dict[str, Any]]] = {
    # 123 and 695 million weights: text_encoder/config.json and text_encoder_2/config.json, CLIP ViT-L/14 and OpenCLIP bigG/14.
    "full": (
        {
            "hidden_size": 768,
            "intermediate_size": 3072,
            "num_hidden_layers": 12,
            "num_attention_heads": 12,
            "hidden_act": "quick_gelu",
        },
        {
            "hidden_size": 1280,
            "intermediate_size": 5120,
            "num_hidden_layers": 32,
            "num_attention_heads": 20,
            "hidden_act": "gelu",
            "projection_dim": 1280,
        },
    ),
    "tiny": (
        {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2},
        {
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 3,
            "num_attention_heads": 2,
            "projection_dim": 32,
        },
    ),
}

RANKS: dict[Scale, int] = {"full": 256, "tiny": 8}


def random_base(scale: Scale, dtype: torch.dtype, seed: int = 0) -> SdxlBase:
    """SDXL-inpainting's networks in ``dtype``, filled with seeded noise of the size that keeps values in bounds."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(**UNETS[scale])
        vae = AutoencoderKL(
            latent_channels=4,
            scaling_factor=0.13025,
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            **VAES[scale],
        )
    schedule = DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False
    )
    noise = _Noise(seed)
    return SdxlBase(_filled(unet, dtype, noise), _filled(vae, torch.float32, noise), schedule)


class _Noise:
    """Seeded noise in any amount from one block of it, begun anywhere: drawing thousands of millions takes minutes."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)
        self._block = torch.randn(BLOCK, generator=self._generator)

    @torch.no_grad()
    def fill(self, tensor: Tensor, spread: float) -> Tensor:
        """Overwrite ``tensor`` with noise of standard deviation ``spread``."""
        start = int(torch.randint(BLOCK, (1,), generator=self._generator))
        turned = self._block.roll(start) * spread
        for part in tensor.view(-1).split(BLOCK):
            part.copy_(turned[: len(part)])
        return tensor


def _filled(network: Any, dtype: torch.dtype, noise: _Noise) -> Any:
    network = nn.Module.to(network, dtype).to_empty(device="cpu").requires_grad_(False)
    for name, parameter in network.named_parameters():
        if parameter.ndim > 1:
            noise.fill(parameter, 1 / math.sqrt(parameter[0].numel()))
        else:
            parameter.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.0)
    for name, buffer in network.named_buffers():
        if name.endswith("position_ids"):
            buffer.copy_(torch.arange(buffer.numel()).view_as(buffer))
    return network.eval()


def random_adapter(unet: Any, rank: int, dtype: torch.dtype, seed: int = 1) -> dict[str, Tensor]:
    """An adapter of phase 2 for ``unet`` in the published layout, of seeded noise."""
    noise, prefix = _Noise(seed), SDXL_LAYOUT.prefix
    tensors: dict[str, Tensor] = {}
    for name, layer in SDXL_LAYOUT.layers(unet).items():
        out, inner, *kernel = layer.weight.shape
        down = torch.empty(rank, inner, *kernel, dtype=dtype)
        up = torch.empty(out, rank, *(1 for _ in kernel), dtype=dtype)
        tensors[f"{prefix}{name}{DOWN}"] = noise.fill(down, 1 / math.sqrt(layer.weight[0].numel()))
        tensors[f"{prefix}{name}{UP}"] = noise.fill(up, 0.01)
    weight, bias = SDXL_LAYOUT.whole_names
    tensors[weight] = noise.fill(torch.empty(5, *unet.conv_out.weight.shape[1:], dtype=dtype), 0.01)
    tensors[bias] = torch.zeros(5, dtype=dtype)
    return tensors


def random_prompt(unet: Any) -> PromptEmbeddings:
    """Embeddings of the widths that ``unet`` takes, without any encoder."""
    generator, config = torch.Generator().manual_seed(2), unet.config
    pooled = config["projection_class_embeddings_input_dim"] - 6 * config["addition_time_embed_dim"]
    return PromptEmbeddings(
        torch.randn((1, WORDS, config["cross_attention_dim"]), generator=generator),
        torch.randn((1, pooled), generator=generator),
    )


def random_encoders(scale: Scale, seed: int = 2) -> tuple[Any, Any]:
    """SDXL's text encoders, in float32; ConfigError without transformers."""
    with torch.device("meta"):
        encoders = clip_encoders(*ENCODERS[scale])
    noise = _Noise(seed)
    first, second = (_filled(encoder, torch.float32, noise) for encoder in encoders)
    return first, second


@torch.no_grad()
def encode_random_words(encoders: tuple[Any, Any]) -> PromptEmbeddings:
    """What the encoders make of seeded words, as they do of the prompt."""
    generator = torch.Generator().manual_seed(3)
    numbers = torch.randint(1000, (1, WORDS), generator=generator)
    said = [encoder(numbers.to(encoder.device), output_hidden_states=True) for encoder in encoders]
    tokens = torch.cat([part.hidden_states[-2] for part in said], dim=-1)
    return PromptEmbeddings(tokens.float().cpu(), said[1][0].float().cpu())


def write_random_model(folder: Path, scale: Scale) -> Path:
    """A model folder (``removal/folder.py``) of random weights in float16, which runs like a published one; 7 GB at full size.

    OSError where it cannot be written, ConfigError without transformers.
    """
    prompt = encode_random_words(random_encoders(scale))
    folder.mkdir(parents=True, exist_ok=True)
    prompt.write(folder / MADE_PROMPT)
    base = random_base(scale, torch.float16)
    for part, name in ((base.unet, "unet"), (base.vae, "vae"), (base.scheduler, "scheduler")):
        part.save_pretrained(folder / BASE / name)
    shapes = nn.Module.to(base.unet, "meta")
    write_adapter(folder / "random_phase2.safetensors", random_adapter(shapes, RANKS[scale], torch.float16))
    return folder
