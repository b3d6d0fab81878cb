"""From settings to a loaded model: which one, on which device, in which precision."""

from __future__ import annotations

from pathlib import Path

import torch

from osor_video.config import RemovalConfig
from osor_video.errors import ConfigError, WeightsError
from osor_video.removal.adapter import FILES
from osor_video.removal.catalogue import BUNDLED, FLUX_NOTICE, MODELS, bundled_model_path
from osor_video.removal.folder import BASE, ModelFolder, is_published
from osor_video.removal.model import OsorModel
from osor_video.removal.prediction import RemovalModel
from osor_video.removal.record import RECORD_FILE

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
DEFAULT = "osor-sdxl"


def build_model(config: RemovalConfig) -> RemovalModel:
    """Load the model that ``config`` names.

    WeightsError where it is missing or damaged, ConfigError where the device is not there or an option is not the model's.
    """
    found = find_model(config)
    if isinstance(found, Path):
        return _compact(found, config)
    from osor_video.removal.published import Running, load_published  # noqa: PLC0415  (many need the bundled one only)

    device = choose_device(config.device)
    if config.offload == "on" and device.type == "cpu":
        raise ConfigError(
            "removal.offload is for GPUs with little memory, and the device is cpu. Leave it out."
        )
    running = Running(
        device,
        choose_dtype(config.dtype, device),
        config.merge,
        config.compile,
        config.offload,
        config.vae_tiling,
        config.tiny_vae,
    )
    return load_published(found, running)


def find_model(config: RemovalConfig) -> Path | ModelFolder:
    """Where the model lies that ``config`` names: the folder of a compact one, or the parts of a published one."""
    named = config.model
    if config.base is not None and (named is None or str(named) in (BUNDLED, *MODELS)):
        raise ConfigError(
            f"removal.base is {config.base}, and {named or 'the model that is chosen'} has its own. Give it with the path of an "
            "adapter (--model ADAPTER.pth)."
        )
    if named is None:
        default = MODELS[DEFAULT]
        wanted = choose_device(config.device).type == "cuda" and not default.missing()
        return default.open() if wanted else bundled_model_path()
    if str(named) == BUNDLED:
        return bundled_model_path()
    if str(named) in MODELS:
        return MODELS[str(named)].open()
    path = Path(named)
    if not path.exists():
        raise WeightsError(
            f"The model {str(named)!r} is neither a name ({', '.join((BUNDLED, *MODELS))}) nor a folder that exists."
        )
    if is_published(path):
        return ModelFolder.open(path, base_name=config.base)
    if path.is_file() or not (path / RECORD_FILE).exists():
        raise WeightsError(
            f"{path} is no model: expected a folder with {BASE}/ and an adapter, an adapter ({' or '.join(FILES)}), or a "
            f"compact model's folder with {RECORD_FILE}. See osor-video models for those with a name."
        )
    return path


def notice_of(config: RemovalConfig) -> str | None:
    """What the user has to be told of the licence of the chosen model."""
    found = find_model(config)
    return FLUX_NOTICE if isinstance(found, ModelFolder) and found.kind == "flux" else None


def choose_device(named: str) -> torch.device:
    """``auto`` takes CUDA, then Apple's MPS, then the processor; ConfigError where the one named is not there."""
    there = {"cuda": torch.cuda.is_available, "mps": torch.backends.mps.is_available, "cpu": lambda: True}
    if named == "auto":
        return torch.device(next(kind for kind, is_there in there.items() if is_there()))
    if not there[named]():
        raise ConfigError(
            f"The device is {named}, which torch does not find on this computer. Take cpu or auto, or install a torch "
            "made for it."
        )
    return torch.device(named)


def choose_dtype(named: str, device: torch.device) -> torch.dtype:
    """``auto``: bfloat16 on CUDA where it has it, float16 on other GPUs, float32 on a processor."""
    if named != "auto":
        return DTYPES[named]
    if device.type == "cpu":
        return torch.float32
    has_bfloat16 = device.type == "cuda" and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if has_bfloat16 else torch.float16


def _compact(folder: Path, config: RemovalConfig) -> OsorModel:
    """A compact model: always in float32, and on the processor unless a device is named, for which it is made."""
    asked = {
        "dtype": config.dtype not in ("auto", "float32"),
        "merge": not config.merge,
        "compile": config.compile,
        "offload": config.offload == "on",
        "vae_tiling": config.vae_tiling == "on",
        "tiny_vae": config.tiny_vae is not None,
        "base": config.base is not None,
    }
    named = [f"removal.{option}" for option, is_asked in asked.items() if is_asked]
    if named:
        raise ConfigError(
            f"{' and '.join(named)} cannot be had with the compact model {folder.name}, expected one of "
            f"{', '.join(MODELS)} or a folder of that form with --model."
        )
    device = torch.device("cpu") if config.device == "auto" else choose_device(config.device)
    return OsorModel.from_folder(folder, device)
