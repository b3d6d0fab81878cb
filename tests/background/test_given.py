"""The user's clean plate: where it fits it is used, where it does not it says so."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from osor_video.background.given import GivenPlate, lay_plate, open_plate, prefer
from osor_video.background.recover import Plate
from osor_video.config import Config
from osor_video.errors import ConfigError, VideoError
from osor_video.tensors import Picture
from osor_video.video.probe import SourceInfo, probe
from tests.apps.clips import write_clip
from tests.world import World, make_world, psnr_db

MARGIN = 0.35


def laid_psnr(world: World, time: int, picture: Picture) -> tuple[float, float]:
    """PSNR in the hole against the true plate, and the mean confidence there."""
    seen = world.shot()[time]
    plate = lay_plate(seen, picture, MARGIN, moving=False)
    area = np.s_[plate.box[0] : plate.box[2], plate.box[1] : plate.box[3]]
    inner = seen.hole[area]
    return psnr_db(plate.rgb, world.plates[time][area], inner), float(plate.confidence[inner].mean())


@pytest.mark.parametrize("time", [0, 4, 9])
def test_a_plate_of_the_first_frame_follows_the_camera(world: World, time: int) -> None:
    found, confidence = laid_psnr(world, time, world.plates[0])
    # Measured: 44 dB and more; the object walks out of what the first frame shows only later.
    assert found > 38
    assert confidence > 0.9


def test_a_darker_plate_is_brought_to_the_frames_exposure(world: World) -> None:
    dark = np.rint(world.plates[3] * 0.88).astype(np.uint8)
    found, confidence = laid_psnr(world, 3, dark)
    assert found > 36
    assert confidence > 0.9


def test_a_plate_of_another_place_is_not_believed(world: World) -> None:
    other = make_world(1, seed=7).plates[0]
    assert laid_psnr(world, 3, other)[1] < 0.3


def test_what_the_plate_does_not_show_is_left_to_the_shot() -> None:
    far = make_world(2, pan_xy=(60.0, 0.0), walk_px=60.0)
    seen = far.shot()[1]
    plate = lay_plate(seen, far.plates[0], 3.0, moving=False)
    assert plate.box[3] == 192
    # The camera has panned by 60 px: the plate ends there.
    assert plate.confidence[:, 140 - plate.box[1] :].max() == 0
    assert plate.confidence[:, : 110 - plate.box[1]].mean() > 0.5


def test_the_users_plate_is_preferred_where_it_is_sure() -> None:
    size = (4, 6)
    given = Plate((0, 0, 4, 6), np.full((*size, 3), 0.2, np.float32), np.zeros(size, np.float32))
    given.confidence[:, :3] = 0.8
    own = Plate(
        (0, 0, 4, 6),
        np.full((*size, 3), 0.7, np.float32),
        np.full(size, 0.6, np.float32),
        np.full(size, 0.3, np.float32),
    )
    joined = prefer(given, own, 0.5)
    assert joined.rgb[0, 0, 0] == pytest.approx(0.2)
    assert joined.rgb[0, 5, 0] == pytest.approx(0.7)
    assert joined.grain is not None
    assert (joined.grain[0, 0], joined.grain[0, 5]) == (0, pytest.approx(0.3))


@pytest.fixture
def source(tmp_path: Path, world: World) -> SourceInfo:
    return probe(write_clip(tmp_path / "clip.mp4", [frame[:96, :128] for frame in world.frames[:3]]))


def test_a_picture_stands_for_every_frame_and_a_clip_goes_with_them(
    source: SourceInfo, world: World, tmp_path: Path
) -> None:
    small = [plate[:96, :128] for plate in world.plates[:3]]
    cv2.imwrite(str(tmp_path / "p.png"), small[0][..., ::-1])
    still = GivenPlate(tmp_path / "p.png", source)
    assert not still.moving
    assert all(np.array_equal(picture, small[0]) for picture in still.pictures())
    moving = GivenPlate(write_clip(tmp_path / "p.mkv", small), source)
    assert moving.moving
    pictures = list(moving.pictures())
    assert len(pictures) == 3
    assert all(
        np.abs(a.astype(int) - b).mean() < 6 for a, b in zip(pictures, small, strict=True)
    )  # coded at 4:2:0


def test_plates_that_do_not_fit_are_refused(source: SourceInfo, world: World, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "big.png"), world.plates[0])
    (tmp_path / "text.png").write_text("no picture", encoding="utf-8")
    short = write_clip(tmp_path / "short.mkv", [world.plates[0][:96, :128]] * 2)
    refused = {
        "big.png": "is 192x128, the clip is 128x96",
        "none.png": "does not exist",
        "text.png": "is not a readable picture",
        short.name: "has 2 frames, the clip has 3",
    }
    for name, said in refused.items():
        with pytest.raises(VideoError, match=said):
            GivenPlate(tmp_path / name, source)


def test_nothing_is_borrowed_by_pure_diffusion(source: SourceInfo, tmp_path: Path) -> None:
    config = Config.load(overrides={"background.plate": tmp_path / "p.png", "fill": "diffusion"})
    with pytest.raises(ConfigError, match="fill diffusion borrows nothing"):
        open_plate(config, source)
    assert open_plate(Config(), source) is None
