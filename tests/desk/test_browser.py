"""The desk in a real browser, as somebody uses it: open, paint, follow, correct, preview, remove, compare, save."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from osor_video.apps.cli import app
from osor_video.benchmark.cases import pictures_of
from osor_video.project import Project, decode_mask
from osor_video.video.probe import probe
from tests.desk.conftest import CLIPS, Served, Window

Open = Callable[..., Window]
Serve = Callable[..., Served]
WORKING_MS = 240_000
"""How long a job may take: the worker's libraries alone take half a minute to load on a slow machine."""


def spot(page: Any, x: float, y: float) -> tuple[float, float]:
    """Where a pixel of the film lies in the window, the view being fitted."""
    return tuple(
        page.evaluate(
            """([x, y]) => {
                const canvas = document.getElementById('view'), box = canvas.getBoundingClientRect();
                const [width, height] = document.getElementById('clip-line').textContent.match(/(\\d+)×(\\d+)/).slice(1).map(Number);
                const scale = Math.min((box.width - 28) / width, (box.height - 28) / height);
                return [box.x + (box.width - width * scale) / 2 + x * scale, box.y + (box.height - height * scale) / 2 + y * scale];
            }""",
            [x, y],
        )
    )


def drag(page: Any, *places: tuple[float, float]) -> None:
    page.mouse.move(*spot(page, *places[0]))
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*spot(page, *place), steps=4)
    page.mouse.up()


def open_path(window: Window, path: Path) -> None:
    window.page.fill("#path", str(path))
    window.page.click("#open-form button[type=submit]")
    at_frame(window.page, 0)


def at_frame(page: Any, frame: int) -> None:
    page.wait_for_selector(f"#view[data-frame='{frame}']")


def go(page: Any, frame: int) -> None:
    page.fill("#frame", str(frame))
    page.press("#frame", "Enter")
    at_frame(page, frame)


def painted(page: Any, frames: int, row: int = 1) -> None:
    """Wait until the desk has so many of the user's masks of an object."""
    word = f"{frames} frame{'s' if frames > 1 else ''}"
    page.wait_for_selector(f"#objects li:nth-child({row}) small:text-is('{word}')")


def choose(page: Any, key: str, name: str) -> None:
    page.select_option(f"#choice-{key}", label=name)


def session_of(served: Served) -> Any:
    (session,) = served.desk.sessions.values()
    return session


def centre_line(path: Path) -> list[tuple[int, int]]:
    """Points down the middle of a painted mask (x, y)."""
    mask = np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)) > 127
    rows = np.flatnonzero(mask.any(axis=1))
    return [
        (int(np.median(np.flatnonzero(mask[y]))), int(y))
        for y in np.linspace(rows[3], rows[-4], 7).astype(int)
    ]


def test_from_an_empty_desk_to_an_exported_clip(
    serve: Serve, window: Open, walk: Path, tmp_path: Path
) -> None:
    served = serve()
    seen = window(served)
    page = seen.page
    page.wait_for_selector("#start:not([hidden])")
    seen.shot("01_empty")
    open_path(seen, walk)
    seen.shot("02_opened")

    # Paint the walker, then wipe a corner and take that back.
    page.keyboard.press("b")
    for _ in range(3):
        page.keyboard.press("]")
    line = centre_line(CLIPS / "walk_first.png")
    drag(page, *line)
    painted(page, 1)
    drag(page, (line[0][0] - 14, line[2][1]), (line[0][0] + 14, line[2][1]))
    page.keyboard.press("e")
    drag(page, (20, 20), (60, 24))
    seen.shot("03_painted")
    before = decode_mask(session_of(served).things[0].masks[0], (256, 448), "painted")
    truth = np.asarray(cv2.imread(str(CLIPS / "walk_first.png"), cv2.IMREAD_GRAYSCALE)) > 127
    assert (before & truth).sum() > 0.6 * truth.sum()

    # Follow, with progress; every frame has a mask and a confidence then.
    page.click("#tab-remove")
    choose(page, "preset", "Fast")
    page.click("#tab-follow")
    page.click("#follow")
    page.wait_for_selector("#cancel:not([hidden])")
    seen.shot("04_following")
    page.wait_for_selector("#follow-figure:text-is('10 of 10 frames are followed')", timeout=WORKING_MS)
    go(page, 6)
    seen.shot("05_followed")
    first = session_of(served).project().objects[0].track

    # Correct a frame: only what depends on it is followed anew.
    page.click("#tab-mark")
    page.keyboard.press("b")
    ys, xs = np.nonzero(decode_mask(first[6], (256, 448), "followed"))
    drag(page, (int(xs.mean()), int(ys.min())), (int(xs.mean()), int(ys.max())))
    painted(page, 2)
    page.click("#tab-follow")
    page.wait_for_function("!document.getElementById('follow').disabled")
    page.click("#follow")
    page.wait_for_selector("#follow-figure:text-is('10 of 10 frames are followed')", timeout=WORKING_MS)
    second = session_of(served).project().objects[0]
    assert sorted(second.masks) == [0, 6]
    assert second.track[0] == first[0]
    assert second.track[6] != first[6]

    # One frame, in seconds.
    page.click("#tab-remove")
    page.click("#preview")
    page.wait_for_selector("#badge-right:text-is('Preview')", timeout=WORKING_MS)
    seen.shot("06_preview")

    page.click("#run")
    page.wait_for_selector("#job-title:text-is('Removing')", timeout=WORKING_MS)
    seen.shot("07_running")
    page.wait_for_selector("#has-result:not([hidden])", timeout=WORKING_MS)
    page.wait_for_selector("#badge-right:text-is('Result')")
    seen.shot("08_slider")
    for name in ("result", "source", "difference", "alpha"):
        page.click(f"[data-view={name}]")
        page.wait_for_selector(f"#view[aria-label='Frame 6, {name}']")
        seen.shot(f"09_{name}")
    page.click("[data-view=slider]")
    page.press("body", "Home")
    page.click("#play")
    at_frame(page, 9)

    # What is downloaded is what the library writes for the same project.
    with page.expect_download() as coming:
        page.click("#download")
    exported = tmp_path / "exported.mp4"
    coming.value.save_as(exported)
    assert coming.value.suggested_filename == "walk_removed.mp4"
    check_result(exported, walk, [decode_mask(png, (256, 448), "track") for png in second.track])
    page.click("#save-beside")
    page.fill("#save-name", "walk_beside.mp4")
    page.click("#save-go")
    page.wait_for_selector("#saved-note:has-text('walk_beside.mp4')")
    beside = walk.parent / "walk_beside.mp4"
    assert beside.read_bytes() == exported.read_bytes()

    page.keyboard.press("Control+s")
    seen.shot("10_save")
    page.fill("#save-name", "walk.json")
    page.click("#save-go")
    page.wait_for_selector("#save-dialog", state="hidden")
    assert Project.read(walk.parent / "walk.json").whole
    again = tmp_path / "again.mp4"
    done = CliRunner().invoke(app, ["remove", str(walk.parent / "walk.json"), "-o", str(again), "--quiet"])
    assert done.exit_code == 0, done.output
    assert again.read_bytes() == exported.read_bytes()
    page.keyboard.press("?")
    seen.shot("11_keys")
    seen.stayed_home(served)


def check_result(path: Path, source: Path, masks: list[Any]) -> None:
    """A whole video, as long as its source, changed where the object was and nowhere far from it."""
    made, was = probe(path), probe(source)
    assert (made.frames, made.size_hw, made.rate) == (was.frames, was.size_hw, was.rate)
    for after, before, mask in zip(pictures_of(path), pictures_of(source), masks, strict=True):
        change = np.abs(after.astype(int) - before.astype(int)).max(axis=2)
        assert change[mask].mean() > 20
        far = cv2.dilate(mask.astype(np.uint8), np.ones((121, 121), np.uint8)) == 0
        assert change[far].mean() < 2
