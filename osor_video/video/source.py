"""A source by what the user names: a video, or a sequence of pictures."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from osor_video.config import DecodeConfig
from osor_video.errors import VideoError
from osor_video.video.probe import SourceInfo, probe
from osor_video.video.sequence import is_pattern, probe_sequence


def open_source(path: str | Path, decode: DecodeConfig) -> SourceInfo:
    """Probe ``path``, deinterlaced where that is asked for.

    Raises VideoError as ``probe`` and ``probe_sequence`` do, and where a sequence is to be deinterlaced.
    """
    path = Path(path)
    if is_pattern(path) and not path.exists():
        if decode.deinterlace:
            raise VideoError(
                f"{path} is a sequence of whole pictures, which has no fields. Leave --deinterlace out."
            )
        return probe_sequence(path, Fraction(decode.rate))
    return replace(probe(path), deinterlaced=decode.deinterlace)
