"""FLUX-Fill as OSOR's backbone: 2 x 2 latent cells a token, a straight path from the latent to noise.

The base is black-forest-labs/FLUX.1-Fill-dev, whose licence allows no commercial use.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKL, FluxTransformer2DModel
from torch import Tensor
from torch.nn import functional as F

from osor_video.errors import WeightsError
from osor_video.removal.adapter import FLUX_LAYOUT
from osor_video.removal.base import check_base_name, load_part
from osor_video.removal.prompt import PromptEmbeddings
from osor_video.removal.step import interpolate_noise, predict_x0_from_velocity

STRIDE = 8
TIME, GUIDANCE = 0.4, 30.0
WANTED_BASE = "Give a folder with transformer/ and vae/, such as black-forest-labs/FLUX.1-Fill-dev has."


@dataclass(frozen=True, eq=False)
class FluxBase:
    """The parts of a FLUX-Fill base that a step needs."""

    transformer: Any
    vae: Any

    @property
    def latent_channels(self) -> int:
        """C."""
        return int(self.vae.config["latent_channels"])


def load_base(base: str, dtype: torch.dtype | None = torch.float32, *, offline: bool = False) -> FluxBase:
    """Load ``transformer/`` in ``dtype`` (None: as stored) and ``vae/`` in float32; WeightsError as for SDXL."""
    check_base_name(base, WANTED_BASE)
    vae = load_part(AutoencoderKL, base, "vae", WANTED_BASE, offline=offline)
    transformer = load_part(FluxTransformer2DModel, base, "transformer", WANTED_BASE, dtype, offline=offline)
    found = FluxBase(transformer, vae)
    tokens, config = 4 * found.latent_channels, transformer.config
    takes, gives = config["in_channels"], config["out_channels"] or config["in_channels"]
    if (takes, gives) != (2 * tokens + 4 * STRIDE**2, tokens):
        raise WeightsError(
            f"{base} is no FLUX-Fill base: its transformer takes {takes} channels and gives {gives}, expected "
            f"{2 * tokens + 4 * STRIDE**2} and {tokens}."
        )
    return found


def pack(cells: Tensor) -> Tensor:
    """[B, C, h, w] -> tokens [B, h/2 w/2, 4 C]: each holds 2 x 2 cells, channel by channel."""
    return F.pixel_unshuffle(cells, 2).flatten(2).transpose(1, 2)


def unpack(tokens: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """The inverse of ``pack`` for ``size_hw`` = (h, w) cells."""
    rows, columns = size_hw[0] // 2, size_hw[1] // 2
    return F.pixel_shuffle(tokens.transpose(1, 2).unflatten(2, (rows, columns)), 2)


class FluxBackbone:
    """The transformer with its adapter, told the prompt, the guidance and each token's place."""

    layout = FLUX_LAYOUT
    multiple_px = 16
    raster_px = largest_px = 1024

    def __init__(self, base: FluxBase, prompt: PromptEmbeddings) -> None:
        config = base.transformer.config
        expected = (config["joint_attention_dim"], config["pooled_projection_dim"])
        found = (prompt.tokens.shape[-1], prompt.pooled.shape[-1])
        if found != expected:
            raise WeightsError(f"The prompt embeddings are {found} wide, and this base takes {expected}.")
        self.network = base.transformer
        self._channels = base.latent_channels
        self._guided = bool(config["guidance_embeds"])
        self._prompt = prompt

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move what is not the network's own."""
        self._prompt = self._prompt.to(device, dtype)
        self._dtype = dtype

    def mask_input(self, mask: Tensor) -> Tensor:
        """[B, 1, H, W] -> [B, 64, h, w]: every pixel of a cell has a channel of its own."""
        return F.pixel_unshuffle(mask, STRIDE)

    def add_noise(self, z: Tensor, eps: Tensor) -> Tensor:
        """z_t at t = 0.4."""
        return interpolate_noise(z, eps, TIME)

    def run(self, z_t: Tensor, masked: Tensor, z: Tensor) -> tuple[Tensor, Tensor | None]:
        """The network on tokens ``[z_t, z, mask]``: the velocity [B, C, h, w] and alpha's logit [B, 1, h, w]."""
        size_hw = z.shape[-2], z.shape[-1]
        tokens = torch.cat([pack(z_t), pack(z), pack(masked)], dim=2).to(self._dtype)
        batch = len(z)
        out = self.network(
            hidden_states=tokens,
            timestep=tokens.new_full((batch,), TIME),
            guidance=tokens.new_full((batch,), GUIDANCE) if self._guided else None,
            encoder_hidden_states=self._prompt.tokens.expand(batch, -1, -1),
            pooled_projections=self._prompt.pooled.expand(batch, -1),
            txt_ids=tokens.new_zeros((self._prompt.tokens.shape[1], 3)),
            img_ids=_places(size_hw, tokens),
            return_dict=False,
        )[0].float()
        velocity, alpha = out[..., : 4 * self._channels], out[..., 4 * self._channels :]
        return unpack(velocity, size_hw), unpack(alpha, size_hw) if alpha.shape[-1] else None

    def predict_x0(self, z_t: Tensor, out: Tensor) -> Tensor:
        """The clean latent that the velocity points back to."""
        return predict_x0_from_velocity(z_t, out, TIME)


def _places(size_hw: tuple[int, int], like: Tensor) -> Tensor:
    """(0, row, column) of each token, [h/2 w/2, 3]; what the rotary embedding turns by."""
    rows, columns = size_hw[0] // 2, size_hw[1] // 2
    places = torch.zeros(rows, columns, 3)
    places[..., 1], places[..., 2] = torch.arange(rows)[:, None], torch.arange(columns)[None]
    return places.view(-1, 3).to(like.device)
