"""The background's flow behind an object, against worlds that move by a known homography."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from osor_video.flow.complete import complete_flow, homography_flow
from osor_video.tensors import Mask

SIZE_HW = (96, 128)
CAMERA = np.array([[1.01, 0.015, -3.0], [-0.012, 0.99, 2.0], [5e-5, -3e-5, 1.0]])


@pytest.fixture
def hole() -> Mask:
    hole = np.zeros(SIZE_HW, dtype=bool)
    hole[30:75, 50:90] = True
    return hole


def truth() -> torch.Tensor:
    return torch.from_numpy(homography_flow(CAMERA, SIZE_HW)).permute(2, 0, 1)[None].contiguous()


def test_homography_flow_by_hand() -> None:
    flow = homography_flow(np.array([[1, 0, 2.5], [0, 1, -1], [0, 0, 1.0]]), (2, 3))
    assert flow.shape == (2, 3, 2)
    np.testing.assert_allclose(flow, np.broadcast_to([2.5, -1], (2, 3, 2)))
    scaled = homography_flow(np.diag([2.0, 3.0, 1.0]), (2, 3))
    np.testing.assert_allclose(scaled[1, 2], [2, 2])


def test_the_objects_motion_is_replaced_by_the_backgrounds(hole: Mask) -> None:
    measured = truth()
    measured[:, :, hole] = torch.tensor([9.0, -7.0]).view(1, 2, 1)
    completed = complete_flow(measured, hole)
    assert float((completed - truth()).abs().max()) < 0.1
    outside = torch.from_numpy(~hole)
    assert torch.equal(completed[:, :, outside], measured[:, :, outside])


def test_untrusted_flow_outside_the_hole_is_replaced_too(hole: Mask) -> None:
    measured, trusted = truth(), np.ones(SIZE_HW, dtype=bool)
    trusted[:12] = False
    measured[:, :, :12] = 30.0
    completed = complete_flow(measured, hole, trusted)
    assert float((completed - truth()).abs().max()) < 0.1


def test_noise_in_the_measured_flow_is_not_carried_into_the_hole(hole: Mask) -> None:
    noise = 0.2 * torch.randn((1, 2, *SIZE_HW), generator=torch.Generator().manual_seed(0))
    completed = complete_flow(truth() + noise, hole)
    inside = torch.from_numpy(hole)
    assert float((completed - truth()).abs()[:, :, inside].mean()) < 0.1


def test_with_few_known_pixels_the_median_moves_the_hole() -> None:
    hole = np.ones((40, 40), dtype=bool)
    hole[0, :20] = False
    measured = torch.zeros(1, 2, 40, 40)
    measured[:, 0, 0, :20] = 3.0
    completed = complete_flow(measured, hole)
    torch.testing.assert_close(completed[:, 0], torch.full((1, 40, 40), 3.0), atol=1e-4, rtol=0)
    torch.testing.assert_close(completed[:, 1], torch.zeros(1, 40, 40), atol=1e-4, rtol=0)


def test_with_nothing_known_the_hole_stands_still() -> None:
    completed = complete_flow(torch.full((1, 2, 40, 40), 5.0), np.ones((40, 40), dtype=bool))
    assert torch.equal(completed, torch.zeros(1, 2, 40, 40))
