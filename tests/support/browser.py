"""Debian's Chromium in tests: pages that may not go wrong unseen, and axe-core.

`tests/conftest.py` loads this as a plugin. What needs a browser skips where there is none.
"""

import functools
import http.server
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

NewPage = Callable[..., "Page"]

NPM = Path(__file__).parents[2] / ".ci/browser/node_modules"  # `npm ci` in .ci/browser fills it
LOOPBACK = {"127.0.0.1", "localhost", "[::1]"}
NOWHERE_ELSE = "MAP * ~NOTFOUND, " + ", ".join(f"EXCLUDE {host}" for host in sorted(LOOPBACK))
PATIENCE = 30_000  # milliseconds
TELL_OF_POLICY = """
document.addEventListener("securitypolicyviolation", (event) => console.error(
    `content security policy: ${event.effectiveDirective} forbids ${event.blockedURI}`));
"""
VIOLATIONS = """
async () => (await axe.run()).violations
    .filter((one) => ["serious", "critical"].includes(one.impact))
    .map((one) => `${one.id}: ${one.help}: ${one.nodes.map((node) => node.target).join(" | ")}`)
"""


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Start Chromium, headless, once for the tests of a module; it reaches only this machine."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("chromium is not installed")
    from playwright.sync_api import expect, sync_playwright  # noqa: PLC0415 - few tests need it

    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=chromium,
            chromium_sandbox=os.geteuid() != 0,  # it refuses to be root in its sandbox
            args=[f"--host-resolver-rules={NOWHERE_ELSE}"],
        )
        yield running
        running.close()


@pytest.fixture
def problems() -> Iterator[list[str]]:
    """Collect what goes wrong in pages; what is left in the list fails the test at its end."""
    found: list[str] = []
    yield found
    assert [] == found


@pytest.fixture
def new_page(browser: "Browser", problems: list[str]) -> Iterator[NewPage]:
    """Make pages, each with cookies and storage of its own; options as for `new_context`.

    Problems are errors on the console, exceptions, breaches of the content security policy, and
    requests to any host but this machine.
    """
    contexts = []

    def opened(**options: Any) -> "Page":
        context = browser.new_context(**options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE)
        context.add_init_script(TELL_OF_POLICY)
        context.on("console", lambda said: problems.extend(complaint(said)))
        context.on("weberror", lambda thrown: problems.append(str(thrown.error)))
        context.on("request", lambda request: problems.extend(elsewhere(request.url)))
        return context.new_page()

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture
def page(new_page: NewPage) -> "Page":
    """Return an empty page, 1280 by 800."""
    return new_page(viewport={"width": 1280, "height": 800})


@pytest.fixture(scope="session")
def serious_violations() -> Callable[["Page"], list[str]]:
    """Return what lists a page's serious and critical breaches of WCAG, as axe-core finds them."""
    source = NPM / "axe-core/axe.min.js"
    if not source.is_file():
        pytest.skip("axe-core is not installed (npm ci in .ci/browser)")
    axe = source.read_text()

    def found(page: "Page") -> list[str]:
        page.evaluate(f"() => {{ {axe} }}")  # not as a script element, which the page's policy bars
        return [str(line) for line in page.evaluate(VIOLATIONS)]

    return found


def complaint(said: "ConsoleMessage") -> list[str]:
    """Return an error on the console, with the address it is about."""
    return [f"{said.text} {said.location['url']}"] if said.type == "error" else []


def elsewhere(url: str) -> list[str]:
    """Return a complaint when a URL leads off this machine."""
    parts = urlsplit(url)
    if parts.scheme in {"http", "https", "ws", "wss"} and parts.hostname not in LOOPBACK:
        return [f"asked another host: {url}"]
    return []


@contextmanager
def served(folder: Path, headers: dict[str, str] | None = None) -> Iterator[str]:
    """Serve a folder on the loopback, with more headers on each answer; gives its base URL."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def end_headers(self) -> None:
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            super().end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    make = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), make) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def page_of(body: str, script: str = "") -> str:
    """Return a small but accessible HTML page with a module script beside it, `script.js`."""
    tag = f'<script type="module" src="{script}"></script>' if script else ""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Test</title>'
        f'<link rel="icon" href="data:,">{tag}</head><body><main><h1>Test</h1>{body}</main>'
        "</body></html>"
    )
