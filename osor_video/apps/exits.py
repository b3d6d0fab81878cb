"""How a command ends: 0 done, 2 the user's input, 130 and 143 stopped by a signal, 1 with a traceback for our own faults."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

import typer

from osor_video.errors import ConfigError, OsorError

PROGRAM = "osor-video"
INTERRUPTED, TERMINATED = 130, 143
"""128 and the signal's number, as shells have it."""


class Terminated(BaseException):
    """Somebody asked the process to end (SIGTERM); like KeyboardInterrupt no Exception, so that nothing holds it up."""


@contextmanager
def spoken_errors() -> Iterator[None]:
    """Turn the library's errors into a line on stderr and an exit code; the unexpected passes through.

    SIGTERM ends the block as Ctrl-C does: what is open is closed, what is finished is kept.
    """
    if not (chatter := logging.getLogger("PIL")).handlers:
        chatter.addHandler(logging.NullHandler())  # what it says of a damaged picture is said in our words
    try:
        with _terminable():
            yield
    except OsorError as error:
        say(" ".join([str(error), *_notes(error)]))
        raise typer.Exit(2) from error
    except KeyboardInterrupt as error:
        say(_ended("interrupted", error))
        raise typer.Exit(INTERRUPTED) from error
    except Terminated as error:
        say(_ended("terminated", error))
        raise typer.Exit(TERMINATED) from error


def say(text: str) -> None:
    """One line on stderr. What a library or a file said, and is quoted, may have lines and control characters of its own."""
    line = "".join(char if char.isprintable() else "?" for char in " ".join(text.split()))
    typer.echo(f"{PROGRAM}: {line}", err=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """A file or folder beside the clip is written: ConfigError where that fails, and no half of a file is left."""
    try:
        yield
    except OSError as error:
        if path.is_file():
            path.unlink()
        raise ConfigError(
            f"{path} could not be written ({error.strerror}). Free some space, or choose another place; what was written before "
            "it is whole."
        ) from error


def _ended(how: str, error: BaseException) -> str:
    notes = _notes(error)
    return f"{how}. {' '.join(notes)}" if notes else f"{how}, nothing written"


def _notes(error: BaseException) -> list[str]:
    return list(getattr(error, "__notes__", ()))


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM raises Terminated in the main thread meanwhile; elsewhere signals cannot be handled."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        # The next one ends at once, should closing take too long.
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
