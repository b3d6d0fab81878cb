"""The feature network as it runs, against timm's own."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from osor_video.masks.features import StagedNetwork, build_features, packaged_network
from osor_video.tensors import to_uint8
from tests.world import texture


def _unlike_at_the_start(net: nn.Module) -> None:
    """Give every normalisation figures that are not 0 and 1."""
    generator = torch.Generator().manual_seed(2)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            for values in (module.weight, module.bias, module.running_mean, module.running_var):
                values.data.copy_(0.5 + torch.rand(values.shape, generator=generator))


@pytest.mark.parametrize("stages", [(0, 1, 2, 3, 4), (1, 3)])
def test_the_stages_are_timms_own(stages: tuple[int, ...]) -> None:
    import timm  # noqa: PLC0415  (takes seconds to import)

    own = timm.create_model(
        "tf_efficientnet_lite0", pretrained=False, features_only=True, out_indices=stages
    ).eval()
    _unlike_at_the_start(own)
    found = StagedNetwork(copy.deepcopy(own), stages)
    values = torch.rand((1, 3, 64, 96), generator=torch.Generator().manual_seed(3))
    with torch.inference_mode():
        wanted, maps = own(values), found(values)
    assert [tuple(stage.shape) for stage in maps] == [tuple(stage.shape) for stage in wanted]
    for stage, right in zip(maps, wanted, strict=True):
        torch.testing.assert_close(stage, right, atol=1e-4 * float(right.abs().max()), rtol=1e-4)
    assert not [module for module in found.modules() if isinstance(module, nn.BatchNorm2d)]


def test_fewer_stages_are_the_first_of_all() -> None:
    net = packaged_network((0, 1, 2, 3, 4)).eval()
    values = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(4))
    with torch.inference_mode():
        every, some = net(values), net(values, 4)
    assert len(some) == 4
    assert all(torch.equal(a, b) for a, b in zip(some, every, strict=False))


def test_cells_do_not_need_the_last_stage() -> None:
    features, picture = build_features(), to_uint8(texture((64, 96), 1))
    assert torch.equal(features.encode(picture), features.look(picture)[0])
