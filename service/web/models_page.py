"""The model versions: cards, scores and contact sheets over time; promote and roll back."""

import asyncio
import re
from datetime import UTC, datetime
from typing import Any, NamedTuple

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from service.maintenance.promotion import promote as promote_version
from service.web.pages import Refusal, page, read_json, site, told, visitor
from worker.errors import ModelError
from worker.models.cards import SETS, attachments, read_card, read_list, scores_of
from worker.models.promotions import active_versions
from worker.models.store import ModelStore
from worker.models.version import version_name

VERSION = re.compile(r"builtin|[1-9][0-9]{0,8}")
PICTURES = {".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".png": "image/png"}
LONGEST_REASON = 300  # characters
SHEET = "sheet.jpg"
CHARTED = ("psnr_gain", "ab_rmse", "colorfulness_ratio")  # scores
WIDTH, HEIGHT = 300.0, 110.0  # of a chart, in its own units

log = structlog.get_logger()
_promoting = asyncio.Lock()  # one at a time: each test takes gigabytes


class Line(NamedTuple):
    """A score of one set over the versions: what to draw, and its last value."""

    name: str
    points: tuple[tuple[float, float, str], ...]  # x, y, and a text for each
    last: float


class Chart(NamedTuple):
    """A score over the versions; `low` and `high` are the values at the bottom and the top."""

    score: str
    lines: tuple[Line, ...]
    low: float
    high: float


def models(request: Request) -> Response:
    """List the versions, with what their scores did over time."""
    config = site(request).config
    store = ModelStore(config.models_folder)
    history = store.promotions()
    listed = read_list(store, config.model.version)
    stack = active_versions(history)
    sheets = [one["version"] for one in listed["versions"] if _has_sheet(store, one)]
    return page(
        request,
        "models.html",
        scripts=("models",),
        listed=listed,
        previous=stack[-2] if len(stack) > 1 else None,
        history=history[::-1],
        sheets=sheets[::-1],
        charts=[chart for score in CHARTED if (chart := _chart(score, listed["versions"]))],
        sets=SETS,
        charted=CHARTED,
    )


def model(request: Request) -> Response:
    """Show a version's card."""
    name = _version(request.path_params["version"])
    store = _store(request)
    about = _found(store, name, lambda: read_card(store, version_name(name)))
    scores = {
        (one, then): found
        for then, key in ((False, "scores"), (True, "current"))
        for one, found in scores_of(about["card"].get(key)).items()
        if isinstance(found, dict)
    }
    names = list(dict.fromkeys(score for found in scores.values() for score in found))
    pictures = [file.name for file in _files(store, name) if file.suffix.lower() in PICTURES]
    return page(
        request,
        "model.html",
        about=about,
        card=about["card"],
        scores=scores,
        score_names=names,
        pictures=pictures,
    )


def attachment(request: Request) -> Response:
    """Send a picture that comes with a version, by one of the names that its folder lists."""
    name, wanted = _version(request.path_params["version"]), request.path_params["name"]
    for file in _files(_store(request), name):
        kind = PICTURES.get(file.suffix.lower())
        if file.name == wanted and kind:
            return FileResponse(file, media_type=kind, headers={"Cache-Control": "no-cache"})
    raise Refusal(404, "error.404")


async def promote(request: Request) -> Response:
    """Test a version and make it the active one: {version, why}."""
    body = await read_json(request)
    name, who = _version(str(body.get("version"))), visitor(request).name
    if _promoting.locked():
        raise Refusal(409, "models.busy")
    async with _promoting:
        file, why = site(request).config_file, _reason(body, who)
        await run_in_threadpool(_done, promote_version, file, name, why)
    log.info("web.promoted", user=who, version=name)
    return JSONResponse({"words": told(request)("models.promoted", version=name)})


async def roll_back(request: Request) -> Response:
    """Return to the version that was active before: {why}."""
    body = await read_json(request)
    who, now = visitor(request).name, datetime.now(UTC)
    store = _store(request)
    version = await run_in_threadpool(_done, store.rollback, _reason(body, who), now)
    log.info("web.rolled_back", user=who, version=version.name)
    return JSONResponse({"words": told(request)("models.promoted", version=version.name)})


def _done(change: Any, *arguments: Any) -> Any:
    """Change the store; what it refuses is told as it is."""
    try:
        return change(*arguments)
    except ModelError as error:
        raise Refusal(409, "models.refused", reason=str(error)) from error


def _reason(body: dict[str, Any], who: str) -> str:
    """Return the reason for the history, with who gave it."""
    given = "".join(one for one in str(body.get("why") or "") if one.isprintable())
    return f"{given.strip()[:LONGEST_REASON]} ({who}, review page)".strip()


def _version(text: str) -> str:
    if not VERSION.fullmatch(text):
        raise Refusal(404, "models.none", version=text[:20])
    return text


def _store(request: Request) -> ModelStore:
    return ModelStore(site(request).config.models_folder)


def _found(store: ModelStore, name: str, read: Any) -> Any:
    """Read something of a version.

    Raises:
        Refusal: there is none of this name.
        ModelError: its card cannot be read.
    """
    if name not in store.names():
        raise Refusal(404, "models.none", version=name)
    return read()


def _files(store: ModelStore, name: str) -> list[Any]:
    return list(attachments(_found(store, name, lambda: store.get(version_name(name)))))


def _has_sheet(store: ModelStore, about: dict[str, Any]) -> bool:
    return not about["fault"] and any(
        file.name == SHEET for file in _files(store, about["version"])
    )


def _chart(score: str, versions: list[dict[str, Any]]) -> Chart | None:
    """Draw a score over the versions, in their order; None with fewer than two values of a set."""
    found: dict[str, list[tuple[int, str, float]]] = {}
    for position, one in enumerate(versions):
        for name in SETS:
            value = ((one.get("scores") or {}).get(name) or {}).get(score)
            if isinstance(value, int | float):
                found.setdefault(name, []).append((position, one["version"], float(value)))
    values = [value for rows in found.values() for _, _, value in rows]
    if max(map(len, found.values()), default=0) < 2:
        return None
    low, high = min(values), max(values)
    across, up = WIDTH / max(1, len(versions) - 1), HEIGHT / ((high - low) or 1.0)
    lines = tuple(
        Line(
            name,
            tuple(
                (position * across, HEIGHT - (value - low) * up, f"{version}: {value:.3g}")
                for position, version, value in rows
            ),
            rows[-1][2],
        )
        for name, rows in found.items()
    )
    return Chart(score, lines, low, high)
