"""diffusers' autoencoders between pictures and scaled latents, with an eye on memory."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any

import torch
from diffusers import AutoencoderTiny
from torch import Tensor, nn

from osor_video.config import Switch
from osor_video.errors import WeightsError
from osor_video.removal.base import load_part
from osor_video.removal.room import free_bytes, pictures_that_fit, tiles

TILE_PX = 512
"""Side of a tile, at most."""


class LatentCoder:
    """An AutoencoderKL whose posterior's mode is the latent; a tiny autoencoder may decode in its place.

    As many pictures pass through it together as free memory allows, on a processor one; where even one is too much it
    works in tiles, whose seams are blended. Pictures may be decoded from several threads.
    """

    def __init__(
        self, vae: Any, device: torch.device, dtype: torch.dtype, tiling: Switch = "auto", tiny: Any = None
    ) -> None:
        config = vae.config
        self.latent_channels = int(config["latent_channels"])
        self.scale = float(config["scaling_factor"])
        self.shift = float(config.get("shift_factor") or 0.0)
        # SDXL's autoencoder overflows in half precision, not in bfloat16.
        overflows = dtype == torch.float16 and config.get("force_upcast", True)
        self.dtype = torch.float32 if overflows else dtype
        if vae.tile_sample_min_size > TILE_PX:
            # Its own tiles are as large as any crop, so that nothing would ever be cut.
            vae.tile_sample_min_size, vae.tile_latent_min_size = TILE_PX, TILE_PX // 8
        self._vae = nn.Module.to(vae, device, self.dtype, memory_format=torch.channels_last).eval()
        self._tiny = None if tiny is None else nn.Module.to(tiny, device, self.dtype).eval()
        self._device, self._tiling, self._lock = device, tiling, Lock()

    @property
    def decodes_in_full(self) -> bool:
        """Whether the base's own decoder is in use."""
        return self._tiny is None

    def encode(self, image: Tensor) -> Tensor:
        """[B, 3, H, W] in [0, 1] -> z [B, C, h, w], float32."""
        with self._lock:
            together = self._prepare(image.shape[-2] * image.shape[-1])
            modes = [self._mode(some) for some in image.split(together)]
        return (torch.cat(modes).float() - self.shift) * self.scale

    def decode(self, z: Tensor) -> Tensor:
        """z [B, C, h, w] -> [B, 3, 8h, 8w] in [0, 1], float32."""
        return (self.decode_raw(z) * 0.5 + 0.5).clamp(0, 1)

    def decode_raw(self, z: Tensor) -> Tensor:
        """The same as the decoder says it: about [-1, 1], not yet clamped."""
        z = z.to(self._device, torch.float32)
        with self._lock:
            if self._tiny is not None:
                # Tiny autoencoders are made for latents as the network sees them, scaled.
                pictures = [self._tiny.decode(one.to(self.dtype)).sample for one in z.split(1)]
            else:
                together = self._prepare(64 * z.shape[-2] * z.shape[-1])
                modes = (z / self.scale + self.shift).to(self.dtype).split(together)
                pictures = [self._vae.decode(_last(one)).sample for one in modes]
        return torch.cat(pictures).float()

    def _mode(self, image: Tensor) -> Tensor:
        pixels = image.to(self._device, torch.float32) * 2 - 1
        mode: Tensor = self._vae.encode(_last(pixels.to(self.dtype))).latent_dist.mode()
        return mode

    def _prepare(self, pixels: int) -> int:
        """Choose tiles or none for pictures of so many pixels; returns how many may pass together."""
        free = free_bytes(self._device)
        tiled = tiles(self._tiling, pixels, self.dtype, free)
        if tiled != bool(self._vae.use_tiling):
            (self._vae.enable_tiling if tiled else self._vae.disable_tiling)()
        return 1 if tiled else pictures_that_fit(pixels, self.dtype, free)


def load_tiny(source: Path | str, latent_channels: int, *, offline: bool = False) -> Any:
    """A tiny autoencoder, a folder or a name on the hub such as madebyollin/taesdxl; WeightsError where it does not fit."""
    tiny = load_part(
        AutoencoderTiny, str(source), "", "Give the folder of an AutoencoderTiny.", offline=offline
    )
    found = int(tiny.config["latent_channels"])
    if found != latent_channels:
        raise WeightsError(
            f"The tiny autoencoder {source} has {found} latent channels, and this model {latent_channels}. "
            "taesdxl is made for SDXL, taef1 for FLUX."
        )
    return tiny


def _last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last)
