"""Objects from labelled photographs and from pictures with transparency, whichever a folder holds."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from osor_video.errors import ConfigError
from osor_video.training.cutouts import (
    LONGEST_SIDE_PX,
    PERSON,
    THING,
    Cutout,
    choose_cutout,
    load_cutouts,
    premultiplied,
    read_cutout,
    repainted,
    sized,
)
from tests.training.conftest import texture


def write_transparent(path: Path, height: int = 90, width: int = 60, *, bits: int = 8) -> None:
    """An ellipse of texture with a wide transparent rim."""
    matte = np.zeros((height, width), np.uint8)
    cv2.ellipse(matte, (width // 2, height // 2), (width // 4, height // 3), 0, 0, 360, 255, -1)
    colour = cv2.resize(texture(len(path.stem), 64, 64), (width, height))
    bgra = np.dstack([colour, matte])
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), bgra if bits == 8 else bgra.astype(np.uint16) * 257)


@pytest.fixture
def transparent(tmp_path: Path) -> Path:
    for index in range(14):
        kind = "person" if index % 2 else "cup"
        write_transparent(
            tmp_path / f"sub{index % 3}" / f"{index:02d}_{kind}.{'png' if index % 4 else 'webp'}"
        )
    return tmp_path


def test_a_folder_of_transparent_pictures_is_read_and_split_by_file(transparent: Path) -> None:
    training, held_out = load_cutouts(transparent)
    assert (len(training), len(held_out)) == (12, 2)
    assert sum(cutout.label == PERSON for cutout in training + held_out) == 7
    for cutout in training:
        assert cutout.matte.shape == cutout.colour.shape[:2]
        assert cutout.matte[0].max() > 0
        assert cutout.matte[-1].max() > 0
        assert cutout.matte.shape[0] < 70


def test_sixteen_bits_are_read_as_eight_are(tmp_path: Path) -> None:
    write_transparent(tmp_path / "a.png")
    write_transparent(tmp_path / "b.png", bits=16)
    first, second = read_cutout(tmp_path / "a.png"), read_cutout(tmp_path / "b.png")
    assert np.array_equal(first.matte, second.matte)
    assert np.array_equal(first.colour, second.colour)


def test_names_say_what_is_a_person_and_what_is_cut_off(tmp_path: Path) -> None:
    for name in ("Person-cut 3", "personal", "uncut"):
        write_transparent(tmp_path / f"{name}.png")
    read = [read_cutout(tmp_path / f"{name}.png") for name in ("Person-cut 3", "personal", "uncut")]
    assert [(cutout.label, cutout.cut_off) for cutout in read] == [
        (PERSON, True),
        (THING, False),
        (THING, False),
    ]


def test_a_made_split_is_kept(tmp_path: Path) -> None:
    for part, count in (("train", 2), ("held_out", 3)):
        for index in range(count):
            write_transparent(tmp_path / part / f"{index}.png")
    training, held_out = load_cutouts(tmp_path)
    assert (len(training), len(held_out)) == (2, 3)


def test_pictures_that_are_no_cutouts_are_named(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "opaque.png"), texture(0, 64, 64))
    with pytest.raises(ConfigError, match=r"opaque\.png has no transparency"):
        load_cutouts(tmp_path)
    cv2.imwrite(str(tmp_path / "opaque.png"), np.zeros((64, 64, 4), np.uint8))
    with pytest.raises(ConfigError, match=r"opaque\.png is transparent all over"):
        load_cutouts(tmp_path)
    (tmp_path / "opaque.png").write_bytes(b"no picture")
    with pytest.raises(ConfigError, match=r"opaque\.png cannot be read"):
        load_cutouts(tmp_path)


def test_a_half_hidden_object_is_left_out(tmp_path: Path) -> None:
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    whole = "56 0.2 0.1 0.6 0.1 0.6 0.9 0.2 0.9"
    # A head and a leg, joined by a line as labels of several polygons are.
    pieces = (
        "56 0.2 0.1 0.6 0.1 0.6 0.4 0.4 0.4 0.4 0.6 0.6 0.6 0.6 0.95 0.3 0.95 0.3 0.6 0.4 0.6 0.4 0.4 0.2 0.4"
    )
    for index, row in enumerate((whole, whole, pieces, pieces)):
        cv2.imwrite(str(tmp_path / f"images/{index}.jpg"), texture(index, 160, 160))
        (tmp_path / f"labels/{index}.txt").write_text(row)
    training, held_out = load_cutouts(tmp_path)
    assert (len(training), len(held_out)) == (1, 1)
    assert not training[0].cut_off


def test_an_object_that_its_photograph_cuts_off_is_marked_and_chosen_less(tmp_path: Path) -> None:
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    for index, bottom in enumerate(("0.9", "0.9", "1.0")):
        cv2.imwrite(str(tmp_path / f"images/{index}.jpg"), texture(index, 160, 160))
        (tmp_path / f"labels/{index}.txt").write_text(f"56 0.2 0.1 0.6 0.1 0.6 {bottom} 0.2 {bottom}")
    training, _ = load_cutouts(tmp_path)
    assert [cutout.cut_off for cutout in training] == [False, True]
    random = np.random.default_rng(0)
    assert 0.02 < np.mean([choose_cutout(training, random).cut_off for _ in range(400)]) < 0.15


def test_a_person_that_ends_in_a_straight_edge_has_no_feet(tmp_path: Path) -> None:
    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    bust, standing = "0.2 0.1 0.6 0.1 0.6 0.9 0.2 0.9", "0.4 0.1 0.6 0.5 0.55 0.9 0.4 0.6 0.25 0.9 0.2 0.5"
    for index, row in enumerate((f"0 {bust}", f"0 {bust}", f"0 {standing}", f"56 {bust}")):
        cv2.imwrite(str(tmp_path / f"images/{index}.jpg"), texture(index, 160, 160))
        (tmp_path / f"labels/{index}.txt").write_text(row)
    training, _ = load_cutouts(tmp_path)
    assert [cutout.cut_off for cutout in training] == [True, False, False]


def test_large_objects_are_shrunk_and_small_ones_keep_every_value(tmp_path: Path) -> None:
    write_transparent(tmp_path / "large.png", 1200, 900)
    write_transparent(tmp_path / "small.png")
    assert max(read_cutout(tmp_path / "large.png").matte.shape) <= LONGEST_SIDE_PX
    small = read_cutout(tmp_path / "small.png")
    stored = cv2.imread(str(tmp_path / "small.png"), cv2.IMREAD_UNCHANGED)
    assert stored is not None
    inside = np.argwhere(stored[..., 3] > 5)
    assert small.colour[0, 0, 0] * 255 == pytest.approx(stored[tuple(inside.min(0))][2], abs=0.01)


def test_colours_beyond_the_matte_do_not_bleed_in() -> None:
    colour = np.zeros((40, 40, 3), np.float32)
    colour[:, :20] = (1.0, 0.5, 0.25)
    matte = (colour[..., 0] > 0).astype(np.float32)
    shrunk = sized(Cutout(0, colour, matte), 13, 64, mirrored=False)
    assert np.abs(shrunk.colour[shrunk.matte > 0.05] - [1.0, 0.5, 0.25]).max() < 0.02
    mirrored = sized(Cutout(0, colour, matte), 13, 64, mirrored=True)
    assert np.array_equal(premultiplied(mirrored), premultiplied(shrunk)[:, ::-1])
    assert sized(Cutout(0, colour, matte), 1000, 100, mirrored=False).matte.shape[1] == 90


def test_a_repainted_object_keeps_its_shape_and_one_of_its_sides() -> None:
    random = np.random.default_rng(1)
    matte = np.zeros((120, 80), np.float32)
    matte[10:110, 20:60] = 1
    cutout = Cutout(0, random.random((120, 80, 3), np.float32), matte)
    for seed in range(8):
        painted = repainted(cutout, np.random.default_rng(seed))
        assert painted.matte is cutout.matte
        assert painted.colour.min() >= 0
        assert painted.colour.max() <= 1
        changed = np.abs(painted.colour - cutout.colour).max(axis=2)[matte > 0] > 1e-3
        assert 0.05 < changed.mean() < 0.98


def test_an_object_is_printed_in_its_own_light() -> None:
    matte = np.ones((60, 40), np.float32)
    shaded = np.full((60, 40, 3), 0.5, np.float32)
    shaded[:, 20:] = 0.3
    red = np.full((32, 32, 3), (200, 20, 20), np.uint8)
    painted = repainted(Cutout(0, shaded, matte), np.random.default_rng(0), red).colour
    printed = painted[..., 0] > 2 * painted[..., 1]
    assert 0.1 < printed.mean() < 0.9
    light, dark = (painted[:, half][printed[:, half]][:, 0] for half in (np.s_[:20], np.s_[20:]))
    assert np.median(light) > 1.4 * np.median(dark)
