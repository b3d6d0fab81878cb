"""Figures and pictures of a model folder on photographs and objects that training never saw."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch.nn import functional as F

from osor_video.removal.model import OsorModel
from osor_video.removal.step import blend, noise_tile
from osor_video.tensors import FloatMap, Mask, Picture, mask_to_tensor, picture_to_tensor, tensor_to_picture
from osor_video.training.bad_masks import choose_kind, spoil_mask
from osor_video.training.cutouts import load_cutouts
from osor_video.training.losses import psnr_db
from osor_video.training.pairs import Pair, make_pair
from osor_video.training.photos import list_photos, random_crop, read_photo, split_photos

WIDEST_PX = 448
CERTAIN_LOGIT = 20.0
HIGHEST_DB = 50.0
"""Cap of a single pair's figure, so that an untouched one cannot carry the mean."""


@dataclass(frozen=True)
class Removal:
    """The model's answer to one pair."""

    picture: Picture
    alpha: FloatMap


def remove(model: OsorModel, shot: Picture, mask: Mask, seed: int = 0) -> Removal:
    """One whole step on a picture [S, S, 3]; as in a removal, the fill counts in full where the mask is."""
    stride = model.record.stride
    eps = noise_tile(seed, model.record.latent_channels, (shot.shape[0] // stride, shot.shape[1] // stride))
    prediction = model.predict(picture_to_tensor(shot), mask_to_tensor(mask), eps)
    covered = torch.where(prediction.mask > 0, CERTAIN_LOGIT, prediction.alpha_logit)
    decoded = model.decode(blend(prediction.z0, prediction.z, covered))
    alpha = F.interpolate(prediction.alpha_logit.sigmoid(), size=shot.shape[:2], mode="bilinear")
    return Removal(tensor_to_picture(decoded), alpha[0, 0].cpu().numpy())


def region_psnr_db(picture: Picture, clean: Picture, region: Mask) -> float:
    """PSNR inside ``region``, capped at ``HIGHEST_DB``."""
    figure = psnr_db(picture_to_tensor(picture), picture_to_tensor(clean), mask_to_tensor(region))
    return min(figure, HIGHEST_DB)


def telea(shot: Picture, mask: Mask) -> Picture:
    """OpenCV's inpainting (Telea 2004) of the mask, two pixels wider so that no rim of the object stays."""
    hole = cv2.dilate(mask.astype(np.uint8), np.ones((5, 5), np.uint8))
    return np.asarray(cv2.inpaint(np.ascontiguousarray(shot), hole, 5, cv2.INPAINT_TELEA), np.uint8)


def autoencoder_psnr_db(model: OsorModel, photos: list[Path], side_px: int) -> float:
    """Round trip of one crop of each photograph, averaged."""
    random = np.random.default_rng(0)
    figures = []
    for photo in photos:
        crop = picture_to_tensor(random_crop(read_photo(photo), side_px, WIDEST_PX, random))
        figures.append(psnr_db(model.decode(model.encode(crop)), crop.to(model.device)))
    return float(np.mean(figures))


def held_out_pairs(photos_folder: Path, cutouts_folder: Path, side_px: int, count: int) -> list[Pair]:
    """Pairs of held-out photographs and held-out objects, every one with an object."""
    _, photos = split_photos(list_photos(photos_folder))
    _, cutouts = load_cutouts(cutouts_folder)
    return [
        make_pair(photos, cutouts, side_px, WIDEST_PX, np.random.default_rng([9, index]), blob_share=0.0)
        for index in range(count)
    ]


def figures_of(model: OsorModel, pairs: list[Pair]) -> dict[str, float]:
    """Means over the pairs: PSNR in the hole and in the effects (model, untouched, Telea), IoU of alpha."""
    rows = [_figures_of_pair(model, pair, index) for index, pair in enumerate(pairs)]
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: round(float(np.mean([row[name] for row in rows if name in row])), 3) for name in names}


def _figures_of_pair(model: OsorModel, pair: Pair, index: int) -> dict[str, float]:
    answer = remove(model, pair.shot, pair.mask)
    filled = telea(pair.shot, pair.mask)
    outside = ~_widened(pair.effect_mask)
    # One cell round the object always counts as found; an effect begins beyond it.
    effects = pair.effect_mask & ~_widened(pair.mask)
    row = {
        "hole_psnr_db": region_psnr_db(answer.picture, pair.clean, pair.mask),
        "hole_psnr_untouched_db": region_psnr_db(pair.shot, pair.clean, pair.mask),
        "hole_psnr_telea_db": region_psnr_db(filled, pair.clean, pair.mask),
        "alpha_iou": _iou(answer.alpha > 0.5, pair.effect_mask),
    }
    if effects.sum() >= 200:
        row["effect_psnr_db"] = region_psnr_db(answer.picture, pair.clean, effects)
        row["effect_psnr_untouched_db"] = region_psnr_db(pair.shot, pair.clean, effects)
        row["effect_recall"] = float((answer.alpha > 0.5)[effects].mean())
    if outside.any():
        row["alpha_outside"] = float(answer.alpha[outside].mean())
    random = np.random.default_rng(index)
    bad_mask = spoil_mask(pair.mask, choose_kind(random), random)
    row["alpha_iou_incomplete_mask"] = _iou(remove(model, pair.shot, bad_mask).alpha > 0.5, pair.effect_mask)
    return row


def _widened(mask: Mask) -> Mask:
    """``mask`` and one latent cell round it."""
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((17, 17), np.uint8)) > 0)


def _iou(found: Mask, true: Mask) -> float:
    return float((found & true).sum() / max(1, (found | true).sum()))


def picture_grid(model: OsorModel, pairs: list[Pair]) -> Picture:
    """A row a pair: shot, mask, alpha, result, Telea, clean."""
    rows = []
    for pair in pairs:
        answer = remove(model, pair.shot, pair.mask)
        greys = [
            np.repeat((values * 255).astype(np.uint8)[..., None], 3, 2)
            for values in (pair.mask, answer.alpha)
        ]
        rows.append(np.hstack([pair.shot, *greys, answer.picture, telea(pair.shot, pair.mask), pair.clean]))
    return np.vstack(rows)


def validate_model(
    folder: Path, photos_folder: Path, cutouts_folder: Path, count: int, side_px: int
) -> dict[str, float]:
    """All figures of a model folder, written into its record and returned."""
    model = OsorModel.from_folder(folder)
    _, photos = split_photos(list_photos(photos_folder))
    figures = {
        "autoencoder_psnr_db": round(autoencoder_psnr_db(model, photos, side_px), 3),
        "pairs": float(count),
    }
    figures |= figures_of(model, held_out_pairs(photos_folder, cutouts_folder, side_px, count))
    model.record.model_copy(update={"validation": figures}).write(folder)
    return figures


def write_grids(
    folder: Path, photos_folder: Path, cutouts_folder: Path, out: Path, side_px: int, *, count: int = 16
) -> list[Path]:
    """Write ``out``/grid_N.png of eight held-out pairs each."""
    model = OsorModel.from_folder(folder)
    pairs = held_out_pairs(photos_folder, cutouts_folder, side_px, count)
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for start in range(0, count, 8):
        path = out / f"grid_{start // 8}.png"
        cv2.imwrite(str(path), cv2.cvtColor(picture_grid(model, pairs[start : start + 8]), cv2.COLOR_RGB2BGR))
        paths.append(path)
    return paths
