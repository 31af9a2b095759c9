"""Wraps the application: which hosts it answers to, how large requests may be, safe headers.

A site on the internet can make a browser look up its own name as 127.0.0.1 (DNS rebinding), and so
reach a page on this machine as if it were that site's own. So only known names are answered.
"""

import ipaddress
import json
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LARGEST_BODY = 1 << 20  # bytes of a request, but for uploads, which have a limit of their own
UPLOADS = "/uploads"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self';"
    " img-src 'self' blob:; connect-src 'self'; font-src 'self'; form-action 'self';"
    " frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_LOOPBACK = {"localhost"}


class _TooLargeError(Exception):
    """A request has more bytes than allowed."""


class Protection:
    """The outermost ASGI application.

    Args:
        app: what answers.
        hosts: the names to answer to, besides localhost and the address a request arrived at.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        """Wrap an application."""
        self._app = app
        self._hosts = {*hosts, *_LOOPBACK}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return  # a WebSocket is refused by not accepting it
        headers = Headers(scope=scope)
        if not self._known(headers.get("host", ""), scope):
            words = "This page does not answer to this host name; web.hosts lists those it does."
            await _refuse(send, 421, words)
            return
        left = None if scope["path"] == UPLOADS else LARGEST_BODY
        length = headers.get("content-length", "0")
        if left is not None and not (length.isascii() and length.isdigit() and int(length) <= left):
            await _refuse(send, 413, "This request is too large.")
            return
        await self._answer(scope, _limited(receive, left), send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def with_headers(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await self._app(scope, receive, with_headers)
        except _TooLargeError:
            if not started:
                await _refuse(send, 413, "This request is too large.")

    def _known(self, host: str, scope: Scope) -> bool:
        bare, _, in_brackets = host.lower().partition("[")
        name = in_brackets.partition("]")[0] or bare.partition(":")[0]
        if name.rstrip(".") in self._hosts:
            return True
        server = scope.get("server")
        try:
            return server is not None and ipaddress.ip_address(name) == ipaddress.ip_address(
                server[0]
            )
        except ValueError:
            return False


def _limited(receive: Receive, left: int | None) -> Receive:
    if left is None:
        return receive
    seen = 0

    async def counting() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > left:
            raise _TooLargeError
        return message

    return counting


async def _refuse(send: Send, status: int, words: str) -> None:
    """Answer without the application, in English: no language is known yet."""
    body = json.dumps({"error": words}).encode()
    headers = {**HEADERS, "Content-Type": "application/json", "Cache-Control": "no-store"}
    headers["Content-Length"] = str(len(body))
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})
