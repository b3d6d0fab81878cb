"""One OSOR step a frame on a steady crop, with the clean latent carried along the shot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
import torch
from torch import Tensor

from osor_video.config import RemovalConfig
from osor_video.motionblur import blurred
from osor_video.removal.carry import SURELY, Aligned, Anchor, Carry, fuse
from osor_video.removal.crop import CELL_PX, Crop, HoleBox, Shift, moved_share, plan_crops
from osor_video.removal.gather import Gathering, Witness
from osor_video.removal.prediction import Filled, Prediction, RemovalModel
from osor_video.removal.step import (
    RIM_PX,
    SURE,
    blend,
    box_around,
    detail_of,
    grown,
    in_pixels,
    keep_detail,
    meet,
    noise_tile,
    raised,
)
from osor_video.tensors import FloatMap, Mask, Picture, mask_to_tensor, picture_to_tensor, tensor_to_map

FRAME_SEED = 1_000_003
"""Between the seeds of neighbouring frames, where each has noise of its own; other runs' seeds are small."""
LEAST_ALPHA = 0.02
"""Below, a cell is left as it is: a deep shadow would become lighter by two levels of 256."""
SEEN_SHARE = 0.5
"""Of its size that a hole has to move for its shot to show much of what it hides."""
KEPT_CELLS = 4
"""Surroundings of the changed cells in which detail is weighed, a little more than ``keep_detail`` looks at."""


@dataclass(frozen=True, eq=False)
class Looked:
    """Frames' crops [B, 3, H, W], and the network's view of them."""

    images: Tensor
    prediction: Prediction


@dataclass(frozen=True)
class RemovalInput:
    """One frame for the remover. ``flow_back`` [H', W', 2] is the completed background flow to the frame before,

    in pixels of the frame, on a grid of any size over it; None at the start of a shot.
    """

    rgb: Picture
    hole: Mask
    crop: Crop
    flow_back: FloatMap | None
    index: int = 0
    """Number of the frame in its clip."""
    effects: bool = True
    """Whether what the object casts goes with it."""
    looked: Looked | None = None
    """What the network saw of it, where it was asked before."""
    witnesses: Callable[[], Sequence[Witness]] | None = None
    """Other frames of its shot, where nothing may be carried to it."""


@dataclass(frozen=True, eq=False)
class Removal:
    """The model's answer on the whole frame: ``alpha`` [H, W] and, decoded when first asked for, ``rgb``.

    Decoding costs more than the step itself, and where the shot shows the background nobody asks.
    """

    alpha: FloatMap
    decode: Callable[[], FloatMap]
    box: HoleBox | None = None
    """What of the frame the crop shows; None: all of it."""
    looked: Looked | None = None
    """What the network saw, where alpha alone was asked for."""

    @cached_property
    def rgb(self) -> FloatMap:
        """float32 [H, W, 3] in [0, 1], zero outside the crop."""
        return self.decode()


@dataclass(frozen=True)
class RemoverState:
    """What passes from one frame of a shot to the next."""

    carry: Carry
    crop: Crop


class OneStepRemover:
    """Runs the model over the frames of a shot, in order."""

    def __init__(self, model: RemovalModel, config: RemovalConfig, seed: int) -> None:
        self._model = model
        self._config = config
        self._seed = seed

    @property
    def model(self) -> RemovalModel:
        """The model in use."""
        return self._model

    @cached_property
    def batch(self) -> int:
        """Frames that it wants together; the same throughout a run, however much memory it takes meanwhile."""
        return self._config.batch or self._model.frames_together(self.raster_px)

    @property
    def raster_px(self) -> int:
        """Longer side of the crop as the model sees it, at most."""
        limit, multiple = self._model.raster_limit_px(), self._model.record.multiple_px
        if self._model.is_compact:
            wanted = self._config.raster_px
        else:
            wanted = self._config.published_raster_px or self._model.record.raster_px
        return min(wanted, limit or wanted) // multiple * multiple

    def plan(
        self, boxes: Sequence[HoleBox | None], shifts: Sequence[Shift], size_hw: tuple[int, int]
    ) -> list[Crop | None]:
        """The crops of a shot of frames ``size_hw`` with holes in ``boxes``; ``moved_share`` tells of ``shifts``.

        Where the hole never leaves its place no plate tells of its shadow: the model has to see all of that, no smaller than usual.
        """
        context, raster_px = self._config.context, self.raster_px
        if self._model.is_compact and moved_share(boxes, shifts) < SEEN_SHARE:
            wide = max(context, self._config.wide_context)
            raster_px = round(raster_px * (1 + wide) / (1 + context))
            context = wide
        return plan_crops(boxes, size_hw, context, raster_px, self._model.record.multiple_px)

    @torch.inference_mode()
    def remove(
        self, frames: Sequence[RemovalInput], state: RemoverState | None
    ) -> tuple[list[Removal], RemoverState | None]:
        """Remove the object from a batch of neighbouring frames.

        The network sees the frames together; the carried latent then passes through them one by one. Returns the answers and the
        state for the next batch of the shot.
        """
        if not frames:
            return [], state
        looked = frames[0].looked if len(frames) == 1 else None
        looked = looked or self._predict(frames)
        answers = []
        for index, frame in enumerate(frames):
            fill, state = self._advance(frame, looked, index, state)
            answers.append(self._answer(frame, fill))
        return answers, state

    @torch.inference_mode()
    def found(self, frame: RemovalInput) -> Removal | None:
        """The answer for a frame by itself, of which alpha is wanted; None where that takes a whole step of a large model.

        It says what the network saw, which ``remove`` need not ask again.
        """
        if not self._model.is_compact:
            return None
        looked = self._predict([frame])
        return replace(self._answer(frame, _FrameFill(self._model, looked, 0, None, 0.0)), looked=looked)

    def passed(self, frame: RemovalInput, state: RemoverState | None) -> RemoverState | None:
        """The state after ``frame``, where nobody asks for its fill: it goes through the network only where a carried latent

        starts anew.
        """
        if self._config.latent_warp == 0:
            return None
        if state is not None:
            carry = _carried(frame, state, state.carry.trust.device)
            if carry is not None and carry.age < self._config.anchor_frames:
                return RemoverState(carry, frame.crop)
        after: RemoverState | None = self.remove([frame], state)[1]
        return after

    def _predict(self, frames: Sequence[RemovalInput]) -> Looked:
        images = torch.cat([picture_to_tensor(frame.crop.cut_picture(frame.rgb)) for frame in frames])
        masks = torch.cat([mask_to_tensor(frame.crop.cut_mask(frame.hole)) for frame in frames])
        stride = self._model.record.stride
        size = (images.shape[2] // stride, images.shape[3] // stride)
        effects = all(frame.effects for frame in frames)
        prediction = self._model.predict(images, masks, self._noise(frames, size), effects=effects)
        return Looked(images.to(prediction.z.device), prediction)

    def _noise(self, frames: Sequence[RemovalInput], size: tuple[int, int]) -> Tensor:
        """One tile for the whole shot, or one a frame."""
        channels = self._model.record.latent_channels
        if self._config.noise == "shot":
            return noise_tile(self._seed, channels, size)
        return torch.cat(
            [noise_tile(self._seed + FRAME_SEED * (1 + frame.index), channels, size) for frame in frames]
        )

    def _advance(
        self,
        frame: RemovalInput,
        looked: Looked,
        index: int,
        state: RemoverState | None,
    ) -> tuple[_FrameFill, RemoverState | None]:
        """The fill of ``frame``, number ``index`` of those looked at, fused with what is carried to it, and what passes on.

        Only a frame from which it is carried on needs it whether or not anybody asks for the fill.
        """
        strength = self._config.latent_warp
        if strength == 0:
            return _FrameFill(self._model, looked, index, None, strength), None
        carry = None if state is None else _carried(frame, state, looked.prediction.z.device)
        before: Carry | Gathering | None = carry
        if before is None and self._config.gather and frame.witnesses is not None:
            before = Gathering(frame.crop, frame.witnesses(), self._model.encode)
        fill = _FrameFill(self._model, looked, index, before, strength)
        if carry is None or carry.age >= self._config.anchor_frames:
            carry = Carry.begin(fill.anchor())
        return fill, RemoverState(carry, frame.crop)

    def _answer(self, frame: RemovalInput, fill: _FrameFill) -> Removal:
        """The model's alpha back on the frame, and how to get its picture."""
        size_hw = frame.rgb.shape[0], frame.rgb.shape[1]

        def decode() -> FloatMap:
            return frame.crop.paste(fill.finished, size_hw)

        alpha = frame.crop.paste(fill.alpha[0, 0].cpu().numpy(), size_hw)
        return Removal(np.clip(alpha, 0, 1), decode, frame.crop.visible(size_hw))


@dataclass(frozen=True, eq=False)
class _FrameFill:
    """The fill of frame ``index`` of those looked at, worked out when first asked for.

    ``before`` is what was carried to it, or what others show of it.
    """

    model: RemovalModel
    looked: Looked
    index: int
    before: Carry | Gathering | None
    strength: float

    @property
    def prediction(self) -> Prediction:
        """That of all frames looked at."""
        return self.looked.prediction

    @property
    def image(self) -> Tensor:
        """The crop as it is, [1, 3, H, W]."""
        return self._of(self.looked.images)

    @cached_property
    def alpha(self) -> Tensor:
        """The model's alpha on the crop, [1, 1, H, W], whole where it makes anew what the mask has not."""
        logit = self._of(self.prediction.alpha_logit).sigmoid()
        found = raised(logit, self.image)
        added = self.prediction.added
        return found if added is None else torch.maximum(found, self._of(added))

    @cached_property
    @torch.inference_mode()
    def shown(self) -> Tensor:
        """The crop with its fill, [1, 3, H, W] in [0, 1]."""
        picture = self._decoded
        if self._filled.guess is not None:
            picture = (picture + detail_of(self._filled.guess, picture, self._hole)).clamp(0, 1)
        known, there = self._known, self.image
        if self._carried is None:
            picture = meet(picture, there, known)
        else:
            seen = self._carried.seen
            there = torch.where(known > 0, there, self._carried.picture)
            picture = meet(picture, there, torch.maximum(known, (seen > SURELY).float()))
            picture = torch.lerp(picture, self._carried.picture, seen * (1 - known))
        if not self.model.is_compact:
            return picture
        # Farther off the picture is the frame itself.
        near = in_pixels(box_around(self._changed, KEPT_CELLS), self.model.record.stride)
        picture = picture.clone()
        picture[near] = keep_detail(picture[near], self.image[near], self._hole[near], self.alpha[near])
        return picture

    @property
    def finished(self) -> FloatMap:
        """What is seen in the end, [H, W, 3]: as blurred by motion in the hole as around it, which is not carried on."""
        values = tensor_to_map(self.shown)
        if self._carried is None or self._carried.blur is None:
            return values
        known = tensor_to_map(self._known)
        return np.asarray(np.where(known > 0, values, blurred(values, self._carried.blur)), np.float32)

    @torch.inference_mode()
    def anchor(self) -> Anchor:
        """What later frames are carried from."""
        picture = torch.where(self._known > 0, self.image, self.shown)
        return Anchor(self.model.encode(self.shown), picture, self._known)

    @cached_property
    @torch.inference_mode()
    def _carried(self) -> Aligned | None:
        return None if self.before is None else self.before.aligned(self.image, self._known)

    @cached_property
    @torch.inference_mode()
    def _filled(self) -> Filled:
        return self.prediction.fill(self.index, self._carried)

    @cached_property
    @torch.inference_mode()
    def _z0(self) -> Tensor:
        """The clean latent, fused with the carried one, [1, C, h, w]."""
        if self._carried is None:
            return self._filled.z
        logit, mask = self._of(self.prediction.alpha_logit), self._of(self.prediction.mask)
        return fuse(self._filled.z, self._carried, torch.maximum(logit.sigmoid(), mask), self.strength)

    @cached_property
    @torch.inference_mode()
    def _decoded(self) -> Tensor:
        """The crop with its fill as the latent has it; where the fill changes nothing it may be the frame itself."""
        blended = blend(self._z0, self._of(self.prediction.z), self._cover)
        return self.model.decode_onto(self.image, blended, self._changed)

    @cached_property
    def _hole(self) -> Tensor:
        """The hole in use, [1, 1, H, W]."""
        return self._of(self.prediction.hole)

    @cached_property
    def _known(self) -> Tensor:
        """Where the crop shows no part of the object, nor of effects that are made anew, [1, 1, H, W]."""
        return 1 - grown(self._of(self.prediction.anew), RIM_PX)

    @cached_property
    def _cover(self) -> Tensor:
        """Alpha logit of alpha ∪ mask [1, 1, h, w]: where the user's mask is, the fill counts in full."""
        logit, mask = self._of(self.prediction.alpha_logit), self._of(self.prediction.mask)
        return torch.where(mask > 0, torch.full_like(logit, SURE), logit)

    @cached_property
    def _changed(self) -> Tensor:
        """Cells in which the fill counts, bool [1, 1, h, w]."""
        return self._cover.sigmoid() > LEAST_ALPHA

    def _of(self, values: Tensor) -> Tensor:
        return values[self.index : self.index + 1]


@torch.inference_mode()
def _carried(frame: RemovalInput, state: RemoverState, device: torch.device) -> Carry | None:
    """The carried latent one frame on; None where there is no way to it."""
    if frame.flow_back is None or state.crop.size_hw != frame.crop.size_hw:
        return None
    flow = cell_flow(frame.flow_back, frame.crop, state.crop, frame.rgb.shape[:2])
    return state.carry.to(device).moved(flow.to(device))


def cell_flow(flow_back: FloatMap, crop: Crop, last: Crop, size_hw: tuple[int, int]) -> Tensor:
    """Background flow on the crop's latent grid, in cells, [1, 2, h, w]; a moved crop is part of the motion.

    ``flow_back`` [H', W', 2] covers the frame ``size_hw`` on any grid, its values are in pixels of the frame.
    """
    grid = (crop.cell_places() * flow_back.shape[1::-1] / size_hw[::-1] - 0.5).astype(np.float32)
    pixels = cv2.remap(flow_back, grid, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    shift = np.array([crop.left - last.left, crop.top - last.top], np.float32)
    cells = (pixels + shift) / np.float32(CELL_PX / crop.scale)
    return torch.from_numpy(cells).permute(2, 0, 1)[None].contiguous()
