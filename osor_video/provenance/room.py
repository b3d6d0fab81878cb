"""A record inside the container it speaks of.

The container is written with a blank record as one of its tags, as long as the record will ever be. When the file is whole, the
record is put into that room: not another byte changes. In Matroska a checksum of the tags (RFC 8794, 11.3.1) follows suit.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import re
import zlib
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from osor_video.errors import VideoError
from osor_video.provenance.record import KIND, Record
from osor_video.video.streams import RECORD_TAG

MATROSKA = (".mkv",)
SOUGHT = f'{{"kind":"{KIND}","room":'.encode()
KEYS = (RECORD_TAG.encode(), RECORD_TAG.upper().encode())
"""The tag's key, as MP4 and as Matroska have it."""
BASE_BYTES, FRAME_BYTES = 16_384, 8
"""Room for all that does not grow with the clip, and for its runs of frames should every other frame begin one."""
TAGS_ID, CRC_ID = b"\x12\x54\xc3\x67", b"\xbf\x84"
"""EBML ids of Matroska's tags, and of a checksum (with its size, four bytes)."""


STEP = 1 << 22


class DamagedRecordError(Exception):
    """There is the room of a record, and what stands in it is none."""


def blank(frames: int) -> str:
    """What holds the room for the record of a clip of ``frames``."""
    return _blank(BASE_BYTES + FRAME_BYTES * frames).decode()


def _blank(room: int) -> bytes:
    return f'{{"kind":"{KIND}","room":{room}}}'.encode().ljust(room)


def has_room(path: Path) -> bool:
    """Whether the file has a record, or the room for one."""
    return _place(path) is not None


def put(path: Path, record: Record) -> None:
    """Put ``record`` into the room that the file was written with; VideoError where there is none."""
    place = _place(path)
    room = None if place is None else _stated(path, place)
    if place is None or room is None:
        raise VideoError(f"{path} has no room for a record. Leave --embed-record out, or write .mp4 or .mkv.")
    text = _text(record, room)
    if len(text) > room:
        short = record.model_copy(update={"touched": [], "cuts": [], "damaged": []})
        left_out = [*record.left_out, "touched", "cuts", "damaged"]
        text = _text(short.model_copy(update={"left_out": left_out}), room)
    if len(text) > room:
        raise VideoError(
            f"The record of {path} has {len(text)} bytes, expected {room} at most. Shorten --reason."
        )
    _write(path, place, text.ljust(room))


def take(path: Path) -> Record | None:
    """The record inside the file; None where it has none, or a blank one; DamagedRecordError where it is no longer whole."""
    place = _place(path)
    if place is None:
        if _found(path, *KEYS) is None:
            return None
        raise DamagedRecordError
    room = _stated(path, place)
    if room is None:
        raise DamagedRecordError
    with path.open("rb") as file:
        file.seek(place)
        text = file.read(room)
    if text == _blank(room):
        return None
    try:
        record = Record.model_validate_json(text)
    except (ValidationError, UnicodeDecodeError) as error:
        raise DamagedRecordError from error
    if _text(record, room).ljust(room) != text:
        raise DamagedRecordError
    return record


def sha256_without(path: Path) -> str:
    """Hex SHA-256 of the file as it was before a record was put into it."""
    place = _place(path)
    room = None if place is None else _stated(path, place)
    if place is None or room is None:
        raise DamagedRecordError
    digest = hashlib.sha256()
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        done = 0
        for start, piece in _edits(data, place, _blank(room), path):
            for begin in range(done, start, STEP):
                digest.update(data[begin : min(begin + STEP, start)])
            digest.update(piece)
            done = start + len(piece)
        for begin in range(done, len(data), STEP):
            digest.update(data[begin : begin + STEP])
    return digest.hexdigest()


def _place(path: Path) -> int | None:
    """Where in the file the room begins."""
    return _found(path, SOUGHT)


def _found(path: Path, *sought: bytes) -> int | None:
    """Where in the file the first of ``sought`` that it has begins."""
    if not path.stat().st_size:
        return None
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return next((place for item in sought if (place := data.find(item)) >= 0), None)


def _stated(path: Path, place: int) -> int | None:
    """How long it says it is; None where it does not say, or says more than the file has."""
    with path.open("rb") as file:
        file.seek(place + len(SOUGHT))
        digits = re.match(rb"\d{1,9}(?=[,}])", file.read(10))
    room = int(digits[0]) if digits else 0
    return room if len(SOUGHT) < room <= path.stat().st_size - place else None


def _text(record: Record, room: int) -> bytes:
    """A record's text in a room of so many bytes, with the hash of itself."""
    values: dict[str, Any] = record.plain() | {"room": room, "own_sha256": None}
    return _json(values | {"own_sha256": hashlib.sha256(_json(values)).hexdigest()})


def _json(values: dict[str, Any]) -> bytes:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()


def _write(path: Path, place: int, text: bytes) -> None:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        edits = _edits(data, place, text, path)
    with path.open("r+b") as target:
        for start, piece in edits:
            target.seek(start)
            target.write(piece)


def _edits(data: mmap.mmap, place: int, text: bytes, path: Path) -> list[tuple[int, bytes]]:
    """What has to be written where, in order, so that ``text`` stands in the room: itself, before it a checksum in Matroska."""
    edits = [(place, text)]
    tags = data.rfind(TAGS_ID, 0, place) if path.suffix.lower() in MATROSKA else -1
    if tags < 0:
        return edits
    head = tags + len(TAGS_ID)
    length = 9 - data[head].bit_length()
    size = int.from_bytes(data[head : head + length], "big") & (1 << 7 * length) - 1
    begin = head + length
    if data[begin : begin + 2] != CRC_ID or not begin < place < begin + size:
        return edits
    covered = begin + 6
    checksum = zlib.crc32(data[covered:place])
    checksum = zlib.crc32(text, checksum)
    checksum = zlib.crc32(data[place + len(text) : begin + size], checksum)
    return [(begin + 2, checksum.to_bytes(4, "little")), *edits]
