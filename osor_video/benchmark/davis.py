"""Masks from the first frame against drawn ones, on folders laid out as DAVIS lays them out.

    FOLDER/JPEGImages/[480p/]NAME/00000.jpg ...
    FOLDER/Annotations/[480p/]NAME/00000.png ...

J is the intersection of found and true mask over their union. As DAVIS 2016 (Perazzi et al., CVPR 2016, section 4)
counts them: the first frame, which is given, and the last have no say; recall is the share of frames with J above one
half; decay is the mean J of the first quarter of the frames less that of the last. Frames whose true mask was given later, as
a correction, have no say either.

A removal fills a hole wider than the mask, so J counts a mask that is a little wide like one that lacks an arm, and only the
second is seen. What is left of the object outside the hole is counted beside it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from osor_video.analysis import shots_of, track_back, ways_back
from osor_video.config import Config
from osor_video.errors import ConfigError
from osor_video.flow.estimate import FlowEstimator
from osor_video.follow import follow
from osor_video.masks.build import build_tracker
from osor_video.masks.features import RecognitionFeatures
from osor_video.masks.held import BackFrame, KeyedFrames, Marked
from osor_video.masks.track import hole
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
    """What a run over one sequence gave: ``overlaps`` is J of each frame, the given first one included.

    ``left`` is the share of each frame's true mask that the hole of a removal does not cover.
    """

    name: str
    overlaps: tuple[float, ...]
    left: tuple[float, ...]
    scores: tuple[float, ...]
    """The tracker's own score of each frame."""
    wall_s: float
    given: tuple[int, ...] = (0,)
    """Frames whose true mask the tracker was given."""

    @property
    def judged(self) -> tuple[float, ...]:
        """J of the frames that count."""
        return counted(self.overlaps, self.given)

    @property
    def worst(self) -> int:
        """The frame with the lowest J of those that count."""
        judged = (index for index in range(len(self.overlaps) - 1) if index not in self.given)
        return min(judged, key=lambda index: self.overlaps[index])

    @property
    def mean(self) -> float:
        """Mean J."""
        return float(np.mean(self.judged))

    @property
    def mean_left(self) -> float:
        """Mean share of the object that is left, over the same frames."""
        return float(np.mean(counted(self.left, self.given)))

    @property
    def recall(self) -> float:
        """Share of the frames with J above one half."""
        return float(np.mean(np.array(self.judged) > 0.5))

    @property
    def decay(self) -> float:
        """Mean J of the first quarter less that of the last: how much is lost on the way."""
        quarters = np.array_split(np.array(self.judged), 4)
        return float(quarters[0].mean() - quarters[-1].mean())


def counted(figures: tuple[float, ...], given: tuple[int, ...]) -> tuple[float, ...]:
    """One figure a frame -> those of all frames but the ``given`` ones and the last."""
    return tuple(figure for index, figure in enumerate(figures[:-1]) if index not in given)


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
    given: tuple[int, ...] = (0,),
) -> Tracked:
    """Follow the masks of the frames ``given`` through ``sequence`` as a removal does, and compare each with the drawn one."""
    overlaps: list[float] = []
    left: list[float] = []
    scores: list[float] = []
    keys = {index: _marked(sequence.masks[index]) for index in given}
    begin = time.perf_counter()
    with shared_cores() as pool:
        back = _follow_back(sequence, keys, estimator, features, config, pool)
        held = KeyedFrames(build_tracker(config.mask, features), keys, back)
        moving = follow(_pictures(sequence), estimator, pool, lambda: held.follows, Stopwatch())
        for frame, path in zip(moving, sequence.masks, strict=True):
            found = held.step(frame.picture, frame.flow)
            true = read_mask(path)
            overlaps.append(overlap(found.mask, true))
            covered = hole(found.mask, config.mask.grow, config.mask.smooth)
            left.append(float((true & ~covered).sum() / max(true.sum(), 1)))
            scores.append(found.score)
            progress(sequence.name, len(overlaps), len(sequence.masks))
    wall_s = time.perf_counter() - begin
    return Tracked(sequence.name, tuple(overlaps), tuple(left), tuple(scores), wall_s, given)


def correct(
    run: Tracked,
    sequence: Sequence,
    estimator: FlowEstimator,
    features: RecognitionFeatures,
    config: Config,
    progress: Progress = silent,
) -> Tracked:
    """``run`` once more, with the true mask of its worst frame as a correction."""
    return track(sequence, estimator, features, config, progress, (*run.given, run.worst))


def _follow_back(
    sequence: Sequence,
    keys: dict[int, Marked],
    estimator: FlowEstimator,
    features: RecognitionFeatures,
    config: Config,
    pool: Executor,
) -> dict[int, BackFrame]:
    if not any(keys):
        return {}
    clock, found = Stopwatch(), dict[int, BackFrame]()
    for way in ways_back(keys, shots_of(_pictures(sequence), clock)):
        found |= track_back(
            way,
            lambda start, stop: [read_picture(path) for path in sequence.pictures[start:stop]],
            keys,
            build_tracker(config.mask, features),
            estimator,
            config.window_frames,
            pool,
            clock,
        )
    return found


def _marked(path: Path) -> Marked:
    return lambda _: read_mask(path)


def _pictures(sequence: Sequence) -> Iterator[Picture]:
    return (read_picture(path) for path in sequence.pictures)


def read_picture(path: Path) -> Picture:
    """uint8 [H, W, 3] of a picture file that OpenCV can read."""
    return np.asarray(cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), np.uint8)


def read_mask(path: Path) -> Mask:
    """bool [H, W] of an annotation."""
    return np.asarray(np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)) > OBJECT)
