"""The carried latent: composed flows by hand, fusion at its two ends."""

from __future__ import annotations

import torch
from torch import Tensor

from osor_video.removal.carry import Carry, fuse


def shift(x: float, y: float, size_hw: tuple[int, int] = (8, 10)) -> Tensor:
    return torch.tensor([float(x), float(y)]).view(1, 2, 1, 1).expand(1, 2, *size_hw).clone()


def noise(seed: int, size_hw: tuple[int, int] = (8, 10)) -> Tensor:
    return torch.randn((1, 4, *size_hw), generator=torch.Generator().manual_seed(seed))


def test_an_anchor_is_its_own_latent() -> None:
    z0 = noise(0)
    carry = Carry.anchor(z0)
    torch.testing.assert_close(carry.warped(), z0)
    assert carry.trust.min() == 1
    assert carry.age == 0


def test_flows_are_composed_and_the_anchor_sampled_once() -> None:
    z0 = noise(0)
    carry = Carry.anchor(z0).moved(shift(2, 0)).moved(shift(1, -1)).moved(shift(0, -1))
    assert carry.age == 3
    assert carry.z0 is z0
    torch.testing.assert_close(carry.flow_to_anchor, shift(3, -2))
    torch.testing.assert_close(carry.warped()[..., 2:, :7], z0[..., :6, 3:])


def test_half_steps_add_up_without_blur() -> None:
    z0 = noise(0)
    carry = Carry.anchor(z0).moved(shift(0.5, 0)).moved(shift(0.5, 0))
    torch.testing.assert_close(carry.warped()[..., :9], z0[..., 1:], atol=1e-5, rtol=1e-5)


def test_a_later_flow_looks_up_the_earlier_one_where_it_points() -> None:
    first = shift(0, 0)
    first[0, 0, :, 5:] = 2.0  # the right half moved by two cells
    carry = Carry.anchor(noise(0)).moved(first).moved(shift(1, 0))
    assert carry.flow_to_anchor[0, 0, 0, :9].tolist() == [1, 1, 1, 1, 3, 3, 3, 3, 3]


def test_trust_ends_where_the_way_back_leaves_the_picture() -> None:
    carry = Carry.anchor(noise(0)).moved(shift(3, 0))
    assert carry.trust[0, 0, 0].tolist() == [1] * 7 + [0] * 3
    # Coming back does not restore what was lost on the way.
    back = carry.moved(shift(-3, 0))
    assert back.trust[0, 0, 0].tolist() == [0] * 3 + [1] * 7


def test_fuse_with_strength_nought_is_the_new_latent() -> None:
    z0 = noise(1)
    assert torch.equal(fuse(z0, Carry.anchor(noise(0)), torch.ones(1, 1, 8, 10), 0.0), z0)


def test_fuse_with_strength_one_is_the_carried_latent_in_the_region() -> None:
    z0, carry = noise(1), Carry.anchor(noise(0)).moved(shift(0, 0))
    region = torch.zeros(1, 1, 8, 10)
    region[..., 2:6, 3:8] = 1
    fused = fuse(z0, carry, region, 1.0)
    inside = region.bool().expand_as(z0)
    torch.testing.assert_close(fused[inside], carry.warped()[inside])
    assert torch.equal(fused[~inside], z0[~inside])


def test_fuse_takes_nothing_that_is_not_trusted() -> None:
    z0, carry = noise(1), Carry.anchor(noise(0)).moved(shift(3, 0))
    fused = fuse(z0, carry, torch.ones(1, 1, 8, 10), 0.8)
    assert torch.equal(fused[..., 7:], z0[..., 7:])
    assert not torch.equal(fused[..., :7], z0[..., :7])


def test_fuse_keeps_the_spread_of_independent_guesses() -> None:
    size_hw = (64, 64)
    z0, z1 = noise(1, size_hw), noise(0, size_hw)
    fused = fuse(z0, Carry.anchor(z1), torch.ones(1, 1, *size_hw), 0.5)
    plain = (z0 + z1) / 2
    assert float(plain.std()) < 0.75
    assert 0.95 < float(fused.std()) < 1.05


def stripes(size_hw: tuple[int, int]) -> Tensor:
    return torch.rand((1, 3, *size_hw), generator=torch.Generator().manual_seed(5))


def test_detail_moves_with_the_latent_in_pixels_of_its_own_and_keeps_what_is_made_where_it_ends() -> None:
    detail, made = stripes((64, 80)), torch.full((1, 3, 64, 80), 0.25)
    carry = Carry.anchor(noise(0), detail).moved(shift(1, 0)).moved(shift(0.5, 0))
    carried = carry.carried_detail(made)
    assert carried is not None
    # A cell and a half are twelve pixels; the last cells look beyond the crop.
    torch.testing.assert_close(carried[..., :56], detail[..., 12:68], atol=1e-4, rtol=0)
    torch.testing.assert_close(carried[..., 77:], made[..., 77:])


def test_without_detail_at_the_anchor_a_frames_own_counts() -> None:
    made = stripes((64, 80))
    assert Carry.anchor(noise(0)).carried_detail(made) is made
    assert Carry.anchor(noise(0)).carried_detail(None) is None
    torch.testing.assert_close(Carry.anchor(noise(0), made).carried_detail(None), made)


def test_detail_fades_while_the_camera_moves_and_comes_back_when_it_rests() -> None:
    carry = Carry.anchor(noise(0), stripes((64, 80)))
    assert carry.moved(shift(0.02, 0)).lent == 1
    moving = carry
    for _ in range(12):
        moving = moving.moved(shift(0.5, 0))
    assert moving.lent < 0.02
    resting = moving
    for _ in range(12):
        resting = resting.moved(shift(0, 0))
    assert resting.lent > 0.95
    assert moving.to(torch.device("cpu")).lent == moving.lent
