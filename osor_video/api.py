"""The library in one call: ``remove_object``."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from osor_video.config import Config
from osor_video.errors import MaskError
from osor_video.masks.seed import ArraySeed, BoxSeed, PictureSeed, PolygonSeed, Seed
from osor_video.pipeline import VideoRemover
from osor_video.report import RunReport

__all__ = ["MaskLike", "VideoRemover", "as_seed", "remove_object"]

MaskLike = str | PathLike[str] | npt.NDArray[Any] | tuple[int, int, int, int] | Sequence[tuple[int, int]]
"""A mask picture, a bool array [H, W] as shown, a box (x, y, width, height) or a polygon's corners (x, y)."""


def remove_object(
    source: str | PathLike[str],
    mask: MaskLike,
    output: str | PathLike[str],
    *,
    preset: str = "balanced",
    **overrides: Any,
) -> RunReport:
    """Write ``output``: ``source`` without what ``mask`` marks in its first frame, shadow included.

    ``overrides`` are settings of ``Config``, two underscores for a dot: ``seed=1``, ``flow__height_px=200``.
    Raises an OsorError that says what is wrong; nothing is written then.
    """
    seed = as_seed(mask)
    dotted = {key.replace("__", "."): value for key, value in overrides.items()}
    remover = VideoRemover.from_config(Config.load(preset, overrides=dotted))
    return remover.remove(Path(source), seed, Path(output))


def as_seed(mask: MaskLike) -> Seed:
    """The seed that ``mask`` means, by its type; MaskError for anything else."""
    if isinstance(mask, str | PathLike):
        return PictureSeed(Path(mask))
    if isinstance(mask, np.ndarray):
        if mask.dtype != np.bool_ or mask.ndim != 2:
            raise MaskError(
                f"The mask array is {mask.dtype} {mask.shape}, expected bool [height, width]; try mask > 127."
            )
        return ArraySeed(mask)
    if len(mask) == 4 and all(isinstance(value, int | np.integer) for value in mask):
        x, y, width, height = (int(value) for value in mask)  # type: ignore[arg-type]
        return BoxSeed((x, y, width, height))
    if all(isinstance(corner, Sequence) and len(corner) == 2 for corner in mask):
        return PolygonSeed(tuple((int(x), int(y)) for x, y in mask))  # type: ignore[misc]
    raise MaskError(
        f"The mask is {mask!r}, expected a picture's path, a bool array, a box (x, y, width, height) "
        "or corners (x, y)."
    )
