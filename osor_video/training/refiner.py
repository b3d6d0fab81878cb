"""Training of the tracker's refiner on tracks made on the fly (``tracks.py``)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from osor_video.config import MaskConfig
from osor_video.masks.features import CELL_PX, MEAN, SPREAD, STAGES, cells_of, packaged_network
from osor_video.masks.matching import Remembered, compare_anywhere, compare_nearby
from osor_video.masks.refiner import MaskRefiner
from osor_video.report import Progress, silent
from osor_video.training.bad_masks import choose_kind, spoil_mask
from osor_video.training.batches import stream_batches
from osor_video.training.config import RefinerConfig
from osor_video.training.cutouts import Cutout, load_cutouts
from osor_video.training.loop import TrainingRun
from osor_video.training.losses import alpha_bce, alpha_dice
from osor_video.training.photos import list_photos, split_photos
from osor_video.training.tracks import Labelled, Track, load_labelled, make_track

Batch = tuple[Tensor, Tensor, Tensor]
"""Pictures uint8 [B, 3, S, S, 3]; masks bool [B, 3, S, S]; spoilt masks of the second look bool [B, S, S]."""


REACH_CELLS = MaskConfig().recent_reach_cells


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


class Followed(NamedTuple):
    """Of the second and of the third look: logits [B, 1, S/2, S/2] and the evidence [B, 7, S/8, S/8] they came from."""

    logits: tuple[Tensor, Tensor]
    evidence: tuple[Tensor, Tensor]


class RefinerLoss:
    """Cross entropy and Dice of the second look's mask, found from the first's, and of the third's, found from both."""

    def __init__(self, config: RefinerConfig) -> None:
        self._device = torch.device(config.loop.device)
        network = packaged_network(STAGES).eval().requires_grad_(False)
        self._network = network.to(self._device, memory_format=torch.channels_last)

    def __call__(
        self, refiner: nn.Module, batch: Batch, spoil: list[bool], cuts: Sequence[float | None] | None = None
    ) -> tuple[Tensor, dict[str, float]]:
        """``spoil``: of which samples [B] the second look is remembered with its spoilt mask; ``cuts`` as in ``follow``."""
        total = torch.zeros((), device=self._device)
        figures: dict[str, float] = {}
        for look, logits in enumerate(self.follow(refiner, batch, spoil, cuts).logits, start=1):
            truth = F.avg_pool2d(batch[1][:, look, None].to(self._device).float(), 2)
            ones = torch.ones_like(truth)
            bce, dice = alpha_bce(logits, truth, ones), alpha_dice(logits, truth, ones)
            total = total + bce + dice
            name = ("second", "third")[look - 1]
            figures |= {f"bce_{name}": float(bce.detach()), f"dice_{name}": float(dice.detach())}
        return total, figures

    def follow(
        self, refiner: nn.Module, batch: Batch, spoil: list[bool], cuts: Sequence[float | None] | None = None
    ) -> Followed:
        """The object found in the second and the third look, one after the other as a run does it.

        ``cuts``: for the third look, the angles at which a part of the first is forgotten (``forget_part``).
        """
        cuts = cuts or [None] * len(batch[1])
        pictures, masks, spoilt = (part.to(self._device) for part in batch)
        stages, cells = self._look(pictures)
        count = len(masks)
        first = [Remembered(cells[i], cell_labels(masks[i, 0]), (0, 0)) for i in range(count)]
        seen = torch.stack([gather_evidence(cells[count + i], first[i], first[i]) for i in range(count)])
        second: Tensor = refiner([stage[count : 2 * count] for stage in stages], seen)
        found = F.avg_pool2d(second.detach().sigmoid(), CELL_PX // 2)[:, 0]
        labels = [cell_labels(spoilt[i]) if spoil[i] else found[i] for i in range(count)]
        recent = [Remembered(cells[count + i], labels[i], (0, 0)) for i in range(count)]
        known = [forget_part(first[i], cuts[i]) for i in range(count)]
        then = torch.stack([gather_evidence(cells[2 * count + i], known[i], recent[i]) for i in range(count)])
        third: Tensor = refiner([stage[2 * count :] for stage in stages], then)
        return Followed((second, third), (seen, then))

    @torch.no_grad()
    def _look(self, pictures: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Stages [3 B, C, h, w] and cells [C, h, w] of every look [B, 3, S, S, 3], the first looks first."""
        flat = pictures.transpose(0, 1).flatten(0, 1)
        values = (flat.permute(0, 3, 1, 2).float() / 255 - MEAN) / SPREAD
        stages = list(self._network(values.contiguous(memory_format=torch.channels_last)))
        views = flat.cpu().numpy()
        return stages, [
            cells_of(view, [stage[i : i + 1] for stage in stages]) for i, view in enumerate(views)
        ]


def cell_labels(mask: Tensor) -> Tensor:
    """Share of each cell that a mask [H, W] covers, [h, w]."""
    return F.avg_pool2d(mask[None].float(), CELL_PX)[0]


def forget_part(first: Remembered, angle: float | None) -> Remembered:
    """The first look as if the object had been turned: all cells on one side of a line through its middle are unknown.

    ``angle`` is the line's normal, in radians; None forgets nothing.
    """
    if angle is None or not first.label.any():
        return first
    ys, xs = (
        axis.to(first.label.device)
        for axis in torch.meshgrid(*map(torch.arange, first.label.shape), indexing="ij")
    )
    weight = first.label / first.label.sum()
    side = (xs - (weight * xs).sum()) * math.cos(angle) + (ys - (weight * ys).sum()) * math.sin(angle)
    return Remembered(first.features * (side < 0), first.label * (side < 0), first.origin)


def gather_evidence(cells: Tensor, first: Remembered, recent: Remembered) -> Tensor:
    """The refiner's evidence [7, h, w] for a look's cells; the mask of the recent frame stands for the carried one."""
    there = compare_anywhere(cells, first)
    near = compare_nearby(cells, (0, 0), [recent], REACH_CELLS)
    return torch.cat([there, near, recent.label[None]])


def train_refiner(
    config: RefinerConfig, photos_folder: Path, cutouts_folder: Path, out: Path, progress: Progress = silent
) -> nn.Module:
    """Train (or go on training) in ``out``; returns the averaged network."""
    torch.set_num_threads(config.loop.threads)
    torch.manual_seed(config.loop.seed)
    sources, _ = TrackSources.open(photos_folder, cutouts_folder)
    objective = RefinerLoss(config)
    refiner = MaskRefiner().to(torch.device(config.loop.device), memory_format=torch.channels_last)
    run = TrainingRun(refiner, config.loop, out)
    run.resume()
    steps = range(run.step, config.loop.steps)
    batches: Iterator[Batch] = stream_batches(TrackBatches(sources, config, steps), config.workers)

    def step_loss(module: nn.Module, step: int) -> tuple[Tensor, dict[str, float]]:
        random = np.random.default_rng([config.loop.seed, step, 1])
        spoil = (random.random(config.loop.batch) < config.spoilt_share).tolist()
        turned = random.random(config.loop.batch) < config.turned_share
        angles = random.uniform(0, 2 * math.pi, config.loop.batch)
        cuts = [float(angle) if turn else None for angle, turn in zip(angles, turned, strict=True)]
        return objective(module, next(batches), spoil, cuts)

    run.run(step_loss, progress)
    return run.averaged
