"""The fill: what is replaced, with what, and what is left alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from osor_video.background.recover import Plate
from osor_video.composite.fill import RIM_PX, Fill, FrameGrain, dithered, join_alpha, make_fill
from osor_video.composite.grain import Grain
from osor_video.config import CompositeConfig
from osor_video.removal.remover import Removal
from osor_video.tensors import FloatMap, Mask, Picture, to_uint8

SIZE_HW = (100, 120)
CONFIG = CompositeConfig()
BOX = (20, 24, 80, 100)
NOTHING: FloatMap = np.zeros(SIZE_HW, np.float32)
GRAIN = FrameGrain(Grain((3.0, 1.0, 1.5), (0.3, 0.5, 0.5)), 0, 4)


@pytest.fixture
def hole() -> Mask:
    hole = np.zeros(SIZE_HW, dtype=bool)
    hole[40:60, 50:75] = True
    return hole


def scene() -> FloatMap:
    """A smooth picture [H, W, 3] in [0, 1]."""
    ys, xs = np.mgrid[0 : SIZE_HW[0], 0 : SIZE_HW[1]].astype(np.float32)
    return np.stack([0.3 + xs / 400, 0.5 - ys / 500, 0.2 + (xs + ys) / 600], axis=-1).astype(np.float32)


def holed(hole: Mask) -> Picture:
    """The scene with the object, white, in the hole."""
    return to_uint8(np.where(hole[..., None], 1.0, scene()))


def plate(confidence: float) -> Plate:
    area = np.s_[BOX[0] : BOX[2], BOX[1] : BOX[3]]
    random = np.random.default_rng(0).random((*SIZE_HW, 3), dtype=np.float32)
    return Plate(BOX, random[area], np.full((BOX[2] - BOX[0], BOX[3] - BOX[1]), confidence, np.float32))


def on_frame(values: FloatMap, box: tuple[int, int, int, int]) -> FloatMap:
    frame = np.zeros((*SIZE_HW, *values.shape[2:]), np.float32)
    frame[box[0] : box[2], box[1] : box[3]] = values
    return frame


def test_alpha_is_one_in_the_hole_soft_around_it_and_nought_far_away(hole: Mask) -> None:
    fill = make_fill(holed(hole), hole, None, None, None, CONFIG)
    alpha = on_frame(fill.alpha, fill.box)
    assert alpha[hole].min() == 1
    ys, xs = np.nonzero(alpha > 0)
    assert (ys.min(), ys.max() + 1, xs.min(), xs.max() + 1) == (38, 62, 48, 77)  # two pixels of feather
    assert ((alpha > 0) & (alpha < 1)).any()


def test_the_box_is_even_and_holds_the_rim(hole: Mask) -> None:
    fill = make_fill(holed(hole), hole, None, None, None, CONFIG)
    assert fill.box == (38 - RIM_PX, 48 - RIM_PX, 62 + RIM_PX, 94)
    assert fill.rgb.shape == (fill.box[2] - fill.box[0], fill.box[3] - fill.box[1], 3)


def test_a_wider_feather_is_wider(hole: Mask) -> None:
    narrow, wide = (join_alpha(hole, NOTHING, CompositeConfig(feather=f)) for f in (0.01, 0.05))
    assert (wide > 0).sum() > (narrow > 0).sum()
    assert wide[hole].min() == narrow[hole].min() == 1


def test_with_nothing_known_the_surroundings_are_interpolated(hole: Mask) -> None:
    fill = make_fill(holed(hole), hole, None, None, None, CONFIG)
    error = np.abs(on_frame(fill.rgb, fill.box) - scene())[hole]
    assert error.max() < 0.02  # the object itself is .4 and more away
    assert fill.borrowed == 0


def test_trusted_plate_pixels_are_used_exactly(hole: Mask) -> None:
    known = plate(0.9)
    fill = make_fill(holed(hole), hole, known, None, None, CONFIG)
    inner = np.zeros(SIZE_HW, dtype=bool)
    inner[40:60, 50:75] = True
    wanted = on_frame(known.rgb, BOX)
    np.testing.assert_allclose(on_frame(fill.rgb, fill.box)[inner], wanted[inner], atol=1e-6)
    assert fill.borrowed == 1


def test_a_plate_under_the_trust_is_not_used(hole: Mask) -> None:
    doubtful = make_fill(holed(hole), hole, plate(0.49), None, None, CONFIG)
    none = make_fill(holed(hole), hole, None, None, None, CONFIG)
    assert np.array_equal(doubtful.rgb, none.rgb)
    assert doubtful.borrowed == 0


def test_borrowed_is_the_trusted_share_of_the_hole(hole: Mask) -> None:
    half = plate(0.9)
    half.confidence[: 50 - BOX[0]] = 0
    fill = make_fill(holed(hole), hole, half, None, None, CONFIG)
    assert fill.borrowed == pytest.approx(0.5)


@pytest.mark.parametrize("offset", [0.0, 0.1, -0.15])
def test_a_generated_offset_is_corrected_at_the_rim(hole: Mask, offset: float) -> None:
    removal = Removal(np.zeros(SIZE_HW, np.float32), lambda: scene() + np.float32(offset))
    fill = make_fill(holed(hole), hole, None, None, removal, CONFIG)
    error = np.abs(on_frame(fill.rgb, fill.box) - scene())[hole]
    assert error.max() < 0.01


def test_generated_detail_survives_the_correction(hole: Mask) -> None:
    ys, xs = np.mgrid[0 : SIZE_HW[0], 0 : SIZE_HW[1]]
    detail = 0.1 * ((xs + ys) % 2 - 0.5).astype(np.float32)[..., None] * hole[..., None]
    removal = Removal(np.zeros(SIZE_HW, np.float32), lambda: scene() + 0.1 + detail)
    fill = make_fill(holed(hole), hole, None, None, removal, CONFIG)
    difference = (on_frame(fill.rgb, fill.box) - scene() - detail)[hole]
    assert np.abs(difference).max() < 0.02


def test_effects_join_the_hole(hole: Mask) -> None:
    effects = np.zeros(SIZE_HW, np.float32)
    effects[62:68, 60:90] = 0.7
    fill = make_fill(holed(hole), hole, None, effects, None, CONFIG)
    alpha = on_frame(fill.alpha, fill.box)
    assert alpha[65, 80] == pytest.approx(0.7)
    assert alpha[72:].max() == 0


def test_what_is_kept_is_not_touched_and_guides_the_fill(hole: Mask) -> None:
    kept = np.zeros(SIZE_HW, dtype=bool)
    kept[:, 60:66] = True
    effects = np.zeros(SIZE_HW, np.float32)
    effects[62:68, 50:90] = 0.7
    fill = make_fill(holed(hole), hole & ~kept, None, effects, None, CONFIG, kept)
    assert on_frame(fill.alpha, fill.box)[kept].max() == 0
    assert on_frame(fill.effect, fill.box)[kept].max() == 0
    assert on_frame(fill.alpha, fill.box)[hole & ~kept].min() == 1


def test_the_effect_is_told_apart_from_the_hole(hole: Mask) -> None:
    effects = np.zeros(SIZE_HW, np.float32)
    effects[62:68, 60:90] = 0.7
    fill = make_fill(holed(hole), hole, None, effects, None, CONFIG)
    assert np.array_equal(on_frame(fill.effect, fill.box), effects)


@pytest.mark.parametrize(("left", "wanted"), [(None, 1.0), (0.0, 1.0), (0.64, 0.6), (1.0, 0.0)])
def test_a_plate_gets_the_grain_that_it_lacks(hole: Mask, left: float | None, wanted: float) -> None:
    known = plate(0.9)
    known.rgb[:] = 0.5
    if left is not None:
        known = replace(known, grain=np.full_like(known.confidence, left))
    clean = make_fill(holed(hole), hole, known, None, None, CONFIG)
    grainy = make_fill(holed(hole), hole, known, None, None, CONFIG, grain=GRAIN)
    top, left_px, bottom, right = clean.box
    inner = hole[top:bottom, left_px:right]
    added = 255 * (grainy.rgb - clean.rgb)[inner] @ np.array([0.299, 0.587, 0.114])
    assert added.std() == pytest.approx(3 * wanted, rel=0.15)
    assert np.array_equal(clean.alpha, grainy.alpha)


def test_without_a_share_of_grain_none_is_added(hole: Mask) -> None:
    off = CompositeConfig(grain=0)
    a, b = (make_fill(holed(hole), hole, plate(0.9), None, None, off, grain=g) for g in (GRAIN, None))
    assert np.array_equal(a.rgb, b.rgb)


def test_what_would_not_move_a_sample_is_left_alone(hole: Mask) -> None:
    effects = np.full(SIZE_HW, 0.9 / 255, np.float32)
    assert join_alpha(hole, effects, CONFIG)[0, 0] == 0
    effects[:] = 1.1 / 255
    assert join_alpha(hole, effects, CONFIG)[0, 0] > 0


@pytest.mark.parametrize(("gap_px", "decoded"), [(0, 0), (4, 0), (12, 1)])
def test_a_picture_is_generated_only_for_gaps_that_interpolation_cannot_bridge(
    hole: Mask, gap_px: int, decoded: int
) -> None:
    asked: list[int] = []

    def decode() -> FloatMap:
        asked.append(1)
        return scene()

    known = plate(0.9)
    known.confidence[25 : 25 + gap_px, 30 : 30 + gap_px] = 0
    removal = Removal(np.zeros(SIZE_HW, np.float32), decode)
    make_fill(holed(hole), hole, known, None, removal, CONFIG)
    assert len(asked) == decoded


def test_a_fill_for_deep_sources_is_dithered_between_steps_of_8_bit() -> None:
    flat = Fill(
        np.full((40, 60, 3), 100 / 255, np.float32),
        *(np.ones((40, 60), np.float32), np.zeros((40, 60), np.float32)),
        (0, 0, 40, 60),
        1.0,
    )
    steps = dithered(flat, 1, (0, 3)).rgb * 255 - 100
    assert abs(float(steps.mean())) < 0.02
    assert 0.45 < float(np.abs(steps).max()) <= 0.5001
    assert np.array_equal(dithered(flat, 1, (0, 3)).rgb, dithered(flat, 1, (0, 3)).rgb)
    assert not np.array_equal(dithered(flat, 1, (0, 3)).rgb, dithered(flat, 1, (0, 4)).rgb)
    assert np.array_equal(dithered(flat, 0, (0, 3)).rgb, flat.rgb)


def test_other_things_at_the_rim_do_not_reach_deep_into_what_is_generated() -> None:
    hole = np.zeros(SIZE_HW, dtype=bool)
    hole[20:80, 30:90] = True
    other = scene()
    # The shot shows something above the hole that the fill does not go on with.
    other[:20] += np.float32(0.3)
    removal = Removal(np.zeros(SIZE_HW, np.float32), scene)
    fill = make_fill(to_uint8(other), hole, None, None, removal, CONFIG)
    error = (on_frame(fill.rgb, fill.box) - scene())[..., 0]
    assert error[21, 60] > 0.15
    assert np.abs(error[50:75, 40:80]).max() < 0.02


def test_beyond_the_crop_the_surroundings_are_interpolated(hole: Mask) -> None:
    seen = scene()
    seen[:, 60:] = 0  # All that the model's crop does not show.
    removal = Removal(np.zeros(SIZE_HW, np.float32), lambda: seen, (0, 0, SIZE_HW[0], 60))
    fill = make_fill(holed(hole), hole, None, None, removal, CONFIG)
    error = np.abs(on_frame(fill.rgb, fill.box) - scene())
    assert error[45:55, 68:73].max() < 0.05
    assert error[45:55, 52:56].max() < 0.05


def test_the_plate_takes_on_the_tone_of_the_frame_around_the_hole(hole: Mask) -> None:
    # A lens that is darker to the right, and a plate from where it is not.
    shade = np.linspace(1.0, 0.8, SIZE_HW[1], dtype=np.float32)[None, :, None]
    frame, box = (
        to_uint8(np.where(hole[..., None], 1.0, scene() * shade)),
        np.s_[BOX[0] : BOX[2], BOX[1] : BOX[3]],
    )
    unlike = replace(plate(1.0), rgb=scene()[box])
    fill = make_fill(frame, hole, unlike, None, None, CONFIG)
    error = np.abs(on_frame(fill.rgb, fill.box) - scene() * shade)[hole].max()
    assert error < 0.35 * np.abs(scene() - scene() * shade)[hole].max()
    # What shows another thing beside the hole says nothing of light.
    frame[:, 76:] = 20
    beside = make_fill(frame, hole, unlike, None, None, CONFIG)
    np.testing.assert_allclose(
        on_frame(beside.rgb, beside.box)[hole], on_frame(fill.rgb, fill.box)[hole], atol=0.03
    )


def test_a_plate_of_the_frames_own_tone_stays_as_it_is(hole: Mask) -> None:
    own = replace(plate(1.0), rgb=scene()[BOX[0] : BOX[2], BOX[1] : BOX[3]] * 1.015)
    fill = make_fill(holed(hole), hole, own, None, None, CONFIG)
    np.testing.assert_allclose(on_frame(fill.rgb, fill.box)[hole], 1.015 * scene()[hole], atol=1e-3)
