"""Cores shared out among frames: two frames side by side use two cores better than two threads inside each small operation."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import cv2
import torch
from threadpoolctl import threadpool_limits

from osor_video.memory import hold_freed, release_unused


@contextmanager
def shared_cores() -> Iterator[ThreadPoolExecutor]:
    """A pool with a worker for each core that torch may use (``OMP_NUM_THREADS`` limits them).

    Meanwhile OpenCV and BLAS keep to one thread a worker and torch to half of the cores: one network runs in the pool while
    another runs beside it. All get back what they had, and the system the memory that was held.
    """
    hold_freed()
    cores, before = torch.get_num_threads(), cv2.getNumThreads()
    share = max(1, cores // 2)
    torch.set_num_threads(share)
    cv2.setNumThreads(1)
    # OpenMP keeps the number for each thread by itself, so every worker has to be told.
    pool = ThreadPoolExecutor(cores, "osor-video", initializer=torch.set_num_threads, initargs=(share,))
    try:
        with threadpool_limits(1, user_api="blas"):
            yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(cores)
        cv2.setNumThreads(before)
        release_unused()
