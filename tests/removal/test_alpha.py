"""The alpha head on the real feature network: its shapes, what it starts with, and its place in a model folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from osor_video.errors import WeightsError
from osor_video.removal.alpha import FIRST_LOGIT, STAGES, AlphaFinder, build_alpha_head
from osor_video.removal.model import OsorModel, build_autoencoder, build_unet, save_model
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
    assert prediction.mask[0, 0, :, 3].tolist() == [0, 1, 1, 1, 1, 1, 0, 0]
    torch.testing.assert_close(
        prediction.z0, model.encode(torch.full((1, 3, 64, 64), 0.3)), atol=0.02, rtol=0
    )


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
