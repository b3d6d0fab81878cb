"""The weights that come with the package: whole, licensed, and good enough to be of use."""

import cv2
import numpy as np
import pytest
import torch

from osor_video.removal.catalogue import bundled_model_path
from osor_video.removal.model import OsorModel
from osor_video.removal.step import noise_tile
from osor_video.tensors import mask_to_tensor, picture_to_tensor, tensor_to_picture


@pytest.fixture(scope="module")
def model() -> OsorModel:
    return OsorModel.from_folder(bundled_model_path())


@pytest.fixture(scope="module")
def ground() -> np.ndarray:
    coarse = np.random.default_rng(0).integers(60, 200, (8, 8, 3)).astype(np.uint8)
    return np.asarray(cv2.resize(coarse, (192, 192), interpolation=cv2.INTER_CUBIC), np.uint8)


def test_the_record_tells_where_the_weights_come_from(model: OsorModel) -> None:
    assert model.record.licence == "Apache-2.0"
    assert {"data", "hardware", "unet_steps"} <= model.record.made.keys()
    assert model.record.validation["autoencoder_psnr_db"] >= 30
    assert sum(path.stat().st_size for path in bundled_model_path().rglob("*")) < 30e6


def test_the_round_trip_is_faithful(model: OsorModel, ground: np.ndarray) -> None:
    image = picture_to_tensor(ground)
    error = (model.decode(model.encode(image)) - image).square().mean()
    assert -10 * torch.log10(error) > 32


def test_an_object_is_found_and_made_less_visible(model: OsorModel, ground: np.ndarray) -> None:
    shot, mask = ground.copy(), np.zeros((192, 192), bool)
    mask[64:128, 80:112] = True
    shot[mask] = (230, 20, 20)
    z_clean = model.encode(picture_to_tensor(ground))
    prediction = model.predict(picture_to_tensor(shot), mask_to_tensor(mask), noise_tile(0, 16, (24, 24)))
    z, m = prediction.z, prediction.mask
    alpha = prediction.alpha_logit.sigmoid()
    assert alpha[m > 0].mean() > 0.8
    assert alpha[m == 0].mean() < 0.1
    hole = (m > 0).expand_as(z)
    assert (prediction.z0 - z_clean)[hole].abs().mean() < 0.6 * (z - z_clean)[hole].abs().mean()


@pytest.mark.parametrize("box", [(9, 12, 15, 14), (0, 0, 3, 4), (0, 0, 32, 40)])
def test_a_part_is_decoded_as_in_the_whole_and_the_rest_is_the_picture(
    model: OsorModel, box: tuple[int, int, int, int]
) -> None:
    random = torch.Generator().manual_seed(0)
    z, image = torch.randn(1, 16, 32, 40, generator=random), torch.rand(1, 3, 256, 320, generator=random)
    cells = torch.zeros(1, 1, 32, 40, dtype=torch.bool)
    cells[..., box[0], box[1]] = cells[..., box[2] - 1, box[3] - 1] = True
    found = model.decode_onto(image, z, cells)
    inside = torch.zeros(1, 1, 256, 320, dtype=torch.bool)
    inside[..., 8 * box[0] : 8 * box[2], 8 * box[1] : 8 * box[3]] = True
    torch.testing.assert_close(found, torch.where(inside, model.decode(z), image), atol=2e-5, rtol=0)


def test_a_wide_mask_counts_in_full_and_costs_the_fill_little(model: OsorModel, ground: np.ndarray) -> None:
    shot, thing = ground.copy(), np.zeros((192, 192), np.uint8)
    cv2.ellipse(thing, (96, 100), (16, 34), 0, 0, 360, 1, -1)
    shot[thing > 0] = (250, 250, 20)
    wide = cv2.dilate(thing, np.ones((41, 41), np.uint8)) > 0
    # Something of the same colour that the head does not see lies in the mask beside the object.
    spot = np.zeros((192, 192), bool)
    spot[92:98, 126:131] = True
    shot[spot] = (250, 250, 20)
    assert not (spot & ~wide).any()

    def error_of(mask: np.ndarray) -> np.ndarray:
        prediction = model.predict(picture_to_tensor(shot), mask_to_tensor(mask), noise_tile(0, 16, (24, 24)))
        guess = prediction.fill(0).guess
        assert guess is not None
        return np.asarray(tensor_to_picture(guess).astype(float) - ground)

    exact, given_wide = error_of(thing > 0), error_of(wide)
    left = np.abs(shot[spot] - ground[spot].astype(float)).mean()
    assert np.abs(given_wide[spot]).mean() < 0.2 * left
    errors = [np.square(error[thing > 0]).mean() for error in (exact, given_wide)]
    assert errors[1] < 2 * errors[0]
