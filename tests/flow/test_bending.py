"""The smoothest field that agrees with what was measured where it can be measured."""

from __future__ import annotations

import numpy as np

from osor_video.flow.bending import Bending
from osor_video.flow.complete import homography_flow
from osor_video.tensors import FloatMap

SIZE_HW = 120, 160


def noise(seed: int = 0) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    return np.random.default_rng(seed).integers(0, 255, SIZE_HW, dtype=np.uint8)


def plane_flow() -> FloatMap:
    homography = np.array([[1.01, 0.02, 3.0], [-0.01, 0.99, -2.0], [1e-5, 2e-5, 1.0]])
    return homography_flow(homography, SIZE_HW)


def test_a_plane_goes_straight_through_a_hole() -> None:
    truth, trust = plane_flow(), np.ones(SIZE_HW, np.float32)
    trust[30:110, 50:110] = 0
    wrong = truth.copy()
    wrong[30:110, 50:110] += 7
    assert np.abs(Bending(noise()).bend(wrong, trust) - truth).max() < 0.1


def test_wide_and_tall_fields_are_treated_alike() -> None:
    truth, trust, grey = plane_flow(), np.ones(SIZE_HW, np.float32), noise()
    wide = Bending(grey).bend(truth, trust)
    tall = Bending(np.ascontiguousarray(grey.T)).bend(
        truth.transpose(1, 0, 2)[..., ::-1].copy(), trust.T.copy()
    )
    np.testing.assert_allclose(tall.transpose(1, 0, 2)[..., ::-1], wide, atol=1e-4)


def test_vectors_on_a_blank_wall_claim_nothing() -> None:
    grey, truth = noise(), plane_flow()
    grey[20:100, 40:120] = 128
    measured = truth.copy()
    measured[24:96, 44:116] = 0  # what a matcher finds where there is nothing to match
    assert np.abs(Bending(grey).bend(measured, np.ones(SIZE_HW, np.float32)) - truth).max() < 0.15


def test_an_edge_claims_nothing_along_itself() -> None:
    stripes = np.where(np.arange(SIZE_HW[1]) // 8 % 2 > 0, 220, 30).astype(np.uint8)
    grey = noise()
    grey[30:90] = stripes
    truth = np.full((*SIZE_HW, 2), (2.0, 1.0), np.float32)
    measured = truth.copy()
    measured[34:86, :, 1] = -3  # along the stripes anything matches
    found = Bending(grey).bend(measured, np.ones(SIZE_HW, np.float32))
    assert np.abs(found - truth).max() < 0.15


def test_the_field_may_crease_where_the_wall_meets_the_ground() -> None:
    rows = np.arange(SIZE_HW[0], dtype=np.float32)[:, None]
    truth = np.zeros((*SIZE_HW, 2), np.float32)
    truth[..., 0] = np.maximum(rows - 60, 0) * 0.1  # still above, ever faster below
    trust = np.ones(SIZE_HW, np.float32)
    trust[20:110, 60:100] = 0
    assert np.abs(Bending(noise()).bend(truth, trust) - truth).mean() < 0.08


def test_without_trust_nothing_moves() -> None:
    assert not Bending(noise()).bend(plane_flow(), np.zeros(SIZE_HW, np.float32)).any()


def test_a_field_of_a_few_pixels_is_no_trouble() -> None:
    field = np.full((9, 5, 2), 1.5, np.float32)
    found = Bending(noise()[:9, :5].copy()).bend(field, np.ones((9, 5), np.float32))
    assert found.shape == (9, 5, 2)
    np.testing.assert_allclose(found, field, atol=0.1)
