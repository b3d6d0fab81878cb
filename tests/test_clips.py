"""The clips of `clips/`: what is committed, and the code that rendered them."""

from __future__ import annotations

import importlib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from spec import CLIPS, MIRROR, WALK, SceneSpec, random_spec
from textures import SHADES, painting, room_light, sky, surface
from walker import STANCE, ankle, figure, heel_strikes, skins

from osor_video.training import pairs as drawn_pairs
from osor_video.training.folders import open_plates

CLIPS_DIR = Path(__file__).parent.parent / "clips"
COMMITTED = (WALK, MIRROR)
IDS = [spec.name for spec in COMMITTED]
Frames = NDArray[np.uint8]


def decode(path: Path, pixels: str = "rgb24") -> Frames:
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format=pixels) for frame in container.decode(video=0)])


def psnr(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    return float(10 * np.log10(255.0**2 / max(float(np.mean((a - b) ** 2)), 1e-9)))


def blurred(frames: Frames) -> NDArray[np.float32]:
    """Brightness without grain, so that a faint shadow stands out."""
    return np.stack([cv2.GaussianBlur(frame.astype(np.float32).mean(-1), (0, 0), 3.0) for frame in frames])


# --- what is committed ------------------------------------------------------------------------------------


def test_all_clips_together_stay_under_two_megabytes() -> None:
    media = [path for path in CLIPS_DIR.iterdir() if path.suffix in {".mp4", ".mkv", ".png"}]
    desk = [path for path in media if path.name.startswith("desk_")]
    assert media
    assert sum(path.stat().st_size for path in media if path not in desk) < 2_000_000
    # Pictures of the page for the README.
    assert all(path.stat().st_size < 300_000 for path in desk)


@pytest.mark.parametrize("spec", COMMITTED, ids=IDS)
@pytest.mark.parametrize("suffix", ["", "_clean"])
def test_shot_and_plate_have_the_stated_form(spec: SceneSpec, suffix: str) -> None:
    with av.open(str(CLIPS_DIR / f"{spec.name}{suffix}.mp4")) as container:
        video = container.streams.video[0]
        assert (video.height, video.width) == spec.size_hw
        assert video.average_rate == spec.rate
        assert video.codec_context.name == "h264"
        assert video.codec_context.pix_fmt == "yuv420p"
        # 1 is BT.709 in each of the three, and limited range
        context = video.codec_context
        assert (context.colorspace, context.color_primaries, context.color_trc) == (1, 1, 1)
        assert context.color_range == 1
        assert video.time_base == Fraction(1, 12288)
        assert [stream.codec_context.name for stream in container.streams.audio] == (
            [] if suffix else ["aac"]
        )
        assert sum(1 for _ in container.decode(video)) == spec.frames


@pytest.mark.parametrize("spec", COMMITTED, ids=IDS)
def test_sound_is_as_long_as_the_picture_and_not_silent(spec: SceneSpec) -> None:
    with av.open(str(CLIPS_DIR / f"{spec.name}.mp4")) as container:
        sound = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    assert len(sound) / 48000 == pytest.approx(spec.frames / spec.rate, abs=0.06)
    assert np.abs(sound).max() > 0.1


@pytest.mark.parametrize("spec", COMMITTED, ids=IDS)
def test_first_mask_is_frame_0_of_the_masks_and_whole(spec: SceneSpec) -> None:
    masks = decode(CLIPS_DIR / f"{spec.name}_mask.mkv", "gray")
    first = cv2.imread(str(CLIPS_DIR / f"{spec.name}_first.png"), cv2.IMREAD_UNCHANGED)
    assert masks.shape == (spec.frames, *spec.size_hw)
    assert set(np.unique(masks)) == {0, 255}
    np.testing.assert_array_equal(first, masks[0])
    edge = np.concatenate([masks[0][0], masks[0][-1], masks[0][:, 0], masks[0][:, -1]])
    assert not edge.any()


@pytest.mark.parametrize("spec", COMMITTED, ids=IDS)
def test_most_of_what_the_figure_hides_is_seen_in_another_frame(spec: SceneSpec) -> None:
    masks = decode(CLIPS_DIR / f"{spec.name}_mask.mkv", "gray") > 0
    assert not np.all(masks, axis=0).any()
    assert np.mean(masks[0] & masks[-1]) == 0


@pytest.mark.parametrize(("spec", "depth"), [(WALK, 12.0), (MIRROR, 6.0)], ids=IDS)
def test_shot_and_plate_differ_by_the_figure_and_its_effects_only(spec: SceneSpec, depth: float) -> None:
    shot, plate = decode(CLIPS_DIR / f"{spec.name}.mp4"), decode(CLIPS_DIR / f"{spec.name}_clean.mp4")
    masks = decode(CLIPS_DIR / f"{spec.name}_mask.mkv", "gray")
    near = np.stack([cv2.dilate(mask, np.ones((9, 9), np.uint8)) for mask in masks]) > 0
    change = np.abs(blurred(shot) - blurred(plate))
    effect = (change > 4.0) & ~near
    rest = ~near & ~effect
    assert rest.mean() > 0.75
    assert psnr(shot[rest].astype(np.float32), plate[rest].astype(np.float32)) > 30.0
    for frame in range(0, spec.frames, 8):
        assert effect[frame].sum() > 200, "the shadow or the reflection is missing"
        assert change[frame][effect[frame]].max() > depth
        rows = np.nonzero(effect[frame])[0]
        feet = np.nonzero(masks[frame])[0].max()
        assert np.median(rows) > feet - 60, "what changes outside the figure lies on the floor"


# --- the code that rendered them --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", sorted(SHADES))
def test_textures_are_deterministic_and_differ_by_seed(kind: str) -> None:
    make = surface.__wrapped__  # past the cache
    first, again, other = (make(kind, (0.5, 0.4, 0.3), seed, 64) for seed in (1, 1, 2))
    assert first.shape == (64, 64, 3)
    assert first.dtype == np.float32
    assert first.min() >= 0
    assert first.max() <= 1
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).mean() > 1e-3


def test_pictures_and_panoramas_are_deterministic() -> None:
    towards = (0.6, 0.8, 0.0)
    np.testing.assert_array_equal(painting.__wrapped__(3, 32), painting.__wrapped__(3, 32))
    np.testing.assert_array_equal(sky.__wrapped__(3, towards, 32), sky.__wrapped__(3, towards, 32))
    assert room_light(towards, 16).shape == (16, 32, 3)


def test_random_spec_is_deterministic_and_varied() -> None:
    assert random_spec(7) == random_spec(7)
    specs = [random_spec(seed) for seed in range(40)]
    assert len(set(specs)) == 40
    assert {spec.light for spec in specs} == {"sun", "room"}
    assert {spec.camera for spec in specs} == {"still", "pan", "dolly", "handheld"}


def test_pairs_take_turns_and_put_the_figure_anywhere() -> None:
    pairs = importlib.import_module("pairs")
    drawn = [pairs.pair_spec(seed, 64) for seed in range(24)]
    assert drawn == [pairs.pair_spec(seed, 64) for seed in range(24)]
    for seed, (spec, frame) in enumerate(drawn):
        kind = pairs.KINDS[seed % 3]
        assert (spec.light, spec.gloss > 0) == ("sun" if kind == "sun" else "room", kind == "mirror")
        assert spec.size_hw == (64, 64)
        assert 0 <= frame < spec.frames
    places = np.array([seen_at(spec, frame) for spec, frame in drawn])
    assert np.abs(places).max() < 1
    assert places[:, 0].min() < -0.4
    assert places[:, 0].max() > 0.4
    assert np.abs(places[:, 0]).mean() > 0.25


def seen_at(spec: SceneSpec, frame: int) -> tuple[float, float]:
    """Where the middle of the figure is in the picture: (right, up), -1 and 1 at the edges."""
    middle = np.concatenate([skin.points for skin in skins(spec, frame / spec.rate).values()]).mean(axis=0)
    forward = np.array(spec.look_at) - spec.camera_at
    forward /= np.linalg.norm(forward)
    right = np.cross(forward, [0.0, 1.0, 0.0])
    right /= np.linalg.norm(right)
    ray = middle - spec.camera_at
    reach = float(np.tan(np.deg2rad(spec.fov_deg) / 2) * (ray @ forward))
    return float(ray @ right) / reach, float(ray @ np.cross(right, forward)) / reach


def test_the_effect_mask_holds_figure_and_shadow_and_no_specks() -> None:
    pairs = importlib.import_module("pairs")
    plate = np.full((96, 96, 3), 0.6, np.float32)
    shot, figure = plate.copy(), np.zeros((96, 96), np.uint8)
    shot[20:50, 40:50], figure[20:50, 40:50] = 0.6, 255  # a figure of the wall's own colour
    shot[50:56, 30:50] *= 0.8
    shot[80, 80] = 0.95  # one light sample that the figure caught
    found = pairs.effect_mask(shot, plate, figure) > 0
    assert found[figure > 0].all()
    assert found[51:55, 31:49].all()
    assert not found[70:].any()
    assert found.sum() < 1.6 * (30 * 10 + 6 * 20)
    assert pairs.VISIBLE == drawn_pairs.VISIBLE


def test_a_standing_foot_does_not_slide() -> None:
    speed, stride = 1.6, 1.6 * 0.88 * STANCE
    phases = np.linspace(0, STANCE - 1e-6, 9)
    world = [speed * phase * 0.88 + ankle(float(phase), stride)[0] for phase in phases]
    np.testing.assert_allclose(world, world[0], atol=1e-6)


@pytest.mark.parametrize("spec", CLIPS.values(), ids=list(CLIPS))
def test_the_figure_walks_on_the_ground(spec: SceneSpec) -> None:
    for time in np.linspace(0, spec.frames / spec.rate, 7):
        lowest = min(skin.points[:, 1].min() for skin in skins(spec, float(time)).values())
        assert -0.02 < lowest < 0.03
        assert all(np.isfinite(bone.end).all() for bone in figure(spec, float(time)))
    assert len(heel_strikes(spec)) >= 2


def started_renderer() -> Any:
    pytest.importorskip("mitsuba", reason="Mitsuba is an optional development dependency")
    render, scene = importlib.import_module("render"), importlib.import_module("scene")
    try:
        render.start("llvm_ad_rgb", 0)
    except scene.RenderError as error:
        pytest.skip(f"Mitsuba does not start here: {error}")
    return render


def test_render_at_tiny_size() -> None:
    render = started_renderer()
    spec = replace(MIRROR, size_hw=(24, 32), frames=1)
    shot, plate = (render.render_frame(spec, 0, figure, spp=1) for figure in (True, False))
    mask = render.object_mask(spec, 0) > 0
    assert shot.shape == (24, 32, 3)
    assert 0.01 < mask.mean() < 0.3
    assert np.abs(shot - plate)[mask].mean() > 5 * np.abs(shot - plate)[:8, 24:].mean()
    assert render.develop(shot, spec, 0).dtype == np.uint8


def test_a_rendered_pair_is_a_plate_that_validation_reads(tmp_path: Path) -> None:
    started_renderer()
    pairs = importlib.import_module("pairs")
    pairs.write_pair(tmp_path, "0000", pairs.render_pair(2, 48, 8))
    (pair,) = open_plates(tmp_path)
    assert pair.shot.shape == (48, 48, 3)
    assert 0.01 < pair.mask.mean() < 0.3
    effect = pair.effect_mask & ~pair.mask
    assert effect.sum() > 20
    change = np.abs(pair.shot.astype(float) - pair.clean).mean(axis=2)
    assert change[effect].mean() > 5 * change[~pair.effect_mask].mean()
