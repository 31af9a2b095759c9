"""Corrections of a photograph's colors: previews, swatches, variants, and applying them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.maintenance.wishing import apply_wishes, parse_wishes
from service.web.downloads import chosen_job
from service.web.pages import Refusal, read_json, site, visitor
from worker.settings import ColorPoint, ColorWishes


async def apply(request: Request) -> Response:
    """Have a photograph colored again as wished; JSON: {wishes}. Answers {queued: 1}.

    Points that are new are the visitor's; nobody speaks in another's name.
    """
    job = await run_in_threadpool(chosen_job, request)
    wishes = signed(_wishes(await read_json(request)), job.settings.points, visitor(request).name)
    try:
        await run_in_threadpool(apply_wishes, site(request).config, job.id, wishes)
    except ValueError as error:
        raise Refusal(409, "photograph.cannot_recolor", reason=str(error)) from error
    return JSONResponse({"queued": 1})


def signed(wishes: ColorWishes, before: tuple[ColorPoint, ...], name: str) -> ColorWishes:
    """Return wishes whose points say who knows the color.

    Args:
        wishes: as they were sent.
        before: the points that a photograph had; those that stay keep their names.
        name: of the visitor, for all others.
    """
    points = tuple(one if one in before else replace(one, who=name) for one in wishes.points)
    return replace(wishes, points=points)


def _wishes(said: Mapping[str, Any]) -> ColorWishes:
    given = said.get("wishes")
    if not isinstance(given, dict):
        raise Refusal(400, "error.value", field="wishes")
    try:
        return parse_wishes(given)
    except ValueError as error:
        raise Refusal(400, "photograph.bad_wishes", reason=str(error)) from error
