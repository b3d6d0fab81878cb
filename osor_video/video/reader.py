"""Reading a probed source front to back: RGB for analysis, or the source's own planes for compositing.

Every reader gives exactly the frames that were probed, in order, or raises. Where the file is damaged in its middle, frames
that are not there are stood in for and marked (``damage.py``).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from types import TracebackType
from typing import Any, Literal, Self

import av
import numpy as np
import numpy.typing as npt

from osor_video.errors import VideoError
from osor_video.video.damage import check_form, decoded_whole
from osor_video.video.fields import deinterlaced
from osor_video.video.frames import UNTAGGED, frame_planes, opened, video_stream
from osor_video.video.planes import PlanarFrame, planes_to_rgb
from osor_video.video.probe import INDEXED_FORMATS, SourceInfo, check_frame
from osor_video.video.sequence import sequence_planes

DECORD_MB = 64.0
"""Decoded size of a clip up to which decord reads it: it decodes ahead without a bound, so a long clip would fill the memory
(measured: 345 MB over 2,000 frames of 640x360, and more the busier the processor is)."""


@dataclass(frozen=True)
class RgbFrame:
    """One decoded frame as uint8 [H, W, 3] RGB; ``pts`` counts the source's time base, ``damaged`` is that of PlanarFrame."""

    index: int
    pts: int
    rgb: npt.NDArray[np.uint8]
    damaged: bool = False


class FrameReader:
    """Frames of one source, once, in order; use it as a context manager or close it.

    ``decoder`` is "decord" or "PyAV"; ``reason`` says in a phrase why it was taken.
    """

    def __init__(self, decoder: str, reason: str, frames: Generator[RgbFrame, None, None]) -> None:
        self.decoder = decoder
        self.reason = reason
        self._frames = frames

    def __iter__(self) -> Iterator[RgbFrame]:
        return self._frames

    def close(self) -> None:
        """Free the decoder and the file; safe to call twice."""
        self._frames.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_reader(source: SourceInfo, decoder: Literal["auto", "decord", "pyav"] = "auto") -> FrameReader:
    """The reader for this source.

    ``auto`` takes decord where it is installed and reads this material as PyAV does (8-bit 4:2:0, upright,
    progressive, square pixels, every frame shown) in bounded memory (a short clip), else PyAV.

    Raises:
        VideoError: if ``decoder`` is "decord" and decord cannot read this source faithfully.
    """
    if decoder == "pyav":
        return FrameReader("PyAV", "asked for", _rgb_by_pyav(source))
    handle, obstacle = _open_decord(source)
    if handle is not None:
        return FrameReader("decord", "plain 8-bit 4:2:0", _rgb_by_decord(source, handle))
    if decoder == "decord":
        raise VideoError(
            f"decord cannot read {source.path} faithfully: {obstacle}. Expected plain 8-bit 4:2:0 material; "
            f"use the decoder 'auto' or 'pyav'."
        )
    return FrameReader("PyAV", obstacle, _rgb_by_pyav(source))


def read_planes(source: SourceInfo) -> Generator[PlanarFrame, None, None]:
    """Every frame in the source's own samples, by PyAV. Closing the generator closes the file.

    Raises:
        VideoError: where it is not what was probed, or damaged beyond bridging (see ``decoded_whole``).
    """
    if source.files:
        yield from sequence_planes(source)
        return
    with opened(source.path) as container:
        stream = video_stream(container, source.path)
        stream.thread_type = "AUTO"
        for index, (frame, bad) in enumerate(_decoded(source, container, stream)):
            planes = frame_planes(frame, source.color)
            yield PlanarFrame(index, source.pts[index], planes, int(frame.duration or 0), bad)


def read_span(source: SourceInfo, start: int, stop: int) -> list[RgbFrame]:
    """Frames ``start`` to ``stop`` (not included), by PyAV: decoding begins at the last sync sample before them.

    Where the container does not lead there it begins at the first frame; the frames are the same.
    Raises VideoError where they cannot be decoded.
    """
    if start == stop:
        return []
    with closing(read_from(source, start)) as frames:
        return [_as_rgb(frame, source) for frame in islice(frames, stop - start)]


def read_from(source: SourceInfo, start: int) -> Generator[PlanarFrame, None, None]:
    """Frames from ``start`` to the end in the source's own samples, by PyAV: decoding begins at the last sync sample before.

    Where the container does not lead there, and from the first damage on, they are those of ``read_planes``. Closing the
    generator closes the file. Raises VideoError where ``start`` is no frame, and as ``read_planes`` does.
    """
    check_frame(source, start)
    index = start
    with closing(_sound_from_sync(source, start)) as frames:
        for frame in frames:
            planes = frame_planes(frame, source.color)
            yield PlanarFrame(index, source.pts[index], planes, int(frame.duration or 0))
            index += 1
    if index < source.frames:
        with closing(read_planes(source)) as whole:
            yield from islice(whole, index, None)


def _sound_from_sync(source: SourceInfo, start: int) -> Generator[Any, None, None]:
    """PyAV frames from ``start`` on, as far as each is the one that was probed; none where seeking does not lead there."""
    if source.deinterlaced or source.files:
        return
    with opened(source.path) as container:
        stream = video_stream(container, source.path)
        stream.thread_type = "AUTO"
        index = start
        try:
            container.seek(source.pts[start], stream=stream, backward=True)
            for number, packet in enumerate(container.demux(stream)):
                # Frames shown before the sync sample may refer to what was not decoded; those after it do not.
                if not number and (
                    packet.pts is None or not packet.is_keyframe or packet.pts > source.pts[start]
                ):
                    return
                for frame in packet.decode():
                    if index == start and (frame.pts is None or frame.pts < source.pts[start]):
                        continue
                    if index == source.frames or frame.is_corrupt or frame.pts != source.pts[index]:
                        return
                    check_form(source, index, frame)
                    yield frame
                    index += 1
        except av.error.FFmpegError:
            return  # whoever reads from the start meets the damage, and bridges or names it


def _whole_mb(source: SourceInfo) -> float:
    """All frames as RGB, in megabytes."""
    return 3e-6 * source.frames * source.size_hw[0] * source.size_hw[1]


def _rgb_by_pyav(source: SourceInfo) -> Generator[RgbFrame, None, None]:
    """RGB from the source's own planes, with the colour matrix and range that it states."""
    with closing(read_planes(source)) as frames:
        for frame in frames:
            yield _as_rgb(frame, source)


def _as_rgb(frame: PlanarFrame, source: SourceInfo) -> RgbFrame:
    return RgbFrame(frame.index, frame.pts, planes_to_rgb(frame.planes, source.color), frame.damaged)


def _rgb_by_decord(source: SourceInfo, handle: Any) -> Generator[RgbFrame, None, None]:
    """RGB from decord, strictly front to back: on open groups its random access gives wrong frames.

    Where it stops at damage PyAV reads the rest, which bridges what can be bridged.
    """
    decord = import_module("decord")
    for index, pts in enumerate(source.pts):
        try:
            rgb = handle.next().asnumpy()
        except (decord.DECORDError, StopIteration):
            yield from islice(_rgb_by_pyav(source), index, None)
            return
        yield RgbFrame(index, pts, rgb)


def _open_decord(source: SourceInfo) -> tuple[Any, str]:
    """decord's reader and '', or None and why PyAV is to read this source."""
    obstacle = _unfit_for_decord(source)
    if obstacle:
        return None, obstacle
    try:
        decord = import_module("decord")
    except (ImportError, OSError, RuntimeError):
        return None, "decord does not load"
    decord.logging.set_level(decord.logging.QUIET)
    try:
        handle = decord.VideoReader(str(source.path))
        start_s = float(handle.get_frame_timestamp(0)[0])
    except (decord.DECORDError, RuntimeError):
        return None, "decord does not open it"
    if len(handle) != source.frames:
        return None, f"decord counts {len(handle)} frames, PyAV {source.frames}"
    if start_s < 0:
        return None, f"decord starts {-start_s:.2f} s before the first shown frame"
    return handle, ""


def _unfit_for_decord(source: SourceInfo) -> str:
    """Why this source is not plain or short enough for decord, or ''."""
    height = source.size_hw[0]
    obstacles = {
        "image sequence": bool(source.files),
        "decord is not installed": find_spec("decord") is None,
        f"edit list drops {source.skipped} frames": source.skipped > 0,
        f"{source.pix_fmt} is not 8-bit 4:2:0": source.pix_fmt not in ("yuv420p", "yuvj420p"),
        f"rotated by {source.rotation} degrees": bool(source.display_matrix),
        "interlaced": source.interlaced,
        f"pixel aspect {source.sample_aspect}": source.sample_aspect != 1,
        # Measured: on MPEG-TS decord gives other frames, on AVI impossible times.
        f"{source.container} container": source.container not in INDEXED_FORMATS,
        f"{source.frames} frames of {height} lines, of which decord would hold many": _whole_mb(source)
        > DECORD_MB,
        # decord would read it as BT.601.
        f"{height} lines without a stated colour matrix": source.tags.matrix == UNTAGGED
        and source.color.matrix != "bt601",
    }
    return next((why for why, applies in obstacles.items() if applies), "")


def _decoded(source: SourceInfo, container: Any, stream: Any) -> Iterator[tuple[Any, bool]]:
    """PyAV frames and whether each is damaged; whole ones where the source is to be deinterlaced."""
    frames = decoded_whole(source, container, stream)
    if not source.deinterlaced:
        yield from frames
        return
    bad: list[bool] = []

    def told() -> Iterator[Any]:
        for frame, damaged in frames:
            bad.append(damaged)
            yield frame

    for index, frame in enumerate(deinterlaced(told(), source)):
        yield frame, bad[index]
