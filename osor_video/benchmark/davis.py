"""Masks from the first frame against drawn ones, on folders laid out as DAVIS lays them out.

    FOLDER/JPEGImages/[480p/]NAME/00000.jpg ...
    FOLDER/Annotations/[480p/]NAME/00000.png ...

J is the intersection of found and true mask over their union. As DAVIS 2016 (Perazzi et al., CVPR 2016, section 4)
counts them: the first frame, which is given, and the last have no say; recall is the share of frames with J above one
half; decay is the mean J of the first quarter of the frames less that of the last.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from osor_video.config import Config
from osor_video.errors import ConfigError
from osor_video.flow.estimate import FlowEstimator
from osor_video.follow import follow
from osor_video.masks.build import Tracker, build_tracker
from osor_video.masks.features import RecognitionFeatures
from osor_video.masks.track import TrackedFrame
from osor_video.parallel import shared_cores
from osor_video.report import Progress, Stopwatch, silent
from osor_video.shapes import overlap
from osor_video.tensors import Mask, Picture

OBJECT = 127
"""An annotation's grey level above which it is object."""
FEWEST = 6
"""Frames a sequence needs: four count, one a quarter."""


@dataclass(frozen=True)
class Sequence:
    """One sequence: its pictures and true masks, paired by name, in order."""

    name: str
    pictures: tuple[Path, ...]
    masks: tuple[Path, ...]


@dataclass(frozen=True)
class Tracked:
    """What a run over one sequence gave: ``overlaps`` is J of each frame, the given first one included."""

    name: str
    overlaps: tuple[float, ...]
    scores: tuple[float, ...]
    """The tracker's own score of each frame."""
    wall_s: float

    @property
    def judged(self) -> tuple[float, ...]:
        """J of the frames that count."""
        return self.overlaps[1:-1]

    @property
    def mean(self) -> float:
        """Mean J."""
        return float(np.mean(self.judged))

    @property
    def recall(self) -> float:
        """Share of the frames with J above one half."""
        return float(np.mean(np.array(self.judged) > 0.5))

    @property
    def decay(self) -> float:
        """Mean J of the first quarter less that of the last: how much is lost on the way."""
        quarters = np.array_split(np.array(self.judged), 4)
        return float(quarters[0].mean() - quarters[-1].mean())


def open_sequences(folder: Path, names: list[str] | None = None) -> list[Sequence]:
    """The sequences of ``folder``, sorted by name, or those of ``names``; ConfigError where something is missing."""
    pictures, masks = (_resolution(folder / part) for part in ("JPEGImages", "Annotations"))
    known = sorted(path.name for path in masks.iterdir() if path.is_dir())
    if not known:
        raise ConfigError(f"{masks} holds no sequences; expected a folder of PNG masks for each.")
    for name in names or []:
        if name not in known:
            raise ConfigError(
                f"There is no sequence {name!r} in {masks}, expected one of: {', '.join(known)}."
            )
    return [_open_sequence(name, pictures / name, masks / name) for name in names or known]


def _resolution(folder: Path) -> Path:
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no folder; give a folder with JPEGImages/ and Annotations/.")
    return folder / "480p" if (folder / "480p").is_dir() else folder


def _open_sequence(name: str, pictures: Path, masks: Path) -> Sequence:
    shown = {path.stem: path for path in sorted(pictures.glob("*.jpg"))}
    drawn = {path.stem: path for path in sorted(masks.glob("*.png"))}
    if len(shown) < FEWEST or shown.keys() != drawn.keys():
        raise ConfigError(
            f"Sequence {name} has {len(shown)} pictures and {len(drawn)} masks, expected {FEWEST} or more pairs of "
            f"one name: NUMBER.jpg in {pictures}, NUMBER.png in {masks}."
        )
    return Sequence(name, tuple(shown.values()), tuple(drawn.values()))


def track(
    sequence: Sequence,
    estimator: FlowEstimator,
    features: RecognitionFeatures,
    config: Config,
    progress: Progress = silent,
) -> Tracked:
    """Follow the first mask through ``sequence`` as a removal does, and compare each mask with the drawn one."""
    tracker = build_tracker(config.mask, features)
    overlaps: list[float] = []
    scores: list[float] = []
    begin = time.perf_counter()
    with shared_cores() as pool:
        true_masks = (_read_mask(path) for path in sequence.masks)
        for found, true in track_masks(_pictures(sequence), true_masks, estimator, tracker, pool):
            overlaps.append(overlap(found.mask, true))
            scores.append(found.score)
            progress(sequence.name, len(overlaps), len(sequence.masks))
    return Tracked(sequence.name, tuple(overlaps), tuple(scores), time.perf_counter() - begin)


def track_masks(
    frames: Iterable[Picture],
    true_masks: Iterable[Mask],
    estimator: FlowEstimator,
    tracker: Tracker,
    pool: Executor,
) -> Iterator[tuple[TrackedFrame, Mask]]:
    """The mask found in each frame beside the true one [H, W]; the tracker begins with the first of these."""
    moving = follow(frames, estimator, pool, lambda: tracker.follows, Stopwatch())
    for index, (frame, true) in enumerate(zip(moving, true_masks, strict=True)):
        if index:
            yield tracker.step(frame.picture, frame.flow), true
        else:
            yield tracker.start(frame.picture, true), true


def _pictures(sequence: Sequence) -> Iterator[Picture]:
    for path in sequence.pictures:
        yield np.asarray(cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), np.uint8)


def _read_mask(path: Path) -> Mask:
    return np.asarray(np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)) > OBJECT)
