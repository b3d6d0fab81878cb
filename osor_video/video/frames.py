"""Between PyAV's frames and planes of samples: which planar form a source is worked in, and the copies."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np

from osor_video.errors import VideoError
from osor_video.video.planes import SUBSAMPLING, ColorSpec, Matrix, Plane, Planes, default_matrix

TAGGED_MATRIX: dict[int, Matrix] = {1: "bt709", 5: "bt601", 6: "bt601", 9: "bt2020"}
"""ITU-T H.273 matrix coefficients that the library converts; 5 and 6 are both BT.601."""
MATRIX_TAG: dict[Matrix, int] = {"bt601": 6, "bt709": 1, "bt2020": 9, "rgb": 0}
SWS_MATRIX: dict[Matrix, int] = {"bt601": 5, "bt709": 1, "bt2020": 9}
"""The same matrices as swscale numbers them."""
RGB_TAG, UNTAGGED = 0, 2
LIMITED_RANGE, FULL_RANGE = 1, 2
ALPHA_FORMS = frozenset(
    (
        *(
            f"yuva{chroma}p{depth}"
            for chroma in ("420", "422", "444")
            for depth in ("", "10le", "12le", "16le")
        ),
        *("gbrap", "gbrap10le", "gbrap12le", "gbrap16le"),
    )
) - {"yuva420p12le"}
"""Planar forms with an alpha plane that FFmpeg has."""
LOSSLESS_REPACK = ("nv12", "nv21", "nv16", "nv24", "p010le", "p210le", "yuyv422", "uyvy422")
"""Forms whose samples only change places when they become planes."""

LEAST_SIDE_PX, MOST_SIDE_PX = 16, 8192
MOST_PIXELS = 8192 * 4608
"""8K, with room for cinema's 8192 columns."""


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
            return _bounded(stream, path)
    kinds = sorted({stream.type for stream in container.streams}) or ["nothing"]
    raise VideoError(f"{path} has no video stream (it holds: {', '.join(kinds)}). Give a file with pictures.")


def check_frame_size(size_hw: tuple[int, int], path: Path) -> None:
    """VideoError for frames that are too small to work in, or larger than any camera's."""
    height, width = size_hw
    if min(size_hw) < LEAST_SIDE_PX or max(size_hw) > MOST_SIDE_PX or height * width > MOST_PIXELS:
        raise VideoError(
            f"{path} has frames of {width}x{height} pixels, expected sides of {LEAST_SIDE_PX} to {MOST_SIDE_PX} and at most "
            f"{MOST_PIXELS / 1e6:.0f} million pixels. Scale it first, for example: ffmpeg -i IN -vf scale=1920:-2 OUT.mp4"
        )


def _bounded(stream: Any, path: Path) -> Any:
    """``stream``, refused for the size that it declares, before a decoder takes memory for it."""
    context = stream.codec_context
    if context is not None:
        if context.height and context.width:
            check_frame_size((context.height, context.width), path)
        # Its packets may declare another size than its container.
        context.options = {"max_pixels": str(MOST_PIXELS)}
    return stream


def planar_color(frame: Any, path: Path) -> tuple[ColorSpec, str]:
    """The planar form that this source is worked in, and a note where that is not its own form (else '')."""
    form, name = frame.format, frame.format.name
    gray = name.startswith("gray")
    chroma = (0, 0) if gray or is_rgb(form) else _chroma_log2(form)
    if chroma not in SUBSAMPLING:
        chroma = (0, 0)
    has_alpha = any(component.is_alpha for component in form.components)
    color = ColorSpec(_matrix(frame, path), _is_full_range(frame), _depth(form), chroma, gray)
    if has_alpha and replace(color, alpha=True).pix_fmt in ALPHA_FORMS:
        color = replace(color, alpha=True)
    own = name.replace("yuvj", "yuv")
    if own == color.pix_fmt or name in LOSSLESS_REPACK or (is_rgb(form) and _is_whole(form, color)):
        return color, ""
    dropped = "; its alpha channel is dropped" if has_alpha and not color.alpha else ""
    return color, f"{name} is converted once to {color.pix_fmt}{dropped}"


def frame_planes(frame: Any, color: ColorSpec) -> Planes:
    """Copies of the samples as ``planes.py`` has them; a form that is not planar is converted once."""
    if frame.format.name.replace("yuvj", "yuv") != color.pix_fmt:
        frame = converted(frame, color.pix_fmt, color.matrix, color.full_range, from_rgb=is_rgb(frame.format))
    return tuple(_samples(plane, color.dtype).copy() for plane in frame.planes)


def converted(frame: Any, pix_fmt: str, matrix: Matrix, full_range: bool, *, from_rgb: bool = False) -> Any:
    """The frame as ``pix_fmt``; ``matrix`` and range are those of its YUV side."""
    span = FULL_RANGE if full_range else LIMITED_RANGE
    if matrix == "rgb":  # only the order of the samples changes
        return frame.reformat(format=pix_fmt)
    known = {} if from_rgb else {"src_colorspace": SWS_MATRIX[matrix], "src_color_range": span}
    return frame.reformat(
        format=pix_fmt,
        dst_colorspace=SWS_MATRIX[matrix],
        dst_color_range=span,
        interpolation="BICUBIC",
        **known,
    )


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
    """Bits a sample, brought to the depths that the library works in."""
    bits = max(component.bits for component in form.components)
    return next(depth for depth in (8, 10, 12, 16) if bits <= depth or depth == 16)


def _is_whole(form: Any, color: ColorSpec) -> bool:
    """Nothing is lost on the way to planes: a palette, or as many bits as they have, and alpha kept."""
    bits = {component.bits for component in form.components}
    has_alpha = any(component.is_alpha for component in form.components)
    return bool(form.has_palette or (bits == {color.bit_depth} and has_alpha == color.alpha))


def is_rgb(form: Any) -> bool:
    """True for RGB and palette forms."""
    return bool(form.is_rgb or form.has_palette)


def _is_full_range(frame: Any) -> bool:
    """RGB is full range; gray without a tag too, as FFmpeg has it."""
    if is_rgb(frame.format):
        return True
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
    if is_rgb(frame.format):
        return "rgb"
    if tag in (RGB_TAG, UNTAGGED):
        return default_matrix(frame.height)
    if tag not in TAGGED_MATRIX:
        raise VideoError(
            f"{path} uses colour matrix {tag} (ITU-T H.273), expected BT.601, BT.709 or BT.2020. "
            f"Convert it first, for example: ffmpeg -i IN -vf scale=out_color_matrix=bt709 OUT.mp4"
        )
    return TAGGED_MATRIX[tag]
