"""What can be written where: container, encoder and streams, settled before anything is decoded."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryFile

from osor_video.config import EncodeConfig
from osor_video.errors import ConfigError, VideoError
from osor_video.video.codecs import choose_target
from osor_video.video.encoders import SPEED_PRESETS, WORST_CRF, keeps_fields
from osor_video.video.probe import SourceInfo
from osor_video.video.streams import CONTAINERS, lost_streams


def check_target(path: str | Path, source: SourceInfo, encode: EncodeConfig) -> None:
    """Refuse a target that could not be written whole.

    Raises:
        ConfigError: a codec that the container or the picture's size does not suit, or an unknown encoder preset.
        VideoError: an unknown suffix, the source itself, a folder that is missing or not writable, or a container
            that cannot hold one of the source's streams, unless these are to be dropped.
    """
    path = Path(path)
    _check_suffix(path)
    target = choose_target(path, source, encode)
    worst = WORST_CRF.get(target.codec.encoder)
    if worst is not None and (encode.crf or 0) > worst:
        raise ConfigError(f"encode.crf is {encode.crf}, expected 0 to {worst} for {target.codec.title}.")
    if encode.encoder_preset not in SPEED_PRESETS:
        raise ConfigError(
            f"encode.encoder_preset is {encode.encoder_preset!r}, expected one of: {', '.join(SPEED_PRESETS)}"
        )
    _check_place(path, source)
    if not encode.drop_streams:
        _check_streams(path, source)


def target_notes(path: Path, source: SourceInfo, encode: EncodeConfig) -> list[str]:
    """What of the source does not come through, a phrase each."""
    suffix = path.suffix.lower()
    target = choose_target(path, source, encode)
    notes = [
        f"{stream.kind} stream {stream.index} ({stream.codec}) is left behind: {suffix} does not hold it"
        for stream in lost_streams(source, suffix)
    ]
    notes += [note for note in (source.note, target.note) if note]
    notes += [f"{what} does not come through encoding" for what in source.unkept]
    if source.hdr and target.name not in ("h265", "av1"):
        notes.append(f"{target.codec.title} carries no HDR10 mastering metadata; the colour tags are kept")
    notes += field_notes(source, keeps_fields(target, source))
    in_ms = source.time_base * 1000
    if suffix == ".mkv" and any((pts * in_ms).denominator > 1 for pts in source.pts):
        notes.append("Matroska rounds timestamps to milliseconds; .mp4 and .mov keep them exactly")
    return notes


def field_notes(source: SourceInfo, kept: bool) -> list[str]:
    """What is to be known of an interlaced source."""
    if source.deinterlaced:
        return [
            "deinterlaced: every pixel is made anew from the fields; what is not replaced equals these pictures"
        ]
    if not source.interlaced:
        return []
    written = (
        "stays interlaced"
        if kept
        else "interlaced frames are written as progressive ones, their fields woven"
    )
    return [f"{written}; moving edges are combed and fills show it: --deinterlace makes whole pictures"]


def _check_suffix(path: Path) -> None:
    suffix = path.suffix.lower()
    if suffix not in CONTAINERS:
        raise VideoError(
            f"{path} ends in {path.suffix!r}, expected one of {', '.join(CONTAINERS)}. Rename the output."
        )


def _check_place(path: Path, source: SourceInfo) -> None:
    if path.is_dir():
        raise VideoError(f"{path} is a folder. Expected the name of the video to write; add a file name.")
    # A sequence's pattern is no file, though what it names is there.
    both = path.exists() and source.path.exists()
    if path.resolve() == source.path.resolve() or (both and path.samefile(source.path)):
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
    """Refuse to lose a stream; telemetry that no container here holds is only noted."""
    suffix = path.suffix.lower()
    able = [other for other in CONTAINERS if not lost_streams(source, other)]
    lost = [s for s in lost_streams(source, suffix) if able or s.kind != "data"]
    if not lost:
        return
    if able:
        advice = f"Name the output {path.stem}{'.mkv' if '.mkv' in able else able[0]}"
    else:
        advice = "Convert or drop that stream first"
    named = ", ".join(f"{stream.kind} {stream.codec}" for stream in lost)
    raise VideoError(
        f"{suffix} cannot hold what {source.path} has: {named}. {advice}, or leave it behind with --drop-streams."
    )
