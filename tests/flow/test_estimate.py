"""Flow estimators: RAFT's shared volume against torchvision's forward, DIS against a known shift, alone and after RAFT."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from osor_video.flow.estimate import (
    POLISHED_FROM,
    DisFlow,
    FlowPair,
    RaftFlow,
    encode_frames,
    enlarge_flow,
    match_frames,
    working_size,
)
from osor_video.tensors import Picture, picture_to_tensor, to_uint8
from tests.world import texture


def shifted_pair(size_hw: tuple[int, int], x: int, y: int) -> tuple[Picture, Picture]:
    """Two views of one texture; what is at p in the first is at p + (x, y) in the second."""
    whole = to_uint8(texture((size_hw[0] + 32, size_hw[1] + 32), 5))
    first = whole[16 : 16 + size_hw[0], 16 : 16 + size_hw[1]]
    second = whole[16 - y : 16 - y + size_hw[0], 16 - x : 16 - x + size_hw[1]]
    return np.ascontiguousarray(first), np.ascontiguousarray(second)


@pytest.fixture
def raft_net() -> Any:
    """torchvision's RAFT-small with seeded random weights."""
    from torchvision.models.optical_flow import raft_small  # noqa: PLC0415  (takes seconds to import)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return raft_small().eval()


def test_raft_matches_torchvision_in_both_directions(raft_net: Any) -> None:
    first, second = shifted_pair((128, 128), 3, -2)
    a, b = (picture_to_tensor(picture) * 2 - 1 for picture in (first, second))
    with torch.inference_mode():
        wanted = [raft_net(*pair, num_flow_updates=4)[-1] for pair in ((a, b), (b, a))]
    ahead, behind = (encode_frames(raft_net, (side + 1) / 2) for side in (a, b))
    *_, cells = match_frames(raft_net, ahead, behind, 4)
    assert float(wanted[0].abs().max()) > 0.1
    assert float((wanted[0] - wanted[1]).abs().max()) > 0.01
    torch.testing.assert_close(enlarge_flow(cells), torch.cat(wanted), atol=1e-3, rtol=0)


def test_what_raft_finds_is_polished_to_single_pixels(raft_net: Any) -> None:
    """A network that has learnt nothing finds next to nothing: all of the small shift is the polish's."""
    flow = RaftFlow(raft_net, 128, 128, 2, "test", torch.device("cpu"))
    pair = flow.match(*(flow.encode(picture) for picture in shifted_pair((128, 160), 2, -1)))
    inner = np.s_[:, :, 16:-16, 16:-16]
    for found, wanted in ((pair.forward[inner], (2, -1)), (pair.backward[inner], (-2, 1))):
        assert float((found - torch.tensor(wanted).view(1, 2, 1, 1)).abs().mean()) < 0.2
    assert flow.name == "RAFT-small (test)"


@pytest.mark.parametrize(("height_px", "halvings"), [(128, 0), (256, 1), (720, 1)])
def test_the_polish_begins_at_the_same_scale_of_raft_whatever_the_picture(
    raft_net: Any, height_px: int, halvings: int
) -> None:
    """Few lines are not searched as if there were many: there DIS would undo what RAFT found."""
    flow = RaftFlow(raft_net, 128, 256, 1, "test", torch.device("cpu"))
    picture = np.zeros((height_px, height_px * 16 // 9, 3), np.uint8)
    seen = flow.encode(picture)
    flow.match(seen, seen)
    assert flow._search.getCoarsestScale() == POLISHED_FROM + halvings


def test_raft_frames_can_be_matched_again_with_the_next_one(raft_net: Any) -> None:
    flow = RaftFlow(raft_net, 128, 128, 2, "test", torch.device("cpu"))
    a, b = (flow.encode(picture) for picture in shifted_pair((128, 128), 3, -2))
    alone = flow.match(a, b)
    flow.match(b, a)
    again = flow.match(a, b)
    assert torch.equal(alone.forward, again.forward)
    assert torch.equal(alone.backward, again.backward)


def test_dis_finds_a_known_shift() -> None:
    flow = DisFlow(128)
    a, b = (flow.encode(picture) for picture in shifted_pair((128, 160), 5, -3))
    pair = flow.match(a, b)
    assert pair.forward.shape == (1, 2, 128, 160)
    inner = np.s_[:, :, 16:-16, 16:-16]
    for found, wanted in ((pair.forward[inner], (5, -3)), (pair.backward[inner], (-5, 3))):
        error = (found - torch.tensor(wanted).view(1, 2, 1, 1)).abs()
        assert float(error.mean()) < 0.2
        assert float(error.max()) < 1.0


@pytest.mark.parametrize(
    ("size_hw", "height_px", "wanted"),
    [
        ((1080, 1920), 160, (160, 288)),
        ((1920, 1080), 160, (288, 160)),
        ((576, 768), 136, (160, 208)),  # the area of 136 lines of 16:9
        ((96, 160), 160, (128, 160)),
        ((1080, 1920), 1080, (1080, 1920)),
        ((240, 320), 480, (240, 320)),
        ((64, 64), 128, (128, 128)),
    ],
)
def test_working_size(size_hw: tuple[int, int], height_px: int, wanted: tuple[int, int]) -> None:
    found = working_size(size_hw, height_px)
    assert found == wanted
    assert all(side % 8 == 0 and side >= 128 for side in found)


def test_resized_flow_rescales_its_vectors() -> None:
    flow = torch.tensor([4.0, 2.0]).view(1, 2, 1, 1).expand(1, 2, 8, 16)
    pair = FlowPair(flow, -flow).resized((4, 32))
    assert pair.forward.shape == (1, 2, 4, 32)
    torch.testing.assert_close(pair.forward[0, :, 0, 0], torch.tensor([8.0, 1.0]))
    torch.testing.assert_close(pair.backward, -pair.forward)
