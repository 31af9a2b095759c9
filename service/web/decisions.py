"""What reviewers send: decisions, undo, notes; and which photograph each of them looks at next."""

import json
from collections.abc import Mapping
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.ledger.gallery import cursor
from service.ledger.jobs import Decision, Job
from service.ledger.queries import LedgerQueries
from service.maintenance import review
from service.web.gallery_filters import Asked, filter_of, number_of, understood
from service.web.pages import Refusal, go, ledger, site, visitor
from service.web.users import Role

MOST_AT_ONCE = 10_000  # jobs that a request lists; more are chosen by a filter
MOST_TOLD = 100  # jobs that an answer lists


async def decide(request: Request) -> Response:
    """Record one decision on `jobs`, or on all that `filter` finds if these are `count`.

    JSON: {jobs or filter and count, decision (null opens them again), reason, note}.
    Answers {changed}.
    """
    said = await _json(request)
    decision = _decision(said)
    words = {name: _text(said, name) for name in ("reason", "note")}
    config, who = site(request).config, visitor(request).name
    if "filter" in said:
        if not isinstance(said["filter"], dict):
            raise Refusal(400, "error.value", field="filter")
        which, count = filter_of(said["filter"]), said.get("count")
        if type(count) is not int:
            raise Refusal(400, "error.value", field="count")

        def change() -> int:
            try:
                return review.decide_filtered(config, which, count, decision, who=who, **words)
            except review.CountChangedError:
                raise Refusal(409, "error.count_changed") from None
    else:
        jobs = _jobs(said)

        def change() -> int:
            return review.decide(config, jobs, decision, who=who, **words)

    return JSONResponse({"changed": await run_in_threadpool(change)})


def undo(request: Request) -> Response:
    """Undo what this reviewer decided last, all that was decided together.

    Answers {changed, jobs}, of which only the first hundred are listed.
    """
    undone = review.undo(site(request).config, visitor(request).name)
    jobs = [record.job for record in undone[:MOST_TOLD]]
    return JSONResponse({"changed": len(undone), "jobs": jobs})


async def add_note(request: Request) -> Response:
    """Record words on a photograph; JSON: {note}."""
    note = _text(await _json(request), "note").strip()
    if not note:
        raise Refusal(400, "error.value", field="note")
    job, who = request.path_params["job"], visitor(request).name
    config = site(request).config
    if not await run_in_threadpool(review.add_note, config, job, note, who=who):
        raise Refusal(404, "error.404")
    return JSONResponse({"changed": 1})


async def claim(request: Request) -> Response:
    """Say that this reviewer looks at a photograph, again every few minutes, or no longer.

    A form: {leave: 1} gives it back. Answers {by: the other reviewer who was first, or null}.
    """
    leave = bool((await request.form()).get("leave"))
    config, who = site(request).config, visitor(request).name
    job = request.path_params["job"]
    if leave:
        await run_in_threadpool(review.release, config, job, who=who)
        return JSONResponse({"by": None})
    return JSONResponse({"by": await run_in_threadpool(review.claim, config, job, who=who)})


def following(request: Request) -> Response:
    """Lead to the next photograph: `after` one, or the one `before` one, in a selection.

    A reviewer gets the next open one that nobody else looks at, as their claim; who reads, or looks
    through decided ones, simply the next one. At the end it leads back to the gallery.
    """
    given = request.query_params
    before = number_of(given, "before", 0, 10**18)
    job = before or number_of(given, "after", 0, 10**18)
    asked = understood({name: given[name] for name in given if name not in {"after", "before"}})
    reviews = visitor(request).role.may(Role.REVIEWER) and not before
    if reviews and asked.which.decision in {None, "open"}:
        found = _claimed(request, asked, job)
    else:
        with ledger(request) as queries:
            found = _neighbor(queries, asked, job, back=bool(before)) if queries else None
    if found is None:
        return go(_end(asked, reviews=reviews))
    return go(asked.link(f"/photographs/{found}"))


def _claimed(request: Request, asked: Asked, after: int) -> int | None:
    """Claim the next open photograph for a reviewer."""
    config, who = site(request).config, visitor(request).name
    if asked.jobs is None:
        found = review.claim_next(config, asked.which, asked.order, after or None, who=who)
        return found.id if found else None
    review.release(config, None, who=who)
    with ledger(request) as queries:
        jobs = queries.by_ids(asked.jobs) if queries else ()
        is_open = {job.id for job in jobs if job.is_colored and job.decision is None}
    at = asked.jobs.index(after) + 1 if after in asked.jobs else 0
    turns = [one for one in asked.jobs[at:] + asked.jobs[:at] if one in is_open and one != after]
    return next((one for one in turns if review.claim(config, one, who=who) is None), None)


def _neighbor(queries: LedgerQueries, asked: Asked, job: int, *, back: bool) -> int | None:
    """Find the photograph beside one, whatever was decided on it."""
    if asked.jobs is not None:
        at = asked.jobs.index(job) + (-1 if back else 1) if job in asked.jobs else 0
        return asked.jobs[at] if 0 <= at < len(asked.jobs) else None
    start: Job | None = queries.job(job) if job else None
    place = cursor(start, asked.order) if start else None
    before, after = (place, None) if back else (None, place)
    found = queries.gallery.page(asked.which, asked.order, after, limit=1, before=before)
    return found[0].id if found else None


def _end(asked: Asked, *, reviews: bool) -> str:
    """Return where one is led when there is no further photograph."""
    if asked.jobs is not None:
        return asked.link("/sample")
    return asked.link(decision="open") if reviews and not asked.which.decision else asked.link()


# What was sent


async def _json(request: Request) -> Mapping[str, Any]:
    try:
        said = json.loads(await request.body())
    except ValueError:
        raise Refusal(400, "error.value", field="JSON") from None
    if not isinstance(said, dict):
        raise Refusal(400, "error.value", field="JSON")
    return said


def _decision(said: Mapping[str, Any]) -> Decision | None:
    given = said.get("decision", "")
    if given is not None and given not in list(Decision):
        raise Refusal(400, "error.value", field="decision")
    return None if given is None else Decision(given)


def _jobs(said: Mapping[str, Any]) -> list[int]:
    jobs = said.get("jobs")
    if not (isinstance(jobs, list) and 0 < len(jobs) <= MOST_AT_ONCE):
        raise Refusal(400, "error.value", field="jobs")
    if not all(type(job) is int and 0 < job < 1 << 63 for job in jobs):
        raise Refusal(400, "error.value", field="jobs")
    return list(dict.fromkeys(jobs))


def _text(said: Mapping[str, Any], name: str) -> str:
    text = said.get(name) or ""
    longest = {"reason": review.LONGEST_REASON, "note": review.LONGEST_NOTE}[name]
    if not isinstance(text, str) or len(text) > longest:
        raise Refusal(400, "error.value", field=name)
    return text
