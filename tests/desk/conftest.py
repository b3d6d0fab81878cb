"""A desk that is served for tests, and a real browser that may reach nothing else."""

from __future__ import annotations

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from osor_video.video.planes import planes_to_rgb
from osor_video.video.probe import probe
from osor_video.video.reader import read_from

uvicorn = pytest.importorskip("uvicorn", reason="the desk needs the extra ui")
pytest.importorskip("fastapi", reason="the desk needs the extra ui")

from osor_video.desk.desk import Desk  # noqa: E402
from osor_video.desk.server import make_app  # noqa: E402

CHROMIUM = Path(os.environ.get("OSOR_CHROMIUM", "/usr/bin/chromium"))
SHOTS = os.environ.get("OSOR_DESK_SHOTS")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
]
FRAMES = 40 if SHOTS else 10
"""Of the walker: few for a quick test, all of them for pictures."""
CLIPS = Path(__file__).parents[2] / "clips"


@dataclass(frozen=True)
class Served:
    """A running desk."""

    desk: Desk
    address: str
    token: str
    port: int

    @property
    def door(self) -> str:
        return f"{self.address}/?token={self.token}"


def short_clip(target: Path, source: Path, frames: int) -> Path:
    """The first ``frames`` of a clip."""
    info = probe(source)
    with av.open(str(target), "w") as out:
        stream = out.add_stream(
            "libx264", rate=Fraction(info.rate), options={"crf": "12", "preset": "veryfast"}
        )
        stream.height, stream.width, stream.pix_fmt = *info.size_hw, "yuv420p"
        for frame in read_from(info, 0):
            if frame.index == frames:
                break
            rgb = planes_to_rgb(frame.planes, info.color)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(rgb, format="rgb24")))
        out.mux(stream.encode(None))
    return target


@pytest.fixture(scope="session")
def walk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The walker, its first ``FRAMES``."""
    return short_clip(tmp_path_factory.mktemp("films") / "walk.mp4", CLIPS / "walk.mp4", FRAMES)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Starts desks on free ports; all are closed at the end."""
    running: list[tuple[Any, threading.Thread, Desk]] = []

    def start(upload_mb: int = 64, paths: bool = True) -> Served:
        folder = tmp_path / f"desk{len(running)}"
        folder.mkdir()
        desk = Desk(folder, paths=paths, ready=False)
        listener = socket.socket()
        listener.bind(("127.0.0.1", 0))
        port, token = listener.getsockname()[1], secrets.token_urlsafe(16)
        app = make_app(desk, token, "127.0.0.1", port, upload_mb)
        config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.02)
        running.append((server, thread, desk))
        return Served(desk, f"http://127.0.0.1:{port}", token, port)

    yield start
    for server, thread, desk in running:
        server.should_exit = True
        thread.join(timeout=10)
        desk.close()


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    """A browser whose names resolve to nothing but this machine."""
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"there is no Chromium at {CHROMIUM}; install it, or name it in OSOR_CHROMIUM")
    with sync.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Window:
    """A browser window on a desk, and every address it asked for."""

    page: Any
    asked: list[str]
    complaints: list[str]

    def shot(self, name: str) -> None:
        """Keep a picture of it where pictures are wanted."""
        if SHOTS:
            Path(SHOTS).mkdir(parents=True, exist_ok=True)
            self.page.wait_for_timeout(350)
            self.page.screenshot(path=f"{SHOTS}/{name}.png")

    def stayed_home(self, served: Served) -> None:
        """Fail where anything was asked of another address, or the page complained."""
        assert self.asked
        abroad = [url for url in self.asked if not url.startswith((served.address, "blob:", "data:"))]
        assert abroad == []
        assert self.complaints == []


@pytest.fixture
def window(chromium: Any) -> Iterator[Callable[..., Window]]:
    """Opens windows, each a browser of its own (its own cookies)."""
    contexts = []

    def open_window(served: Served, size: tuple[int, int] = (1280, 720), key: str = "") -> Window:
        context = chromium.new_context(
            viewport={"width": size[0], "height": size[1]}, accept_downloads=True, reduced_motion="reduce"
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        made = Window(page, [], [])
        page.on("request", lambda request: made.asked.append(request.url))
        page.on("pageerror", lambda error: made.complaints.append(str(error)))
        page.on(
            "console",
            lambda message: (
                made.complaints.append(message.text)
                if message.type == "error" and "Failed to load resource" not in message.text
                else None
            ),
        )
        page.goto(served.door + (f"#{key}" if key else ""))
        return made

    yield open_window
    for context in contexts:
        context.close()
