"""The gallery of finished photographs: filters, pages, the grid pass, and samples for acceptance.

Pages begin where the one before ended, so that nothing is shown twice because something new came.
"""

import itertools
import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from service.ledger.gallery import Cursor, GalleryFilter, GalleryQueries, Order, Tally, cursor
from service.ledger.jobs import Decision, Job
from service.ledger.queries import LedgerQueries
from service.web.gallery_cards import Card, cards
from service.web.gallery_filters import (
    DECISIONS,
    FIELDS,
    MOST_JOBS,
    STATES,
    Asked,
    cursor_text,
    filter_of,
    folder_text,
    job_numbers,
    jobs_text,
    number_of,
    understood,
)
from service.web.pages import go, ledger, page, site, told
from service.web.reasons import REASONS, reason_words

ON_A_PAGE = {"list": 30, "grid": 20}
MOST_FOLDERS = 300  # that a page lists
SAMPLE = 50  # photographs, unless said otherwise
NOTHING = Tally(dict.fromkeys((None, *Decision), 0), 0)


@dataclass(frozen=True)
class _Found:
    """One page of photographs.

    Attributes:
        jobs: on it.
        back: address of the page before, or None.
        on: address of the page behind, or None.
    """

    jobs: list[Job]
    back: str | None = None
    on: str | None = None


@dataclass(frozen=True)
class _Shown:
    """What a page shows.

    Attributes:
        found: its photographs.
        cards: of these.
        progress: of the review of all that the filter finds, whatever was decided.
        seen: when the newest of all photographs was colored; what comes later is new.
        folders: in the folder of the filter; one more than fit if there are more.
        models: that colored anything.
        outdated: the ledger is that of an earlier photochrom, and none of it can be shown yet.
    """

    found: _Found = _Found([])
    cards: Sequence[Card] = ()
    progress: Tally = NOTHING
    seen: float = 0.0
    folders: Sequence[PurePosixPath] = ()
    models: Sequence[str] = ()
    outdated: bool = False


def show(request: Request) -> Response:
    """Show the photographs that a filter finds."""
    asked = replace(understood(request.query_params), jobs=None)
    with ledger(request) as queries:
        if queries is None or queries.outdated:
            return _page(request, asked, _Shown(outdated=queries is not None))
        gallery = queries.gallery
        found = _page_of(gallery, asked)
        if asked.before and len(found.jobs) < ON_A_PAGE[asked.view]:
            return go(asked.link())  # the first page, and a full one
        seen = _seen(gallery)
        shown = _Shown(
            found,
            cards(found.jobs, gallery, site(request).config.review),
            gallery.tally(_known(replace(asked.which, decision=None), seen)),
            seen,
            gallery.folders(asked.which.folder or PurePosixPath(), limit=MOST_FOLDERS + 1),
            gallery.models(),
        )
        return _page(request, asked, shown)


def sample(request: Request) -> Response:
    """Show a random sample; without `jobs` draw one of `n`, and lead to its address.

    The address has the numbers of the photographs: whoever gets it, whenever, sees the same ones.
    """
    asked = understood(request.query_params)
    with ledger(request) as queries:
        if asked.jobs is None:
            return go(_drawn(request, asked, queries))
        jobs = _listed(queries, asked.jobs) if queries else []
        if queries is None or not jobs:
            return _page(request, asked, _Shown())
        size = ON_A_PAGE[asked.view]
        parts = math.ceil(len(jobs) / size)
        part = min(asked.part, parts)
        found = _Found(
            jobs[(part - 1) * size : part * size],
            asked.link("/sample", part=part - 1) if part > 1 else None,
            asked.link("/sample", part=part + 1) if part < parts else None,
        )
        made = cards(found.jobs, queries.gallery, site(request).config.review)
        shown = _Shown(found, made, _tally_of(jobs), _seen(queries.gallery))
        return _page(request, asked, shown)


def refreshed(request: Request) -> Response:
    """Show some photographs and the progress as they are now, and how many are new in the filter.

    The address has that of the gallery's page, the jobs in `cards` and the page's `seen`.
    """
    asked = understood(request.query_params)
    numbers = job_numbers(request.query_params.get("cards", ""))
    seen = filter_of({"since": request.query_params.get("seen")}).since or 0.0
    made: list[Card] = []
    new, progress = 0, NOTHING
    with ledger(request) as queries:
        if queries is not None:
            gallery = queries.gallery
            made = cards(_listed(queries, numbers), gallery, site(request).config.review)
            if asked.jobs is None:
                since = max(seen, asked.which.since or 0.0)
                new = gallery.count(replace(asked.which, since=since))
                progress = gallery.tally(_known(replace(asked.which, decision=None), seen))
            else:
                progress = _tally_of(_listed(queries, asked.jobs))
    facts = {"new": new, "cards": made, **_progress(progress, asked)}
    return page(request, "gallery_cards.html", asked=asked, **facts, **_words(request))


def _page(request: Request, asked: Asked, shown: _Shown) -> Response:
    """Render the page."""
    progress = _progress(shown.progress, asked)
    facts = {
        "words": asked.words(),
        "filter": asked.until(shown.seen),
        "jobs": asked.jobs,
        "count": progress["matches"],
        "seen": shown.seen,
    }
    folder = asked.which.folder or PurePosixPath()
    return page(
        request,
        "gallery.html",
        scripts=("gallery", "reason"),
        asked=asked,
        given={name: asked.given.get(name, "") for name in FIELDS},
        facts=facts,
        cards=shown.cards,
        found=shown.found,
        outdated=shown.outdated,
        folders=[(one.name, folder_text(one)) for one in shown.folders[:MOST_FOLDERS]],
        more_folders=len(shown.folders) > MOST_FOLDERS,
        crumbs=[(one.name, folder_text(one)) for one in _way_to(folder)],
        models=shown.models,
        states=STATES,
        decisions=DECISIONS,
        orders=[order.value for order in Order],
        reasons=REASONS,
        sample_size=SAMPLE,
        most_jobs=MOST_JOBS,
        **progress,
        **_words(request),
    )


def _progress(progress: Tally, asked: Asked) -> dict[str, Any]:
    """Return what the template of progress shows."""
    matches, percent = _matches(progress, asked), _percent(progress)
    return {"progress": progress, "matches": matches, "percent": percent}


def _words(request: Request) -> dict[str, Any]:
    """Return what the templates of cards call."""
    texts = told(request)
    return {
        "reason_words": lambda reason: reason_words(reason, texts),
        "hold_below": site(request).config.review.hold_below,
    }


def _page_of(gallery: GalleryQueries, asked: Asked) -> _Found:
    """Find a page, and whether there is one before and one behind it: one more job says so."""
    size = ON_A_PAGE[asked.view]
    jobs = gallery.page(asked.which, asked.order, asked.after, limit=size + 1, before=asked.before)
    more = len(jobs) > size
    jobs = (jobs[1:] if asked.before else jobs[:-1]) if more else jobs
    if not jobs:
        return _Found([], asked.link() if asked.after else None)
    is_back = more if asked.before else asked.after is not None
    is_on = more or asked.before is not None
    ends = [cursor_text(Cursor(*cursor(job, asked.order))) for job in (jobs[0], jobs[-1])]
    return _Found(
        jobs,
        asked.link(before=ends[0]) if is_back else None,
        asked.link(after=ends[1]) if is_on else None,
    )


def _seen(gallery: GalleryQueries) -> float:
    """Return a moment just behind the newest photograph's; what comes later is new."""
    newest = gallery.page(limit=1)
    return math.nextafter(newest[0].colored_at or 0.0, math.inf) if newest else 0.0


def _known(which: GalleryFilter, seen: float) -> GalleryFilter:
    """Return a filter of what was there at a moment."""
    return replace(which, until=seen if which.until is None else min(which.until, seen))


def _way_to(folder: PurePosixPath) -> list[PurePosixPath]:
    """List the folders that lead to a folder, outermost first, and itself."""
    return [PurePosixPath(*parts) for parts in itertools.accumulate((p,) for p in folder.parts)]


def _listed(queries: LedgerQueries, numbers: tuple[int, ...]) -> list[Job]:
    """Find jobs with a result, in the order of their numbers' list."""
    by_id = {job.id: job for job in queries.by_ids(numbers) if job.is_colored}
    return [by_id[number] for number in numbers if number in by_id]


def _drawn(request: Request, asked: Asked, queries: LedgerQueries | None) -> str:
    """Draw a sample; return its address."""
    wanted = number_of(request.query_params, "n", SAMPLE, MOST_JOBS)
    ids = queries.gallery.ids(asked.which) if queries else []
    drawn = secrets.SystemRandom().sample(ids, min(wanted, len(ids)))
    return (
        asked.link("/sample", jobs=jobs_text(tuple(drawn)), among=len(ids))
        if drawn
        else "/sample?jobs="
    )


def _tally_of(jobs: list[Job]) -> Tally:
    """Count what was decided on these."""
    decisions = dict(NOTHING.decisions)
    for job in jobs:
        decisions[job.decision] += 1
    return Tally(decisions, sum(job.held for job in jobs))


def _matches(progress: Tally, asked: Asked) -> int:
    """Return how many photographs the filter finds, of those that it finds without `decision`."""
    decision = asked.which.decision
    if decision is None:
        return progress.results
    if decision == "decided":
        return progress.decided
    return progress.decisions[None if decision == "open" else Decision(decision)]


def _percent(progress: Tally) -> int:
    """Return how much of what was decided is approved; 100 only if all is."""
    approved = progress.decisions[Decision.APPROVED]
    return 100 * approved // progress.decided if progress.decided else 0
