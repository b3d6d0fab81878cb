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
from tests.desk.conftest import FRAMES as ALL

Open = Callable[..., Window]
Serve = Callable[..., Served]
SIZE_HW = (256, 448)
WORKING_MS = 240_000
"""How long a job may take: the worker's libraries alone take half a minute to load on a slow machine."""


def spot(page: Any, x: float, y: float) -> tuple[float, float]:
    """Where a pixel of the film lies in the window."""
    scale, left, top = json.loads(page.get_attribute("#view", "data-place"))
    box = page.locator("#view").bounding_box()
    return box["x"] + left + x * scale, box["y"] + top + y * scale


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


def strokes(mask: Any, brush: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Level strokes (from, to) of a brush that cover a mask about as a hand would."""
    rows, found = np.flatnonzero(mask.any(axis=1)), []
    for y in range(int(rows[0]) + brush // 2, int(rows[-1]) + 1, brush - 2):
        edges = np.flatnonzero(np.diff(np.concatenate(([0], mask[y].astype(int), [0]))))
        for left, right in zip(edges[::2], edges[1::2], strict=True):
            inset = min(brush // 2, (right - left) // 2)
            found.append(((int(left + inset), y), (int(right - 1 - inset), y)))
    return found


def first_mask() -> Any:
    """The walker in the first frame, bool [H, W]."""
    return np.asarray(cv2.imread(str(CLIPS / "walk_first.png"), cv2.IMREAD_GRAYSCALE)) > 127


@pytest.mark.slow
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

    # Paint the walker, too much at one place, and wipe that away again.
    truth = first_mask()
    page.keyboard.press("b")
    page.fill("#brush-size", "10")
    for way in strokes(truth, 10):
        drag(page, *way)
    drag(page, (20, 20), (60, 24))
    page.keyboard.press("e")
    page.fill("#brush-size", "24")
    drag(page, (14, 20), (66, 24))
    painted(page, 1)
    thing = session_of(served).things[0]
    for _ in range(100):
        before = decode_mask(thing.masks[0], SIZE_HW, "painted")
        if not before[:40, :80].any():
            break
        page.wait_for_timeout(100)
    seen.shot("03_painted")
    assert not before[:40, :80].any()
    assert (before & truth).sum() / (before | truth).sum() > 0.75

    # Follow, with progress; every frame has a mask and a confidence then.
    page.click("#tab-remove")
    choose(page, "preset", "Fast")
    page.click("#tab-follow")
    page.click("#follow")
    page.wait_for_selector("#cancel:not([hidden])")
    seen.shot("04_following")
    page.wait_for_selector(
        f"#follow-figure:text-is('{ALL} of {ALL} frames are followed')", timeout=WORKING_MS
    )
    go(page, 6)
    seen.shot("05_followed")
    first = session_of(served).project().objects[0].track

    # Correct a frame: only what depends on it is followed anew.
    page.click("#tab-mark")
    page.keyboard.press("b")
    page.fill("#brush-size", "10")
    ys, xs = np.nonzero(decode_mask(first[6], SIZE_HW, "followed"))
    drag(page, (int(xs.mean()), int(ys.min())), (int(xs.mean()), int(ys.min()) - 8))
    painted(page, 2)
    page.click("#tab-follow")
    page.wait_for_function("!document.getElementById('follow').disabled")
    page.click("#follow")
    page.wait_for_selector(
        f"#follow-figure:text-is('{ALL} of {ALL} frames are followed')", timeout=WORKING_MS
    )
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
    page.wait_for_selector("#cancel:not([hidden])")
    seen.shot("07_running")
    page.wait_for_selector("#has-result:not([hidden])", timeout=WORKING_MS)
    page.wait_for_selector("#badge-right:text-is('Result')")
    drag(page, (SIZE_HW[1] / 2, 60), (312, 60))
    seen.shot("08_slider")
    for name in ("result", "source", "difference", "alpha"):
        page.click(f"[data-view={name}]")
        page.wait_for_selector(f"#view[aria-label='Frame 6, {name}']")
        seen.shot(f"09_{name}")
    page.click("[data-view=slider]")
    page.press("body", "Home")
    page.click("#play")
    at_frame(page, ALL - 1)

    # What is downloaded is what the library writes for the same project.
    with page.expect_download() as coming:
        page.click("#download")
    exported = tmp_path / "exported.mp4"
    coming.value.save_as(exported)
    assert coming.value.suggested_filename == "walk_removed.mp4"
    check_result(exported, walk, [decode_mask(png, SIZE_HW, "track") for png in second.track])
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
        assert change[far].mean() < 5  # the encoder alone


def paint_square(page: Any, frame: int, x: float, y: float) -> None:
    """A short stroke of the brush in ``frame``."""
    go(page, frame)
    page.click("#tab-mark")
    page.click("[data-tool=brush]")
    drag(page, (x, y), (x + 20, y + 30))


@pytest.mark.slow
def test_tools_find_fill_and_undo(serve: Serve, window: Open, walk: Path) -> None:
    served = serve()
    seen = window(served, key=served.desk.open(walk).id)
    page = seen.page
    at_frame(page, 0)
    truth = first_mask()
    ys, xs = np.nonzero(truth)
    left, top, right, bottom = xs.min() - 6, ys.min() - 6, xs.max() + 6, ys.max() + 4

    # A box, whose outline is found; more than the box would say.
    page.keyboard.press("r")
    drag(page, (left, top), (right, bottom))
    page.wait_for_selector("#objects small:text-is('1 frame')", timeout=WORKING_MS)
    thing = session_of(served).things[0]
    found = decode_mask(thing.masks[0], SIZE_HW, "found")
    box = (right - left) * (bottom - top)
    assert (found & truth).sum() / (found | truth).sum() > truth.sum() / box

    # Undone, and done again.
    page.keyboard.press("Control+z")
    page.wait_for_selector("#objects small:text-is('')", state="attached")
    assert thing.masks == {}
    page.keyboard.press("Control+Shift+Z")
    painted(page, 1)
    np.testing.assert_array_equal(decode_mask(thing.masks[0], SIZE_HW, "again"), found)

    # A second object in its own colour: a polygon, filled as it was drawn.
    page.click("#add-object")
    page.wait_for_selector("#objects li:nth-child(2).chosen")
    page.uncheck("#snap")
    page.keyboard.press("p")
    for corner in ((30, 130), (90, 130), (60, 190)):
        page.mouse.click(*spot(page, *corner))
    page.keyboard.press("Enter")
    painted(page, 1, row=2)
    filled = decode_mask(session_of(served).things[1].masks[0], SIZE_HW, "filled")
    assert abs(int(filled.sum()) - 1800) < 150
    assert filled[140, 60]

    # A region from frame 3 on that is never touched; and a press on the object, with another beside it.
    page.click("#regions li:nth-child(2) .pick")
    go(page, 3)
    page.keyboard.press("r")
    drag(page, (300, 10), (400, 60))
    page.wait_for_selector("#regions li:nth-child(2) small:text-is('1 frame')")
    assert decode_mask(session_of(served).regions["keep"][3], SIZE_HW, "kept").sum() == 5000
    page.click("#objects li:nth-child(1) .pick")
    go(page, 5)
    page.keyboard.press("c")
    page.mouse.click(*spot(page, 60, 165))
    painted(page, 2)
    clicked = decode_mask(thing.masks[5], SIZE_HW, "clicked")
    assert clicked[165, 60]
    assert not clicked[165, 400]
    seen.shot("12_tools")
    page.keyboard.press("+")
    page.keyboard.press("m")
    assert page.get_attribute("#show-mask", "aria-pressed") == "false"
    seen.stayed_home(served)


def test_two_windows_do_not_undo_each_other(serve: Serve, window: Open, walk: Path) -> None:
    served = serve()
    key = served.desk.open(walk).id
    first, second = window(served, key=key), window(served, key=key)
    for seen in (first, second):
        at_frame(seen.page, 0)
    # The second hears nothing of the first's change before its own: its pulse is held back.
    second.page.route("**/pulse*", lambda route: route.abort())
    paint_square(first.page, 0, 100, 100)
    painted(first.page, 1)
    paint_square(second.page, 2, 200, 100)
    second.page.wait_for_selector(".toast:has-text('Another window changed this project')")
    second.shot("13_conflict")
    thing = session_of(served).things[0]
    assert sorted(thing.masks) == [0]
    painted(second.page, 1)
    paint_square(second.page, 2, 200, 100)
    painted(second.page, 2)
    assert sorted(thing.masks) == [0, 2]
    painted(first.page, 2)


@pytest.mark.slow
def test_a_reload_finds_the_work_again_and_it_can_be_cancelled(
    serve: Serve, window: Open, tmp_path: Path
) -> None:
    served = serve()
    seen = window(served, key=served.desk.open(CLIPS / "walk.mp4").id)
    page = seen.page
    at_frame(page, 0)
    paint_square(page, 0, 320, 120)
    painted(page, 1)
    page.click("#tab-remove")
    page.click("#run")
    page.wait_for_selector("#job-rate:text-matches('[0-9]+ of 40')", timeout=WORKING_MS)
    page.reload()
    page.wait_for_selector("#job-rate:text-matches('[0-9]+ of 40')")
    painted(page, 1)
    assert page.text_content("#job-title") in ("Following the object", "Removing")
    seen.shot("14_reloaded")
    # The page is not frozen meanwhile: frames come.
    go(page, 20)
    page.click("#cancel")
    page.wait_for_selector("#job-title:text-is('Removal was cancelled')", timeout=60_000)
    assert page.is_hidden("#has-result")
    assert not list(served.desk.folder.rglob("*.mp4"))
    # The worker is ready for the next.
    page.click("#tab-follow")
    page.wait_for_function("!document.getElementById('follow').disabled")
    page.click("#follow")
    page.wait_for_selector("#job-rate:text-matches('[0-9]+ of [0-9]+')", timeout=WORKING_MS)
    page.click("#cancel")
    page.wait_for_selector("#job-title:text-is('Follow was cancelled')", timeout=60_000)
    seen.stayed_home(served)


@pytest.mark.slow
def test_a_long_clip_opens_and_scrubs(serve: Serve, window: Open, tmp_path: Path) -> None:
    frames = 10 * 60 * 24
    clip = numbered_clip(tmp_path / "long.mp4", frames)
    served = serve()
    seen = window(served)
    page = seen.page
    page.wait_for_selector("#start:not([hidden])")
    spent = page.evaluate("performance.now()")
    open_path(seen, clip)
    assert page.evaluate("performance.now()") - spent < 15_000
    strip = page.locator("#strip").bounding_box()
    for share in (0.9, 0.2, 0.55):
        begin = page.evaluate("performance.now()")
        page.mouse.click(strip["x"] + share * strip["width"], strip["y"] + 10)
        frame = int(page.input_value("#frame"))
        assert abs(frame / frames - share) < 0.01
        at_frame(page, frame)
        assert page.evaluate("performance.now()") - begin < 3_000
        assert read_number(session_of(served).film.rgb(frame)) == frame
    seen.shot("15_long")
    seen.stayed_home(served)


def numbered_clip(path: Path, frames: int) -> Path:
    """A tiny clip whose every frame shows its number as bits."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=Fraction(24), options={"crf": "20", "preset": "ultrafast"})
        stream.height, stream.width, stream.pix_fmt = 64, 112, "yuv420p"
        for index in range(frames):
            bits = np.array([index >> bit & 1 for bit in range(14)], np.uint8)
            grey = np.kron(bits * 200 + 20, np.ones((64, 8), np.uint8))
            picture = np.repeat(grey[..., None], 3, axis=2)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode(None))
    return path


def read_number(picture: Any) -> int:
    cells = picture[:, :, 0].reshape(64, 14, 8).mean(axis=(0, 2))
    return int(sum(1 << bit for bit, level in enumerate(cells) if level > 120))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("broken.mp4", b"this is no film", "is not a readable video"),
        ("notes.txt", b"words", "is not taken for a video by its name"),
    ],
)
def test_a_broken_clip_gets_one_sentence(
    serve: Serve, window: Open, tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    served = serve()
    seen = window(served)
    page = seen.page
    (tmp_path / name).write_bytes(content)
    page.fill("#path", str(tmp_path / name))
    page.press("#path", "Enter")
    page.wait_for_selector(f"#open-error:has-text('{said}')")
    page.set_input_files("#file", {"name": name, "mimeType": "video/mp4", "buffer": content})
    page.wait_for_selector(f"#open-error:has-text('{name}')")
    seen.shot(f"16_{name}")
    assert str(served.desk.folder) not in str(page.text_content("#open-error"))
    assert served.desk.sessions == {}


def test_a_dropped_clip_opens_and_everything_has_a_name(serve: Serve, window: Open, walk: Path) -> None:
    served = serve()
    seen = window(served, size=(3840, 2160))
    page = seen.page
    page.set_input_files("#file", str(walk))
    at_frame(page, 0)
    assert session_of(served).name == "walk.mp4"
    assert page.is_hidden("#start")
    seen.shot("17_4k")
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, input, select, a[href], [tabindex="0"]')].filter((item) =>
            item.offsetParent && !(item.getAttribute('aria-label') || item.textContent.trim() || item.labels?.length)
        ).map((item) => item.outerHTML)"""
    )
    assert nameless == []
    # Every step can be reached with the keyboard alone.
    page.focus("#tab-mark")
    for step in ("follow", "remove", "compare"):
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.id") == f"tab-{step}"
        assert page.is_visible(f"#step-{step}")
    seen.shot("18_4k_compare")
    seen.stayed_home(served)
