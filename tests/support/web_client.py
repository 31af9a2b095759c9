"""A browser without a window: asks the review page's application itself, and keeps its cookies."""

import asyncio
import re
from pathlib import Path
from typing import Any

import httpx
from argon2 import PasswordHasher
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from service.config.loader import Config
from service.config.sections import Web
from service.web import users as users_module
from service.web.app import create_app
from service.web.users import Role, UsersFile

# Hashes in tests cost nothing; otherwise each takes 64 MiB and a good part of a second.
users_module._hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
SERVER = ("127.0.0.1", 8420)  # where it listens
PASSWORD = "correct horse battery"  # noqa: S105 - of users in tests


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        """Begin somewhere."""
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the present moment."""
        return self.now


class WebClient:
    """One browser.

    Args:
        app: the application.
        host: in its address bar, with a port.
        peer: the address it comes from.
        language: of its user.
    """

    def __init__(
        self,
        app: Starlette,
        host: str = "localhost:8420",
        peer: str = "127.0.0.1",
        language: str = "en",
    ) -> None:
        """Open it."""
        self._app, self._peer = app, peer
        self._base = f"http://{host}"
        self._headers = {"Accept-Language": language}
        self._cookies: dict[str, str] = {}

    def get(self, path: str, *, html: bool = True, **headers: str) -> httpx.Response:
        """Ask for a page, or for JSON."""
        accept = "text/html" if html else "application/json"
        return self._ask("GET", path, headers={"Accept": accept, **_named(headers)})

    def post(
        self,
        path: str,
        *,
        csrf: str | None = "",
        html: bool = False,
        headers: Any = None,
        **sent: Any,
    ) -> httpx.Response:
        """Send a form (`data`), files or `json`.

        Args:
            path: of the route.
            csrf: the token; "": that of the log-in page, which anyone may open; None: none.
            html: whether a person waits.
            headers: other ones.
            sent: what httpx takes.
        """
        token = self.token() if csrf == "" else csrf
        known = {"Accept": "text/html" if html else "application/json"}
        if token is not None:
            known["X-CSRF-Token"] = token
        return self._ask("POST", path, headers={**known, **(headers or {})}, **sent)

    def token(self) -> str:
        """Return the CSRF token of a page."""
        text = self.get("/no-such-page").text
        found = re.search(r'name="csrf-token" content="(\w+)"', text)
        assert found, text
        return found[1]

    def log_in(self, name: str, password: str = PASSWORD) -> httpx.Response:
        """Fill in the form."""
        return self.post("/log-in", html=True, data={"name": name, "password": password})

    def _ask(self, method: str, path: str, headers: dict[str, str], **sent: Any) -> httpx.Response:
        async def served(scope: Scope, receive: Receive, send: Send) -> None:
            await self._app({**scope, "server": SERVER}, receive, send)

        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(
                served, client=(self._peer, 50_000), raise_app_exceptions=False
            )
            async with httpx.AsyncClient(transport=transport, base_url=self._base) as client:
                sent_cookies = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
                known = {**self._headers, "Cookie": sent_cookies, **headers}
                answer = await client.request(method, path, headers=known, **sent)
            for cookie in answer.headers.get_list("set-cookie"):
                name, _, value = cookie.partition(";")[0].partition("=")
                self._cookies[name] = value
            return answer

        return asyncio.run(ask())


def _named(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-").title(): value for name, value in headers.items()}


def web_app(folder: Path, *, users: dict[str, Role] | None = None, **web: Any) -> Starlette:
    """Make the application of a service in a folder.

    Args:
        folder: of the service; the users' file lies in it.
        users: who may log in, all with `PASSWORD`; None: no file of users.
        web: settings; `clock` is that of the application.
    """
    clock = web.pop("clock", Clock())
    if users is not None:
        web["users"] = folder / "users"
        for name, role in users.items():
            UsersFile(folder / "users").add(name, role, PASSWORD)
    return create_app(Config(web=Web(**web)).beside(folder), clock=clock)
