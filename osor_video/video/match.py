"""How well to encode so that a result is as good as its source: by trial on a few of the source's own frames.

The rule: some frames from a sync sample in the middle are encoded at several rate factors; taken is the largest (the
smallest file) that still spends 1.25 times the bytes that the source spends on these very frames, reckoned for how much
better or worse its codec is. The source's own loss is then the larger one. Never worse than 23, never better than 12, which
is what losslessly coded sources get.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import av

from osor_video.video.codecs import Target
from osor_video.video.frames import frame_planes, opened, video_stream
from osor_video.video.planes import Planes
from osor_video.video.probe import SourceInfo
from osor_video.video.written import encoder_frame

FINEST, COARSEST = 12, 23
"""Rate factors of x264; x265 and AV1 have theirs in proportion to their scale."""
SPARE = 1.25
BITS_NEEDED = {
    **{"mpeg2video": 2.2, "mpeg1video": 2.5, "mpeg4": 1.5, "vc1": 1.1, "h264": 1.0},
    **{"vp8": 1.1, "vp9": 0.7, "hevc": 0.65, "av1": 0.55},
}
"""Bytes that codecs want for one quality, against H.264: a rule of thumb from published comparisons."""
TRIAL_PIXELS = 24 * 1920 * 1080
LEAST_FRAMES, MOST_FRAMES = 4, 24


@lru_cache(maxsize=8)
def matched_crf(source: SourceInfo, target: Target, options: tuple[tuple[str, str], ...]) -> int:
    """The rate factor for ``target``'s encoder by the rule above; the same source gives the same."""
    scale = 63 / 51 if target.name == "av1" else 1.0
    finest, coarsest = round(FINEST * scale), round(COARSEST * scale)
    if source.codec not in BITS_NEEDED:
        return finest
    frames, spent = _sample(source)
    if not frames:
        return finest
    wanted = spent * SPARE * BITS_NEEDED[target.codec.source_codec] / BITS_NEEDED[source.codec]
    low, high = finest, coarsest
    while low < high:
        middle = (low + high + 1) // 2
        if _trial(frames, source, target, dict(options) | {"crf": str(middle)}) >= wanted:
            low = middle
        else:
            high = middle - 1
    return low


def _sample(source: SourceInfo) -> tuple[list[Planes], int]:
    """Planes of frames from the last sync sample before the middle on, and the bytes the source spends on them."""
    area = source.size_hw[0] * source.size_hw[1]
    wanted = min(max(TRIAL_PIXELS // area, LEAST_FRAMES), MOST_FRAMES)
    found: dict[int, Planes] = {}
    sizes: dict[int, int] = {}
    with opened(source.path) as container:
        stream = video_stream(container, source.path)
        try:
            container.seek(source.pts[source.frames // 2], stream=stream, backward=True)
            for packet in container.demux(stream):
                if packet.pts is not None:
                    sizes[packet.pts] = packet.size
                for frame in packet.decode():
                    found[frame.pts] = frame_planes(frame, source.color)
                if len(found) >= wanted:
                    break
        except av.error.FFmpegError:
            return [], 0  # who reads it all meets the damage and names it
    both = sorted(found.keys() & sizes.keys())[:wanted]
    return [found[pts] for pts in both], sum(sizes[pts] for pts in both)


def _trial(frames: list[Planes], source: SourceInfo, target: Target, options: dict[str, str]) -> int:
    """Bytes that the encoder spends on ``frames``."""
    context: Any = av.CodecContext.create(target.codec.encoder, "w")
    context.height, context.width = source.size_hw
    context.pix_fmt = target.color.pix_fmt
    context.time_base, context.framerate = 1 / source.rate, source.rate
    context.options = options
    spent = 0
    for index, planes in enumerate(frames):
        frame = encoder_frame(planes, source, target)
        frame.pts, frame.time_base = index, 1 / source.rate
        spent += sum(packet.size for packet in context.encode(frame))
    return int(spent + sum(packet.size for packet in context.encode(None)))
