"""The README's picture: a few frames of a clip, before, with the mask, and after."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from osor_video.benchmark.cases import pictures_of
from osor_video.errors import VideoError
from osor_video.tensors import Mask, Picture

GAP_PX = 4
TINT = np.array([255, 40, 60], np.float32)
LEVELS = 40
"""Levels a channel: fewer make a PNG of photographs half as large, and at this size nobody sees it."""


def make_strip(clip: Path, masks: Path, result: Path, frames: Sequence[int], width_px: int) -> Picture:
    """Rows before, mask and after; a column for each of ``frames``, ``width_px`` wide. RGB [H, W, 3].

    ``masks`` is a folder of 00000.png and so on, or a video, white = object.
    """
    before, after = chosen_frames(clip, frames), chosen_frames(result, frames)
    covered = [tinted(shot, mask) for shot, mask in zip(before, _chosen_masks(masks, frames), strict=True)]
    return np.concatenate(
        [
            part
            for row in (before, covered, after)
            for part in (_gap_row(len(frames), width_px), _row(row, width_px))
        ]
    )[GAP_PX:]


def chosen_frames(path: Path, frames: Sequence[int]) -> list[Picture]:
    """Pictures of the frames with these numbers, in their order; VideoError where one is missing."""
    wanted = set(frames)
    found = {index: picture for index, picture in enumerate(pictures_of(path)) if index in wanted}
    for frame in frames:
        if frame not in found:
            raise VideoError(f"{path} has no frame {frame}. Choose others with --frames.")
    return [found[frame] for frame in frames]


def tinted(picture: Picture, mask: Mask) -> Picture:
    """The picture with the mask laid over it in half-clear red."""
    mixed = picture.astype(np.float32)
    mixed[mask] = mixed[mask] * 0.4 + TINT * 0.6
    return np.rint(mixed).astype(np.uint8)


def _chosen_masks(masks: Path, frames: Sequence[int]) -> list[Mask]:
    if not masks.is_dir():
        return [np.asarray(picture[..., 1] > 127) for picture in chosen_frames(masks, frames)]
    found = []
    for frame in frames:
        path = masks / f"{frame:05d}.png"
        if not path.is_file():
            raise VideoError(f"{path} does not exist. Write the masks with remove --masks-out {masks}.")
        stored = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_GRAYSCALE)
        if stored is None:
            raise VideoError(f"{path} is not a readable picture. Write the masks anew with --masks-out.")
        found.append(np.asarray(stored > 127))
    return found


def _row(pictures: Sequence[Picture], width_px: int) -> Picture:
    parts: list[Picture] = []
    for picture in pictures:
        size = width_px, round(picture.shape[0] * width_px / picture.shape[1])
        small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
        coarse = np.rint(small / 255.0 * (LEVELS - 1)) * (255.0 / (LEVELS - 1))
        parts += [np.full((size[1], GAP_PX, 3), 255, np.uint8), np.rint(coarse).astype(np.uint8)]
    return np.concatenate(parts[1:], axis=1)


def _gap_row(count: int, width_px: int) -> Picture:
    return np.full((GAP_PX, count * (width_px + GAP_PX) - GAP_PX, 3), 255, np.uint8)
