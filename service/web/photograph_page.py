"""The page of one photograph: what is known of it, for people and for the page's script."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from service.config.loader import Config
from service.ledger.jobs import DecisionRecord, Job, JobStatus
from service.maintenance.fixity import as_text
from service.storage.held import home
from service.storage.sidecar import Sidecar, SidecarError, parse_sidecar, sidecar_name
from service.web.downloads import chosen_job, open_sidecar
from service.web.gallery_cards import like
from service.web.gallery_filters import understood
from service.web.messages import Messages
from service.web.pages import Refusal, ledger, page, site, told, visitor
from service.web.reasons import REASONS, reason_words
from service.web.translations import translated
from service.web.users import Role

KEY_DIGITS = 16  # of a file's SHA-256, in the URLs of its tiles
MODULES = sorted(  # of the page's script; told at once, they come at once
    path.name for path in (Path(__file__).parent / "static/photograph").glob("*.js")
)
LONGEST_SIDECAR = 1 << 20  # bytes that are shown


class Event(NamedTuple):
    """One line of a photograph's history, for the template.

    Attributes:
        when: seconds since 1970.
        words: what happened, in the visitor's language.
        reason: of a rejection, or "".
        note: further words, or "".
        undone: whether it was taken back.
    """

    when: float
    words: str
    reason: str = ""
    note: str = ""
    undone: bool = False


class Known(NamedTuple):
    """What ledger and sidecar say of a photograph.

    Attributes:
        job: the job.
        sidecar: of its result; None if there is none that makes sense.
        text: of the sidecar, "" without one.
        records: the decisions on it, in order.
    """

    job: Job
    sidecar: Sidecar | None
    text: str
    records: list[DecisionRecord]


def show(request: Request) -> Response:
    """Show the page of a photograph that has a result.

    Raises:
        Refusal: there is no such photograph, or it has no result yet.
    """
    known = _known(request)
    job, sidecar = known.job, known.sidecar
    if job.colored_at is None:
        raise Refusal(404, "photograph.no_result")
    asked = understood(request.query_params)
    return page(
        request,
        "photograph.html",
        scripts=("photograph",),
        modules=MODULES,
        for_script=_for_script(request, known),
        job=job,
        name=job.path.name,
        facts=[(label, value) for label, value in _facts(job, sidecar) if value],
        files=("scan", "colored", *(("sidecar",) if known.text else ())),
        pages_facts=sidecar.pages if sidecar else (),
        sidecar=known.text,
        history=_history(known, told(request)),
        like=like(job),
        folder=job.path.parent.name,
        is_sample=asked.jobs is not None,
        back=asked.link("/" if asked.jobs is None else "/sample"),
    )


def as_json(request: Request) -> Response:
    """Tell the page's script what it needs, as JSON."""
    return JSONResponse(_for_script(request, _known(request)))


def _known(request: Request) -> Known:
    """Look up the photograph that a request's path names.

    Raises:
        Refusal: there is no such photograph.
    """
    job = chosen_job(request)
    sidecar, text = read_sidecar_of(job, site(request).config)
    with ledger(request) as queries:
        records = queries.gallery.decisions_of(job.id) if queries else []
    return Known(job, sidecar, text, records)


def _for_script(request: Request, known: Known) -> dict[str, Any]:
    """Return what the page's script needs."""
    job, texts = known.job, told(request)
    return {
        "job": job.id,
        "path": as_text(job.path),
        "status": job.status.value,
        "busy": job.recolor and job.status in {JobStatus.QUEUED, JobStatus.STARTED},
        "problem": _problem(job, texts),
        "pages": _pages(job, len(known.sidecar.pages) if known.sidecar else 1),
        "decision": _decision(known),
        "held": job.held,
        "model": job.model,
        "confidence": job.confidence,
        "wishes": asdict(job.settings.wishes(site(request).config.color)),
        "history": [_record(one) for one in known.records],
        "reasons": [{"reason": one, "words": reason_words(one, texts)} for one in REASONS],
        "canReview": visitor(request).role.may(Role.REVIEWER),
    }


def _problem(job: Job, texts: Messages) -> str | None:
    """Return why a photograph was not colored again, if it was to be."""
    if not job.recolor or job.status is not JobStatus.FAILED or job.reason is None:
        return None
    return translated(job.reason, texts.language) or job.reason


def read_sidecar_of(job: Job, config: Config) -> tuple[Sidecar | None, str]:
    """Read a result's sidecar; returns it, None if it makes no sense, and its text, "" without."""
    try:
        with open_sidecar(job, config) as file:
            raw = file.read(LONGEST_SIDECAR)
    except OSError:
        return None, ""
    sidecar = None
    with suppress(SidecarError):
        sidecar = parse_sidecar(raw, home(job, config) / sidecar_name(job.output))
    return sidecar, raw.decode("utf-8", "replace")


def _pages(job: Job, count: int) -> list[dict[str, Any]]:
    """List the addresses of a job's pages: as tiles, and as one view that fits a window."""
    found = []
    for index in range(count):
        page_of: dict[str, Any] = {}
        for which, digest in (("scan", job.digest), ("colored", job.output_digest)):
            if digest:
                folder = f"/images/{job.id}/{which}/{index}/{digest[:KEY_DIGITS]}"
                page_of[which] = {"info": f"{folder}/info.json", "fit": f"{folder}/fit.jpg"}
        found.append(page_of)
    return found


def _facts(job: Job, sidecar: Sidecar | None) -> Iterator[tuple[str, str | PurePath | None]]:
    """Yield what is known of a photograph: the message that names it, and its value if any."""
    yield "path", job.path
    yield "output", job.output
    yield "original", job.original
    yield "model", job.model
    yield "confidence", None if job.confidence is None else f"{job.confidence:.2f}"
    yield "change", None if job.change is None else f"{job.change:.1f} CIE ab"
    if sidecar:
        first = sidecar.pages[0]
        yield "size", f"{first.width} \N{MULTIPLICATION SIGN} {first.height}"
        yield "bits", f"{first.scan_bits} → {first.bits}"
        yield "profile", " → ".join(filter(None, (first.scan_profile, first.profile)))
        yield "pages", str(len(sidecar.pages)) if len(sidecar.pages) > 1 else None
        yield "scan_bytes", f"{sidecar.source.size:,}"
        yield "output_bytes", f"{sidecar.output.size:,}"
        yield "lost", ", ".join(sidecar.lost)
        yield "software", sidecar.software
    yield "scan_sha256", job.digest
    yield "output_sha256", job.output_digest
    if sidecar:
        yield "weights_sha256", sidecar.model.weights_sha256
        yield "event", str(sidecar.event)


def _history(known: Known, texts: Messages) -> list[Event]:
    """Tell what happened to a photograph, in order."""
    job = known.job
    events = [Event(job.queued_at, texts("photograph.event_queued"))]
    if job.colored_at is not None:
        words = texts("photograph.event_colored", model=job.model or "?")
        events.append(Event(job.colored_at, words))
    if job.fetched_at is not None:
        events.append(Event(job.fetched_at, texts("photograph.event_fetched")))
    for one in known.records:
        key = "noted" if one.decision == one.before and one.note else (one.decision or "opened")
        words = texts(f"photograph.event_{key}", who=one.who)
        reason, undone = reason_words(one.reason, texts), one.undone_at is not None
        events.append(Event(one.decided_at, words, reason, one.note, undone))
    return sorted(events, key=lambda event: event.when)


def _decision(known: Known) -> dict[str, Any] | None:
    """Return the decision that stands, with who made it."""
    decision = known.job.decision
    if decision is None:
        return None
    made = [one for one in known.records if one.undone_at is None and one.decision == decision]
    return {**(_record(made[-1]) if made else {}), "decision": decision.value}


def _record(record: DecisionRecord) -> dict[str, Any]:
    return {
        "decision": record.decision.value if record.decision else None,
        "reason": record.reason,
        "note": record.note,
        "who": record.who,
        "when": record.decided_at,
        "undone": record.undone_at is not None,
    }
