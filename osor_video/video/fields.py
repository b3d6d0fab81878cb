"""Interlaced pictures: whole ones made of their fields, or their fields marked for the encoder."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

import av

from osor_video.video.probe import SourceInfo


def field_marker(source: SourceInfo, pix_fmt: str) -> Any:
    """A filter graph that marks every frame pushed as interlaced, which encoders ask for; one comes out for one."""
    height, width = source.size_hw
    graph = av.filter.Graph()
    begin = graph.add_buffer(
        width=width, height=height, format=av.VideoFormat(pix_fmt), time_base=source.time_base
    )
    _joined(graph, begin, "setfield", "bff" if source.field_order in ("bb", "tb") else "tff")
    return graph


def deinterlaced(frames: Iterable[Any], source: SourceInfo) -> Iterator[Any]:
    """One whole frame for each of ``frames``, at its time, by FFmpeg's bwdif (Weston's w3fdif with motion detection)."""
    height, width = source.size_hw
    graph = av.filter.Graph()
    begin = graph.add_buffer(
        width=width, height=height, format=av.VideoFormat(source.pix_fmt), time_base=source.time_base
    )
    parity = "bff" if source.field_order in ("bb", "tb") else "tff"
    _joined(graph, begin, "bwdif", f"mode=send_frame:parity={parity}:deint=all")
    given: deque[Any] = deque()
    for frame in frames:
        given.append(frame)
        graph.push(frame)
        for made in _pulled(graph):
            yield _like(made, given.popleft())
    graph.push(None)
    for made in _pulled(graph):
        yield _like(made, given.popleft())


def _joined(graph: Any, begin: Any, name: str, options: str) -> None:
    made, end = graph.add(name, options), graph.add("buffersink")
    begin.link_to(made)
    made.link_to(end)
    graph.configure()


def _pulled(graph: Any) -> Iterator[Any]:
    while True:
        try:
            yield graph.pull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return


def _like(made: Any, given: Any) -> Any:
    """The filter counts time twice as finely; frame and tags are the given one's."""
    made.pts, made.time_base, made.duration = given.pts, given.time_base, given.duration
    made.colorspace, made.color_range = given.colorspace, given.color_range
    made.color_primaries, made.color_trc = given.color_primaries, given.color_trc
    return made
