"""Pictures of what a model does, to be looked at: grids of validation pairs, a sheet of real photographs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from osor_video.apps.pictures import GAP_PX, side_by_side, write_png
from osor_video.background.effects import join_effects
from osor_video.composite.fill import make_fill
from osor_video.config import Config
from osor_video.masks.track import hole
from osor_video.removal.crop import bounding_box
from osor_video.removal.model import OsorModel
from osor_video.removal.remover import OneStepRemover, RemovalInput
from osor_video.tensors import FloatMap, Mask, Picture, to_uint8
from osor_video.training.folders import partners_of, pictures_of, read_mask
from osor_video.training.photos import read_picture
from osor_video.training.validate import PairSet, remove

SHEET_WIDTH_PX = 384
GRID_PAIRS = 8


def grids(model: OsorModel, pair_set: PairSet, count: int) -> Iterator[Picture]:
    """Sheets of eight of the first ``count`` pairs: shot, mask, alpha, result, Telea, PatchMatch, clean."""
    for start in range(0, min(count, len(pair_set.pairs)), GRID_PAIRS):
        rows = []
        for pair, fills in list(zip(pair_set.pairs, pair_set.fills, strict=True))[start : start + GRID_PAIRS]:
            (answer,) = remove(model, pair.shot, [pair.mask])
            ours = [pair.shot, _grey(pair.mask), _grey(answer.alpha), to_uint8(answer.rgb)]
            rows.append([*ours, fills["telea"], fills["patchmatch"], pair.clean])
        yield stacked(rows, rows[0][0].shape[1])


def write_sheet(model_folder: Path, pairs_folder: Path, out: Path, config: Config) -> int:
    """Write ``out``, a row for each of ``pairs_folder``/image/NAME: input, mask, alpha, result; returns how many.

    ``pairs_folder``/mask holds the object's masks under the same names. Raises ConfigError for folders that do not
    fit each other, MaskError for a mask that does not fit its picture or is empty.
    """
    images = pictures_of(pairs_folder / "image")
    masks = partners_of(images, pairs_folder / "mask")
    model = OsorModel.from_folder(model_folder)
    rows = []
    for name, path in images.items():
        picture = read_picture(path)
        mask = read_mask(masks[name], path, picture)
        alpha, result = remove_from_still(model, picture, mask, config)
        rows.append([picture, _grey(mask), _grey(alpha), result])
    write_png(out, stacked(rows, SHEET_WIDTH_PX))
    return len(rows)


def remove_from_still(
    model: OsorModel, picture: Picture, mask: Mask, config: Config
) -> tuple[FloatMap, Picture]:
    """(the model's alpha [H, W], the picture without the object): a removal as in a clip of one frame.

    ``mask`` [H, W] is not empty. It is widened, the crop planned and the fill matched to its surroundings as ``config`` says.
    """
    size_hw = picture.shape[0], picture.shape[1]
    grown, core = hole(mask, config.mask.grow), hole(mask, config.mask.core_grow)
    remover = OneStepRemover(model, config.removal, config.seed)
    (crop,) = remover.plan([bounding_box(grown)], [(0, 0)], size_hw)
    assert crop is not None  # the mask is not empty
    (answer,), _ = remover.remove([RemovalInput(picture, core, crop, None)], None)
    effect = join_effects(grown, None, answer.alpha, config.effects, answer.box)
    fill = make_fill(picture, grown, None, effect, answer, config.composite)
    top, left, bottom, right = fill.box
    result = picture.copy()
    shown = picture[top:bottom, left:right].astype(np.float32) / 255
    alpha = fill.alpha[..., None]
    result[top:bottom, left:right] = to_uint8(alpha * fill.rgb + (1 - alpha) * shown)
    return answer.alpha, result


def stacked(rows: Sequence[Sequence[Picture]], width_px: int) -> Picture:
    """Rows of pictures, each ``width_px`` wide at its own aspect, with white gaps; a row's pictures are of one size."""
    lines = []
    for row in rows:
        height_px = round(row[0].shape[0] * width_px / row[0].shape[1])
        gap = np.full((GAP_PX, len(row) * (width_px + GAP_PX) - GAP_PX, 3), 255, np.uint8)
        sized = [
            np.asarray(cv2.resize(picture, (width_px, height_px), interpolation=cv2.INTER_AREA), np.uint8)
            for picture in row
        ]
        lines += [gap, side_by_side(*sized)]
    return np.concatenate(lines[1:])


def _grey(values: FloatMap | Mask) -> Picture:
    """[H, W] in [0, 1] as a grey picture [H, W, 3]."""
    return np.repeat(to_uint8(values.astype(np.float32))[..., None], 3, axis=2)
