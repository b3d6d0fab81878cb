"""The real classes at tiny size, seeded: the same parts as the bundled model, small enough for a test."""

from __future__ import annotations

from pathlib import Path

import torch

from osor_video.removal.model import OsorModel, build_autoencoder, build_unet, save_model
from osor_video.removal.record import Architecture, ModelRecord

TINY = Architecture(
    latent_channels=4,
    decoder_width=8,
    decoder_blocks=1,
    finish_width=4,
    finish_blocks=1,
    unet_channels=(8, 8, 16, 16),
    unet_head_dim=8,
    unet_norm_groups=4,
)

TINY_RECORD = ModelRecord(
    name="tiny",
    licence="Apache-2.0",
    timestep=400,
    prediction_type="v_prediction",
    latent_channels=4,
    latent_scale=1.0,
    stride=8,
    multiple_px=64,
    raster_px=64,
    made={"how": "random weights, for tests"},
)


def tiny_model(folder: Path, seed: int = 0) -> OsorModel:
    """Save a random model folder of a few kilobytes at ``folder`` and load it back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        save_model(folder, TINY_RECORD, build_autoencoder(TINY), build_unet(TINY), torch.float16)
    return OsorModel.from_folder(folder)
