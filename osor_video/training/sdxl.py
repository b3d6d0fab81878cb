"""Fine-tuning of SDXL-inpainting as OSOR does it (arXiv 2606.28094), by the compact model's objective and loop."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from osor_video.errors import ConfigError
from osor_video.removal.adapter import SDXL_LAYOUT, add_adapters, read_adapter, widen_output, write_adapter
from osor_video.removal.alpha import FIRST_LOGIT
from osor_video.removal.prompt import PromptEmbeddings, encode_prompt
from osor_video.removal.record import AdapterRecord, sha256_of
from osor_video.removal.sdxl import SdxlBase, check_prompt, load_base
from osor_video.report import Progress, silent
from osor_video.training.config import SdxlLoraConfig
from osor_video.training.loop import CHECKPOINT, read_averaged
from osor_video.training.lora import AdaptedUNet, Frozen, save_memory
from osor_video.training.picture_loss import build_picture_loss
from osor_video.training.remover import RemovalLoss, Sources, train_on_pairs

PROMPT_FILE = "prompt.safetensors"
RECORD_FILE = "adapter.json"


class KlCoder(nn.Module):
    """diffusers' AutoencoderKL with a posterior's mode for its latent; always in float32.

    SDXL's autoencoder overflows in half precision (its ``force_upcast``).
    """

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae.requires_grad_(False)
        self.shift = float(vae.config.get("shift_factor") or 0.0)

    def encode(self, pictures: Tensor) -> Tensor:
        """[B, 3, H, W] in [-1, 1] -> [B, C, h, w], not yet scaled."""
        with torch.autocast(pictures.device.type, enabled=False):
            mode: Tensor = self.vae.encode(pictures.float()).latent_dist.mode()
        return mode - self.shift

    def decode(self, z: Tensor) -> Tensor:
        """The pictures of latents that are no longer scaled."""
        with torch.autocast(z.device.type, enabled=False):
            pictures: Tensor = self.vae.decode(z.float() + self.shift).sample
        return pictures


def adapt(base: SdxlBase, prompt: PromptEmbeddings, config: SdxlLoraConfig) -> AdaptedUNet:
    """``base.unet`` with fresh adapters from the run's seed, on the run's device; phase 2 gives it alpha's channel.

    Where the loop's precision is bf16 the frozen part is held so, too; what is trained stays in float32.
    """
    unet, dtype = base.unet, torch.bfloat16 if config.loop.precision == "bf16" else torch.float32
    check_prompt(prompt, unet.config)
    torch.manual_seed(config.loop.seed)
    rows = base.latent_channels + (1 if config.phase == 2 else 0)
    widen_output(unet, SDXL_LAYOUT.whole, rows, FIRST_LOGIT)
    add_adapters(unet, config.rank)
    unet.to(config.loop.device, memory_format=torch.channels_last)
    for parameter in unet.parameters():
        if not parameter.requires_grad:
            parameter.data = parameter.data.to(dtype)
    return AdaptedUNet(Frozen(unet, prompt.to(config.loop.device), dtype))


def build_objective(base: SdxlBase, config: SdxlLoraConfig) -> RemovalLoss:
    """The objective of the compact model, in the latent space of the base."""
    coder = KlCoder(base.vae).to(config.loop.device, memory_format=torch.channels_last)
    if config.loop.gradient_checkpointing:
        save_memory(base.vae)
    found = base.scheduler.config["prediction_type"]
    if found != config.prediction_type:
        raise ConfigError(f"prediction_type is {config.prediction_type}, but the base's is {found}.")
    abar = float(base.scheduler.alphas_cumprod[config.timestep])
    scale = float(base.vae.config["scaling_factor"])
    return RemovalLoss(coder, scale, abar, config, build_picture_loss(config), base.z0_limit)


@dataclass(frozen=True)
class Beginning:
    """What a LoRA run begins with: ``base``, and perhaps an ``adapter`` and ready ``prompt`` embeddings."""

    base: str
    adapter: Path | None = None
    prompt: Path | None = None


def train_sdxl_lora(
    config: SdxlLoraConfig,
    beginning: Beginning,
    photos_folder: Path,
    cutouts_folder: Path,
    out: Path,
    plates_folder: Path | None = None,
    progress: Progress = silent,
) -> nn.Module:
    """Train (or go on training) in ``out``; returns the averaged AdaptedUNet.

    ``out`` also gets the embeddings of the prompt and the beginning of the adapter's record.
    """
    torch.set_num_threads(config.loop.threads)
    sources = Sources.open(photos_folder, cutouts_folder, plates_folder)
    record = _open_record(config, beginning, out)
    has_begun = (out / CHECKPOINT).exists()
    adapter = None if beginning.adapter is None or has_begun else read_adapter(beginning.adapter)
    base = load_base(beginning.base)
    prompt = _open_prompt(beginning, out)
    module = adapt(base, prompt, config)
    if adapter is not None:
        module.begin_with(adapter, str(beginning.adapter))
    objective = build_objective(base, config)
    out.mkdir(parents=True, exist_ok=True)
    prompt.write(out / PROMPT_FILE)
    record.write(out / RECORD_FILE)
    return train_on_pairs(module, objective, sources, base.latent_channels, out, progress)


def export_adapter(config: SdxlLoraConfig, run: Path, path: Path) -> AdapterRecord:
    """Write the averaged adapter of a run as ``path`` (``.pth`` or ``.safetensors``), its record beside it."""
    tensors, facts = read_averaged(run)
    write_adapter(path, tensors)
    begun = AdapterRecord.read(run / RECORD_FILE)
    made = {
        "how": "fine-tuned by osor_video.training",
        **begun.made,
        **facts,
        "batch": config.loop.batch,
        "hardware": f"{config.loop.device}, {platform.machine()}",
    }
    record = begun.model_copy(update={"made": made, "sha256": sha256_of(path)})
    record.write(path.with_suffix(".json"))
    return record


def _open_record(config: SdxlLoraConfig, beginning: Beginning, out: Path) -> AdapterRecord:
    """The record that a run begins with; ConfigError where another kind of run lies in ``out``."""
    began: dict[str, str | int | float] = {"began_with": beginning.adapter.name} if beginning.adapter else {}
    record = AdapterRecord(
        base=beginning.base,
        phase=config.phase,
        timestep=config.timestep,
        prediction_type=config.prediction_type,
        rank=config.rank,
        made=began,
    )
    if not (out / RECORD_FILE).exists():
        return record
    begun = AdapterRecord.read(out / RECORD_FILE)
    facts = ("base", "phase", "timestep", "prediction_type", "rank")
    for fact in facts:
        found, wanted = getattr(begun, fact), getattr(record, fact)
        if found != wanted:
            raise ConfigError(
                f"{out} holds a run with {fact} {found}, not {wanted}. Give another folder; --adapter begins with "
                "what an earlier run exported."
            )
    return begun


def _open_prompt(beginning: Beginning, out: Path) -> PromptEmbeddings:
    """The run's own embeddings where it has begun, else those given, else freshly encoded ones."""
    if (out / PROMPT_FILE).exists():
        return PromptEmbeddings.read(out / PROMPT_FILE)
    if beginning.prompt is not None:
        return PromptEmbeddings.read(beginning.prompt)
    encoded: PromptEmbeddings = encode_prompt(beginning.base)
    return encoded
