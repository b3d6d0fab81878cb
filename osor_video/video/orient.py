"""Between the picture as it is shown and the picture as it is coded."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt

Scalar = TypeVar("Scalar", bound=np.generic)


def shown_size(size_hw: tuple[int, int], rotation: int) -> tuple[int, int]:
    """Size of the shown picture for a coded size; ``rotation`` in degrees counter-clockwise as SourceInfo has it."""
    return (size_hw[1], size_hw[0]) if rotation % 180 else size_hw


def to_coded(shown: npt.NDArray[Scalar], rotation: int) -> npt.NDArray[Scalar]:
    """Turn [H, W, ...] as shown into coded orientation."""
    return np.ascontiguousarray(np.rot90(shown, rotation // 90))


def to_shown(coded: npt.NDArray[Scalar], rotation: int) -> npt.NDArray[Scalar]:
    """Turn [H, W, ...] as coded into the orientation that a player shows."""
    return np.ascontiguousarray(np.rot90(coded, -(rotation // 90)))
