"""Standard input as a source: both passes need it, so that it is kept in a temporary file meanwhile."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryDirectory

from osor_video.errors import VideoError

PIPE = Path("-")
"""What stands for standard input or output."""


@contextmanager
def spooled(source: Path) -> Iterator[Path]:
    """``source`` itself, or for ``-`` a file of what came through standard input, gone at the end of the block.

    Any form that FFmpeg knows from its first bytes will do; y4m is the usual one. Raises VideoError where nothing came.
    """
    if source != PIPE:
        yield source
        return
    with TemporaryDirectory(prefix="osor-video-") as folder:
        path = Path(folder) / "stdin"
        with path.open("wb") as file:
            try:
                copyfileobj(sys.stdin.buffer, file, 1 << 20)
            except OSError as error:
                raise VideoError(
                    f"Standard input does not fit into {folder} ({error.strerror}). Set TMPDIR to a disk with more room."
                ) from error
        if not path.stat().st_size:
            raise VideoError(
                "Nothing came through standard input. Pipe a clip into it, such as y4m from ffmpeg."
            )
        yield path
