"""The maths of one OSOR step, shared by every backbone (OSOR, arXiv 2606.28094; DDPM, arXiv 2006.11239).

Convention: ``z`` [B, C, h, w] scaled latents, ``abar`` the cumulative product of 1 - beta at the timestep,
``mask`` [B, 1, H, W] of zeros and ones.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from kornia.filters import gaussian_blur2d
from torch import Tensor
from torch.nn import functional as F

from osor_video.removal.record import PredictionType

RIM_PX = 2
SURE = 20.0
"""A logit whose sigmoid is 1, and whose opposite's is 0, to float32's last digit but one."""
RELAXATIONS = 8
"""Sweeps a level: the levels below have settled what is wide."""
SMALLEST_WEIGHT = 1e-6
DETAIL_PX = 3
"""What is finer than this counts as detail that an effect leaves as it is."""
SURROUNDINGS_PX = 12
"""How far the surroundings reach whose detail an effect's place may have."""
LENT_PX = 2
"""What is finer counts as detail, which a fill takes from its first guess."""
LEAST_DETAIL = 1e-6
"""A quarter of a step of 8 bits, squared."""


def latent_mask(mask: Tensor, stride: int) -> Tensor:
    """[B, 1, H, W] -> [B, 1, h, w]: a latent cell is masked when any of its pixels is (max pooling)."""
    if mask.shape[-2] % stride or mask.shape[-1] % stride:
        raise ValueError(f"mask sides must be multiples of {stride}, got {tuple(mask.shape[-2:])}")
    return F.max_pool2d(mask, kernel_size=stride, stride=stride)


def noise_tile(seed: int, channels: int, size_hw: tuple[int, int]) -> Tensor:
    """Unit normal noise [1, C, h, w] that depends on the arguments alone: one tile serves a whole shot."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((1, channels, *size_hw), generator=generator)


def add_noise(z: Tensor, eps: Tensor, abar: float) -> Tensor:
    """z_t = sqrt(abar) z + sqrt(1 - abar) eps (DDPM, eq. 4)."""
    return math.sqrt(abar) * z + math.sqrt(1 - abar) * eps


def predict_x0(
    z_t: Tensor, out: Tensor, abar: float, prediction_type: PredictionType, start: Tensor
) -> Tensor:
    """The clean latent that a model's output implies; ``z_t`` is ``start`` with noise.

    OSOR starts from the frame's latent, a residual model from the latent of the frame with its hole interpolated.

    epsilon:       z0 = (z_t - sqrt(1 - abar) out) / sqrt(abar)      (DDPM, eq. 15)
    v_prediction:  z0 = sqrt(abar) z_t - sqrt(1 - abar) out          (arXiv 2202.00512, appendix D)
    residual:      z0 = start + out
    """
    if prediction_type == "residual":
        return start + out
    signal, noise = math.sqrt(abar), math.sqrt(1 - abar)
    if prediction_type == "epsilon":
        return (z_t - noise * out) / signal
    return signal * z_t - noise * out


def interpolate_noise(z: Tensor, eps: Tensor, t: float) -> Tensor:
    """z_t = (1 - t) z + t eps, the straight path of rectified flow (arXiv 2209.03003, eq. 1)."""
    return (1 - t) * z + t * eps


def predict_x0_from_velocity(z_t: Tensor, velocity: Tensor, t: float) -> Tensor:
    """z0 = z_t - t v, with v = eps - z along that path."""
    return z_t - t * velocity


def interpolate_hole(image: Tensor, mask: Tensor) -> Tensor:
    """``image`` [B, C, H, W] with the pixels of ``mask`` [B, 1, H, W] interpolated from those around them.

    The mask is widened by ``RIM_PX``: an edge is mixed with what lies behind it. The harmonic equation is solved from
    coarse to fine: each level starts from the level of half its size and is relaxed a few times, each pixel of the hole
    towards the mean of its four neighbours. A mask without a border gives zeros.
    """
    known = 1 - grown(mask, RIM_PX)
    levels = [(image * known, known)]
    while max(levels[-1][0].shape[-2:]) > 1:
        levels.append(tuple(halved(part) for part in levels[-1]))
    values, weight = levels.pop()
    filled = values / weight.clamp(min=SMALLEST_WEIGHT)
    for values, weight in reversed(levels):
        seen, measured = weight > 0, values / weight.clamp(min=SMALLEST_WEIGHT)
        filled = torch.where(seen, measured, raised(filled, values))
        # What is seen stays: only the box of what is not takes part.
        box = box_around(~seen, 1)
        seen, measured, relaxed = seen[box], measured[box], filled[box]
        for _ in range(RELAXATIONS):
            relaxed = torch.where(seen, measured, _mean_of_neighbours(relaxed))
        filled[box] = relaxed
    return filled


def raised(x: Tensor, like: Tensor) -> Tensor:
    """A coarse map [B, C, h, w] on the grid of ``like`` [B, D, H, W]."""
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


def box_around(places: Tensor, margin: int) -> tuple[slice, ...]:
    """The box of all true ``places`` [B, 1, H, W] with ``margin`` more around it, as an index; the first place without any."""
    sides = []
    for dims, count in zip(((0, 1, 3), (0, 1, 2)), places.shape[2:], strict=True):
        found = places.amax(dim=dims).nonzero()[:, 0].tolist() or [0]
        sides.append(slice(max(found[0] - margin, 0), min(found[-1] + 1 + margin, count)))
    return slice(None), slice(None), *sides


def in_pixels(
    box: tuple[slice, ...], stride: int, within: tuple[slice, ...] | None = None
) -> tuple[slice, ...]:
    """A ``box`` of cells as one of pixels, of the whole picture or of the part of it that the box ``within`` shows."""
    starts = (0, 0) if within is None else [side.start for side in within[2:]]
    sides = zip(box[2:], starts, strict=True)
    return *box[:2], *(
        slice((side.start - start) * stride, (side.stop - start) * stride) for side, start in sides
    )


def halved(part: Tensor) -> Tensor:
    """[B, C, H, W] at half the size, the last row or column of an odd side by itself."""
    return F.avg_pool2d(part, 2, ceil_mode=True, count_include_pad=False)


def _mean_of_neighbours(values: Tensor) -> Tensor:
    padded = F.pad(values, (1, 1, 1, 1), mode="replicate")
    upright = padded[..., :-2, 1:-1] + padded[..., 2:, 1:-1]
    return (upright + padded[..., 1:-1, :-2] + padded[..., 1:-1, 2:]) / 4


def blend(z0: Tensor, z: Tensor, alpha_logit: Tensor) -> Tensor:
    """z_out = alpha z0 + (1 - alpha) z with alpha = sigmoid(alpha_logit) [B, 1, h, w] (OSOR, phase 2)."""
    alpha = alpha_logit.sigmoid()
    return alpha * z0 + (1 - alpha) * z


def detail_of(guess: Tensor, made: Tensor, hole: Tensor) -> Tensor:
    """What ``made`` [B, 3, H, W], a decoded picture, lacks of the fine detail of the ``guess`` that it began with.

    In the ``hole`` [B, 1, H, W] of 0 and 1 it is guess - made - lowpass(guess - made): low frequencies are the network's, high
    ones those of real patches.
    """
    apart = guess - made
    return grown(hole, RIM_PX) * (apart - _lowpass(apart, LENT_PX))


def meet(made: Tensor, there: Tensor, known: Tensor) -> Tensor:
    """``made`` [B, 3, H, W], shifted smoothly to be as light, and of the colour, as what is ``there`` around it.

    The membrane of Farbman et al. ("Coordinates for Instant Image Cloning", SIGGRAPH 2009): the difference where ``known``
    [B, 1, H, W] is 1, interpolated where it is 0.
    """
    if bool((known > 0).all()):
        return made
    shifted = made + interpolate_hole(there - made, 1 - known)
    return torch.where(known > 0, made, shifted).clamp(0, 1)


def keep_detail(filled: Tensor, image: Tensor, hole: Tensor, alpha: Tensor) -> Tensor:
    """``filled`` [B, 3, H, W] with the fine detail of ``image`` [B, 3, H, W] outside the ``hole`` [B, 1, H, W] of 0 and 1.

    A shadow or a sheen changes how bright a place is and what colour it has, and leaves its texture: beyond the object the
    picture becomes ``image`` + lowpass(``filled`` - ``image``), which a small autoencoder's softness does not reach. A
    reflection brings detail of its own: where ``image`` has more of it than the surroundings that ``alpha``
    [B, 1, H, W] leaves alone, only their share is kept. The low pass is a normalised convolution (Knutsson and Westin,
    1993): what lies in the hole does not run out of it.
    """
    outside = 1 - grown(hole, RIM_PX - 1)
    nearby = _lowpass(outside, DETAIL_PX).clamp(min=SMALLEST_WEIGHT)
    change = _lowpass((filled - image) * outside, DETAIL_PX) / nearby
    detail = (image - _lowpass(image, DETAIL_PX)).square().mean(dim=1, keepdim=True)
    here = _lowpass(detail * outside, DETAIL_PX) / nearby
    untouched = outside * (1 - alpha).square()
    around = _lowpass(detail * untouched, SURROUNDINGS_PX)
    around = around / _lowpass(untouched, SURROUNDINGS_PX).clamp(min=SMALLEST_WEIGHT)
    native = ((around + LEAST_DETAIL) / (here + LEAST_DETAIL)).clamp(max=1)
    share = outside * nearby.clamp(max=1) * native
    return share * (image + change).clamp(0, 1) + (1 - share) * filled


def grown(mask: Tensor, radius_px: int) -> Tensor:
    """``mask`` [B, 1, H, W] of 0 and 1, wider by ``radius_px`` along rows, columns and diagonals."""
    size = 2 * radius_px + 1
    if mask.device.type == "cpu":  # OpenCV needs a tenth of torch's time.
        square, planes = np.ones((size, size), np.uint8), mask.detach().float().numpy()[:, 0]
        wider = np.stack([cv2.dilate(plane, square) for plane in planes])
        return torch.from_numpy(wider)[:, None].to(mask.dtype)
    # Along one side after the other, the same in a fraction of the time.
    along = F.max_pool2d(mask, (1, size), stride=1, padding=(0, radius_px))
    return F.max_pool2d(along, (size, 1), stride=1, padding=(radius_px, 0))


def _lowpass(values: Tensor, sigma: int) -> Tensor:
    size = 4 * sigma + 1
    return gaussian_blur2d(values, (size, size), (sigma, sigma), border_type="reflect")
