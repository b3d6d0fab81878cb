"""The recurrent update in fewer operations, against torchvision's own block."""

from __future__ import annotations

from typing import Any

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


@pytest.fixture
def block() -> Any:
    """torchvision's own block with weights drawn by a fixed seed."""
    from torchvision.models.optical_flow import raft_small  # noqa: PLC0415  (torchvision takes seconds to import)

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return raft_small().eval().update_block


def test_updates_are_those_of_torchvisions_block(block: Any, given: tuple[Tensor, ...]) -> None:
    hidden, context, correlation, flow = given
    recurrence, wanted = Recurrence(block, context), hidden
    with torch.inference_mode():
        for _ in range(3):
            wanted, wanted_delta = block(wanted, context, correlation, flow)
            hidden, delta = recurrence.update(hidden, correlation, flow)
            torch.testing.assert_close(hidden, wanted, atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(delta, wanted_delta, atol=1e-4, rtol=1e-4)
    assert float((hidden - given[0]).abs().max()) > 0.1


def test_gradients_are_those_of_torchvisions_block(block: Any, given: tuple[Tensor, ...]) -> None:
    hidden, context, correlation, flow = given
    weights = list(block.recurrent_block.convgru1.parameters())
    wanted = torch.autograd.grad(block(hidden, context, correlation, flow)[0].square().sum(), weights)
    ours = Recurrence(block, context).update(hidden, correlation, flow)[0].square().sum()
    for gradient, expected in zip(torch.autograd.grad(ours, weights), wanted, strict=True):
        assert float(expected.abs().max()) > 0.1
        torch.testing.assert_close(gradient, expected, atol=1e-4, rtol=1e-3)
