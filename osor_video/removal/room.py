"""What fits into a device's memory: how a published model runs is chosen by what is free there.

The figures are those of SDXL's networks at their true size, more than twice the tensors that live at the peak of a pass (counted
by ``python -m tests.peak``: 3072 and 159 bytes a pixel): kernels need room to work in. All decisions are functions of plain
numbers.
"""

from __future__ import annotations

import torch
from torch import nn

from osor_video.config import Switch

DECODER_BYTES_PER_PX = 7600
"""Of SDXL's decoder in float32 at its widest, for each pixel of the picture."""
NETWORK_BYTES_PER_PX = 400
"""Of SDXL's UNet in half precision at its widest, for each pixel of the crops that it sees together."""
WORKSPACE_BYTES = 1 << 30
"""For what the libraries keep for themselves, and for the decoder of a crop of the size of the training's."""
SHARE_OF_FREE = 0.8
MOST_FRAMES = 8
"""Half of a window. Crops are small: one alone leaves a GPU waiting for the next operation to be sent."""
PROCESSOR_FRAMES = 4
"""Its time goes into reading the weights: a crop of 144 x 208 px took 5.9 s and more by itself, 4.4 s in four, 3.7 s in eight."""


def free_bytes(device: torch.device) -> int | None:
    """Memory of a GPU that is free, or held by torch and unused; None for a processor, whose memory the system looks after."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        held = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free) + int(held)
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory())
    return None


def bytes_of(network: nn.Module, dtype: torch.dtype) -> int:
    """What the weights of ``network`` take in ``dtype``."""
    return int(sum(parameter.numel() for parameter in network.parameters()) * dtype.itemsize)


def offloads(asked: Switch, device: torch.device, weights: int, free: int | None) -> bool:
    """Whether ``weights`` bytes stay in the computer's memory and come to the device layer by layer.

    auto: where they do not fit. Not on MPS, whose memory is the computer's.
    """
    if asked != "auto":
        return asked == "on"
    return device.type == "cuda" and free is not None and weights + WORKSPACE_BYTES > SHARE_OF_FREE * free


def tiles(asked: Switch, pixels: int, dtype: torch.dtype, free: int | None) -> bool:
    """Whether a picture of so many pixels is decoded in tiles; auto: where in one piece it does not fit."""
    if asked != "auto":
        return asked == "on"
    wanted = pixels * DECODER_BYTES_PER_PX * dtype.itemsize // 4
    return free is not None and wanted > SHARE_OF_FREE * free


def pictures_that_fit(pixels: int, dtype: torch.dtype, free: int | None) -> int:
    """Pictures of so many pixels that pass through the autoencoder together; one on a processor, which gains nothing from more."""
    return _most(pixels * DECODER_BYTES_PER_PX * dtype.itemsize // 4, free)


def frames_that_fit(raster_px: int, dtype: torch.dtype, free: int | None) -> int:
    """Square crops of ``raster_px`` that SDXL's network sees together: 8, 4, 2 or 1; ``PROCESSOR_FRAMES`` on a processor."""
    if free is None:
        return PROCESSOR_FRAMES
    return _most(raster_px * raster_px * NETWORK_BYTES_PER_PX * dtype.itemsize // 2, free, WORKSPACE_BYTES)


def _most(each: int, free: int | None, beside: int = 0) -> int:
    """The largest power of two of things of ``each`` bytes that fits ``beside`` other bytes."""
    count = 1 if free is None else MOST_FRAMES
    while free is not None and count > 1 and count * each + beside > SHARE_OF_FREE * free:
        count //= 2
    return count
