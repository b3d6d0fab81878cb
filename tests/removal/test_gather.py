"""What other frames of a shot show of a hole, in the world whose truth is known, and on pictures by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from osor_video.background.camera import Homography
from osor_video.config import RemovalConfig
from osor_video.removal.catalogue import bundled_model_path
from osor_video.removal.crop import Crop
from osor_video.removal.gather import Gathering, Witness, gather
from osor_video.removal.model import OsorModel
from osor_video.removal.remover import OneStepRemover, RemovalInput
from osor_video.tensors import Mask, Picture, mask_to_tensor, picture_to_tensor, to_uint8
from tests.world import World, texture

CROP = Crop(0, 16, (128, 128), (128, 128))


def shifted(x: float, y: float = 0) -> Homography:
    """The camera of a frame in which everything lies (x, y) pixels from where the first has it."""
    return np.array([[1, 0, x], [0, 1, y], [0, 0, 1.0]])


def witness_of(world: World, frame: int, crop: Crop = CROP) -> Witness:
    """Another frame of the world as its first sees it; the shadow is not borrowed either."""
    camera = world.cameras[frame] @ np.linalg.inv(world.cameras[0])
    return Witness(world.frames[frame], world.shot()[frame].hole, crop, camera, lambda: world.effects[frame])


def first_of(world: World) -> tuple[Tensor, Tensor]:
    """The world's first frame on the crop, and where that shows the wall."""
    shot = world.shot()[0]
    hidden = mask_to_tensor(CROP.cut_mask(shot.hole | world.effects[0]))
    return picture_to_tensor(CROP.cut_picture(shot.rgb)), 1 - hidden


def test_what_another_frame_shows_is_taken_as_it_is(world: World) -> None:
    image, known = first_of(world)
    picture, seen = gather(image, known, CROP, [witness_of(world, frame) for frame in range(1, 14)])
    assert (seen - known).sum() > 0.95 * (1 - known).sum()
    taken = (seen > known)[0, 0].numpy()
    truth = CROP.cut_picture(world.plates[0]).astype(np.float32)
    error = np.abs(picture[0].permute(1, 2, 0).numpy() * 255 - truth)[taken]
    # Sampled between its pixels, and no more than that.
    assert error.mean() < 3
    assert torch.equal(torch.where(known > 0, picture, 0), torch.where(known > 0, image, 0))


def test_a_crop_that_moved_is_part_of_the_way(world: World) -> None:
    image, known = first_of(world)
    there = gather(image, known, CROP, [witness_of(world, 9)])
    moved = gather(image, known, CROP, [witness_of(world, 9, Crop(0, 0, (128, 128), (128, 128)))])
    both = (there[1] > known) & (moved[1] > known)
    assert both.sum() > 0.8 * (there[1] > known).sum()
    assert ((there[0] - moved[0]).abs() * both).max() < 0.05
    half = Crop(0, 16, (128, 128), (64, 64))
    way = witness_of(world, 9, half).way_from(half)
    torch.testing.assert_close(way, way[..., :1, :1].expand_as(way), atol=1e-4, rtol=0)
    # 9 frames of 2.3 and .35 pixels to the left and up, in cells of 16.
    assert way[0, :, 0, 0].tolist() == pytest.approx([-9 * 2.3 / 16, -9 * 0.35 / 16], abs=1e-4)


def place(seed: int = 0) -> Picture:
    """A wall."""
    return to_uint8(texture((128, 160), seed))


def hole_at(left: int, right: int) -> Mask:
    hole = np.zeros((128, 160), bool)
    hole[48:80, left:right] = True
    return hole


def asked(first: Picture, hole: Mask, witnesses: Sequence[Witness]) -> tuple[Tensor, Tensor]:
    image, known = picture_to_tensor(CROP.cut_picture(first)), 1 - mask_to_tensor(CROP.cut_mask(hole))
    return gather(image, known, CROP, witnesses)


def test_neither_what_is_blocked_nor_what_lies_beyond_the_frame_is_taken() -> None:
    wall, hole = place(), hole_at(48, 112)
    half = Witness(wall, hole_at(80, 112), CROP, shifted(0))
    _, seen = asked(wall, hole, [half])
    assert seen[0, 0, 64, 32:64].min() == 1
    assert seen[0, 0, 64, 64:96].max() == 0
    # A camera that turned to the right has the place at its left edge, in part.
    turned = np.roll(wall, -80, axis=1)
    _, seen = asked(wall, hole, [Witness(turned, hole_at(0, 0), CROP, shifted(-80))])
    row = seen[0, 0, 64, 32:96].tolist()
    assert row.index(1) == pytest.approx(80 + CROP.left - 48, abs=2)
    assert min(row[row.index(1) :]) == 1


def test_the_witness_that_shows_most_is_asked_first_and_of_equals_the_first() -> None:
    hole = hole_at(48, 112)
    first = place()
    one, other, most = (first.copy() for _ in range(3))
    one[48:80, 48:112], other[48:80, 48:112], most[48:80, 48:112] = 60, 200, 130
    part = hole_at(72, 112)
    witnesses = [
        Witness(picture, blocked, CROP, shifted(0))
        for picture, blocked in ((one, part), (other, part), (most, hole_at(48, 60)))
    ]
    picture, seen = asked(first, hole, witnesses)
    assert seen.min() == 1
    row = picture[0, 0, 64, 32:96] * 255
    # Samples lie between pixels.
    assert row[:11].max() < 66
    assert (row[14:] - 130).abs().max() < 6


def test_what_a_witness_casts_is_looked_for_only_where_it_is_heard() -> None:
    wall, hole, asked_of = place(), hole_at(48, 112), []

    def casting(name: str, left: int, right: int) -> Witness:
        def find_cast() -> Mask:
            asked_of.append(name)
            return hole_at(left, right)

        return Witness(wall, hole_at(0, 0), CROP, shifted(0), find_cast)

    _, seen = asked(
        wall, hole, [casting(*its) for its in (("one", 80, 112), ("two", 48, 76), ("three", 0, 1))]
    )
    assert asked_of == ["one", "two"]
    assert seen.min() == 1
    _, seen = asked(wall, hole, [casting("one", 80, 112)])
    row = seen[0, 0, 64, 32:96].tolist()
    assert row.index(0) == pytest.approx(32, abs=1)
    assert max(row[row.index(0) :]) == 0


def test_a_witness_of_another_place_is_not_heard() -> None:
    wall, hole = place(), hole_at(48, 112)
    picture, seen = asked(wall, hole, [Witness(place(seed=5), hole_at(0, 0), CROP, shifted(0))])
    assert seen.sum() == 128 * 128 - 32 * 64
    assert torch.equal(picture, picture_to_tensor(CROP.cut_picture(wall)))


def test_where_nobody_shows_anything_there_is_nothing_to_begin_with(world: World) -> None:
    image, known = first_of(world)
    blind = replace(witness_of(world, 9), hole=np.ones((128, 192), bool))
    for witnesses in ([], [blind]):
        assert Gathering(CROP, witnesses, lambda picture: picture).aligned(image, known) is None


def test_a_fill_begins_with_what_others_show(world: World) -> None:
    model = OsorModel.from_folder(bundled_model_path())
    witnesses = [witness_of(world, frame) for frame in range(1, 14)]
    first = RemovalInput(world.frames[0], world.shot()[0].hole, CROP, None, witnesses=lambda: witnesses)
    errors = []
    for gathered in (True, False):
        remover = OneStepRemover(model, RemovalConfig(gather=gathered), 0)
        (answer,), state = remover.remove([first], None)
        assert state is not None
        assert state.carry.age == 0
        errors.append(np.abs(answer.rgb - world.plates[0] / 255)[world.masks[0]].mean())
    assert errors[0] < 0.02
    assert errors[0] < 0.3 * errors[1]
    second = replace(first, rgb=world.frames[1], hole=world.shot()[1].hole, flow_back=world.flow_back[1])

    def refuse() -> list[Witness]:
        pytest.fail("something is carried to it")

    remover = OneStepRemover(model, RemovalConfig(), 0)
    (later,), _ = remover.remove([replace(second, witnesses=refuse)], remover.remove([first], None)[1])
    assert np.abs(later.rgb - world.plates[1] / 255)[world.masks[1]].mean() < 0.03
