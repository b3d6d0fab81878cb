"""Sequences: paths worked out by hand, and the flow held against the pictures that it is said to explain."""

from __future__ import annotations

from math import pi
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from osor_video.flow.warp import warp
from osor_video.tensors import FloatMap, Mask
from osor_video.training.config import SequenceConfig
from osor_video.training.cutouts import Cutout, load_cutouts
from osor_video.training.lighting import Lighting
from osor_video.training.motion import Actor, Camera, Drift, frame_points, moved
from osor_video.training.photos import list_photos, split_photos
from osor_video.training.sequences import Scene, Sequence, film, make_scene, make_sequence, occlusion
from tests.training.conftest import texture

SIZE_HW = (96, 128)
PLAIN = SequenceConfig(
    frames=3, height_px=SIZE_HW[0], width_px=SIZE_HW[1], speed_px=6, blur_share=0, jitter=0, grain=0
)
Material = tuple[list[Path], list[Cutout]]


@pytest.fixture(scope="module")
def material(photos_folder: Path, cutouts_folder: Path) -> Material:
    return split_photos(list_photos(photos_folder))[0], load_cutouts(cutouts_folder)[0]


def still_camera(*, velocity: list[float] | None = None) -> Camera:
    return Camera(Drift.steady([80, 60, 0, 0, 0, 0], velocity or [0.0] * 6), SIZE_HW)


def solid(height: int = 20, width: int = 12) -> Cutout:
    colour = np.asarray(texture(5, 32, 32)[:height, :width] / 255, np.float32)
    return Cutout(0, colour, np.ones((height, width), np.float32))


def actor(velocity: list[float], wave: float = 0.0) -> Actor:
    """Stands in the middle of the photograph with its foot at the middle of the cut-out's lower edge."""
    start = [80.0, 60.0, 0.0, 0.0, 0.0]
    return Actor(solid(), (6.0, 20.0), wave, flip=False, drift=Drift.steady(start, velocity))


def test_a_drift_adds_up_its_parts() -> None:
    drift = Drift(
        np.array([1.0]),
        np.array([2.0]),
        np.array([3.0]),
        np.array([[0.5]]),
        np.array([pi / 4]),
        np.zeros((1, 1)),
    )
    assert drift.at(0).tolist() == [1]
    assert drift.at(2) == pytest.approx([1 + 4 + 6 + 0.5])


def test_points_go_through_a_homography() -> None:
    matrix = np.array([[2.0, 0, 1], [0, 3, 0], [0, 0.5, 1]])
    assert moved(matrix, np.array([[3.0, 2.0]])).tolist() == [[3.5, 3.0]]


def test_a_panning_camera_moves_the_ground_the_other_way() -> None:
    camera = still_camera(velocity=[3, -1, 0, 0, 0, 0])
    assert np.allclose(camera.flow(0, 1), [-3, 1], atol=1e-4)
    assert np.allclose(camera.flow(2, 0), [6, -2], atol=1e-4)


def test_zoom_and_turn_leave_the_middle_where_it_is() -> None:
    away = frame_points(SIZE_HW) - [63.5, 47.5]
    zoom = still_camera(velocity=[0, 0, float(np.log(2)), 0, 0, 0])
    assert np.allclose(zoom.flow(0, 1), -away / 2, atol=1e-4)
    turn = still_camera(velocity=[0, 0, 0, pi / 2, 0, 0])
    # What lay to the right of the middle lies above it after a quarter turn of the camera.
    turned = np.stack([away[..., 1], -away[..., 0]], axis=-1)
    assert np.allclose(turn.flow(0, 1), turned - away, atol=1e-3)


def test_a_tilt_moves_points_along_their_ray() -> None:
    tilt = still_camera(velocity=[0, 0, 0, 0, 0.001, 0])
    # The photograph's point at offset (40, 20) is seen at offset p with p / (1 + .001 p_x) = (40, 20).
    offset = np.array([40.5, 20.5])
    assert np.allclose(tilt.flow(0, 1)[68, 104], offset / (1 - 0.001 * offset[0]) - offset, atol=1e-3)


def test_an_actor_walks_beside_the_camera() -> None:
    walker = actor([2, 1, 0, 0, 0])
    assert np.allclose(walker.flow(still_camera(), 0, 1), [2, 1], atol=1e-4)
    panned = still_camera(velocity=[3, 0, 0, 0, 0, 0])
    assert np.allclose(walker.flow(panned, 0, 1), [-1, 1], atol=1e-4)


def test_an_actor_grows_from_its_foot() -> None:
    grower = actor([0, 0, float(np.log(1.5)), 0, 0])
    foot = np.array([63.5, 47.5])
    assert np.allclose(grower.flow(still_camera(), 0, 1), (frame_points(SIZE_HW) - foot) / 2, atol=1e-4)


def test_a_swaying_actor_moves_its_head_and_not_its_foot() -> None:
    flow = actor([0, 0, 0, 0, 4], wave=pi / 40).flow(still_camera(), 0, 1)
    # Half a pixel above the foot, and at the top: 4 sin(-pi / 40 * height).
    assert flow[47, 64] == pytest.approx([-4 * np.sin(pi / 80), 0], abs=1e-4)
    assert flow[28, 64] == pytest.approx([-4 * np.sin(19.5 * pi / 40), 0], abs=1e-4)


def test_what_is_met_by_another_surface_or_leaves_is_occluded() -> None:
    here, there = np.array([[0, 0, 1, 0, 0]], np.uint8), np.array([[0, 0, 0, 1, 0]], np.uint8)
    flow = np.zeros((1, 5, 2), np.float32)
    flow[0, 2, 0] = 1  # the object
    flow[0, 4, 0] = 0.2  # out of the frame
    assert occlusion(flow, here, there).tolist() == [[False, False, False, True, True]]


def test_the_nearer_actor_hides_the_farther_one() -> None:
    photo = np.asarray(texture(1, 160, 192) / 255, np.float32)
    far, near = actor([0] * 5), actor([2, 0, 0, 0, 0])
    scene = Scene(photo, still_camera(), (far, near), None)
    labels = scene.picture(0)[2]
    assert set(np.unique(labels)) == {0, 2}
    moved_on = scene.picture(3)[2]
    assert (moved_on == 1).sum() == pytest.approx(6 * 20, abs=20)
    assert np.allclose(scene.flow(labels, 0, 3)[labels == 2], [6, 0], atol=1e-4)
    assert np.allclose(scene.flow(labels, 0, 3)[labels == 0], 0, atol=1e-4)


def carried(picture: FloatMap, flow: FloatMap) -> FloatMap:
    """``picture`` [H, W, C], seen from where ``flow`` lives."""
    there, by = (torch.from_numpy(np.float32(part)).permute(2, 0, 1)[None] for part in (picture, flow))
    return np.asarray(warp(there, by)[0].permute(1, 2, 0).numpy())


def wider(mask: Mask, by_px: int) -> Mask:
    return np.asarray(cv2.dilate(mask.astype(np.uint8), np.ones((2 * by_px + 1,) * 2, np.uint8)) > 0)


def edges(labels: FloatMap) -> Mask:
    return np.asarray(cv2.morphologyEx(labels, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0)


def sides(sequence: Sequence) -> list[tuple[int, int, FloatMap, FloatMap, Mask]]:
    """(from, to, flow, background flow, occluded) of all steps in both directions."""
    found = []
    for t in range(len(sequence.flow_fw)):
        truth = sequence.flow_fw[t], sequence.background_fw[t], sequence.occluded_fw[t]
        back = sequence.flow_bw[t], sequence.background_bw[t], sequence.occluded_bw[t]
        found += [(t, t + 1, *truth), (t + 1, t, *back)]
    return found


def leaves(flow: FloatMap) -> Mask:
    target = frame_points(SIZE_HW) + flow
    return np.asarray((target < 0).any(-1) | (target > [SIZE_HW[1] - 1, SIZE_HW[0] - 1]).any(-1))


def test_the_flow_explains_the_pictures(material: Material) -> None:
    """Mean difference in 8-bit levels after the warp, on the ground, on objects and behind them; and without the warp."""
    ground, objects, clean, still = [], [], [], []
    for seed in range(12):
        sequence = make_sequence(*material, PLAIN, np.random.default_rng(seed))
        shots, cleans = sequence.shots.astype(np.float32), sequence.cleans.astype(np.float32)
        effects = sequence.effect_masks & ~sequence.masks
        for here, there, flow, background, occluded in sides(sequence):
            error = np.abs(carried(shots[there], flow) - shots[here]).mean(-1)
            rim = wider(occluded | edges(sequence.labels[here]), 3)
            shaded = wider(effects[here] | (carried(effects[there][..., None], flow)[..., 0] > 0), 4)
            ground.append(error[~rim & ~shaded & ~sequence.masks[here]])
            objects.append(error[~rim & sequence.masks[here]])
            behind = np.abs(carried(cleans[there], background) - cleans[here]).mean(-1)
            clean.append(behind[sequence.masks[here] & ~leaves(background)])
            still.append(np.abs(shots[there] - shots[here]).mean(-1)[~rim & sequence.masks[here]])
    means = [np.concatenate(row).mean() for row in (ground, objects, clean, still)]
    assert means[0] < 0.6
    assert means[1] < 1.0
    assert means[2] < 0.6
    assert means[3] > 8


def test_visible_flow_is_the_background_where_no_object_is(material: Material) -> None:
    sequence = make_sequence(*material, PLAIN, np.random.default_rng(3))
    bare = ~sequence.masks[0]
    assert np.array_equal(sequence.flow_fw[0][bare], sequence.background_fw[0][bare])
    assert np.abs(sequence.flow_fw[0] - sequence.background_fw[0])[~bare].max() > 0.5


def test_forward_and_backward_flow_undo_each_other_in_sight(material: Material) -> None:
    sequence = make_sequence(*material, PLAIN, np.random.default_rng(4))
    forward, backward = sequence.flow_fw[0], sequence.flow_bw[0]
    there_and_back = forward + carried(backward, forward)
    rim = wider(sequence.occluded_fw[0] | edges(sequence.labels[0]), 3)
    assert np.abs(there_and_back)[~rim].max() < 0.05


def test_the_shadow_moves_with_its_object(material: Material) -> None:
    """Under a still camera, on even ground, the second frame is the first one, shifted with shadow and all."""
    photo, cutout = np.full((160, 192, 3), 0.8, np.float32), material[1][0]
    height, width = cutout.matte.shape
    path = Drift.steady([70, 70, -1.2, 0, 0], [4, 2, 0, 0, 0])
    walker = Actor(cutout, (width / 2, float(height)), 0.0, flip=False, drift=path)
    beside = 0
    for seed in range(8):
        scene = Scene(photo, still_camera(), (walker,), Lighting.draw(128, np.random.default_rng(seed)))
        (first, clean, labels), (second, _, _) = scene.picture(0), scene.picture(1)
        assert np.abs(second[12:, 14:] - first[10:-2, 10:-4]).max() < 0.02
        beside += int(((np.abs(first - clean).max(-1) > 0.05) & ~wider(np.asarray(labels > 0), 2)).sum())
    assert beside > 8 * 50


def test_a_mirrored_object_throws_its_shadow_to_the_same_side() -> None:
    """A cut-out that is its own mirror image has one shadow, whichever way round it is shown."""
    ground, height, width = np.full((*SIZE_HW, 3), 0.8, np.float32), 30, 13
    block = Cutout(0, np.full((height, width, 3), 0.5, np.float32), np.ones((height, width), np.float32))
    for seed in range(4):
        lighting = Lighting.draw(128, np.random.default_rng(seed))
        shaded = []
        for flip in (False, True):
            stands = Actor(
                block, (width / 2, float(height)), 0.0, flip, Drift.steady([80, 60, 0, 0, 0], [0] * 5)
            )
            shaded.append(lighting.shaded(ground, (stands,), still_camera(), 0))
        # Mirrored about its middle a cut-out lies a pixel farther right. A light from the other side differs by 0.8 and more.
        difference = np.abs(shaded[0][:, :-1] - shaded[1][:, 1:]).sum()
        assert difference < 0.2 * np.abs(shaded[0] - ground).sum()


def test_nothing_changes_outside_the_effect_masks(material: Material) -> None:
    for seed in range(5):
        sequence = make_sequence(*material, PLAIN, np.random.default_rng(seed))
        assert sequence.masks[0].sum() >= 64
        assert (sequence.masks <= sequence.effect_masks).all()
        difference = np.abs(sequence.shots.astype(int) - sequence.cleans).max(-1)
        # Visible is what a slightly blurred difference says.
        assert difference[~sequence.effect_masks].max() <= 255 * 0.035 * 3


def test_the_same_seed_makes_the_same_sequence(material: Material) -> None:
    look = PLAIN.model_copy(update={"blur_share": 1.0, "jitter": 0.05, "grain": 0.03})
    first, again, other = (make_sequence(*material, look, np.random.default_rng(seed)) for seed in (7, 7, 8))
    for name in ("shots", "cleans", "labels", "flow_fw", "occluded_bw"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
    assert not np.array_equal(first.shots, other.shots)
    assert first.shots.shape == (3, *SIZE_HW, 3)
    assert first.flow_bw.shape == (2, *SIZE_HW, 2)
    assert first.flow_fw.dtype == np.float32


def test_blur_follows_the_motion_alone() -> None:
    """A bar under a panning camera is smeared along the motion and keeps its edges across it."""
    photo = np.zeros((160, 192, 3), np.float32)
    photo[50:70, 70:90] = 1.0
    scene = Scene(photo, still_camera(velocity=[12, 0, 0, 0, 0, 0]), (), None)
    look = PLAIN.model_copy(update={"blur_share": 1.0})
    frame = film(scene, look, np.random.default_rng(0)).shots[0][..., 0].astype(int)
    inner = (frame > 20) & (frame < 235)
    assert inner[48].sum() >= 4
    assert inner[:, 63].sum() <= 2


def test_speed_and_objects_are_bounded(material: Material) -> None:
    still = PLAIN.model_copy(update={"speed_px": 0.0})
    sequence = make_sequence(*material, still, np.random.default_rng(1))
    assert np.abs(sequence.background_fw).max() < 1e-3
    empty = make_sequence(*material, PLAIN.model_copy(update={"objects": 0}), np.random.default_rng(1))
    assert not empty.masks.any()
    assert np.array_equal(empty.shots, empty.cleans)
    fast = [make_scene(*material, PLAIN, np.random.default_rng(seed)).camera.drift for seed in range(40)]
    speeds = [float(np.hypot(*drift.velocity[:2])) for drift in fast]
    assert max(speeds) <= 6
    assert 0.5 < float(np.median(speeds)) < 3
