"""What the refiner is taught, and how it is told that it erred: the object of a track, found as a run finds it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from osor_video.config import MaskConfig
from osor_video.layers import alpha_bce, alpha_dice
from osor_video.masks.features import CELL_PX, RecognitionFeatures
from osor_video.masks.matching import Remembered, compare_anywhere, compare_nearby

REACH_CELLS = MaskConfig().recent_reach_cells


class Lesson(NamedTuple):
    """Tracks to learn from: ``pictures`` uint8 [B, 3, S, S, 3], the object's ``masks`` bool [B, 3, S, S].

    ``spoilt`` holds a mask [S, S] for each track whose second look is remembered wrongly, as after an error, else None.
    """

    pictures: npt.NDArray[np.uint8]
    masks: Tensor
    spoilt: list[Tensor | None]


class Looks(NamedTuple):
    """A lesson's pictures as features, the first looks of all tracks, then the second, then the third: see ``look_at_all``."""

    stages: list[Tensor]
    cells: list[Tensor]


class Followed(NamedTuple):
    """Of the second and of the third look: logits [B, 1, S/2, S/2] and the evidence [B, 7, S/8, S/8] they came from."""

    logits: tuple[Tensor, Tensor]
    evidence: tuple[Tensor, Tensor]


def look_at(lesson: Lesson, features: RecognitionFeatures) -> Looks:
    """What the refiner is shown of a lesson; no gradients pass through it."""
    return Looks(*features.look_at_all(np.concatenate(list(lesson.pictures.swapaxes(0, 1)))))


def follow_looks(refiner: nn.Module, looks: Looks, lesson: Lesson) -> Followed:
    """The object found in the second and the third look, one after the other as a run does it."""
    stages, cells = looks
    masks, count = lesson.masks.to(stages[0].device), len(lesson.masks)
    first = [Remembered(cells[i], cell_labels(masks[i, 0]), (0, 0)) for i in range(count)]
    seen = torch.stack([gather_evidence(cells[count + i], first[i], first[i]) for i in range(count)])
    second: Tensor = refiner([stage[count : 2 * count] for stage in stages], seen)
    found = F.avg_pool2d(second.detach().sigmoid(), CELL_PX // 2)[:, 0]
    labels = [
        found[i] if spoilt is None else cell_labels(spoilt.to(found.device))
        for i, spoilt in enumerate(lesson.spoilt)
    ]
    recent = [Remembered(cells[count + i], labels[i], (0, 0)) for i in range(count)]
    then = torch.stack([gather_evidence(cells[2 * count + i], first[i], recent[i]) for i in range(count)])
    third: Tensor = refiner([stage[2 * count :] for stage in stages], then)
    return Followed((second, third), (seen, then))


def lesson_loss(refiner: nn.Module, looks: Looks, lesson: Lesson) -> tuple[Tensor, dict[str, float]]:
    """Cross entropy and Dice of the second look's mask, found from the first's, and of the third's, found from both."""
    total = torch.zeros(())
    figures: dict[str, float] = {}
    found = zip(("second", "third"), follow_looks(refiner, looks, lesson).logits, strict=True)
    for look, (name, logits) in enumerate(found, start=1):
        truth = F.avg_pool2d(lesson.masks[:, look, None].to(logits.device).float(), 2)
        ones = torch.ones_like(truth)
        bce, dice = alpha_bce(logits, truth, ones), alpha_dice(logits, truth, ones)
        total = total.to(logits.device) + bce + dice
        figures |= {f"bce_{name}": float(bce.detach()), f"dice_{name}": float(dice.detach())}
    return total, figures


def cell_labels(mask: Tensor) -> Tensor:
    """Share of each cell that a mask [H, W] covers, [h, w]."""
    return F.avg_pool2d(mask[None].float(), CELL_PX)[0]


def gather_evidence(cells: Tensor, first: Remembered, recent: Remembered) -> Tensor:
    """The refiner's evidence [7, h, w] for a look's cells; the mask of the recent frame stands for the carried one."""
    there = compare_anywhere(cells, first)
    near = compare_nearby(cells, (0, 0), [recent], REACH_CELLS)
    return torch.cat([there, near, recent.label[None]])
