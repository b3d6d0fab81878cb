"""The step's formulas, against values worked out by hand."""

import numpy as np
import pytest
import torch

from osor_video.removal import step
from osor_video.removal.record import PredictionType
from osor_video.removal.step import (
    add_noise,
    blend,
    grown,
    interpolate_hole,
    keep_detail,
    latent_mask,
    noise_tile,
    predict_x0,
)


def test_a_latent_cell_is_masked_when_one_of_its_pixels_is() -> None:
    mask = torch.zeros(1, 1, 16, 24)
    mask[0, 0, 7, 8] = 1
    assert latent_mask(mask, 8).tolist() == [[[[0, 1, 0], [0, 0, 0]]]]


def test_latent_mask_rejects_sides_that_are_no_multiples() -> None:
    with pytest.raises(ValueError, match="multiples of 8"):
        latent_mask(torch.zeros(1, 1, 12, 16), 8)


def test_add_noise_mixes_by_the_roots_of_abar() -> None:
    z, eps = torch.full((1, 1, 1, 1), 2.0), torch.full((1, 1, 1, 1), -1.0)
    assert add_noise(z, eps, 0.64).item() == pytest.approx(0.8 * 2 - 0.6)


def test_predict_x0_by_hand() -> None:
    z_t, out = torch.full((1, 1, 1, 1), 1.0), torch.full((1, 1, 1, 1), 0.5)
    start = torch.tensor([0.25])
    assert predict_x0(z_t, out, 0.64, "epsilon", start).item() == pytest.approx((1 - 0.3) / 0.8)
    assert predict_x0(z_t, out, 0.64, "v_prediction", start).item() == pytest.approx(0.8 - 0.3)
    assert predict_x0(z_t, out, 0.64, "residual", start).item() == pytest.approx(0.25 + 0.5)


@pytest.mark.parametrize("size_hw", [(24, 24), (17, 31)])
def test_a_hole_in_a_slope_is_filled_with_the_slope(size_hw: tuple[int, int]) -> None:
    y, x = torch.meshgrid(*(torch.linspace(0, 1, side) for side in size_hw), indexing="ij")
    z = torch.stack([x, 2 * y - x])[None]
    mask = torch.zeros(1, 1, *size_hw)
    mask[..., 7:10, 8:11] = 1
    filled = interpolate_hole(z + 100 * mask, mask)
    torch.testing.assert_close(filled, z, atol=0.05, rtol=0)
    outside = torch.ones(1, 2, *size_hw, dtype=torch.bool)
    outside[..., 5:12, 6:13] = False
    assert torch.equal(filled[outside], z[outside])


def test_the_rim_of_an_object_is_left_out_and_samples_do_not_mix() -> None:
    image, mask = torch.full((2, 1, 32, 32), 0.5), torch.zeros(2, 1, 32, 32)
    mask[0, 0, 12:20, 12:20] = 1
    image[0, 0, 10:22, 10:22] = 0.9
    image[1] = 0.2
    filled = interpolate_hole(image, mask)
    torch.testing.assert_close(filled[0], torch.full((1, 32, 32), 0.5))
    assert torch.equal(filled[1], image[1])


def test_each_pixel_of_a_filled_hole_is_about_the_mean_of_its_neighbours() -> None:
    image = torch.rand(1, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., 10:22, 8:20] = 1
    filled = interpolate_hole(image, mask)[0, 0]
    means = (filled[:-2, 1:-1] + filled[2:, 1:-1] + filled[1:-1, :-2] + filled[1:-1, 2:]) / 4
    inside = (means - filled[1:-1, 1:-1])[9:21, 7:19]
    assert inside.abs().mean() < 0.1 * (means - filled[1:-1, 1:-1]).abs().mean()


def test_a_mask_without_a_border_gives_zeros() -> None:
    assert not interpolate_hole(torch.ones(1, 3, 8, 8), torch.ones(1, 1, 8, 8)).any()


@pytest.mark.parametrize("prediction_type", ["epsilon", "v_prediction"])
def test_a_true_prediction_gives_the_clean_latent_back(prediction_type: PredictionType) -> None:
    z, eps, abar = noise_tile(1, 4, (3, 2)), noise_tile(2, 4, (3, 2)), 0.42448
    velocity = abar**0.5 * eps - (1 - abar) ** 0.5 * z
    out = eps if prediction_type == "epsilon" else velocity
    torch.testing.assert_close(predict_x0(add_noise(z, eps, abar), out, abar, prediction_type, z), z)


def test_blend_takes_x0_where_alpha_is_one() -> None:
    z0, z = torch.full((1, 1, 1, 3), 8.0), torch.full((1, 1, 1, 3), 4.0)
    logit = torch.tensor([[[[100.0, 0.0, -100.0]]]])
    assert blend(z0, z, logit).flatten().tolist() == [8.0, 6.0, 4.0]


def test_noise_tile_depends_on_the_seed_alone() -> None:
    torch.manual_seed(5)
    first = noise_tile(7, 4, (8, 8))
    torch.manual_seed(6)
    assert torch.equal(first, noise_tile(7, 4, (8, 8)))
    assert not torch.equal(first, noise_tile(8, 4, (8, 8)))


def test_what_a_shadow_covered_keeps_its_texture() -> None:
    texture = 0.1 * ((torch.arange(64) % 2) * 2.0 - 1).expand(1, 3, 64, 64)
    clean = 0.6 + texture
    alpha, hole = torch.zeros(1, 1, 64, 64), torch.zeros(1, 1, 64, 64)
    alpha[..., 40:, :] = 1
    hole[..., 16:32, 16:32] = 1
    shot, soft = clean - 0.2, torch.full((1, 3, 64, 64), 0.6)
    kept = keep_detail(soft, shot, hole, alpha)
    assert torch.equal(kept[..., 16:32, 16:32], soft[..., 16:32, 16:32])
    torch.testing.assert_close(kept[..., 44:60, 44:60], clean[..., 44:60, 44:60], atol=0.01, rtol=0)
    # What stands in the hole, here pure black, does not run out of it.
    stained = torch.where(hole > 0, 0.0, shot)
    away = np.s_[..., 44:, 44:]
    torch.testing.assert_close(keep_detail(soft, stained, hole, alpha)[away], kept[away], atol=0.01, rtol=0)


def test_detail_that_a_reflection_brought_goes_with_it() -> None:
    stripes = 0.1 * ((torch.arange(64) % 2) * 2.0 - 1).expand(1, 3, 64, 64)
    alpha, hole = torch.zeros(1, 1, 64, 64), torch.zeros(1, 1, 64, 64)
    alpha[..., 24:, :] = 1
    hole[..., :4, :4] = 1
    floor = torch.full((1, 3, 64, 64), 0.5)
    shot = torch.where(alpha > 0, floor + stripes, floor)
    kept = keep_detail(floor, shot, hole, alpha)
    assert (kept - floor)[..., 36:, :].abs().max() < 0.01


@pytest.mark.parametrize(
    "box", [(0, 0, 12, 9), (20, 10, 30, 31), (5, 7, 11, 13), (0, 0, 33, 31), (0, 0, 0, 0)]
)
def test_relaxing_only_the_box_of_the_hole_gives_the_same_bits(
    box: tuple[int, int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = torch.rand(2, 3, 33, 31, generator=torch.Generator().manual_seed(3))
    mask = torch.zeros(2, 1, 33, 31)
    mask[0, :, box[0] : box[2], box[1] : box[3]] = 1
    mask[1, :, 14, 3:20] = 1
    boxed = interpolate_hole(picture, mask)
    monkeypatch.setattr(step, "box_around", lambda places, margin: (slice(None),) * 4)
    assert torch.equal(interpolate_hole(picture, mask), boxed)


def test_a_box_of_cells_has_a_margin_inside_the_picture_and_a_place_in_a_part_of_it() -> None:
    cells = torch.zeros(1, 1, 9, 12, dtype=torch.bool)
    cells[..., 2, 5] = cells[..., 4, 10] = True
    assert step.box_around(cells, 0)[2:] == (slice(2, 5), slice(5, 11))
    around = step.box_around(cells, 3)
    assert around[2:] == (slice(0, 8), slice(2, 12))
    whole = torch.arange(72 * 96).view(1, 1, 72, 96)
    part, inner = whole[step.in_pixels(around, 8)], step.in_pixels(step.box_around(cells, 0), 8, around)
    assert torch.equal(part[inner], whole[..., 16:40, 40:88])


def test_a_mask_grows_by_the_same_number_of_pixels_on_all_sides() -> None:
    mask = torch.zeros(1, 1, 9, 11)
    mask[..., 3, 4] = mask[..., 0, 10] = 1
    wider = torch.zeros_like(mask)
    wider[..., 1:6, 2:7] = wider[..., 0:3, 8:11] = 1
    assert torch.equal(grown(mask, 2), wider)


def test_detail_is_a_part_of_what_is_fine_in_the_hole() -> None:
    y, x = torch.meshgrid(torch.arange(48), torch.arange(64), indexing="ij")
    fine = (0.1 * (-1.0) ** (x + y)).expand(1, 3, -1, -1)
    coarse = 0.3 * torch.sin(x * 3.14159 / 64).expand(1, 3, 48, 64)
    hole = torch.zeros(1, 1, 48, 64)
    hole[..., :20] = 1
    detail = step.detail_of(0.5 + fine + coarse, torch.full((1, 3, 48, 64), 0.5), hole)
    torch.testing.assert_close(detail[..., 8:40, 8:18], fine[..., 8:40, 8:18], atol=0.01, rtol=0)
    assert not detail[..., 20 + step.RIM_PX :].any()


def test_what_was_made_meets_the_light_around_it() -> None:
    known = torch.ones(1, 1, 48, 64)
    known[..., 12:36, 16:48] = 0
    ramp = torch.linspace(0.3, 0.6, 64).expand(1, 3, 48, 64)
    texture = 0.1 * torch.rand(1, 3, 48, 64, generator=torch.Generator().manual_seed(0)) * (1 - known)
    made = ramp - 0.2 + texture
    met = step.meet(made, ramp, known)
    assert torch.equal(met * known, made * known)
    assert (met - ramp - texture)[..., 14:34, 18:46].abs().max() < 0.02
    assert step.meet(made, ramp, torch.ones_like(known)) is made
