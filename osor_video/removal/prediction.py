"""What a one-step model answers, and what the remover asks of any of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from osor_video.removal.record import ModelRecord


@dataclass(frozen=True)
class Prediction:
    """One step's view of frames: their latent ``z``, the ``mask`` [B, 1, h, w] in use, ``z0`` and ``alpha_logit`` as found.

    ``z`` and ``z0`` are [B, C, h, w], ``alpha_logit`` [B, 1, h, w]; all float32.
    """

    z: Tensor
    mask: Tensor
    z0: Tensor
    alpha_logit: Tensor


class RemovalModel(Protocol):
    """A compact model, or a published base with its adapter."""

    @property
    def record(self) -> ModelRecord:
        """Name, licence, sizes."""
        ...

    @property
    def is_compact(self) -> bool:
        """Whether it is small, and seen to do best on small crops."""
        ...

    @property
    def frames_together(self) -> int:
        """Frames that the network sees best together, where nobody says how many."""
        ...

    def raster_limit_px(self) -> int | None:
        """Longest side of a crop that it takes; None where there is no limit."""
        ...

    def predict(self, image: Tensor, mask: Tensor, eps: Tensor) -> Prediction:
        """One step for ``image`` [B, 3, H, W] in [0, 1] and ``mask`` [B, 1, H, W] of zeros and ones."""
        ...

    def decode(self, z: Tensor) -> Tensor:
        """Latents [B, C, h, w] -> [B, 3, 8h, 8w] in [0, 1], float32."""
        ...
