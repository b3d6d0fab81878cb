"""Mutated files: a few hundred of what ``python -m tests.fuzz`` does by the thousand, and masks that hypothesis thinks up."""

from __future__ import annotations

import io
import random
from contextlib import suppress
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from osor_video.apps.inputs import SeedOptions
from osor_video.errors import OsorError
from osor_video.masks.painted import load_mask
from tests.fuzz import GROWTH_MB, LIMIT_S, SIZE_HW, fuzz, spoil

QUICK = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def test_mutated_media_and_masks_are_read_or_refused(tmp_path: Path) -> None:
    outcome = fuzz(300, 7, tmp_path)
    assert outcome.faults == []
    assert sum(outcome.ends.values()) == 300
    assert outcome.slowest_s < LIMIT_S
    assert outcome.growth_mb < GROWTH_MB
    # Not everything is refused out of hand, and not everything survives.
    for kind in ("media read", "media refused", "media damage bridged", "mask read", "mask refused"):
        assert outcome.ends[kind] + outcome.ends[f"{kind}, command too"] > 0, outcome.ends


@cache
def good_png() -> bytes:
    mask = np.zeros(SIZE_HW, np.uint8)
    mask[8:30, 10:50] = 255
    stored = io.BytesIO()
    Image.fromarray(mask).save(stored, "PNG")
    return stored.getvalue()


@QUICK
@given(at=st.integers(0, 1 << 16), piece=st.binary(max_size=40), cut=st.integers(0, 40))
def test_a_mask_with_any_piece_changed(tmp_path: Path, at: int, piece: bytes, cut: int) -> None:
    path, data = tmp_path / "mask.png", good_png()
    at %= len(data) + 1
    path.write_bytes(data[:at] + piece + data[at + cut :])
    # Any other error than the library's own is a failure.
    with suppress(OsorError):
        assert load_mask(path, SIZE_HW).shape == SIZE_HW


@QUICK
@given(
    box=st.none() | st.text(max_size=20),
    polygon=st.none() | st.text("0123456789,-. ", max_size=30),
    points=st.none() | st.text("0123456789,-", max_size=12),
    masks=st.lists(st.text(max_size=10), max_size=2),
    labels=st.none() | st.text("0123456789,", max_size=8),
)
def test_any_text_for_a_mark(
    box: str | None, polygon: str | None, points: str | None, masks: list[str], labels: str | None
) -> None:
    options = SeedOptions(tuple(masks), box, polygon, points, labels=labels)
    with suppress(OsorError):
        marks = options.marks()
        assert marks.seeds or marks.paths


def test_spoiling_is_the_same_for_the_same_seed() -> None:
    first, again, other = (spoil(good_png(), random.Random(seed), b"abc") for seed in ("a", "a", "b"))
    assert first == again != other
    assert spoil(b"", random.Random(0)) is not None


@pytest.mark.parametrize("seed", range(3))
def test_spoilt_bytes_differ_from_the_good_ones(seed: int) -> None:
    changed = sum(
        spoil(good_png(), random.Random(f"{seed} {i}"), good_png()) != good_png() for i in range(40)
    )
    assert changed > 30
