"""The tasks beside training: validate, sheet and speed, on pictures small enough for a test."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from osor_video.apps.pictures import GAP_PX
from osor_video.config import Config
from osor_video.errors import ConfigError, MaskError
from osor_video.masks.track import hole
from osor_video.removal.model import OsorModel
from osor_video.training.__main__ import main
from osor_video.training.photos import read_picture
from osor_video.training.sheet import SHEET_WIDTH_PX, remove_from_still, stacked, write_sheet
from tests.tiny import tiny_model
from tests.training.conftest import texture
from tests.training.plates import write_mask, write_plates, write_rgb

WIDE, TALL = (96, 144), (160, 80)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tiny_model(folder)
    return folder


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    for name, size_hw in (("00", WIDE), ("01", TALL)):
        mask = np.zeros(size_hw, bool)
        mask[30:60, 20:40] = True
        write_rgb(tmp_path / f"pairs/image/{name}.png", texture(7, *size_hw))
        write_mask(tmp_path / f"pairs/mask/{name}.png", mask)
    return tmp_path / "pairs"


def test_a_still_changes_where_alpha_or_mask_is_and_nowhere_else(model_folder: Path) -> None:
    picture, mask = texture(3, 320, 400), np.zeros((320, 400), bool)
    mask[40:80, 60:90] = True
    alpha, result = remove_from_still(OsorModel.from_folder(model_folder), picture, mask, Config())
    changed = (result != picture).any(axis=2)
    assert changed[mask].mean() > 0.9
    far = hole(mask, 0.05) | (alpha > 0.5)
    assert far.mean() < 0.5
    assert not changed[~far].any()


def test_the_context_decides_how_far_the_model_sees(model_folder: Path) -> None:
    picture, mask = texture(3, 320, 400), np.zeros((320, 400), bool)
    mask[140:180, 160:190] = True
    model, rows = OsorModel.from_folder(model_folder), []
    for context in (0.5, 4.0):
        config = Config.load(overrides={"removal.context": context})
        alpha, _ = remove_from_still(model, picture, mask, config)
        rows.append(np.flatnonzero(alpha.any(axis=1)))
    assert [int(row[-1] - row[0]) + 1 for row in rows] == [128, 256]


def test_the_sheet_has_a_row_a_photograph_at_its_own_aspect(
    model_folder: Path, photographs: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new/sheet.png"
    assert main(["sheet", str(model_folder), str(photographs), str(out)]) == 0
    sheet = read_picture(out)
    heights = [round(SHEET_WIDTH_PX * height / width) for height, width in (WIDE, TALL)]
    assert sheet.shape == (sum(heights) + GAP_PX, 4 * SHEET_WIDTH_PX + 3 * GAP_PX, 3)
    expected = cv2.resize(texture(7, *WIDE), (SHEET_WIDTH_PX, heights[0]), interpolation=cv2.INTER_AREA)
    assert np.abs(sheet[: heights[0], :SHEET_WIDTH_PX].astype(int) - expected).max() <= 1
    mask = sheet[heights[0] // 2, SHEET_WIDTH_PX + GAP_PX :][:SHEET_WIDTH_PX, 0]
    assert (mask > 127).mean() == pytest.approx(20 / WIDE[1], abs=0.02)


def test_what_does_not_fit_is_named(
    model_folder: Path, photographs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    out = tmp_path / "sheet.png"
    assert main(["sheet", str(model_folder), str(photographs), str(tmp_path / "sheet.jpg")]) == 2
    assert "expected a name that ends in .png" in caplog.text
    assert main(["sheet", str(model_folder), str(photographs), str(out), "--set=removal.context=-1"]) == 2
    assert "removal.context is -1" in caplog.text
    write_mask(photographs / "mask/01.png", np.zeros(TALL, bool))
    with pytest.raises(MaskError, match=r"mask/01\.png is empty"):
        write_sheet(model_folder, photographs, out, Config())
    (photographs / "mask/01.png").unlink()
    with pytest.raises(ConfigError, match="has no picture named 01"):
        write_sheet(model_folder, photographs, out, Config())
    with pytest.raises(ConfigError, match="image is no folder"):
        write_sheet(model_folder, tmp_path / "none", out, Config())
    assert not out.exists()


def test_rows_are_brought_to_one_width() -> None:
    first, second = np.zeros((10, 20, 3), np.uint8), np.full((30, 20, 3), 9, np.uint8)
    sheet = stacked([[first, first], [second, second]], 40)
    assert sheet.shape == (20 + GAP_PX + 60, 80 + GAP_PX, 3)
    assert (sheet[20 : 20 + GAP_PX] == 255).all()
    assert (sheet[20 + GAP_PX :, :40] == 9).all()


def test_the_command_writes_figures_tables_and_grids(
    tmp_path: Path, photos_folder: Path, cutouts_folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tiny_model(tmp_path / "model")
    command = ["validate", f"--model={tmp_path / 'model'}", f"--photos={photos_folder}", "--pairs=9"]
    command += [f"--cutouts={cutouts_folder}", f"--plates={write_plates(tmp_path / 'plates', 2)}"]
    with caplog.at_level(logging.INFO):
        assert main([*command, f"--out={tmp_path / 'out'}"]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "validation.md",
        "photos_0.png",
        "photos_1.png",
        "plates_0.png",
    }
    figures = OsorModel.from_folder(tmp_path / "model").record.validation
    assert (figures["photos_pairs"], figures["plates_pairs"]) == (9, 2)
    assert 10 < figures["photos_hole_telea_psnr_db"] < 50
    assert figures["frame_512_ms"] > 0
    table = (tmp_path / "out/validation.md").read_text()
    assert f"| telea | {figures['plates_hole_telea_psnr_db']:.2f} |" in table
    assert table in caplog.text
    grid = read_picture(tmp_path / "out/photos_0.png")
    assert grid.shape == (8 * 64 + 7 * GAP_PX, 7 * 64 + 6 * GAP_PX, 3)


def test_a_validation_that_cannot_be_begun_is_refused(tmp_path: Path, photos_folder: Path) -> None:
    (tmp_path / "taken").write_text("a file where the folder should be")
    command = ["validate", f"--photos={photos_folder}", f"--cutouts={tmp_path / 'none'}"]
    assert main([*command, f"--out={tmp_path / 'taken/out'}"]) == 2
    assert main([*command, f"--out={tmp_path}", f"--model={tmp_path / 'none'}"]) == 2
    with pytest.raises(SystemExit) as ended:
        main([*command, f"--out={tmp_path}", "--pairs=0"])
    assert ended.value.code == 2


def test_the_time_of_a_frame_is_told(model_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = f"--model={model_folder}"
    with caplog.at_level(logging.INFO):
        assert main(["speed", model, "--side=128"]) == 0
    assert re.search(r"128x128: \d+ ms a frame with \d+ thread", caplog.text)
    assert main(["speed", model, "--side=100"]) == 2
    assert "--side is 100, expected a multiple of 64" in caplog.text
