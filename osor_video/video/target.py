"""What can be written where: container, encoder and streams, settled before anything is decoded."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile

import av

from osor_video.config import EncodeConfig
from osor_video.errors import ConfigError, VideoError
from osor_video.video.probe import COPIED_KINDS, SourceInfo, StreamSummary

CONTAINERS = {".mp4": "mp4", ".mov": "mov", ".m4v": "mp4", ".mkv": "matroska"}
X264_FORMATS = frozenset(
    ("yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le", "gray", "gray10le")
)
SPEED_PRESETS = (
    *("ultrafast", "superfast", "veryfast", "faster", "fast"),
    *("medium", "slow", "slower", "veryslow", "placebo"),
)


def check_target(path: str | Path, source: SourceInfo, encode: EncodeConfig) -> None:
    """Refuse a target that could not be written whole.

    Raises:
        ConfigError: lossless in a container other than .mkv, or an unknown encoder preset.
        VideoError: an unknown suffix, the source itself, a folder that is missing or not writable, or a
            container that cannot hold the source's sound or subtitles.
    """
    path = Path(path)
    _check_suffix(path, encode)
    if encode.encoder_preset not in SPEED_PRESETS:
        raise ConfigError(
            f"encode.encoder_preset is {encode.encoder_preset!r}, expected one of: {', '.join(SPEED_PRESETS)}"
        )
    _check_place(path, source)
    _check_streams(path, source)


def copied_streams(source: SourceInfo) -> tuple[StreamSummary, ...]:
    """Sound and subtitles that come through packet for packet."""
    return tuple(s for s in source.streams if s.kind in COPIED_KINDS and s.codec != "unknown")


def encoder_name(source: SourceInfo, encode: EncodeConfig) -> str:
    """FFmpeg's encoder: x264 where it takes the samples, x265 for deeper ones and HDR10, or FFV1."""
    if encode.lossless:
        return "ffv1"
    return "libx264" if source.color.pix_fmt in X264_FORMATS and not source.hdr else "libx265"


def target_notes(path: Path, source: SourceInfo, encode: EncodeConfig) -> list[str]:
    """What of the source does not come through, a phrase each."""
    copied = copied_streams(source)
    notes = [
        f"{stream.kind} stream {stream.index} ({stream.codec}) is not copied"
        + ("; chapters and timecode are written anew" if stream.kind == "data" else "")
        for stream in source.streams
        if stream not in copied
    ]
    if source.note:
        notes.append(source.note)
    if source.hdr and encode.lossless:
        notes.append("FFV1 carries no HDR10 mastering metadata; the colour tags are kept")
    if source.interlaced:
        notes.append("interlaced frames are written as progressive ones, their fields woven as they were")
    in_ms = source.time_base * 1000
    if path.suffix.lower() == ".mkv" and any((pts * in_ms).denominator > 1 for pts in source.pts):
        notes.append("Matroska rounds timestamps to milliseconds; .mp4 and .mov keep them exactly")
    return notes


def _check_suffix(path: Path, encode: EncodeConfig) -> None:
    suffix = path.suffix.lower()
    if suffix not in CONTAINERS:
        raise VideoError(
            f"{path} ends in {path.suffix!r}, expected one of {', '.join(CONTAINERS)}. Rename the output."
        )
    if encode.lossless and suffix != ".mkv":
        raise ConfigError(
            f"encode.lossless writes FFV1, which {suffix} does not hold. Name the output {path.stem}.mkv."
        )


def _check_place(path: Path, source: SourceInfo) -> None:
    if path.is_dir():
        raise VideoError(f"{path} is a folder. Expected the name of the video to write; add a file name.")
    if path.resolve() == source.path.resolve() or (path.exists() and path.samefile(source.path)):
        raise VideoError(
            f"{path} is the source itself, which is never overwritten. Choose another output name."
        )
    folder = path.resolve().parent
    if not folder.is_dir():
        raise VideoError(
            f"The output folder {folder} does not exist. Make it first, or choose another folder."
        )
    try:
        # Rights alone do not tell of read-only disks, quotas or folders that are no storage.
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise VideoError(
            f"The output folder {folder} is not writable ({error.strerror}). Choose another one."
        ) from error


def _check_streams(path: Path, source: SourceInfo) -> None:
    suffix = path.suffix.lower()
    copied = copied_streams(source)
    held = _codecs_held(CONTAINERS[suffix])
    foreign = [f"{stream.kind} {stream.codec}" for stream in copied if stream.codec not in held]
    if not foreign:
        return
    able = [
        s for s, name in CONTAINERS.items() if all(stream.codec in _codecs_held(name) for stream in copied)
    ]
    advice = (
        f"Name the output {path.stem}{'.mkv' if '.mkv' in able else able[0]}"
        if able
        else "Convert or drop that stream first"
    )
    raise VideoError(f"{suffix} cannot hold what {source.path} has: {', '.join(foreign)}. {advice}.")


@cache
def _codecs_held(container_format: str) -> frozenset[str]:
    """Codec names that the muxer takes."""
    with av.open(os.devnull, "w", format=container_format) as container:
        return frozenset(container.supported_codecs)
