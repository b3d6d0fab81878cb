"""The carried latent and picture: composed flows by hand, fusion at its two ends."""

from __future__ import annotations

import torch
from torch import Tensor

from osor_video.flow.warp import warp
from osor_video.removal.carry import Aligned, Anchor, Carry, fuse


def shift(x: float, y: float, size_hw: tuple[int, int] = (8, 10)) -> Tensor:
    return torch.tensor([float(x), float(y)]).view(1, 2, 1, 1).expand(1, 2, *size_hw).clone()


def noise(seed: int, size_hw: tuple[int, int] = (8, 10)) -> Tensor:
    return torch.randn((1, 4, *size_hw), generator=torch.Generator().manual_seed(seed))


def anchor(z0: Tensor, picture: Tensor | None = None) -> Anchor:
    size_hw = z0.shape[-2] * 8, z0.shape[-1] * 8
    shown = torch.zeros(1, 3, *size_hw) if picture is None else picture
    return Anchor(z0, shown, torch.ones(1, 1, *size_hw))


def carried(z0: Tensor, trust: Tensor | None = None) -> Aligned:
    every = torch.ones(1, 1, *z0.shape[-2:]) if trust is None else trust
    return Aligned(z0, torch.zeros(1, 3, 8, 8), every, torch.ones(1, 1, 8, 8))


def test_a_carry_begins_at_its_anchor() -> None:
    carry = Carry.begin(anchor(noise(0)))
    assert torch.equal(carry.flow_to_anchor, shift(0, 0))
    assert carry.trust.shape == (1, 1, 8, 10)
    assert carry.trust.min() == 1
    assert carry.age == 0


def test_flows_are_composed_and_the_anchor_stays() -> None:
    first = anchor(noise(0))
    carry = Carry.begin(first).moved(shift(2, 0)).moved(shift(1, -1)).moved(shift(0, -1))
    assert carry.age == 3
    assert carry.anchor is first
    torch.testing.assert_close(carry.flow_to_anchor, shift(3, -2))


def test_a_later_flow_looks_up_the_earlier_one_where_it_points() -> None:
    first = shift(0, 0)
    first[0, 0, :, 5:] = 2.0  # the right half moved by two cells
    carry = Carry.begin(anchor(noise(0))).moved(first).moved(shift(1, 0))
    assert carry.flow_to_anchor[0, 0, 0, :9].tolist() == [1, 1, 1, 1, 3, 3, 3, 3, 3]


def test_trust_ends_where_the_way_back_leaves_the_picture() -> None:
    carry = Carry.begin(anchor(noise(0))).moved(shift(3, 0))
    assert carry.trust[0, 0, 0].tolist() == [1] * 7 + [0] * 3
    # Coming back does not restore what was lost on the way.
    back = carry.moved(shift(-3, 0))
    assert back.trust[0, 0, 0].tolist() == [0] * 3 + [1] * 7


def texture(size_hw: tuple[int, int] = (64, 80)) -> Tensor:
    """Smooth enough to be sampled between its pixels."""
    random = torch.rand((1, 3, size_hw[0] // 4, size_hw[1] // 4), generator=torch.Generator().manual_seed(5))
    return torch.nn.functional.interpolate(random, size=size_hw, mode="bicubic").clamp(0.1, 0.9)


def test_latent_and_picture_move_alike_and_are_sampled_once() -> None:
    z0, picture = noise(0), texture()
    image = warp(picture, shift(12, 0, (64, 80)))
    carry = Carry.begin(anchor(z0, picture)).moved(shift(0.75, 0)).moved(shift(0.75, 0))
    seen = carry.aligned(image, torch.ones(1, 1, 64, 80))
    torch.testing.assert_close(seen.picture[..., :60], picture[..., 12:72], atol=0.03, rtol=0)
    halfway = (z0[..., 1:8] + z0[..., 2:9]) / 2
    torch.testing.assert_close(seen.z0[..., :7], halfway, atol=0.05, rtol=0)
    assert seen.trust[0, 0, 0].tolist() == [1] * 8 + [0] * 2


def test_fuse_with_strength_nought_is_the_new_latent() -> None:
    z0 = noise(1)
    assert torch.equal(fuse(z0, carried(noise(0)), torch.ones(1, 1, 8, 10), 0.0), z0)


def test_fuse_with_strength_one_is_the_carried_latent_in_the_region() -> None:
    z0, earlier = noise(1), noise(0)
    region = torch.zeros(1, 1, 8, 10)
    region[..., 2:6, 3:8] = 1
    fused = fuse(z0, carried(earlier), region, 1.0)
    inside = region.bool().expand_as(z0)
    torch.testing.assert_close(fused[inside], earlier[inside])
    assert torch.equal(fused[~inside], z0[~inside])


def test_fuse_takes_nothing_that_is_not_trusted() -> None:
    z0, trust = noise(1), torch.ones(1, 1, 8, 10)
    trust[..., 7:] = 0
    fused = fuse(z0, carried(noise(0), trust), torch.ones(1, 1, 8, 10), 0.8)
    assert torch.equal(fused[..., 7:], z0[..., 7:])
    assert not torch.equal(fused[..., :7], z0[..., :7])


def test_fuse_keeps_the_spread_of_independent_guesses() -> None:
    size_hw = (64, 64)
    z0, z1 = noise(1, size_hw), noise(0, size_hw)
    fused = fuse(z0, carried(z1), torch.ones(1, 1, *size_hw), 0.5)
    plain = (z0 + z1) / 2
    assert float(plain.std()) < 0.75
    assert 0.95 < float(fused.std()) < 1.05
