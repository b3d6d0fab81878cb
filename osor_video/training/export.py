"""Turning finished runs into a model folder with its record."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import save_file
from torch import nn

from osor_video.errors import ConfigError
from osor_video.removal.alpha import build_alpha_head
from osor_video.removal.model import build_unet, load_network, save_model
from osor_video.removal.record import ModelRecord, sha256_of
from osor_video.training.config import LoopConfig, RemoverConfig
from osor_video.training.loop import load_averaged
from osor_video.training.origin import load_autoencoder, measure_latent_scale
from osor_video.training.photos import list_photos, split_photos
from osor_video.training.remover import STRIDE

Part = Literal["unet", "alpha"]

DATA = (
    "photographs: wallpaper collections (CC0, CC BY, CC BY-SA, Unsplash, Pexels) and OpenSfM (BSD-2); "
    "objects: coco128-seg (images Flickr CC, labels CC BY 4.0), pasted with drawn shadows and reflections"
)


def export_model(
    config: RemoverConfig,
    photos_folder: Path,
    autoencoder_run: Path,
    remover_run: Path,
    folder: Path,
    alpha_run: Path | None = None,
    note: str = "",
) -> ModelRecord:
    """Write the averaged weights of the runs as float16 to ``folder``; validation adds the figures.

    Without ``alpha_run`` alpha stays the UNet's own channel. ``note`` says what the configuration does not, such as
    earlier stages of a run.
    """
    photos, _ = split_photos(list_photos(photos_folder))
    autoencoder = load_autoencoder(config.architecture, autoencoder_run)
    autoencoder_facts = load_averaged(autoencoder, autoencoder_run)
    unet = build_unet(config.architecture)
    unet_facts = load_averaged(unet, remover_run)
    alpha, alpha_facts = None, {}
    if alpha_run is not None:
        alpha = build_alpha_head(config.architecture)
        alpha_facts = {f"alpha_{name}": fact for name, fact in load_averaged(alpha, alpha_run).items()}
    record = ModelRecord(
        name="compact",
        licence="Apache-2.0",
        timestep=config.timestep,
        prediction_type=config.prediction_type,
        first_guess=config.first_guess,
        latent_channels=config.architecture.latent_channels,
        latent_scale=measure_latent_scale(autoencoder, photos),
        stride=STRIDE,
        multiple_px=STRIDE * 2 ** (len(config.architecture.unet_channels) - 1),
        raster_px=config.crop_px,
        made={
            "how": "trained from scratch by osor_video.training",
            "data": DATA,
            "training_photographs": len(photos),
            "autoencoder_steps": autoencoder_facts["steps"],
            "autoencoder_hours": autoencoder_facts["hours"],
            "unet_steps": unet_facts["steps"],
            "unet_hours": unet_facts["hours"],
            "unet_batch": config.loop.batch,
            "unet_parameters": sum(parameter.numel() for parameter in unet.parameters()),
            "hardware": f"{config.loop.device}, {config.loop.threads} thread(s), {platform.machine()}",
            **alpha_facts,
            **({"note": note} if note else {}),
            **_picture_losses(config),
        },
    )
    return save_model(folder, record, autoencoder, unet, torch.float16, alpha)


def renew_model(
    begin: Path,
    folder: Path,
    runs: Mapping[Part, Path],
    data: str = "",
    note: str = "",
    share: float = 1.0,
) -> ModelRecord:
    """Write the model folder ``begin`` to ``folder`` with the averaged weights of the ``runs`` that began with it.

    With a ``share`` in [0, 1] each weight goes so far from the folder's to the run's: what lies between them may do better on data
    of both kinds than either (Wortsman et al., "Robust Fine-Tuning of Zero-Shot Models", CVPR 2022). The record's steps and hours
    grow by the run's; ``data`` names what it saw beside the data of before. ConfigError where a run is of another architecture.
    """
    record = ModelRecord.read(begin)
    networks = {
        part: load_network(begin / part) for part in ("vae", "unet", "alpha") if (begin / part).is_dir()
    }
    made = dict(record.made)
    for part, run in runs.items():
        if part not in networks:
            raise ConfigError(f"{begin} has no {part}/ that {run} could take the place of.")
        before = {name: value.clone() for name, value in networks[part].state_dict().items()}
        try:
            facts = load_averaged(networks[part], run)
        except RuntimeError as error:
            raise ConfigError(f"{run} is no run of the {part} of {begin}: {error}") from error
        after = networks[part].state_dict()
        networks[part].load_state_dict({name: torch.lerp(before[name], after[name], share) for name in after})
        for name, more in facts.items():
            made[f"{part}_{name}"] = round(float(made.get(f"{part}_{name}", 0)) + more, 2)
    for name, text in (("data", data), ("note", note)):
        if text:
            made[name] = f"{made[name]}; {text}" if name in made else text
    renewed = record.model_copy(update={"made": made, "validation": {}})
    return save_model(
        folder, renewed, networks["vae"], networks["unet"], torch.float16, networks.get("alpha")
    )


def write_weights(
    network: nn.Module,
    facts: dict[str, float],
    loop: LoopConfig,
    target: Path,
    about: dict[str, Any],
    figures: Any,
) -> None:
    """Write one network as float16 to ``target`` (.safetensors) and its record beside it (.json)."""
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.to(torch.float16) for name, value in network.state_dict().items()}, target)
    record = {
        "name": target.stem,
        **about,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "steps": facts["steps"],
        "hours": facts["hours"],
        "batch": loop.batch,
        "hardware": f"{loop.device}, {loop.threads} thread(s), {platform.machine()}",
        "licence": "Apache-2.0",
        "sha256": sha256_of(target),
        "validation": figures,
    }
    target.with_suffix(".json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _picture_losses(config: RemoverConfig) -> dict[str, str | int | float]:
    """What judged decoded pictures, for the record; nothing where only latents were compared."""
    if not config.judges_pictures:
        return {}
    return {
        "feature_network": config.backbone,
        "perceptual_weight": config.perceptual_weight,
        "adversarial_weight": config.adversarial_weight,
    }
