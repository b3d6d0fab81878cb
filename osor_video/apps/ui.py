"""The command that serves the desk to a browser."""

from __future__ import annotations

import secrets
import socket
import tempfile
import threading
import webbrowser
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import typer

from osor_video.apps.inputs import check_source
from osor_video.errors import ConfigError


def serve(clip: Path | None, host: str, port: int, browser: bool, upload_mb: int) -> None:
    """Serve the desk until it is interrupted; ``port`` 0 takes a free one.

    Raises ConfigError where the extra ``ui`` is missing or the address cannot be had, and what opening ``clip`` raises.
    """
    for package in ("fastapi", "uvicorn"):
        if find_spec(package) is None:
            raise ConfigError(f"The desk needs {package}. Install it: pip install 'osor-video[ui]'")
    import uvicorn  # noqa: PLC0415  (an extra)

    from osor_video.desk.desk import Desk  # noqa: PLC0415
    from osor_video.desk.guard import is_loopback  # noqa: PLC0415
    from osor_video.desk.server import make_app  # noqa: PLC0415

    if clip is not None:
        check_source(clip, None)
    listener = _listen(host, port)
    own_port = int(listener.getsockname()[1])
    token = secrets.token_urlsafe(24)
    with tempfile.TemporaryDirectory(prefix="osor-desk-") as folder:
        desk = Desk(Path(folder), paths=is_loopback(host))
        try:
            opened = f"#{desk.open(clip).id}" if clip is not None else ""
            name = f"[{host}]" if ":" in host else host
            address = f"http://{name}:{own_port}/?token={token}{opened}"
            typer.echo(f"The desk is open at {address}\nCtrl+C closes it.")
            app = make_app(desk, token, host, own_port, upload_mb)
            config = uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=3)
            if browser:
                threading.Timer(0.5, webbrowser.open, (address,)).start()
            # Ctrl+C is how it is closed: that is no interruption.
            with suppress(KeyboardInterrupt):
                uvicorn.Server(config).run(sockets=[listener])
        finally:
            desk.close()


def _listen(host: str, port: int) -> socket.socket:
    listener: socket.socket | None = None
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        if listener is not None:
            listener.close()
        raise ConfigError(
            f"The address {host}:{port} cannot be had ({error.strerror}). Choose another one with --host and --port."
        ) from error
    return listener
