"""SDXL at its true size with random weights: our path against a plain loop over whole frames, without any download.

The plain loop is what the published script does with a picture, done for each frame: the adapter beside the base's weights
(PEFT), one frame at a time, the whole frame resized to the raster, a sample of the autoencoder's posterior, and back. Each
runs in a process of its own on the same frames, so that memory is its own too.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any, Literal

import cv2
import numpy as np
import torch
from torch import nn

from osor_video.benchmark.random_sdxl import (
    RANKS,
    Scale,
    encode_random_words,
    random_adapter,
    random_base,
    random_encoders,
    random_prompt,
)
from osor_video.config import RemovalConfig
from osor_video.errors import OsorError
from osor_video.memory import peak_memory_mb
from osor_video.removal.adapter import attach_adapter, merge_adapter
from osor_video.removal.choose import choose_device, choose_dtype
from osor_video.removal.coder import LatentCoder
from osor_video.removal.crop import bounding_box, plan_crops
from osor_video.removal.published import PublishedModel, Running
from osor_video.removal.record import ModelRecord
from osor_video.removal.remover import OneStepRemover, RemovalInput, RemoverState
from osor_video.removal.sdxl import SdxlBackbone, SdxlBase
from osor_video.removal.step import add_noise, blend, latent_mask, predict_x0
from osor_video.tensors import FloatMap, Mask, Picture, mask_to_tensor, picture_to_tensor

Side = Literal["ours", "plain"]
FRAME_HW = (1080, 1920)
TIMESTEP = 400
STAGES = ("encode", "network", "decode")


@dataclass(frozen=True)
class FullSizeJob:
    """What to measure, and on what."""

    scale: Scale = "full"
    raster_px: int = 512
    frames: int = 48
    batch: int | None = None
    device: str = "auto"
    dtype: str = "auto"
    compiled: bool = False


@dataclass(frozen=True)
class FullSizeRun:
    """One side's figures: seconds for all frames after a first that is not counted, and in each network."""

    side: Side
    frames: int
    raster_hw: tuple[int, int]
    wall_s: float
    seconds: dict[str, float]
    peak_memory_mb: float | None

    @property
    def frames_per_s(self) -> float:
        """Frames over wall time."""
        return self.frames / max(self.wall_s, 1e-9)


@dataclass(frozen=True)
class EncoderRun:
    """Of both text encoders, which run once for a model: their weights, seconds for a prompt, and memory."""

    weights: int
    seconds: float
    peak_memory_mb: float | None


def measure_fullsize(job: FullSizeJob) -> list[FullSizeRun]:
    """Both sides, the plain loop first, each in a fresh process; OsorError where one ends badly."""
    choose_device(job.device)  # an error of the user's is said before anything is built
    runs = [_in_a_process(side, job) for side in ("plain", "ours")]
    return [FullSizeRun(**(values | {"raster_hw": tuple(values["raster_hw"])})) for values in runs]


def measure_encoders(job: FullSizeJob) -> EncoderRun:
    """The text encoders in a process of their own; the same errors."""
    return EncoderRun(**_in_a_process("encoders", job))


def _in_a_process(side: str, job: FullSizeJob) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "osor_video.benchmark.fullsize"],
        input=json.dumps({"side": side, "job": asdict(job)}),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message, as when memory runs out"]
        raise OsorError(
            f"The {side} side of the measurement ended with code {done.returncode}: {lines[-1]}. Full size in float32 takes "
            "about 15 GB; --dtype bfloat16 half of that."
        )
    values: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return values


# --- the clip ---------------------------------------------------------------------------------------------


def clip(frames: int) -> Iterator[tuple[Picture, Mask]]:
    """1080p pictures of smooth noise with an object of 200 x 400 px that walks through them, and its masks."""
    noise = np.random.default_rng(0).integers(0, 256, (27, 48, 3)).astype(np.uint8)
    ground = cv2.resize(noise, FRAME_HW[::-1], interpolation=cv2.INTER_CUBIC)
    for index in range(frames):
        mask = np.zeros(FRAME_HW, dtype=bool)
        left = 300 + 4 * index
        mask[400:800, left : left + 200] = True
        picture = ground.copy()
        picture[mask] = (200, 40, 30)
        yield picture, mask


# --- both sides -------------------------------------------------------------------------------------------


def run_ours(job: FullSizeJob) -> FullSizeRun:
    """The adapter merged, a steady crop around the object, frames in batches, the latent carried along."""
    device = choose_device(job.device)
    dtype = choose_dtype(job.dtype, device)
    base = random_base(job.scale, dtype)
    prompt = random_prompt(base.unet)
    merge_adapter(base.unet, random_adapter(base.unet, RANKS[job.scale], dtype))
    record = ModelRecord(
        name="osor-sdxl, random weights",
        licence="none",
        timestep=TIMESTEP,
        prediction_type="epsilon",
        latent_channels=4,
        latent_scale=float(base.vae.config["scaling_factor"]),
        stride=8,
        multiple_px=SdxlBackbone.multiple_px,
        raster_px=job.raster_px,
    )
    backbone = SdxlBackbone(base, prompt, TIMESTEP)
    model = PublishedModel(backbone, base.vae, record, Running(device, dtype, compiled=job.compiled))
    config = RemovalConfig(batch=job.batch, published_raster_px=job.raster_px)
    remover = OneStepRemover(model, config, seed=0)
    shots = list(clip(job.frames + remover.batch))
    crops = plan_crops(
        [bounding_box(mask) for _, mask in shots],
        FRAME_HW,
        config.context,
        remover.raster_px,
        record.multiple_px,
    )
    still = np.zeros((*FRAME_HW, 2), np.float32)
    inputs = [
        RemovalInput(picture, mask, crop, still)
        for (picture, mask), crop in zip(shots, crops, strict=True)
        if crop is not None
    ]
    state: RemoverState | None = None

    def remove(batch: Sequence[RemovalInput]) -> None:
        nonlocal state
        answers, state = remover.remove(batch, state)
        for answer in answers:
            assert answer.rgb.shape == (*FRAME_HW, 3)

    batches = [inputs[begin : begin + remover.batch] for begin in range(0, len(inputs), remover.batch)]
    return _timed("ours", remove, batches, base, device, inputs[0].crop.raster_hw)


def run_plain(job: FullSizeJob) -> FullSizeRun:
    """The adapter beside the weights, one whole resized frame at a time."""
    device = choose_device(job.device)
    dtype = choose_dtype(job.dtype, device)
    base = random_base(job.scale, dtype)
    prompt = random_prompt(base.unet).to(device, dtype)
    attach_adapter(base.unet, random_adapter(base.unet, RANKS[job.scale], dtype))
    nn.Module.to(base.unet, device, dtype)
    coder_dtype = LatentCoder(base.vae, device, dtype).dtype
    abar = float(base.scheduler.alphas_cumprod[TIMESTEP])
    scale, size = float(base.vae.config["scaling_factor"]), plain_raster(FRAME_HW, job.raster_px)
    generator = torch.Generator().manual_seed(0)

    @torch.inference_mode()
    def remove(shot: tuple[Picture, Mask]) -> FloatMap:
        picture, mask = shot
        image = picture_to_tensor(cv2.resize(picture, size[::-1], interpolation=cv2.INTER_AREA)).to(device)
        hole = mask_to_tensor(cv2.resize(mask.astype(np.uint8), size[::-1]) > 0).to(device)
        z = base.vae.encode((2 * image - 1).to(coder_dtype)).latent_dist.sample().float() * scale
        m, eps = latent_mask(hole, 8), torch.randn(z.shape, generator=generator).to(device)
        z_t = add_noise(z, eps, abar)
        inputs = torch.cat([z_t, m, z], dim=1).to(dtype)
        out = base.unet(inputs, TIMESTEP, **prompt.arguments(1, size)).sample.float()
        z0 = predict_x0(z_t, out[:, :4], abar, "epsilon", z)
        decoded = base.vae.decode((blend(z0, z, out[:, 4:]) / scale).to(coder_dtype)).sample
        values = (decoded[0].float() / 2 + 0.5).clamp(0, 1).permute(1, 2, 0).cpu().numpy()
        return np.asarray(cv2.resize(values, FRAME_HW[::-1], interpolation=cv2.INTER_CUBIC))

    return _timed("plain", remove, list(clip(job.frames + 1)), base, device, size)


def run_encoders(job: FullSizeJob) -> EncoderRun:
    """One prompt, after one that does not count; on a GPU in half precision as ``removal/prompt.py`` has it."""
    device = choose_device(job.device)
    dtype = torch.float32 if device.type == "cpu" else torch.float16
    encoders = random_encoders(job.scale)
    for encoder in encoders:
        encoder.to(device, dtype)
    encode_random_words(encoders)
    _finish(device)
    begun = perf_counter()
    encode_random_words(encoders)
    weights = sum(parameter.numel() for encoder in encoders for parameter in encoder.parameters())
    return EncoderRun(weights, perf_counter() - begun, _peak_mb(device))


def plain_raster(frame_hw: tuple[int, int], short_px: int) -> tuple[int, int]:
    """The published script's raster: the short side at ``short_px``, both rounded up to multiples of 16."""
    scale = short_px / min(frame_hw)
    height, width = (math.ceil(side * scale / 16) * 16 for side in frame_hw)
    return height, width


def _timed(
    side: Side,
    remove: Callable[[Any], object],
    portions: Sequence[Any],
    base: SdxlBase,
    device: torch.device,
    raster_hw: tuple[int, int],
) -> FullSizeRun:
    """Run all ``portions``; the first, in which memory is allocated and kernels are chosen, does not count."""
    remove(portions[0])
    seconds = dict.fromkeys(STAGES, 0.0)
    watched = zip(STAGES, (base.vae.encoder, base.unet, base.vae.decoder), strict=True)
    frames = sum(len(portion) if side == "ours" else 1 for portion in portions[1:])
    with _watching(dict(watched), seconds, device):
        begun = perf_counter()
        for portion in portions[1:]:
            remove(portion)
        wall = perf_counter() - begun
    return FullSizeRun(side, frames, raster_hw, wall, seconds, _peak_mb(device))


def _peak_mb(device: torch.device) -> float | None:
    """MiB of a CUDA device that torch held at most; elsewhere of the process."""
    return torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else peak_memory_mb()


@contextmanager
def _watching(
    networks: dict[str, nn.Module], seconds: dict[str, float], device: torch.device
) -> Iterator[None]:
    """Add to ``seconds`` the time that each network takes, by its name."""
    begun: dict[str, float] = {}

    def start(name: str) -> Callable[..., None]:
        def note(*_: object) -> None:
            _finish(device)
            begun[name] = perf_counter()

        return note

    def stop(name: str) -> Callable[..., None]:
        def note(*_: object) -> None:
            _finish(device)
            seconds[name] += perf_counter() - begun[name]

        return note

    handles = []
    for name, network in networks.items():
        handles += [
            network.register_forward_pre_hook(start(name)),
            network.register_forward_hook(stop(name)),
        ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


if __name__ == "__main__":
    told = json.load(sys.stdin)
    sides: dict[str, Callable[[FullSizeJob], Any]] = {
        "ours": run_ours,
        "plain": run_plain,
        "encoders": run_encoders,
    }
    chosen = sides[told["side"]]
    sys.stdout.write(json.dumps(asdict(chosen(FullSizeJob(**told["job"])))) + "\n")
