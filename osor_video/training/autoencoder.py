"""Training of the compact autoencoder on crops of photographs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from osor_video.removal.model import build_autoencoder
from osor_video.tensors import Picture
from osor_video.training.config import AutoencoderConfig
from osor_video.training.loop import TrainingRun
from osor_video.training.losses import gradient_l1, normal_kl, psnr_db
from osor_video.training.photos import list_photos, random_crop, read_photo, split_photos


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
    network: Any, pictures: Tensor, noise: Tensor, config: AutoencoderConfig
) -> tuple[Tensor, dict[str, float]]:
    """|x - y| + g gradient(x, y) + k KL, where y decodes mean + exp(log_variance / 2) noise."""
    posterior = network.encode(pictures * 2 - 1).latent_dist
    z = posterior.mean + posterior.std * noise
    decoded = network.decode(z).sample * 0.5 + 0.5
    l1 = F.l1_loss(decoded, pictures)
    gradient = gradient_l1(decoded, pictures)
    kl = normal_kl(posterior.mean, posterior.logvar)
    loss = l1 + config.gradient_weight * gradient + config.kl_weight * kl
    figures = {
        "l1": float(l1.detach()),
        "kl": float(kl.detach()),
        "psnr_db": psnr_db(decoded.detach(), pictures),
    }
    return loss, figures


def train_autoencoder(config: AutoencoderConfig, photos_folder: Path, out: Path) -> nn.Module:
    """Train (or go on training) in ``out``; returns the averaged autoencoder."""
    torch.set_num_threads(config.loop.threads)
    torch.manual_seed(config.loop.seed)
    photos, _ = split_photos(list_photos(photos_folder))
    network = build_autoencoder(config.architecture)
    if config.freeze_encoder:
        network.encoder.requires_grad_(False)
        network.quant_conv.requires_grad_(False)
    run = TrainingRun(network, config.loop, out)
    run.resume()
    cells = config.crop_px // 8

    def step_loss(module: nn.Module, step: int) -> tuple[Tensor, dict[str, float]]:
        generator = torch.Generator().manual_seed(config.loop.seed * 1_000_003 + step)
        shape = (config.loop.batch, config.architecture.latent_channels, cells, cells)
        noise = torch.randn(shape, generator=generator)
        return reconstruction_loss(module, sample_crops(photos, config, step), noise, config)

    run.run(step_loss)
    return run.averaged
