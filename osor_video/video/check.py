"""Proof after the fact: what was written is decoded and held against the source where nothing was replaced."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt

from osor_video.config import DecodeConfig
from osor_video.errors import VideoError
from osor_video.video.orient import to_coded
from osor_video.video.planes import ColorSpec, PlanarFrame, outside_difference, planes_to_rgb
from osor_video.video.probe import SourceInfo
from osor_video.video.reader import read_planes
from osor_video.video.source import open_source

AS_RGB = ColorSpec("rgb", full_range=True, bit_depth=8, chroma_log2=(0, 0))


def decoded_difference(output: Path, source: SourceInfo, replaced: Iterator[npt.NDArray[np.bool_]]) -> float:
    """Largest difference between ``output`` and ``source`` over all frames outside ``replaced`` [H, W], as coded.

    In codes of the source where both have one form of samples, else in 8-bit RGB. Raises VideoError where the output is not
    read, or has another number of frames.
    """
    written = open_source(output, DecodeConfig(rate=str(source.rate)))
    if written.frames != source.frames:
        raise VideoError(
            f"{output} decodes to {written.frames} frames, expected {source.frames}. Write it again."
        )
    turned = source.rotation if written.files else 0
    most = 0.0
    with closing(read_planes(source)) as before, closing(read_planes(written)) as after:
        for old, new, mask in zip(before, after, replaced, strict=True):
            alpha = mask.astype(np.float32)
            if written.color == source.color and not turned:
                most = max(most, outside_difference(old.planes, new.planes, alpha, source.color))
            else:
                first, second = _rgb(old, source.color, 0), _rgb(new, written.color, turned)
                most = max(most, outside_difference(first, second, alpha, AS_RGB))
    return most


def _rgb(frame: PlanarFrame, color: ColorSpec, turned: int) -> tuple[npt.NDArray[np.uint8], ...]:
    picture = to_coded(planes_to_rgb(frame.planes, color), turned)
    return tuple(np.ascontiguousarray(picture[..., channel]) for channel in (1, 2, 0))
