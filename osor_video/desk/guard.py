"""Who may talk to the desk: the page that holds the token, on this address, and nobody else.

Every request needs the token that was printed at the start, once in the address, then as a cookie that other sites cannot send
along. A Host that is not ours is refused (a name that was rebound to this machine), and so is another Origin.
"""

from __future__ import annotations

import hmac
import ipaddress
import socket
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
BODY_MB = 256
"""Largest body but for uploads: a project with a mask for each of some ten thousand frames."""


class Guard:
    """ASGI middleware around the desk."""

    def __init__(self, app: ASGIApp, token: str, hosts: frozenset[str], port: int, upload_mb: int) -> None:
        self._app = app
        self._token = token
        self._hosts = hosts
        self._port = port
        self._upload_bytes = upload_mb << 20

    @property
    def cookie(self) -> str:
        """Name of the cookie; browsers keep those of all ports together."""
        return f"osor_desk_{self._port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refused request, pass on any other."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        in_address = self._matches(parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0])
        status, reason = self._refusal(scope, headers, in_address)
        if status:
            await JSONResponse({"error": reason}, status, HEADERS)(scope, receive, send)
            return
        limit = self._limit(scope)
        if int(headers.get("content-length") or 0) > limit:
            await self._too_large(scope, receive, send, limit)
            return
        await self._pass(scope, receive, send, limit, in_address)

    async def _pass(self, scope: Scope, receive: Receive, send: Send, limit: int, set_cookie: bool) -> None:
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            # For the desk a body that goes on beyond the limit ends as if the line had been cut.
            return {"type": "http.disconnect"} if taken > limit else message

        async def dressed(message: Message) -> None:
            if taken > limit:
                return
            if message["type"] == "http.response.start":
                extra = dict(HEADERS)
                if set_cookie:
                    extra["set-cookie"] = f"{self.cookie}={self._token}; HttpOnly; SameSite=Strict; Path=/"
                pairs = [(name.encode(), value.encode()) for name, value in extra.items()]
                message = {**message, "headers": [*message.get("headers", []), *pairs]}
            await send(message)

        try:
            await self._app(scope, counted, dressed)
        except ClientDisconnect:
            if taken <= limit:
                raise
        if taken > limit:
            await self._too_large(scope, receive, send, limit)

    def _refusal(self, scope: Scope, headers: dict[str, str], in_address: bool) -> tuple[int, str]:
        host = headers.get("host", "")
        if not self._is_ours(host):
            return 421, f"The desk is not {host!r}. Open the address that it printed."
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return 403, "Another site asked. Only the desk's own page may."
        if headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and not in_address:
            return 403, "Another site asked. Only the desk's own page may."
        if not (self._has_cookie(headers) or (in_address and scope["path"] == "/")):
            return 403, "The token is missing. Open the whole address that the desk printed at its start."
        return 0, ""

    def _is_ours(self, host: str) -> bool:
        parts = urlsplit(f"//{host}")
        try:
            name, port = parts.hostname or "", parts.port or 80
        except ValueError:
            return False
        return port == self._port and (name in self._hosts or ("*" in self._hosts and _is_address(name)))

    def _has_cookie(self, headers: dict[str, str]) -> bool:
        try:
            held = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return False
        return held is not None and self._matches(held.value)

    def _matches(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self._token.encode())

    def _limit(self, scope: Scope) -> int:
        return self._upload_bytes if scope["path"] == "/api/upload" else BODY_MB << 20

    async def _too_large(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        text = (
            f"This is larger than the {limit >> 20} MiB that the desk takes. Give the path of the file, or start the desk with "
            "--max-upload-mb."
        )
        await JSONResponse({"error": text}, 413, {**HEADERS, "connection": "close"})(scope, receive, send)


def known_hosts(bound: str) -> frozenset[str]:
    """Names by which a desk bound to ``bound`` may be called; ``*`` among them stands for any numeric address."""
    loopback = {"127.0.0.1", "localhost", "::1"}
    if is_loopback(bound):
        return frozenset({*loopback, bound})
    return frozenset({*loopback, bound, socket.gethostname().lower(), "*"})


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches ``host``."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
