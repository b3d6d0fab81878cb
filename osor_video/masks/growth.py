"""How large an object looks, apart from how near it is."""

from __future__ import annotations

import cv2
import numpy as np

from osor_video.flow.estimate import FlowPair
from osor_video.tensors import FloatMap

FEWEST_PX, MOST_PX = 10, 400
"""Flow vectors that the object's scale is fitted to."""


def nearer(mask: FloatMap, flow: FlowPair) -> float:
    """Growth of the area of ``mask`` [H, W] on the later frame since the earlier one, from how ``flow`` spreads over it.

    It is the scale of the similarity that most of the flow's vectors agree with, squared; 1 where too few tell.
    """
    motion = flow.backward[0].numpy()
    small = cv2.resize(mask, motion.shape[:0:-1], interpolation=cv2.INTER_AREA)
    rows, columns = np.nonzero(small > 0.5)
    if len(rows) < FEWEST_PX:
        return 1.0
    every = -(-len(rows) // MOST_PX)
    rows, columns = rows[::every], columns[::every]
    now = np.stack([columns, rows], axis=1).astype(np.float32)
    matrix, _ = cv2.estimateAffinePartial2D(
        now + motion[:, rows, columns].T, now, method=cv2.RANSAC, ransacReprojThreshold=1.0
    )
    return 1.0 if matrix is None else float(matrix[0, 0] ** 2 + matrix[0, 1] ** 2)
