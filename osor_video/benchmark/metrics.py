"""Figures of one result against the truth, gathered frame by frame.

Convention: pictures are uint8 [H, W, 3] RGB, masks bool [H, W]; levels are those of 8 bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
import torch
from kornia.metrics import ssim
from torch.nn import functional as F

from osor_video.flow.estimate import DisFlow
from osor_video.flow.warp import validity, warp
from osor_video.masks.features import RecognitionFeatures
from osor_video.shapes import dilate
from osor_video.tensors import FloatMap, Mask, Picture, picture_to_tensor, resize_flow

SSIM_WINDOW = 11
EFFECT_LEVELS = 8.0
"""Where shot and clean plate differ by more than this, the object has an effect."""
EFFECT_BLUR_PX = 1.5
OUTSIDE_PX = 12
"""Distance from hole and effect at which nothing should have changed: holes are widened and feathered."""
FLOW_HEIGHT_PX = 256
COARSE_PX = 2.0
"""Sigma of the average that leaves a seventh of white grain."""
HALF_CELL = 0.5
OBJECT_MARGIN_PX = 3
"""Width around the true mask that counts as the object's edge, not as an effect."""
LOSSLESS_DB = 99.0
"""Stands for the PSNR of equal pictures."""


@dataclass(frozen=True)
class Scores:
    """A result against the clean plate; NaN where a clip has no such pixels."""

    psnr_hole: float
    """dB, all pixels of all true masks pooled."""
    ssim_hole: float
    """Mean of the SSIM map over the true masks."""
    temporal_error: float
    """Mean |change of result - change of plate| from frame to frame in the hole, in levels; 0 = as steady."""
    coarse_error: float
    """The same of the changes averaged over about ``COARSE_PX``: grain is too fine to be in it, what flickers or swims is."""
    psnr_effect: float
    """dB where the object's shadow or reflection lay."""
    psnr_effect_untouched: float
    """The same for the shot itself: what leaving the effect as it is would score."""
    ssim_effect: float
    """Mean of the SSIM map there."""
    temporal_error_effect: float
    """As ``temporal_error``, there."""
    warping_error: float
    """Mean |result - result before, brought over by the plate's own flow| in the hole, in levels: what flickers or slides."""
    warping_error_truth: float
    """The same of the plate, its grain: a result far below it is frozen, far above it flickers."""
    psnr_outside: float
    """dB against the shot, away from hole and effect."""
    feature_distance: float = math.nan
    """Mean of 1 - cosine between result's and plate's recognition features (masks/features.py), over the cells of 8 x 8 pixels
    that lie in the hole by half."""
    feature_change: float = math.nan
    """Mean length of (change of the result's features - change of the plate's) there from frame to frame, after the temporal
    consistency of features that video inpainting is judged by: 0 = recognised as steadily as the plate."""


class Scorer:
    """Gathers ``Scores`` over a clip; memory does not grow with it. With ``features`` those of features, too."""

    def __init__(self, features: RecognitionFeatures | None = None) -> None:
        self._hole, self._ssim, self._temporal = _Mean(), _Mean(), _Mean()
        self._effect, self._untouched = _Mean(), _Mean()
        self._ssim_effect, self._temporal_effect, self._outside = _Mean(), _Mean(), _Mean()
        self._warping, self._warping_truth, self._coarse = _Mean(), _Mean(), _Mean()
        self._unlike, self._swimming = _Mean(), _Mean()
        self._features = features
        self._last_cells: tuple[FloatMap, FloatMap] | None = None
        self._flow = DisFlow(FLOW_HEIGHT_PX)
        self._last: tuple[Picture, Picture] | None = None

    def add(self, shot: Picture, clean: Picture, mask: Mask, result: Picture) -> None:
        """One more frame, in order."""
        error, effect = squared_error(result, clean), effect_region(shot, clean, mask)
        self._hole.add(error[mask])
        self._effect.add(error[effect])
        self._untouched.add(squared_error(shot, clean)[effect])
        self._outside.add(squared_error(result, shot)[~dilate(mask | effect, OUTSIDE_PX)])
        if mask.any() or effect.any():
            similar = ssim_map(result, clean)
            self._ssim.add(similar[mask])
            self._ssim_effect.add(similar[effect])
        if self._last is not None:
            before, clean_before = self._last
            change = temporal_error(before, result, clean_before, clean)
            self._temporal.add(change[mask])
            self._temporal_effect.add(change[effect])
            self._coarse.add(coarse_error(before, result, clean_before, clean, mask)[mask])
            self._add_warping(before, result, clean_before, clean, mask)
        self._last = result, clean
        if self._features is not None:
            self._add_features(self._features, result, clean, mask)

    def _add_features(
        self, features: RecognitionFeatures, result: Picture, clean: Picture, mask: Mask
    ) -> None:
        cells = _cells(features, result), _cells(features, clean)
        where = (
            cv2.resize(mask.astype(np.float32), cells[0].shape[1::-1], interpolation=cv2.INTER_AREA)
            > HALF_CELL
        )
        self._unlike.add(1 - (cells[0] * cells[1]).sum(axis=2)[where])
        if self._last_cells is not None:
            own, true = (now - before for now, before in zip(cells, self._last_cells, strict=True))
            self._swimming.add(np.linalg.norm(own - true, axis=2)[where])
        self._last_cells = cells

    def _add_warping(
        self, before: Picture, result: Picture, clean_before: Picture, clean: Picture, mask: Mask
    ) -> None:
        if not mask.any():
            return
        flow = self._flow.match(self._flow.encode(clean_before), self._flow.encode(clean))
        back = resize_flow(flow.backward, mask.shape)
        trusted = F.interpolate(validity(flow.backward, flow.forward), size=mask.shape)[0, 0].numpy() > 0
        where = mask & trusted
        for total, last, now in (
            (self._warping, before, result),
            (self._warping_truth, clean_before, clean),
        ):
            moved = 255 * warp(picture_to_tensor(last), back)[0].permute(1, 2, 0).numpy()
            total.add(np.asarray(np.abs(now - moved).mean(axis=2), np.float32)[where])

    def scores(self) -> Scores:
        """The figures over all frames so far."""
        return Scores(
            psnr(self._hole.value),
            self._ssim.value,
            self._temporal.value,
            self._coarse.value,
            psnr(self._effect.value),
            psnr(self._untouched.value),
            self._ssim_effect.value,
            self._temporal_effect.value,
            self._warping.value,
            self._warping_truth.value,
            psnr(self._outside.value),
            self._unlike.value,
            self._swimming.value,
        )


class _Mean:
    """Mean of all values added; NaN of none."""

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0

    def add(self, values: FloatMap) -> None:
        self._sum += float(values.sum(dtype=np.float64))
        self._count += values.size

    @property
    def value(self) -> float:
        return self._sum / self._count if self._count else math.nan


def psnr(mean_squared_error: float) -> float:
    """dB for a mean squared error in levels; NaN stays NaN."""
    if mean_squared_error == 0:
        return LOSSLESS_DB
    return 10 * math.log10(255.0**2 / mean_squared_error)


def squared_error(a: Picture, b: Picture) -> FloatMap:
    """Mean over the channels of the squared difference, [H, W]."""
    return np.asarray(((a.astype(np.float32) - b.astype(np.float32)) ** 2).mean(axis=2))


def ssim_map(a: Picture, b: Picture) -> FloatMap:
    """Structural similarity around each pixel (Wang et al. 2004), mean of the channels, [H, W]."""
    with torch.inference_mode():
        values = ssim(picture_to_tensor(a), picture_to_tensor(b), SSIM_WINDOW)
    return np.asarray(values[0].mean(dim=0).numpy(), dtype=np.float32)


def temporal_error(last: Picture, result: Picture, last_clean: Picture, clean: Picture) -> FloatMap:
    """|(result - last) - (clean - last_clean)|, mean of the channels, [H, W], in levels."""
    return np.asarray(np.abs(_change_apart(last, result, last_clean, clean)).mean(axis=2))


def _change_apart(last: Picture, result: Picture, last_clean: Picture, clean: Picture) -> FloatMap:
    """(result - last) - (clean - last_clean), [H, W, 3]."""
    r1, r0, c1, c0 = (picture.astype(np.float32) for picture in (result, last, clean, last_clean))
    return np.asarray((r1 - r0) - (c1 - c0))


def coarse_error(last: Picture, result: Picture, last_clean: Picture, clean: Picture, mask: Mask) -> FloatMap:
    """As ``temporal_error``, of the differences averaged over their surroundings within ``mask``: a normalised convolution."""
    share = mask.astype(np.float32)
    total = cv2.GaussianBlur(
        _change_apart(last, result, last_clean, clean) * share[..., None], (0, 0), COARSE_PX
    )
    share = np.maximum(cv2.GaussianBlur(share, (0, 0), COARSE_PX), 1e-6)
    return np.asarray(np.abs(total / share[..., None]).mean(axis=2))


def _cells(features: RecognitionFeatures, picture: Picture) -> FloatMap:
    """Unit vectors [h, w, C] of a picture's cells, its sides rounded to whole ones."""
    height, width = (max(16, round(side / 16) * 16) for side in picture.shape[:2])
    scaled = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(features.encode(np.ascontiguousarray(scaled)).permute(1, 2, 0).numpy())


def effect_region(shot: Picture, clean: Picture, mask: Mask) -> Mask:
    """Where the object changes the picture without being there: shadow and reflection, bool [H, W]."""
    blurred = [
        cv2.GaussianBlur(picture.astype(np.float32), (0, 0), EFFECT_BLUR_PX) for picture in (shot, clean)
    ]
    change = np.abs(blurred[0] - blurred[1]).mean(axis=2)
    return np.asarray((change > EFFECT_LEVELS) & ~dilate(mask, OBJECT_MARGIN_PX))


def outside_difference(shot: Picture, result: Picture, alpha: npt.NDArray[np.float32]) -> int:
    """Largest difference in levels where ``alpha`` [H, W] is zero; 0 before encoding."""
    outside = alpha == 0
    if not outside.any():
        return 0
    return int(np.abs(shot.astype(np.int16) - result.astype(np.int16))[outside].max())
