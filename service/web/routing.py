"""Routes that know who may use them: `reading` for GET, `changing` for POST.

An endpoint is `def endpoint(request) -> Response`, which runs in a thread and so may open the
ledger, or `async def`. It is called only for a visitor whose role suffices and, if it changes
anything, whose request comes from a page of this site.
"""

from collections.abc import Awaitable, Callable
from inspect import iscoroutinefunction
from typing import Any
from urllib.parse import quote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.web.pages import Refusal, go, here, site, wants_html
from service.web.users import Role

Endpoint = Callable[[Request], Any]
CSRF_HEADER, CSRF_FIELD = "x-csrf-token", "csrf_token"
LOG_IN = "/log-in"
_FORM = "application/x-www-form-urlencoded"


class JobNumber(Convertor[int]):
    """A job's number in a route's path, as `{job:job}`; at most as large as the ledger can hold."""

    regex = "[0-9]{1,18}"

    def convert(self, value: str) -> int:
        """Read it."""
        return int(value)

    def to_string(self, value: int) -> str:
        """Write it."""
        return str(value)


register_url_convertor("job", JobNumber())


class GuardedRoute(Route):
    """A route that says whose it is.

    Attributes:
        role: the least role that may use it; None: everyone, even without a log-in.
    """

    role: Role | None = None


def reading(path: str, endpoint: Endpoint, role: Role | None = Role.READER) -> GuardedRoute:
    """Make a route for GET, which must change nothing."""
    return _route(path, endpoint, role, "GET")


def changing(path: str, endpoint: Endpoint, role: Role | None = Role.REVIEWER) -> GuardedRoute:
    """Make a route for POST, which a CSRF token must accompany."""
    return _route(path, endpoint, role, "POST")


def _route(path: str, endpoint: Endpoint, role: Role | None, method: str) -> GuardedRoute:
    async def guarded(request: Request) -> Response:
        who = await run_in_threadpool(site(request).sessions.visitor, request)
        request.state.visitor = who
        if role is not None and who is None:
            if method == "GET" and wants_html(request):
                return go(f"{LOG_IN}?next={quote(here(request), safe='/')}")
            raise Refusal(401, "error.log_in")
        if role is not None and who is not None and not who.role.may(role):
            raise Refusal(403, "error.role", role=role.value)
        if method == "POST":
            await _refuse_forgeries(request)
        if iscoroutinefunction(endpoint):
            waiting: Awaitable[Response] = endpoint(request)
            return await waiting
        answer: Response = await run_in_threadpool(endpoint, request)
        return answer

    guarded.__name__ = getattr(endpoint, "__name__", "endpoint")
    made = GuardedRoute(path, guarded, methods=[method])
    made.role = role
    return made


async def _refuse_forgeries(request: Request) -> None:
    """Refuse a request that a page of another site made, or that knows no token of ours."""
    headers = request.headers
    fetched = headers.get("sec-fetch-site", "same-origin")
    origin = headers.get("origin")
    if fetched != "same-origin" or (
        origin is not None and urlsplit(origin).netloc != headers.get("host")
    ):
        raise Refusal(403, "error.other_site")
    given = headers.get(CSRF_HEADER, "")
    if not given and headers.get("content-type", "").partition(";")[0] == _FORM:
        given = str((await request.form()).get(CSRF_FIELD, ""))
    sessions = site(request).sessions
    token = sessions.token(request)
    if token is None or not sessions.is_csrf(token, given):
        raise Refusal(403, "error.csrf")
