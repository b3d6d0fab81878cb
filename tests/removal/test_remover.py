"""The one-step remover with a tiny real model: flows on the latent grid by hand, seeds, batches, state."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from osor_video.config import RemovalConfig
from osor_video.removal.catalogue import bundled_model_path
from osor_video.removal.crop import Crop, HoleBox
from osor_video.removal.model import OsorModel
from osor_video.removal.remover import OneStepRemover, Removal, RemovalInput, cell_flow
from osor_video.tensors import FloatMap
from tests.tiny import tiny_model
from tests.world import World

CROP = Crop(32, 32, (64, 64), (64, 64))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> OsorModel:
    return tiny_model(tmp_path_factory.mktemp("tiny"))


def inputs(world: World, count: int) -> list[RemovalInput]:
    """The first frames of the world on one crop that holds the object."""
    shot = world.shot()
    return [
        RemovalInput(shot[t].rgb, shot[t].hole, CROP, world.flow_back[t] if t else None) for t in range(count)
    ]


def constant_flow(x: float, y: float, size_hw: tuple[int, int]) -> FloatMap:
    return np.broadcast_to(np.array([x, y], np.float32), (*size_hw, 2)).copy()


def worst(found: list[Removal], wanted: list[Removal]) -> float:
    """Largest difference of any pixel or alpha."""
    pairs = zip(found, wanted, strict=True)
    return max(
        max(float(np.abs(a.rgb - b.rgb).max()), float(np.abs(a.alpha - b.alpha).max())) for a, b in pairs
    )


def test_cell_flow_divides_by_the_cell() -> None:
    flow = cell_flow(constant_flow(8, -4, (128, 192)), CROP, CROP, (128, 192))
    assert flow.shape == (1, 2, 8, 8)
    torch.testing.assert_close(flow, torch.tensor([1.0, -0.5]).view(1, 2, 1, 1).expand(1, 2, 8, 8))


def test_cell_flow_counts_a_moved_crop_as_motion() -> None:
    last = Crop(24, 48, (64, 64), (64, 64))
    flow = cell_flow(constant_flow(0, 0, (128, 192)), CROP, last, (128, 192))
    # A cell at x in the crop at 32 was at x - 16 in the one at 48, and 8 pixels lower in the one at 24.
    torch.testing.assert_close(flow, torch.tensor([-2.0, 1.0]).view(1, 2, 1, 1).expand(1, 2, 8, 8))


def test_cell_flow_of_a_shrunk_crop_has_larger_cells() -> None:
    crop = Crop(0, 0, (128, 128), (64, 64))
    flow = cell_flow(constant_flow(8, 0, (128, 192)), crop, crop, (128, 192))
    torch.testing.assert_close(flow[0, 0], torch.full((8, 8), 0.5))


def test_cell_flow_reads_the_middle_of_each_cell_from_any_grid() -> None:
    # A flow that grows with x: fx = x / 8 in pixels, given at full size and on a grid four times coarser.
    fine = constant_flow(0, 0, (128, 192))
    fine[..., 0] = np.arange(192) / 8
    coarse = fine.reshape(32, 4, 48, 4, 2).mean(axis=(1, 3))
    wanted = (32 + 8 * np.arange(8) + 3.5) / 64
    for grid in (fine, coarse):
        flow = cell_flow(grid, CROP, CROP, (128, 192))
        np.testing.assert_allclose(flow[0, 0, 4].numpy(), wanted, atol=0.002)


def test_the_same_seed_gives_the_same_pixels(model: OsorModel, world: World) -> None:
    first, again, other = (
        OneStepRemover(model, RemovalConfig(), seed).remove(inputs(world, 2), None)[0] for seed in (3, 3, 4)
    )
    assert all(np.array_equal(a.rgb, b.rgb) for a, b in zip(first, again, strict=True))
    assert worst(first, other) > 1e-4


def test_the_answer_lies_on_the_crop(model: OsorModel, world: World) -> None:
    answer = OneStepRemover(model, RemovalConfig(), 0).remove(inputs(world, 1), None)[0][0]
    assert answer.rgb.shape == (128, 192, 3)
    assert answer.alpha.shape == (128, 192)
    outside = np.ones((128, 192), dtype=bool)
    outside[32:96, 32:96] = False
    assert answer.rgb[outside].max() == 0
    assert answer.alpha[outside].max() == 0
    assert 0 <= answer.alpha.min() <= answer.alpha.max() <= 1
    assert answer.rgb[~outside].std() > 0.01


def test_alpha_alone_is_that_of_the_answer_and_starts_nothing(
    model: OsorModel, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    remover, frame = OneStepRemover(model, RemovalConfig(), 0), inputs(world, 1)[0]
    answer, found = remover.remove([frame], None)[0][0], remover.found(frame)
    assert found is not None
    assert np.array_equal(found.alpha, answer.alpha)
    assert found.box == answer.box
    # A large model would have to go through its whole step for it.
    monkeypatch.setattr(OsorModel, "is_compact", False)
    assert remover.found(frame) is None


def test_what_was_looked_at_is_not_asked_again(
    model: OsorModel, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    remover, frame = OneStepRemover(model, RemovalConfig(), 0), inputs(world, 1)[0]
    answer, found = remover.remove([frame], None)[0][0], remover.found(frame)
    assert found is not None
    monkeypatch.setattr(OsorModel, "predict", None)
    again = remover.remove([replace(frame, looked=found.looked)], None)[0][0]
    assert np.array_equal(again.rgb, answer.rgb)
    assert np.array_equal(again.alpha, answer.alpha)


def test_a_batch_of_three_equals_three_of_one(model: OsorModel, world: World) -> None:
    remover, frames = OneStepRemover(model, RemovalConfig(), 0), inputs(world, 3)
    together, end = remover.remove(frames, None)
    singly, state = [], None
    for frame in frames:
        answer, state = remover.remove([frame], state)
        singly += answer
    assert worst(together, singly) < 1e-4
    assert end is not None
    assert state is not None
    assert end.carry.age == state.carry.age == 2


def test_the_state_carries_the_latent(model: OsorModel, world: World) -> None:
    remover, frames = OneStepRemover(model, RemovalConfig(latent_warp=1.0), 0), inputs(world, 2)
    _, state = remover.remove(frames[:1], None)
    carried, _ = remover.remove(frames[1:], state)
    fresh, _ = remover.remove(frames[1:], None)
    assert worst(carried, fresh) > 1e-3
    without = OneStepRemover(model, RemovalConfig(latent_warp=0.0), 0)
    assert worst(without.remove(frames[1:], without.remove(frames[:1], None)[1])[0], fresh) < 1e-5


def test_the_anchor_is_renewed_at_its_age(model: OsorModel, world: World) -> None:
    remover = OneStepRemover(model, RemovalConfig(anchor_frames=2), 0)
    state, ages = None, []
    for frame in inputs(world, 5):
        _, state = remover.remove([frame], state)
        assert state is not None
        ages.append(state.carry.age)
    assert ages == [0, 1, 0, 1, 0]


def test_without_flow_or_on_another_crop_size_it_starts_anew(model: OsorModel, world: World) -> None:
    remover, frames = OneStepRemover(model, RemovalConfig(), 0), inputs(world, 2)
    _, state = remover.remove(frames[:1], None)
    no_flow = RemovalInput(frames[1].rgb, frames[1].hole, CROP, None)
    larger = RemovalInput(
        frames[1].rgb, frames[1].hole, Crop(0, 0, (128, 128), (64, 64)), frames[1].flow_back
    )
    for frame in (no_flow, larger):
        _, after = remover.remove([frame], state)
        assert after is not None
        assert after.carry.age == 0


def test_no_frames_no_answers(model: OsorModel, world: World) -> None:
    remover = OneStepRemover(model, RemovalConfig(), 0)
    _, state = remover.remove(inputs(world, 1), None)
    assert remover.remove([], state) == ([], state)


def test_fresh_noise_is_each_frames_own(model: OsorModel, world: World) -> None:
    first = inputs(world, 1)[0]
    frames = [replace(first, index=index) for index in (3, 4)]
    still = OneStepRemover(model, RemovalConfig(latent_warp=0), 0)
    fresh = OneStepRemover(model, RemovalConfig(latent_warp=0, noise="frame"), 0)
    same_tile, own_tiles = still.remove(frames, None)[0], fresh.remove(frames, None)[0]
    assert np.array_equal(same_tile[0].rgb, same_tile[1].rgb)
    assert worst([own_tiles[0]], [own_tiles[1]]) > 0.001
    assert worst([own_tiles[1]], fresh.remove(frames[1:], None)[0]) < 1e-4


def textured(seed: int) -> RemovalInput:
    """A frame of noise with a hole, before a camera that stands still; the same texture but for what ``seed`` changes."""
    random = np.random.default_rng(0)
    rgb = random.integers(60, 200, (128, 128, 3)).astype(np.uint8)
    rgb[2:8, 2:8] = seed
    hole = np.zeros((128, 128), dtype=bool)
    hole[48:80, 48:80] = True
    return RemovalInput(rgb, hole, Crop(0, 0, (128, 128), (128, 128)), constant_flow(0, 0, (128, 128)), seed)


def test_the_fill_keeps_texture_which_stands_still_with_the_camera() -> None:
    model = OsorModel.from_folder(bundled_model_path())
    frames = [replace(textured(0), flow_back=None), *(textured(seed) for seed in range(1, 4))]
    answers, state = OneStepRemover(model, RemovalConfig(), 0).remove(frames, None)
    fills = [answer.rgb[52:76, 52:76] for answer in answers]
    assert state is not None
    softened = model.decode(state.carry.anchor.z0)[0, :, 52:76, 52:76].permute(1, 2, 0).numpy()
    assert fills[0].std() > 1.1 * softened.std()
    texture = fills[0] - fills[0].mean((0, 1))
    assert np.abs(fills[3] - fills[0]).mean() < 0.02 * np.abs(texture).mean()


def test_the_fill_follows_the_light_and_the_hand() -> None:
    model = OsorModel.from_folder(bundled_model_path())
    random = np.random.default_rng(0).integers(60, 180, (40, 40, 3)).astype(np.uint8)
    place = cv2.resize(random, (160, 160), interpolation=cv2.INTER_CUBIC)
    first = RemovalInput(place[16:144, 16:144], textured(0).hole, textured(0).crop, None)
    brighter = np.clip(1.1 * place[16:144, 19:147].astype(np.float32), 0, 255).astype(np.uint8)
    # The flow is off by a pixel: the camera went three to the right.
    second = replace(first, rgb=brighter, flow_back=constant_flow(2, 0, (128, 128)), index=1)
    before, after = OneStepRemover(model, RemovalConfig(), 0).remove([first, second], None)[0]
    expected = 1.1 * before.rgb[52:76, 55:76]
    assert np.abs(after.rgb[52:76, 52:73] - expected).mean() < 0.2 * expected.std()


def test_what_stays_in_its_place_is_seen_with_more_around_it_at_the_same_scale(model: OsorModel) -> None:
    remover = OneStepRemover(model, RemovalConfig(raster_px=64), 0)
    stays: list[HoleBox | None] = [(60, 100, 100, 140)] * 9
    walks: list[HoleBox | None] = [(60, 20 + 5 * t, 100, 60 + 5 * t) for t in range(9)]
    still = [(0.0, 0.0)] * 9
    (wide, *_), (near, *_) = (remover.plan(boxes, still, (360, 640)) for boxes in (stays, walks))
    assert wide is not None
    assert near is not None
    assert wide.scale == near.scale == 1
    # 40 pixels and half of that around them, on multiples of 64; 1.5 times as much.
    assert (near.size_hw, wide.size_hw) == ((64, 64), (128, 128))
    # The camera that goes with the walker shows what is behind it as well; one that only trembles does not.
    followed, trembling = (
        remover.plan(boxes, [shift] * 9, (360, 640))[0]
        for boxes, shift in ((stays, (0.0, 5.0)), (walks, (0.0, -5.0)))
    )
    assert followed is not None
    assert trembling is not None
    assert (followed.size_hw, trembling.size_hw) == (near.size_hw, wide.size_hw)
