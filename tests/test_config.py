"""Loading of settings: the order of what overrides what, and a sentence for everything that does not fit."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from osor_video.config import PRESETS, Config, parse_override, preset_folder, preset_values
from osor_video.errors import ConfigError


def leaves(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        found |= leaves(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return found


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_hold_only_differences_and_say_why(preset: str) -> None:
    defaults = leaves(Config().model_dump())
    for key, value in leaves(preset_values(preset)).items():
        assert defaults[key] != value, f"{preset} repeats the default of {key}"
    header = (preset_folder() / f"{preset}.yaml").read_text(encoding="utf-8")
    assert header.startswith(f"# {preset}: ")
    assert "osor-video remove" in header


def test_balanced_is_the_defaults() -> None:
    assert Config.load("balanced") == Config() == Config.load()


def test_later_sources_win(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("flow: {height_px: 200, updates: 3}\nseed: 5\n", encoding="utf-8")
    config = Config.load("best", file, {"flow.updates": 4})
    assert (config.flow.height_px, config.flow.updates, config.seed) == (200, 4, 5)
    assert config.removal.raster_px == Config.load("best").removal.raster_px


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing\n", encoding="utf-8")
    assert Config.load(file=tmp_path / "empty.yaml") == Config()


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            {"flow.hight": 9},
            r"Unknown setting flow\.hight \(value 9\)\. flow has: backend, fine_px, height_px",
        ),
        (
            {"flw.height_px": 9},
            r"Unknown setting flw .* The configuration has: background, checkpoint_s, composite",
        ),
        ({"flow.height_px": 9}, r"flow\.height_px is 9, expected greater than or equal to 128\."),
        ({"flow.height_px": "tall"}, r"flow\.height_px is 'tall', expected a valid integer"),
        ({"flow.backend": "x"}, r"flow\.backend is 'x', expected 'raft' or 'dis'\."),
        ({"flow": 3}, r"flow is 3, expected a valid dictionary"),
        ({"flow.height_px.x": 3}, r"flow\.height_px is \{'x': 3\}, expected a valid integer"),
    ],
)
def test_what_does_not_fit_is_named(overrides: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Config.load(overrides=overrides)


def test_an_unknown_preset_is_named() -> None:
    with pytest.raises(ConfigError, match="preset is 'slow', expected one of: fast, balanced, best"):
        Config.load("slow")


@pytest.mark.parametrize(
    ("text", "said"), [("a: [", "cannot be read as YAML"), ("- 1\n- 2\n", "holds no settings")]
)
def test_files_that_are_no_settings(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "bad.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=said):
        Config.load(file=tmp_path / "bad.yaml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml does not exist"):
        Config.load(file=tmp_path / "none.yaml")


def test_overrides_are_read_as_yaml() -> None:
    assert parse_override("flow.height_px=200") == ("flow.height_px", 200)
    assert parse_override("encode.lossless=true") == ("encode.lossless", True)
    assert parse_override("fill=plate") == ("fill", "plate")
    assert parse_override("removal.model=a=b") == ("removal.model", "a=b")


@pytest.mark.parametrize(
    ("text", "said"), [("flow", "expected key=value"), ("=3", "expected key=value"), ("a=[", "not a value")]
)
def test_overrides_of_another_form_are_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_override(text)


def test_the_wheel_maps_every_package(request: pytest.FixtureRequest) -> None:
    root = request.config.rootpath
    listed = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    found = {
        ".".join(path.parent.relative_to(root).parts) for path in (root / "osor_video").rglob("__init__.py")
    }
    assert set(listed["packages"]) == found | {"osor_video.presets"}
    assert listed["package-dir"]["osor_video.presets"] == "configs"
    assert {path.stem for path in (root / "configs").glob("*.yaml")} == set(PRESETS)
    assert (
        yaml.safe_load((root / "configs" / "fast.yaml").read_text(encoding="utf-8"))["flow"]["backend"]
        == "dis"
    )
