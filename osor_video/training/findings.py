"""The validation of a model folder: figures into its record, tables to read, pictures to look at."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import torch

from osor_video.apps.pictures import write_png
from osor_video.benchmark.speed import measure_frame_ms
from osor_video.benchmark.table import markdown
from osor_video.errors import ConfigError
from osor_video.removal.model import OsorModel
from osor_video.training.backbone import build_backbone
from osor_video.training.closeness import MEASURES
from osor_video.training.photos import list_photos, split_photos
from osor_video.training.sheet import grids
from osor_video.training.validate import (
    KINDS,
    PEERS,
    PairSet,
    Row,
    autoencoder_psnr_db,
    figures_of,
    photo_pairs,
    plate_pairs,
)

SPEED_PX = 512
COLUMNS = {"psnr_db": ("PSNR dB", 2), "ssim": ("SSIM", 3), "distance": ("distance", 3)}
"""Name and digits of each measure; the lower a distance the better."""
TABLE = "validation.md"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class HeldOut:
    """What a model is validated on; nothing of it may have been trained on.

    Of ``photos`` and ``cutouts`` the part is taken that training leaves out (every twelfth by name), of ``plates`` all.
    """

    photos: Path
    cutouts: Path
    plates: Path | None = None
    pairs: int = 64
    """Pairs made of photographs and cut-outs."""
    pictures: int = 16
    """Pairs of each kind that are drawn."""


def validate_model(folder: Path, held_out: HeldOut, out: Path) -> str:
    """Measure a model folder: returns the tables and writes them to ``out``, with grids ``out``/SET_N.png.

    The figures go into the model's record. Pairs are as large as the crops that the model was trained on. Raises
    ConfigError where something is missing to measure with, or to write to.
    """
    model = OsorModel.from_folder(folder)
    side_px = model.record.raster_px
    sets = _pair_sets(held_out, side_px)
    _, photos = split_photos(list_photos(held_out.photos))
    figures = {
        "autoencoder_psnr_db": round(autoencoder_psnr_db(model, photos, side_px), 3),
        f"frame_{SPEED_PX}_ms": round(measure_frame_ms(model, SPEED_PX)),
        "threads": torch.get_num_threads(),
    }
    for pair_set in sets:
        log.info("%s: %d pairs of about %d px", pair_set.name, len(pair_set.pairs), side_px)
        figures |= figures_of(model, pair_set)
    text = tables(figures, [pair_set.name for pair_set in sets])
    out.mkdir(parents=True, exist_ok=True)
    for pair_set in sets:
        for number, grid in enumerate(grids(model, pair_set, held_out.pictures)):
            write_png(out / f"{pair_set.name}_{number}.png", grid)
    (out / TABLE).write_text(text, encoding="utf-8")
    try:
        model.record.model_copy(update={"validation": figures}).write(folder)
    except OSError as error:
        raise ConfigError(
            f"The figures lie in {out / TABLE}, but the record of {folder} cannot be written: {error}"
        ) from error
    return text


def _pair_sets(held_out: HeldOut, side_px: int) -> list[PairSet]:
    backbone = build_backbone()
    sets = [photo_pairs(held_out.photos, held_out.cutouts, side_px, held_out.pairs, backbone)]
    return [*sets, plate_pairs(held_out.plates, side_px, backbone)] if held_out.plates else sets


def tables(figures: Row, sets: list[str]) -> str:
    """The figures as Markdown: for each set of pairs what fills well, and what alpha makes of bad masks."""
    parts = [_facts(figures)]
    for name in sets:
        own = {key.removeprefix(f"{name}_"): value for key, value in figures.items() if key.startswith(name)}
        counts = f"## {name}: {own['pairs']:.0f} pairs, {own['pairs_with_effect']:.0f} with an effect\n"
        parts += [counts, _fill_table(own), _alpha_table(own), _alpha_facts(own)]
    return "\n".join(parts)


def _facts(figures: Row) -> str:
    frame = f"frame_{SPEED_PX}_ms"
    return (
        f"{SPEED_PX}x{SPEED_PX}: {figures[frame]:.0f} ms a frame with {figures['threads']:.0f} thread(s), the median\n"
        f"autoencoder: {figures['autoencoder_psnr_db']:.2f} dB after encoding and decoding photographs\n"
    )


def _fill_table(own: Row) -> str:
    """A row for the model and for each of its peers."""
    regions = [region for region in ("hole", "effect") if f"{region}_model_psnr_db" in own]
    columns = [(region, measure) for region in regions for measure in MEASURES]
    header = ["filled by", *(f"{region} {COLUMNS[measure][0]}" for region, measure in columns)]
    body = []
    for method in ("model", *PEERS):
        values = [(own[f"{region}_{method}_{measure}"], COLUMNS[measure][1]) for region, measure in columns]
        body.append([method, *(f"{value:.{digits}f}" for value, digits in values)])
    return markdown(header, body)


def _alpha_table(own: Row) -> str:
    """A row for each kind of mask; the IoU of the mask itself is what an alpha that adds nothing would reach."""
    header = ("mask given", "IoU of alpha", "IoU of that mask", "PSNR lost in the object, dB")
    body = [
        [
            kind,
            f"{own[f'alpha_iou_{kind}']:.3f}",
            f"{own[f'mask_iou_{kind}']:.3f}",
            f"{own.get(f'hole_lost_{kind}_db', 0.0):.2f}",
        ]
        for kind in KINDS
    ]
    return markdown(header, body)


def _alpha_facts(own: Row) -> str:
    recall = f"{own['effect_recall']:.3f} of the effect" if "effect_recall" in own else "no effect to find"
    outside = f"{own['alpha_outside']:.4f} on average" if "alpha_outside" in own else "nowhere"
    return f"alpha finds {recall}; where nothing is to be removed it is {outside}\n"
