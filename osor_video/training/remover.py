"""Training of the one-step UNet: fill the hole, and say where (OSOR, arXiv 2606.28094)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from osor_video.removal.autoencoder import PatchAutoencoder
from osor_video.removal.model import build_autoencoder, build_scheduler, build_unet
from osor_video.removal.step import add_noise, blend, latent_mask, predict_x0
from osor_video.report import Progress, silent
from osor_video.training.bad_masks import choose_kind, spoil_mask
from osor_video.training.batches import stream_batches
from osor_video.training.config import RemoverConfig
from osor_video.training.cutouts import Cutout, load_cutouts
from osor_video.training.folders import Plates, open_plates, random_plate_crop
from osor_video.training.loop import TrainingRun, load_averaged
from osor_video.training.losses import alpha_bce, alpha_dice, masked_l1
from osor_video.training.pairs import Pair, make_pair
from osor_video.training.photos import list_photos, random_crop, read_photo, split_photos
from osor_video.training.picture_loss import PictureLoss, build_picture_loss

STRIDE = 8
Batch = tuple[Tensor, Tensor, Tensor, Tensor]
"""shot, clean [B, 3, S, S] in [0, 1]; the user's mask, the effect-aware mask [B, 1, S, S] of 0 and 1."""


class PairBatches(Dataset[Batch]):
    """The batch of each step: a function of the seed and the step number alone."""

    def __init__(
        self,
        photos: list[Path],
        cutouts: list[Cutout],
        config: RemoverConfig,
        steps: range,
        plates: Plates | None = None,
    ) -> None:
        self.photos, self.cutouts, self.config, self.steps = photos, cutouts, config, steps
        self.plates = plates

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: int) -> Batch:
        """Make the pairs of one step; in half of the steps all masks are incomplete in one way."""
        config, step = self.config, self.steps[index]
        random = np.random.default_rng([config.loop.seed, step])
        kind = choose_kind(random) if random.random() < config.bad_mask_share else None
        pairs = [self._pair(random) for _ in range(config.loop.batch)]
        masks = [pair.mask if kind is None else spoil_mask(pair.mask, kind, random) for pair in pairs]
        return (
            _pictures([pair.shot for pair in pairs]),
            _pictures([pair.clean for pair in pairs]),
            torch.from_numpy(np.stack(masks))[:, None].float(),
            torch.from_numpy(np.stack([pair.effect_mask for pair in pairs]))[:, None].float(),
        )

    def _pair(self, random: np.random.Generator) -> Pair:
        """A crop of a plate with ``plates_share``, else a pair made of a photograph and cut-outs."""
        sizes = (self.config.crop_px, self.config.widest_crop_px)
        # Without plates nothing is drawn for them: a seed keeps its batches.
        if self.plates is not None and random.random() < self.config.plates_share:
            return random_plate_crop(self.plates[int(random.integers(len(self.plates)))], *sizes, random)
        return make_pair(self.photos, self.cutouts, *sizes, random)


def _pictures(pictures: list[Any]) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255.0


def measure_latent_scale(autoencoder: PatchAutoencoder, photos: list[Path]) -> float:
    """1 / standard deviation of the latents of one crop of each photograph."""
    random = np.random.default_rng(0)
    with torch.inference_mode():
        crops = [random_crop(read_photo(photo), 192, 448, random) for photo in photos]
        latents = torch.cat([autoencoder.encode(_pictures([crop]) * 2 - 1) for crop in crops])
    return round(float(1 / latents.std()), 4)


@dataclass(frozen=True)
class RemovalLoss:
    """The objective, with the frozen parts it needs."""

    autoencoder: PatchAutoencoder
    latent_scale: float
    abar: float
    config: RemoverConfig
    pictures: PictureLoss | None = None

    @torch.no_grad()
    def encode(self, pictures: Tensor) -> Tensor:
        """[B, 3, S, S] in [0, 1] -> scaled latents."""
        return self.autoencoder.encode(pictures * 2 - 1) * self.latent_scale

    def decode(self, z: Tensor) -> Tensor:
        """Scaled latents -> [B, 3, S, S], about in [0, 1]; unclamped, so that a gradient passes everywhere."""
        return self.autoencoder.decode(z / self.latent_scale) * 0.5 + 0.5

    def __call__(self, unet: Any, batch: Batch, eps: Tensor) -> tuple[Tensor, dict[str, float]]:
        """f L1(z0, z_clean) weighted to object and effects + b BCE(alpha) + d Dice(alpha) + the picture's losses.

        Phase 1 leaves the two losses of alpha out, and only logs them.
        """
        shot, clean, mask, effect_mask = batch
        z, z_clean = self.encode(shot), self.encode(clean)
        target = F.avg_pool2d(effect_mask, STRIDE)
        masked = latent_mask(mask, STRIDE)
        z_t = add_noise(z, eps, self.abar)
        inputs = torch.cat([z_t, masked, z], dim=1)
        out = unet(inputs.contiguous(memory_format=torch.channels_last), self.config.timestep).sample
        z0, alpha_logit = predict_x0(z_t, out[:, :-1], self.abar, self.config.prediction_type), out[:, -1:]
        weight = (target > 0).float().clamp(min=self.config.outside_weight)
        fill = masked_l1(z0, z_clean, weight)
        bce, dice = alpha_bce(alpha_logit, target), alpha_dice(alpha_logit, target)
        loss = self.config.fill_weight * fill
        if self.config.phase == 2:
            loss = loss + self.config.bce_weight * bce + self.config.dice_weight * dice
        parts = (("fill", fill), ("bce", bce), ("dice", dice))
        figures = {name: float(value.detach()) for name, value in parts}
        if self.pictures is not None:
            fused, made = self._fuse(z0, z, alpha_logit, masked, target)
            seen, more = self._look(self.pictures, fused, z_clean, made)
            loss, figures = loss + seen, figures | more
        return loss, figures

    def _fuse(
        self, z0: Tensor, z: Tensor, alpha_logit: Tensor, masked: Tensor, target: Tensor
    ) -> tuple[Tensor, Tensor]:
        """The latent that is decoded, and the cells [B, 1, h, w] in which it has to be the network's.

        Phase 1 takes z0 in the masked cells, whatever the mask leaves out; phase 2 blends by alpha and asks for
        object and effects.
        """
        if self.config.phase == 1:
            return torch.where(masked > 0, z0, z), masked
        return blend(z0, z, alpha_logit), (target > 0).float()

    def _look(
        self, pictures: PictureLoss, fused: Tensor, z_clean: Tensor, cells: Tensor
    ) -> tuple[Tensor, dict[str, float]]:
        # The clean picture is decoded too: the fill answers for itself and not for the autoencoder.
        with torch.no_grad():
            real = self.decode(z_clean)
        return pictures(self.decode(fused), real, F.interpolate(cells, scale_factor=STRIDE, mode="nearest"))


def load_autoencoder(config: RemoverConfig, folder: Path) -> PatchAutoencoder:
    """The averaged autoencoder of a finished run, frozen."""
    autoencoder = build_autoencoder(config.architecture)
    load_averaged(autoencoder, folder)
    autoencoder.eval().requires_grad_(False)
    return autoencoder


def train_remover(
    config: RemoverConfig,
    photos_folder: Path,
    cutouts_folder: Path,
    autoencoder_run: Path,
    out: Path,
    plates_folder: Path | None = None,
    progress: Progress = silent,
) -> nn.Module:
    """Train (or go on training) in ``out``, on one's own plates too; returns the averaged UNet."""
    torch.set_num_threads(config.loop.threads)
    photos, _ = split_photos(list_photos(photos_folder))
    cutouts, _ = load_cutouts(cutouts_folder)
    plates = open_plates(plates_folder) if plates_folder else None
    autoencoder = load_autoencoder(config, autoencoder_run)
    abar = float(build_scheduler(config.prediction_type).alphas_cumprod[config.timestep])
    latent_scale = measure_latent_scale(autoencoder, photos)
    device = torch.device(config.loop.device)
    torch.manual_seed(config.loop.seed)
    unet = build_unet(config.architecture).to(device, memory_format=torch.channels_last)
    pictures = build_picture_loss(config)
    objective = RemovalLoss(autoencoder.to(device), latent_scale, abar, config, pictures)
    run = TrainingRun(
        unet,
        config.loop,
        out,
        discriminator=pictures.heads if pictures else None,
        discriminator_rate=config.discriminator_rate,
    )
    run.resume()
    steps = range(run.step, config.loop.steps)
    batches: Iterator[Batch] = stream_batches(
        PairBatches(photos, cutouts, config, steps, plates), config.workers
    )

    def step_loss(module: nn.Module, step: int) -> tuple[Tensor, dict[str, float]]:
        generator = torch.Generator().manual_seed(config.loop.seed * 1_000_003 + step)
        cells = config.crop_px // STRIDE
        shape = (config.loop.batch, config.architecture.latent_channels, cells, cells)
        shot, clean, mask, effect_mask = (part.to(device) for part in next(batches))
        eps = torch.randn(shape, generator=generator).to(device)
        return objective(module, (shot, clean, mask, effect_mask), eps)

    run.run(step_loss, progress)
    return run.averaged
