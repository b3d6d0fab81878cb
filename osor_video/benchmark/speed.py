"""Speed and memory against length: one clip, played to and fro, in a process of its own for each length.

And of the model alone: one frame, from the picture to the decoded fill.
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

import cv2
import numpy as np

from osor_video.config import Config, DecodeConfig, EncodeConfig, RemovalConfig
from osor_video.errors import OsorError
from osor_video.masks.painted import MaskReading
from osor_video.masks.seed import PictureSeed
from osor_video.pipeline import VideoRemover
from osor_video.removal.crop import Crop
from osor_video.removal.model import OsorModel
from osor_video.removal.remover import OneStepRemover, RemovalInput
from osor_video.video.planes import Plane
from osor_video.video.reader import read_planes
from osor_video.video.source import open_source
from osor_video.video.writer import VideoWriter

LENGTHS = (100, 200, 400)
FRAME_RUNS = 9


@dataclass(frozen=True)
class SpeedRun:
    """One run; ``seconds`` by stage, ``wall_s`` without the loading of the networks."""

    frames: int
    wall_s: float
    seconds: dict[str, float]
    peak_memory_mb: float | None


def measure_speed(
    clip: Path, first: Path, config: Config, frames: int, size_hw: tuple[int, int] | None = None
) -> SpeedRun:
    """Remove the object from ``clip`` lengthened to ``frames``, in a fresh process; scaled to ``size_hw`` where given."""
    job = {"clip": str(clip), "first": str(first), "config": config.model_dump(mode="json"), "frames": frames}
    job |= {"size_hw": size_hw}
    done = subprocess.run(
        [sys.executable, "-m", "osor_video.benchmark.speed"],
        input=json.dumps(job),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise OsorError(f"The run over {frames} frames ended with code {done.returncode}: {lines[-1]}")
    return SpeedRun(**json.loads(done.stdout.splitlines()[-1]))


def measure_frame_ms(model: OsorModel, side_px: int) -> float:
    """Median time of one step on a square frame, in milliseconds: encoded, predicted, blended and decoded.

    ``side_px`` is a multiple of the model's; the threads are those that torch has been given.
    """
    picture = np.random.default_rng(0).integers(0, 256, (side_px, side_px, 3)).astype(np.uint8)
    mask = np.zeros((side_px, side_px), dtype=bool)
    mask[side_px // 4 : side_px // 2, side_px // 4 : side_px // 2] = True
    size_hw = side_px, side_px
    frame = RemovalInput(picture, mask, Crop(0, 0, size_hw, size_hw), None)
    remover = OneStepRemover(model, RemovalConfig(), seed=0)

    def seconds() -> float:
        begun = perf_counter()
        answers, _ = remover.remove([frame], None)
        # A picture in the processor's memory: a GPU has then finished.
        return perf_counter() - begun if answers[0].rgb.size else 0.0

    seconds()  # the first run allocates
    return 1000 * median(seconds() for _ in range(FRAME_RUNS))


LOOPED = EncodeConfig(crf=12, encoder_preset="veryfast")


def lengthened(
    clip: Path,
    frames: int,
    path: Path,
    encode: EncodeConfig = LOOPED,
    size_hw: tuple[int, int] | None = None,
    start: int = 0,
) -> Path:
    """Write ``clip`` from frame ``start`` on, played to and fro until it has ``frames`` frames, without its sound.

    Where it has more, they are left out. Where ``size_hw`` is given its frames are scaled to it.
    """
    source = open_source(clip, DecodeConfig())
    with closing(read_planes(source)) as planes:
        shots = list(islice(planes, start, start + frames))
    if size_hw is not None:
        source = replace(source, size_hw=size_hw)
        sizes = source.color.plane_sizes(size_hw)
        shots = [replace(shot, planes=tuple(map(_scaled, shot.planes, sizes))) for shot in shots]
    step = source.pts[1] - source.pts[0]
    longer = replace(source, pts=tuple(index * step for index in range(frames)), streams=())
    with VideoWriter(path, longer, encode) as writer:
        for index in range(frames):
            shot = shots[to_and_fro(index, len(shots))]
            writer.write(replace(shot, index=index, pts=longer.pts[index]))
    return path


def _scaled(plane: Plane, size_hw: tuple[int, int]) -> Plane:
    scaled: Plane = cv2.resize(plane, size_hw[::-1], interpolation=cv2.INTER_AREA)
    return scaled


def to_and_fro(index: int, length: int) -> int:
    """0 1 2 3 2 1 0 1 ... for a length of 4: motion never jumps."""
    place = index % max(2 * length - 2, 1)
    return min(place, 2 * length - 2 - place)


def _run(job: dict[str, Any]) -> SpeedRun:
    """The child process's work."""
    config = Config.model_validate(job["config"])
    size_hw = tuple(job["size_hw"]) if job["size_hw"] else None
    with TemporaryDirectory() as folder:
        long = Path(folder) / "long.mp4"
        clip = lengthened(Path(job["clip"]), job["frames"], long, size_hw=size_hw)
        seed = PictureSeed(Path(job["first"]), MaskReading(fit=True))
        remover = VideoRemover.from_config(config)
        report = remover.remove(clip, seed, Path(folder) / "out.mp4")
    return SpeedRun(report.frames, report.wall_s, report.seconds, report.peak_memory_mb)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(asdict(_run(json.load(sys.stdin)))) + "\n")
