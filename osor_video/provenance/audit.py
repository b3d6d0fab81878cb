"""The log of all jobs: one JSON line a job, each with the hash of the line before it, only ever appended to.

A line that was changed, removed or moved no longer fits those behind it. Lines cut off at the end leave nothing that could tell:
keep the hash of the last line, which ``verify`` prints, somewhere else.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from osor_video.errors import ConfigError

KIND = "osor-video audit 1"
NOTHING = "0" * 64
"""What the first line has in place of the hash of a line before."""
WAIT_S = 60
STEP = 1 << 16


@dataclass(frozen=True)
class Chain:
    """A log that was read: its lines, what is wrong with some of them, and the hash of the last."""

    lines: int
    faults: tuple[str, ...]
    head: str
    failed: int
    """Jobs that failed or were stopped."""


def check_log(path: Path) -> None:
    """Refuse what lines cannot be added to: ConfigError for a file that is no log, or is damaged at its end."""
    if path.is_dir():
        raise ConfigError(f"--audit-log is {path}, which is a folder. Add a file name such as audit.jsonl.")
    if path.exists():
        with _named(path), path.open("rb") as file:
            _last_line(file, path)
        if not os.access(path, os.W_OK):
            raise ConfigError(
                f"The audit log {path} is not writable. Choose another file, or have it opened."
            )


def append(path: Path, entry: Mapping[str, Any]) -> None:
    """Add a line with ``entry``; whole or, should the machine stop, as an unfinished one that is found.

    Raises ConfigError where the file is no log or cannot be written.
    """
    with _named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock", timeout=WAIT_S), _opened(path) as file:
            number, before = _last_line(file, path)
            head = {"kind": KIND, "number": number + 1, "before": before}
            line = json.dumps(head | dict(entry), ensure_ascii=False, separators=(",", ":"))
            data = line.encode() + b"\n"
            if os.write(file.fileno(), data) != len(data):
                raise ConfigError(f"The audit log {path} has no room for a whole line. Free some space.")
            os.fsync(file.fileno())


def read_chain(path: Path) -> Chain:
    """Check every line of a log; ConfigError where it is none."""
    faults, before, number, failed = [], NOTHING, 0, 0
    with _named(path), path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            entry = _entry(line)
            if entry is None:
                if number == 1:
                    raise _no_log(path)
                faults.append(f"line {number} is no whole line of the log")
            elif entry["number"] != number or entry["before"] != before:
                faults.append(
                    f"line {number} does not follow the line before it: one was changed, removed, added or moved"
                )
            failed += 0 if entry is None or entry.get("status") == "done" else 1
            before = _hash(line)
    if not number:
        raise _no_log(path)
    return Chain(number, tuple(faults), before, failed)


def is_log(path: Path) -> bool:
    """Whether a file begins as a log does."""
    with path.open("rb") as file:
        return file.read(len(KIND) + 10).startswith(f'{{"kind":"{KIND}"'.encode())


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """For reading, and for writing at the end only."""
    with os.fdopen(os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644), "rb", buffering=0) as file:
        yield file


@contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except Timeout as error:
        raise ConfigError(
            f"The audit log {path} has been in use by another job for {WAIT_S} s. Try again."
        ) from error
    except OSError as error:
        raise ConfigError(
            f"The audit log {path} cannot be read or written ({error.strerror}). Choose another file."
        ) from error


def _last_line(file: Any, path: Path) -> tuple[int, str]:
    """Number and hash of the last line; 0 and NOTHING in an empty file, ConfigError where it is no line of a log."""
    end = file.seek(0, os.SEEK_END)
    if not end:
        return 0, NOTHING
    tail, begin = b"", end
    while begin and tail[:-1].count(b"\n") == 0:
        step = min(STEP, begin)
        begin -= step
        file.seek(begin)
        tail = file.read(step) + tail
    line = tail[tail[:-1].rfind(b"\n") + 1 :]
    entry = _entry(line)
    if entry is None and not is_log(path):
        raise _no_log(path)
    if entry is None:
        raise ConfigError(
            f"The last line of the audit log {path} is not whole. Put the file aside as it is and begin a new one."
        )
    return entry["number"], _hash(line)


def _entry(line: bytes) -> dict[str, Any] | None:
    """A line's content; None where it is not whole."""
    try:
        entry = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    if not isinstance(entry, dict) or entry.get("kind") != KIND:
        return None
    return entry if isinstance(entry.get("number"), int) and isinstance(entry.get("before"), str) else None


def _hash(line: bytes) -> str:
    return hashlib.sha256(line.removesuffix(b"\n")).hexdigest()


def _no_log(path: Path) -> ConfigError:
    return ConfigError(
        f"{path} is not an audit log of osor-video, so nothing is added to it. Choose a new file, such as audit.jsonl."
    )
