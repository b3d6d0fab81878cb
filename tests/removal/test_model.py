"""A tiny folder of the real networks: save, load, predict, and every way a folder can be wrong."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from osor_video.errors import WeightsError
from osor_video.removal.model import OsorModel, build_scheduler
from osor_video.removal.patches import fill_by_patches
from osor_video.removal.record import ModelRecord, sha256_of
from osor_video.removal.step import interpolate_hole, noise_tile
from tests.tiny import tiny_model

VAE_WEIGHTS = "vae/diffusion_pytorch_model.safetensors"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny_model(tmp_path / "model")
    return tmp_path / "model"


def edit_json(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def refresh_sha256(folder: Path, name: str) -> None:
    files = json.loads((folder / "model.json").read_text())["files"]
    edit_json(folder / "model.json", files=files | {name: sha256_of(folder / name)})


def test_abar_is_that_of_sdxl_at_timestep_400(folder: Path) -> None:
    assert OsorModel.from_folder(folder).abar == pytest.approx(0.42448, abs=5e-6)
    assert len(build_scheduler("epsilon").alphas_cumprod) == 1000


def test_encode_predict_decode_shapes_and_ranges(folder: Path) -> None:
    model = OsorModel.from_folder(folder)
    image = torch.rand(2, 3, 64, 128, generator=torch.Generator().manual_seed(0))
    z = model.encode(image)
    assert z.shape == (2, 4, 8, 16)
    prediction = model.predict(image, torch.ones(2, 1, 64, 128), noise_tile(0, 4, (8, 16)))
    assert torch.equal(prediction.z, z)
    assert prediction.z0.shape == z.shape
    assert prediction.alpha_logit.shape == (2, 1, 8, 16)
    decoded = model.decode(prediction.z0)
    assert decoded.shape == image.shape
    assert decoded.dtype == torch.float32
    assert 0 <= decoded.min() <= decoded.max() <= 1


def test_encode_is_deterministic_and_scaled(folder: Path) -> None:
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    z = OsorModel.from_folder(folder).encode(image)
    edit_json(folder / "model.json", latent_scale=2.0, latent_shift=0.5)
    scaled = OsorModel.from_folder(folder)
    torch.testing.assert_close(scaled.encode(image), (z - 0.5) * 2)
    torch.testing.assert_close(
        scaled.decode(scaled.encode(image)), OsorModel.from_folder(folder).decode((z - 0.5) * 2)
    )


def test_predict_sees_noise_mask_and_clean_latent_in_this_order(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = OsorModel.from_folder(folder)
    seen: list[Tensor] = []

    def backbone(inputs: Tensor) -> Tensor:
        seen.append(inputs)
        return torch.zeros(1, 5, 8, 8)

    monkeypatch.setattr(model, "_backbone", backbone)
    image, eps = torch.rand(1, 3, 64, 64), noise_tile(1, 4, (8, 8))
    z, mask = model.encode(image), torch.ones(1, 1, 8, 8)
    prediction = model.predict(image, torch.ones(1, 1, 64, 64), eps)
    z_t = math.sqrt(model.abar) * z + math.sqrt(1 - model.abar) * eps
    torch.testing.assert_close(seen[0], torch.cat([z_t, mask, z], dim=1))
    torch.testing.assert_close(prediction.z0, math.sqrt(model.abar) * z_t)


def test_a_residual_is_added_to_the_frame_with_its_hole_interpolated(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit_json(folder / "model.json", prediction_type="residual")
    edit_json(folder / "scheduler/scheduler_config.json", prediction_type="residual")
    refresh_sha256(folder, "scheduler/scheduler_config.json")
    model = OsorModel.from_folder(folder)
    image = torch.full((1, 3, 64, 64), 0.4)
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 20:40, 20:40] = 1
    shot = torch.where(mask > 0, 0.9, image)
    monkeypatch.setattr(model, "_backbone", lambda inputs: torch.full((1, 5, 8, 8), 0.25))
    prediction = model.predict(shot, mask, torch.zeros(1, 4, 8, 8))
    torch.testing.assert_close(prediction.z, model.encode(shot))
    torch.testing.assert_close(prediction.z0, model.encode(image) + 0.25)


def test_the_record_says_what_a_residual_is_added_to(folder: Path) -> None:
    edit_json(folder / "model.json", prediction_type="residual", first_guess="patches")
    edit_json(folder / "scheduler/scheduler_config.json", prediction_type="residual")
    refresh_sha256(folder, "scheduler/scheduler_config.json")
    model = OsorModel.from_folder(folder)
    stripes = (torch.arange(64) // 4 % 2).float().expand(1, 3, 64, 64)
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 20:40, 20:40] = 1
    shot = torch.where(mask > 0, 0.5, stripes)
    model._unet.conv_out.weight.zero_()
    model._unet.conv_out.bias.zero_()
    prediction = model.predict(shot, mask, torch.zeros(1, 4, 8, 8))
    wanted = model.encode(fill_by_patches(shot, mask))
    torch.testing.assert_close(prediction.z0, wanted)
    assert (wanted - model.encode(interpolate_hole(shot, mask))).abs().max() > 0.3
    edit_json(folder / "model.json", first_guess="dreamt")
    with pytest.raises(WeightsError, match="first_guess"):
        OsorModel.from_folder(folder)


def test_the_same_seed_saves_the_same_folder(folder: Path, tmp_path: Path) -> None:
    tiny_model(tmp_path / "again")
    assert ModelRecord.read(folder) == ModelRecord.read(tmp_path / "again")
    assert load_file(folder / VAE_WEIGHTS)["encoder.weight"].dtype == torch.float16


def test_sides_must_be_multiples(folder: Path) -> None:
    with pytest.raises(ValueError, match="multiples of 64"):
        OsorModel.from_folder(folder).encode(torch.zeros(1, 3, 64, 72))


def test_a_folder_without_record_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"has no model\.json"):
        OsorModel.from_folder(tmp_path)


def test_a_record_with_an_unknown_key_is_refused(folder: Path) -> None:
    edit_json(folder / "model.json", colour="blue")
    with pytest.raises(WeightsError, match="not a model record"):
        OsorModel.from_folder(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / VAE_WEIGHTS).unlink()
    with pytest.raises(WeightsError, match=r"vae/diffusion.* is missing"):
        OsorModel.from_folder(folder)


def test_a_damaged_file_is_named(folder: Path) -> None:
    with (folder / VAE_WEIGHTS).open("ab") as file:
        file.write(b"x")
    with pytest.raises(WeightsError, match="damaged or of another version"):
        OsorModel.from_folder(folder)


def test_weights_that_do_not_fill_the_network_are_refused(folder: Path) -> None:
    (folder / VAE_WEIGHTS).write_bytes((folder / "unet/diffusion_pytorch_model.safetensors").read_bytes())
    refresh_sha256(folder, VAE_WEIGHTS)
    with pytest.raises(WeightsError, match="does not hold the weights"):
        OsorModel.from_folder(folder)


def test_a_file_that_is_no_safetensors_is_refused(folder: Path) -> None:
    (folder / VAE_WEIGHTS).write_bytes(b"nothing")
    refresh_sha256(folder, VAE_WEIGHTS)
    with pytest.raises(WeightsError, match="does not hold the weights"):
        OsorModel.from_folder(folder)


def test_an_unreadable_network_config_is_refused(folder: Path) -> None:
    (folder / "vae/config.json").write_text("{")
    refresh_sha256(folder, "vae/config.json")
    with pytest.raises(WeightsError, match="missing or unreadable"):
        OsorModel.from_folder(folder)


def test_parts_of_other_sizes_do_not_fit(folder: Path) -> None:
    edit_json(folder / "model.json", latent_channels=16)
    with pytest.raises(WeightsError, match="latent channels of vae/ is 4, not 16"):
        OsorModel.from_folder(folder)
