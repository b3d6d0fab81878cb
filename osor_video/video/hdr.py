"""HDR10 static metadata: from a decoded frame's side data to the encoder's parameters."""

from __future__ import annotations

import re
import struct
from fractions import Fraction
from typing import Any

CHROMATICITY_STEP = Fraction(1, 50000)
LUMINANCE_STEP = Fraction(1, 10000)
"""Units of SMPTE ST 2086 as HEVC codes them: .00002 of a chromaticity, .0001 candela a square metre."""


def hdr_parameters(frame: Any) -> str:
    """x265 parameters that repeat a frame's mastering display and light levels; '' if it states none."""
    parts = []
    mastering = frame.side_data.get("MASTERING_DISPLAY_METADATA")
    if mastering is not None:
        parts.append(f"master-display={_mastering_display(bytes(mastering))}")
    light = frame.side_data.get("CONTENT_LIGHT_LEVEL")
    if light is not None:
        most, average = struct.unpack_from("2I", bytes(light))
        parts.append(f"max-cll={most},{average}")
    return ":".join(["hdr10=1", "repeat-headers=1", *parts]) if parts else ""


def svt_hdr(parameters: str) -> str:
    """``hdr_parameters``' text as SVT-AV1 takes it: chromaticities and candelas a square metre as decimals."""
    told = dict(part.split("=", 1) for part in parameters.split(":") if "=" in part)
    parts = []
    if "master-display" in told:
        points = []
        for name, first, second in re.findall(r"([A-Z]+)\((\d+),(\d+)\)", told["master-display"]):
            step = LUMINANCE_STEP if name == "L" else CHROMATICITY_STEP
            points.append(f"{name}({float(int(first) * step):.5f},{float(int(second) * step):.5f})")
        parts.append(f"mastering-display={''.join(points)}")
    if "max-cll" in told:
        parts.append(f"content-light={told['max-cll']}")
    return ":".join(parts)


def _mastering_display(data: bytes) -> str:
    """FFmpeg's AVMasteringDisplayMetadata, ten rationals and two flags, in x265's notation."""
    numbers = struct.unpack_from("20i", data)
    ratios = [Fraction(n, d) if d else Fraction(0) for n, d in zip(numbers[::2], numbers[1::2], strict=True)]
    *xy, low, high = ratios
    points = [f"({_steps(x)},{_steps(y)})" for x, y in zip(xy[::2], xy[1::2], strict=True)]
    red, green, blue, white = points
    return f"G{green}B{blue}R{red}WP{white}L({round(high / LUMINANCE_STEP)},{round(low / LUMINANCE_STEP)})"


def _steps(chromaticity: Fraction) -> int:
    return round(chromaticity / CHROMATICITY_STEP)
