"""What a camera does to a pair: one exposure and one lens for both pictures, nearly one grain, one compression."""

from __future__ import annotations

import cv2
import numpy as np

from osor_video.tensors import FloatMap, Picture, to_uint8

COMPRESSED_SHARE = 0.4
QUALITY = (55, 95)
"""Of JPEG, whose blocks and chroma are those of a video's intra frames."""
MOST_GRAIN = 0.025
BYTES_DEVIATION = 104.5
"""Of the sum of two uniform bytes: 256 / sqrt(6)."""
OWN_GRAIN = 0.12
"""Grain that shot and clean do not share, over the grain that they do: two frames of one sensor after coding."""


def expose(pictures: list[FloatMap], random: np.random.Generator) -> list[FloatMap]:
    """The same exposure, white balance, contrast and focus for all [S, S, 3], clipped to [0, 1]."""
    gain = float(np.exp(random.normal(0, 0.15))) * np.exp(random.normal(0, 0.04, 3))
    gamma = float(np.exp(random.normal(0, 0.12)))
    focus_px = float(random.uniform(0.3, 1.0)) if random.random() < 0.35 else 0.0
    table = np.clip(gain[None] * (np.arange(256)[:, None] / 255) ** gamma, 0, 1).astype(np.float32)
    return [_focused(cv2.LUT(to_uint8(picture), table[:, None]), focus_px) for picture in pictures]


def _focused(picture: FloatMap, focus_px: float) -> FloatMap:
    return picture if focus_px == 0 else np.asarray(cv2.GaussianBlur(picture, (0, 0), focus_px), np.float32)


def sharpen(pictures: list[FloatMap], random: np.random.Generator) -> list[FloatMap]:
    """What cameras do to look sharp: unsharp masking of all [S, S, 3] alike, clipped to [0, 1]."""
    radius_px, amount = float(random.uniform(0.5, 1.3)), float(random.uniform(0.3, 2.0))
    return [
        np.clip(
            cv2.addWeighted(picture, 1 + amount, cv2.GaussianBlur(picture, (0, 0), radius_px), -amount, 0),
            0,
            1,
        )
        for picture in pictures
    ]


def record(pictures: list[FloatMap], random: np.random.Generator) -> list[Picture]:
    """Grain, rounding and compression: uint8 [S, S, 3] each, with one grain but for a small part."""
    sigma = float(random.uniform(0, MOST_GRAIN)) ** 2 / MOST_GRAIN
    coarse = random.random() < 0.4
    shape = pictures[0].shape
    grain = _grain(shape, sigma, coarse, random)
    quality = int(random.integers(*QUALITY)) if random.random() < COMPRESSED_SHARE else None
    noisy = []
    for picture in pictures:
        # The same grain moved far enough to be another.
        own = np.roll(grain, tuple(random.integers(8, 56, 2).tolist()), axis=(0, 1))
        noisy.append(to_uint8(picture + grain + np.float32(OWN_GRAIN) * own))
    return noisy if quality is None else [_compressed(picture, quality) for picture in noisy]


def _grain(shape: tuple[int, ...], sigma: float, coarse: bool, random: np.random.Generator) -> FloatMap:
    """Noise [S, S, 3] of deviation ``sigma``; ``coarse`` as after denoising."""
    # The sum of two uniform bytes has a bell's shape too, and takes a tenth of a normal variable's time.
    first, second = (
        np.frombuffer(random.bytes(int(np.prod(shape))), np.uint8).reshape(shape) for _ in range(2)
    )
    grain = cv2.addWeighted(first, 1.0, second, 1.0, -255.0, dtype=cv2.CV_32F) * np.float32(
        sigma / BYTES_DEVIATION
    )
    return np.asarray(1.6 * cv2.GaussianBlur(grain, (0, 0), 0.6) if coarse else grain, np.float32)


def _compressed(picture: Picture, quality: int) -> Picture:
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), np.uint8)
