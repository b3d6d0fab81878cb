"""The learned half of the tracker: from what matching recalls and how the frame looks to the object's mask.

Matching (``memory.py``) says for each cell what remembered cells it resembles; it knows nothing of what makes an object
whole. The refiner reads its answers beside the features of the frame, coarse to fine, as the decoders of STM (Oh et al.,
ICCV 2019) and FEELVOS (Voigtlaender et al., CVPR 2019) do; it has seen none of the videos it is judged on.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from osor_video.errors import WeightsError
from osor_video.layers import ResidualBlock
from osor_video.tensors import load_tensors

CHANNELS = (16, 24, 40, 112, 320)
"""Of EfficientNet-Lite0's stages, at strides 2, 4, 8, 16 and 32."""
EVIDENCE = 7
"""Maps that matching gives, see ``memory.compare``."""
LEAST_SIDE_CELLS = 4
"""Pictures have sides in multiples of so many cells of 8 pixels: the coarsest stage has a stride of 32."""


BUNDLED = Path(__file__).parent / "weights" / "refiner.safetensors"
"""Weights trained by ``osor_video.training``, with their record beside them."""


class MaskRefiner(nn.Module):
    """Logits of the object at half the picture's size."""

    def __init__(self, *, width: int = 64, fine_width: int = 32) -> None:
        super().__init__()
        half, quarter, eighth, sixteenth, coarsest = CHANNELS
        self.enter32 = nn.Conv2d(coarsest + EVIDENCE, width, 1)
        self.enter16 = nn.Conv2d(sixteenth + EVIDENCE, width, 1)
        self.enter8 = nn.Conv2d(eighth + EVIDENCE, width, 1)
        self.enter4 = nn.Conv2d(quarter + width, fine_width, 3, padding=1)
        self.enter2 = nn.Conv2d(half + fine_width, fine_width // 2, 3, padding=1)
        self.blocks32 = nn.Sequential(*(ResidualBlock(width) for _ in range(2)))
        self.blocks16 = nn.Sequential(*(ResidualBlock(width) for _ in range(2)))
        self.blocks8 = nn.Sequential(*(ResidualBlock(width) for _ in range(3)))
        self.block4 = ResidualBlock(fine_width)
        self.out = nn.Conv2d(fine_width // 2, 1, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        nn.init.constant_(self.out.bias, -1.0)

    def forward(self, stages: list[Tensor], evidence: Tensor) -> Tensor:
        """Maps of the stages at strides 2 to 32 and ``evidence`` [B, EVIDENCE, h, w] at stride 8 -> logits [B, 1, 4h, 4w].

        h and w are multiples of 4.
        """
        half, quarter, eighth, sixteenth, coarsest = stages
        evidence16 = F.avg_pool2d(evidence, 2)
        evidence32 = F.avg_pool2d(evidence16, 2)
        x32 = self.blocks32(self.enter32(_joined(coarsest, evidence32)))
        x16 = self.blocks16(self.enter16(_joined(sixteenth, evidence16)) + _raised(x32, sixteenth))
        x8 = self.blocks8(self.enter8(_joined(eighth, evidence)) + _raised(x16, eighth))
        x4 = self.block4(self.enter4(_joined(quarter, _raised(F.silu(x8), quarter))))
        x2 = self.enter2(_joined(half, _raised(F.silu(x4), half)))
        logits: Tensor = self.out(F.silu(x2))
        return logits


def _joined(a: Tensor, b: Tensor) -> Tensor:
    return torch.cat([a, b], dim=1)


def _raised(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


@lru_cache(maxsize=1)
def bundled_refiner() -> MaskRefiner:
    """The refiner with the package's weights; WeightsError where they are damaged or missing."""
    refiner = MaskRefiner()
    try:
        state = load_tensors(BUNDLED)
        refiner.load_state_dict({name: value.float() for name, value in state.items()})
    except (WeightsError, RuntimeError) as error:
        raise WeightsError(
            f"The tracker's weights {BUNDLED} are damaged or missing; install osor-video again."
        ) from error
    refiner.eval().requires_grad_(False).to(memory_format=torch.channels_last)
    return refiner
