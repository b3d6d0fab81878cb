"""Backward warping and the forward-backward test, on shifts that can be counted by hand."""

from __future__ import annotations

import torch
from torch import Tensor

from osor_video.flow.warp import inside, pixel_grid, validity, warp


def constant(x: float, y: float, size_hw: tuple[int, int] = (6, 8)) -> Tensor:
    return torch.tensor([float(x), float(y)]).view(1, 2, 1, 1).expand(1, 2, *size_hw).clone()


def test_pixel_grid_is_x_then_y() -> None:
    grid = pixel_grid((2, 3), torch.zeros(1))
    assert grid.tolist() == [[[[0, 1, 2], [0, 1, 2]], [[0, 0, 0], [1, 1, 1]]]]


def test_warp_samples_where_the_flow_points() -> None:
    content = torch.arange(48.0).view(1, 1, 6, 8)
    warped = warp(content, constant(2, -1))
    torch.testing.assert_close(warped[..., 1:, :6], content[..., :5, 2:])
    # Beyond the edge the last column is repeated.
    torch.testing.assert_close(warped[..., 1:, 6:], content[..., :5, 7:].expand(-1, -1, -1, 2))


def test_warp_by_half_a_pixel_is_the_mean_of_two() -> None:
    content = torch.tensor([0.0, 4.0, 8.0]).view(1, 1, 1, 3)
    torch.testing.assert_close(
        warp(content, constant(0.5, 0, (1, 3))).flatten(), torch.tensor([2.0, 6.0, 8.0])
    )


def test_inside_tells_what_leaves_the_picture() -> None:
    assert inside(constant(7, 0, (1, 8))).flatten().tolist() == [1, 0, 0, 0, 0, 0, 0, 0]
    assert inside(constant(-1, 0, (1, 3))).flatten().tolist() == [0, 1, 1]
    assert inside(constant(0, 1, (2, 1))).flatten().tolist() == [1, 0]
    assert inside(constant(0, -1, (2, 1))).flatten().tolist() == [0, 1]


def test_a_consistent_flow_is_valid_as_far_as_it_stays_in_frame() -> None:
    valid = validity(constant(2, 0), constant(-2, 0))
    assert valid[0, 0].sum(0).tolist() == [6, 6, 6, 6, 6, 6, 0, 0]


def test_an_inconsistent_flow_is_not_valid() -> None:
    assert validity(constant(2, 0), constant(2, 0)).sum() == 0


def test_validity_holds_to_the_published_bound() -> None:
    # |f + b|^2 = .5625 against .01 (9 + 5.0625) + .5 = .641, and .81 against .634.
    assert validity(constant(3, 0), constant(-2.25, 0))[..., :5].min() == 1
    assert validity(constant(3, 0), constant(-2.1, 0)).max() == 0
