"""Training of the compact autoencoder on crops of photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from osor_video.removal.autoencoder import PatchAutoencoder
from osor_video.removal.model import build_autoencoder
from osor_video.report import Progress, silent
from osor_video.tensors import Picture
from osor_video.training.config import AutoencoderConfig
from osor_video.training.loop import TrainingRun
from osor_video.training.losses import gradient_l1, psnr_db
from osor_video.training.photos import list_photos, random_crop, read_photo, split_photos
from osor_video.training.principal import principal_components, sample_patches


def pictures_to_batch(pictures: list[Picture]) -> Tensor:
    """Equal uint8 pictures [H, W, 3] -> float32 [B, 3, H, W] in [0, 1]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous().float() / 255.0


def sample_crops(photos: list[Path], config: AutoencoderConfig, step: int) -> Tensor:
    """The crops of one step: a function of the seed and the step number alone."""
    random = np.random.default_rng([config.loop.seed, step])
    chosen = random.integers(len(photos), size=config.loop.batch)
    crops = [
        random_crop(read_photo(photos[i]), config.crop_px, config.widest_crop_px, random) for i in chosen
    ]
    return pictures_to_batch(crops)


def reconstruction_loss(
    network: Any, pictures: Tensor, gradient_weight: float
) -> tuple[Tensor, dict[str, float]]:
    """mean |x - y| + g gradient(x, y), where y decodes the latent of x."""
    decoded = network.decode(network.encode(pictures * 2 - 1)) * 0.5 + 0.5
    l1 = F.l1_loss(decoded, pictures)
    loss = l1 + gradient_weight * gradient_l1(decoded, pictures)
    return loss, {"l1": float(l1.detach()), "psnr_db": psnr_db(decoded.detach(), pictures)}


def first_autoencoder(config: AutoencoderConfig, photos: list[Path]) -> PatchAutoencoder:
    """A fresh autoencoder whose linear part is the principal components of the photographs' patches."""
    torch.manual_seed(config.loop.seed)
    network = build_autoencoder(config.architecture)
    patches = sample_patches(photos, config.patches, config.widest_crop_px, config.loop.seed)
    network.set_components(*principal_components(patches, config.architecture.latent_channels))
    network.encoder.requires_grad_(config.train_encoder)
    network.to(config.loop.device, memory_format=torch.channels_last)
    return network


def train_autoencoder(
    config: AutoencoderConfig, photos_folder: Path, out: Path, progress: Progress = silent
) -> nn.Module:
    """Train (or go on training) in ``out``; returns the averaged autoencoder."""
    torch.set_num_threads(config.loop.threads)
    photos, _ = split_photos(list_photos(photos_folder))
    run = TrainingRun(first_autoencoder(config, photos), config.loop, out)
    run.resume()

    def step_loss(module: nn.Module, step: int) -> tuple[Tensor, dict[str, float]]:
        pictures = sample_crops(photos, config, step).to(config.loop.device)
        return reconstruction_loss(module, pictures, config.gradient_weight)

    run.run(step_loss, progress)
    return run.averaged
