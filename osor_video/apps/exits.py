"""How a command ends: 0 done, 2 the user's input, 130 interrupted, 1 with a traceback for our own faults."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from osor_video.errors import OsorError

PROGRAM = "osor-video"


@contextmanager
def spoken_errors() -> Iterator[None]:
    """Turn the library's errors into a line on stderr and an exit code; the unexpected passes through."""
    try:
        yield
    except OsorError as error:
        # What a library said, and is quoted, may have lines of its own.
        typer.echo(f"{PROGRAM}: {' '.join(str(error).split())}", err=True)
        raise typer.Exit(2) from error
    except KeyboardInterrupt as error:
        typer.echo(f"{PROGRAM}: interrupted, nothing written", err=True)
        raise typer.Exit(130) from error
