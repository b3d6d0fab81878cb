"""The one place that says how pictures, masks and flows are laid out, and converts between the forms.

Convention:
    * At the borders of the library: ``frames`` are uint8 ``[T, H, W, 3]`` RGB, a ``mask`` is bool ``[H, W]`` or
      ``[T, H, W]``, True = remove. Inside models pictures are float32 ``[B, 3, H, W]`` in [0, 1].
    * Letters: T time, B batch, C channels, H W pixels, h w latent cells. Order is always (height, width).
    * ``flow`` is float32 ``[B, 2, H, W]`` in pixels of the grid it lives on, channel 0 = x to the right, 1 = y down.
      ``flow_fw[t]`` lives on frame t and points to t+1; ``flow_bw[t]`` lives on t+1 and points to t. Warping is
      backward: to carry content from t to t+1, sample frame t through ``flow_bw[t]``.
    * Three words, never mixed: ``mask`` (bool, the hole), ``alpha`` (float in [0, 1], 1 = replaced) and
      ``confidence`` (float in [0, 1], 1 = trusted).
    * Latents begin with ``z_`` and are already scaled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

Picture = npt.NDArray[np.uint8]
"""uint8 [H, W, 3] RGB."""
Mask = npt.NDArray[np.bool_]
"""bool [H, W], True = remove."""
FloatMap = npt.NDArray[np.float32]
"""float32 [H, W] or [H, W, C]."""


def to_uint8(values: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint8]:
    """Round, then clamp: float in [0, 1] of any shape -> uint8 of the same shape."""
    return np.asarray(np.clip(np.rint(values * 255.0), 0, 255), dtype=np.uint8)


def picture_to_tensor(picture: Picture) -> Tensor:
    """uint8 [H, W, 3] -> float32 [1, 3, H, W] in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float() / 255.0


def tensor_to_picture(tensor: Tensor) -> Picture:
    """float [1, 3, H, W] in [0, 1] -> uint8 [H, W, 3]."""
    return to_uint8(tensor[0].permute(1, 2, 0).float().cpu().numpy())


def mask_to_tensor(mask: Mask) -> Tensor:
    """bool [H, W] -> float32 [1, 1, H, W] of zeros and ones."""
    return torch.from_numpy(np.ascontiguousarray(mask))[None, None].float()


def resize_flow(flow: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Bilinear resize of a flow [B, 2, H, W] to ``size_hw``; the vectors are rescaled to pixels of the new grid."""
    scale = flow.new_tensor([size_hw[1] / flow.shape[-1], size_hw[0] / flow.shape[-2]]).view(1, 2, 1, 1)
    return F.interpolate(flow, size=size_hw, mode="bilinear", align_corners=False) * scale


def load_tensors(path: Path) -> Any:
    """What a ``.safetensors`` file, or a ``.pth`` or ``.pt`` of plain tensors, holds; the libraries' own errors."""
    if path.suffix == ".safetensors":
        return load_file(path)
    return torch.load(path, map_location="cpu", weights_only=True)
