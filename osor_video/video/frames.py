"""Between PyAV's frames and planes of samples: which planar form a source is worked in, and the copies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import av
import numpy as np

from osor_video.errors import VideoError
from osor_video.video.planes import SUBSAMPLING, ColorSpec, Matrix, Plane, Planes, default_matrix

TAGGED_MATRIX: dict[int, Matrix] = {1: "bt709", 5: "bt601", 6: "bt601", 9: "bt2020"}
"""ITU-T H.273 matrix coefficients that the library converts; 5 and 6 are both BT.601."""
MATRIX_TAG: dict[Matrix, int] = {"bt601": 6, "bt709": 1, "bt2020": 9}
SWS_MATRIX: dict[Matrix, int] = {"bt601": 5, "bt709": 1, "bt2020": 9}
"""The same matrices as swscale numbers them."""
RGB_TAG, UNTAGGED = 0, 2
LIMITED_RANGE, FULL_RANGE = 1, 2
LOSSLESS_REPACK = ("nv12", "nv21", "nv16", "nv24", "p010le", "p210le", "yuyv422", "uyvy422")
"""Forms whose samples only change places when they become planes."""


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """An input container, closed at the end; FFmpeg's refusal becomes a VideoError."""
    try:
        # Foreign tags in odd encodings must not stop a decode that needs no tags.
        # A playlist that calls itself a film may lead to files, never to the network.
        container = av.open(str(path), metadata_errors="replace", options={"protocol_whitelist": "file"})
    except (av.error.FFmpegError, OSError) as error:
        raise VideoError(
            f"{path} is not a readable video ({error.strerror or error}). Expected a whole MP4, MOV, MKV "
            f"or other file that FFmpeg reads; if it was cut off, record or download it again."
        ) from error
    with closing(container):
        yield container


def video_stream(container: Any, path: Path) -> Any:
    """First video stream that is not a cover picture; raises VideoError where there is none."""
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            return stream
    kinds = sorted({stream.type for stream in container.streams}) or ["nothing"]
    raise VideoError(f"{path} has no video stream (it holds: {', '.join(kinds)}). Give a file with pictures.")


def planar_color(frame: Any, path: Path) -> tuple[ColorSpec, str]:
    """The planar form that this source is worked in, and a note where that is not its own form (else '')."""
    form, name = frame.format, frame.format.name
    gray = name.startswith("gray")
    chroma = (0, 0) if gray or is_rgb(form) else _chroma_log2(form)
    odd = bool(frame.height % (1 << chroma[0]) or frame.width % (1 << chroma[1]))
    if odd or chroma not in SUBSAMPLING:
        chroma = (0, 0)
    color = ColorSpec(_matrix(frame, path), _is_full_range(frame), _depth(form), chroma, gray)
    if name.replace("yuvj", "yuv") == color.pix_fmt or name in LOSSLESS_REPACK:
        return color, ""
    why = "odd picture size: " if odd else ""
    dropped = "; its alpha channel is dropped" if any(c.is_alpha for c in form.components) else ""
    return color, f"{why}{name} is converted once to {color.pix_fmt}{dropped}"


def frame_planes(frame: Any, color: ColorSpec) -> Planes:
    """Copies of the samples as (Y, U, V) or (Y,); a form that is not planar YUV is converted once."""
    if frame.format.name.replace("yuvj", "yuv") != color.pix_fmt:
        matrix, full = SWS_MATRIX[color.matrix], FULL_RANGE if color.full_range else LIMITED_RANGE
        known = {} if is_rgb(frame.format) else {"src_colorspace": matrix, "src_color_range": full}
        frame = frame.reformat(
            format=color.pix_fmt,
            dst_colorspace=matrix,
            dst_color_range=full,
            interpolation="BICUBIC",
            **known,
        )
    return tuple(_samples(plane, color.dtype).copy() for plane in frame.planes)


def planes_frame(planes: Planes, color: ColorSpec) -> Any:
    """A PyAV frame that holds exactly these samples."""
    height, width = planes[0].shape
    frame = av.VideoFrame(width, height, color.pix_fmt)
    for target, plane in zip(frame.planes, planes, strict=True):
        _samples(target, color.dtype)[:] = plane
    return frame


def _samples(plane: Any, dtype: Any) -> Plane:
    """View of a PyAV plane without the padding at the end of its rows."""
    rows = np.frombuffer(plane, dtype).reshape(plane.height, -1)
    view: Plane = rows[:, : plane.width]
    return view


def _depth(form: Any) -> int:
    """Bits a sample, brought to the three depths that the library works in."""
    bits = max(component.bits for component in form.components)
    return 8 if bits <= 8 else 10 if bits <= 10 else 12


def is_rgb(form: Any) -> bool:
    """True for RGB and palette forms."""
    return bool(form.is_rgb or form.has_palette)


def _is_full_range(frame: Any) -> bool:
    """Gray without a tag is full range, as FFmpeg has it; what comes from RGB becomes limited range."""
    if is_rgb(frame.format):
        return False
    full_by_name = frame.format.name.startswith(("yuvj", "gray", "ya"))
    tag = int(frame.color_range)
    return tag == FULL_RANGE or (full_by_name and tag != LIMITED_RANGE)


def _chroma_log2(form: Any) -> tuple[int, int]:
    if len(form.components) < 3:
        return (0, 0)
    down, across = 64 // form.chroma_height(64), 64 // form.chroma_width(64)
    return down.bit_length() - 1, across.bit_length() - 1


def _matrix(frame: Any, path: Path) -> Matrix:
    tag = int(frame.colorspace)
    if tag in (RGB_TAG, UNTAGGED) or is_rgb(frame.format):
        return default_matrix(frame.height)
    if tag not in TAGGED_MATRIX:
        raise VideoError(
            f"{path} uses colour matrix {tag} (ITU-T H.273), expected BT.601, BT.709 or BT.2020. "
            f"Convert it first, for example: ffmpeg -i IN -vf scale=out_color_matrix=bt709 OUT.mp4"
        )
    return TAGGED_MATRIX[tag]
