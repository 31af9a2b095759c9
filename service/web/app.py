"""The application: its routes in one list, its middleware, and its errors in words."""

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import structlog
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from service.config.loader import Config
from service.web import (
    corrections,
    decisions,
    downloads,
    gallery_page,
    image_files,
    log_in_page,
    models_page,
    photograph_page,
    preferences,
    references,
    service_page,
)
from service.web.attempts import Attempts
from service.web.pages import Refusal, Site, error_answer, told
from service.web.protection import Protection
from service.web.routing import changing, reading
from service.web.sessions import Sessions
from service.web.status_feed import StatusFeed
from service.web.translations import translated
from service.web.users import Role
from worker.errors import PhotochromError

log = structlog.get_logger()


class _Static(StaticFiles):
    """Files that browsers ask about before each use; they answer 304 unless they changed."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        response.headers["Cache-Control"] = "no-cache"
        return response


def routes() -> list[BaseRoute]:
    """List the routes: path, endpoint, least role; readers without one, None for everyone."""
    return [
        reading("/", gallery_page.show),
        reading("/cards", gallery_page.refreshed),
        reading("/sample", gallery_page.sample),
        reading("/next", decisions.following),
        changing("/decisions", decisions.decide),
        changing("/decisions/undo", decisions.undo),
        changing("/photographs/{job:job}/note", decisions.add_note),
        changing("/photographs/{job:job}/claim", decisions.claim),
        reading("/log-in", log_in_page.show, None),
        changing("/log-in", log_in_page.log_in, None),
        changing("/log-out", log_in_page.log_out, None),
        changing("/language", preferences.choose_language, None),
        changing("/theme", preferences.choose_theme, None),
        reading("/photographs/{job:job}", photograph_page.show),
        reading("/photographs/{job:job}.json", photograph_page.as_json),
        reading("/photographs/{job:job}/files/{kind}", downloads.download),
        changing("/photographs/{job:job}/preview/start", corrections.start, Role.READER),
        changing("/photographs/{job:job}/preview", corrections.preview, Role.READER),
        reading("/photographs/{job:job}/swatches", corrections.swatches),
        reading("/photographs/{job:job}/variants", corrections.variants),
        reading("/photographs/{job:job}/variants/{variant:job}.jpg", corrections.variant),
        reading("/photographs/{job:job}/confidence/{page:job}.png", corrections.doubt),
        reading("/photographs/{job:job}/references", references.offered),
        reading("/photographs/{job:job}/references/{other:job}.json", references.reference),
        changing("/photographs/{job:job}/apply", corrections.apply),
        reading(image_files.PATH, image_files.show),
        reading("/service", service_page.service),
        reading("/service/live", service_page.live),
        reading("/events", service_page.events),
        changing("/uploads", service_page.upload),
        changing("/rejected/{job:job}/retry", service_page.try_again),
        reading("/models", models_page.models),
        reading("/models/{version}", models_page.model),
        reading("/models/{version}/files/{name}", models_page.attachment),
        changing("/models/promote", models_page.promote, Role.OPERATOR),
        changing("/models/roll-back", models_page.roll_back, Role.OPERATOR),
        Mount("/static", _Static(directory=Path(__file__).parent / "static")),
    ]


def create_app(
    config: Config,
    file: Path = Path("config.yaml"),
    clock: Callable[[], float] = time.monotonic,
) -> Starlette:
    """Make the application.

    Args:
        config: with absolute folders.
        file: where it was read, for child processes.
        clock: seconds that never go back, for sessions and waits after wrong passwords.
    """
    app = Starlette(
        routes=routes(),
        lifespan=_running,
        middleware=[Middleware(Protection, hosts=config.web.hosts)],
        exception_handlers={
            HTTPException: _refused,
            ClientDisconnect: _left,
            PhotochromError: _not_available,
            OSError: _not_available,
            Exception: _failed,
        },
    )
    app.state.images = image_files.ImageFiles(config)
    app.state.previews = corrections.Previews(config)
    app.state.site = Site(
        config, clock, Sessions(config, clock), Attempts(), StatusFeed(config), file.absolute()
    )
    return app


@asynccontextmanager
async def _running(app: Starlette) -> AsyncIterator[None]:
    """Hold open, while it is served, what the application starts when it is needed."""
    async with app.state.images:
        try:
            yield
        finally:
            await run_in_threadpool(app.state.previews.process.close)


def _left(_request: Request, _error: Exception) -> Response:
    """Answer a browser that left before it had sent everything; nobody reads this."""
    return Response(status_code=image_files.GONE_AWAY)


def _refused(request: Request, error: Exception) -> Response:
    """Answer an error of the visitor's in their language."""
    assert isinstance(error, HTTPException)  # noqa: S101 - by its registration
    texts = told(request)
    if isinstance(error, Refusal):
        words = texts(error.key, **_in_language(error.values, texts.language))
    else:
        key = f"error.{error.status_code}"
        words = texts(key) if key in texts else error.detail
    return error_answer(request, error.status_code, words)


def _not_available(request: Request, error: Exception) -> Response:
    """Answer an expected error of the machine, such as a locked ledger, in its own words."""
    words = translated(str(error), told(request).language)
    return error_answer(request, 503, words or str(error))


def _in_language(values: dict[str, Any], language: str) -> dict[str, Any]:
    """Translate a reason that the daemon or a reader gave, if it is known."""
    known = translated(str(values.get("reason", "")), language)
    return {**values, "reason": known} if known else values


def _failed(request: Request, error: Exception) -> Response:
    """Answer a mistake in photochrom; the log has the details."""
    log.error("web.failed", path=request.url.path, exc_info=error)
    return error_answer(request, 500, told(request)("error.500"))
