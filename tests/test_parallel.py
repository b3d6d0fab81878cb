"""Cores shared among frames, and given back."""

from __future__ import annotations

import cv2
import pytest
import torch

from osor_video.parallel import shared_cores


def test_workers_keep_to_their_share_and_everything_is_given_back() -> None:
    before, opencv = torch.get_num_threads(), cv2.getNumThreads()
    torch.set_num_threads(4)
    try:
        with shared_cores() as pool:
            assert torch.get_num_threads() == 2
            assert cv2.getNumThreads() == 1
            assert pool.submit(torch.get_num_threads).result() == 2
        assert torch.get_num_threads() == 4
        assert cv2.getNumThreads() == opencv
    finally:
        torch.set_num_threads(before)


def test_a_failure_gives_the_cores_back() -> None:
    before = torch.get_num_threads()
    with pytest.raises(KeyboardInterrupt), shared_cores():
        raise KeyboardInterrupt
    assert torch.get_num_threads() == before
