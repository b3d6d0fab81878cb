"""What is freed goes back to the system."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from osor_video.memory import hold_freed, peak_memory_mb, release_unused

BLOCK = 64 * 1024
"""Below the size from which glibc asks the system for each block by itself."""


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc keeps what was freed")
def test_freed_blocks_below_one_in_use_go_back() -> None:
    release_unused()
    before = _resident_mb()
    blocks = [np.ones(BLOCK, np.uint8) for _ in range(3000)]
    peak, last = _resident_mb(), blocks[-1]
    assert peak - before > 150
    del blocks
    release_unused()
    assert _resident_mb() - before < 50
    assert last.all()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc keeps what was freed")
def test_what_is_freed_is_held_until_it_is_given_back() -> None:
    hold_freed()
    release_unused()
    before = _resident_mb()
    frame = np.ones(30 * 2**20, np.uint8)
    assert frame.all()
    del frame
    assert _resident_mb() - before > 25
    release_unused()
    assert _resident_mb() - before < 10


def test_the_peak_is_at_least_what_is_in_use() -> None:
    block = np.ones(64 * 2**20, np.uint8)
    peak = peak_memory_mb()
    assert block.all()
    assert peak is None or peak > 64
