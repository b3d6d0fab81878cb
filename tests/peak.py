"""How much memory a pass of SDXL's networks takes at true size, counted without a GPU and without weights.

``python -m tests.peak`` prints it. Operations run on tensors that have a shape and no content; what lives at
the same time is summed. Blocks that an allocator keeps and workspaces of kernels are not in it.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from osor_video.benchmark.random_sdxl import UNETS, VAES


@dataclass(frozen=True)
class Peak:
    """Bytes of the weights, and of everything else at its most."""

    weights: int
    others: int


class _Alive(TorchDispatchMode):
    """Sums the storages that operations make, for as long as they live."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, Tensor):
                self._note(tensor.untyped_storage())
        return out

    def _note(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key not in self._seen:
            self._seen.add(key)
            self.now += size
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._forget, key, size)

    def _forget(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size


def unet_peak(frames: int, size_hw: tuple[int, int], dtype: torch.dtype) -> Peak:
    """One call of the UNet on ``frames`` of ``size_hw`` pixels."""
    cells = size_hw[0] // 8, size_hw[1] // 8

    def call(unet: Any) -> Any:
        conditions = {"text_embeds": torch.zeros(frames, 1280), "time_ids": torch.zeros(frames, 6)}
        inputs = torch.zeros(frames, 9, *cells)
        return unet(inputs, 400, torch.zeros(frames, 77, 2048), added_cond_kwargs=conditions)

    return _counted(lambda: UNet2DConditionModel(**UNETS["full"]), call, dtype)


def decoder_peak(size_hw: tuple[int, int], dtype: torch.dtype) -> Peak:
    """Decoding one picture of ``size_hw`` pixels."""

    def build() -> Any:
        ends = {
            "down_block_types": ("DownEncoderBlock2D",) * 4,
            "up_block_types": ("UpDecoderBlock2D",) * 4,
        }
        return AutoencoderKL(latent_channels=4, **ends, **VAES["full"])

    return _counted(build, lambda vae: vae.decode(torch.zeros(1, 4, size_hw[0] // 8, size_hw[1] // 8)), dtype)


def _counted(build: Callable[[], Any], call: Callable[[Any], Any], dtype: torch.dtype) -> Peak:
    with FakeTensorMode(), _numbers(dtype):
        network = build().eval().requires_grad_(False)
        weights = sum(parameter.numel() * parameter.element_size() for parameter in network.parameters())
        with torch.inference_mode(), _Alive() as alive:
            call(network)
    return Peak(weights, alive.peak)


@contextmanager
def _numbers(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def main() -> None:
    """Print the table."""
    half, full = torch.bfloat16, torch.float32
    for frames, size_hw in ((1, (512, 512)), (4, (512, 512)), (1, (512, 912)), (4, (1024, 1024))):
        peak = unet_peak(frames, size_hw, half)
        _tell(f"UNet, bfloat16, {frames} of {size_hw}", peak, frames * size_hw[0] * size_hw[1])
    for dtype in (half, full):
        for size_hw in ((512, 512), (1024, 1024)):
            peak = decoder_peak(size_hw, dtype)
            _tell(f"decoder, {dtype}, {size_hw}", peak, size_hw[0] * size_hw[1])


def _tell(what: str, peak: Peak, pixels: int) -> None:
    sys.stdout.write(
        f"{what}: weights {peak.weights / 1e9:.2f} GB, others {peak.others / 1e9:.2f} GB, "
        f"{peak.others / pixels:.0f} bytes a pixel\n"
    )


if __name__ == "__main__":
    main()
