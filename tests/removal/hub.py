"""A small hub on this computer: the two calls of the real one that fetching needs, over HTTP, with ranges."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

COMMIT = "0" * 40
LARGE = 1000
"""Bytes from which a file has a hash, as with the real one's large files."""


class Hub:
    """Repositories by name, each a dict of contents by path; what was asked for; and how it misbehaves."""

    def __init__(self, repos: dict[str, dict[str, bytes]]) -> None:
        self.repos = repos
        self.asked: list[tuple[str, str | None]] = []
        self.gated: set[str] = set()
        self.spoilt: set[str] = set()
        self.cut: dict[str, int] = {}
        """Where in a file the line breaks, by path."""
        self.endpoint = ""

    @contextmanager
    def serve(self) -> Iterator[Hub]:
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                hub.answer(self, with_body=True)

            def do_HEAD(self) -> None:
                hub.answer(self, with_body=False)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        Thread(target=server.serve_forever, daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()

    def answer(self, request: BaseHTTPRequestHandler, *, with_body: bool) -> None:
        path = request.path.split("?")[0].strip("/")
        if path.startswith("api/models/"):
            self._send_listing(request, path.removeprefix("api/models/").removesuffix("/revision/main"))
            return
        repo, _, name = path.partition("/resolve/main/")
        if not name:
            repo, _, name = path.partition(f"/resolve/{COMMIT}/")
        if repo in self.gated:
            self._refuse(request, 403, "GatedRepo")
        elif name not in self.repos.get(repo, {}):
            self._refuse(request, 404, "EntryNotFound")
        else:
            self._send_file(request, repo, name, with_body=with_body)

    def _send_listing(self, request: BaseHTTPRequestHandler, repo: str) -> None:
        if repo not in self.repos:
            self._refuse(request, 404, "RepoNotFound")
            return
        files = []
        for name, content in self.repos[repo].items():
            file: dict[str, object] = {"rfilename": name, "size": len(content), "blobId": "0"}
            if len(content) >= LARGE:
                digest = hashlib.sha256(content).hexdigest()
                file["lfs"] = {"sha256": digest, "size": len(content), "pointerSize": 134}
            files.append(file)
        body = json.dumps({"id": repo, "sha": COMMIT, "siblings": files}).encode()
        self._send(request, 200, {"Content-Type": "application/json"}, body)

    def _send_file(self, request: BaseHTTPRequestHandler, repo: str, name: str, *, with_body: bool) -> None:
        content = self.repos[repo][name]
        begin = 0
        wanted = request.headers.get("Range")
        if with_body:
            self.asked.append((name, wanted))
        if wanted:
            begin = int(wanted.removeprefix("bytes=").split("-")[0])
        headers = {
            "X-Repo-Commit": COMMIT,
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "Accept-Ranges": "bytes",
        }
        if begin:
            headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        body = content[begin:]
        if name in self.spoilt:
            body = bytes(255 - value for value in body)
        if with_body and name in self.cut:
            request.send_response(206 if begin else 200)
            for key, value in (headers | {"Content-Length": str(len(body))}).items():
                request.send_header(key, value)
            request.end_headers()
            request.wfile.write(body[: max(self.cut[name] - begin, 0)])
            request.wfile.flush()
            request.close_connection = True
            return
        self._send(request, 206 if begin else 200, headers, body, with_body=with_body)

    def _refuse(self, request: BaseHTTPRequestHandler, code: int, reason: str) -> None:
        self._send(request, code, {"X-Error-Code": reason, "X-Error-Message": reason}, b"{}")

    def _send(
        self,
        request: BaseHTTPRequestHandler,
        code: int,
        headers: dict[str, str],
        body: bytes,
        *,
        with_body: bool = True,
    ) -> None:
        request.send_response(code)
        for key, value in (headers | {"Content-Length": str(len(body))}).items():
            request.send_header(key, value)
        request.end_headers()
        if with_body and request.command != "HEAD":
            request.wfile.write(body)
