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

import warnings
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from osor_video.errors import WeightsError

Picture = npt.NDArray[np.uint8]
"""uint8 [H, W, 3] RGB."""
Mask = npt.NDArray[np.bool_]
"""bool [H, W], True = remove."""
FloatMap = npt.NDArray[np.float32]
"""float32 [H, W] or [H, W, C]."""


def to_uint8(values: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.uint8]:
    """Round, then clamp: float in [0, 1] of any shape -> uint8 of the same shape."""
    return np.asarray(np.clip(np.rint(values * 255.0), 0, 255), dtype=np.uint8)


def channel_sum(picture: FloatMap) -> FloatMap:
    """float32 [H, W, 3] -> [H, W]; NumPy takes ten times as long along so short an axis."""
    return np.asarray(cv2.transform(picture, np.ones((1, 3), np.float32)))


def picture_to_tensor(picture: Picture) -> Tensor:
    """uint8 [H, W, 3] -> float32 [1, 3, H, W] in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float() / 255.0


def tensor_to_picture(tensor: Tensor) -> Picture:
    """float [1, 3, H, W] in [0, 1] -> uint8 [H, W, 3]."""
    return to_uint8(tensor_to_map(tensor))


def tensor_to_map(tensor: Tensor) -> FloatMap:
    """float [1, C, H, W] on any device -> float32 [H, W, C]."""
    return np.ascontiguousarray(tensor[0].permute(1, 2, 0).float().cpu().numpy())


def mask_to_tensor(mask: Mask) -> Tensor:
    """bool [H, W] -> float32 [1, 1, H, W] of zeros and ones."""
    return torch.from_numpy(np.ascontiguousarray(mask))[None, None].float()


def resize_flow(flow: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Bilinear resize of a flow [B, 2, H, W] to ``size_hw``; the vectors are rescaled to pixels of the new grid."""
    scale = flow.new_tensor([size_hw[1] / flow.shape[-1], size_hw[0] / flow.shape[-2]]).view(1, 2, 1, 1)
    return F.interpolate(flow, size=size_hw, mode="bilinear", align_corners=False) * scale


def load_tensors(path: Path) -> Any:
    """What a ``.safetensors`` file, or a ``.pth`` or ``.pt`` of plain tensors, holds; WeightsError says why it cannot be read.

    Code that a pickle may bring along is never run.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # torch's word on the pickle's version; what matters is said below
            return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        # torch's own text advises to switch the safety off.
        raise WeightsError(
            f"{path} cannot be read: it is damaged, or holds more than tensors, which could be code and is not run. "
            "Fetch it again from where it was published."
        ) from error
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}.") from error
    except Exception as error:  # a damaged pickle raises nearly anything: KeyError, EOFError, ValueError
        raise WeightsError(f"{path} cannot be read: it is damaged or not whole. Fetch it again.") from error


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a ``.safetensors`` file, or else one of torch's, whole or not at all; OSError where it cannot be written."""
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    part = path.with_name(path.name + ".part")
    try:
        if path.suffix == ".safetensors":
            save_file(plain, part)
        else:
            torch.save(plain, part)
        part.replace(path)
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        raise OSError(str(error)) from error
    except RuntimeError as error:  # torch's for a full disk, in words of its own
        part.unlink(missing_ok=True)
        raise OSError("writing broke off, as it does on a full disk") from error
