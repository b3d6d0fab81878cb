"""Which flow is built, what the package's weights are worth, and each way that weights can be wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from osor_video.config import FlowConfig
from osor_video.errors import WeightsError
from osor_video.flow.estimate import DisFlow, RaftFlow, encode_frames, enlarge_flow, match_frames
from osor_video.flow.weights import BUNDLED, build_flow, weights_file
from osor_video.removal.record import sha256_of
from osor_video.tensors import picture_to_tensor
from osor_video.training.validate_flow import beats_dis

CLIP = Path(__file__).parents[2] / "clips" / "walk.mp4"


@pytest.fixture
def raft_state() -> dict[str, Any]:
    from torchvision.models.optical_flow import raft_small  # noqa: PLC0415  (takes seconds to import)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return dict(raft_small().state_dict())


def test_without_a_word_raft_has_the_packages_weights() -> None:
    flow = build_flow(FlowConfig())
    assert isinstance(flow, RaftFlow)
    assert flow.name == "RAFT-small (bundled)"
    assert weights_file(FlowConfig()) == BUNDLED


def test_dis_is_taken_when_asked_for_and_needs_no_weights(tmp_path: Path) -> None:
    flow = build_flow(FlowConfig(backend="dis", weights=tmp_path / "never read.pth"))
    assert isinstance(flow, DisFlow)
    assert flow.name == "DIS (OpenCV)"
    assert weights_file(FlowConfig(backend="dis")) is None


def test_the_packages_weights_are_those_of_the_record_and_beat_dis() -> None:
    record = json.loads(BUNDLED.with_suffix(".json").read_text(encoding="utf-8"))
    assert record["sha256"] == sha256_of(BUNDLED)
    assert beats_dis(record["validation"])


def test_the_packages_weights_follow_a_picture_that_shifts() -> None:
    """By 13 pixels to the right and 6 down, on eighths of the size and without the help of DIS."""
    with av.open(str(CLIP)) as container:
        picture = picture_to_tensor(next(container.decode(video=0)).to_ndarray(format="rgb24"))
    flow = build_flow(FlowConfig())
    assert isinstance(flow, RaftFlow)
    net = flow._net
    first, second = (
        encode_frames(net, picture[..., 16 - y : 240 - y, 24 - x : 424 - x]) for x, y in ((0, 0), (13, 6))
    )
    *_, cells = match_frames(net, first, second, 4)
    forward, backward = enlarge_flow(cells)[..., 32:-32, 32:-32].flatten(2).median(dim=2).values.tolist()
    assert forward == pytest.approx([13.0, 6.0], abs=1.0)
    assert backward == pytest.approx([-13.0, -6.0], abs=1.0)


def test_a_package_without_its_weights_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("osor_video.flow.weights.BUNDLED", tmp_path / "raft_small.safetensors")
    with pytest.raises(
        WeightsError, match=r"do not exist\. The package is incomplete; .* or pass --flow dis"
    ):
        build_flow(FlowConfig())


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_a_given_file_makes_raft(tmp_path: Path, raft_state: dict[str, Any], suffix: str) -> None:
    path = tmp_path / f"mine{suffix}"
    save_file(raft_state, path) if suffix == ".safetensors" else torch.save(raft_state, path)
    flow = build_flow(FlowConfig(weights=path, updates=1))
    assert isinstance(flow, RaftFlow)
    assert flow.name == f"RAFT-small (mine{suffix})"
    picture = np.random.default_rng(0).integers(0, 255, (128, 128, 3), dtype=np.uint8)
    assert flow.match(flow.encode(picture), flow.encode(picture)).forward.shape == (1, 2, 128, 128)


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
