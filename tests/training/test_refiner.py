"""Training of the tracker's refiner: tracks that tell the truth, exact resume, and a run that becomes weights."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from osor_video.masks.features import build_features
from osor_video.masks.lessons import gather_evidence, lesson_loss, look_at
from osor_video.masks.matching import Remembered
from osor_video.masks.refiner import MaskRefiner
from osor_video.training.__main__ import main
from osor_video.training.config import LoopConfig, RefinerConfig, load_config
from osor_video.training.refiner import (
    TrackBatches,
    TrackSources,
    lesson_of,
    train_refiner,
)
from osor_video.training.tracks import LEAST_SHARE, load_labelled
from tests.training.test_runs import equal_states, log_rows, whole_and_parts

SIDE = 128


def refiner_config(steps: int = 3, **options: Any) -> RefinerConfig:
    loop = LoopConfig(steps=steps, batch=2, warmup_steps=2, checkpoint_steps=2, **options)
    return RefinerConfig(loop=loop, crop_px=SIDE, workers=0)


@pytest.fixture(scope="module")
def sources(photos_folder: Path, cutouts_folder: Path) -> TrackSources:
    return TrackSources.open(photos_folder, cutouts_folder)[0]


def test_a_track_is_a_function_of_its_random_numbers(sources: TrackSources) -> None:
    first, again, other = (sources.draw(SIDE, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(first.pictures, again.pictures)
    assert np.array_equal(first.masks, again.masks)
    assert not np.array_equal(first.pictures, other.pictures)
    assert first.pictures.shape == (3, SIDE, SIDE, 3)
    assert first.pictures.dtype == np.uint8
    assert first.masks.shape == (3, SIDE, SIDE)


def test_the_object_keeps_its_colour_from_look_to_look(tmp_path: Path) -> None:
    """A red disc on grey, in its own surroundings and pasted: what the masks cover is red, what they leave out is not."""
    photos, objects = tmp_path / "photos", tmp_path / "objects"
    for folder in (photos, objects / "images", objects / "labels"):
        folder.mkdir(parents=True)
    turns = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    ring = np.stack([0.5 + 0.25 * np.cos(turns), 0.5 + 0.25 * np.sin(turns)], axis=1)
    for index in range(13):
        cv2.imwrite(str(photos / f"{index:02d}.png"), np.full((200, 200, 3), 120, np.uint8))
        disc = np.full((200, 200, 3), 120, np.uint8)
        cv2.circle(disc, (100, 100), 50, (20, 20, 220), -1)
        cv2.imwrite(str(objects / f"images/{index:02d}.jpg"), disc, [cv2.IMWRITE_JPEG_QUALITY, 100])
        (objects / f"labels/{index:02d}.txt").write_text("0 " + " ".join(f"{v:.4f}" for v in ring.flatten()))
    sources, _ = TrackSources.open(photos, objects)
    for seed in range(12):
        track = sources.draw(SIDE, np.random.default_rng(seed))
        assert track.masks[0].mean() > LEAST_SHARE
        for picture, mask in zip(track.pictures, track.masks, strict=True):
            red = picture[..., 0].astype(int) > picture[..., 2].astype(int) + 40
            assert (mask & red).sum() >= 0.8 * mask.sum()


def test_labels_become_masks(cutouts_folder: Path) -> None:
    training, held_out = load_labelled(cutouts_folder)
    assert (len(training), len(held_out)) == (11, 2)
    (mask,) = training[0].masks  # the other object is too small
    # The diamond's diagonals are .8 and .6 of 160 pixels.
    assert mask.sum() == pytest.approx(0.5 * 0.8 * 0.6 * 160**2, rel=0.05)


def test_evidence_says_what_is_remembered() -> None:
    label = torch.zeros(4, 4)
    label[1:3, 1:3] = 1
    cells = torch.stack([label, 1 - label])
    evidence = gather_evidence(cells, Remembered(cells, label, (0, 0)), Remembered(cells, label / 2, (0, 0)))
    assert evidence.shape == (7, 4, 4)
    torch.testing.assert_close(evidence[2], label, atol=1e-4, rtol=0)
    torch.testing.assert_close(evidence[5], label / 2, atol=1e-4, rtol=0)
    torch.testing.assert_close(evidence[6], label / 2)
    # The recent frame has no cell that is rather object than not.
    assert evidence[3].max() == pytest.approx(-4.0)


def test_a_resumed_run_equals_an_uninterrupted_one(
    photos_folder: Path, cutouts_folder: Path, tmp_path: Path
) -> None:
    def train(config: RefinerConfig, folder: Path) -> None:
        train_refiner(config, photos_folder, cutouts_folder, folder)

    whole, parts = whole_and_parts(train, refiner_config, tmp_path)
    assert equal_states(whole["module"], parts["module"])
    figures = {name: float(value) for name, value in log_rows(tmp_path / "whole")[-1].items()}
    total = sum(figures[f"{kind}_{look}"] for kind in ("bce", "dice") for look in ("second", "third"))
    assert figures["loss"] == pytest.approx(total, abs=1e-4)


def test_one_batch_is_learnt(sources: TrackSources) -> None:
    batch = TrackBatches(sources, refiner_config(), range(1))[0]
    features = build_features()
    torch.manual_seed(0)
    refiner = MaskRefiner(width=16, fine_width=8)
    optimiser = torch.optim.Adam(refiner.parameters(), 5e-3)
    losses = []
    lesson = lesson_of(batch, [False, True])
    looks = look_at(lesson, features)
    for _ in range(40):
        loss, _ = lesson_loss(refiner, looks, lesson)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_a_run_becomes_weights_with_their_record(
    photos_folder: Path, cutouts_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("osor_video.training.export_refiner.HELD_OUT_TRACKS", 2)
    train_refiner(refiner_config(1), photos_folder, cutouts_folder, tmp_path / "run")
    (tmp_path / "refiner.yaml").write_text(f"kind: refiner\ncrop_px: {SIDE}\n")
    assert load_config(tmp_path / "refiner.yaml", RefinerConfig).crop_px == SIDE
    file = tmp_path / "refiner.safetensors"
    folders = [
        "--photos",
        str(photos_folder),
        "--cutouts",
        str(cutouts_folder),
        "--run",
        str(tmp_path / "run"),
    ]
    assert main(["export-refiner", str(tmp_path / "refiner.yaml"), *folders, "--file", str(file)]) == 0
    record = json.loads(file.with_suffix(".json").read_text())
    assert record["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert record["steps"] == 1
    assert 0 <= record["validation"]["j_third_recalled"] <= 1
    assert set(load_file(file)) == set(MaskRefiner().state_dict())
