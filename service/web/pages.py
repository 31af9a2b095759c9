"""What every page needs: its visitor, messages and token, and HTML from a template.

Endpoints get a request; `site(request)` has the configuration, `visitor(request)` says who asks,
`told(request)` has the messages in their language. Raise `Refusal` to answer with an error.
"""

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from service.config.loader import Config
from service.ledger.ledger import LEDGER_FILE
from service.ledger.queries import LedgerQueries
from service.terminal import printable
from service.web.attempts import Attempts
from service.web.messages import LANGUAGES, Messages, messages, preferred
from service.web.sessions import Sessions, Visitor
from service.web.status_feed import StatusFeed
from service.web.translations import ENGLISH, translated
from service.web.users import Role

THEMES = ("auto", "light", "dark")
LANGUAGE_COOKIE, THEME_COOKIE = "photochrom-language", "photochrom-theme"
LOCK_TIMEOUT = 5.0  # seconds, for a locked ledger

_templates = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass
class Site:
    """What one process of the page holds, as `request.app.state.site`.

    Attributes:
        config: the configuration.
        clock: seconds that never go back.
        sessions: who is logged in.
        attempts: to log in.
        feed: the state of the work, for open pages.
        config_file: where the configuration was read, for child processes.
    """

    config: Config
    clock: Callable[[], float]
    sessions: Sessions
    attempts: Attempts
    feed: StatusFeed
    config_file: Path


class Refusal(HTTPException):
    """An error that a visitor is told in their language.

    Args:
        status: the HTTP status.
        key: of the message.
        values: of its fields.
    """

    def __init__(self, status: int, key: str, **values: Any) -> None:
        """Hold the message's key until the language is known."""
        super().__init__(status, key)
        self.key, self.values = key, values


def site(request: Request) -> Site:
    """Return what this process holds."""
    found: Site = request.app.state.site
    return found


def visitor(request: Request) -> Visitor:
    """Return who asks; on pages that need a log-in there always is somebody."""
    found: Visitor = request.state.visitor
    return found


def told(request: Request) -> Messages:
    """Return the messages in the visitor's language."""
    chosen = request.cookies.get(LANGUAGE_COOKIE)
    return messages(preferred(chosen, request.headers.get("accept-language", "")))


@contextmanager
def ledger(request: Request) -> Iterator[LedgerQueries | None]:
    """Open the ledger for questions; None if no photograph has arrived yet. Not on the event loop.

    Raises:
        DeviceError: it cannot be read now.
        LedgerError: it is damaged.
    """
    path = site(request).config.state / LEDGER_FILE
    if not path.exists():
        yield None
        return
    with LedgerQueries.open(path, wait=LOCK_TIMEOUT) as queries:
        yield queries


def csrf(request: Request) -> str:
    """Return the CSRF token for this browser, which gets a cookie with the answer if it has none.

    Forms send it as csrf_token, scripts as the header X-CSRF-Token.
    """
    sessions = site(request).sessions
    if not hasattr(request.state, "token"):
        token = sessions.token(request)
        request.state.new_token = token is None
        request.state.token = token or sessions.new_token()
    return sessions.csrf(request.state.token)


def page(
    request: Request,
    template: str,
    *,
    status: int = 200,
    scripts: Sequence[str] = (),
    **values: Any,
) -> HTMLResponse:
    """Render a template.

    It gets the values given, and: `t` (messages), `visitor` (None before a log-in), `may(role)`,
    `csrf_token`, `path` (of this page, with its query), `language`, `languages`, `theme`, `themes`,
    `duration(seconds)` in words, `said(text)` (what the daemon wrote, in their language); and the
    filters `moment`, `name`, `breakable` (a name), `size` (bytes) and `json`.

    Args:
        request: the request.
        template: its name in `templates/`.
        status: the HTTP status.
        scripts: the first words of the keys of the messages that the page's scripts use.
        values: for the template.
    """
    texts = told(request)
    who: Visitor | None = getattr(request.state, "visitor", None)
    theme = request.cookies.get(THEME_COOKIE)
    known = {
        "t": texts,
        "visitor": who,
        "may": lambda role: who is not None and who.role.may(Role(role)),
        "csrf_token": csrf(request),
        "path": here(request),
        "language": texts.language,
        "languages": LANGUAGES,
        "theme": theme if theme in THEMES else THEMES[0],
        "themes": THEMES,
        "duration": partial(_duration, texts),
        "said": partial(_said, texts),
        "script_messages": texts.of(("script", *scripts)),
    }
    response = HTMLResponse(_templates.get_template(template).render(known | values), status)
    if request.state.new_token:
        set_session(request, response, request.state.token)
    return response


def set_session(request: Request, response: Response, token: str) -> None:
    """Give a browser its token, in a cookie that no script and no other site can use."""
    sessions = site(request).sessions
    response.set_cookie(
        sessions.cookie_name(request),
        token,
        path="/",
        secure=sessions.secure(request),
        httponly=True,
        samesite="strict",
    )


def here(request: Request) -> str:
    """Return the path of a page with its query; of an answer to a POST, the start page."""
    if request.method not in {"GET", "HEAD"}:
        return "/"
    query = request.url.query
    return request.url.path + (f"?{query}" if query else "")


def local(path: str) -> str:
    """Return a path of this site to redirect to; anything else becomes the start page."""
    safe = path.startswith("/") and path[1:2] not in {"/", "\\"} and path.isprintable()
    return path if safe else "/"


def go(path: str) -> RedirectResponse:
    """Redirect to a path of this site, with GET."""
    return RedirectResponse(local(path), 303)


async def read_json(request: Request) -> dict[str, Any]:
    """Return the JSON object in a request's body.

    Raises:
        Refusal: there is none.
    """
    try:
        body = await request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise Refusal(400, "error.json")
    return body


def wants_html(request: Request) -> bool:
    """Tell whether a person waits for a page, not a script for JSON."""
    return "text/html" in request.headers.get("accept", "")


def error_answer(request: Request, status: int, words: str) -> Response:
    """Answer with an error in words: as a page, or as {"error": words} for scripts."""
    if not wants_html(request):
        return JSONResponse({"error": words}, status)
    return page(request, "error.html", status=status, code=status, words=words)


def _moment(value: float | str | None) -> Markup:
    """Show a moment (seconds since 1970, or ISO 8601) in this machine's time."""
    if value is None:
        return Markup("&ndash;")
    when = (
        datetime.fromisoformat(value)
        if isinstance(value, str)
        else datetime.fromtimestamp(value, UTC)
    )
    shown = when.astimezone().strftime("%Y-%m-%d %H:%M")
    return Markup('<time datetime="{}">{}</time>').format(when.isoformat("T", "seconds"), shown)


def _duration(texts: Messages, seconds: float) -> str:
    """Return a duration in words, such as "3 minutes", rounded down."""
    for size, unit in ((86_400, "days"), (3_600, "hours"), (60, "minutes"), (1, "seconds")):
        count = int(seconds // size)
        if count >= 2 or size == 1 or (count and size == 60):
            return texts(f"duration.{unit}", count=count)
    raise AssertionError  # there is no unit below a second


def _said(texts: Messages, text: str) -> Markup:
    """Show a text that the daemon wrote; as it is, and marked as English, if it is not known."""
    plain = printable(text)
    words = translated(plain, texts.language)
    if words is None and texts.language != ENGLISH:
        return Markup('<span lang="en">{}</span>').format(plain)
    return escape(words or plain)


def _size(size: float) -> str:
    """Return a number of bytes, such as "2.4 GB"."""
    units = ["bytes", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return (
        f"{size:.0f} {units[0]}" if size >= 10 or units[0] == "bytes" else f"{size:.1f} {units[0]}"
    )


def _name(value: object) -> str:
    """Show a path or other text that strangers chose, with control characters escaped."""
    return printable(os.fspath(value) if isinstance(value, os.PathLike) else str(value))


def _breakable(name: str) -> Markup:
    """Let a file's name wrap where its parts meet, and before its ending."""
    parts = re.split(r"(?<=[_\-+=,;])|(?=\.\w+$)", name)
    return Markup("<wbr>").join(part for part in parts if part)


def _json(value: Any) -> Markup:
    r"""Write JSON for a <script type="application/json">, which no "</script>" can leave."""
    text = json.dumps(value, ensure_ascii=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # noqa: S704 - escaped above


_templates.filters |= {
    "moment": _moment,
    "name": _name,
    "breakable": _breakable,
    "size": _size,
    "json": _json,
}
