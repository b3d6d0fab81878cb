"""What a file's streams hold, as hashes that stay the same however the container around them is laid out."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import Any

import av

from osor_video.errors import VideoError


def stream_hashes(path: Path) -> dict[str, str]:
    """Hex SHA-256 of every stream of the file at ``path``, by its number and kind such as ``0 video``.

    Of the decoder's setup, then of every packet its time in seconds (an exact fraction), its size and its bytes, in order.
    Attachments count with their bytes. The box that names a file's brands counts as a stream, ``file type``, where there is one:
    signatures leave it out. Raises VideoError where the file cannot be read to its end.
    """
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            digests = {stream.index: _begun(stream) for stream in container.streams}
            names = {stream.index: f"{stream.index} {stream.type}" for stream in container.streams}
            for packet in container.demux():
                if packet.size:
                    time_s = None if packet.pts is None else packet.pts * packet.time_base
                    digest = digests[packet.stream.index]
                    digest.update(f"{time_s} {packet.size}\n".encode())
                    digest.update(packet)
            hashes = {names[index]: digest.hexdigest() for index, digest in digests.items()}
        return hashes | _file_type(path)
    except (av.error.FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"{path} cannot be read as a clip ({error}). Give a video file.") from error


def _begun(stream: Any) -> Any:
    """A digest that has taken what a stream has beside its packets."""
    digest = hashlib.sha256()
    context = stream.codec_context
    if context is not None and context.extradata:
        digest.update(context.extradata)
    if stream.type == "attachment":
        digest.update(stream.data)
    return digest


def _file_type(path: Path) -> dict[str, str]:
    with path.open("rb") as file:
        size, kind = struct.unpack(">I4s", file.read(8))
        return {"file type": hashlib.sha256(file.read(size - 8)).hexdigest()} if kind == b"ftyp" else {}
