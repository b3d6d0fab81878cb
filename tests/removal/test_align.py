"""The way back to an anchor against motions that are known, on drawn textures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from osor_video.flow.warp import warp
from osor_video.removal.align import Alignment, fine_flow

SIZE = 128
CELLS = SIZE // 8
HOLE = np.s_[..., 40:88, 40:88]


def texture(seed: int) -> Tensor:
    """Blobs some pixels wide, in colour, [1, 3, H, W] in [.2, .8]."""
    random = np.random.default_rng(seed).normal(0, 1, (SIZE, SIZE, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(random, (0, 0), 2.5)
    values = 0.5 + 0.1 * soft / soft.std()
    return torch.from_numpy(np.clip(values, 0.2, 0.8)).permute(2, 0, 1)[None].contiguous()


def outside_hole() -> Tensor:
    known = torch.ones(1, 1, SIZE, SIZE)
    known[HOLE] = 0
    return known


def affine_flow(matrix: list[list[float]]) -> Tensor:
    """Pixels [1, 2, H, W]: shift, and what grows with x and y in [-1, 1]."""
    places = (torch.arange(SIZE) + 0.5) / SIZE * 2 - 1
    y, x = torch.meshgrid(places, places, indexing="ij")
    return torch.einsum("ij,jhw->ihw", torch.tensor(matrix), torch.stack([torch.ones_like(x), x, y]))[None]


def composed(flow: Tensor, seed: int, noise_px: float) -> Tensor:
    """``flow`` in cells, as a chain of estimates has it: with errors that vary slowly over the picture."""
    random = np.random.default_rng(seed).normal(0, 1, (CELLS, CELLS, 2)).astype(np.float32)
    soft = cv2.GaussianBlur(random, (0, 0), 2.0)
    error = torch.from_numpy(noise_px * soft / soft.std()).permute(2, 0, 1)[None]
    return (torch.nn.functional.avg_pool2d(flow, 8) + error) / 8


MOTIONS = {
    "rest": [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]],
    "hand": [[3.3, 0.0, -0.6], [-2.4, 0.6, 0.0]],
    "zoom": [[0.5, 2.0, 0.0], [-0.5, 0.0, 2.0]],
}


def error_px(found: Tensor, true: Tensor) -> float:
    """Mean length of the error inside the hole, where nothing was measured."""
    return float((fine_flow(found, true) - true).square().sum(1).sqrt()[HOLE].mean())


@pytest.mark.parametrize("motion", MOTIONS)
def test_a_plain_motion_is_found_where_the_composed_flow_errs(motion: str) -> None:
    picture, true = texture(0), affine_flow(MOTIONS[motion])
    rough = composed(true, 1, noise_px=0.7)
    assert error_px(rough, true) > 0.4
    way = Alignment(picture, outside_hole(), warp(picture, true), outside_hole()).find(rough)
    assert error_px(way.flow, true) < 0.08


def test_what_lies_in_either_hole_has_no_say() -> None:
    picture, true = texture(0), affine_flow(MOTIONS["hand"])
    image, other = warp(picture, true), texture(7)
    anchor = picture.clone()
    anchor[HOLE], image[HOLE] = other[HOLE], texture(8)[HOLE]
    way = Alignment(anchor, outside_hole(), image, outside_hole()).find(composed(true, 2, 0.7))
    assert error_px(way.flow, true) < 0.08


def test_a_passer_by_hardly_counts() -> None:
    picture, true = texture(0), affine_flow(MOTIONS["hand"])
    image = warp(picture, true)
    image[..., 96:, 90:] = texture(9)[..., 96:, 90:]
    way = Alignment(picture, outside_hole(), image, outside_hole()).find(composed(true, 3, 0.5))
    assert error_px(way.flow, true) < 0.15


def test_bends_that_explain_hardly_more_are_not_followed_into_the_hole() -> None:
    picture = texture(0)
    # What is seen bends by a tenth of a pixel, as pictures do that were sampled; behind the hole the chain errs by two.
    true = affine_flow(MOTIONS["rest"])
    true[:, 0, SIZE // 2 :] = 0.15
    flow = torch.nn.functional.avg_pool2d(true, 8) / 8
    flow[..., 6:10, 6:10] += 0.25
    way = Alignment(picture, outside_hole(), warp(picture, true), outside_hole()).find(flow)
    assert error_px(way.flow, true) < 0.2


def test_bends_are_kept_where_no_plain_motion_explains_them() -> None:
    picture = texture(0)
    true = affine_flow(MOTIONS["rest"])
    true[:, 0, SIZE // 2 :] = 4.0  # the near ground goes by, the far one stands
    flow = torch.nn.functional.avg_pool2d(true, 8) / 8
    image = warp(picture, fine_flow(flow, picture))
    way = Alignment(picture, outside_hole(), image, outside_hole()).find(flow + 0.5 / 8)
    assert float((fine_flow(way.flow - flow, picture)).abs().mean()) < 0.15


def test_light_is_measured_channel_by_channel() -> None:
    picture = texture(0)
    image = picture * torch.tensor([1.1, 1.0, 0.9]).view(1, 3, 1, 1)
    way = Alignment(picture, outside_hole(), image, outside_hole()).find(torch.zeros(1, 2, CELLS, CELLS))
    torch.testing.assert_close(way.gain.flatten(), torch.tensor([1.1, 1.0, 0.9]), atol=0.01, rtol=0)


def test_with_next_to_nothing_in_common_the_flow_is_taken_as_it_is() -> None:
    nothing, flow = torch.zeros(1, 1, SIZE, SIZE), torch.full((1, 2, CELLS, CELLS), 0.3)
    way = Alignment(texture(0), nothing, texture(1), outside_hole()).find(flow)
    assert torch.equal(way.flow, flow)
    assert way.gain.tolist() == [[[[1.0]], [[1.0]], [[1.0]]]]


def test_where_all_is_flat_nothing_moves() -> None:
    flat, flow = torch.full((1, 3, SIZE, SIZE), 0.5), torch.full((1, 2, CELLS, CELLS), 0.3)
    way = Alignment(flat, outside_hole(), flat, outside_hole()).find(flow)
    torch.testing.assert_close(way.flow, flow, atol=1e-3, rtol=0)


def test_an_anchor_of_another_place_is_lost() -> None:
    rest, known = torch.zeros(1, 2, CELLS, CELLS), outside_hole()
    here, elsewhere = ((0.5 + 2 * (texture(seed) - 0.5)).clamp(0, 1) for seed in (0, 1))
    assert not Alignment(here, known, here, known).find(rest).lost
    assert Alignment(here, known, elsewhere, known).find(rest).lost
