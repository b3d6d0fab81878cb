"""One picture of a sequence: PNG and TIFF of 8 or 16 bit by OpenCV, EXR of half or float by OpenEXR; exact both ways. JPEG is read
only: what is written must not lose.

PNG and TIFF hold the coded signal. EXR holds light: it is seen, and filled, through the sRGB curve (IEC 61966-2-1), which every
program knows; what is brighter than white is clipped in the model's view only. All other channels and the header of an EXR
source stay in what is written from it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from osor_video.errors import ConfigError, VideoError
from osor_video.video.planes import ColorSpec, Planes

SUFFIXES = (".png", ".tif", ".tiff", ".exr")
READ_SUFFIXES = (*SUFFIXES, ".jpg", ".jpeg")
SUFFIX_CODECS = dict(zip(READ_SUFFIXES, ("png", "tiff", "tiff", "exr", "mjpeg", "mjpeg"), strict=True))
BGR_TO_GBR = (1, 0, 2)


def read_still(path: Path) -> tuple[Planes, ColorSpec]:
    """The picture's planes and what they mean; VideoError where it cannot be read or has an odd form."""
    if path.suffix.lower() == ".exr":
        return _read_exr(path)
    samples: Any = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if samples is None:
        raise VideoError(
            f"The picture {path} cannot be read. Expected PNG or TIFF of 8 or 16 bit, or JPEG; make it again."
        )
    if samples.dtype not in (np.uint8, np.uint16) or (samples.ndim == 3 and samples.shape[2] not in (3, 4)):
        raise VideoError(
            f"The picture {path} is {samples.dtype} {samples.shape}, expected 8 or 16 bit, gray, RGB or RGBA. "
            f"Convert it; floats go into EXR."
        )
    depth = 8 * samples.itemsize
    if samples.ndim == 2:
        return (samples,), ColorSpec("bt709", True, depth, (0, 0), gray=True)
    parts = [np.ascontiguousarray(samples[..., channel]) for channel in BGR_TO_GBR]
    alpha = [np.ascontiguousarray(samples[..., 3])] if samples.shape[2] == 4 else []
    return (*parts, *alpha), ColorSpec("rgb", True, depth, (0, 0), alpha=bool(alpha))


def write_still(path: Path, planes: Planes, color: ColorSpec, like: Path | None = None) -> None:
    """Store exactly these planes, RGB or gray; ``like`` is the EXR file whose header and further channels are kept."""
    if color.linear:
        _write_exr(path, planes, like)
        return
    if color.gray:
        samples: Any = planes[0]
    else:
        green, blue, red, *alpha = planes
        samples = np.dstack([blue, green, red, *alpha])
    done, data = cv2.imencode(path.suffix.lower(), samples)
    if not done:
        raise VideoError(f"{path} cannot be stored as {samples.dtype} {samples.shape}. Take another format.")
    path.write_bytes(data.tobytes())


def _openexr() -> Any:
    try:
        import OpenEXR  # noqa: PLC0415  (an extra)
    except ImportError as error:
        raise ConfigError(
            "EXR pictures need the package OpenEXR. Install it with: pip install 'osor-video[vfx]'"
        ) from error
    return OpenEXR


def _open_exr(path: Path) -> Any:
    library = _openexr()
    try:
        return library.File(str(path), separate_channels=True)
    except RuntimeError as error:
        raise VideoError(f"The picture {path} cannot be read as EXR ({error}). Make it again.") from error


def _read_exr(path: Path) -> tuple[Planes, ColorSpec]:
    with _open_exr(path) as file:
        channels = file.channels()
        lacking = [name for name in "RGB" if name not in channels]
        if lacking:
            raise VideoError(
                f"The picture {path} has the channels {', '.join(channels)}, expected R, G and B. Rename the layer."
            )
        planes = tuple(np.ascontiguousarray(channels[name].pixels) for name in "GBR")
    kinds = {plane.dtype.name for plane in planes}
    if kinds not in ({"float16"}, {"float32"}):
        raise VideoError(f"The picture {path} holds {', '.join(sorted(kinds))}, expected half or float.")
    return planes, ColorSpec("rgb", True, 8 * planes[0].itemsize, (0, 0), linear=True)


def _write_exr(path: Path, planes: Planes, like: Path | None) -> None:
    library = _openexr()
    names = ("G", "B", "R", "A")[: len(planes)]
    if like is None:
        header: dict[str, Any] = {"compression": library.ZIP_COMPRESSION, "type": library.scanlineimage}
        channels: dict[str, Any] = {}
        found = zip(names, planes, strict=True)
        library.File(header, channels | {name: _contiguous(plane) for name, plane in found}).write(str(path))
        return
    with _open_exr(like) as file:
        for name, plane in zip(names, planes, strict=True):
            file.channels()[name].pixels = _contiguous(plane)
        file.write(str(path))


def _contiguous(plane: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.ascontiguousarray(plane)
