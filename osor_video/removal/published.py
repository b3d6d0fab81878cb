"""The published one-step removers: an SDXL or a FLUX base, OSOR's adapter, and the embeddings of the fixed prompt.

A model folder (``folder.py``) says where each lies. Both kinds run the same five steps: encode, add noise, one call of
the network, the clean latent it implies, blend with alpha, decode.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from osor_video.config import Switch
from osor_video.errors import WeightsError
from osor_video.removal import flux, sdxl
from osor_video.removal.adapter import (
    FLUX_LAYOUT,
    SDXL_LAYOUT,
    AdapterLayout,
    Tensors,
    attach_adapter,
    merge_adapter,
    read_adapter,
)
from osor_video.removal.coder import LatentCoder, load_tiny
from osor_video.removal.folder import ModelFolder
from osor_video.removal.prediction import Prediction
from osor_video.removal.prompt import PromptEmbeddings
from osor_video.removal.record import ModelRecord
from osor_video.removal.room import bytes_of, frames_that_fit, free_bytes, offloads
from osor_video.removal.step import SURE, blend, latent_mask

TIMESTEPS = {1: 600, 2: 400}
"""SDXL's by phase, of the base's schedule."""
CPU = torch.device("cpu")


class Backbone(Protocol):
    """What differs between the kinds."""

    layout: AdapterLayout
    multiple_px: int
    network: Any

    @property
    def raster_px(self) -> int:
        """Longer side of a crop, where nobody says another."""
        ...

    @property
    def largest_px(self) -> int | None:
        """Longest side that it takes."""
        ...

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move what is not the network's own."""
        ...

    def mask_input(self, mask: Tensor) -> Tensor:
        """The mask as the network takes it."""
        ...

    def add_noise(self, z: Tensor, eps: Tensor) -> Tensor:
        """z_t."""
        ...

    def run(self, z_t: Tensor, masked: Tensor, z: Tensor) -> tuple[Tensor, Tensor | None]:
        """The network's prediction and alpha's logit, None in phase 1."""
        ...

    def predict_x0(self, z_t: Tensor, out: Tensor) -> Tensor:
        """The clean latent that the prediction implies."""
        ...


@dataclass(frozen=True)
class Running:
    """How a published model runs: where, in which precision, and what is done to save memory or time."""

    device: torch.device = CPU
    dtype: torch.dtype = torch.float32
    merge: bool = True
    """Add the adapter to the base's weights at load; else it stays beside them (needs peft)."""
    compiled: bool = False
    """torch.compile the network: minutes at the first frame, then quicker on a GPU."""
    offload: Switch = "auto"
    """Keep the network in the computer's memory and bring its layers to the device when they are due."""
    tiling: Switch = "auto"
    tiny_vae: Path | str | None = None
    """A tiny autoencoder that decodes in the base's place, for previews."""


@dataclass(frozen=True)
class Steps:
    """Every intermediate of one step, each [B, ..., h, w] and float32, named as DESIGN's maths is."""

    z: Tensor
    mask_input: Tensor
    z_t: Tensor
    out: Tensor
    z0: Tensor
    alpha_logit: Tensor
    mask: Tensor

    @property
    def blended(self) -> Tensor:
        """sigmoid(a) z0 + (1 - sigmoid(a)) z."""
        return blend(self.z0, self.z, self.alpha_logit)


class PublishedModel:
    """A backbone with its adapter in place, and the base's autoencoder, on a device."""

    is_compact = False

    def __init__(self, backbone: Backbone, vae: Any, record: ModelRecord, running: Running) -> None:
        self.record = record
        self.device, self.dtype = running.device, running.dtype
        tiny = None
        if running.tiny_vae is not None:
            tiny = load_tiny(running.tiny_vae, record.latent_channels, offline=True)
        self.coder = LatentCoder(vae, running.device, running.dtype, running.tiling, tiny)
        self._backbone = backbone
        backbone.to(running.device, running.dtype)
        _place(backbone.network, running)

    def frames_together(self, raster_px: int) -> int:
        """A few frames of SDXL, on a GPU as its free memory allows; FLUX is busy enough with one."""
        if self._backbone.largest_px is not None:
            return 1
        return frames_that_fit(raster_px, self.dtype, free_bytes(self.device))

    def raster_limit_px(self) -> int | None:
        """1024 for FLUX."""
        return self._backbone.largest_px

    @torch.inference_mode()
    def encode(self, image: Tensor) -> Tensor:
        """[B, 3, H, W] in [0, 1] -> the scaled latent."""
        multiple = self.record.multiple_px
        if image.ndim != 4 or image.shape[1] != 3 or any(side % multiple for side in image.shape[-2:]):
            raise ValueError(
                f"expected [B, 3, H, W], sides in multiples of {multiple}, got {tuple(image.shape)}"
            )
        return self.coder.encode(image)

    @torch.inference_mode()
    def decode(self, z: Tensor) -> Tensor:
        """Scaled latents [B, C, h, w] -> [B, 3, 8h, 8w] in [0, 1]."""
        return self.coder.decode(z)

    def decode_onto(self, image: Tensor, z: Tensor, cells: Tensor) -> Tensor:
        """All of ``z`` decoded: these autoencoders look at the whole picture."""
        return self.decode(z)

    def predict(self, image: Tensor, mask: Tensor, eps: Tensor, *, effects: bool = True) -> Prediction:
        """One OSOR step; ``eps`` unit normal [B, C, h, w], or one tile [1, C, h, w] for all frames.

        All is found at once: ``effects`` change nothing.
        """
        steps = self.trace(image, mask, eps)
        return Prediction.complete(steps.z, mask, steps.mask, steps.alpha_logit, steps.z0)

    @torch.inference_mode()
    def trace(self, image: Tensor, mask: Tensor, eps: Tensor) -> Steps:
        """The same with everything on the way."""
        mask, eps = (tensor.to(self.device, torch.float32) for tensor in (mask, eps))
        z = self.encode(image)
        masked, cells = self._backbone.mask_input(mask), latent_mask(mask, self.record.stride)
        z_t = self._backbone.add_noise(z, eps)
        out, logit = self._backbone.run(z_t, masked, z)
        if logit is None:
            # Phase 1 has no alpha: the mask decides (a hard blend).
            logit = SURE * (2 * cells - 1)
        if not bool((out.sum() + logit.sum()).isfinite()):
            narrow = (
                f", or {str(self.dtype).removeprefix('torch.')} is too narrow for them; take --dtype float32"
            )
            raise WeightsError(
                f"The model {self.record.name} answers with values that are no numbers: its weights are damaged"
                f"{narrow if self.dtype != torch.float32 else ''}. Fetch its base again."
            )
        return Steps(z, masked, z_t, out, self._backbone.predict_x0(z_t, out), logit, cells)


def load_published(folder: ModelFolder, running: Running) -> PublishedModel:
    """Load a model folder; WeightsError names what is missing, damaged, or of another kind."""
    tensors = read_adapter(folder.adapter)
    prompt = folder.read_prompt(running.device)
    backbone, vae, phase, timestep = _adapted(folder, tensors, prompt, running)
    coder = vae.config
    record = ModelRecord(
        name=folder.name if phase == 2 else f"{folder.name} (phase 1: no alpha, the mask decides)",
        licence=folder.licence,
        timestep=timestep,
        prediction_type="epsilon",
        latent_channels=int(coder["latent_channels"]),
        latent_scale=float(coder["scaling_factor"]),
        latent_shift=float(coder.get("shift_factor") or 0.0),
        stride=sdxl.STRIDE,
        multiple_px=backbone.multiple_px,
        raster_px=backbone.raster_px,
        made={"base": folder.base, "adapter": folder.adapter.name, "phase": phase},
    )
    return PublishedModel(backbone, vae, record, running)


def _adapted(
    folder: ModelFolder, tensors: Tensors, prompt: PromptEmbeddings, running: Running
) -> tuple[Backbone, Any, int, int]:
    """The backbone with the adapter, the autoencoder, the adapter's phase and timestep.

    Weights stay in their file until the adapter is added to them: full size in float32 would not fit most computers.
    """
    origin = f"The adapter {folder.adapter}"
    take = partial(merge_adapter, dtype=running.dtype) if running.merge else attach_adapter
    if folder.kind == "flux":
        base = flux.load_base(folder.base, None, offline=True)
        if FLUX_LAYOUT.phase(tensors, base.latent_channels, origin) == 1:
            raise WeightsError(
                f"{origin} is of phase 1: it has no alpha, and at which time of FLUX's path it was trained is not "
                "published. Take fluxfill_phase2.pth."
            )
        take(base.transformer, tensors, FLUX_LAYOUT, origin)
        return flux.FluxBackbone(base, prompt), base.vae, 2, round(1000 * flux.TIME)
    sdxl_base = sdxl.load_base(folder.base, None, offline=True)
    phase = SDXL_LAYOUT.phase(tensors, sdxl_base.latent_channels, origin)
    timestep = folder.timestep(phase) or TIMESTEPS[phase]
    take(sdxl_base.unet, tensors, SDXL_LAYOUT, origin)
    return sdxl.SdxlBackbone(sdxl_base, prompt, timestep), sdxl_base.vae, phase, timestep


def _place(network: Any, running: Running) -> None:
    """Bring the network to its device and precision, or prepare it to come block by block."""
    network.eval().requires_grad_(False)
    # torch's own way: that of diffusers warns of layers it would rather see loaded in float32, of which there are none.
    nn.Module.to(network, dtype=running.dtype, memory_format=torch.channels_last)
    weights = bytes_of(network, running.dtype)
    if offloads(running.offload, running.device, weights, free_bytes(running.device)):
        network.enable_group_offload(
            onload_device=running.device,
            offload_device=torch.device("cpu"),
            offload_type="leaf_level",
            use_stream=running.device.type == "cuda",
        )
    else:
        nn.Module.to(network, running.device)
    if running.compiled:
        network.compile()
