"""The work folder beside the output: who holds it, whose run it is, and what that run has written down.

Every file appears whole or not at all, whatever is cut off when: it is written under another name, brought to the disk, renamed,
and the rename is brought to the disk too. Each begins with the checksum of the rest.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import torch
from filelock import FileLock, Timeout

from osor_video.errors import ConfigError, VideoError
from osor_video.work.identity import Identity, differences

Unfinished = Literal["refuse", "resume", "restart"]
"""What is to become of an unfinished run of the same output: nothing (an error), go on with it, or throw it away."""
SUFFIX = ".osor-work"
LOCK, OWNER, RUN = "lock", "owner.json", "run.json"
MAGIC = b"osor-video work 1\n"
ENDING = ".part"
FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class HeldElsewhereError(VideoError):
    """Another run writes the same output at this moment."""


class OtherRunError(ConfigError):
    """What was left unfinished is another run than this one."""


def work_path(output: Path) -> Path:
    """The work folder of a run that writes ``output``."""
    return output.with_name(f"{output.name}{SUFFIX}")


def check_work(output: Path, unfinished: Unfinished = "refuse") -> None:
    """Refuse early what a WorkFolder would refuse before it compares runs.

    Raises VideoError where another run writes ``output`` at this moment, ConfigError where an unfinished one is in the way.
    """
    path = work_path(output)
    if not path.exists():
        return
    with _lock(path, output):
        if unfinished == "refuse" and (path / RUN).exists():
            raise _in_the_way(path, output)


class WorkFolder:
    """Holds the work folder of ``output`` for one run; use it as a context manager.

    It goes when the block ends well, and when it ends badly before anything was saved; else it stays, and the error gets a note
    that says so. ``kept``: it stays in any case, for a later run. ``resumed`` says whether an earlier run is gone on with.

    Raises:
        VideoError: another run holds it (HeldElsewhereError), or it cannot be written.
        ConfigError: an unfinished run is in the way (``refuse``), or is another run than this one (``resume``, OtherRunError).
    """

    def __init__(
        self,
        output: Path,
        identity: Identity,
        unfinished: Unfinished = "refuse",
        *,
        lasting: bool = True,
        kept: bool = False,
    ) -> None:
        self.path = work_path(output)
        self.resumed = False
        self._output = output
        self._identity = identity
        self._unfinished = unfinished
        self._lasting = lasting
        self._kept = kept
        self._lock: FileLock | None = None
        self._made: list[Path] = []

    def __enter__(self) -> Self:
        with self._failures_named():
            # A sequence of pictures may get a folder of its own.
            self._made = [folder for folder in self.path.parents if not folder.exists()]
            self.path.mkdir(parents=True, exist_ok=True)
        self._lock = _taken(self.path, self._output)
        fresh = not (self.path / RUN).exists()
        try:
            with self._failures_named():
                self._begin()
        except BaseException:
            if fresh:
                self._remove()
            self._lock.release()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._lock is not None  # entered
        kept = self._lasting and error is not None and any(self._saved())
        if error is not None and kept:
            error.add_note(
                f"What is finished is kept in {self.path}: the same command with --resume goes on."
            )
        if not kept and not (error is None and self._kept):
            # The finished clip has its name on the disk before what it could be made from again is gone.
            _sync(self.path.parent)
            self._remove()
        self._lock.release()

    def save(self, name: str, tree: dict[str, Any]) -> None:
        """Write ``tree`` (tensors, numbers, text, lists, tuples, dicts) as ``name``, in place of an older one."""
        buffer = BytesIO()
        torch.save(tree, buffer)
        data = buffer.getbuffer()
        with self._failures_named():
            write_whole(self.path / f"{name}.pt", MAGIC, hashlib.sha256(data).digest(), data)

    def load(self, name: str) -> dict[str, Any] | None:
        """What was saved as ``name``; None where nothing was, VideoError where it is damaged."""
        path = self.path / f"{name}.pt"
        if not path.exists():
            return None
        with self._failures_named():
            stored = memoryview(path.read_bytes())
        start = len(MAGIC) + 32
        if (
            stored[: len(MAGIC)] != MAGIC
            or hashlib.sha256(stored[start:]).digest() != stored[start - 32 : start]
        ):
            raise VideoError(
                f"{path} is damaged, so the run cannot go on from it. Begin afresh with --restart."
            )
        # Empty bytes are stored as a call of their type.
        with torch.serialization.safe_globals([bytes]):
            tree: dict[str, Any] = torch.load(BytesIO(stored[start:]), weights_only=True)
        return tree

    def check_same(self) -> None:
        """OtherRunError where the folder is not that of this very run; it is not held by that."""
        run = self.path / RUN
        if not run.exists():
            raise OtherRunError(f"{self.path} is not there. Begin the run afresh with --restart.")
        self._compare(run)

    def take(self, other: WorkFolder, names: list[str]) -> None:
        """Have what ``other`` saved as ``names`` too; it stays there."""
        with self._failures_named():
            for name in names:
                target = self.path / f"{name}.pt"
                target.unlink(missing_ok=True)
                try:
                    target.hardlink_to(other.path / f"{name}.pt")
                except OSError:
                    # Some shared file systems know no links.
                    write_whole(target, (other.path / f"{name}.pt").read_bytes())

    def names(self, start: str) -> list[str]:
        """Names that begin with ``start`` and were saved, in order."""
        return sorted(path.stem for path in self.path.glob(f"{start}*.pt"))

    def drop(self, names: list[str]) -> None:
        """Remove what was saved under these names."""
        for name in names:
            (self.path / f"{name}.pt").unlink(missing_ok=True)

    def _begin(self) -> None:
        run = self.path / RUN
        if run.exists():
            self._meet(run)
        if not self.resumed:
            for path in self._own():
                if path.name != LOCK:
                    path.unlink()
            write_whole(run, json.dumps({"identity": self._identity, "begun": _now()}, indent=1).encode())
        owner = {"process": os.getpid(), "machine": socket.gethostname(), "since": _now()}
        write_whole(self.path / OWNER, json.dumps(owner).encode())

    def _meet(self, run: Path) -> None:
        """Decide about the unfinished run that ``run`` describes."""
        if self._unfinished == "restart":
            return
        if self._unfinished == "refuse":
            raise _in_the_way(self.path, self._output)
        self._compare(run)
        self.resumed = True

    def _compare(self, run: Path) -> None:
        """OtherRunError where ``run`` describes another run."""
        try:
            old = json.loads(run.read_text(encoding="utf-8"))["identity"]
        except (ValueError, KeyError, TypeError) as error:
            raise ConfigError(f"{run} is damaged. Begin the run afresh with --restart.") from error
        differing = differences(old, json.loads(json.dumps(self._identity)))
        if differing:
            raise OtherRunError(
                f"The unfinished run in {self.path} is another one: {differing}. Give what it was begun with, or begin afresh "
                "with --restart."
            )

    def _saved(self) -> Iterator[Path]:
        return self.path.glob("*.pt")

    def _own(self) -> list[Path]:
        """The files that this module puts into the folder."""
        return [
            path
            for path in self.path.iterdir()
            if path.suffix in (".pt", ENDING) or path.name in (LOCK, OWNER, RUN)
        ]

    def _remove(self) -> None:
        """Remove the folder and all that this module puts into it; the lock last, while it is held."""
        for path in sorted(self._own(), key=lambda path: path.name == LOCK):
            path.unlink(missing_ok=True)
        # What somebody else put there is his.
        with suppress(OSError):
            for folder in (self.path, *self._made):
                folder.rmdir()

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno in FULL_DISK:
                raise VideoError(
                    f"There is no room for the work files in {self.path} ({error.strerror}). Free some space, or choose another "
                    "disk for the output."
                ) from error
            raise VideoError(
                f"The work files in {self.path} cannot be written or read ({error.strerror}). Choose another folder for the output."
            ) from error


@contextmanager
def _lock(path: Path, output: Path) -> Iterator[None]:
    lock = _taken(path, output)
    try:
        yield
    finally:
        lock.release()


def _taken(path: Path, output: Path) -> FileLock:
    """The lock of the folder ``path``. A dead process holds none, whatever its owner file says."""
    lock = FileLock(path / LOCK, timeout=0, thread_local=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise HeldElsewhereError(
            f"{output} is being written by another run{_owner(path)}. Wait for it or end it, or choose another output name."
        ) from error
    except OSError as error:
        raise VideoError(
            f"The work folder {path} cannot be used ({error.strerror}). Choose another folder for the output."
        ) from error
    return lock


def _owner(path: Path) -> str:
    """Who holds the folder, in brackets; empty where that cannot be read."""
    try:
        owner = json.loads((path / OWNER).read_text(encoding="utf-8"))
        return f" (process {owner['process']} on {owner['machine']} since {owner['since']})"
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _in_the_way(path: Path, output: Path) -> ConfigError:
    return ConfigError(
        f"{output} has an unfinished run in {path}. Go on with it by --resume, or throw it away by --restart."
    )


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")


def write_whole(path: Path, *parts: Any) -> None:
    """Write a file that is there whole or not at all, also after a power cut; OSError where it cannot be written."""
    part = path.with_name(path.name + ENDING)
    try:
        with part.open("wb") as file:
            for data in parts:
                file.write(data)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _sync(folder: Path) -> None:
    """Bring the names in ``folder`` to the disk, where the system can."""
    if os.name != "posix":
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        # Some network file systems know no such thing for a folder.
        with suppress(OSError):
            os.fsync(number)
    finally:
        os.close(number)
