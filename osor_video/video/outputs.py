"""Where a result can go: a video file, a sequence of pictures, or a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from types import TracebackType
from typing import Any, BinaryIO, Protocol, Self

import av
import numpy as np

from osor_video.config import EncodeConfig
from osor_video.errors import ConfigError, VideoError
from osor_video.video.codecs import Y4M, target_of
from osor_video.video.orient import to_shown
from osor_video.video.planes import ColorSpec, PlanarFrame, Planes, planes_to_signal, to_linear
from osor_video.video.probe import SourceInfo
from osor_video.video.sequence import check_pattern, frame_numbers, is_pattern, numbered
from osor_video.video.stills import write_still
from osor_video.video.target import check_target, field_notes, target_notes
from osor_video.video.writer import VideoWriter
from osor_video.video.written import encoder_frame

PIPE = Path("-")
PQ, HLG = 16, 18
"""Transfer curves (ITU-T H.273) whose light is not told by the sRGB curve."""


class Writer(Protocol):
    """Takes every frame of a source once, in order; use it as a context manager."""

    path: Path
    notes: tuple[str, ...]
    encoded: str

    def write(self, frame: PlanarFrame) -> None:
        """The next frame."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Finish, or leave nothing behind."""


def open_writer(
    path: Path, source: SourceInfo, encode: EncodeConfig, tags: Mapping[str, str] | None = None
) -> Writer:
    """The writer for ``path``: ``-`` is standard output, a name with ``%04d`` or ``####`` a sequence, else a video.

    Only a video takes ``tags``.
    """
    if path == PIPE:
        return PipeWriter(source, sys.stdout.buffer)
    if is_pattern(path):
        return SequenceWriter(path, source)
    return VideoWriter(path, source, encode, tags)


def check_output(path: Path, source: SourceInfo, encode: EncodeConfig) -> None:
    """Refuse what could not be written; raises as ``check_target`` does."""
    if path == PIPE and encode.check:
        raise ConfigError(
            "What went into a pipe cannot be decoded again. Leave the check out, or write a file."
        )
    if is_pattern(path):
        _check_sequence(path, source)
    elif path != PIPE:
        check_target(path, source, encode)


def output_notes(path: Path, source: SourceInfo, encode: EncodeConfig) -> list[str]:
    """What of the source does not come through, a phrase each."""
    if path != PIPE and not is_pattern(path):
        return target_notes(path, source, encode)
    left = [
        f"{stream.kind} stream {stream.index} ({stream.codec})"
        for stream in source.streams
        if not stream.role
    ]
    notes = [f"pictures only: {', '.join(left)} left behind"] if left else []
    notes += field_notes(source, kept=False)
    if path == PIPE:
        target = target_of("y4m", Y4M, source)
        notes += [note for note in (source.note, target.note) if note]
        if source.variable_rate:
            notes.append("y4m has one rate: uneven times are not told")
    elif still_form(path, source) != source.color:
        notes.append(f"{source.color.pix_fmt} is written as {still_form(path, source).pix_fmt}")
    return notes


class PipeWriter:
    """Frames as y4m, as they are finished."""

    def __init__(self, source: SourceInfo, pipe: BinaryIO) -> None:
        self.path = PIPE
        self.notes = tuple(output_notes(PIPE, source, EncodeConfig()))
        self.encoded = "y4m"
        self._source = source
        self._target = target_of("y4m", Y4M, source)
        self._pipe = pipe
        self._output: Any = None
        self._video: Any = None

    def __enter__(self) -> Self:
        # Deeper than 8 bit is no part of the first standard, yet every reader of today has it.
        self._output = av.open(self._pipe, "w", format="yuv4mpegpipe", options={"strict": "-1"})
        self._video = self._output.add_stream(Y4M.encoder, rate=self._source.rate)
        self._video.height, self._video.width = self._source.size_hw
        self._video.pix_fmt = self._target.color.pix_fmt
        context = self._video.codec_context
        context.sample_aspect_ratio = self._source.sample_aspect
        context.color_range = self._target.tags.range
        return self

    def write(self, frame: PlanarFrame) -> None:
        """The next frame; VideoError where the other end has closed the pipe."""
        picture = encoder_frame(frame.planes, self._source, self._target)
        picture.pts, picture.time_base = frame.index, 1 / self._source.rate
        with _pipe_named():
            self._output.mux(self._video.encode(picture))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            with _pipe_named():
                self._output.mux(self._video.encode(None))
                self._output.close()
                self._pipe.flush()


@contextmanager
def _pipe_named() -> Iterator[None]:
    try:
        yield
    except (av.error.FFmpegError, OSError) as error:
        raise VideoError(
            f"Standard output cannot be written ({error.strerror}). Is the other end reading?"
        ) from error


class SequenceWriter:
    """One picture a frame, numbered as the source's files are, else from 0.

    They lie in a hidden folder beside their place until all are written; an error removes it.
    """

    def __init__(self, path: Path, source: SourceInfo) -> None:
        _check_sequence(path, source)
        self.path = path
        self.notes = tuple(output_notes(path, source, EncodeConfig()))
        self._color = still_form(path, source)
        self.encoded = f"{path.suffix.lower()[1:]}, {self._color.pix_fmt}"
        self._source = source
        self._numbers = frame_numbers(source)
        self._written = 0
        self._folder: Path | None = None

    def __enter__(self) -> Self:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._folder = Path(
            mkdtemp(prefix=f".{self.path.name.split('%')[0].split('#')[0]}part-", dir=self.path.parent)
        )
        return self

    def write(self, frame: PlanarFrame) -> None:
        """The next frame; VideoError where it cannot be stored."""
        assert self._folder is not None  # it is entered
        source, color = self._source, self._color
        planes = frame.planes if color == source.color else still_planes(frame.planes, source.color, color)
        same_kind = source.files and source.color.linear and color.linear
        like = source.files[frame.index] if same_kind else None
        shown: Planes = tuple(to_shown(plane, source.rotation) for plane in planes)  # type: ignore[misc]
        name = numbered(self.path, self._numbers[frame.index]).name
        try:
            write_still(self._folder / name, shown, color, like)
        except OSError as error:
            raise VideoError(
                f"{self.path} could not be written ({error.strerror}). Nothing was kept."
            ) from error
        self._written += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._folder is not None
        try:
            if error is None:
                if self._written != self._source.frames:
                    raise VideoError(
                        f"{self.path} got {self._written} of {self._source.frames} frames and is not kept."
                    )
                for file in sorted(self._folder.iterdir()):
                    file.replace(self.path.with_name(file.name))
        finally:
            rmtree(self._folder, ignore_errors=True)


def still_form(path: Path, source: SourceInfo) -> ColorSpec:
    """What the pictures of a sequence hold: the source's own form where it is one of theirs, else 8 or 16 bit or half."""
    color, alpha = source.color, source.color.alpha
    if path.suffix.lower() == ".exr":
        return color if color.linear else ColorSpec("rgb", True, 16, (0, 0), alpha=alpha, linear=True)
    depth = 8 if color.bit_depth == 8 else 16
    gray = color.gray and color.full_range and color.bit_depth in (8, 16)
    return color if gray else ColorSpec("rgb", True, depth, (0, 0), alpha=alpha)


def still_planes(planes: Planes, color: ColorSpec, form: ColorSpec) -> Planes:
    """The samples as ``form``, RGB, has them: once rounded, light by way of the sRGB curve."""
    signal = planes_to_signal(planes, color)
    alpha = [planes[3].astype(np.float32) / color.top] if form.alpha else []
    if form.linear:
        parts = [to_linear(signal[..., channel]).astype(form.dtype) for channel in (1, 2, 0)]
        return (*parts, *(plane.astype(form.dtype) for plane in alpha))
    parts = [*(signal[..., channel] for channel in (1, 2, 0)), *alpha]
    return tuple(np.clip(np.rint(part * form.top), 0, form.top).astype(form.dtype) for part in parts)


def _check_sequence(path: Path, source: SourceInfo) -> None:
    check_pattern(path)
    if source.files and path.resolve() == source.path.resolve():
        raise VideoError(
            f"{path} is the source itself, which is never overwritten. Choose another output name."
        )
    first = numbered(path, frame_numbers(source)[0])
    if first in source.files:
        raise VideoError(
            f"{first} is a picture of the source, which is never overwritten. Choose another name."
        )
    if path.suffix.lower() == ".exr" and source.tags.transfer in (PQ, HLG):
        raise VideoError(
            f"{source.path} is PQ or HLG, whose light needs a colour pipeline of its own. Take 16-bit .png or .tif, "
            f"which keep the coded signal."
        )
