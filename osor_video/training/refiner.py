"""Training of the tracker's refiner on tracks made on the fly (``tracks.py``)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from osor_video.masks.features import build_features
from osor_video.masks.lessons import Lesson, lesson_loss, look_at
from osor_video.masks.looks import Track
from osor_video.masks.refiner import MaskRefiner
from osor_video.report import Progress, silent
from osor_video.training.bad_masks import choose_kind, spoil_mask
from osor_video.training.batches import stream_batches
from osor_video.training.config import RefinerConfig
from osor_video.training.cutouts import Cutout, load_cutouts
from osor_video.training.loop import TrainingRun
from osor_video.training.photos import list_photos, split_photos
from osor_video.training.tracks import Labelled, load_labelled, make_track

Batch = tuple[Tensor, Tensor, Tensor]
"""Pictures uint8 [B, 3, S, S, 3]; masks bool [B, 3, S, S]; spoilt masks of the second look bool [B, S, S]."""


@dataclass(frozen=True)
class TrackSources:
    """What tracks are made of; without labelled photographs all objects are pasted."""

    photos: list[Path]
    cutouts: list[Cutout]
    labelled: list[Labelled]

    @classmethod
    def open(cls, photos_folder: Path, cutouts_folder: Path) -> tuple[Self, Self]:
        """(training, validation); ConfigError where a folder holds too little."""
        sides = (
            split_photos(list_photos(photos_folder)),
            load_cutouts(cutouts_folder),
            load_labelled(cutouts_folder),
        )
        training, held_out = (cls(*(side[part] for side in sides)) for part in range(2))  # type: ignore[arg-type]
        return training, held_out

    def draw(self, side_px: int, random: np.random.Generator) -> Track:
        """One track, a function of ``random`` alone."""
        return make_track(self.photos, self.cutouts, self.labelled, side_px, random)


class TrackBatches(Dataset[Batch]):
    """The batch of each step: a function of the seed and the step number alone."""

    def __init__(self, sources: TrackSources, config: RefinerConfig, steps: range) -> None:
        self.sources, self.config, self.steps = sources, config, steps

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: int) -> Batch:
        """``loop.batch`` tracks."""
        random = np.random.default_rng([self.config.loop.seed, self.steps[index]])
        made = [self.sources.draw(self.config.crop_px, random) for _ in range(self.config.loop.batch)]
        spoilt = [spoil_mask(track.masks[1], choose_kind(random), random) for track in made]
        return (
            torch.from_numpy(np.stack([track.pictures for track in made])),
            torch.from_numpy(np.stack([track.masks for track in made])),
            torch.from_numpy(np.stack(spoilt)),
        )


def lesson_of(batch: Batch, spoil: Sequence[bool]) -> Lesson:
    """``spoil``: of which samples [B] the second look is remembered with its spoilt mask."""
    pictures, masks, spoilt = batch
    return Lesson(
        pictures.numpy(), masks, [mask if wrong else None for mask, wrong in zip(spoilt, spoil, strict=True)]
    )


def train_refiner(
    config: RefinerConfig, photos_folder: Path, cutouts_folder: Path, out: Path, progress: Progress = silent
) -> nn.Module:
    """Train (or go on training) in ``out``; returns the averaged network."""
    torch.set_num_threads(config.loop.threads)
    torch.manual_seed(config.loop.seed)
    sources, _ = TrackSources.open(photos_folder, cutouts_folder)
    features = build_features(config.loop.device)
    refiner = MaskRefiner().to(torch.device(config.loop.device), memory_format=torch.channels_last)
    run = TrainingRun(refiner, config.loop, out)
    run.resume()
    steps = range(run.step, config.loop.steps)
    batches: Iterator[Batch] = stream_batches(TrackBatches(sources, config, steps), config.workers)

    def step_loss(module: nn.Module, step: int) -> tuple[Tensor, dict[str, float]]:
        random = np.random.default_rng([config.loop.seed, step, 1])
        spoil = (random.random(config.loop.batch) < config.spoilt_share).tolist()
        lesson = lesson_of(next(batches), spoil)
        return lesson_loss(module, look_at(lesson, features), lesson)

    run.run(step_loss, progress)
    return run.averaged
