"""A FLUX-Fill base from the real classes at tiny size, seeded, in the layout of the published one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel
from tokenizers import Tokenizer
from tokenizers.models import Unigram
from transformers import CLIPTextConfig, CLIPTextModel, PreTrainedTokenizerFast, T5Config, T5EncoderModel

from tests.tiny_sdxl import letters_tokenizer, text_sizes

WIDTH, POOLED = 8, 8
"""Width of T5's tokens, and of CLIP's summary."""


def tiny_flux(folder: Path, seed: int = 0) -> Path:
    """Save a base with all its parts at ``folder``."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        tiny_transformer().save_pretrained(folder / "transformer")
        tiny_flux_vae().save_pretrained(folder / "vae")
        CLIPTextModel(CLIPTextConfig(**text_sizes())).save_pretrained(folder / "text_encoder")
        letters_tokenizer().save_pretrained(folder / "tokenizer")
        _t5().save_pretrained(folder / "text_encoder_2")
        _t5_tokenizer().save_pretrained(folder / "tokenizer_2")
    return folder


def tiny_transformer(**changes: Any) -> Any:
    """FLUX's transformer with one block of each kind; 16 latent channels, 2 x 2 cells a token."""
    sizes = {
        "in_channels": 384,
        "out_channels": 64,
        "num_layers": 1,
        "num_single_layers": 1,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "joint_attention_dim": WIDTH,
        "pooled_projection_dim": POOLED,
        "guidance_embeds": True,
        "axes_dims_rope": (4, 6, 6),
    }
    return FluxTransformer2DModel(**(sizes | changes))


def tiny_flux_vae() -> Any:
    """FLUX's autoencoder: stride 8, sixteen latent channels, shifted."""
    return AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=16,
        norm_num_groups=4,
        layers_per_block=1,
        sample_size=64,
        scaling_factor=0.3611,
        shift_factor=0.1159,
        use_quant_conv=False,
        use_post_quant_conv=False,
    )


def _t5() -> Any:
    return T5EncoderModel(
        T5Config(
            vocab_size=64, d_model=WIDTH, d_kv=4, d_ff=16, num_layers=2, num_heads=2, decoder_start_token_id=0
        )
    )


def _t5_tokenizer() -> Any:
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((letter, -1.0) for letter in letters)]
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(Unigram(vocabulary, unk_id=2)),
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
    )
