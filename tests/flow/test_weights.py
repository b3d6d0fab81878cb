"""Which flow is built, and each way that weights can be wrong; torch's cache is the test's own folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from osor_video.config import FlowConfig
from osor_video.errors import WeightsError
from osor_video.flow.estimate import DisFlow, RaftFlow
from osor_video.flow.weights import build_flow

CACHED = "hub/checkpoints/raft_small_C_T_V2-01064c6d.pth"


@pytest.fixture(autouse=True)
def bundled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place of the package's own weights: empty, until a test puts some there."""
    path = tmp_path / "package/raft_small.safetensors"
    path.parent.mkdir()
    monkeypatch.setattr("osor_video.flow.weights.BUNDLED", path)
    return path


@pytest.fixture(autouse=True)
def torch_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch"


@pytest.fixture
def raft_state() -> dict[str, Any]:
    from torchvision.models.optical_flow import raft_small  # noqa: PLC0415  (takes seconds to import)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return dict(raft_small().state_dict())


def test_auto_without_weights_is_dis() -> None:
    flow = build_flow(FlowConfig())
    assert isinstance(flow, DisFlow)
    assert flow.name == "DIS (OpenCV)"


def test_dis_is_taken_when_asked_for_whatever_is_cached(torch_home: Path) -> None:
    (torch_home / CACHED).parent.mkdir(parents=True)
    (torch_home / CACHED).write_bytes(b"never read")
    assert isinstance(build_flow(FlowConfig(backend="dis")), DisFlow)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_given_file_makes_raft(tmp_path: Path, raft_state: dict[str, Any], suffix: str) -> None:
    path = tmp_path / f"mine{suffix}"
    save_file(raft_state, path) if suffix == ".safetensors" else torch.save(raft_state, path)
    flow = build_flow(FlowConfig(weights=path, updates=1))
    assert isinstance(flow, RaftFlow)
    assert flow.name == f"RAFT-small (mine{suffix})"
    picture = np.random.default_rng(0).integers(0, 255, (128, 128, 3), dtype=np.uint8)
    assert flow.match(flow.encode(picture), flow.encode(picture)).forward.shape == (1, 2, 128, 128)


def test_auto_takes_what_torchvision_has_cached(torch_home: Path, raft_state: dict[str, Any]) -> None:
    (torch_home / CACHED).parent.mkdir(parents=True)
    torch.save(raft_state, torch_home / CACHED)
    assert build_flow(FlowConfig()).name == "RAFT-small (torchvision)"


def test_auto_takes_the_packages_weights_last(
    tmp_path: Path, torch_home: Path, bundled: Path, raft_state: dict[str, Any]
) -> None:
    save_file({name: value.half() for name, value in raft_state.items()}, bundled)
    assert build_flow(FlowConfig()).name == "RAFT-small (bundled)"
    assert build_flow(FlowConfig(backend="dis")).name == "DIS (OpenCV)"
    (torch_home / CACHED).parent.mkdir(parents=True)
    torch.save(raft_state, torch_home / CACHED)
    assert build_flow(FlowConfig()).name == "RAFT-small (torchvision)"
    save_file(raft_state, tmp_path / "mine.safetensors")
    assert build_flow(FlowConfig(weights=tmp_path / "mine.safetensors")).name.endswith("(mine.safetensors)")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.pth do not exist\. Give a raft_small state dict"):
        build_flow(FlowConfig(weights=tmp_path / "none.pth"))


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_file_that_is_no_weights_cannot_be_read(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"wrong{suffix}"
    path.write_bytes(b"these are no weights, whatever the name says")
    with pytest.raises(WeightsError, match=rf"wrong\{suffix} cannot be read"):
        build_flow(FlowConfig(weights=path))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"layer.weight": torch.zeros(3)}, path)
    with pytest.raises(WeightsError, match=r"other\.safetensors holds other weights than torchvision"):
        build_flow(FlowConfig(weights=path))


def test_weights_that_lack_one_entry_are_refused(tmp_path: Path, raft_state: dict[str, Any]) -> None:
    raft_state.pop(next(iter(raft_state)))
    torch.save(raft_state, tmp_path / "short.pth")
    with pytest.raises(WeightsError, match="holds other weights"):
        build_flow(FlowConfig(weights=tmp_path / "short.pth"))


def test_a_file_that_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    torch.save(torch.zeros(3), tmp_path / "tensor.pth")
    with pytest.raises(WeightsError, match=r"tensor\.pth cannot be read"):
        build_flow(FlowConfig(weights=tmp_path / "tensor.pth"))
