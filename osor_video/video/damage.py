"""Damage in the middle of a source: what does not decode is bridged and told, and the rest keeps its times.

A player does the same. Without a packet there is no picture; the one before it stands in its place, so that every timestamp that
was probed gets its frame and nothing behind the damage moves.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av

from osor_video.errors import VideoError
from osor_video.video.probe import SourceInfo

MOST = 0.5
"""Share of the frames that may be damaged; beyond it nothing is worth keeping."""


def decoded_whole(source: SourceInfo, container: Any, stream: Any) -> Iterator[tuple[Any, bool]]:
    """A PyAV frame for every frame that was probed, in order, and whether it is damaged: stood in for, or decoded in part.

    Raises:
        VideoError: where more than half is damaged, where the file ends early, where the form of the frames changes, and where an
            undamaged file does not hold the frames that were probed.
    """
    mender = _Mender(source)
    for packet in _packets(container, stream, mender):
        try:
            frames = packet.decode()
        except av.error.FFmpegError as error:
            mender.meet(str(error.strerror))
            continue
        for frame in frames:
            yield from mender.take(frame)
    mender.end()


def damaged(source: SourceInfo, index: int, why: str) -> VideoError:
    """What to say of a source that cannot be used from frame ``index`` on."""
    at_s = float((source.pts[min(index, source.frames - 1)] - source.pts[0]) * Fraction(source.time_base))
    return VideoError(
        f"{source.path} is damaged at frame {index} of {source.frames} ({at_s:.2f} s): {why}; {index} frames "
        f"come before. Get a good copy or keep the part before: ffmpeg -i IN -t {at_s:.3f} -c copy OUT.mkv"
    )


def check_form(source: SourceInfo, index: int, frame: Any) -> None:
    """VideoError where a frame is of another size or sample format than was probed."""
    if (frame.height, frame.width) != source.size_hw or frame.format.name != source.pix_fmt:
        raise VideoError(
            f"{source.path} changes from {source.size_hw} {source.pix_fmt} to {(frame.height, frame.width)} "
            f"{frame.format.name} at frame {index} (height, width). Expected one form throughout; split it."
        )


def _packets(container: Any, stream: Any, mender: _Mender) -> Iterator[Any]:
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError as error:
            # What follows in the file cannot be found; the end says how much that is.
            mender.meet(str(error.strerror))
            return
        if packet is None:
            return
        yield packet


class _Mender:
    """Brings what decodes to the places that were probed, and fills those between."""

    def __init__(self, source: SourceInfo) -> None:
        self._source = source
        self._index = 0
        self._bad = 0
        self._why = ""
        self._last: Any = None

    def meet(self, why: str) -> None:
        """A packet could not be read or decoded."""
        self._why = why

    def take(self, frame: Any) -> Iterator[tuple[Any, bool]]:
        """The frame at its place, after what stands in for those before it that are missing."""
        source = self._source
        check_form(source, self._index, frame)
        place = source.frames if frame.pts is None else bisect_left(source.pts, frame.pts)
        if place >= source.frames or source.pts[place] != frame.pts or place < self._index:
            if self._why:
                return  # the damage gave it a time that no frame has
            expected = source.pts[self._index] if self._index < source.frames else "the end"
            raise damaged(
                source, self._index, f"its timestamp is {frame.pts}, the file's index says {expected}"
            )
        for _ in range(self._index, place):
            yield self._counted(frame if self._last is None else self._last, True)
        yield self._counted(frame, bool(frame.is_corrupt))
        self._last = frame

    def end(self) -> None:
        """VideoError where frames are missing at the end."""
        if self._index != self._source.frames:
            raise damaged(self._source, self._index, self._why or "the file ends there")

    def _counted(self, frame: Any, bad: bool) -> tuple[Any, bool]:
        if bad:
            self._why = self._why or "the decoder flags it"
            self._bad += 1
            if self._bad > max(1, MOST * self._source.frames):
                raise damaged(
                    self._source, self._index, f"{self._bad} frames up to there are, too many to bridge"
                )
        self._index += 1
        return frame, bad
