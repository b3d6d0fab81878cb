"""Writing a result: the source's timing, colour and other streams around new pictures; whole or never."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from math import lcm
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av

from osor_video.config import EncodeConfig
from osor_video.errors import VideoError
from osor_video.video.codecs import choose_target
from osor_video.video.encoders import FIELD_ORDERS, THREADS, encoder_options, keeps_fields
from osor_video.video.fields import field_marker
from osor_video.video.frames import video_stream
from osor_video.video.planes import PlanarFrame
from osor_video.video.probe import SourceInfo
from osor_video.video.streams import CONTAINERS, CopiedStreams, kept_tags
from osor_video.video.target import check_target, target_notes
from osor_video.video.written import encoder_frame

PLAIN_MP4_TAGS = frozenset(
    ("title", "artist", "album", "comment", "date", "genre", "copyright", "description", "creation_time")
)
MAX_MOVIE_CLOCK = 2**31
FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class VideoWriter:
    """Encode planes and copy everything else; use it as a context manager.

    The file appears under its name only when the block ends without an error and every frame was written.
    Until then it is a hidden neighbour, ``.NAME.part.SUFFIX``, that is removed on any error or interrupt; an
    older output stays. ``notes`` says what of the source does not come through, ``encoded`` the codec and its quality.
    ``tags`` go into the container beside the source's; ``before_naming`` is given the finished neighbour and may change it.

    Raises:
        ConfigError, VideoError: as ``check_target``; VideoError also if encoding or writing fails.
    """

    def __init__(
        self,
        path: str | Path,
        source: SourceInfo,
        encode: EncodeConfig,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        check_target(path, source, encode)
        self.path = Path(path)
        self.source = source
        self.encode = encode
        self.target = choose_target(self.path, source, encode)
        self.notes = tuple(target_notes(self.path, source, encode))
        self.encoded = ""
        self.before_naming: Callable[[Path], None] | None = None
        self._tags = dict(tags or {})
        self._temporary = self.path.with_name(f".{self.path.stem}.part{self.path.suffix}")
        self._written = 0
        self._input: Any = None
        self._output: Any = None
        self._video: Any = None
        self._others: Any = None
        self._fields: Any = None

    def __enter__(self) -> Self:
        try:
            with self._failures_named():
                self._open()
        except BaseException:
            self._discard()
            raise
        return self

    def write(self, frame: PlanarFrame) -> None:
        """Encode the next frame; VideoError if it is not the source's next one, or on a write error."""
        self._check_next(frame)
        picture = encoder_frame(frame.planes, self.source, self.target)
        picture.pts, picture.time_base = frame.pts, self.source.time_base
        picture.duration = frame.duration
        if self._fields is not None:
            self._fields.push(picture)
            picture = self._fields.pull()
        with self._failures_named():
            self._mux(self._video.encode(picture))
        self._written += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._finish()
        finally:
            self._discard()

    def _open(self) -> None:
        suffix = self.path.suffix.lower()
        if not self.source.files:  # pictures of a sequence have nothing beside them
            self._input = av.open(str(self.source.path), metadata_errors="replace")
        tags = ({} if self._input is None else kept_tags(self._input.metadata)) | self._tags
        options = _muxer_options(suffix, tags, self.source)
        self._output = av.open(str(self._temporary), "w", format=CONTAINERS[suffix], options=options)
        self._output.metadata.update(tags)
        if self._input is None:
            self._video = self._add_video(None)
            return
        worked = video_stream(self._input, self.source.path)
        self._others = CopiedStreams(self._input, self._output, self.source, suffix)
        for stream in self._input.streams:
            if stream.index == worked.index:
                self._video = self._add_video(worked)
            else:
                self._others.add(stream.index)
        self._output.set_chapters(self._input.chapters())
        self._others.begin()

    def _add_video(self, template: Any) -> Any:
        source, target = self.source, self.target
        options, self.encoded = encoder_options(target, source, self.encode)
        stream = self._output.add_stream(target.codec.encoder, rate=source.rate, options=options)
        context = stream.codec_context
        context.height, context.width = source.size_hw
        context.pix_fmt = target.pix_fmt
        context.time_base = stream.time_base = source.time_base
        context.sample_aspect_ratio = source.sample_aspect
        context.thread_count = THREADS
        tags = target.tags
        context.color_primaries, context.color_trc = tags.primaries, tags.transfer
        context.colorspace, context.color_range = tags.matrix, tags.range
        if target.name == "h265" and self.path.suffix.lower() != ".mkv":
            context.codec_tag = "hvc1"
        if keeps_fields(target, source):
            context.field_order = FIELD_ORDERS.get(source.field_order, FIELD_ORDERS["tt"])
            self._fields = field_marker(source, target.pix_fmt)
        if source.display_matrix:
            stream.set_display_matrix(source.display_matrix)
        if template is not None:
            stream.metadata.update(kept_tags(template.metadata))
            stream.disposition = template.disposition
        return stream

    def _mux(self, packets: list[Any]) -> None:
        for packet in packets:
            if self._others is not None:
                self._others.copy_until(packet.dts * packet.time_base)
            self._output.mux(packet)

    def _check_next(self, frame: PlanarFrame) -> None:
        source = self.source
        expected = source.pts[self._written] if self._written < source.frames else None
        if frame.index != self._written or frame.pts != expected:
            raise VideoError(
                f"Frame {frame.index} at {frame.pts} was handed to {self.path}, expected frame "
                f"{self._written} at {expected}. Write every frame of {source.path} once, in order."
            )

    def _finish(self) -> None:
        if self._written != self.source.frames:
            raise VideoError(
                f"{self.path} got {self._written} of {self.source.frames} frames and is not kept. "
                f"Write every frame."
            )
        with self._failures_named():
            self._mux(self._video.encode(None))
            if self._others is not None:
                self._others.copy_until(None)
            self._output.close()
            self._output = None
            if self.before_naming is not None:
                self.before_naming(self._temporary)
            with self._temporary.open("rb+") as file:
                os.fsync(file.fileno())
            self._temporary.replace(self.path)

    def _discard(self) -> None:
        """Close both files and remove the temporary, whatever state they are in."""
        for container in (self._output, self._input):
            if container is not None:
                # The trailer of a file that is thrown away may fail as the write before it did.
                with suppress(av.error.FFmpegError, OSError):
                    container.close()
        self._output = self._input = self._video = self._others = self._fields = None
        self._temporary.unlink(missing_ok=True)

    @contextmanager
    def _failures_named(self) -> Iterator[None]:
        try:
            yield
        except (av.error.FFmpegError, OSError) as error:
            if error.errno in FULL_DISK:
                raise VideoError(
                    f"There is no room for {self.path} ({error.strerror}): writing stopped after "
                    f"{self._written} of {self.source.frames} frames. Nothing was kept and an older file of "
                    f"that name is untouched; free some space or choose another disk."
                ) from error
            raise VideoError(
                f"{self.path} could not be written ({error.strerror}). Nothing was kept and an older file of "
                f"that name is untouched; try another folder or container."
            ) from error


def _muxer_options(suffix: str, tags: dict[str, str], source: SourceInfo) -> dict[str, str]:
    """Muxer options; bitexact keeps random ids and versions out, so that equal input gives equal bytes."""
    options = {"fflags": "+bitexact"}
    if suffix == ".mkv":
        # The default moves all streams forward until the sound's priming starts at zero.
        return {**options, "avoid_negative_ts": "disabled"}
    custom = "+use_metadata_tags" if {key.lower() for key in tags} - PLAIN_MP4_TAGS else ""
    # Without a stated range the colr box would claim a limited one.
    colr = "+write_colr" if source.tags.range else ""
    # A late start is stored in units of the movie's clock; milliseconds would round it.
    clock = lcm(1000, source.time_base.denominator)
    clock = clock if clock < MAX_MOVIE_CLOCK else source.time_base.denominator
    return {**options, "movflags": f"+faststart{colr}{custom}", "movie_timescale": str(clock)}
