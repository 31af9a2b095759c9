"""The log-in page and the log-out."""

import asyncio
import math

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from service.web.pages import Refusal, go, local, page, set_session, site, told
from service.web.users import User

AT_ONCE = 2  # passwords that are verified; each takes 64 MiB
_verifying = asyncio.Semaphore(AT_ONCE)

log = structlog.get_logger()


def show(request: Request) -> Response:
    """Show the form; who has nobody to become, since there is no file of users, cannot log in."""
    if site(request).sessions.users is None:
        if request.state.visitor is not None:
            return go("/")
        raise Refusal(403, "error.no_users")
    return _form(request, "", request.query_params.get("next", "/"))


async def log_in(request: Request) -> Response:
    """Begin a session, or show the form again with the reason."""
    held, form = site(request), await request.form()
    users = held.sessions.users
    if users is None:
        raise Refusal(403, "error.no_users")
    target = str(form.get("next", "/"))
    name, password = str(form.get("name", "")).strip(), str(form.get("password", ""))
    address = held.sessions.address(request)
    wait = held.attempts.begin(address, name, held.clock())
    if wait > 0:
        words = told(request)("log_in.wait", count=math.ceil(wait))
        answer = _form(request, words, target, 429)
        answer.headers["Retry-After"] = str(math.ceil(wait))
        return answer
    async with _verifying:
        user: User | None = await run_in_threadpool(users.verified, name, password)
    if user is None:
        log.warning("web.log_in_failed", user=name[:64], address=address)
        return _form(request, told(request)("log_in.wrong"), target, 403)
    held.attempts.succeeded(address, name)
    log.info("web.logged_in", user=user.name, role=user.role.value, address=address)
    answer = go(target)
    held.sessions.end(held.sessions.token(request) or "")
    set_session(request, answer, held.sessions.begin(user))
    return answer


def log_out(request: Request) -> Response:
    """End the session; the browser gets another token."""
    sessions = site(request).sessions
    sessions.end(sessions.token(request) or "")
    answer = go("/log-in")
    set_session(request, answer, sessions.new_token())
    return answer


def _form(request: Request, wrong: str, target: str, status: int = 200) -> Response:
    return page(request, "log_in.html", status=status, wrong=wrong, target=local(target))
