"""What passes from one window to the next is written down whole."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from osor_video.removal.carry import Carry as Carried
from osor_video.removal.crop import Crop
from osor_video.removal.remover import RemoverState
from osor_video.restore import Carry
from osor_video.work.edits import EditBook
from osor_video.work.folder import WorkFolder


@pytest.mark.parametrize("with_detail", [True, False])
def test_the_carry_comes_back_as_it_was(tmp_path: Path, with_detail: bool) -> None:
    random = torch.Generator().manual_seed(0)
    z0, detail = (torch.randn(shape, generator=random) for shape in ((1, 16, 4, 5), (1, 3, 32, 40)))
    carried = Carried.anchor(z0, detail if with_detail else None).moved(torch.full((1, 2, 4, 5), 0.3))
    crop = Crop(8, 16, (64, 80), (32, 40))
    with WorkFolder(tmp_path / "out.mp4", {}) as work:
        EditBook(work, 0).save(Carry(2, RemoverState(carried, crop)))
        back = EditBook(work, 0).carry
    assert back.shot == 2
    assert back.state is not None
    assert back.state.crop == crop
    found = back.state.carry
    assert (found.age, found.lent) == (carried.age, carried.lent)
    for name in ("z0", "flow_to_anchor", "trust"):
        assert torch.equal(getattr(found, name), getattr(carried, name))
    shown = carried.carried_detail(None)
    if shown is None:
        assert found.detail is None
    else:
        told = found.carried_detail(None)
        assert told is not None
        assert torch.equal(told, shown)
