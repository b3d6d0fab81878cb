"""Which flow a run uses, and where RAFT's weights come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from osor_video.config import FlowConfig
from osor_video.errors import WeightsError
from osor_video.flow.estimate import DisFlow, FlowEstimator, RaftFlow
from osor_video.tensors import load_tensors

BUNDLED = Path(__file__).parent / "bundled" / "raft_small.safetensors"
"""Weights of our own, where the package has them."""
HOW_TO_GET_RAFT = "for RAFT pass --flow-weights FILE, or --flow raft to fetch torchvision's weights once"


def build_flow(config: FlowConfig, device: torch.device | str = "cpu") -> FlowEstimator:
    """The estimator that ``config`` asks for; its ``name`` goes into the report.

    ``auto`` takes RAFT where a weights file is given, torchvision's own is in the cache, or the package has weights;
    else DIS. ``raft`` may also download. Raises WeightsError where RAFT is asked for and cannot be had.
    """
    cached = _torchvision_cache()
    ready = config.weights is not None or cached.exists() or BUNDLED.exists()
    if config.backend == "dis" or (config.backend == "auto" and not ready):
        return DisFlow(config.fine_px)
    state, origin = _load_state(config, cached)
    from torchvision.models.optical_flow import raft_small  # noqa: PLC0415  (torchvision takes seconds to import)

    net = raft_small()
    try:
        net.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise WeightsError(
            f"{origin} holds other weights than torchvision's raft_small. Pass a raft_small state dict."
        ) from error
    return RaftFlow(net, config.height_px, config.fine_px, config.updates, origin, torch.device(device))


def weights_file(config: FlowConfig) -> Path | None:
    """The file that ``build_flow`` reads its weights from, where one is at hand; None for DIS."""
    files = [config.weights] if config.weights else [_torchvision_cache(), BUNDLED]
    return None if config.backend == "dis" else next((file for file in files if file.exists()), None)


def _load_state(config: FlowConfig, cached: Path) -> tuple[dict[str, Any], str]:
    if config.weights is not None:
        return _read_state(config.weights), config.weights.name
    if cached.exists():
        return _read_state(cached), "torchvision"
    if config.backend == "auto":
        return _read_state(BUNDLED), "bundled"
    from torchvision.models.optical_flow import Raft_Small_Weights  # noqa: PLC0415

    try:
        return dict(Raft_Small_Weights.DEFAULT.get_state_dict(progress=False, check_hash=True)), "torchvision"
    except OSError as error:
        raise WeightsError(
            f"RAFT's weights are neither at {cached} nor can they be fetched ({error}). Pass --flow-weights FILE, "
            "or --flow dis to do without."
        ) from error


def _torchvision_cache() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints" / "raft_small_C_T_V2-01064c6d.pth"


def _read_state(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise WeightsError(
            f"Flow weights {path} do not exist. Give a raft_small state dict (.safetensors or .pth)."
        )
    state = load_tensors(path)
    if not isinstance(state, dict):
        raise WeightsError(
            f"Flow weights {path} cannot be read: expected a state dict, found a {type(state).__name__}."
        )
    return state
