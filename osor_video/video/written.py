"""From the composite's samples to those that an encoder takes."""

from __future__ import annotations

from typing import Any

import numpy as np

from osor_video.video.codecs import Target
from osor_video.video.frames import converted, planes_frame
from osor_video.video.planes import ColorSpec, Planes, from_linear
from osor_video.video.probe import SourceInfo

DEEP_RGB = ColorSpec("rgb", full_range=True, bit_depth=16, chroma_log2=(0, 0))


def encoder_frame(planes: Planes, source: SourceInfo, target: Target) -> Any:
    """A PyAV frame of ``target``'s form with its tags; nothing is converted where that is the source's own."""
    color = source.color
    if color.linear:
        planes = tuple(
            (from_linear(plane.astype(np.float32)) * 65535 + 0.5).astype(np.uint16) for plane in planes[:3]
        )
        color = DEEP_RGB
    frame = planes_frame(planes, color)
    if color != target.color:
        matrix = target.color.matrix if color.matrix == "rgb" else color.matrix
        full = target.color.full_range if color.matrix == "rgb" else color.full_range
        frame = converted(frame, target.color.pix_fmt, matrix, full, from_rgb=color.matrix == "rgb")
    if target.pix_fmt != target.color.pix_fmt:
        frame = frame.reformat(format=target.pix_fmt)
    tags = target.tags
    frame.colorspace, frame.color_range = tags.matrix, tags.range
    frame.color_primaries, frame.color_trc = tags.primaries, tags.transfer
    return frame
