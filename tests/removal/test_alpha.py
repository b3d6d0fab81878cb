"""The alpha head on the real feature network: its shapes, what it starts with, and its place in a model folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from osor_video.config import RemovalConfig
from osor_video.errors import WeightsError
from osor_video.removal.alpha import FIRST_LOGIT, STAGES, AlphaFinder, build_alpha_head
from osor_video.removal.carry import Aligned
from osor_video.removal.crop import Crop
from osor_video.removal.model import OsorModel, build_autoencoder, build_unet, save_model
from osor_video.removal.remover import OneStepRemover, RemovalInput
from osor_video.removal.step import noise_tile
from tests.tiny import TINY, TINY_RECORD


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder whose head calls everything an effect, and nothing the object."""
    path = tmp_path_factory.mktemp("with_alpha")
    torch.manual_seed(0)
    head = build_alpha_head(TINY)
    with torch.no_grad():
        head.out.bias.copy_(torch.tensor([3.0, -2.0]))
    record = TINY_RECORD.model_copy(update={"prediction_type": "residual"})
    save_model(path, record, build_autoencoder(TINY), build_unet(TINY), alpha=head)
    return path


def test_a_fresh_head_finds_next_to_nothing_anywhere() -> None:
    finder = AlphaFinder.around(build_alpha_head(TINY))
    z = torch.randn(2, 4, 8, 12)
    logits = finder(torch.rand(2, 3, 64, 96), z, z, torch.ones(2, 1, 8, 12))
    torch.testing.assert_close(logits, torch.full((2, 2, 8, 12), FIRST_LOGIT))
    assert [stage.shape[2] for stage in finder.look(torch.rand(1, 3, 64, 96))] == [16, 8, 4, 2]
    assert len(STAGES) == 4


def test_a_gradient_reaches_the_head_and_not_the_features() -> None:
    head = build_alpha_head(TINY)
    torch.nn.init.normal_(head.out.weight)
    finder = AlphaFinder.around(head)
    z = torch.randn(1, 4, 8, 8)
    finder(torch.rand(1, 3, 64, 64), z, z, torch.ones(1, 1, 8, 8)).sum().backward()
    assert all(parameter.grad is not None for parameter in head.parameters())
    assert all(parameter.grad is None for parameter in finder.network.parameters())


def test_alpha_comes_from_the_folders_head(folder: Path) -> None:
    model = OsorModel.from_folder(folder)
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 8:24, 8:24] = 1
    prediction = model.predict(torch.rand(1, 3, 64, 64), mask, noise_tile(0, 4, (8, 8)))
    torch.testing.assert_close(prediction.alpha_logit, torch.full((1, 1, 8, 8), 3.0), atol=1e-2, rtol=0)
    assert prediction.mask.sum() == 4


def test_what_the_mask_has_missed_of_the_object_joins_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = OsorModel.from_folder(folder)
    image, mask = torch.full((1, 3, 64, 64), 0.3), torch.zeros(1, 1, 64, 64)
    mask[..., 8:24, 24:40] = 1
    image[..., 8:48, 24:40] = 0.9
    logits = torch.full((1, 2, 8, 8), -5.0)
    logits[:, 1, 3:6, 3:5] = 5.0
    monkeypatch.setattr(model, "_alpha", lambda *_: logits)
    monkeypatch.setattr(model, "_backbone", lambda inputs: torch.zeros(1, 5, 8, 8))
    prediction = model.predict(image, mask, torch.zeros(1, 4, 8, 8))
    # The object ends at the last row but two of the cells; a little more is taken.
    assert prediction.mask[0, 0, :, 3].tolist() == [0, 1, 1, 1, 1, 1, 1, 0]
    assert prediction.hole[0, 0, :, 32].nonzero().flatten().tolist() == list(range(8, 52))
    torch.testing.assert_close(
        prediction.z0, model.encode(torch.full((1, 3, 64, 64), 0.3)), atol=0.02, rtol=0
    )


def test_the_hole_begins_with_what_is_carried_and_only_the_rest_is_guessed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = OsorModel.from_folder(folder)
    image, mask = torch.full((1, 3, 64, 64), 0.3), torch.zeros(1, 1, 64, 64)
    mask[..., 16:48, 16:48] = 1
    shot = torch.where(mask > 0, 0.9, image)
    monkeypatch.setattr(model, "_alpha", lambda *_: torch.full((1, 2, 8, 8), -5.0))
    monkeypatch.setattr(model, "_backbone", lambda inputs: torch.zeros(1, 5, 8, 8))
    prediction = model.predict(shot, mask, torch.zeros(1, 4, 8, 8))
    known, everywhere = torch.full((1, 4, 8, 8), 0.5), torch.ones(1, 1, 8, 8)
    held = prediction.fill(0, Aligned(known, image, everywhere)).z
    torch.testing.assert_close(held, torch.where(prediction.mask > 0, known, prediction.z))
    left_half = everywhere * (torch.arange(8) < 4)
    part = prediction.fill(0, Aligned(known, image, left_half)).z
    torch.testing.assert_close(part[..., 2:6, 2:4], known[..., 2:6, 2:4])
    # The other half is filled from the surroundings, of which what is carried is one side.
    torch.testing.assert_close(part[..., 2:6, 5], model.encode(image)[..., 2:6, 5], atol=0.02, rtol=0)
    torch.testing.assert_close(prediction.fill(0, Aligned(known, image, 0 * everywhere)).z, prediction.z0)
    assert (held - prediction.z0).abs().max() > 0.1


def test_the_backbone_runs_only_for_a_fill_that_is_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = OsorModel.from_folder(folder)
    runs: list[int] = []
    step = model._backbone

    def backbone(inputs: Tensor) -> Tensor:
        runs.append(1)
        return step(inputs)

    monkeypatch.setattr(model, "_backbone", backbone)
    remover = OneStepRemover(model, RemovalConfig(), 0)
    picture, hole = np.full((64, 64, 3), 90, np.uint8), np.zeros((64, 64), dtype=bool)
    hole[20:40, 20:40] = True
    crop, still = Crop(0, 0, (64, 64), (64, 64)), np.zeros((64, 64, 2), np.float32)
    (_,), state = remover.remove([RemovalInput(picture, hole, crop, None)], None)
    (second,), _ = remover.remove([RemovalInput(picture, hole, crop, still)], state)
    # The first frame is carried on; the second one's fill waits.
    assert len(runs) == 1
    assert second.rgb.shape == (64, 64, 3)
    assert second.rgb is second.rgb
    assert len(runs) == 2


def test_a_damaged_head_is_named(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.rglob("*"):
        target = copy / path.relative_to(folder)
        if path.is_dir():
            target.mkdir(exist_ok=True)
        else:
            target.write_bytes(path.read_bytes())
    (copy / "alpha/diffusion_pytorch_model.safetensors").write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"alpha/diffusion_pytorch_model\.safetensors is damaged"):
        OsorModel.from_folder(copy)
