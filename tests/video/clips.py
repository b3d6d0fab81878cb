"""Small clips made with PyAV; every frame carries its index in its pixels, so a wrong frame shows itself."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from osor_video.video.frames import planes_frame
from osor_video.video.planes import ColorSpec, Planes

HEIGHT, WIDTH = 64, 96
CELL = 12
FILM = Fraction(24000, 1001)
PLAIN = ColorSpec("bt709", full_range=False, bit_depth=8, chroma_log2=(1, 1))
DEEP = ColorSpec("bt2020", full_range=False, bit_depth=10, chroma_log2=(1, 1))
DEEPER = ColorSpec("bt709", full_range=False, bit_depth=12, chroma_log2=(0, 1))
TAG = {"bt601": 6, "bt709": 1, "bt2020": 9}


def index_planes(index: int, color: ColorSpec = PLAIN, size_hw: tuple[int, int] = (HEIGHT, WIDTH)) -> Planes:
    """Smooth planes; the upper half shows ``index`` as eight dark or bright columns, the lowest bit first."""
    step = 2 ** (color.bit_depth - 8)
    planes = []
    for number, (height, width) in enumerate(color.plane_sizes(size_hw)):
        y, x = np.mgrid[0:height, 0:width].astype(np.float32)
        wave = 128 + 40 * np.sin(x / width * 3 + number + index / 9) + 30 * np.cos(y / height * 2 - number)
        planes.append((wave * step).astype(color.dtype))
    cell = size_hw[1] // 8
    for bit in range(8):
        code = 210 if index >> bit & 1 else 40
        planes[0][: size_hw[0] // 2, bit * cell : (bit + 1) * cell] = code * step
    return tuple(planes)


def read_index(picture: npt.NDArray[Any]) -> int:
    """The index drawn by ``index_planes``, from a luma plane or an RGB picture of 8 bit."""
    gray = picture.mean(axis=-1) if picture.ndim == 3 else picture
    cell = gray.shape[1] // 8
    strip = gray[4 : gray.shape[0] // 2 - 4]
    return sum(1 << bit for bit in range(8) if strip[:, bit * cell + 3 : (bit + 1) * cell - 3].mean() > 125)


def make_clip(
    path: Path,
    *,
    frames: int = 24,
    color: ColorSpec = PLAIN,
    codec: str = "libx264",
    rate: Fraction = FILM,
    pts: Sequence[int] | None = None,
    audio: int = 0,
    rotation: int = 0,
    tags: tuple[int, int, int, int] | None = None,
    size_hw: tuple[int, int] = (HEIGHT, WIDTH),
    gop: int = 8,
    parameters: str = "annexb=1",
    timecode: str = "",
    chapter: str = "",
) -> Path:
    """Encode index frames; ``pts`` in units of 1 / rate.numerator, ``audio`` streams of AAC beside them."""
    base = Fraction(1, rate.numerator)
    times = pts if pts is not None else [i * rate.denominator for i in range(frames)]
    muxer = {"fflags": "+bitexact"} | ({"movflags": "use_metadata_tags"} if path.suffix == ".mov" else {})
    with av.open(str(path), "w", options=muxer) as out:
        out.metadata.update({"title": "Zwölf Bäume", "shot": "12b"})
        if chapter:
            span = {"id": 1, "start": 0, "end": 500, "time_base": Fraction(1, 1000)}
            out.set_chapters([{**span, "metadata": {"title": chapter}}])
        options = {"crf": "12", "preset": "veryfast"} if codec == "libx264" else {}
        options |= {"x265-params": f"log-level=none:{parameters}"} if codec == "libx265" else {}
        video = out.add_stream(codec, rate=rate, options=options)
        context = video.codec_context
        context.height, context.width, context.pix_fmt = (*size_hw, color.pix_fmt)
        context.time_base = video.time_base = base
        context.gop_size = gop
        numbers = tags or (1, 1, TAG[color.matrix], 2 if color.full_range else 1)
        context.color_primaries, context.color_trc, context.colorspace, context.color_range = numbers
        if timecode:
            video.metadata["timecode"] = timecode
        if rotation:
            video.set_display_rotation(float(rotation))
        sound = [out.add_stream("aac", rate=48000) for _ in range(audio)]
        for index, time in enumerate(times):
            frame = planes_frame(index_planes(index, color, size_hw), color)
            frame.pts, frame.time_base = time, base
            frame.color_primaries, frame.color_trc, frame.colorspace, frame.color_range = numbers
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        for stream in sound:
            add_tone(out, stream, float(times[-1] * base))
    return path


def add_tone(out: Any, stream: Any, length_s: float) -> None:
    for start in range(0, int(length_s * 48000), 1024):
        t = np.arange(start, start + 1024) / 48000
        tone = (0.3 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(np.stack([tone, tone]), format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48000, start, Fraction(1, 48000)
        out.mux(stream.encode(frame))
    out.mux(stream.encode(None))


def make_sound_only(path: Path) -> Path:
    with av.open(str(path), "w") as out:
        add_tone(out, out.add_stream("aac", rate=48000), 1.0)
    return path


def make_edit_list(source: Path, path: Path, frames: int) -> Path:
    """Copy a clip with its first ``frames`` frames moved before zero, as a cut without re-encoding does."""
    with av.open(str(source)) as inp, av.open(str(path), "w") as out:
        template = inp.streams.video[0]
        stream = out.add_stream_from_template(template, opaque=True)
        shift = int(frames / template.average_rate / template.time_base)
        for packet in inp.demux(template):
            if packet.dts is None:
                continue
            packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, stream
            out.mux(packet)
    return path


def truncate(source: Path, path: Path, share: float) -> Path:
    data = source.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def packets(path: Path, kind: str) -> list[list[tuple[Fraction, str]]]:
    """(time in seconds, MD5 of the bytes) of every packet, for each stream of a kind."""
    with av.open(str(path)) as container:
        found: dict[int, list[tuple[Fraction, str]]] = {
            s.index: [] for s in container.streams if s.type == kind
        }
        for packet in container.demux():
            if packet.dts is not None and packet.stream.index in found:
                digest = hashlib.md5(bytes(packet)).hexdigest()
                found[packet.stream.index].append((packet.pts * packet.time_base, digest))
    return list(found.values())
