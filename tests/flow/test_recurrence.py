"""The recurrent update in fewer operations, against torchvision's own block."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from osor_video.flow.recurrence import Recurrence


@pytest.fixture
def given() -> tuple[Tensor, ...]:
    """Hidden state, context, correlation and flow of two small frames."""
    generator = torch.Generator().manual_seed(1)
    hidden, context, correlation, flow = (
        torch.randn((2, channels, 6, 9), generator=generator) for channels in (96, 64, 196, 2)
    )
    return hidden.tanh(), context.relu(), correlation, flow


def test_updates_are_those_of_torchvisions_block(given: tuple[Tensor, ...]) -> None:
    from torchvision.models.optical_flow import raft_small  # noqa: PLC0415  (torchvision takes seconds to import)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        block = raft_small().eval().update_block
    hidden, context, correlation, flow = given
    recurrence, wanted = Recurrence(block, context), hidden
    with torch.inference_mode():
        for _ in range(3):
            wanted, wanted_delta = block(wanted, context, correlation, flow)
            hidden, delta = recurrence.update(hidden, correlation, flow)
            torch.testing.assert_close(hidden, wanted, atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(delta, wanted_delta, atol=1e-4, rtol=1e-4)
    assert float((hidden - given[0]).abs().max()) > 0.1


def test_gradients_reach_every_gate(given: tuple[Tensor, ...]) -> None:
    from torchvision.models.optical_flow import raft_small  # noqa: PLC0415  (torchvision takes seconds to import)

    block = raft_small().update_block
    hidden, context, correlation, flow = given
    Recurrence(block, context).update(hidden, correlation, flow)[0].square().sum().backward()
    gru = block.recurrent_block.convgru1
    assert all(gate.weight.grad is not None for gate in (gru.convz, gru.convr, gru.convq))
    assert all((gate.weight.grad != 0).any(0).all() for gate in (gru.convz, gru.convr, gru.convq))
