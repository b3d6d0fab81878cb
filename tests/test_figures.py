"""Rendered cut-outs: a number gives one figure, whole and on a transparent ground."""

import importlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from osor_video.training.cutouts import PERSON, THING, read_cutout


def test_light_that_covers_a_pixel_in_part_keeps_its_colour() -> None:
    figures = importlib.import_module("figures")
    frame = np.zeros((8, 8, 4), np.float32)
    frame[2:6, 1:5] = (0.4, 0.2, 0.1, 1.0)
    frame[2:6, 5] = (0.2, 0.1, 0.05, 0.5)
    rgba = figures.developed(frame, 1.0)
    assert rgba.shape == (4, 5, 4)
    assert np.abs(rgba[:, 4, :3].astype(int) - rgba[:, 0, :3]).max() == 0
    assert rgba[0, 4, 3] == 128


def test_figures_and_things_render_at_tiny_size(tmp_path: Path) -> None:
    pytest.importorskip("mitsuba", reason="Mitsuba is an optional development dependency")
    figures, render, scene = (importlib.import_module(name) for name in ("figures", "render", "scene"))
    try:
        render.start("llvm_ad_rgb", 0)
    except scene.RenderError as error:
        pytest.skip(f"Mitsuba does not start here: {error}")
    for number, label in ((0, PERSON), (4, THING)):
        name, rgba = figures.render_cutout(number, 48, 2)
        assert rgba.shape[0] > 20
        assert 0.1 < (rgba[..., 3] > 127).mean() <= 1
        cv2.imwrite(str(tmp_path / f"{name}.png"), cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA))
        assert read_cutout(tmp_path / f"{name}.png").label == label
        again = figures.render_cutout(number, 48, 2)
        assert again[0] == name
        assert np.array_equal(again[1], rgba)
