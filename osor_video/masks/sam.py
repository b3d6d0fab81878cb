"""SAM2 (Ravi et al., "SAM 2: Segment Anything in Images and Videos", arXiv 2408.00714) through transformers' video classes.

An option: the package is the extra ``sam``, the weights are the user's. What is used of the paper is the model of section 4:
the image encoder, the memory of past frames, the prompt encoder (boxes, points and masks) and the mask decoder with its two
opinions of itself, the predicted intersection over union and the occlusion score. Nothing of section 5's data engine is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from logging import ERROR, getLogger
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor

from osor_video.errors import ConfigError, MaskError, WeightsError
from osor_video.tensors import FloatMap, Mask, Picture

MODEL_TYPE = "sam2_video"
"""What ``config.json`` has to say of itself: the image-only models lack the memory."""
OBJECT = 1
"""Number of the one object that a session follows."""


@dataclass(frozen=True)
class Sighting:
    """What SAM2 sees in one frame: ``logits`` float32 [H, W], object where positive; the opinions in [0, 1]."""

    logits: FloatMap
    presence: float
    """Sigmoid of the occlusion score: whether the object is in the frame at all."""
    quality: float
    """Intersection over union that the decoder predicts for its mask."""


class Sam2:
    """A loaded SAM2 video model: sessions are begun, prompted on their first frame, and shown frame after frame."""

    def __init__(self, model: Any, processor: Any, device: torch.device) -> None:
        self._model = model.eval().requires_grad_(False).to(device)
        self._processor = processor
        self._device = device
        # The video classes keep the decoder's predicted overlap to themselves, and older ones the occlusion score.
        self._model.mask_decoder.register_forward_hook(self._note_opinions)

    @property
    def memory_frames(self) -> int:
        """Frames whose encoded masks a frame attends to, the prompted one included (N of section 4, "memory bank")."""
        return int(self._model.config.num_maskmem)

    @property
    def pointer_frames(self) -> int:
        """Frames whose object pointers it attends to, the prompted one included."""
        return int(self._model.config.max_object_pointers_in_encoder)

    def begin(self, size_hw: tuple[int, int], **prompt: Any) -> Any:
        """A session over frames of ``size_hw`` whose first one is prompted.

        ``prompt`` as transformers' ``add_inputs_to_inference_session`` takes it, in pixels of the frame: ``input_masks``
        [H, W], or ``input_boxes`` [1, 1, 4] (left, top, right, bottom) and ``input_points`` [1, 1, N, 2] (x, y) with
        ``input_labels`` [1, 1, N] (1 = object, 0 = not).
        """
        session = self._processor.init_video_session(
            inference_device=self._device, max_vision_features_cache_size=1, dtype=torch.float32
        )
        self._processor.add_inputs_to_inference_session(
            session, frame_idx=0, obj_ids=OBJECT, original_size=size_hw, **prompt
        )
        return session

    @torch.inference_mode()
    def look(self, session: Any, picture: Picture) -> Sighting:
        """Find the session's object in its next frame, uint8 [H, W, 3]."""
        pixels = self._processor(images=picture, return_tensors="pt")["pixel_values"]
        seen = self._model(inference_session=session, frame=pixels[0].to(self._device))
        logits = self._processor.post_process_masks([seen.pred_masks], [picture.shape[:2]], binarize=False)[0]
        return Sighting(
            logits[0, 0].float().cpu().numpy(),
            float(self._presence.sigmoid()),
            float(self._quality.max().clamp(0, 1)),
        )

    def _note_opinions(self, _decoder: Any, _given: Any, made: tuple[Tensor, ...]) -> None:
        # Of several candidates the model takes the one with the highest prediction, and so do we.
        _, self._quality, _, self._presence = made


def sam_cut_out(
    picture: Picture,
    sam2: Sam2,
    *,
    box_xywh: tuple[int, int, int, int] | None = None,
    inside_xy: Sequence[tuple[int, int]] = (),
    outside_xy: Sequence[tuple[int, int]] = (),
) -> Mask:
    """The object that a box (x, y, width, height) or points (x, y) mark on ``picture`` [H, W, 3] -> bool [H, W].

    All in pixels; ``inside_xy`` lie on the object, ``outside_xy`` beside it; box and points may come together. A picture is a
    video of one frame to SAM2, with an empty memory (section 4). MaskError where it is given nothing that is inside, and
    where it finds nothing.
    """
    if box_xywh is None and not inside_xy:
        raise MaskError("SAM2 is given no box and no point on the object, expected one of them.")
    prompt: dict[str, Any] = {}
    if box_xywh is not None:
        x, y, width, height = box_xywh
        prompt["input_boxes"] = [[[x, y, x + width, y + height]]]
    points = [*inside_xy, *outside_xy]
    if points:
        prompt["input_points"] = [[[list(point) for point in points]]]
        prompt["input_labels"] = [[[1] * len(inside_xy) + [0] * len(outside_xy)]]
    found: Mask = sam2.look(sam2.begin(picture.shape[:2], **prompt), picture).logits > 0
    if not found.any():
        where = f"the box {','.join(map(str, box_xywh))}" if box_xywh else f"the points {list(inside_xy)}"
        raise MaskError(
            f"SAM2 finds no object at {where}. Mark it closer, paint a mask, or give --set mask.seed=grabcut."
        )
    return found


@lru_cache(maxsize=1)
def open_sam2(name: str, device: str = "cpu") -> Sam2:
    """The model ``name``: a folder, or a name on the hub that is read from the cache, else fetched; float32.

    The last one stays loaded, for the tracker and the outline of the first frame are often drawn by the same. ConfigError
    without transformers; WeightsError where the weights are not to be had, of another kind, or not whole.
    """
    try:
        from transformers import (  # noqa: PLC0415  (takes seconds to import; not everybody has it)
            Sam2VideoConfig,
            Sam2VideoModel,
            Sam2VideoProcessor,
            logging,
        )
    except ImportError as error:
        raise ConfigError(
            "SAM2 needs the package transformers, 4.56 or newer: install osor-video[sam], or leave mask.tracker and "
            "mask.seed as they are."
        ) from error
    logging.disable_progress_bar()
    # Without a network it would announce five retries; the error below says it once.
    getLogger("huggingface_hub").setLevel(ERROR)

    def read(local: bool) -> Sam2:
        settings, _ = Sam2VideoConfig.get_config_dict(name, local_files_only=local)
        kind = settings.get("model_type")
        if kind is None:
            raise OSError("no config.json that names the kind of model")
        if kind != MODEL_TYPE:
            raise WeightsError(
                f"{name} holds a model of the kind {kind!r}, expected {MODEL_TYPE!r}. Give the "
                "folder or the name of a SAM2 video model, such as facebook/sam2.1-hiera-small."
            )
        processor = Sam2VideoProcessor.from_pretrained(name, local_files_only=local)
        model, told = Sam2VideoModel.from_pretrained(
            name, dtype=torch.float32, output_loading_info=True, local_files_only=local
        )
        # transformers would make up what it lacks.
        if lacking := sorted(told["missing_keys"]):
            raise WeightsError(
                f"The SAM2 weights of {name} lack {len(lacking)} tensors, the first {lacking[0]}. Give the whole file."
            )
        return Sam2(model, processor, torch.device(device))

    return _first_readable(name, read)


def _first_readable(name: str, read: Callable[[bool], Sam2]) -> Sam2:
    """Read a folder; a name from the cache, so that nothing is asked of the network in vain, then from the hub."""
    folder = Path(name).is_dir()
    for local in (True,) if folder else (True, False):
        try:
            return read(local)
        except (OSError, ValueError, TypeError, KeyError, RuntimeError, SafetensorError) as error:
            cause = error
    reason = " ".join(str(cause).split("\n")[0].split())
    if folder:
        raise WeightsError(
            f"The folder {name} holds no readable SAM2 video model ({reason}). Expected config.json, model.safetensors "
            "and the processor's settings, as on the hub."
        ) from cause
    raise WeightsError(
        f"The SAM2 weights {name} are no folder, not in the hub's cache, and cannot be fetched ({reason}). Fetch them "
        "where there is a network (hf download facebook/sam2.1-hiera-small --local-dir FOLDER) and give "
        "--set mask.sam2_model=FOLDER."
    ) from cause
