"""The object followed by SAM2's memory (arXiv 2408.00714, section 4), frame by frame and in bounded memory.

Each frame attends to the encoded masks of the prompted frame and of the last few, and to the object pointers of some more.
A session of transformers keeps what it made of every frame; all that no later frame asks for is dropped here.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from osor_video.flow.estimate import FlowPair
from osor_video.masks.sam import Sam2
from osor_video.masks.track import State, TrackedFrame
from osor_video.tensors import Mask, Picture

FOUND_AGAIN = 0.8
"""Score from which the object counts as found again after a cut: a new shot often has something alike, and touching the
wrong thing is worse than leaving the right one."""
NO_PIXELS = torch.empty(0)


class Sam2Tracker:
    """Carries one object's mask through a clip; what ``MaskTracker`` does from features and flow, SAM2 does alone."""

    def __init__(self, sam2: Sam2) -> None:
        self._sam2 = sam2

    @property
    def follows(self) -> bool:
        """Always: a lost object may come back, and where it is the background's flow is needed."""
        return True

    def start(self, picture: Picture, mask: Mask) -> TrackedFrame:
        """Begin with the user's mask [H, W] of the first frame [H, W, 3]."""
        self._session = self._sam2.begin(mask.shape, input_masks=mask)
        self._now, self._here = 0, True
        self._sam2.look(self._session, picture)
        self._session.remove_mask_inputs(0, 0)
        self._forget()
        return TrackedFrame(mask, 1.0)

    def step(self, picture: Picture, flow: FlowPair | None) -> TrackedFrame:
        """The mask of the next frame [H, W, 3]; of ``flow`` only its absence is used, which says that a shot begins.

        The score is presence times predicted overlap where something is masked, else one less it. In a new shot nothing is
        masked until the score reaches ``FOUND_AGAIN``.
        """
        self._now += 1
        sighting = self._sam2.look(self._session, picture)
        self._forget()
        sure = sighting.presence * sighting.quality
        mask = sighting.logits > 0
        self._here = (self._here and flow is not None) or (sure >= FOUND_AGAIN and bool(mask.any()))
        if not self._here:
            mask = np.zeros_like(mask)
        return TrackedFrame(mask, sure if mask.any() else 1 - sure)

    def state(self) -> None:
        """A session of transformers is not written down: a run that was cut off follows the object from the start again."""
        return

    def go_on(self, state: State) -> None:
        """Never asked for, as no state is said."""
        raise NotImplementedError("a session of SAM2 cannot be taken up again")

    def _forget(self) -> None:
        """Drop what no frame after this one asks of the session."""
        session, now = self._session, self._now
        session.processed_frames[now] = NO_PIXELS
        session.frames_tracked_per_obj[0].pop(now, None)
        outputs: dict[str, dict[int, dict[str, Any]]] = session.output_dict_per_obj[0]
        for kind in outputs.values():
            _drop(kind.get(now, {}), "high_res_masks", "pred_masks")
        tracked = outputs["non_cond_frame_outputs"]
        _drop(tracked.get(now + 1 - self._sam2.memory_frames, {}), "maskmem_features", "maskmem_pos_enc")
        tracked.pop(now + 1 - max(self._sam2.memory_frames, self._sam2.pointer_frames), None)


def _drop(output: dict[str, Any], *names: str) -> None:
    for name in names:
        output.pop(name, None)
