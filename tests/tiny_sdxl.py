"""An SDXL-inpainting base from the real classes at tiny size, seeded, in the layout of the published one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    StableDiffusionXLInpaintPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

WIDTH, POOLED = 16, 8
"""Width of both encoders' tokens side by side, and of the second's summary."""


def tiny_sdxl(folder: Path, seed: int = 0) -> Path:
    """Save a base of 0.3 million parameters with all its parts at ``folder``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pipeline = StableDiffusionXLInpaintPipeline(
            vae=tiny_vae(),
            text_encoder=CLIPTextModel(CLIPTextConfig(**text_sizes())),
            text_encoder_2=CLIPTextModelWithProjection(CLIPTextConfig(**text_sizes(projection_dim=POOLED))),
            tokenizer=letters_tokenizer(),
            tokenizer_2=letters_tokenizer(),
            unet=tiny_unet(),
            scheduler=EulerDiscreteScheduler(
                beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear"
            ),
            add_watermarker=False,
        )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.save_pretrained(folder)
    return folder


def tiny_unet(**changes: Any) -> Any:
    """SDXL's UNet with two levels: every kind of layer that an adapter changes, both kinds of condition."""
    sizes = {
        "in_channels": 9,
        "out_channels": 4,
        "sample_size": 16,
        "block_out_channels": (8, 16),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "layers_per_block": 1,
        "transformer_layers_per_block": (1, 2),
        "attention_head_dim": (1, 2),
        "cross_attention_dim": WIDTH,
        "norm_num_groups": 4,
        "use_linear_projection": True,
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 4,
        "projection_class_embeddings_input_dim": POOLED + 6 * 4,
    }
    return UNet2DConditionModel(**(sizes | changes))


def tiny_vae() -> Any:
    """SDXL's autoencoder: stride 8, four latent channels."""
    return AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=4,
        layers_per_block=1,
        sample_size=64,
        scaling_factor=0.13025,
    )


def text_sizes(**changes: Any) -> dict[str, Any]:
    """Of one of CLIP's text encoders."""
    sizes = {
        "vocab_size": 64,
        "hidden_size": WIDTH // 2,
        "intermediate_size": 16,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "max_position_embeddings": 77,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": 1,
    }
    return sizes | changes


def letters_tokenizer() -> Any:
    """Single letters, alone and at the end of a word."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    names = ["<|startoftext|>", "<|endoftext|>", *letters, *(f"{letter}</w>" for letter in letters)]
    return CLIPTokenizer(
        vocab={name: number for number, name in enumerate(names)}, merges=[], model_max_length=77
    )
