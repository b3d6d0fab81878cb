"""Everything beside the worked pictures: sound, subtitles, further pictures, covers, attachments, telemetry.

They are copied packet for packet. Timecode and chapters are written anew by the muxer from what the source states; a cover is a
stream in MP4 and MOV and an attachment in Matroska.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, Literal

import av

from osor_video.video.probe import SourceInfo, StreamSummary

CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".m4v": "mp4", ".mkv": "matroska"}
RECORD_TAG = "osor_record"
"""Where an edit's record lies among a container's tags (provenance/room.py)."""
STALE_TAGS = frozenset(
    (
        RECORD_TAG,
        *("major_brand", "minor_version", "compatible_brands", "encoder", "vendor_id"),
        *("duration", "bps", "number_of_frames", "number_of_bytes"),
    )
)
"""Tags that describe the old file and would be untrue of the new one."""
COVER_TYPES = {"png": "image/png", "mjpeg": "image/jpeg", "bmp": "image/bmp"}
Fate = Literal["copied", "anew", "attached", "lost"]


def fate(stream: StreamSummary, suffix: str, source: SourceInfo) -> Fate:
    """What becomes of a stream in a container of this suffix."""
    matroska = suffix == ".mkv"
    if stream.role:
        return "anew"
    if stream.kind == "attachment":
        return "attached" if matroska else "lost"
    if stream.cover and matroska:
        return "attached" if stream.codec in COVER_TYPES else "lost"
    if stream.kind == "data":
        return "copied" if _muxer_takes(source.path, stream.index, CONTAINERS[suffix]) else "lost"
    return "copied" if stream.codec in codecs_held(CONTAINERS[suffix]) else "lost"


def lost_streams(source: SourceInfo, suffix: str) -> tuple[StreamSummary, ...]:
    """Streams that a container of this suffix does not hold."""
    return tuple(stream for stream in source.streams if fate(stream, suffix, source) == "lost")


@cache
def codecs_held(container_format: str) -> frozenset[str]:
    """Codec names that the muxer takes."""
    with av.open(os.devnull, "w", format=container_format) as container:
        return frozenset(container.supported_codecs)


@cache
def _muxer_takes(path: Path, index: int, container_format: str) -> bool:
    """Whether the muxer begins a file with this stream of ``path``: what it says of telemetry is in no list."""
    try:
        with (
            av.open(str(path), metadata_errors="replace") as source,
            av.open(os.devnull, "w", format=container_format) as output,
        ):
            output.add_stream_from_template(source.streams[index])
            output.start_encoding()
    except (av.error.FFmpegError, ValueError, IndexError, OSError):
        return False
    return True


class CopiedStreams:
    """The other streams of a source, muxed byte for byte in step with the new pictures."""

    def __init__(self, source: Any, output: Any, info: SourceInfo, suffix: str) -> None:
        self._source = source
        self._path = info.path
        self._output = output
        self._fates = {stream.index: fate(stream, suffix, info) for stream in info.streams}
        self._streams: dict[int, Any] = {}
        self._packets: Iterator[Any] = iter(())
        self._pending: Any = None

    def add(self, index: int) -> None:
        """Make the output's stream for the source's stream ``index``; in the source's order their order stays."""
        template, chosen = self._source.streams[index], self._fates.get(index, "lost")
        if chosen == "attached":
            _attach(template, self._path, self._output)
        elif chosen == "copied":
            opaque = {} if template.type == "data" else {"opaque": template.type == "video"}
            stream = self._output.add_stream_from_template(template, **opaque)
            stream.metadata.update(kept_tags(template.metadata))
            stream.disposition = template.disposition
            self._streams[index] = stream

    def begin(self) -> None:
        """Start reading, when every stream has been added; covers, which have no time, go first."""
        chosen = [self._source.streams[index] for index in self._streams]
        for template in chosen:
            if _is_cover(template):
                self._mux_cover(template)
        timed = [template for template in chosen if not _is_cover(template)]
        self._packets = _in_time(self._source.demux(timed)) if timed else iter(())

    def copy_until(self, time_s: Fraction | None) -> None:
        """Mux what comes before ``time_s`` seconds, or all that is left."""
        while True:
            packet = self._pending or next(self._packets, None)
            self._pending = None
            if packet is None:
                return
            if time_s is not None and packet.dts * packet.time_base > time_s:
                self._pending = packet
                return
            packet.stream = self._streams[packet.stream.index]
            self._output.mux(packet)

    def _mux_cover(self, template: Any) -> None:
        packet = _cover_packet(template, self._path)
        if packet is not None:
            packet.pts = packet.dts = 0
            packet.stream = self._streams[template.index]
            self._output.mux(packet)


def kept_tags(metadata: dict[str, str]) -> dict[str, str]:
    """Tags that stay true."""
    return {key: value for key, value in metadata.items() if key.lower() not in STALE_TAGS}


def _is_cover(stream: Any) -> bool:
    return bool(stream.type == "video" and stream.disposition & av.stream.Disposition.attached_pic)


def _cover_packet(template: Any, path: Path) -> Any:
    """The one packet of a cover, read from the file anew: the source in hand is not moved."""
    with av.open(str(path), metadata_errors="replace") as again:
        return next((p for p in again.demux(again.streams[template.index]) if p.size), None)


def _attach(template: Any, path: Path, output: Any) -> None:
    """An attachment, or a cover as one; only the last part of a stated name is one."""
    if template.type == "attachment":
        name, kind, data = template.name or "attachment", template.mimetype, template.data
    else:
        codec = template.codec_context.codec.canonical_name
        packet = _cover_packet(template, path)
        if packet is None:
            return
        kind, data = COVER_TYPES[codec], bytes(packet)
        name = template.metadata.get("filename", f"cover.{'jpg' if codec == 'mjpeg' else codec}")
    safe = Path(name.replace("\\", "/")).name or "attachment"
    stream = output.add_attachment(safe, kind or "application/octet-stream", bytes(data))
    stream.metadata.update({k: v for k, v in kept_tags(template.metadata).items() if k.lower() != "filename"})


def _in_time(packets: Iterator[Any]) -> Iterator[Any]:
    """The packets, each with a decoding time: Matroska states none, and the first ones of pictures that are reordered lack it."""
    waiting: dict[int, deque[Any]] = {}
    for packet in packets:
        held = waiting.setdefault(packet.stream.index, deque())
        if packet.dts is None and packet.pts is None:
            continue
        held.append(packet)
        if packet.dts is None:
            continue
        first = packet.dts
        step = max(packet.duration or 1, 1)
        lacking = len(held) - 1
        for number, early in enumerate(held):
            if early.dts is None:
                early.dts = min(first - step * (lacking - number), early.pts)
            yield early
        held.clear()
    for held in waiting.values():
        for early in held:
            early.dts = early.pts
            yield early
