"""Batches made in other processes, one a step, in the order of the steps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import cv2
import torch
from torch.utils.data import DataLoader, Dataset


def stream_batches(dataset: Dataset[Any], workers: int) -> Iterator[Any]:
    """The items of ``dataset``, each a whole batch; ``workers`` processes make them, with 0 they are made when asked for."""
    loader: DataLoader[Any] = DataLoader(
        dataset,
        batch_size=None,
        num_workers=workers,
        worker_init_fn=_keep_single_threaded,
        # A forked child waits for ever on OpenCV's thread pool.
        multiprocessing_context="spawn" if workers else None,
    )
    return iter(loader)


def _keep_single_threaded(_: int) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
