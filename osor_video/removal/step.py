"""The maths of one OSOR step, shared by every backbone (OSOR, arXiv 2606.28094; DDPM, arXiv 2006.11239).

Convention: ``z`` [B, C, h, w] scaled latents, ``abar`` the cumulative product of 1 - beta at the timestep,
``mask`` [B, 1, H, W] of zeros and ones.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from osor_video.removal.record import PredictionType


def latent_mask(mask: Tensor, stride: int) -> Tensor:
    """[B, 1, H, W] -> [B, 1, h, w]: a latent cell is masked when any of its pixels is (max pooling)."""
    if mask.shape[-2] % stride or mask.shape[-1] % stride:
        raise ValueError(f"mask sides must be multiples of {stride}, got {tuple(mask.shape[-2:])}")
    return F.max_pool2d(mask, kernel_size=stride, stride=stride)


def noise_tile(seed: int, channels: int, size_hw: tuple[int, int]) -> Tensor:
    """Unit normal noise [1, C, h, w] that depends on the arguments alone: one tile serves a whole shot."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((1, channels, *size_hw), generator=generator)


def add_noise(z: Tensor, eps: Tensor, abar: float) -> Tensor:
    """z_t = sqrt(abar) z + sqrt(1 - abar) eps (DDPM, eq. 4)."""
    return math.sqrt(abar) * z + math.sqrt(1 - abar) * eps


def predict_x0(z_t: Tensor, out: Tensor, abar: float, prediction_type: PredictionType) -> Tensor:
    """The clean latent that a model's output implies.

    epsilon:       z0 = (z_t - sqrt(1 - abar) out) / sqrt(abar)      (DDPM, eq. 15)
    v_prediction:  z0 = sqrt(abar) z_t - sqrt(1 - abar) out          (arXiv 2202.00512, appendix D)
    sample:        z0 = out
    """
    if prediction_type == "sample":
        return out
    signal, noise = math.sqrt(abar), math.sqrt(1 - abar)
    if prediction_type == "epsilon":
        return (z_t - noise * out) / signal
    return signal * z_t - noise * out


def blend(z0: Tensor, z: Tensor, alpha_logit: Tensor) -> Tensor:
    """z_out = alpha z0 + (1 - alpha) z with alpha = sigmoid(alpha_logit) [B, 1, h, w] (OSOR, phase 2)."""
    alpha = alpha_logit.sigmoid()
    return alpha * z0 + (1 - alpha) * z
