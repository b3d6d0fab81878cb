"""Cases, baselines, tables and the lengthened clip."""

from __future__ import annotations

import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from osor_video.apps.cli import app
from osor_video.benchmark.baselines import telea, untouched
from osor_video.benchmark.cases import Case, cases_from_clips, cases_from_configs, true_frames
from osor_video.benchmark.metrics import LOSSLESS_DB
from osor_video.benchmark.run import Extent, measure_all
from osor_video.benchmark.speed import SpeedRun, lengthened, measure_speed, to_and_fro
from osor_video.benchmark.table import (
    DETAIL_HEADER,
    HEADER,
    detail_rows,
    markdown,
    measured,
    rows,
    speed_rows,
    stage_rows,
)
from osor_video.benchmark.variants import ABLATIONS, PEER, changed, variants
from osor_video.config import Config
from osor_video.errors import ConfigError, OsorError
from osor_video.pipeline import VideoRemover
from osor_video.video.probe import probe
from tests.apps.clips import FRAMES, square_clip, square_mask, wall, write_clip
from tests.tiny import tiny_model

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cases")
    square_clip(folder)
    write_clip(folder / "square_clean.mp4", [wall()] * FRAMES)
    masks = [np.repeat(square_mask(i)[..., None] * np.uint8(255), 3, axis=2) for i in range(FRAMES)]
    write_clip(folder / "square_mask.mkv", masks)
    tiny_model(folder / "model")
    return folder


def test_the_repositorys_cases_exist() -> None:
    cases = cases_from_configs(ROOT / "configs" / "benchmark")
    assert [case.name for case in cases] == ["mirror", "walk"]
    assert all(path.is_file() for case in cases for path in (case.clip, case.first, case.clean, case.masks))


def test_folders_without_cases_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no benchmark cases"):
        cases_from_configs(tmp_path)
    with pytest.raises(ConfigError, match=r"Expected NAME\.mp4 with"):
        cases_from_clips(tmp_path)


def test_a_case_with_a_missing_file_or_key_is_refused(tmp_path: Path) -> None:
    values = {key: "x" for key in ("name", "clip", "first", "clean", "masks")}
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"names clip: .*x, which does not exist"):
        cases_from_configs(tmp_path)
    (tmp_path / "a.yaml").write_text("name: x", encoding="utf-8")
    with pytest.raises(ConfigError, match="Cannot use the benchmark case"):
        cases_from_configs(tmp_path)


def test_files_of_different_length_are_refused(folder: Path, tmp_path: Path) -> None:
    case = cases_from_clips(folder)[0]
    short = write_clip(tmp_path / "short.mp4", [wall()] * 2)
    with pytest.raises(ConfigError, match="square differ in length"):
        list(true_frames(case.model_copy(update={"clean": short})))


def test_baselines(folder: Path) -> None:
    frame = next(true_frames(cases_from_clips(folder)[0]))
    np.testing.assert_array_equal(untouched(frame), frame.shot)
    filled = telea(frame)
    assert np.abs(filled.astype(int) - frame.clean)[frame.mask].mean() < 30
    assert np.abs(frame.shot.astype(int) - frame.clean)[frame.mask].mean() > 60


def test_measuring_a_case_gives_a_table(folder: Path) -> None:
    cases: list[Case] = cases_from_clips(folder)
    config = Config.load(overrides={"flow.backend": "dis", "removal.model": folder / "model"})
    outcomes = measure_all(cases, config, "balanced")
    floors = ["the plate, no grain", "the plate, new grain"]
    assert [outcome.method for outcome in outcomes] == ["balanced", "input", "Telea per frame", *floors]
    ours, untouched_input, *_ = outcomes
    assert ours.scores.psnr_hole > untouched_input.scores.psnr_hole + 6
    assert ours.report is not None
    text = markdown(HEADER, rows(outcomes))
    assert text.splitlines()[0].startswith("| clip | method | PSNR hole dB |")
    assert len(text.splitlines()) == 7
    header, body = stage_rows([("square", ours.report)])
    assert header[0] == "share of work"
    assert {"flow", "mask", "background", "remove"} <= set(header)
    assert sum(int(cell.rstrip("%")) for cell in body[0][1:-1]) == pytest.approx(100, abs=6)
    around = sum(int(body[0][header.index(stage)].rstrip("%")) for stage in ("decode", "composite", "encode"))
    assert int(body[0][header.index("overhead")].rstrip("%")) == pytest.approx(around, abs=2)


def test_the_command_prints_and_writes_its_table(folder: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app,
        [
            *("bench", "--clips", str(folder), "--case", "square", "--flow", "dis"),
            *("--model", str(folder / "model"), "--markdown", str(tmp_path / "table.md")),
        ],
    )
    assert done.exit_code == 0, done.output
    assert "Telea per frame" in done.output
    written = (tmp_path / "table.md").read_text(encoding="utf-8")
    assert written.startswith("| clip | method |")
    assert "| share of work |" in written


def test_peers_ablations_and_pictures_share_a_run(folder: Path, tmp_path: Path) -> None:
    config = Config.load(overrides={"flow.backend": "dis", "removal.model": folder / "model"})
    extent = Extent(peers=True, ablations=True, frames=5, pictures=tmp_path / "pictures")
    outcomes = measure_all(cases_from_clips(folder), config, "balanced", extent=extent)
    names = [outcome.method for outcome in outcomes]
    assert names[: 2 + len(ABLATIONS)] == ["balanced", PEER, *ABLATIONS]
    assert {"input", "Telea per frame", "temporal median", "flow copy"} <= set(names)
    by_name = {outcome.method: outcome for outcome in outcomes}
    assert {outcome.report.frames for outcome in outcomes if outcome.report} == {5}
    # A still camera before which the square moves on: the median of time is the truth.
    assert by_name["temporal median"].scores.psnr_hole > 30
    assert by_name["input"].scores.psnr_outside == LOSSLESS_DB
    assert by_name["balanced"].scores.psnr_outside > 45
    header, body = measured(DETAIL_HEADER, detail_rows(outcomes))
    assert {"feature distance", "feature change"}.isdisjoint(header)  # nobody asked for them
    assert {"PSNR outside dB", "composite"} <= set(header)
    table = markdown(header, body)
    assert {line.count("|") for line in table.splitlines()} == {len(header) + 1}
    assert len(table.splitlines()) == 2 + len(outcomes)
    for kind in ("strip", "slice"):
        picture = cv2.imread(str(tmp_path / "pictures" / f"square_{kind}.png"))
        assert picture is not None
        assert np.asarray(picture).shape[0] > 18 * len(outcomes)


def test_a_variant_differs_by_its_part_alone(folder: Path) -> None:
    config = Config.load(overrides={"flow.backend": "dis", "removal.model": folder / "model"})
    whole = VideoRemover.from_config(config)
    other = changed(whole, ABLATIONS["no recovery, no latent warping"])
    assert (other.config.fill, other.config.removal.latent_warp) == ("diffusion", 0)
    assert other.config.removal.model == config.removal.model
    assert other.config.model_copy(update={"fill": "auto", "removal": config.removal}) == config
    assert other.remover.model is whole.remover.model
    assert list(variants(peers=True, ablations=False)) == [PEER]
    assert variants(peers=False, ablations=False) == {}


def test_the_command_names_an_unknown_case(folder: Path) -> None:
    done = CliRunner().invoke(app, ["bench", "--clips", str(folder), "--case", "circle"])
    assert done.exit_code == 2
    assert "There is no case 'circle', expected one of: square" in " ".join(done.output.split())


def test_speed_table() -> None:
    header, body = speed_rows([SpeedRun(100, 50.0, {"decode": 5.0}, 900.2), SpeedRun(200, 100.0, {}, None)])
    assert header == ("frames", "frames/s", "decode ms", "peak MiB")
    assert body == [["100", "2.00", "50", "900"], ["200", "2.00", "0", "-"]]


def test_to_and_fro_never_jumps() -> None:
    assert [to_and_fro(index, 4) for index in range(9)] == [0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert [to_and_fro(index, 1) for index in range(3)] == [0, 0, 0]


def test_lengthened_clip(folder: Path, tmp_path: Path) -> None:
    longer = probe(lengthened(folder / "square.mp4", 15, tmp_path / "long.mp4"))
    assert longer.frames == 15
    assert longer.size_hw == probe(folder / "square.mp4").size_hw


def test_a_failed_speed_run_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess(
        ["python"], 1, "", "Traceback\nMaskError: Mask no.png does not exist"
    )
    monkeypatch.setattr("osor_video.benchmark.speed.subprocess.run", lambda *_, **__: failed)
    with pytest.raises(OsorError, match=r"The run over 8 frames ended with code 1: .*does not exist"):
        measure_speed(folder / "square.mp4", folder / "no.png", Config(), 8)


@pytest.mark.slow
def test_a_speed_run_in_its_own_process(folder: Path) -> None:
    config = Config.load("fast", overrides={"removal.model": folder / "model"})
    run = measure_speed(folder / "square.mp4", folder / "square_first.png", config, 8)
    assert run.frames == 8
    assert run.seconds["remove"] > 0
