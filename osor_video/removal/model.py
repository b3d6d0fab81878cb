"""A model folder and the networks in it; the compact kind.

A folder has diffusers' layout: ``model.json`` (the record), ``vae/``, ``unet/``, ``scheduler/`` and, where alpha comes
from a head of its own, ``alpha/``.

Convention: latents ``z`` are float32 [B, C, h, w], already scaled; pictures float32 [B, 3, H, W] in [0, 1].
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DModel
from diffusers.utils import logging
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from osor_video.errors import WeightsError
from osor_video.removal.alpha import AlphaFinder, AlphaHead
from osor_video.removal.autoencoder import PatchAutoencoder
from osor_video.removal.carry import SURELY, Aligned
from osor_video.removal.complete import complete_mask, ground_beside
from osor_video.removal.patches import FIRST_GUESSES
from osor_video.removal.prediction import Filled, Prediction
from osor_video.removal.record import Architecture, ModelRecord, PredictionType, sha256_of
from osor_video.removal.step import (
    add_noise,
    box_around,
    in_pixels,
    interpolate_hole,
    latent_mask,
    predict_x0,
    raised,
)
from osor_video.shapes import dilate, overlap, touching
from osor_video.tensors import FloatMap, Mask, Picture, mask_to_tensor, picture_to_tensor, tensor_to_picture

SURE_EFFECT, LIKELY_EFFECT = 2.0, 0.0
"""Logits of alpha at the best place of an effect that is filled as the hole is, and anywhere in it.

Left to itself the network hardly changes what lies outside the hole.
"""
AS_MASKED = 0.6
"""Overlap of the mask with what alpha's head takes for the object, from which it need not be asked again."""
REFILL_PX = 64
"""How far around it the ground beside the object is filled from."""
CONFIG_FILE = "config.json"
WEIGHTS_FILE = "diffusion_pytorch_model.safetensors"
SCHEDULER_FILE = "scheduler/scheduler_config.json"
ALPHA_FILES = (f"alpha/{CONFIG_FILE}", f"alpha/{WEIGHTS_FILE}")
FILES = (
    f"vae/{CONFIG_FILE}",
    f"vae/{WEIGHTS_FILE}",
    f"unet/{CONFIG_FILE}",
    f"unet/{WEIGHTS_FILE}",
    SCHEDULER_FILE,
)


def quiet_libraries() -> None:
    """Turn off what diffusers would print on a user's terminal."""
    logging.set_verbosity_error()


class OsorModel:
    """The autoencoder and the one-step backbone of one model folder, ready for inference."""

    is_compact = True

    def __init__(
        self,
        record: ModelRecord,
        vae: Any,
        unet: Any,
        scheduler: Any,
        device: torch.device,
        alpha: AlphaHead | None = None,
    ) -> None:
        self.record = record
        self.device = device
        self.abar = float(scheduler.alphas_cumprod[record.timestep])
        self._vae = _ready(vae, device)
        self._unet = _ready(unet, device)
        self._alpha = _ready(AlphaFinder.around(alpha), device) if alpha is not None else None

    @classmethod
    def from_folder(cls, folder: Path, device: torch.device | str = "cpu") -> Self:
        """Load a model folder; WeightsError names the file that is missing, damaged or does not fit."""
        record = ModelRecord.read(folder)
        has_alpha = bool(record.files.keys() & set(ALPHA_FILES))
        record.check_files(folder, FILES + ALPHA_FILES if has_alpha else FILES)
        vae = load_network(folder / "vae")
        unet = load_network(folder / "unet")
        scheduler = DDPMScheduler.from_config(_read_json(folder / SCHEDULER_FILE))
        _check_fit(record, vae, unet, scheduler)
        alpha = load_network(folder / "alpha") if has_alpha else None
        return cls(record, vae, unet, scheduler, torch.device(device), alpha)

    def raster_limit_px(self) -> int | None:
        """Any size will do."""
        return None

    def frames_together(self, raster_px: int) -> int:
        """One: a processor gains nothing from more."""
        return 1

    @torch.inference_mode()
    def encode(self, image: Tensor) -> Tensor:
        """[B, 3, H, W] in [0, 1] -> the latent (a posterior's mode, never a random sample), scaled."""
        self._check_sides(image)
        pixels = image.to(self.device, torch.float32, memory_format=torch.channels_last)
        encoded = self._vae.encode(pixels * 2 - 1)
        mode = encoded if isinstance(encoded, Tensor) else encoded.latent_dist.mode()
        return (mode - self.record.latent_shift) * self.record.latent_scale

    @torch.inference_mode()
    def decode(self, z: Tensor) -> Tensor:
        """Scaled latents [B, C, h, w] -> [B, 3, 8h, 8w] in [0, 1]."""
        mode = z.to(self.device, torch.float32) / self.record.latent_scale + self.record.latent_shift
        decoded = self._vae.decode(mode.contiguous(memory_format=torch.channels_last))
        pixels = decoded if isinstance(decoded, Tensor) else decoded.sample
        return (pixels * 0.5 + 0.5).clamp(0, 1)

    @torch.inference_mode()
    def decode_onto(self, image: Tensor, z: Tensor, cells: Tensor) -> Tensor:
        """``image`` [1, 3, 8h, 8w] with the box around ``cells``, bool [1, 1, h, w], decoded from ``z`` [1, C, h, w].

        Every cell of the box is as in the whole picture, decoded: the bundled autoencoder is shown as much around it as it looks
        at. Others are shown all, and decode all.
        """
        if not isinstance(self._vae, PatchAutoencoder):
            return self.decode(z)
        wanted, seen = box_around(cells, 0), box_around(cells, self._vae.reach_cells)
        decoded = image.to(self.device, torch.float32).clone()
        part = self.decode(z[seen])
        decoded[in_pixels(wanted, self.record.stride)] = part[in_pixels(wanted, self.record.stride, seen)]
        return decoded

    @torch.inference_mode()
    def predict(self, image: Tensor, mask: Tensor, eps: Tensor, *, effects: bool = True) -> Prediction:
        """One OSOR step: encode, add noise, run the backbone once on ``[z_t, mask, z]``, read off z0 and alpha.

        ``image`` [B, 3, H, W] in [0, 1] with the object, ``mask`` [B, 1, H, W] of zeros and ones; ``eps`` unit normal,
        [B, C, h, w] or one tile [1, C, h, w] for all. Noise goes onto the frame's own latent (OSOR); a model that
        predicts a residual starts from the frame with its hole filled by the record's ``first_guess``. Alpha is the
        backbone's last channel, or the answer of the folder's own head, which also adds to the mask what it has missed of the
        object; then effects of which it is sure are filled with the hole, unless ``effects`` are to stay, and the backbone runs
        only if a fill is asked for.
        """
        image, mask, eps = (tensor.to(self.device, torch.float32) for tensor in (image, mask, eps))
        z = self.encode(image)
        if self._alpha is None:
            start, masked = self._start(image, mask, z)[0], latent_mask(mask, self.record.stride)
            z0, alpha_logit = self._step(start, masked, z, eps)
            return Prediction.complete(z, mask, masked, alpha_logit, z0)
        found = self._find(self._alpha, image, z, mask)
        on_picture = raised(found, image)
        given, mask = mask, self._completed(image, mask, on_picture)
        anew = torch.maximum(mask, self._effects(mask, on_picture[:, 0])) if effects else mask
        masked = latent_mask(anew, self.record.stride)

        @torch.inference_mode()
        def fill(index: int, carried: Aligned | None = None) -> Filled:
            one = slice(index, index + 1)
            parts = (
                image[one],
                anew[one],
                z[one],
                partial(self._beside, image[one], mask[one], on_picture[one]),
            )
            if carried is None or self.record.prediction_type != "residual":
                start, guess = self._start(*parts)
            else:
                start, guess = self._start_from(*parts, carried, (masked[one] > 0) & (carried.trust > SURELY))
            z0, _ = self._step(start, masked[one], z[one], eps[one] if len(eps) > 1 else eps)
            return Filled(z0, guess if self.record.first_guess == "patches" else None)

        return Prediction(z, mask, anew, masked, found[:, :1], fill, anew - given)

    def _find(self, finder: AlphaFinder, image: Tensor, z: Tensor, mask: Tensor) -> Tensor:
        """The head's logits [B, 2, h, w] for alpha and the object.

        Where the object lies tells it where effects may be. A mask that is not the object's misleads it, and where it sees that
        itself, it is asked again with the object that it found. Of the object counts what it finds either time.
        """
        stages = finder.look(image)

        def ask(which: slice, mask: Tensor) -> Tensor:
            around = self.encode(interpolate_hole(image[which], mask))
            logits: Tensor = finder.head([stage[which] for stage in stages], z[which], around, mask)
            return logits

        found = ask(slice(None), mask)
        taken = raised(found[:, 1:], image)[:, 0].cpu().numpy() > 0
        for index, hole in enumerate(mask[:, 0].cpu().numpy() > 0):
            seen = touching(taken[index], hole)
            if seen.any() and overlap(seen, hole) < AS_MASKED:
                one = slice(index, index + 1)
                again = ask(one, torch.from_numpy(seen)[None, None].to(mask))
                found[one] = torch.cat([again[:, :1], torch.maximum(found[one, 1:], again[:, 1:])], dim=1)
        return found

    def _start_from(
        self,
        image: Tensor,
        mask: Tensor,
        z: Tensor,
        beside: Callable[[], Tensor],
        carried: Aligned,
        sure: Tensor,
    ) -> tuple[Tensor, Tensor | None]:
        """A start that holds to what is ``carried`` in the cells ``sure`` [1, 1, h, w]; only what is left is guessed."""
        covered = (carried.seen > SURELY).float()
        left = mask * (1 - covered)
        if not bool(left.any()):
            return torch.where(sure, carried.z0, z), None
        shown = torch.where(covered > 0, carried.picture, image)
        guessed, picture = self._start(shown, left, z, beside)
        return torch.where(sure, carried.z0, guessed), picture

    def _step(self, start: Tensor, masked: Tensor, z: Tensor, eps: Tensor) -> tuple[Tensor, Tensor]:
        """The backbone once: z0 [B, C, h, w] and its own alpha logit [B, 1, h, w]."""
        z_t = add_noise(start, eps, self.abar)
        out = self._backbone(torch.cat([z_t, masked, z], dim=1))
        channels = self.record.latent_channels
        z0 = predict_x0(z_t, out[:, :channels], self.abar, self.record.prediction_type, start)
        return z0, out[:, channels : channels + 1]

    def _start(
        self, image: Tensor, mask: Tensor, z: Tensor, beside: Callable[[], Tensor] | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """The latent that noise is added to, and the picture that it is of where that is a guess.

        ``beside`` finds what of the mask is ground beside the object: the object's place is filled with that in sight, and then
        the ground's.
        """
        if self.record.prediction_type != "residual":
            return z, None
        fill = FIRST_GUESSES[self.record.first_guess]
        ground = torch.zeros_like(mask) if beside is None else mask * beside()
        guess = fill(image, mask * (1 - ground))
        if bool(ground.any()):
            near = box_around(ground > 0, REFILL_PX)
            guess[near] = fill(guess[near], ground[near])
        return self.encode(guess), guess

    def _completed(self, image: Tensor, mask: Tensor, found: Tensor) -> Tensor:
        """``mask`` [B, 1, H, W] and what it has missed of the object, by the head's logits ``found`` [B, 2, H, W]."""
        parts = zip(image.split(1), mask[:, 0].cpu().numpy(), found.cpu().numpy(), strict=True)
        whole = [
            complete_mask(tensor_to_picture(shot), hole > 0, logits[0], logits[1], self._closer)
            for shot, hole, logits in parts
        ]
        return torch.from_numpy(np.stack(whole))[:, None].to(mask)

    def _beside(self, image: Tensor, mask: Tensor, found: Tensor) -> Tensor:
        """What of one picture's ``mask`` is ground, both [1, 1, H, W], by the head's logits ``found`` [1, 2, H, W]."""
        ground = ground_beside(
            tensor_to_picture(image), mask[0, 0].cpu().numpy() > 0, found[0, 1].cpu().numpy()
        )
        return torch.from_numpy(ground)[None, None].to(mask)

    def _closer(self, picture: Picture, hole: Mask) -> FloatMap:
        """The head's logit for the object [h, w] on an enlarged part of a picture."""
        assert self._alpha is not None  # it has said that something is missing
        image, mask = (
            values.to(self.device, torch.float32)
            for values in (picture_to_tensor(picture), mask_to_tensor(hole))
        )
        found = self._find(self._alpha, image, self.encode(image), mask)
        return np.asarray(raised(found[:, 1:], image)[0, 0].cpu().numpy())

    def _effects(self, mask: Tensor, alpha: Tensor) -> Tensor:
        """The effects that are sure enough to be filled, [B, 1, H, W] of 0 and 1, by the head's logit ``alpha`` [B, H, W].

        Where it is ``SURE_EFFECT`` somewhere, and reaches the ``mask`` [B, 1, H, W], all of an effect goes that is a
        ``LIKELY_EFFECT``: half of a shadow looks worse than the whole. Cells at the hole's rim are
        the object's in part: an effect reaches beyond them, and begins within two.
        """
        found, cell = [], self.record.stride
        for logit, hole in zip(alpha.cpu().numpy(), mask[:, 0].cpu().numpy() > 0, strict=True):
            likely = (logit > LIKELY_EFFECT) & ~hole
            beyond = touching(likely & ~dilate(hole, cell), logit > SURE_EFFECT)
            whole = beyond | (likely & dilate(beyond, 2 * cell))
            found.append(touching(whole, dilate(hole, 2 * cell)))
        return torch.from_numpy(np.stack(found))[:, None].to(mask)

    def _backbone(self, inputs: Tensor) -> Tensor:
        """[B, 2C+1, h, w] -> [B, C+1, h, w] at the record's timestep; all that differs between kinds."""
        inputs = inputs.contiguous(memory_format=torch.channels_last)
        out: Tensor = self._unet(inputs, self.record.timestep).sample
        return out

    def _check_sides(self, image: Tensor) -> None:
        multiple = self.record.multiple_px
        if image.ndim != 4 or image.shape[1] != 3 or any(side % multiple for side in image.shape[-2:]):
            raise ValueError(
                f"expected [B, 3, H, W], sides in multiples of {multiple}, got {tuple(image.shape)}"
            )


def build_autoencoder(architecture: Architecture) -> PatchAutoencoder:
    """A fresh compact autoencoder of stride 8; its random weights come from torch's global generator."""
    return PatchAutoencoder(
        latent_channels=architecture.latent_channels,
        decoder_width=architecture.decoder_width,
        decoder_blocks=architecture.decoder_blocks,
        finish_width=architecture.finish_width,
        finish_blocks=architecture.finish_blocks,
    )


def build_unet(architecture: Architecture) -> Any:
    """A fresh compact UNet with attention at its two lowest levels; weights from torch's global generator."""
    plain = len(architecture.unet_channels) - 2
    return UNet2DModel(
        in_channels=2 * architecture.latent_channels + 1,
        out_channels=architecture.latent_channels + 1,
        layers_per_block=architecture.unet_layers,
        block_out_channels=architecture.unet_channels,
        down_block_types=("DownBlock2D",) * plain + ("AttnDownBlock2D",) * 2,
        up_block_types=("AttnUpBlock2D",) * 2 + ("UpBlock2D",) * plain,
        attention_head_dim=architecture.unet_head_dim,
        norm_num_groups=architecture.unet_norm_groups,
    )


def build_scheduler(prediction_type: PredictionType) -> Any:
    """SDXL's schedule of 1000 steps, shared by the compact model: sqrt(beta) linear, .00085 to .012."""
    return DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type=prediction_type
    )


def save_model(
    folder: Path,
    record: ModelRecord,
    vae: Any,
    unet: Any,
    dtype: torch.dtype = torch.float32,
    alpha: AlphaHead | None = None,
) -> ModelRecord:
    """Write a model folder with weights in ``dtype``; returns the record completed with the files' sha256."""
    networks = {"vae": vae, "unet": unet} | ({"alpha": alpha} if alpha is not None else {})
    for name, network in networks.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        weights = {key: value.detach().to(dtype).contiguous() for key, value in network.state_dict().items()}
        save_file(weights, folder / name / WEIGHTS_FILE)
        network.save_config(folder / name)
    build_scheduler(record.prediction_type).save_config(folder / "scheduler")
    names = FILES + ALPHA_FILES if alpha is not None else FILES
    complete = record.model_copy(update={"files": {name: sha256_of(folder / name) for name in names}})
    complete.write(folder)
    return complete


def _ready(network: nn.Module, device: torch.device) -> nn.Module:
    return network.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)


def load_network(folder: Path) -> Any:
    """One part of a model folder, built from ``config.json`` and filled with exactly the weights of the file, as float32."""
    network = _empty_network(folder / CONFIG_FILE)
    path = folder / WEIGHTS_FILE
    try:
        weights = {name: tensor.float() for name, tensor in load_file(path).items()}
        network.load_state_dict(weights, strict=True)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise WeightsError(
            f"{path} does not hold the weights that its {CONFIG_FILE} describes: {error}"
        ) from error
    return network


def _empty_network(path: Path) -> Any:
    config = _read_json(path)
    kinds = {kind.__name__: kind for kind in (PatchAutoencoder, AutoencoderKL, UNet2DModel, AlphaHead)}
    kind = kinds.get(config.get("_class_name", ""))
    if kind is None:
        raise WeightsError(f"{path} describes {config.get('_class_name')!r}; known are {', '.join(kinds)}.")
    return kind.from_config(config)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise WeightsError(f"{path} is missing or unreadable. Fetch the model folder again.") from error
    return values


def _check_fit(record: ModelRecord, vae: Any, unet: Any, scheduler: Any) -> None:
    channels = record.latent_channels
    facts = {
        "latent channels of vae/": (vae.config["latent_channels"], channels),
        "input channels of unet/": (unet.config["in_channels"], 2 * channels + 1),
        "output channels of unet/": (unet.config["out_channels"], channels + 1),
        "prediction type of scheduler/": (scheduler.config["prediction_type"], record.prediction_type),
    }
    for what, (found, expected) in facts.items():
        if found != expected:
            raise WeightsError(
                f"The parts of model {record.name!r} do not fit: {what} is {found}, not {expected}."
            )
