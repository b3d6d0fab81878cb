"""Keeping the record of one run: what is gathered on the way, what is put into the finished file, what is written beside it."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from osor_video import __version__
from osor_video.config import Config
from osor_video.provenance import room
from osor_video.provenance.content import read_credentials, sidecar, sign
from osor_video.provenance.papers import Papers
from osor_video.provenance.record import (
    MaskDigest,
    Material,
    Record,
    changed_settings,
    material,
    settings_of,
    utc_now,
    write_paper,
)
from osor_video.provenance.weights import weights_hashes
from osor_video.report import RunReport
from osor_video.tensors import Mask
from osor_video.video.packets import stream_hashes
from osor_video.video.seal import Seal
from osor_video.video.streams import CONTAINERS, RECORD_TAG

PROGRAMS = {"torch": "torch", "PyAV": "av", "OpenCV": "opencv-python-headless", "NumPy": "numpy"}
"""What computes and encodes, and the packages it comes in."""


class Keeper:
    """Gathers what the record of one run needs: begin it before the run, hand it every mask, finish it with the report."""

    def __init__(self, papers: Papers, source: Path, output: Path, config: Config, frames: int) -> None:
        self._papers, self._source, self._output, self._config = papers, source, output, config
        self._frames = frames
        self._started, self._clock = utc_now(), time.perf_counter()
        self._masks = MaskDigest()
        self._record: Record | None = None
        self._credentials = None if papers.sign is None else read_credentials(*papers.sign)
        self._manifest: bytes | None = None

    def masks(self, also: Callable[[int, Mask], None] | None) -> Callable[[int, Mask], None]:
        """Takes every mask [H, W] in order, and hands it on."""

        def take(index: int, mask: Mask) -> None:
            self._masks(index, mask)
            if also is not None:
                also(index, mask)

        return take

    def seal(self) -> Seal | None:
        """What is to be done to the file before it gets its name; None where nothing is."""
        if not self._papers.embed and self._credentials is None:
            return None
        return Seal(self._sealed, {RECORD_TAG: room.blank(self._frames)} if self._papers.embed else {})

    def finish(self, report: RunReport) -> Record:
        """The whole record of the finished run, written where that was asked for.

        So is the manifest of a container that holds none. Raises VideoError where source or output can no longer be read.
        """
        record = self._record or self._drawn_up(report, self._streams(self._output))
        if self._manifest is not None:
            write_paper(sidecar(self._output), self._manifest)
        after = self._output_as(record, self._output)
        record = record.model_copy(update={"output": after, "room": None})
        if self._papers.record is not None:
            record.write(self._papers.record)
        return record

    def _sealed(self, path: Path, report: RunReport) -> None:
        """Put into the finished file at ``path`` what was asked for."""
        self._record = self._drawn_up(report, self._streams(path))
        if self._papers.embed:
            whole = None if self._credentials else room.sha256_without(path)
            output = self._record.output.model_copy(update={"sha256_without_record": whole})
            room.put(path, self._record.model_copy(update={"output": output}).compact())
        if self._credentials is not None:
            # Last of all: whatever changes a byte later breaks the signature.
            self._manifest = sign(path, self._output.name, self._source, self._record, self._credentials)

    def _streams(self, path: Path) -> dict[str, str]:
        return stream_hashes(path) if self._output.suffix.lower() in CONTAINERS else {}

    def _output_as(self, record: Record, path: Path) -> Material:
        """The output with its hash; without one where it went into a pipe."""
        return record.output if path.name == "-" else material(path, record.output.streams)

    def _drawn_up(self, report: RunReport, streams: dict[str, str]) -> Record:
        """The record but for the hash of the output, which no record within it could have."""
        height, width = report.size_hw
        return Record(
            version=__version__,
            programs={name: version(package) for name, package in PROGRAMS.items()},
            started=self._started,
            duration_s=round(time.perf_counter() - self._clock, 3),
            operator=self._papers.operator,
            reason=self._papers.reason,
            source=material(self._source),
            output=Material(name=self._output.name, streams=streams),
            model=report.model,
            flow=report.flow,
            weights=weights_hashes(self._config),
            preset=self._papers.preset,
            changed=changed_settings(self._config, self._papers.preset),
            settings=settings_of(self._config),
            seed=self._config.seed,
            frames=report.frames,
            size=(width, height),
            touched=report.touched,
            replaced=report.replaced,
            borrowed=report.borrowed,
            masks_sha256=self._masks.hex(),
            cuts=report.cuts,
            damaged=report.damaged,
            unseen=report.unseen,
            signed=self._credentials is not None,
        )
