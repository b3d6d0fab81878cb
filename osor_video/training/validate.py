"""Figures of a model folder on photographs, objects and plates that training never saw."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np

from osor_video.benchmark.baselines import patchmatch, telea, untouched
from osor_video.benchmark.cases import TrueFrame
from osor_video.config import RemovalConfig
from osor_video.removal.crop import plan_crops
from osor_video.removal.model import OsorModel
from osor_video.removal.remover import OneStepRemover, Removal, RemovalInput
from osor_video.tensors import FloatMap, Mask, Picture, picture_to_tensor, to_uint8
from osor_video.training.backbone import Backbone
from osor_video.training.bad_masks import BAD_MASKS, spoil_mask
from osor_video.training.closeness import Judge, iou, region_psnr_db
from osor_video.training.cutouts import load_cutouts
from osor_video.training.folders import open_plates, read_plate
from osor_video.training.losses import psnr_db
from osor_video.training.pairs import Pair, make_pair
from osor_video.training.photos import list_photos, random_crop, read_photo, split_photos

WIDEST_PX = 448
LEAST_EFFECT_PX = 64
"""One latent cell; smaller effects are not measured by themselves."""
OBJECT = "object"
"""The kind of mask that is right: the object's, without its effects."""
KINDS = (OBJECT, *BAD_MASKS)
PEERS = {"telea": telea, "patchmatch": patchmatch, "untouched": untouched}

Row = dict[str, float]


class PairSet:
    """Pairs to measure on; what does not depend on a model is made once."""

    def __init__(self, name: str, pairs: Sequence[Pair], backbone: Backbone) -> None:
        self.name = name
        self.pairs = pairs
        self.backbone = backbone

    @cached_property
    def fills(self) -> list[dict[str, Picture]]:
        """What each of ``PEERS`` makes of each pair, given the object's mask."""
        frames = [TrueFrame(pair.shot, pair.clean, pair.mask) for pair in self.pairs]
        return [{name: fill(frame) for name, fill in PEERS.items()} for frame in frames]

    @cached_property
    def judges(self) -> list[Judge]:
        """One for each pair, knowing its clean picture and its regions."""
        return [Judge(pair.clean, regions_of(pair), self.backbone) for pair in self.pairs]

    @cached_property
    def peer_rows(self) -> list[Row]:
        """The peers' figures, a row a pair."""
        rows = []
        for judge, fills in zip(self.judges, self.fills, strict=True):
            parts = [judged(judge, name, fill) for name, fill in fills.items()]
            rows.append({key: value for part in parts for key, value in part.items()})
        return rows


def judged(judge: Judge, name: str, picture: Picture) -> Row:
    """``REGION_NAME_MEASURE`` of the fill called ``name``."""
    return {
        f"{region}_{name}_{measure}": value
        for region, measures in judge(picture).items()
        for measure, value in measures.items()
    }


def photo_pairs(
    photos_folder: Path, cutouts_folder: Path, side_px: int, count: int, backbone: Backbone
) -> PairSet:
    """Pairs of held-out photographs and held-out objects, every one with an object."""
    _, photos = split_photos(list_photos(photos_folder))
    _, cutouts = load_cutouts(cutouts_folder)
    pairs = [
        make_pair(photos, cutouts, side_px, WIDEST_PX, np.random.default_rng([9, index]), blob_share=0.0)
        for index in range(count)
    ]
    return PairSet("photos", pairs, backbone)


def plate_pairs(folder: Path, side_px: int, backbone: Backbone) -> PairSet:
    """All plates of a folder, shrunk (never enlarged) to a short side of ``side_px``."""
    files = open_plates(folder).files
    return PairSet("plates", [read_plate(pair, side_px) for pair in files], backbone)


def regions_of(pair: Pair) -> dict[str, Mask]:
    """Where pairs are measured: the object's ``hole`` and, if it is large enough, its ``effect``."""
    # One cell round the object always counts as found; an effect begins beyond it.
    effect = pair.effect_mask & ~_widened(pair.mask)
    regions = {"hole": pair.mask}
    return regions | {"effect": effect} if effect.sum() >= LEAST_EFFECT_PX else regions


def remove(model: OsorModel, shot: Picture, masks: Sequence[Mask], seed: int = 0) -> list[Removal]:
    """One step for each mask on the whole picture [H, W, 3]; as in a removal, the fill counts in full where the mask is.

    Sides that the model's multiple does not divide are mirrored outwards; nothing is shrunk.
    """
    size_hw = shot.shape[0], shot.shape[1]
    crop = plan_crops([(0, 0, *size_hw)], size_hw, 0.0, max(size_hw), model.record.multiple_px)[0]
    assert crop is not None  # None only without a box
    remover = OneStepRemover(model, RemovalConfig(), seed)
    inputs = [RemovalInput(shot, mask, crop, None) for mask in masks]
    answers: list[Removal] = remover.remove(inputs, None)[0]
    return answers


def figures_of(model: OsorModel, pair_set: PairSet) -> Row:
    """Means over the pairs, each key after the set's name; where a pair has no effect it counts for the rest.

    ``hole_X_psnr_db`` and so on for the model and each of ``PEERS``; ``alpha_iou_KIND`` of the model's alpha with the
    true effect mask for each of ``KINDS`` of mask, ``mask_iou_KIND`` of that mask itself; ``hole_lost_KIND_db``, how
    much PSNR in the object a bad mask costs; ``effect_recall``, the share of the effect that alpha finds, and
    ``alpha_outside``, its mean where nothing is to go.
    """
    found = zip(pair_set.pairs, pair_set.judges, pair_set.peer_rows, strict=True)
    rows = [_row(model, pair, judge, index) | peers for index, (pair, judge, peers) in enumerate(found)]
    names = dict.fromkeys(name for row in rows for name in row)
    means = {name: round(float(np.mean([row[name] for row in rows if name in row])), 3) for name in names}
    counts = {"pairs": len(rows), "pairs_with_effect": sum("effect_recall" in row for row in rows)}
    return {f"{pair_set.name}_{name}": value for name, value in (counts | means).items()}


def bad_masks(mask: Mask, index: int) -> dict[str, Mask]:
    """The object's mask, and that mask spoilt in each way of ``BAD_MASKS``; the same for the same ``index``."""
    spoilt = {
        kind: spoil_mask(mask, kind, np.random.default_rng([index, number]))
        for number, kind in enumerate(BAD_MASKS)
    }
    return {OBJECT: mask} | spoilt


def _row(model: OsorModel, pair: Pair, judge: Judge, index: int) -> Row:
    masks = bad_masks(pair.mask, index)
    answers = dict(zip(masks, remove(model, pair.shot, list(masks.values())), strict=True))
    row = judged(judge, "model", to_uint8(answers[OBJECT].rgb))
    row |= {
        f"alpha_iou_{kind}": iou(answer.alpha > 0.5, pair.effect_mask) for kind, answer in answers.items()
    }
    row |= {f"mask_iou_{kind}": iou(mask, pair.effect_mask) for kind, mask in masks.items()}
    for kind in BAD_MASKS:
        figure = region_psnr_db(to_uint8(answers[kind].rgb), pair.clean, pair.mask)
        row[f"hole_lost_{kind}_db"] = row["hole_model_psnr_db"] - figure
    return row | _alpha_row(answers[OBJECT].alpha, pair)


def _alpha_row(alpha: FloatMap, pair: Pair) -> Row:
    row = {}
    outside = ~_widened(pair.effect_mask)
    if outside.any():
        row["alpha_outside"] = float(alpha[outside].mean())
    effect = regions_of(pair).get("effect")
    if effect is not None:
        row["effect_recall"] = float((alpha > 0.5)[effect].mean())
    return row


def _widened(mask: Mask) -> Mask:
    """``mask`` and one latent cell round it."""
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((17, 17), np.uint8)) > 0)


def autoencoder_psnr_db(model: OsorModel, photos: list[Path], side_px: int) -> float:
    """Round trip of one crop of each photograph, averaged."""
    random = np.random.default_rng(0)
    figures = []
    for photo in photos:
        crop = picture_to_tensor(random_crop(read_photo(photo), side_px, WIDEST_PX, random))
        figures.append(psnr_db(model.decode(model.encode(crop)), crop.to(model.device)))
    return float(np.mean(figures))
