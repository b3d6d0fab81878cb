"""Losses against values worked out by hand."""

import math

import pytest
import torch

from osor_video.layers import alpha_bce, alpha_dice
from osor_video.training.losses import gradient_l1, masked_l1, psnr_db


def test_masked_l1_counts_the_weighted_pixels_only() -> None:
    picture = torch.tensor([[[[1.0, 4.0]], [[3.0, 0.0]]]])
    weight = torch.tensor([[[[1.0, 0.5]]]])
    expected = (1 * (1 + 3) + 0.5 * (4 + 0)) / (2 * 1.5)
    assert masked_l1(picture, torch.zeros_like(picture), weight).item() == pytest.approx(expected)


def test_masked_l1_of_nothing_is_zero() -> None:
    assert masked_l1(torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)).item() == 0


def test_gradient_l1_sees_slopes_and_not_levels() -> None:
    ramp = torch.arange(4.0).view(1, 1, 1, 4).expand(1, 1, 4, 4)
    assert gradient_l1(ramp, torch.zeros_like(ramp), scales=1).item() == pytest.approx(1.0)
    assert gradient_l1(ramp, torch.zeros_like(ramp), scales=2).item() == pytest.approx((1 + 2) / 2)
    assert gradient_l1(ramp + 5, ramp).item() == 0


def test_alpha_bce_by_hand() -> None:
    logit, target = torch.tensor([[[[0.0, math.log(3)]]]]), torch.tensor([[[[1.0, 0.0]]]])
    ones, uneven = torch.ones_like(logit), torch.tensor([1.0, 3.0]).view_as(logit)
    assert alpha_bce(logit, target, ones).item() == pytest.approx((-math.log(0.5) - math.log(0.25)) / 2)
    assert alpha_bce(logit, target, uneven).item() == pytest.approx((-math.log(0.5) - 3 * math.log(0.25)) / 2)


def test_alpha_dice_by_hand() -> None:
    logit, target = torch.zeros(1, 1, 1, 4), torch.tensor([[[[1.0, 1.0, 0.0, 0.0]]]])
    assert alpha_dice(logit, target, torch.ones(1, 1, 1, 4)).item() == pytest.approx(
        1 - (2 * 1.0 + 1) / (2 + 2 + 1)
    )
    half = torch.tensor([[[[0.0, 1.0, 1.0, 1.0]]]])
    assert alpha_dice(logit, target, half).item() == pytest.approx(1 - (2 * 0.5 + 1) / (1.5 + 1 + 1))


def test_alpha_dice_of_a_perfect_answer_is_zero() -> None:
    target = torch.tensor([[[[1.0, 0.0]]]])
    assert alpha_dice(200 * target - 100, target, torch.ones_like(target)).item() == pytest.approx(
        0, abs=1e-6
    )


def test_psnr_of_a_known_error() -> None:
    picture, clean = torch.full((1, 3, 2, 2), 0.1), torch.zeros(1, 3, 2, 2)
    assert psnr_db(picture, clean) == pytest.approx(20, abs=1e-4)
    picture[..., 1] = 0.9
    left = torch.tensor([[[[1.0, 0.0], [1.0, 0.0]]]])
    assert psnr_db(picture, clean, left) == pytest.approx(20, abs=1e-4)
