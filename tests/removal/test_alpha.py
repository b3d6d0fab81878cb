"""The alpha head on the real feature network: its shapes, what it starts with, and its place in a model folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from osor_video.config import RemovalConfig
from osor_video.errors import WeightsError
from osor_video.removal.alpha import (
    FIRST_LOGIT,
    PLACE_CHANNELS,
    STAGES,
    AlphaFinder,
    AttentionBlock,
    build_alpha_head,
    mirrored,
    seen_from_foot,
)
from osor_video.removal.carry import Aligned
from osor_video.removal.crop import Crop
from osor_video.removal.model import OsorModel, build_autoencoder, build_unet, save_model
from osor_video.removal.remover import OneStepRemover, RemovalInput
from osor_video.removal.step import noise_tile
from osor_video.shapes import overlap
from osor_video.tensors import tensor_to_picture
from tests.tiny import TINY, TINY_RECORD


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder whose head calls everything an effect, and nothing the object."""
    path = tmp_path_factory.mktemp("with_alpha")
    torch.manual_seed(0)
    head = build_alpha_head(TINY)
    with torch.no_grad():
        head.out.bias.copy_(torch.tensor([3.0, -2.0]))
    record = TINY_RECORD.model_copy(update={"prediction_type": "residual"})
    save_model(path, record, build_autoencoder(TINY), build_unet(TINY), alpha=head)
    return path


def test_a_fresh_head_finds_next_to_nothing_anywhere() -> None:
    finder = AlphaFinder.around(build_alpha_head(TINY))
    z = torch.randn(2, 4, 8, 12)
    stages = finder.look(torch.rand(2, 3, 64, 96))
    logits = finder.head(stages, z, z, torch.ones(2, 1, 64, 96))
    torch.testing.assert_close(logits, torch.full((2, 2, 8, 12), FIRST_LOGIT))
    assert [stage.shape[2] for stage in finder.look(torch.rand(1, 3, 64, 96))] == [16, 8, 4, 2]
    assert len(STAGES) == 4


def test_what_is_late_in_the_head_begins_as_nothing_and_sees_light_from_afar() -> None:
    torch.manual_seed(0)
    head = build_alpha_head(TINY)
    torch.nn.init.normal_(head.out.weight)
    finder = AlphaFinder.around(head)
    stages, mask = finder.look(torch.rand(1, 3, 256, 256)), torch.zeros(1, 1, 256, 256)
    mask[..., 120:136, 120:136] = 1
    z = torch.randn(1, 4, 32, 32)
    other = z.clone()
    other[..., 0, 0] += 1
    apart = (head(stages, z, z, mask) - head(stages, other, other, mask)).abs()[0].amax(dim=0)
    assert apart[0, 0] > 0
    assert not apart[16:, 16:].any()
    for late in (head.tones16, head.tones32, head.again8):
        torch.nn.init.normal_(late.weight)
    for block in head.again16:
        torch.nn.init.normal_(block.hear.weight)
    apart = (head(stages, z, z, mask) - head(stages, other, other, mask)).abs()[0].amax(dim=0)
    assert (apart[16:, 16:] > 0).any()


def test_a_gradient_reaches_the_head_and_not_the_features() -> None:
    head = build_alpha_head(TINY)
    torch.nn.init.normal_(head.out.weight)
    finder = AlphaFinder.around(head)
    z = torch.randn(1, 4, 8, 8)
    finder.head(finder.look(torch.rand(1, 3, 64, 64)), z, z, torch.ones(1, 1, 64, 64)).sum().backward()
    assert all(parameter.grad is not None for parameter in head.parameters())
    assert all(parameter.grad is None for parameter in finder.network.parameters())


def test_places_are_counted_from_the_objects_foot_in_its_own_size() -> None:
    mask = torch.zeros(1, 1, 12, 16)
    mask[..., 2:6, 5:7] = 1
    foot, place = seen_from_foot(mask)
    assert place.shape == (1, PLACE_CHANNELS, 12, 16)
    assert foot.tolist() == [6]
    # The object is 4 cells high, its foot lies between the columns 5 and 6 at the upper edge of row 6.
    x, y, size = 4 * torch.atanh(place[0, 0]), 4 * torch.atanh(place[0, 1]), place[0, 2]
    torch.testing.assert_close(x[0, 4:8], torch.tensor([-0.375, -0.125, 0.125, 0.375]))
    torch.testing.assert_close(y[4:8, 0], torch.tensor([-0.375, -0.125, 0.125, 0.375]))
    torch.testing.assert_close(size, torch.full((12, 16), 4 / 16).log())
    torch.testing.assert_close(place[0, 3], torch.sin(torch.pi / 2 * x))


def test_places_do_not_depend_on_the_scale_and_a_bare_picture_is_the_object() -> None:
    small, bare = torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)
    small[..., 1:5, 2:4] = 1
    large = small.repeat_interleave(3, 2).repeat_interleave(3, 3)
    # The middle of three cells lies where the one cell of the smaller picture does.
    torch.testing.assert_close(seen_from_foot(large)[1][..., 1::3, 1::3], seen_from_foot(small)[1])
    for found, expected in zip(seen_from_foot(bare), seen_from_foot(torch.ones_like(bare)), strict=True):
        torch.testing.assert_close(found, expected)


def test_a_mirror_lies_at_the_foot_and_shows_nothing_from_outside_the_picture() -> None:
    x = torch.arange(6.0).view(1, 1, 6, 1) + 1
    at_four, at_two = mirrored(x.expand(2, 1, 6, 1), torch.tensor([4.0, 2.0]))[:, 0, :, 0].tolist()
    assert at_four == [0, 0, 6, 5, 4, 3]
    assert at_two == [4, 3, 2, 1, 0, 0]


def test_attention_begins_as_nothing_and_then_lets_every_cell_hear_all_others() -> None:
    torch.manual_seed(0)
    block = AttentionBlock(16, PLACE_CHANNELS)
    x, place = torch.randn(2, 16, 4, 5), torch.randn(2, PLACE_CHANNELS, 4, 5)
    torch.testing.assert_close(block(x, place), x)
    torch.nn.init.normal_(block.hear.weight)
    changed = x.clone()
    changed[0, :, 0, 0] += 1
    apart = (block(changed, place) - block(x, place)).abs().amax(dim=1)
    assert (apart[0] > 0).all()
    assert not apart[1].any()


def test_alpha_comes_from_the_folders_head(folder: Path) -> None:
    model = OsorModel.from_folder(folder)
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 8:24, 8:24] = 1
    prediction = model.predict(torch.rand(1, 3, 64, 64), mask, noise_tile(0, 4, (8, 8)))
    torch.testing.assert_close(prediction.alpha_logit, torch.full((1, 1, 8, 8), 3.0), atol=1e-2, rtol=0)
    # All of it is an effect, and made anew with the hole.
    assert torch.equal(prediction.hole, mask)
    assert prediction.anew.min() == prediction.mask.min() == 1


class Knowing(nn.Module):
    """A head that sees the object in the cells 4 to 7, 6 to 8, whatever the mask; it keeps the masks that it was asked about."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Tensor] = []

    def forward(self, stages: list[Tensor], z: Tensor, start: Tensor, mask: Tensor) -> Tensor:
        assert len({len(part) for part in (*stages, z, start, mask)}) == 1
        self.asked.append(mask)
        logits = torch.full((len(mask), 2, 16, 16), -9.0)
        logits[:, :, 4:8, 6:9] = 9.0
        logits[:, 0, 8:10, 6:9] = len(self.asked)
        return logits


def test_where_the_mask_is_not_the_objects_the_head_is_asked_again_with_what_it_found(folder: Path) -> None:
    model = OsorModel.from_folder(folder)
    assert model._alpha is not None
    model._alpha.head = Knowing()
    masks = torch.zeros(2, 1, 128, 128)
    masks[0, :, 32:64, 48:72] = 1
    masks[1, :, 44:76, 60:84] = 1
    prediction = model.predict(torch.rand(2, 3, 128, 128), masks, noise_tile(0, 4, (16, 16)), effects=False)
    first, again, *closer = model._alpha.head.asked
    assert torch.equal(first, masks)
    assert overlap(again[0, 0].numpy() > 0, masks[0, 0].numpy() > 0) > 0.8
    assert prediction.alpha_logit[:, 0, 9, 7].tolist() == [1, 2]
    # The thing is small, and something is missing of it: that is looked at once more.
    assert closer


def test_an_effect_is_filled_from_what_lies_around_it_and_keeps_its_texture(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = OsorModel.from_folder(folder)
    texture = 0.05 * torch.sin(torch.arange(128) * 2.5)[:, None]
    clean = (0.5 + texture).expand(1, 3, 128, 128).contiguous()
    mask, shade = torch.zeros(1, 1, 128, 128), torch.ones(1, 1, 128, 128)
    mask[..., 32:64, 48:72] = 1
    shade[..., 64:88, 48:72] = 0.5
    shot = torch.where(mask > 0, 0.9, clean * shade)
    logits = torch.full((1, 2, 16, 16), -9.0)
    logits[:, 0, 4:11, 6:9] = 9.0
    logits[:, 0, 10, 6:9] = 0.5
    logits[:, 1, 4:8, 6:9] = 9.0
    monkeypatch.setattr(model, "_find", lambda *_: logits)
    monkeypatch.setattr(model, "_backbone", lambda inputs: torch.zeros(1, 5, *inputs.shape[-2:]))
    crop = Crop(0, 0, (128, 128), (128, 128))
    frame = RemovalInput(tensor_to_picture(shot), mask[0, 0].numpy() > 0, crop, None)
    (answer,), _ = OneStepRemover(model, RemovalConfig(), 0).remove([frame], None)
    place = np.s_[68:84, 52:68]
    # Sure in the middle, likely at its end: of what is filled nothing is left.
    assert answer.alpha[place].min() > 0.99
    found, true = answer.rgb[place], clean[0].permute(1, 2, 0).numpy()[place]
    assert abs(found.mean() - true.mean()) < 0.03
    # Half of the texture's contrast is what the shadow left of it.
    assert 0.4 < found.mean(axis=(1, 2)).std() / true.mean(axis=(1, 2)).std() < 1.1
    assert np.corrcoef(found.mean(axis=(1, 2)), true.mean(axis=(1, 2)))[0, 1] > 0.8
    # Where the shadow is to stay, it is a part of what the hole is filled from.
    eps = torch.zeros(1, 4, 16, 16)
    whole, kept = (model.predict(shot, mask, eps, effects=wanted) for wanted in (True, False))
    assert bool(whole.anew[..., 68:84, 52:68].all())
    assert torch.equal(kept.anew, kept.hole)


def test_what_the_mask_has_missed_of_the_object_joins_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = OsorModel.from_folder(folder)
    image, mask = torch.full((1, 3, 64, 64), 0.3), torch.zeros(1, 1, 64, 64)
    mask[..., 8:24, 24:40] = 1
    image[..., 8:48, 24:40] = 0.9
    logits = torch.full((1, 2, 8, 8), -5.0)
    logits[:, 1, 3:6, 3:5] = 5.0
    monkeypatch.setattr(model, "_find", lambda *_: logits)
    monkeypatch.setattr(model, "_backbone", lambda inputs: torch.zeros(1, 5, 8, 8))
    prediction = model.predict(image, mask, torch.zeros(1, 4, 8, 8))
    # The object ends at the last row but two of the cells; a little more is taken.
    assert prediction.mask[0, 0, :, 3].tolist() == [0, 1, 1, 1, 1, 1, 1, 0]
    assert prediction.hole[0, 0, :, 32].nonzero().flatten().tolist() == list(range(8, 50))
    torch.testing.assert_close(
        prediction.z0, model.encode(torch.full((1, 3, 64, 64), 0.3)), atol=0.02, rtol=0
    )


def test_the_hole_begins_with_what_is_carried_and_only_the_rest_is_guessed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = OsorModel.from_folder(folder)
    image, mask = torch.full((1, 3, 64, 64), 0.3), torch.zeros(1, 1, 64, 64)
    mask[..., 16:48, 16:48] = 1
    shot = torch.where(mask > 0, 0.9, image)
    monkeypatch.setattr(model, "_find", lambda *_: torch.full((1, 2, 8, 8), -5.0))
    monkeypatch.setattr(model, "_backbone", lambda inputs: torch.zeros(1, 5, 8, 8))
    prediction = model.predict(shot, mask, torch.zeros(1, 4, 8, 8))
    known, everywhere = torch.full((1, 4, 8, 8), 0.5), torch.ones(1, 1, 8, 8)

    def fill(trust: Tensor) -> Tensor:
        seen = F.interpolate(trust, scale_factor=8, mode="nearest")
        return prediction.fill(0, Aligned(known, image, trust, seen)).z

    held = fill(everywhere)
    torch.testing.assert_close(held, torch.where(prediction.mask > 0, known, prediction.z))
    left_half = everywhere * (torch.arange(8) < 4)
    part = fill(left_half)
    torch.testing.assert_close(part[..., 2:6, 2:4], known[..., 2:6, 2:4])
    # The other half is filled from the surroundings, of which what is carried is one side.
    torch.testing.assert_close(part[..., 2:6, 5], model.encode(image)[..., 2:6, 5], atol=0.02, rtol=0)
    torch.testing.assert_close(fill(0 * everywhere), prediction.z0)
    assert (held - prediction.z0).abs().max() > 0.1


def test_the_backbone_runs_only_for_a_fill_that_is_asked_for(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = OsorModel.from_folder(folder)
    runs: list[int] = []
    step = model._backbone

    def backbone(inputs: Tensor) -> Tensor:
        runs.append(1)
        return step(inputs)

    monkeypatch.setattr(model, "_backbone", backbone)
    remover = OneStepRemover(model, RemovalConfig(), 0)
    picture, hole = np.full((64, 64, 3), 90, np.uint8), np.zeros((64, 64), dtype=bool)
    hole[20:40, 20:40] = True
    crop, still = Crop(0, 0, (64, 64), (64, 64)), np.zeros((64, 64, 2), np.float32)
    (_,), state = remover.remove([RemovalInput(picture, hole, crop, None)], None)
    (second,), _ = remover.remove([RemovalInput(picture, hole, crop, still)], state)
    # The first frame is carried on; the second one's fill waits.
    assert len(runs) == 1
    assert second.rgb.shape == (64, 64, 3)
    assert second.rgb is second.rgb
    assert len(runs) == 2


def test_a_damaged_head_is_named(folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in folder.rglob("*"):
        target = copy / path.relative_to(folder)
        if path.is_dir():
            target.mkdir(exist_ok=True)
        else:
            target.write_bytes(path.read_bytes())
    (copy / "alpha/diffusion_pytorch_model.safetensors").write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"alpha/diffusion_pytorch_model\.safetensors is damaged"):
        OsorModel.from_folder(copy)
