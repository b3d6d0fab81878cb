"""A person before a still camera: median, silhouettes and ceiling of a clip whose truth is known."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from osor_video.apps.bench import PEOPLE
from osor_video.apps.cli import app
from osor_video.benchmark.cases import pictures_of, true_frames
from osor_video.benchmark.metrics import psnr, squared_error
from osor_video.benchmark.people import EmptyPlace, Person, empty_place, make_case, read_people
from osor_video.errors import ConfigError
from osor_video.shapes import dilate
from osor_video.tensors import Mask
from tests.apps.clips import SIZE_HW, wall, write_clip
from tests.tiny import tiny_model

ROOT = Path(__file__).parents[2]
FRAMES = 24
WALKED = 4
"""Pixels a frame."""
SHOT = {"name": "try", "start": 4, "frames": 12, "seed": (18, 28, 20, 38)}
LAST = 13
"""The frame in which the case takes the person for gone."""


def _person(frame: int) -> Mask:
    mask = np.zeros(SIZE_HW, dtype=bool)
    mask[30:64, WALKED * frame + 4 : WALKED * frame + 20] = True
    return mask


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dark figure that walks to the right before a noisy wall, and a light in the corner that blinks."""
    random, pictures = np.random.default_rng(0), []
    for frame in range(FRAMES):
        picture = wall()
        picture[_person(frame)] = (20, 20, 25)
        picture[4:16, 4:16] = 250 if frame % 2 else 10
        noisy = picture + random.normal(0, 3, picture.shape)
        pictures.append(np.clip(np.rint(noisy), 0, 255).astype(np.uint8))
    return write_clip(tmp_path_factory.mktemp("people") / "still.mp4", pictures)


@pytest.fixture(scope="module")
def place(clip: Path) -> EmptyPlace:
    return empty_place(clip)


def _recipe(**changes: object) -> Person:
    places = {frame: (WALKED * frame, 24, 24, 44) for frame in (4, 8, LAST)}
    return Person.model_validate({**SHOT, "places": places} | changes)


def test_the_median_shows_the_place_and_what_blinks_has_no_truth(place: EmptyPlace) -> None:
    light = np.zeros(SIZE_HW, dtype=bool)
    light[4:16, 4:16] = True
    assert psnr(float(squared_error(place.median, wall())[~dilate(light, 4)].mean())) > 34
    assert place.restless[light].mean() > 0.8
    assert not place.restless[~dilate(light, 3)].any()


def test_silhouettes_are_the_persons_until_it_has_left(clip: Path, place: EmptyPlace, tmp_path: Path) -> None:
    case = make_case(_recipe(), clip, place, tmp_path)
    assert case.ceiling is not None
    errors, own = [], []
    for index, (frame, seen) in enumerate(zip(true_frames(case), pictures_of(case.ceiling), strict=True)):
        person = _person(4 + index)
        if 4 + index > LAST:
            assert not frame.mask.any()
            continue
        assert (frame.mask & person).sum() > 0.9 * person.sum()
        assert not (frame.mask & ~dilate(person, 3)).any()
        np.testing.assert_array_equal(frame.clean, place.median)
        np.testing.assert_array_equal(seen[~frame.mask], place.median[~frame.mask])
        errors.append(squared_error(frame.shot, frame.clean)[frame.mask].mean())
        own.append(squared_error(seen, frame.clean)[frame.mask].mean())
    assert len(own) == 12 - 2
    # The camera's noise, of which coding leaves a part; nothing of the figure.
    assert 36 < psnr(float(np.mean(own))) < 45
    assert psnr(float(np.mean(errors))) < 12


def test_the_first_mask_comes_of_the_box(clip: Path, place: EmptyPlace, tmp_path: Path) -> None:
    case = make_case(_recipe(), clip, place, tmp_path)
    first = cv2.imread(str(case.first), cv2.IMREAD_GRAYSCALE)
    assert first is not None
    assert (first > 0)[_person(4)].mean() > 0.9
    assert (first > 0)[~_person(4)].mean() < 0.01


def test_boxes_are_interpolated_and_end() -> None:
    recipe = _recipe(places={4: (0, 10, 20, 40), 8: (8, 10, 24, 40)})
    assert [recipe.place(frame) for frame in (4, 6, 8, 9)] == [
        (0, 10, 20, 40),
        (4, 10, 22, 40),
        (8, 10, 24, 40),
        None,
    ]


def test_the_recipes_of_the_repository_can_be_read() -> None:
    people = read_people(ROOT / PEOPLE)
    assert [person.name for person in people] == ["coat", "jeans", "red"]
    assert {person.frames for person in people} == {100}


def test_what_does_not_fit_is_told(clip: Path, place: EmptyPlace, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no recipes of people"):
        read_people(tmp_path)
    (tmp_path / "late.yaml").write_text(
        "{name: late, start: 3, frames: 9, seed: [0, 0, 4, 4], places: {5: [0, 0, 4, 4], 9: [0, 0, 4, 4]}}",
        encoding="utf-8",
    )
    with pytest.raises(
        ConfigError, match=r"late\.yaml.*places begin with frame 5, expected that of start, 3"
    ):
        read_people(tmp_path)
    with pytest.raises(ConfigError, match=r"try ends with frame 33, and .* has 24"):
        make_case(_recipe(frames=30), clip, place, tmp_path)


def test_the_command_tells_how_far_below_the_camera_a_result_is(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    PEOPLE.mkdir(parents=True)
    (PEOPLE / "try.yaml").write_text(_recipe().model_dump_json(), encoding="utf-8")
    tiny_model(tmp_path / "model")
    done = CliRunner().invoke(
        app,
        [
            *("bench", "--still-camera", str(clip), "--flow", "dis", "--model", str(tmp_path / "model")),
            *("--markdown", "table.md"),
        ],
    )
    assert done.exit_code == 0, done.output
    lines = Path("table.md").read_text(encoding="utf-8").splitlines()
    assert lines[0].startswith("| clip | method | PSNR silhouettes dB | below the camera dB |")
    cells = {line.split(" | ")[1]: line.strip("| ").split(" | ") for line in lines[2:]}
    assert list(cells) == ["balanced", "the camera itself", "input", "Telea per frame"]
    assert float(cells["the camera itself"][3]) == 0
    # The figure has passed or comes later: the shot shows all of the place.
    assert float(cells["balanced"][3]) < 5 < float(cells["Telea per frame"][3]) < float(cells["input"][3])
