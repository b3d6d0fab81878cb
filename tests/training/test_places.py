"""Places: floors and walls where the camera's ground says, and shadows that meet without getting darker."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from osor_video.training.cutouts import Cutout
from osor_video.training.effects import Ground, Light, Mirror, Patch, Placed
from osor_video.training.pairs import Layer, compose, draw_layer
from osor_video.training.photos import list_photos
from osor_video.training.places import Place, draw_place

SIDE = 96
GROUND = Ground(SIDE, horizon_px=20.0, focal_px=120.0, wall_px=40.0)
SUN = Light(0.8, -0.6, 0.02, 0.0, np.full(3, 0.5, np.float32))


def drawn(photos_folder: Path, seed: int, ground: Ground = GROUND) -> Place:
    return draw_place(list_photos(photos_folder), ground, 128, np.random.default_rng(seed), 40.0)


def even(mirror: Mirror | None = None) -> Place:
    """Grey ground in the sun."""
    ground = replace(GROUND, wall_px=None)
    nothing = np.zeros((SIDE, SIDE), np.float32)
    return Place(ground, np.full((SIDE, SIDE, 3), 0.6, np.float32), None, mirror, (SUN,), (nothing,))


def layer(foot_px: float, columns: slice, shade: float) -> Layer:
    """A white box at ``columns`` whose shadow covers rows 60 to 80 of the middle."""
    box = np.ones((10, columns.stop - columns.start, 4), np.float32)
    patch = Patch(60, 20, np.full((20, 40), shade, np.float32))
    return Layer(foot_px, Patch(30, columns.start, box), ([patch],))


def test_the_same_generator_gives_the_same_place(photos_folder: Path) -> None:
    first, again, other = (drawn(photos_folder, seed) for seed in (1, 1, 2))
    assert np.array_equal(first.diffuse, again.diffuse)
    assert not np.array_equal(first.diffuse, other.diffuse)


def test_places_are_pictures_and_only_walls_and_ground_meet_at_the_line(photos_folder: Path) -> None:
    steps = []
    for seed in range(30):
        place = drawn(photos_folder, seed)
        assert place.diffuse.shape == (SIDE, SIDE, 3)
        assert place.diffuse.min() >= 0
        assert place.diffuse.max() <= 1
        rows = np.abs(np.diff(place.diffuse.mean((1, 2))))
        steps.append(rows[39] / np.median(rows))
    assert np.median(steps) > 4


def test_lights_shadows_and_mirrors_vary_and_lie_on_the_ground(photos_folder: Path) -> None:
    places = [drawn(photos_folder, seed) for seed in range(60)]
    assert {len(place.lights) for place in places} == {0, 1, 2}
    assert all(len(place.shades) == len(place.lights) for place in places)
    shaded = [place.shades[0] for place in places if place.lights and place.shades[0].any()]
    mirrors = [place.mirror for place in places if place.mirror is not None]
    assert 4 < len(shaded) < 40
    assert 8 < len(mirrors) < 40
    assert any(mirror.ripple is not None for mirror in mirrors)
    for above in [shade[:39] for shade in shaded] + [mirror.strength[:39] for mirror in mirrors]:
        assert not above.any()
    for place in places:
        assert (place.reflected is not None) == (place.mirror is not None)


def test_a_photograph_mirrors_itself(photos_folder: Path) -> None:
    ground = replace(GROUND, wall_px=None)
    assert all(drawn(photos_folder, seed, ground).reflected is None for seed in range(10))


def test_two_shadows_of_one_light_are_no_darker_than_one() -> None:
    place = even()
    one = compose(place, [layer(60.0, slice(5, 10), 0.8)])
    both = compose(place, [layer(60.0, slice(5, 10), 0.8), layer(60.0, slice(80, 85), 0.8)])
    assert one[70, 40, 0] == pytest.approx(0.6 * (1 - 0.8 * 0.5))
    assert np.array_equal(one[50:], both[50:])
    in_shade = replace(place, shades=(np.ones((SIDE, SIDE), np.float32),))
    shot, clean = compose(in_shade, [layer(60.0, slice(5, 10), 0.8)]), compose(in_shade, [])
    assert np.array_equal(shot[50:], clean[50:])


def test_what_stands_nearer_is_drawn_in_front() -> None:
    near, far = layer(70.0, slice(5, 30), 0.0), layer(50.0, slice(5, 30), 0.0)
    dark = replace(near, drawn=near.drawn.of(near.drawn.values * np.array([0.1, 0.1, 0.1, 1.0], np.float32)))
    assert compose(even(), [dark, far])[35, 10, 0] == pytest.approx(0.1)
    assert compose(even(), [far, dark])[35, 10, 0] == pytest.approx(0.1)


def test_a_mirror_shows_the_object_in_place_of_what_it_showed_before() -> None:
    mirror = Mirror(np.full((SIDE, SIDE), 0.5, np.float32), 0.0, None)
    box = Placed(Cutout(0, np.ones((20, 10, 3), np.float32), np.ones((20, 10), np.float32)), (48.0, 60.0))
    place = replace(even(mirror), lights=(), shades=(), reflected=np.zeros((SIDE, SIDE, 3), np.float32))
    made = [draw_layer(place, box, np.random.default_rng(seed)) for seed in range(20)]
    lit = next(layer for layer in made if layer.mirrored is not None and layer.contact is None)
    lit = replace(lit, spill=None)
    picture, clean = compose(place, [lit]), compose(place, [])
    assert clean[70, 48] == pytest.approx(0.3)
    assert lit.mirrored is not None
    colour = lit.mirrored.values[70 - lit.mirrored.top, 48 - lit.mirrored.left, :3]
    assert picture[70, 48] == pytest.approx(0.3 + 0.5 * colour)
    assert picture[70, 20] == pytest.approx(0.3)
