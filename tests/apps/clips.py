"""A tiny clip of a square that crosses a textured wall, and the mask of its first frame."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt

SIZE_HW = (96, 128)
FRAMES = 6
SIDE = 24


def square_mask(index: int) -> npt.NDArray[np.bool_]:
    mask = np.zeros(SIZE_HW, dtype=bool)
    mask[36 : 36 + SIDE, 16 + 8 * index : 16 + 8 * index + SIDE] = True
    return mask


def wall() -> npt.NDArray[np.uint8]:
    noise = np.random.default_rng(3).uniform(60, 200, (12, 16, 3)).astype(np.float32)
    smooth = cv2.resize(noise, SIZE_HW[::-1], interpolation=cv2.INTER_CUBIC)
    return np.asarray(np.clip(smooth, 0, 255), dtype=np.uint8)


def square_picture(index: int) -> npt.NDArray[np.uint8]:
    """Frame ``index``; on an even square no flow would hold, and the tracker of last resort would be called."""
    picture = wall()
    blotches = np.random.default_rng(5).uniform(0, 1, (4, 4)).astype(np.float32)
    light = cv2.resize(blotches, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC).clip(0, 1)[..., None]
    picture[square_mask(index)] = (light * [50, 60, 60] + [200, 5, 10]).reshape(-1, 3).astype(np.uint8)
    return picture


def write_clip(path: Path, pictures: list[npt.NDArray[np.uint8]]) -> Path:
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=Fraction(24), options={"crf": "8", "preset": "ultrafast"})
        stream.height, stream.width, stream.pix_fmt = *SIZE_HW, "yuv420p"
        for picture in pictures:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    return path


def square_clip(folder: Path) -> tuple[Path, Path]:
    """Write ``square.mp4`` and ``square_first.png``; returns both."""
    clip = write_clip(folder / "square.mp4", [square_picture(index) for index in range(FRAMES)])
    first = folder / "square_first.png"
    cv2.imwrite(str(first), square_mask(0).astype(np.uint8) * 255)
    return clip, first
