"""What a source is: size, rate, every timestamp, colour and its other streams; and whether it is whole.

Frames are counted from packets, never from the container's own figure, which an edit list makes wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av

from osor_video.errors import VideoError
from osor_video.video.frames import (
    FULL_RANGE,
    MATRIX_TAG,
    RGB_TAG,
    check_frame_size,
    is_rgb,
    opened,
    planar_color,
    video_stream,
)
from osor_video.video.hdr import hdr_parameters
from osor_video.video.planes import ColorSpec

PICTURE_FORMATS = ("image2", "tty", "svg", "ico")
INDEXED_FORMATS = ("mov", "matroska")
"""Containers whose header states a duration that is not guessed from the bytes."""
MISSING_TAIL_S = 0.5
TAIL_PACKETS = 600
"""A longer group of pictures is not kept in memory; its damage shows when it is read."""
FIELD_ORDERS = {2: "tt", 3: "bb", 4: "tb", 5: "bt"}
"""FFmpeg's numbers of how fields are coded and shown."""
DYNAMIC_HDR = {
    "DYNAMIC_HDR_PLUS": "HDR10+",
    "DOVI_METADATA": "Dolby Vision",
    "DOVI_RPU_BUFFER": "Dolby Vision",
}


@dataclass(frozen=True)
class ColorTags:
    """ITU-T H.273 colour numbers as the source's first frame carries them; 2 = not stated."""

    primaries: int
    transfer: int
    matrix: int
    range: int


@dataclass(frozen=True)
class StreamSummary:
    """A stream other than the worked video: its index in the file, kind and codec name (of an attachment its MIME type).

    ``cover``: a still picture for the file. ``role``: "timecode" or "chapters" where that is all a data stream says, else ''.
    """

    index: int
    kind: str
    codec: str
    cover: bool = False
    role: str = ""


@dataclass(frozen=True)
class SourceInfo:
    """A video as it was probed.

    Sizes are (height, width) as coded, before any rotation. ``pts`` holds the presentation time of every
    frame in units of ``time_base`` seconds. ``rotation`` is counter-clockwise degrees; ``display_matrix``
    keeps it exactly, flips too. ``skipped`` counts packets that are never shown. ``hdr`` is the HDR10
    metadata in x265's notation; ``note`` says where the samples had to be converted; both are mostly empty.
    ``field_order`` is FFmpeg's "tt", "bb", "tb" or "bt" where it is interlaced and stated, ``deinterlaced`` says that it is read
    as whole pictures. ``unkept`` names what is inside the pictures' stream and cannot be written again. ``files`` are the
    pictures of a sequence.
    """

    path: Path
    size_hw: tuple[int, int]
    sample_aspect: Fraction
    rate: Fraction
    time_base: Fraction
    pts: tuple[int, ...] = field(repr=False)
    container: str
    codec: str
    pix_fmt: str
    color: ColorSpec
    tags: ColorTags
    rotation: int
    display_matrix: tuple[int, ...]
    interlaced: bool
    streams: tuple[StreamSummary, ...]
    skipped: int
    hdr: str
    note: str
    profile: str = ""
    field_order: str = ""
    deinterlaced: bool = False
    unkept: tuple[str, ...] = ()
    files: tuple[Path, ...] = field(default=(), repr=False)

    @property
    def frames(self) -> int:
        """Number of frames that decode."""
        return len(self.pts)

    @property
    def duration_s(self) -> float:
        """Seconds from the first frame to the end of the last, which lasts as long as the rate says."""
        return float((self.pts[-1] - self.pts[0]) * self.time_base + 1 / self.rate)

    @property
    def variable_rate(self) -> bool:
        """True if the steps between frames differ by more than the rounding of the time base."""
        steps = [after - before for before, after in pairwise(self.pts)]
        return bool(steps) and max(steps) - min(steps) > 1

    def codecs(self, kind: str) -> tuple[str, ...]:
        """Codecs of the other streams of one kind: "audio", "subtitle", "data", "attachment" or "video"."""
        return tuple(stream.codec for stream in self.streams if stream.kind == kind)


@dataclass(frozen=True)
class _Packets:
    """What one pass over all packets tells."""

    pts: tuple[int, ...]
    skipped: int
    end_s: float
    tail: tuple[Any, ...]
    counts: Counter[int]
    """Packets of each stream."""


def probe(path: str | Path) -> SourceInfo:
    """Read the headers, all packets, the first frame and the last group of pictures.

    Raises:
        VideoError: if the path is missing, a folder, a still picture, not a video, has no video stream or no
            frame, has unusable timestamps, or is cut off or damaged at its end.
    """
    path = Path(path)
    _check_path(path)
    with opened(path) as container:
        _check_is_video(container.format.name, path)
        first = _first_frame(container, path)
    with opened(path) as container:
        stream = video_stream(container, path)
        packets = _scan(container, stream, int(first.pts), path)
        _check_whole(container, packets, path)
        _check_tail(stream, packets, path)
        return _describe(container, stream, first, packets, path)


def check_frame(source: SourceInfo, frame: int) -> None:
    """VideoError for a frame number that the source does not have."""
    if not 0 <= frame < source.frames:
        raise VideoError(f"Frame {frame} is not in {source.path}: it has frames 0 to {source.frames - 1}.")


def _check_path(path: Path) -> None:
    if path.is_dir():
        raise VideoError(f"{path} is a folder. Expected one video file; name the file inside it.")
    if not path.exists():
        raise VideoError(f"{path} does not exist. Expected a video file; check the spelling and the folder.")
    if path.stat().st_size == 0:
        raise VideoError(f"{path} is empty (0 bytes). Expected a video file; record or download it again.")


def _check_is_video(format_name: str, path: Path) -> None:
    if format_name in PICTURE_FORMATS or format_name.endswith("_pipe"):
        raise VideoError(
            f"{path} is a still picture ({format_name}), expected a video. Give a clip of frames."
        )


def _first_frame(container: Any, path: Path) -> Any:
    """First frame that decodes; a stream cut out of a longer one may begin with packets that do not."""
    stream = video_stream(container, path)
    if stream.codec_context is None:
        raise VideoError(f"{path} holds a video codec that is not known here. Convert it to H.264 first.")
    try:
        first = next(iter(container.decode(stream)), None)
    except av.error.FFmpegError as error:
        raise VideoError(f"{path} is damaged: its first frame does not decode ({error.strerror}).") from error
    if first is None:
        raise VideoError(f"{path} has a video stream without frames. Expected at least one; record it again.")
    if first.pts is None:
        raise VideoError(
            f"{path} has frames without timestamps. Wrap it in a container that has them, for example: "
            f"ffmpeg -fflags +genpts -i IN -c copy OUT.mkv"
        )
    check_frame_size((first.height, first.width), path)
    return first


def _readable(container: Any, path: Path) -> Iterator[Any]:
    """Every packet up to the end, or up to where the file can be followed no further."""
    packets = container.demux()
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError:
            return
        except IndexError as error:
            # PyAV knows the streams of the begin alone.
            raise VideoError(
                f"{path} gains a stream in its middle, expected the same streams throughout. Put it into another container "
                "first, for example: ffmpeg -i IN -map 0:v -map 0:a? -c copy OUT.mkv"
            ) from error
        if packet is None:
            return
        yield packet


def _scan(container: Any, stream: Any, first_pts: int, path: Path) -> _Packets:
    """One pass over every packet of the file; nothing is decoded."""
    pts: list[int] = []
    tail: list[Any] = []
    skipped, end = 0, Fraction(0)
    counts: Counter[int] = Counter()
    for packet in _readable(container, path):
        if packet.pts is None:
            continue
        counts[packet.stream_index] += 1
        end = max(end, (packet.pts + (packet.duration or 0)) * packet.time_base)
        if packet.stream_index != stream.index:
            continue
        if packet.is_discard or packet.pts < first_pts:
            skipped += 1
            continue
        pts.append(packet.pts)
        if packet.is_keyframe:
            tail.clear()
        if len(tail) < TAIL_PACKETS:
            tail.append(packet)
    pts.sort()
    if len(set(pts)) < len(pts):
        raise VideoError(
            f"{path} repeats {len(pts) - len(set(pts))} timestamps, expected every frame to have its own. "
            f"Give it even ones first, for example: ffmpeg -i IN -fps_mode cfr OUT.mp4"
        )
    return _Packets(tuple(pts), skipped, float(end), tuple(tail), counts)


def _check_whole(container: Any, packets: _Packets, path: Path) -> None:
    """Compare the end of the last packet of any stream with the duration that the header promises."""
    indexed = container.format.name.split(",")[0] in INDEXED_FORMATS
    if not indexed or container.duration is None:
        return
    start_s = (container.start_time or 0) / av.time_base
    missing_s = start_s + container.duration / av.time_base - packets.end_s
    # Matroska states the end, other containers the length: take the reading that accuses the file less.
    missing_s = min(missing_s, container.duration / av.time_base - packets.end_s)
    if missing_s > MISSING_TAIL_S:
        raise VideoError(
            f"{path} is cut off: its last {missing_s:.1f} s are missing, {len(packets.pts)} frames are "
            f"there. Get the whole file, or keep what is there by re-muxing it: ffmpeg -i IN -c copy OUT.mkv"
        )


def _check_tail(stream: Any, packets: _Packets, path: Path) -> None:
    """Decode the last group of pictures, where a file that was cut off shows it."""
    if not packets.tail or not packets.tail[0].is_keyframe or len(packets.tail) >= TAIL_PACKETS:
        return
    last_good = packets.pts[0] - 1
    for packet in (*packets.tail, None):
        try:
            frames = stream.codec_context.decode(packet)
        except av.error.FFmpegError:
            continue  # damage before the end is bridged when the file is read
        last_good = max(
            [last_good, *(frame.pts for frame in frames if frame.pts is not None and not frame.is_corrupt)]
        )
    good = sum(pts <= last_good for pts in packets.pts)
    if good < len(packets.pts):
        raise VideoError(
            f"{path} is damaged or cut off at its end: {good} of {len(packets.pts)} frames decode. Get the "
            f"whole file, or keep the good part by re-muxing: ffmpeg -i IN -frames:v {good} -c copy OUT.mkv"
        )


def _describe(container: Any, stream: Any, first: Any, packets: _Packets, path: Path) -> SourceInfo:
    color, note = planar_color(first, path)
    matrix = first.side_data.get("DISPLAYMATRIX")
    return SourceInfo(
        path=path,
        size_hw=(first.height, first.width),
        sample_aspect=Fraction(stream.sample_aspect_ratio or 1),
        rate=_rate(stream, packets.pts),
        time_base=stream.time_base,
        pts=packets.pts,
        container=container.format.name.split(",")[0],
        codec=_codec_name(stream),
        pix_fmt=first.format.name,
        color=color,
        tags=_tags(first, color),
        rotation=int(first.rotation) % 360,
        display_matrix=() if matrix is None else tuple(memoryview(bytes(matrix)).cast("i")),
        interlaced=bool(first.interlaced_frame),
        streams=tuple(
            _summary(other, packets, container) for other in container.streams if other.index != stream.index
        ),
        skipped=packets.skipped,
        hdr=hdr_parameters(first),
        note=note,
        profile=str(stream.profile or ""),
        field_order=FIELD_ORDERS.get(int(stream.codec_context.field_order), ""),
        unkept=_unkept(first),
    )


def _summary(stream: Any, packets: _Packets, container: Any) -> StreamSummary:
    kind = stream.type
    cover = kind == "video" and bool(stream.disposition & av.stream.Disposition.attached_pic)
    if kind == "attachment":
        return StreamSummary(stream.index, kind, str(stream.mimetype or "unknown"))
    role = ""
    if kind == "data" and "timecode" in stream.metadata:
        role = "timecode"
    elif kind == "data" and container.format.name.startswith("mov") and stream.name == "bin_data":
        # QuickTime keeps chapters as a track of texts, which the muxer makes anew from the chapters.
        chapters = container.chapters()
        role = "chapters" if chapters and packets.counts[stream.index] == len(chapters) else ""
    codec = str(stream.name or "unknown") if kind == "data" else _codec_name(stream)
    return StreamSummary(stream.index, kind, codec, cover, role)


def _unkept(first: Any) -> tuple[str, ...]:
    """What a frame carries beside its samples that no encoder here can be given."""
    kinds = {item.type.name for item in first.side_data}
    found = {DYNAMIC_HDR[kind] for kind in kinds if kind in DYNAMIC_HDR}
    return tuple(sorted(found)) + (("closed captions inside the pictures",) if "A53_CC" in kinds else ())


def _codec_name(stream: Any) -> str:
    """The codec's own name, not its decoder's (``mp3``, not ``mp3float``)."""
    return "unknown" if stream.codec_context is None else str(stream.codec_context.codec.canonical_name)


def _rate(stream: Any, pts: tuple[int, ...]) -> Fraction:
    """Average frames a second: as the container says, else counted."""
    stated = stream.average_rate or stream.guessed_rate
    if stated:
        return Fraction(stated)
    span = (pts[-1] - pts[0]) * stream.time_base
    return Fraction((len(pts) - 1) / span).limit_denominator(1001) if span else Fraction(25)


def _tags(first: Any, color: ColorSpec) -> ColorTags:
    """Tags of the first frame, made true of the planes: RGB and full range are named."""
    matrix, span = int(first.colorspace), int(first.color_range)
    if is_rgb(first.format) or matrix == RGB_TAG:
        matrix = MATRIX_TAG[color.matrix]
    if color.full_range:
        span = FULL_RANGE
    return ColorTags(int(first.color_primaries), int(first.color_trc), matrix, span)
