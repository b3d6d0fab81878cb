"""The fill and its alpha by themselves, for laying over the original in another program.

MOV holds ProRes 4444 and PNG, TIFF 16-bit RGBA, all with straight alpha; EXR holds light, premultiplied, as its readers expect.
Over the original, ``fill * alpha + original * (1 - alpha)`` is the result.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from osor_video.composite.fill import Fill
from osor_video.config import EncodeConfig
from osor_video.errors import ConfigError
from osor_video.video.codecs import CODECS
from osor_video.video.outputs import check_output, open_writer
from osor_video.video.planes import ColorSpec, PlanarFrame, Planes, blend_planes, default_matrix, to_linear
from osor_video.video.probe import ColorTags, SourceInfo
from osor_video.video.sequence import is_pattern

PRORES = EncodeConfig(codec="prores-4444", quality=100)
LIMITED_RANGE, FULL_RANGE, RGB_MATRIX, LINEAR_LIGHT = 1, 2, 0, 8


class MatteWriter:
    """Writes one RGBA picture a frame; use it as a context manager.

    Raises:
        ConfigError: where ``path`` is neither a .mov nor a sequence.
        VideoError: where it cannot be written.
    """

    def __init__(self, path: Path, source: SourceInfo) -> None:
        self._source = matte_source(path, source)
        self._writer = open_writer(path, self._source, PRORES)

    def __enter__(self) -> Self:
        self._writer.__enter__()
        return self

    def write(self, frame: PlanarFrame, fill: Fill | None) -> None:
        """The fill that goes over ``frame``; nothing where there is none."""
        planes = matte_planes(fill, self._source.color, self._source.size_hw)
        self._writer.write(replace(frame, planes=planes))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._writer.__exit__(kind, error, trace)


def check_matte(path: Path, source: SourceInfo) -> None:
    """Refuse a matte that could not be written; raises as ``MatteWriter`` does."""
    check_output(path, matte_source(path, source), PRORES)


def matte_source(path: Path, source: SourceInfo) -> SourceInfo:
    """The source as its matte's writer is to see it: its times and place, RGBA samples, nothing beside them."""
    tags = source.tags
    if is_pattern(path):
        linear = path.suffix.lower() == ".exr"
        color = ColorSpec("rgb", True, 16, (0, 0), alpha=True, linear=linear)
        transfer = LINEAR_LIGHT if linear and not source.hdr else tags.transfer
        tags = ColorTags(tags.primaries, transfer, RGB_MATRIX, FULL_RANGE)
    elif path.suffix.lower() == ".mov":
        matrix = default_matrix(source.size_hw[0]) if source.color.matrix == "rgb" else source.color.matrix
        color = ColorSpec(matrix, False, 10, (0, 0), alpha=True)
        number = source.tags.matrix if source.color.matrix == matrix else 2
        tags = ColorTags(tags.primaries, tags.transfer, number, LIMITED_RANGE)
    else:
        raise ConfigError(
            f"--matte is {path}, expected a name that ends in .mov ({CODECS['prores-4444'].title}) or a sequence such as "
            f"matte.%04d.png or matte.%04d.exr."
        )
    return replace(source, color=color, tags=tags, streams=(), hdr="", interlaced=False, note="", unkept=())


def matte_planes(fill: Fill | None, color: ColorSpec, size_hw: tuple[int, int]) -> Planes:
    """Fill and alpha on the whole frame, black and 0 where there is none."""
    empty = tuple(np.zeros(size, color.dtype) for size in color.plane_sizes(size_hw))
    black = np.zeros((*size_hw, 3), np.float32)
    planes = blend_planes(empty, black, np.ones(size_hw, np.float32), color)
    if fill is None:
        return planes
    top, left, bottom, right = fill.box
    where = (fill.alpha > 0).astype(np.float32)
    alpha = planes[3].copy()
    if color.linear:
        light = [to_linear(fill.rgb[..., channel]) * fill.alpha for channel in (1, 2, 0)]
        for plane, values in zip(planes[:3], light, strict=True):
            plane[top:bottom, left:right] = values
        alpha[top:bottom, left:right] = fill.alpha
        return (*planes[:3], alpha)
    planes = blend_planes(planes, fill.rgb, where, color, fill.box)
    alpha[top:bottom, left:right] = np.rint(fill.alpha * color.top)
    return (*planes[:3], alpha)
