"""What a one-step model answers, and what the remover asks of any of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, Self

import torch
from torch import Tensor

from osor_video.removal.carry import Aligned
from osor_video.removal.record import ModelRecord


@dataclass(frozen=True, eq=False)
class Filled:
    """One frame's clean latent ``z`` [1, C, h, w] and, of a model that began with one, its first guess [1, 3, H, W].

    The guess is the frame with its hole filled in pixels, so it has detail that no latent keeps.
    """

    z: Tensor
    guess: Tensor | None = None


class Fill(Protocol):
    """Works out one frame's clean latent."""

    def __call__(self, index: int, carried: Aligned | None = None) -> Filled:
        """Of frame ``index``; a model that begins with a guess takes what is ``carried`` to it for known where it is trusted."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """One step's view of frames: their latent, the hole in use, all that is made anew, as pixels and as cells, and alpha as found.

    ``z`` is [B, C, h, w], ``hole`` and ``anew``, which has effects too, [B, 1, H, W], ``mask`` and ``alpha_logit`` [B, 1, h, w];
    all float32. A model that finds alpha before z0 works z0 out when ``fill`` asks for it: where the shot shows the background
    nobody does.
    """

    z: Tensor
    hole: Tensor
    anew: Tensor
    mask: Tensor
    alpha_logit: Tensor
    fill: Fill
    added: Tensor | None = None
    """What is made anew beyond the user's mask, [B, 1, H, W] of 0 and 1, where a model completes masks.

    There the fill counts in full: of a shadow that is half filled at its edge a line would stay.
    """

    @classmethod
    def complete(cls, z: Tensor, hole: Tensor, mask: Tensor, alpha_logit: Tensor, z0: Tensor) -> Self:
        """Of a model that finds all at once; ``z0`` [B, C, h, w]. What it does to effects is in there."""

        def fill(index: int, carried: Aligned | None = None) -> Filled:
            return Filled(z0[index : index + 1])

        return cls(z, hole, hole, mask, alpha_logit, fill)

    @cached_property
    def z0(self) -> Tensor:
        """The clean latents of all frames, [B, C, h, w], each by itself."""
        return torch.cat([self.fill(index).z for index in range(len(self.z))])


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

    def frames_together(self, raster_px: int) -> int:
        """Frames of ``raster_px`` that the network sees best together, where nobody says how many."""
        ...

    def raster_limit_px(self) -> int | None:
        """Longest side of a crop that it takes; None where there is no limit."""
        ...

    def predict(self, image: Tensor, mask: Tensor, eps: Tensor, *, effects: bool = True) -> Prediction:
        """One step for ``image`` [B, 3, H, W] in [0, 1] and ``mask`` [B, 1, H, W] of zeros and ones.

        Without ``effects`` shadows and reflections stay: a model that can fill the hole with them beside it does so.
        """
        ...

    def encode(self, image: Tensor) -> Tensor:
        """[B, 3, 8h, 8w] in [0, 1] -> latents [B, C, h, w]."""
        ...

    def decode(self, z: Tensor) -> Tensor:
        """Latents [B, C, h, w] -> [B, 3, 8h, 8w] in [0, 1], float32."""
        ...

    def decode_onto(self, image: Tensor, z: Tensor, cells: Tensor) -> Tensor:
        """``image`` [1, 3, 8h, 8w] with at least ``cells``, bool [1, 1, h, w], decoded from ``z`` [1, C, h, w]."""
        ...
