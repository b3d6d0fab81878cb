"""Which flow a run uses, and where RAFT's weights come from."""

from __future__ import annotations

from pathlib import Path

import torch

from osor_video.config import FlowConfig
from osor_video.errors import WeightsError
from osor_video.flow.estimate import DisFlow, FlowEstimator, RaftFlow
from osor_video.tensors import load_tensors

BUNDLED = Path(__file__).parent / "bundled" / "raft_small.safetensors"
"""Weights trained by ``osor_video.training``, with their record beside them."""


def build_flow(config: FlowConfig, device: torch.device | str = "cpu") -> FlowEstimator:
    """The estimator that ``config`` asks for; its ``name`` goes into the report.

    WeightsError where RAFT's weights are missing, damaged, or another network's.
    """
    path = weights_file(config)
    if path is None:
        return DisFlow(config.fine_px)
    from torchvision.models.optical_flow import raft_small  # noqa: PLC0415  (torchvision takes seconds to import)

    net = raft_small()
    try:
        net.load_state_dict(_read_state(path), strict=True)
    except RuntimeError as error:
        raise WeightsError(
            f"{path.name} holds other weights than torchvision's raft_small. Pass a raft_small state dict."
        ) from error
    origin = "bundled" if path == BUNDLED else path.name
    return RaftFlow(net, config.height_px, config.fine_px, config.updates, origin, torch.device(device))


def weights_file(config: FlowConfig) -> Path | None:
    """The file that ``build_flow`` reads its weights from; None for DIS."""
    return None if config.backend == "dis" else config.weights or BUNDLED


def _read_state(path: Path) -> dict[str, torch.Tensor]:
    if not path.is_file():
        advice = (
            "The package is incomplete; install osor-video again, or pass --flow dis"
            if path == BUNDLED
            else "Give a raft_small state dict (.safetensors or .pth)"
        )
        raise WeightsError(f"Flow weights {path} do not exist. {advice}.")
    state = load_tensors(path)
    if not isinstance(state, dict):
        raise WeightsError(
            f"Flow weights {path} cannot be read: expected a state dict, found a {type(state).__name__}."
        )
    return state
