"""SDXL-inpainting as OSOR's backbone: what is loaded of the base, and one call of its UNet.

Convention: latents are scaled, float32 at the borders; the network may run in another precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from torch import Tensor

from osor_video.errors import WeightsError
from osor_video.removal.adapter import SDXL_LAYOUT
from osor_video.removal.base import check_base_name, load_part
from osor_video.removal.prompt import PromptEmbeddings
from osor_video.removal.step import add_noise, latent_mask, predict_x0

STRIDE = 8
WANTED_BASE = (
    "Give a folder with unet/, vae/ and scheduler/, or a name such as "
    "diffusers/stable-diffusion-xl-1.0-inpainting-0.1."
)


@dataclass(frozen=True, eq=False)
class SdxlBase:
    """The parts of an SDXL-inpainting base that a step needs, as they were published."""

    unet: Any
    vae: Any
    scheduler: Any

    @property
    def latent_channels(self) -> int:
        """C."""
        return int(self.vae.config["latent_channels"])

    @property
    def z0_limit(self) -> float | None:
        """Where the schedule clamps z0, as DDPM does at 1 unless its configuration has ``clip_sample`` false."""
        config = self.scheduler.config
        return float(config["clip_sample_range"]) if config["clip_sample"] else None


def load_base(base: str, dtype: torch.dtype | None = torch.float32, *, offline: bool = False) -> SdxlBase:
    """Load ``unet/`` in ``dtype`` (None: as stored), ``vae/`` in float32 and ``scheduler/`` of a folder or a name on the hub.

    WeightsError where a part cannot be read, or is not of an SDXL base made for inpainting.
    """
    check_base_name(base, WANTED_BASE)
    vae = load_part(AutoencoderKL, base, "vae", WANTED_BASE, offline=offline)
    found = SdxlBase(
        load_part(UNet2DConditionModel, base, "unet", WANTED_BASE, dtype, offline=offline),
        vae,
        load_schedule(base, offline=offline),
    )
    channels, config = found.latent_channels, found.unet.config
    is_sdxl = config["addition_embed_type"] == "text_time"
    if not is_sdxl or (config["in_channels"], config["out_channels"]) != (2 * channels + 1, channels):
        raise WeightsError(
            f"{base} is no SDXL inpainting base: its UNet takes {config['in_channels']} channels and gives "
            f"{config['out_channels']}, expected {2 * channels + 1} and {channels} with text and size conditions, as its "
            f"autoencoder has {channels} latent channels."
        )
    return found


def load_schedule(base: str, *, offline: bool = False) -> Any:
    """The betas of a base; it samples with another scheduler, but they are what counts here."""
    try:
        return DDPMScheduler.from_pretrained(base, subfolder="scheduler", local_files_only=offline)
    except (OSError, ValueError) as error:
        raise WeightsError(
            f"The base {base} cannot be read: {' '.join(str(error).split())} {WANTED_BASE}"
        ) from error


def check_prompt(prompt: PromptEmbeddings, config: Any) -> None:
    """WeightsError unless the embeddings have the widths that the UNet of ``config`` takes."""
    pooled = config["projection_class_embeddings_input_dim"] - 6 * config["addition_time_embed_dim"]
    expected = (config["cross_attention_dim"], pooled)
    found = (prompt.tokens.shape[-1], prompt.pooled.shape[-1])
    if found != expected:
        raise WeightsError(f"The prompt embeddings are {found} wide, and this base takes {expected}.")


class SdxlBackbone:
    """The UNet with its adapter, told the prompt and the picture's size."""

    layout = SDXL_LAYOUT
    multiple_px = 16
    raster_px, largest_px = 512, None

    def __init__(self, base: SdxlBase, prompt: PromptEmbeddings, timestep: int) -> None:
        check_prompt(prompt, base.unet.config)
        self.network = base.unet
        self.timestep = timestep
        self._channels = base.latent_channels
        self._abar = float(base.scheduler.alphas_cumprod[timestep])
        self._kind = base.scheduler.config["prediction_type"]
        self._z0_limit = base.z0_limit
        self._prompt = prompt

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move what is not the network's own."""
        self._prompt = self._prompt.to(device, dtype)
        self._dtype = dtype

    def mask_input(self, mask: Tensor) -> Tensor:
        """[B, 1, H, W] -> [B, 1, h, w]: any pixel of a cell masks it."""
        return latent_mask(mask, STRIDE)

    def add_noise(self, z: Tensor, eps: Tensor) -> Tensor:
        """z_t at the adapter's timestep."""
        return add_noise(z, eps, self._abar)

    def run(self, z_t: Tensor, masked: Tensor, z: Tensor) -> tuple[Tensor, Tensor | None]:
        """The network on ``[z_t, mask, z]``: its prediction [B, C, h, w] and alpha's logit [B, 1, h, w], None in phase 1."""
        inputs = torch.cat([z_t, masked, z], dim=1).to(self._dtype)
        size_hw = STRIDE * z.shape[-2], STRIDE * z.shape[-1]
        told = self._prompt.arguments(len(z), size_hw)
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        out = self.network(inputs, self.timestep, **told).sample.float()
        return out[:, : self._channels], out[:, self._channels :] if out.shape[1] > self._channels else None

    def predict_x0(self, z_t: Tensor, out: Tensor) -> Tensor:
        """The clean latent, clamped where the base's schedule says so."""
        z0 = predict_x0(z_t, out, self._abar, self._kind, z_t)
        return z0 if self._z0_limit is None else z0.clamp(-self._z0_limit, self._z0_limit)
