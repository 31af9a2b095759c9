"""The page that tells how the service is, live, and takes scans and second attempts."""

import json
from collections.abc import AsyncIterator, Callable
from pathlib import PurePosixPath
from typing import Any

import structlog
from sse_starlette import EventSourceResponse
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from service.config.folder_sections import FolderSettings
from service.ledger.jobs import JobStatus
from service.maintenance.retry import retry
from service.monitoring.status import RejectedPhoto
from service.monitoring.status_reader import rejected_photos
from service.storage.uploads import MEGABYTE, UploadError, receiving
from service.web.pages import Refusal, ledger, page, read_json, site, told, visitor
from service.web.status_feed import News, read_news

PING = 15  # seconds between signs of life on an open connection
CHUNK = 1 << 20  # bytes of an upload that are written at a time
MOST_REJECTED = 500  # that are listed
FOLDERS_OFFERED = 200
_TAKEN = {"taken": 409, "large": 413, "room": 507, "off": 403, "kept": 403, "interrupted": 503}

log = structlog.get_logger()


def service(request: Request) -> Response:
    """Show the page."""
    config = site(request).config
    with ledger(request) as queries:
        folders = queries.gallery.folders(limit=FOLDERS_OFFERED) if queries else []
    may_upload = config.web.upload_limit > 0 and config.originals.after == "move"
    return page(
        request,
        "service.html",
        scripts=("upload", "retry", "live"),
        folders=folders,
        may_upload=may_upload,
        upload_limit=config.web.upload_limit * MEGABYTE,
        **_state(request),
    )


def live(request: Request) -> Response:
    """Show the part of the page that changes, for its script to put in."""
    return page(request, "service_live.html", **_state(request))


async def events(request: Request) -> Response:
    """Tell of changes as they happen: `status` with the state; `photographs`: ask for cards."""

    async def told_on() -> AsyncIterator[dict[str, Any]]:
        held = site(request)
        photographs: tuple[float, ...] | None = None
        async for news in held.feed.follow():
            if await run_in_threadpool(held.sessions.visitor, request) is None:
                return  # logged out, or removed
            plain = news.status.model_dump(mode="json") if news.status else None
            data = {"status": plain, "problem": news.problem, "held": news.held}
            yield {"event": "status", "data": json.dumps(data)}
            if news.photographs != photographs:
                photographs = news.photographs
                yield {"event": "photographs", "data": "{}"}

    return EventSourceResponse(told_on(), ping=PING)


async def try_again(request: Request) -> Response:
    """Retry a rejected photograph; with {"even_if_colored": true}, whatever color it has."""
    body = await read_json(request)
    job = int(request.path_params["job"])
    how = FolderSettings(even_if_colored=True) if body.get("even_if_colored") is True else None
    config = site(request).config
    [result] = await run_in_threadpool(retry, config, [job], asked=how)
    if not result.done:
        status = 409 if result.path else 404
        raise Refusal(status, "retry.refused", reason=result.words)
    log.info("web.retried", user=visitor(request).name, job=job, even_if_colored=how is not None)
    return JSONResponse({"words": told(request)("retry.done", name=result.path)})


async def upload(request: Request) -> Response:
    """Take a scan into the inbox: its bytes are the body, `name` and `folder` are in the query.

    `numbered=1` gives it another name where the name is taken.
    """
    query = request.query_params
    name, folder = query.get("name", ""), PurePosixPath(query.get("folder", ""))
    announced = request.headers.get("content-length", "")
    size = int(announced) if announced.isascii() and announced.isdigit() else 0
    config = site(request).config
    try:
        arriving = receiving(config, folder, name, size)
        file = await run_in_threadpool(arriving.__enter__)
        try:
            await _receive(request, file.write)
            got = await run_in_threadpool(file.finish, numbered=query.get("numbered") == "1")
        finally:
            await run_in_threadpool(arriving.__exit__, None, None, None)
    except UploadError as error:
        status = _TAKEN.get(error.reason, 400)
        raise Refusal(status, f"upload.{error.reason}", name=error.name) from error
    except ClientDisconnect:
        return Response(status_code=400)  # nobody reads it
    path = folder / got
    log.info("web.uploaded", user=visitor(request).name, path=path, bytes=file.size)
    return JSONResponse({"path": str(path)}, 201)


async def _receive(request: Request, write: Callable[[bytes], None]) -> None:
    """Write a request's body, a megabyte at a time, each in a thread."""
    held = bytearray()
    async for chunk in request.stream():
        held += chunk
        if len(held) >= CHUNK:
            await run_in_threadpool(write, bytes(held))
            held.clear()
    if held:
        await run_in_threadpool(write, bytes(held))


def _state(request: Request) -> dict[str, Any]:
    """Return what the live part of the page shows."""
    held = site(request)
    news: News = held.feed.latest or read_news(held.config)
    status = news.status
    jobs = {one.value: (status.jobs or {}).get(one) for one in JobStatus} if status else {}
    everything = request.query_params.get("rejected") == "all"
    rejected: tuple[RejectedPhoto, ...] = status.rejected if status else ()
    if everything and status and not status.ledger_fault:
        with ledger(request) as queries:
            if queries:
                rejected = tuple(rejected_photos(queries, held.config, MOST_REJECTED))
    return {
        "work": status,
        "problem": news.problem,
        "held": news.held,
        "jobs": jobs,
        "rejected": rejected,
        "everything": everything,
    }
