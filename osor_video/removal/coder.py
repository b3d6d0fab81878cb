"""diffusers' autoencoders between pictures and scaled latents, with an eye on memory."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import Any, Literal

import torch
from diffusers import AutoencoderTiny
from torch import Tensor, nn

from osor_video.errors import WeightsError
from osor_video.removal.base import load_part

BYTES_PER_PX = 7600
"""Of SDXL's decoder in float32 at its widest, for each pixel of the picture."""
SHARE_OF_FREE = 0.8
Tiling = Literal["auto", "on", "off"]


class LatentCoder:
    """An AutoencoderKL whose posterior's mode is the latent; a tiny autoencoder may decode in its place.

    One picture at a time passes through it, so that a batch costs no more memory than a frame; where even that is
    too much it works in tiles, whose seams are blended. Pictures may be decoded from several threads.
    """

    def __init__(
        self, vae: Any, device: torch.device, dtype: torch.dtype, tiling: Tiling = "auto", tiny: Any = None
    ) -> None:
        config = vae.config
        self.latent_channels = int(config["latent_channels"])
        self.scale = float(config["scaling_factor"])
        self.shift = float(config.get("shift_factor") or 0.0)
        # SDXL's autoencoder overflows in half precision, not in bfloat16.
        overflows = dtype == torch.float16 and config.get("force_upcast", True)
        self.dtype = torch.float32 if overflows else dtype
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
            self._choose_tiling(image.shape[-2] * image.shape[-1])
            modes = [self._mode(one) for one in image.split(1)]
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
                self._choose_tiling(64 * z.shape[-2] * z.shape[-1])
                modes = (z / self.scale + self.shift).to(self.dtype).split(1)
                pictures = [self._vae.decode(_last(one)).sample for one in modes]
        return torch.cat(pictures).float()

    def _mode(self, image: Tensor) -> Tensor:
        pixels = image.to(self._device, torch.float32) * 2 - 1
        mode: Tensor = self._vae.encode(_last(pixels.to(self.dtype))).latent_dist.mode()
        return mode

    def _choose_tiling(self, pixels: int) -> None:
        if self._tiling == "auto":
            wanted = pixels * BYTES_PER_PX * self.dtype.itemsize // 4
            tiled = self._device.type == "cuda" and wanted > SHARE_OF_FREE * free_bytes(self._device)
        else:
            tiled = self._tiling == "on"
        if tiled != bool(self._vae.use_tiling):
            (self._vae.enable_tiling if tiled else self._vae.disable_tiling)()


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


def free_bytes(device: torch.device) -> int:
    """Memory of a CUDA device that is free, or held by torch and unused."""
    free, _ = torch.cuda.mem_get_info(device)
    held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(free + held)


def _last(tensor: Tensor) -> Tensor:
    return tensor.contiguous(memory_format=torch.channels_last)
