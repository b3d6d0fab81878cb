"""The pictures of one clip, by frame number: the library's own frames, encoded for the page and kept while there is room."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Generator
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from osor_video.video.orient import shown_size, to_shown
from osor_video.video.planes import PlanarFrame, planes_to_rgb
from osor_video.video.probe import SourceInfo, probe
from osor_video.video.reader import read_from

Picture = npt.NDArray[np.uint8]
CACHE_MB = 192
JPEG_QUALITY = 93
THUMB_HEIGHT_PX = 90
STRIDE = 12
"""Frames ahead up to which decoding on is quicker than seeking."""


class Film:
    """Frames of the clip at ``path`` as shown. May be asked from several threads; VideoError for a clip that cannot be read."""

    def __init__(self, path: Path, cache_mb: int = CACHE_MB) -> None:
        self.source: SourceInfo = probe(path)
        self.size_hw = shown_size(self.source.size_hw, self.source.rotation)
        self._cache: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._room = cache_mb << 20
        self._kept = 0
        self._cache_lock = threading.Lock()
        self._reels = {"frame": _Reel(self.source), "thumb": _Reel(self.source)}

    def jpeg(self, index: int) -> bytes:
        """Frame ``index`` in full size."""
        return self._picture("frame", index)

    def thumb(self, index: int) -> bytes:
        """Frame ``index``, ``THUMB_HEIGHT_PX`` high."""
        return self._picture("thumb", index)

    def rgb(self, index: int) -> Picture:
        """Frame ``index``, uint8 [H, W, 3]."""
        with self._reels["frame"].lock:
            for number, frame in self._reels["frame"].to(index):
                if number == index:
                    return self._shown(frame)
        raise AssertionError(f"the reel ended before frame {index}")

    def close(self) -> None:
        """Free the decoders and their files."""
        for reel in self._reels.values():
            with reel.lock:
                reel.rewind()

    def _picture(self, kind: str, index: int) -> bytes:
        found = self._recall(kind, index)
        if found is not None:
            return found
        reel = self._reels[kind]
        with reel.lock:
            found = self._recall(kind, index)
            if found is not None:
                return found
            for number, frame in reel.to(index):
                if kind == "frame" or number == index:
                    found = self._encode(kind, frame)
                    self._keep(kind, number, found)
        assert found is not None
        return found

    def _encode(self, kind: str, frame: PlanarFrame) -> bytes:
        picture = self._shown(frame)
        if kind == "thumb":
            height, width = self.size_hw
            size = max(1, round(width * THUMB_HEIGHT_PX / height)), THUMB_HEIGHT_PX
            picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
        return encode_jpeg(picture)

    def _shown(self, frame: PlanarFrame) -> Picture:
        return to_shown(planes_to_rgb(frame.planes, self.source.color), self.source.rotation)

    def _recall(self, kind: str, index: int) -> bytes | None:
        with self._cache_lock:
            found = self._cache.get((kind, index))
            if found is not None:
                self._cache.move_to_end((kind, index))
            return found

    def _keep(self, kind: str, index: int, data: bytes) -> None:
        with self._cache_lock:
            self._kept += len(data) - len(self._cache.pop((kind, index), b""))
            self._cache[kind, index] = data
            while self._kept > self._room and len(self._cache) > 1:
                self._kept -= len(self._cache.popitem(last=False)[1])


class _Reel:
    """One decoder that stays where it was, so that playing on decodes each frame once."""

    def __init__(self, source: SourceInfo) -> None:
        self.lock = threading.Lock()
        self._source = source
        self._frames: Generator[PlanarFrame, None, None] | None = None
        self._next = 0

    def to(self, index: int) -> Generator[tuple[int, PlanarFrame], None, None]:
        """The frames that are decoded on the way to frame ``index``, itself the last."""
        if self._frames is None or not self._next <= index < self._next + STRIDE:
            self.rewind()
            self._frames, self._next = read_from(self._source, index), index
        while self._next <= index:
            try:
                frame = next(self._frames)
            except BaseException:
                self.rewind()
                raise
            self._next += 1
            yield frame.index, frame

    def rewind(self) -> None:
        """Close the decoder."""
        if self._frames is not None:
            self._frames.close()
        self._frames = None


def encode_jpeg(picture: Picture) -> bytes:
    """RGB [H, W, 3] -> JPEG with colour in full resolution."""
    how = [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
    how += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return _encoded(".jpg", picture, how)


def encode_png(picture: Picture) -> bytes:
    """RGB [H, W, 3] or grey [H, W] -> PNG."""
    return _encoded(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 2])


def _encoded(suffix: str, picture: Picture, how: list[int]) -> bytes:
    stored = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    done, data = cv2.imencode(suffix, stored, how)
    if not done:
        raise ValueError(f"a picture of {picture.shape} {picture.dtype} cannot be stored as {suffix}")
    return bytes(data.tobytes())
