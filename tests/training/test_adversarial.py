"""Losses on features by hand, the frozen network, and which side of the contest each gradient reaches."""

import math
from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn

from osor_video.errors import ConfigError, WeightsError
from osor_video.removal.model import build_autoencoder
from osor_video.training.adversarial import (
    PatchHeads,
    discriminator_loss,
    generator_loss,
    occupancy_target,
    r1_penalty,
)
from osor_video.training.backbone import Backbone, build_backbone
from osor_video.training.config import RemoverConfig
from osor_video.training.losses import perceptual_distance
from osor_video.training.picture_loss import PictureLoss, build_picture_loss
from osor_video.training.remover import RemovalLoss, _Step
from tests.tiny import TINY

SMALL = "test_efficientnet"


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return build_backbone()


def picture(seed: int = 0, side: int = 32) -> Tensor:
    return torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(seed))


def column(*values: float) -> Tensor:
    """One cell, its channels."""
    return torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1)


def test_perceptual_distance_by_hand() -> None:
    across, along = column(3, 4), column(5, 0)
    expected = (0.6 - 1) ** 2 + 0.8**2
    assert perceptual_distance([across], [along]).item() == pytest.approx(expected)
    assert perceptual_distance([across, across], [along, 7 * across]).item() == pytest.approx(expected)


def test_perceptual_distance_counts_where_the_weight_is() -> None:
    maps, targets = torch.zeros(1, 2, 1, 2), torch.zeros(1, 2, 1, 2)
    maps[0, 0], targets[0, 0, 0, 0], targets[0, 1, 0, 1] = 1, 1, 1
    weight = torch.tensor([[[[1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0]]]])
    assert perceptual_distance([maps], [targets]).item() == pytest.approx(2 / 2)
    assert perceptual_distance([maps], [targets], weight).item() == pytest.approx(0.25 * 2 / 1.25)
    assert perceptual_distance([maps], [targets], torch.zeros_like(weight)).item() == 0


def test_perceptual_distance_has_a_finite_slope_at_silent_cells() -> None:
    maps = torch.zeros(1, 2, 1, 1, requires_grad=True)
    perceptual_distance([maps], [column(1, 0)]).backward()
    assert maps.grad is not None
    assert maps.grad.abs().max() < 1e5


def test_perceptual_distance_grows_with_the_change(backbone: Backbone) -> None:
    first, other = picture(0), picture(1)
    clean = backbone(first)
    mixed = [backbone(torch.lerp(first, other, share)) for share in (0.0, 0.1, 0.3, 1.0)]
    distances = [perceptual_distance(maps, clean).item() for maps in mixed]
    assert distances[0] == 0
    assert distances == sorted(set(distances))


def test_the_occupancy_target_is_what_the_mask_leaves() -> None:
    made = torch.tensor([[[[1.0, 1.0, 0.0, 0.0], [1.0, 0.0, 0.0, 0.0]]]])
    assert occupancy_target(made, (1, 2)).tolist() == [[[[0.25, 1.0]]]]
    assert occupancy_target(made, (1, 1)).item() == pytest.approx(1 - 3 / 8)


def test_discriminator_loss_by_hand() -> None:
    made = torch.tensor([[[[1.0, 0.0]]]])
    # Sigmoids of 3/4 (real) and 1/2 (fake), target of the fake one 1 - 1/2.
    real, fake = column(math.log(3)), column(0.0)
    expected = -math.log(0.75) - math.log(0.5)
    assert discriminator_loss([real], [fake], made).item() == pytest.approx(expected)
    sharp = torch.tensor([[[[0.0, math.log(3)]]]])
    finer = -math.log(0.75) + (-math.log(0.5) - math.log(0.75)) / 2
    loss = discriminator_loss([real, real], [fake, sharp], made)
    assert loss.item() == pytest.approx((expected + finer) / 2)


def test_generator_loss_by_hand() -> None:
    made = torch.tensor([[[[1.0, 1.0, 1.0, 0.0, 0.0, 0.0]]]])
    fake = torch.tensor([[[[math.log(3), 0.0, -9.0]]]])
    expected = (-math.log(0.75) - 0.5 * math.log(0.5)) / 1.5
    assert generator_loss([fake], made).item() == pytest.approx(expected)
    assert generator_loss([fake], torch.zeros_like(made)).item() == 0


def linear_heads(*weights: Tensor) -> PatchHeads:
    heads = PatchHeads([weight.shape[1] for weight in weights])
    for index, weight in enumerate(weights):
        heads.heads[index] = nn.Conv2d(weight.shape[1], 1, 1)
        heads.heads[index].weight = nn.Parameter(weight)
    return heads


def test_r1_of_a_linear_head_is_its_squared_length() -> None:
    heads = linear_heads(column(1, -2), column(3))
    one_cell = [torch.randn(4, 2, 1, 1), torch.randn(4, 1, 1, 1)]
    assert r1_penalty(heads, one_cell).item() == pytest.approx((5 + 9) / 2)
    grid = [torch.randn(4, 2, 2, 3), torch.randn(4, 1, 1, 1)]
    penalty = r1_penalty(heads, grid)
    assert penalty.item() == pytest.approx((5 / 6 + 9) / 2)
    penalty.backward()
    torch.testing.assert_close(heads.heads[1].weight.grad, column(3.0))


def test_the_frozen_network_passes_gradients_to_the_picture_only(backbone: Backbone) -> None:
    seen = picture().requires_grad_()
    maps = backbone.train()(seen)
    torch.stack([stage.square().mean() for stage in maps]).sum().backward()
    assert seen.grad is not None
    assert seen.grad.abs().min() >= 0
    assert seen.grad.abs().max() > 0
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    assert not any(module.training for module in backbone.modules())
    assert backbone.name == "efficientnet-lite0"
    assert [stage.shape[1:] for stage in maps] == [
        (channels, 16 >> index, 16 >> index) for index, channels in enumerate(backbone.channels)
    ]


def test_any_network_of_timm_comes_from_a_file(tmp_path: Path) -> None:
    source, path = timm.create_model(SMALL, pretrained=False).eval(), tmp_path / "weights.pt"
    torch.save(source.state_dict(), path)
    backbone = build_backbone(SMALL, path)
    assert backbone.name == f"{SMALL} (weights.pt)"
    spread = (picture() - backbone.mean) / backbone.spread
    expected = source.forward_intermediates(spread, indices=[0, 1, 2, 3], intermediates_only=True)
    with torch.inference_mode():
        for stage, other in zip(backbone(picture()), expected, strict=True):
            torch.testing.assert_close(stage, other)


def test_a_backbone_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"conv.weight": torch.zeros(1)}, path)
    with pytest.raises(ConfigError, match="needs backbone_weights"):
        build_backbone(SMALL)
    with pytest.raises(ConfigError, match="has packaged weights"):
        build_backbone(weights=path)
    with pytest.raises(ConfigError, match="timm knows no backbone 'nothing'"):
        build_backbone("nothing", path)
    for wrong in (path, tmp_path / "missing.pt"):
        with pytest.raises(WeightsError, match=f"{wrong.name} does not hold the weights of timm's"):
            build_backbone(SMALL, wrong)


def contest(backbone: Backbone, **options: float) -> PictureLoss:
    torch.manual_seed(0)
    weights = {"perceptual_weight": 5.0, "adversarial_weight": 0.3, "r1_weight": 6e4} | options
    return PictureLoss(
        RemoverConfig.model_validate(weights), backbone, PatchHeads(backbone.channels, width=4)
    )


def gradients(loss: PictureLoss) -> tuple[Tensor, list[Tensor]]:
    """Of the whole loss: to the filled picture, and to the heads."""
    assert loss.heads is not None
    fake, made = picture(1).requires_grad_(), torch.zeros(1, 1, 32, 32)
    made[..., 8:24, 8:24] = 1
    total, _ = loss(fake, picture(0), made)
    to_picture, *to_heads = torch.autograd.grad(total, [fake, *loss.heads.parameters()])
    return to_picture, to_heads


def test_each_side_of_the_contest_follows_its_own_loss(backbone: Backbone) -> None:
    to_picture, to_heads = gradients(contest(backbone))
    without_r1, heads_without_r1 = gradients(contest(backbone, r1_weight=0.0))
    torch.testing.assert_close(to_picture, without_r1)
    assert not torch.equal(to_heads[0], heads_without_r1[0])
    stronger, heads_of_stronger = gradients(contest(backbone, adversarial_weight=30.0))
    assert not torch.allclose(to_picture, stronger)
    torch.testing.assert_close(to_heads, heads_of_stronger)


def test_a_picture_loss_is_built_only_where_it_is_wanted() -> None:
    assert build_picture_loss(RemoverConfig()) is None
    perceptual = build_picture_loss(RemoverConfig(perceptual_weight=1.0))
    assert perceptual is not None
    assert perceptual.heads is None
    loss, figures = perceptual(picture(0), picture(0), torch.ones(1, 1, 32, 32))
    assert loss.item() == 0
    assert figures == {"pixels": 0.0, "perceptual": 0.0}


@pytest.mark.parametrize(("phase", "changed"), [(1, [(0, 0)]), (2, [(0, 0), (1, 1)])])
def test_a_phase_decides_which_cells_are_the_networks(phase: int, changed: list[tuple[int, int]]) -> None:
    config = RemoverConfig.model_validate({"architecture": TINY, "phase": phase})
    objective = RemovalLoss(build_autoencoder(TINY), 1.0, 0.5, config)
    z0, z = torch.ones(1, 4, 2, 2), torch.zeros(1, 4, 2, 2)
    masked, target = torch.zeros(1, 1, 2, 2), torch.zeros(1, 1, 2, 2)
    masked[..., 0, 0], target[..., 0, 0], target[..., 1, 1] = 1, 1, 0.3
    fused, cells = objective._fuse(_Step(z, z0, torch.zeros(1, 1, 2, 2), masked, target))
    assert [tuple(index) for index in cells[0, 0].nonzero().tolist()] == changed
    torch.testing.assert_close(fused[:, :1], masked if phase == 1 else torch.full_like(masked, 0.5))
