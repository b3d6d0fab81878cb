"""Held-out figures of a run of the tracker's refiner, and the run as a file of weights with its record."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from osor_video.masks.features import build_features
from osor_video.masks.lessons import follow_looks, look_at
from osor_video.masks.refiner import MaskRefiner
from osor_video.shapes import overlap
from osor_video.training.config import RefinerConfig
from osor_video.training.export import DATA, write_weights
from osor_video.training.loop import load_averaged
from osor_video.training.photos import list_photos, split_photos
from osor_video.training.refiner import TrackSources, lesson_of

HELD_OUT_TRACKS = 64


def export_refiner(
    config: RefinerConfig, photos_folder: Path, cutouts_folder: Path, run: Path, target: Path
) -> dict[str, float]:
    """Write the averaged weights of ``run`` as float16 to ``target`` (.safetensors) with their record; returns its figures."""
    refiner = MaskRefiner()
    facts = load_averaged(refiner, run)
    _, held_out = TrackSources.open(photos_folder, cutouts_folder)
    figures = measure_refiner(refiner, held_out, config)
    photos, _ = split_photos(list_photos(photos_folder))
    about: dict[str, object] = {
        "architecture": "osor_video.masks.refiner.MaskRefiner",
        "beside": "the ImageNet features of EfficientNet-Lite0, which stay as they are",
        "data": f"tracks made on the fly; {DATA}",
        "training_photographs": len(photos),
        "crop_px": config.crop_px,
    }
    write_weights(refiner, facts, config.loop, target, about, figures)
    return figures


def measure_refiner(refiner: MaskRefiner, sources: TrackSources, config: RefinerConfig) -> dict[str, float]:
    """Mean J on ``HELD_OUT_TRACKS`` tracks of ``sources``, of the refiner and of what it begins with.

    ``second`` is the look far from the user's mask, ``third`` the one near the second. ``recalled`` cuts the label that
    matching recalls from the user's mask at one half; ``stays`` is the mask of the look before where it was.
    """
    features = build_features(config.loop.device)
    refiner.eval()
    rows: list[dict[str, float]] = []
    for index in range(HELD_OUT_TRACKS):
        track = sources.draw(config.crop_px, np.random.default_rng([config.loop.seed, index]))
        batch = (
            torch.from_numpy(track.pictures[None]),
            torch.from_numpy(track.masks[None]),
            torch.zeros(1, *track.masks.shape[1:], dtype=torch.bool),
        )
        with torch.inference_mode():
            lesson = lesson_of(batch, [False])
            found = follow_looks(refiner, look_at(lesson, features), lesson)
        for look, (logits, evidence) in enumerate(zip(found.logits, found.evidence, strict=True), start=1):
            name, truth = ("second", "third")[look - 1], batch[1][:, look]
            rows.append(
                {
                    f"j_{name}": _j(logits > 0, truth),
                    f"j_{name}_recalled": _j(evidence[:, 2:3] > 0.5, truth),
                    f"j_{name}_stays": _j(batch[1][:, look - 1 : look].float() > 0.5, truth),
                }
            )
    names = sorted({name for row in rows for name in row})
    return {name: round(float(np.mean([row[name] for row in rows if name in row])), 3) for name in names}


def _j(found: Tensor, truth: Tensor) -> float:
    """J of a coarse mask [1, 1, h, w] enlarged to the true one's size [1, H, W]."""
    large = F.interpolate(found.float(), truth.shape[-2:], mode="bilinear") > 0.5
    return overlap(large[0, 0].numpy(), truth[0].numpy())
