"""Corrections of a photograph's colors: previews, swatches, variants, doubt, and applying them."""

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple, TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.config.folder_sections import FolderSettings
from service.config.loader import Config
from service.maintenance.wishing import apply_wishes, parse_wishes
from service.web.downloads import chosen_job
from service.web.image_files import GONE_AWAY, MOST_PAGES, view_of_scan
from service.web.pages import Refusal, read_json, site, visitor
from service.web.preview_process import Picture, PreviewProcess
from worker.settings import VARIANTS, ColorWishes

FOR_A_WHILE = {"Cache-Control": "private, max-age=600"}  # until another version may be in use
T = TypeVar("T")


class _GoneAwayError(Exception):
    """Who asked waits no longer."""


class Previews:
    """The child that makes previews, asked by one request at a time.

    Args:
        config: which version it uses, and where it is.
    """

    def __init__(self, config: Config) -> None:
        """Start nothing yet."""
        self.process = PreviewProcess(config)
        self._turn = asyncio.Lock()

    async def ask(self, request: Request, call: Callable[[], T]) -> T:
        """Call in a thread, when it is this request's turn.

        Raises:
            _GoneAwayError: the browser has given it up by then, such as for a later wish.
            PreviewError: from the call.
        """
        async with self._turn:
            if await request.is_disconnected():
                raise _GoneAwayError
            return await run_in_threadpool(call)


class _Asked(NamedTuple):
    """The page of a photograph that a request asks about: its number, its view, and a key."""

    page: int
    view: Any
    key: str


async def start(request: Request) -> Response:
    """Look at a page for somebody who is about to ask about it; JSON: {page}.

    Answers {} once all is ready: where what makes previews does not run, it is started.
    """
    asked = await _asked(request, (await read_json(request)).get("page", 0))
    call = partial(_process(request).look, asked.view, asked.key)
    return await answered(request, call, lambda _: JSONResponse({}))


async def preview(request: Request) -> Response:
    """Show what wishes make of a page; JSON: {page, wishes}. Answers a JPEG."""
    said = await read_json(request)
    wishes = _wishes(said)
    asked = await _asked(request, said.get("page", 0))
    call = partial(_process(request).preview, asked.view, asked.key, wishes.of_page(asked.page))
    return await answered(request, call, _picture("image/jpeg", {}))


async def swatches(request: Request) -> Response:
    """Tell the likely colors at a place; query: page, x, y."""
    x, y = _share(request, "x"), _share(request, "y")
    asked = await _asked(request, request.query_params.get("page", "0"))
    call = partial(_process(request).swatches, asked.view, asked.key, x, y)
    return await answered(request, call, JSONResponse)


async def variants(request: Request) -> Response:
    """List the colorings of a page, the likeliest first; query: page."""
    asked = await _asked(request, request.query_params.get("page", "0"))

    def listed(found: list[float]) -> Response:
        folder = f"/photographs/{request.path_params['job']}/variants"
        return JSONResponse(
            [
                {"variant": one, "preview": f"{folder}/{one}.jpg?page={asked.page}"}
                for one in range(len(found))
            ]
        )

    return await answered(
        request, partial(_process(request).variants, asked.view, asked.key), listed
    )


async def variant(request: Request) -> Response:
    """Show one of the colorings of a page; query: page. Answers a JPEG."""
    number = request.path_params["variant"]
    if number >= VARIANTS:
        raise Refusal(404, "error.404")
    asked = await _asked(request, request.query_params.get("page", "0"))
    wishes = ColorWishes(variant=number)
    call = partial(_process(request).preview, asked.view, asked.key, wishes)
    return await answered(request, call, _picture("image/jpeg", FOR_A_WHILE))


async def doubt(request: Request) -> Response:
    """Show where the colors of a page are doubtful. Answers a PNG to lay over it."""
    asked = await _asked(request, request.path_params["page"])
    call = partial(_process(request).doubt, asked.view, asked.key)
    return await answered(request, call, _picture("image/png", FOR_A_WHILE))


async def apply(request: Request) -> Response:
    """Have a photograph colored again as wished; JSON: {wishes}. Answers {queued: 1}.

    Points that are new are the visitor's, and so is another reference; nobody speaks in another's
    name.
    """
    job = await run_in_threadpool(chosen_job, request)
    wishes = signed(_wishes(await read_json(request)), job.settings, visitor(request).name)
    try:
        await run_in_threadpool(apply_wishes, site(request).config, job.id, wishes)
    except ValueError as error:
        raise Refusal(409, "photograph.cannot_recolor", reason=str(error)) from error
    return JSONResponse({"queued": 1})


def signed(wishes: ColorWishes, before: FolderSettings, name: str) -> ColorWishes:
    """Return wishes that say who knows a color, and who chose the reference.

    Args:
        wishes: as they were sent.
        before: what a photograph had; what stays keeps its name.
        name: of the visitor, for all else.
    """
    points = tuple(one if one in before.points else replace(one, who=name) for one in wishes.points)
    reference = wishes.reference
    if reference and reference != before.reference:
        reference = replace(reference, who=name)
    return replace(wishes, points=points, reference=reference)


def _wishes(said: Mapping[str, Any]) -> ColorWishes:
    given = said.get("wishes")
    if not isinstance(given, dict):
        raise Refusal(400, "error.value", field="wishes")
    try:
        return parse_wishes(given)
    except ValueError as error:
        raise Refusal(400, "photograph.bad_wishes", reason=str(error)) from error


async def _asked(request: Request, page: object) -> _Asked:
    """Return the page that is meant, with its view.

    Raises:
        Refusal: there is no such photograph or page, or its scan cannot be shown.
    """
    text = str(page)
    if not (text.isascii() and text.isdigit() and len(text) < 8 and int(text) < MOST_PAGES):
        raise Refusal(400, "error.value", field="page")
    job = await run_in_threadpool(chosen_job, request)
    view = await view_of_scan(request, job, int(text))
    return _Asked(int(text), view, f"{job.digest}-{text}")


async def answered(
    request: Request, call: Callable[[], T], answer: Callable[[T], Response]
) -> Response:
    """Ask the child, and make an answer of what it says."""
    previews: Previews = request.app.state.previews
    try:
        return answer(await previews.ask(request, call))
    except _GoneAwayError:
        return Response(status_code=GONE_AWAY)


def _process(request: Request) -> PreviewProcess:
    previews: Previews = request.app.state.previews
    return previews.process


def _picture(kind: str, headers: Mapping[str, str]) -> Callable[[Picture], Response]:
    def answer(picture: Picture) -> Response:
        timing = {"Server-Timing": f"preview;dur={picture.milliseconds}"}
        return Response(picture.content, media_type=kind, headers={**timing, **headers})

    return answer


def _share(request: Request, name: str) -> float:
    """Return a place in a query, 0 to 1."""
    try:
        value = float(request.query_params.get(name, ""))
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise Refusal(400, "error.value", field=name)
    return value
