"""What a visitor chooses for their browser: language, and dark or light; kept in cookies."""

from starlette.requests import Request
from starlette.responses import Response

from service.web.messages import LANGUAGES
from service.web.pages import LANGUAGE_COOKIE, THEME_COOKIE, THEMES, Refusal, go, site

YEAR = 365 * 86_400  # seconds


async def choose_language(request: Request) -> Response:
    """Keep the language, and show the page again."""
    return await _choose(request, "language", LANGUAGE_COOKIE, tuple(LANGUAGES))


async def choose_theme(request: Request) -> Response:
    """Keep dark, light, or what the system prefers, and show the page again."""
    return await _choose(request, "theme", THEME_COOKIE, THEMES)


async def _choose(request: Request, field: str, cookie: str, values: tuple[str, ...]) -> Response:
    form = await request.form()
    chosen = str(form.get(field, ""))
    if chosen not in values:
        raise Refusal(400, "error.value", field=field)
    answer = go(str(form.get("next", "/")))
    secure = site(request).sessions.secure(request)
    answer.set_cookie(cookie, chosen, YEAR, secure=secure, httponly=True, samesite="lax")
    return answer
