"""Results that a photograph can be colored like: a few to choose from, and the colors of one."""

from collections.abc import Iterator
from functools import partial

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.ledger.gallery import GalleryFilter, GalleryQueries
from service.ledger.jobs import Job
from service.ledger.rows import storable
from service.maintenance.fixity import as_text
from service.web.corrections import answered
from service.web.downloads import chosen_job
from service.web.image_files import KEY, view_of_result
from service.web.pages import Refusal, ledger
from worker.settings import LONGEST_WORD

MOST = 6  # that are offered
LONGEST = 200  # characters of the word


def offered(request: Request) -> Response:
    """List results to choose from; query: word, a part of the name.

    Without a word: approved ones of the photograph's folder, then approved ones, then others of
    the folder; the newest first.
    """
    word = request.query_params.get("word", "").strip()[:LONGEST]
    job = chosen_job(request)
    found: dict[int, Job] = {}
    with ledger(request) as queries:
        for which in _filters(job, word) if queries else ():
            for one in _usable(queries.gallery, which) if queries else ():
                if one.id != job.id and len(found) < MOST:
                    found.setdefault(one.id, one)
    return JSONResponse([_choice(job, one) for one in found.values()])


def _filters(job: Job, word: str) -> list[GalleryFilter]:
    if word:
        return [GalleryFilter(word=word)]
    folder = job.path.parent
    return [
        GalleryFilter(folder=folder, decision="approved"),
        GalleryFilter(decision="approved"),
        GalleryFilter(folder=folder),
    ]


def _usable(gallery: GalleryQueries, which: GalleryFilter) -> Iterator[Job]:
    """Yield the newest results that are there to be read."""
    for job in gallery.page(which, limit=MOST + 1):
        if job.output_digest and job.fetched_at is None:
            yield job


def _choice(job: Job, other: Job) -> dict[str, str | int | None]:
    key = (other.output_digest or "")[:KEY]
    return {
        "job": other.id,
        "name": as_text(other.path),
        "sha256": other.output_digest,
        "picture": f"/images/{other.id}/colored/0/{key}/thumbnail.jpg",
        "reference": f"/photographs/{job.id}/references/{other.id}.json",
    }


async def reference(request: Request) -> Response:
    """Tell the colors of a result, as the wish to be colored like it has them."""
    await run_in_threadpool(chosen_job, request)
    other = await run_in_threadpool(_other, request)
    view = await view_of_result(request, other)
    name = storable(str(other.output))[-LONGEST_WORD:]
    known = {"name": name, "sha256": other.output_digest, "who": "", "source": ""}
    call = partial(request.app.state.previews.process.colors, view)
    return await answered(request, call, lambda colors: JSONResponse({**known, "colors": colors}))


def _other(request: Request) -> Job:
    with ledger(request) as queries:
        job = queries.job(request.path_params["other"]) if queries else None
    if job is None:
        raise Refusal(404, "photograph.not_found")
    return job
