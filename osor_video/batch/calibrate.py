"""What a clip costs, found out by finishing its first frames into a place that is thrown away."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from osor_video.batch.estimate import Rate
from osor_video.batch.plan import Planned
from osor_video.batch.worker import Networks
from osor_video.config import EncodeConfig
from osor_video.errors import OsorError
from osor_video.video.reader import read_planes
from osor_video.video.source import open_source
from osor_video.video.writer import VideoWriter

FRAMES = 12


def calibrate(plan: Sequence[Planned], threads: int, frames: int = FRAMES) -> Rate | None:
    """The rate of the first ``frames`` frames of the first clip whose marks do for them alone, on ``threads`` threads.

    None where there is no such clip. Shared between longer clips the first frames' own costs count too much: it is an upper guess.
    """
    networks = Networks()
    for planned in plan:
        try:
            return Rate.of([_beginning(planned.given, networks, threads, frames)])
        except OsorError:
            # Masks for every frame do not fit a part of the clip, a mask of a later frame neither.
            continue
    return None


def _beginning(given: Mapping[str, Any], networks: Networks, threads: int, frames: int) -> dict[str, Any]:
    """The outcome of a job for the first ``frames`` frames of its clip alone."""
    import torch  # noqa: PLC0415

    from osor_video.apps.asked import removal_job  # noqa: PLC0415

    torch.set_num_threads(threads)
    job = removal_job({**given, "resume": True})
    config = job.config.model_copy(update={"encode": EncodeConfig(lossless=True)})
    begin = time.perf_counter()
    remover = networks.remover(config)
    load_s = time.perf_counter() - begin
    with TemporaryDirectory(prefix="osor-video-") as folder:
        clip = _cut(job.source, Path(folder) / "begin.mkv", job.config.decode, frames)
        report = remover.remove(clip, job.marks, Path(folder) / "out.mkv", regions=job.regions)
    values = json.loads(report.to_json())
    return {"wall_s": time.perf_counter() - begin, "load_s": load_s, "report": values}


def _cut(clip: Path, path: Path, decode: Any, frames: int) -> Path:
    """Write the first frames of a clip, without its sound and without loss."""
    source = open_source(clip, decode)
    shorter = replace(source, pts=source.pts[:frames], streams=())
    with (
        closing(read_planes(source)) as planes,
        VideoWriter(path, shorter, EncodeConfig(lossless=True)) as writer,
    ):
        for frame in islice(planes, shorter.frames):
            writer.write(frame)
    return path
