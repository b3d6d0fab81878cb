"""What passes from one window to the next is written down whole."""

from __future__ import annotations

from pathlib import Path

import torch

from osor_video.removal.carry import Anchor
from osor_video.removal.carry import Carry as Carried
from osor_video.removal.crop import Crop
from osor_video.removal.remover import RemoverState
from osor_video.restore import Carry
from osor_video.work.edits import EditBook
from osor_video.work.folder import WorkFolder


def test_the_carry_comes_back_as_it_was(tmp_path: Path) -> None:
    random = torch.Generator().manual_seed(0)
    shapes = (1, 16, 4, 5), (1, 3, 32, 40), (1, 1, 32, 40)
    anchor = Anchor(*(torch.rand(shape, generator=random) for shape in shapes))
    carried = Carried.begin(anchor).moved(torch.full((1, 2, 4, 5), 0.3))
    crop = Crop(8, 16, (64, 80), (32, 40))
    with WorkFolder(tmp_path / "out.mp4", {}) as work:
        EditBook(work, 0).save(Carry(2, RemoverState(carried, crop)))
        back = EditBook(work, 0).carry
    assert back.shot == 2
    assert back.state is not None
    assert back.state.crop == crop
    found = back.state.carry
    assert found.age == carried.age
    for name in ("flow_to_anchor", "trust"):
        assert torch.equal(getattr(found, name), getattr(carried, name))
    for name in ("z0", "picture", "known"):
        assert torch.equal(getattr(found.anchor, name), getattr(anchor, name))
