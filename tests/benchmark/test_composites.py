"""Cases made on the spot: what is laid on is known to the pixel."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from osor_video.benchmark.cases import TrueFrame, true_frames
from osor_video.benchmark.composites import Composite, make_case, read_composites
from osor_video.errors import ConfigError
from osor_video.shapes import dilate

RECIPES = Path(__file__).parents[2] / "configs" / "benchmark" / "composites"
SIZE_HW = 96, 128
FRAMES = 9


def _sequences(folder: Path) -> Path:
    """``thing``: a bright square that moves; ``place``: a ramp that moves, with a dark square that goes the other way."""
    for name, step in (("thing", 2), ("place", -3)):
        pictures, masks = folder / "JPEGImages" / name, folder / "Annotations" / name
        pictures.mkdir(parents=True)
        masks.mkdir(parents=True)
        for index in range(FRAMES):
            ramp = np.roll(np.linspace(60, 160, SIZE_HW[1]), index if name == "place" else 0)
            picture = np.repeat(np.broadcast_to(ramp, SIZE_HW)[..., None], 3, axis=2).astype(np.uint8)
            mask = np.zeros(SIZE_HW, np.uint8)
            mask[30:60, 50 + step * index : 80 + step * index] = 255
            picture[mask > 0] = 230 if name == "thing" else 20
            cv2.imwrite(str(pictures / f"{index:05d}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 100])
            cv2.imwrite(str(masks / f"{index:05d}.png"), mask)
    return folder


def _recipe(**changes: object) -> Composite:
    values: dict[str, object] = {
        **{"name": "try", "object": "thing", "ground": "place", "camera": "filmed", "frames": 8},
        **{"place": (0.5, 0.4), "scale": 1.0, "height": 96, "grain": 0.0},
        "shadow": {"lean": 2.0, "squash": 0.5, "strength": 0.4, "blur": 0.0},
    }
    return Composite.model_validate(values | changes)


def _frames(recipe: Composite, folder: Path) -> list[TrueFrame]:
    return list(true_frames(make_case(recipe, _sequences(folder / "davis"), folder)))


def test_object_and_shadow_lie_on_the_plate_and_nothing_else(tmp_path: Path) -> None:
    frames = _frames(_recipe(), tmp_path)
    assert len(frames) == 8
    for frame in frames:
        changed = (frame.shot != frame.clean).any(axis=2)
        shade = changed & ~dilate(frame.mask, 4)
        assert (frame.shot[frame.mask].mean(axis=-1) > 200).mean() > 0.9
        assert 50 < shade.sum() < frame.mask.sum()
        ratio = frame.shot[shade].astype(float) / frame.clean[shade]
        assert np.median(ratio) == pytest.approx(0.6, abs=0.05)


def test_a_still_camera_never_shows_the_middle(tmp_path: Path) -> None:
    frames = _frames(_recipe(camera="still", grain=2.0), tmp_path)
    assert np.all([frame.mask for frame in frames], axis=0).sum() > 800
    change = frames[1].clean.astype(float) - frames[0].clean
    assert abs(change.mean()) < 0.1
    assert change.std() == pytest.approx(2.0 * np.sqrt(2), rel=0.1)
    outside = ~dilate(frames[0].mask, 40)
    assert (frames[0].shot[outside] == frames[0].clean[outside]).all()


def test_a_hand_shakes_the_ground_and_shows_no_border(tmp_path: Path) -> None:
    frames = _frames(_recipe(camera="handheld"), tmp_path)
    assert all((frame.clean > 0).all() for frame in frames)
    assert len({frame.clean.tobytes() for frame in frames}) == len(frames)
    centres = [np.argwhere(frame.mask).mean(axis=0) for frame in frames]
    assert np.ptp(centres, axis=0).max() < 1.5


def test_the_recipes_of_the_repository_can_be_read() -> None:
    assert {recipe.camera for recipe in read_composites(RECIPES)} == {"filmed", "still", "handheld"}


def test_what_does_not_fit_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no recipes of composites"):
        read_composites(tmp_path)
    (tmp_path / "bad.yaml").write_text("name: bad\nscael: 2\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"bad\.yaml.*scael"):
        read_composites(tmp_path)
    with pytest.raises(ConfigError, match=r"no sequence 'nobody'"):
        make_case(_recipe(object="nobody"), _sequences(tmp_path / "davis"), tmp_path)
