"""The middle half of many samples: what it leaves of their noise is what it says."""

from __future__ import annotations

import numpy as np
import pytest

from osor_video.background.merge import Sample, grain_left, interquartile_mean
from osor_video.tensors import FloatMap

SIZE = (120, 120)


def noisy(count: int, weights: list[float]) -> list[Sample]:
    random = np.random.default_rng(0)
    samples = []
    for weight in weights[:count]:
        grey: FloatMap = (100 + 5 * random.standard_normal(SIZE)).astype(np.float32)
        samples.append(Sample(np.repeat(grey[..., None], 3, axis=2), grey, np.full(SIZE, weight, np.float32)))
    return samples


@pytest.mark.parametrize("weights", [[1.0] * 6, [1.0] * 12, [1.0, 1.0, 1.0, 0.3, 0.3, 0.3]])
def test_the_grain_that_is_left_is_foretold(weights: list[float]) -> None:
    samples = noisy(len(weights), weights)
    left = float(interquartile_mean(samples)[0][..., 0].var()) / 25
    # Measured: within an eighth.
    assert float(grain_left(samples).mean()) == pytest.approx(left, rel=0.2)


def test_one_sample_keeps_its_grain_and_none_has_all() -> None:
    assert grain_left(noisy(1, [1.0])).min() == 1
    assert grain_left(noisy(2, [0.0, 0.0])).min() == 1
