"""SAM2's video model from the real classes at tiny size, seeded, in the layout of the published ones."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import (
    Sam2ImageProcessor,
    Sam2VideoConfig,
    Sam2VideoModel,
    Sam2VideoProcessor,
    Sam2VideoVideoProcessor,
)

SIDE = 64
"""Pixels of the square that a picture is brought to; 1024 in the published models."""
WIDTH = 128
"""transformers takes the memory to be 64 channels wide whatever the configuration says, and the rest a multiple of it."""


def tiny_sam2(folder: Path, seed: int = 0, *, presence: float = 4.0, quality: float = 4.0) -> Path:
    """Save a model of 0.1 million parameters at ``folder``; ``presence`` and ``quality`` are logits its two opinions lean to."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Sam2VideoModel(_config())
    with torch.no_grad():
        model.mask_decoder.pred_obj_score_head.proj_out.bias.fill_(presence)
        model.mask_decoder.iou_prediction_head.proj_out.bias.fill_(quality)
    model.save_pretrained(folder)
    size = {"height": SIDE, "width": SIDE}
    processor = Sam2VideoProcessor(Sam2ImageProcessor(size=size), Sam2VideoVideoProcessor(size=size))
    processor.save_pretrained(folder)
    return folder


def _config() -> Sam2VideoConfig:
    """All stages of Hiera and all parts of the memory; a frame attends to 3 masks and 5 pointers."""
    backbone = {
        "hidden_size": 8,
        "image_size": [SIDE, SIDE],
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 1, 2, 2],
        "window_size_per_stage": [4, 4, 4, 2],
        "global_attention_blocks": [3],
        "model_type": "sam2_hiera_det_model",
    }
    vision = {
        "backbone_config": backbone,
        "backbone_channel_list": [64, 32, 16, 8],
        "backbone_feature_sizes": [[SIDE // 4] * 2, [SIDE // 8] * 2, [SIDE // 16] * 2],
        "fpn_hidden_size": WIDTH,
        "model_type": "sam2_vision_model",
    }
    return Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": WIDTH, "image_size": SIDE, "mask_input_channels": 4},
        mask_decoder_config={
            "hidden_size": WIDTH,
            "mlp_dim": 32,
            "num_attention_heads": 2,
            "iou_head_hidden_dim": 16,
        },
        image_size=SIDE,
        num_maskmem=3,
        max_object_pointers_in_encoder=5,
        memory_attention_hidden_size=WIDTH,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=32,
        memory_attention_rope_feat_sizes=[SIDE // 16] * 2,
        memory_encoder_hidden_size=WIDTH,
        memory_encoder_output_channels=64,
        mask_downsampler_embed_dim=WIDTH,
        memory_fuser_num_layers=1,
        memory_fuser_embed_dim=WIDTH,
        memory_fuser_intermediate_dim=32,
    )
