"""What moves as the object does is told from what moves as the ground does."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import torch

from osor_video.flow.estimate import FlowPair
from osor_video.masks.motion import MotionEvidence, evidence
from osor_video.tensors import FloatMap, Mask, Picture

SIZE_HW = 96, 160
"""Of the flow; the pictures have twice as many pixels a side."""
GROUND, THING = (1.5, 0.0), (-2.0, 1.0)
"""Motion of a frame, in pixels of the flow."""


def _texture(seed: int) -> npt.NDArray[np.float32]:
    noise = np.random.default_rng(seed).normal(0, 1, (2 * SIZE_HW[0] + 80, 2 * SIZE_HW[1] + 80, 3))
    smooth = cv2.GaussianBlur(noise.astype(np.float32), (0, 0), 3)
    return np.asarray(128 + 40 * smooth / smooth.std(), np.float32)


def _box(index: int, widened: int = 0) -> Mask:
    """The object at the flow's size: 40 by 40 pixels."""
    mask = np.zeros(SIZE_HW, dtype=bool)
    left, top = round(70 + index * THING[0]), round(25 + index * THING[1])
    mask[top - widened : top + 40 + widened, left - widened : left + 40 + widened] = True
    return mask


def _shown(index: int, thing: tuple[float, float] = THING, ground: tuple[float, float] = GROUND) -> Picture:
    height, width = 2 * SIZE_HW[0], 2 * SIZE_HW[1]
    layers = []
    for seed, motion in ((0, ground), (1, thing)):
        left, top = (40 - 2 * index * part for part in motion)
        matrix = np.array([[1, 0, -left], [0, 1, -top]])
        layers.append(cv2.warpAffine(_texture(seed), matrix, (width, height)))
    where = cv2.resize(_box(index).astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    shown = np.where(where[..., None], layers[1], layers[0])
    return np.asarray(np.clip(shown, 0, 255), np.uint8)


def _flow(index: int, widened: int = 0) -> FlowPair:
    """From frame ``index`` back to the one before; the object's motion ``widened`` beyond its edge, as estimated flow is."""
    motion = np.empty((2, *SIZE_HW), np.float32)
    for axis in range(2):
        motion[axis] = np.where(_box(index, widened), -THING[axis], -GROUND[axis])
    backward = torch.from_numpy(motion)[None]
    return FlowPair(-backward, backward)


def _half(index: int) -> FloatMap:
    """The left part of the object alone."""
    mask = _box(index)
    columns = np.flatnonzero(mask.any(axis=0))
    mask[:, columns[24] :] = False
    return mask.astype(np.float32)


def _mean(found: FloatMap, where: Mask) -> float:
    inner = cv2.erode(where.astype(np.uint8), np.ones((5, 5), np.uint8))
    return float(found[cv2.resize(inner, found.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0].mean())


def test_a_part_that_was_lost_is_claimed_and_the_ground_is_not() -> None:
    carried, box = _half(1), _box(1)
    found = evidence(_shown(0), _shown(1), carried, _flow(1).backward[0].numpy())
    assert found.shape == (2 * SIZE_HW[0], 2 * SIZE_HW[1])
    assert _mean(found, box & (carried == 0)) > 1.0
    assert abs(_mean(found, ~_box(1, 14))) < 1.05
    assert _mean(found, ~_box(1, 14)) < 0


def test_flow_that_bleeds_over_the_edge_claims_nothing_there() -> None:
    found = evidence(
        _shown(0), _shown(1), _box(1).astype(np.float32), _flow(1, widened=8).backward[0].numpy()
    )
    assert _mean(found, _box(1)) > 1.0
    assert _mean(found, _box(1, 8) & ~_box(1, 1)) < 0.25


def test_ground_that_came_into_the_mask_is_disowned() -> None:
    wrong = np.zeros(SIZE_HW, dtype=bool)
    wrong[40:60, 108:124] = True
    carried = (_box(1) | wrong).astype(np.float32)
    found = evidence(_shown(0), _shown(1), carried, _flow(1).backward[0].numpy())
    assert _mean(found, wrong & ~_box(1)) < -0.4


def test_where_all_move_alike_nothing_is_said() -> None:
    motion = np.full((2, *SIZE_HW), 0.0, np.float32)
    motion[0], motion[1] = -GROUND[0], -GROUND[1]
    found = evidence(_shown(0, GROUND), _shown(1, GROUND), _box(1).astype(np.float32), motion)
    assert np.abs(found[4:-4, 8:-8]).mean() < 0.1


def _as_estimated(index: int) -> tuple[FloatMap, FlowPair]:
    """The object and the flow at the pictures' size."""
    size_hw = 2 * SIZE_HW[0], 2 * SIZE_HW[1]
    carried: FloatMap = cv2.resize(_box(index).astype(np.float32), size_hw[::-1])
    return carried, _flow(index).resized(size_hw)


def test_evidence_gathers_and_can_be_forgotten() -> None:
    gathered = MotionEvidence()
    first, second = (
        gathered.step(_shown(index - 1), _shown(index), *_as_estimated(index)) for index in (1, 2)
    )
    assert 0 < _mean(first, _box(1)) < _mean(second, _box(2))
    again = MotionEvidence()
    again.state = gathered.state
    assert again.state is gathered.state
    gathered.forget()
    assert gathered.state is None
    anew = gathered.step(_shown(1), _shown(2), *_as_estimated(2))
    assert 0 < _mean(anew, _box(2)) < _mean(second, _box(2)) - 0.2


def test_an_object_that_is_gone_says_nothing() -> None:
    found = evidence(_shown(0), _shown(1), np.zeros(SIZE_HW, np.float32), _flow(1).backward[0].numpy())
    assert not found.any()
