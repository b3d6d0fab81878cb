"""Steps of the alpha head's training: exact resume, its log, and a model folder with the head in it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from osor_video.errors import ConfigError
from osor_video.removal.model import OsorModel, load_network
from osor_video.removal.step import noise_tile
from osor_video.training.alpha import train_alpha
from osor_video.training.autoencoder import train_autoencoder
from osor_video.training.config import AlphaConfig
from osor_video.training.export import export_model, renew_model
from osor_video.training.remover import PairBatches, Sources, train_remover
from tests.tiny import TINY
from tests.training.test_runs import (
    autoencoder_config,
    equal_states,
    log_rows,
    loop,
    remover_config,
    whole_and_parts,
)


def alpha_config(steps: int = 3, **options: float) -> AlphaConfig:
    return AlphaConfig(
        architecture=TINY, loop=loop(steps, **options), crop_px=64, widest_crop_px=128, workers=0
    )


@pytest.fixture(scope="module")
def autoencoder_run(photos_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("autoencoder")
    train_autoencoder(autoencoder_config(), photos_folder, folder)
    return folder


def test_a_resumed_run_equals_an_uninterrupted_one(
    photos_folder: Path, cutouts_folder: Path, autoencoder_run: Path, tmp_path: Path
) -> None:
    def train(config: AlphaConfig, folder: Path) -> None:
        train_alpha(config, photos_folder, cutouts_folder, autoencoder_run, folder)

    whole, parts = whole_and_parts(train, alpha_config, tmp_path)
    assert equal_states(whole["module"], parts["module"])
    figures = {name: float(value) for name, value in log_rows(tmp_path / "whole")[-1].items()}
    for_alpha = figures["bce"] + 2 * (figures["dice"] + figures["dice_beyond"])
    for_object = figures["object_bce"] + 2 * (figures["object_dice"] + figures["object_dice_beyond"])
    assert figures["loss"] == pytest.approx(for_alpha + for_object, abs=1e-3)


def test_steps_of_many_sizes_have_about_as_many_pixels(
    photos_folder: Path, cutouts_folder: Path, autoencoder_run: Path, tmp_path: Path
) -> None:
    config = AlphaConfig.model_validate(alpha_config(4).model_dump() | {"crops_px": (64, 128)})
    batches = PairBatches(Sources.open(photos_folder, cutouts_folder), config, range(12))
    sizes = {(len(batch[0]), batch[0].shape[-1], batch[2].shape[-1]) for batch in batches}
    # A fourth of two pictures would be none.
    assert sizes == {(2, 64, 64), (1, 128, 128)}
    train_alpha(config, photos_folder, cutouts_folder, autoencoder_run, tmp_path / "run")
    assert len(log_rows(tmp_path / "run")) == 1
    with pytest.raises(ValidationError, match="multiple of 64"):
        AlphaConfig.model_validate({"crops_px": [100]})


def test_the_head_learns_and_goes_into_a_model_folder(
    photos_folder: Path, cutouts_folder: Path, autoencoder_run: Path, tmp_path: Path
) -> None:
    sources = (photos_folder, cutouts_folder, autoencoder_run)
    trained = train_alpha(alpha_config(40, learning_rate=3e-3), *sources, tmp_path / "alpha")
    train_remover(remover_config(1), *sources, tmp_path / "remover")
    # Shot, mask, alpha, truth, object; shot, mask, alpha, result, clean: two pairs of 64 px each.
    for run, step in (("alpha", 40), ("remover", 1)):
        grid = cv2.imread(str(tmp_path / run / f"grid_{step:06d}.png"))
        assert grid is not None
        assert grid.shape == (2 * 64, 5 * 64, 3)
        assert set(np.unique(grid[:, 64:128])) == {0, 255}
    model_folder = tmp_path / "model"
    record = export_model(
        remover_config(1),
        photos_folder,
        autoencoder_run,
        tmp_path / "remover",
        model_folder,
        tmp_path / "alpha",
    )
    assert record.made["alpha_steps"] == 40
    model = OsorModel.from_folder(model_folder)
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 16:40, 16:40] = 1
    prediction = model.predict(torch.rand(1, 3, 64, 64), mask, noise_tile(0, 4, (8, 8)))
    inside: Tensor = prediction.alpha_logit[0, 0, 2:5, 2:5]
    assert inside.mean() > prediction.alpha_logit[0, 0, 6:, 6:].mean()
    assert not any(parameter.requires_grad for parameter in trained.parameters())

    # The model's own networks learn on: a step at a rate of nearly nothing leaves them where they were.
    begun = alpha_config(1, learning_rate=1e-9)
    more = train_alpha(begun, photos_folder, cutouts_folder, model_folder, tmp_path / "more")
    stored = {name: tensor.half().float() for name, tensor in trained.state_dict().items()}
    assert all(torch.allclose(tensor, stored[name], atol=1e-6) for name, tensor in more.state_dict().items())
    renewed = renew_model(model_folder, tmp_path / "renewed", {"alpha": tmp_path / "more"}, "more objects")
    assert (renewed.made["alpha_steps"], renewed.validation) == (41, {})
    assert str(renewed.made["data"]).endswith("; more objects")
    kept = ("unet/diffusion_pytorch_model.safetensors", "vae/diffusion_pytorch_model.safetensors")
    assert all(renewed.files[name] == record.files[name] for name in kept)
    OsorModel.from_folder(tmp_path / "renewed")
    strong = alpha_config(3, learning_rate=0.05)
    run = train_alpha(strong, photos_folder, cutouts_folder, model_folder, tmp_path / "strong").state_dict()
    renew_model(model_folder, tmp_path / "between", {"alpha": tmp_path / "strong"}, share=0.25)
    between = load_network(tmp_path / "between" / "alpha").state_dict()
    moved = 0.0
    for name, value in between.items():
        torch.testing.assert_close(
            value, stored[name] + 0.25 * (run[name] - stored[name]), atol=2e-3, rtol=2e-3
        )
        moved = max(moved, float((run[name] - stored[name]).abs().max()))
    assert moved > 0.02
    with pytest.raises(ConfigError, match="is no run of the unet"):
        renew_model(model_folder, tmp_path / "other", {"unet": tmp_path / "more"})
    wider = begun.model_copy(update={"architecture": TINY.model_copy(update={"alpha_width": 48})})
    with pytest.raises(ConfigError, match="has other layers than the configuration asks for"):
        train_alpha(wider, photos_folder, cutouts_folder, model_folder, tmp_path / "wider")
