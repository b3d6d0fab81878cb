"""Training of the one-step UNet: fill the hole, and say where (OSOR, arXiv 2606.28094)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from osor_video.layers import alpha_bce, alpha_dice
from osor_video.removal.alpha import FIRST_LOGIT
from osor_video.removal.model import build_scheduler, build_unet
from osor_video.removal.patches import FIRST_GUESSES
from osor_video.removal.step import add_noise, blend, latent_mask, predict_x0
from osor_video.report import Progress, silent
from osor_video.tensors import Mask
from osor_video.training.bad_masks import choose_kind, spoil_mask
from osor_video.training.batches import stream_batches
from osor_video.training.config import PairsConfig, RemovalTrainingConfig, RemoverConfig
from osor_video.training.cutouts import Cutout, load_cutouts
from osor_video.training.folders import Plates, open_plates, random_plate_crop
from osor_video.training.grid import write_grid
from osor_video.training.loop import TrainingRun
from osor_video.training.losses import masked_l1
from osor_video.training.origin import Origin
from osor_video.training.pairs import Pair, make_pair
from osor_video.training.photos import list_photos, split_photos
from osor_video.training.picture_loss import PictureLoss, build_picture_loss

STRIDE = 8
Batch = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]
"""shot, clean [B, 3, S, S] in [0, 1]; the user's mask, the effect-aware and the object's [B, 1, S, S] of 0 and 1; and the

shot with its hole filled by the first guess, where a run begins with one, else the shot [B, 3, S, S].
"""


@dataclass(frozen=True)
class Sources:
    """What pairs are made of: the part of the photographs and cut-outs that training may see, one's own plates."""

    photos: list[Path]
    cutouts: list[Cutout]
    plates: Plates | None

    @classmethod
    def open(cls, photos: Path, cutouts: Path, plates: Path | None = None) -> Self:
        """Open the folders; ConfigError where one holds nothing of use."""
        return cls(
            split_photos(list_photos(photos))[0],
            load_cutouts(cutouts)[0],
            open_plates(plates) if plates else None,
        )


@dataclass(frozen=True)
class PairBatches(Dataset[Batch]):
    """The batch of each step: a function of the seed and the step number alone."""

    sources: Sources
    config: PairsConfig
    steps: range

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, index: int) -> Batch:
        """Make the pairs of one step; in half of the steps all masks are incomplete in one way."""
        config, step = self.config, self.steps[index]
        random = np.random.default_rng([config.loop.seed, step])
        side_px, count = self._size(random)
        kind = choose_kind(random, config.bad_masks) if random.random() < config.bad_mask_share else None
        pairs = [self._pair(side_px, random) for _ in range(count)]
        masks = [pair.mask if kind is None else spoil_mask(pair.mask, kind, random) for pair in pairs]
        shot, mask = _pictures([pair.shot for pair in pairs]), _masks(masks)
        return (
            shot,
            _pictures([pair.clean for pair in pairs]),
            mask,
            _masks([pair.effect_mask for pair in pairs]),
            _masks([pair.mask for pair in pairs]),
            self._guess(shot, mask),
        )

    def _guess(self, shot: Tensor, mask: Tensor) -> Tensor:
        # Made with the pairs: patches take as long as these, and whoever makes pairs has company.
        config = self.config
        if isinstance(config, RemovalTrainingConfig) and config.prediction_type == "residual":
            return FIRST_GUESSES[config.first_guess](shot, mask)
        return shot

    def _size(self, random: np.random.Generator) -> tuple[int, int]:
        """Side of a step's pictures, and how many there are."""
        usual_px, batch = self.config.crop_px, self.config.loop.batch
        # Without a choice nothing is drawn for it: a seed keeps its batches.
        if not self.config.crops_px:
            return usual_px, batch
        side_px = int(random.choice(self.config.crops_px))
        return side_px, max(1, round(batch * (usual_px / side_px) ** 2))

    def _pair(self, side_px: int, random: np.random.Generator) -> Pair:
        """A crop of a plate with ``plates_share``, else a pair made of a photograph and cut-outs."""
        config = self.config
        sizes = (side_px, round(config.widest_crop_px * side_px / config.crop_px))
        # Without plates nothing is drawn for them: a seed keeps its batches.
        plates = self.sources.plates
        if plates is not None and random.random() < config.plates_share:
            return random_plate_crop(plates[int(random.integers(len(plates)))], *sizes, random)
        return make_pair(
            self.sources.photos,
            self.sources.cutouts,
            *sizes,
            random,
            repainted_share=config.repainted_share,
            printed_share=config.printed_share,
            highest_foot=config.highest_foot,
            freer_share=config.freer_share,
            crisp_share=config.crisp_share,
        )


def _pictures(pictures: list[Any]) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255.0


def _masks(masks: list[Mask]) -> Tensor:
    return torch.from_numpy(np.stack(masks))[:, None].float()


class LatentCoder(Protocol):
    """A frozen autoencoder of stride 8: pictures [B, 3, S, S] in [-1, 1], latents as they are before scaling."""

    def encode(self, pictures: Tensor) -> Tensor:
        """The latent, a function of the pictures alone."""

    def decode(self, z: Tensor) -> Tensor:
        """The pictures of latents, with a gradient to them."""


@torch.no_grad()
def scaled_latent(autoencoder: LatentCoder, latent_scale: float, pictures: Tensor) -> Tensor:
    """[B, 3, S, S] in [0, 1] -> latents as the networks see them."""
    return autoencoder.encode(pictures * 2 - 1) * latent_scale


def alpha_loss(
    alpha_logit: Tensor, target: Tensor, masked: Tensor, config: PairsConfig
) -> tuple[Tensor, dict[str, float]]:
    """b BCE + d (Dice + Dice beyond the mask), and the figures of each; all tensors [B, 1, h, w]."""
    # What the mask leaves out is the hard part, and little of the whole: it counts by itself as well.
    beyond = (masked == 0).float()
    emphasis = 1 + (config.effect_emphasis - 1) * beyond * (target > 0)
    bce = alpha_bce(alpha_logit, target, emphasis)
    dice = alpha_dice(alpha_logit, target, torch.ones_like(target))
    dice_beyond = alpha_dice(alpha_logit, target, beyond)
    parts = (("bce", bce), ("dice", dice), ("dice_beyond", dice_beyond))
    loss = config.bce_weight * bce + config.dice_weight * (dice + dice_beyond)
    return loss, {name: float(value.detach()) for name, value in parts}


class Objective(Protocol):
    """What a training on pairs descends: (network, batch, noise) -> (loss, figures to log)."""

    @property
    def config(self) -> PairsConfig:
        """The settings of the run."""

    @property
    def pictures(self) -> PictureLoss | None:
        """Who judges decoded pictures, with a discriminator to train; None where nobody does."""

    def __call__(self, network: Any, batch: Batch, eps: Tensor, /) -> tuple[Tensor, dict[str, float]]:
        """The loss of one batch."""

    def show(self, network: Any, batch: Batch, eps: Tensor, /) -> list[Tensor]:
        """Pictures [B, 1 or 3, h, w] in [0, 1] that tell how far the network is, the first of full size."""


@dataclass(frozen=True)
class _Step:
    """One step on a batch: latents [B, C, h, w], and [B, 0 or 1, h, w] of alpha, mask and true effects."""

    z: Tensor
    z0: Tensor
    alpha_logit: Tensor
    masked: Tensor
    target: Tensor


@dataclass(frozen=True)
class RemovalLoss:
    """The objective, with the frozen parts it needs."""

    autoencoder: LatentCoder
    latent_scale: float
    abar: float
    config: RemovalTrainingConfig
    pictures: PictureLoss | None = None
    z0_limit: float | None = None
    """Where z0 is clamped, None to leave it; some bases' schedules ask for it."""

    def encode(self, pictures: Tensor) -> Tensor:
        """[B, 3, S, S] in [0, 1] -> scaled latents."""
        return scaled_latent(self.autoencoder, self.latent_scale, pictures)

    def decode(self, z: Tensor) -> Tensor:
        """Scaled latents -> [B, 3, S, S], about in [0, 1]; unclamped, so that a gradient passes everywhere."""
        return self.autoencoder.decode(z / self.latent_scale) * 0.5 + 0.5

    def __call__(self, unet: Any, batch: Batch, eps: Tensor) -> tuple[Tensor, dict[str, float]]:
        """f L1(z0, z_clean) weighted to object and effects + b BCE(alpha) + d Dice(alpha) + the picture's losses.

        Dice counts twice: over the picture, and over what the user's mask leaves out.

        Phase 1 leaves the two losses of alpha out, and only logs them; there the network may have no such channel.
        """
        seen = self._step(unet, batch, eps)
        z_clean = self.encode(batch[1])
        weight = (seen.target > 0).float().clamp(min=self.config.outside_weight)
        fill = masked_l1(seen.z0, z_clean, weight)
        loss, figures = self.config.fill_weight * fill, {"fill": float(fill.detach())}
        if seen.alpha_logit.shape[1]:
            found, more = alpha_loss(seen.alpha_logit, seen.target, seen.masked, self.config)
            figures |= more
            if self.config.phase == 2:
                loss = loss + found
        if self.pictures is not None:
            fused, made = self._fuse(seen)
            judged, more = self._look(self.pictures, fused, z_clean, made)
            loss, figures = loss + judged, figures | more
        return loss, figures

    @torch.no_grad()
    def show(self, unet: Any, batch: Batch, eps: Tensor) -> list[Tensor]:
        """Shot, mask, alpha (where the network has one), what it makes of the shot, and the clean picture."""
        shot, clean, mask, *_ = batch
        seen = self._step(unet, batch, eps)
        alpha = [seen.alpha_logit.sigmoid()] if seen.alpha_logit.shape[1] else []
        return [shot, mask, *alpha, self.decode(self._fuse(seen)[0]), clean]

    def _step(self, unet: Any, batch: Batch, eps: Tensor) -> _Step:
        shot, _, mask, effect_mask, _, guess = batch
        z, masked = self.encode(shot), latent_mask(mask, STRIDE)
        prediction_type = self.config.prediction_type
        start = self.encode(guess) if prediction_type == "residual" else z
        z_t = add_noise(start, eps, self.abar)
        inputs = torch.cat([z_t, masked, z], dim=1)
        out = unet(inputs.contiguous(memory_format=torch.channels_last), self.config.timestep).sample
        channels = z.shape[1]
        z0 = predict_x0(z_t, out[:, :channels], self.abar, prediction_type, start)
        if self.z0_limit is not None:
            z0 = z0.clamp(-self.z0_limit, self.z0_limit)
        return _Step(z, z0, out[:, channels:], masked, F.avg_pool2d(effect_mask, STRIDE))

    def _fuse(self, seen: _Step) -> tuple[Tensor, Tensor]:
        """The latent that is decoded, and the cells [B, 1, h, w] in which it has to be the network's.

        Phase 1 takes z0 in the masked cells, whatever the mask leaves out; phase 2 blends by alpha and asks for
        object and effects.
        """
        if self.config.phase == 1:
            return torch.where(seen.masked > 0, seen.z0, seen.z), seen.masked
        return blend(seen.z0, seen.z, seen.alpha_logit), (seen.target > 0).float()

    def _look(
        self, pictures: PictureLoss, fused: Tensor, z_clean: Tensor, cells: Tensor
    ) -> tuple[Tensor, dict[str, float]]:
        # The clean picture is decoded too: the fill answers for itself and not for the autoencoder.
        with torch.no_grad():
            real = self.decode(z_clean)
        return pictures(self.decode(fused), real, F.interpolate(cells, scale_factor=STRIDE, mode="nearest"))


def first_unet(config: RemoverConfig) -> Any:
    """A fresh UNet; one that predicts a residual begins with none, and with little alpha."""
    torch.manual_seed(config.loop.seed)
    unet = build_unet(config.architecture)
    if config.prediction_type == "residual":
        nn.init.zeros_(unet.conv_out.weight)
        nn.init.zeros_(unet.conv_out.bias)
        nn.init.constant_(unet.conv_out.bias[-1:], FIRST_LOGIT)
    return unet


def train_remover(
    config: RemoverConfig,
    photos_folder: Path,
    cutouts_folder: Path,
    origin_folder: Path,
    out: Path,
    plates_folder: Path | None = None,
    progress: Progress = silent,
) -> nn.Module:
    """Train (or go on training) in ``out``, on one's own plates too; returns the averaged UNet.

    ``origin_folder`` is a run of the autoencoder, or a model folder whose UNet learns on.
    """
    torch.set_num_threads(config.loop.threads)
    sources = Sources.open(photos_folder, cutouts_folder, plates_folder)
    origin = Origin.open(origin_folder, config.architecture, sources.photos)
    abar = float(build_scheduler(config.prediction_type).alphas_cumprod[config.timestep])
    device = torch.device(config.loop.device)
    unet = first_unet(config)
    origin.begin(unet, "unet")
    unet = unet.to(device, memory_format=torch.channels_last)
    pictures = build_picture_loss(config)
    objective = RemovalLoss(origin.autoencoder.to(device), origin.latent_scale, abar, config, pictures)
    return train_on_pairs(unet, objective, sources, config.architecture.latent_channels, out, progress)


def train_on_pairs(
    module: nn.Module,
    objective: Objective,
    sources: Sources,
    latent_channels: int,
    out: Path,
    progress: Progress = silent,
) -> nn.Module:
    """Train ``module``, whatever network the objective calls, or go on training it; returns the averaged one."""
    config, pictures = objective.config, objective.pictures
    device = torch.device(config.loop.device)
    run = TrainingRun(
        module,
        config.loop,
        out,
        discriminator=pictures.heads if pictures else None,
        discriminator_rate=pictures.config.discriminator_rate if pictures else 0.0,
    )
    run.resume()
    steps = range(run.step, config.loop.steps)
    dataset = PairBatches(sources, config, steps)
    batches: Iterator[Batch] = stream_batches(dataset, config.workers)

    def with_noise(batch: Batch, step: int) -> tuple[Batch, Tensor]:
        generator = torch.Generator().manual_seed(config.loop.seed * 1_000_003 + step)
        shot, clean, mask, effect_mask, object_mask, guess = (part.to(device) for part in batch)
        count, _, height, width = shot.shape
        shape = (count, latent_channels, height // STRIDE, width // STRIDE)
        eps = torch.randn(shape, generator=generator).to(device)
        return (shot, clean, mask, effect_mask, object_mask, guess), eps

    def step_loss(module: nn.Module, step: int) -> tuple[Tensor, dict[str, float]]:
        return objective(module, *with_noise(next(batches), step))

    def show(step: int) -> None:
        # A step after the last: pairs that no step trains on, the same at each checkpoint.
        unseen = replace(dataset, steps=range(config.loop.steps, config.loop.steps + 1))[0]
        write_grid(out, step, objective.show(run.averaged, *with_noise(unseen, config.loop.steps)))

    run.run(step_loss, progress, show)
    return run.averaged
