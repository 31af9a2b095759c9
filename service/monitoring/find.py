"""Finds photographs: for `photochrom where` and `photochrom status --all`.

Reads the ledger and the disk as they are now, with or without a running daemon, and changes
nothing. Photographs are yielded one at a time, as there may be a million.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from service.config.loader import Config
from service.filesystem.safe_open import file_stat
from service.ledger.jobs import Decision, Job, JobStatus
from service.ledger.ledger import LEDGER_FILE
from service.ledger.queries import LedgerQueries
from service.monitoring.values import Moment, StoredPath, Text, Value
from service.storage.held import home
from service.storage.lookup import Lookup
from service.storage.originals import places_of_original
from service.storage.rejected import Place, RejectedScans
from service.storage.sidecar import sidecar_name
from service.watch.selection import eligible


class Row(Value):
    """A photograph: its state, and where its files are now; docs/status.md lists the keys.

    `model_dump` gives what `photochrom where --json` prints.

    Attributes:
        job: number.
        state: of the job.
        path: of the scan in the inbox.
        scan: the file in the inbox; this and the next four are None where there is none.
        original: the original of a colored photo.
        result: in the outbox.
        sidecar: beside the result.
        rejected: the rejected scan.
        changed: whether the rejected scan was edited since.
        missing: which of these files should exist and do not.
        reason: why it was rejected or put back.
        version: of the model that colored it.
        to_be_colored_again: whether an earlier result is kept until the new one is done.
        sha256: of the scan.
        same_content_as: an earlier job with the same content.
        superseded_by: the later job that owns the result now.
        queued: when it was last queued.
        started: when it was last started.
        finished: when it was finished or rejected.
        colored: when the present result was made.
        held: whether the result waits outside the outbox for approval.
        fetched: when the result was taken out of the outbox; None also if it is there again.
        decision: of a reviewer on the result, or None.
        decided_by: the reviewer.
        decided: when.
        decided_because: their reason and note, or None.
        decision_waits_for: why the decision cannot be carried out until a person acts, or None.
    """

    job: int
    state: JobStatus
    path: StoredPath
    scan: StoredPath | None
    original: StoredPath | None
    result: StoredPath | None
    sidecar: StoredPath | None
    rejected: StoredPath | None
    changed: bool
    missing: tuple[str, ...]
    reason: Text | None
    version: str | None
    to_be_colored_again: bool
    sha256: str
    same_content_as: int | None
    superseded_by: int | None
    queued: Moment
    started: Moment | None
    finished: Moment | None
    colored: Moment | None
    held: bool
    fetched: Moment | None
    decision: Decision | None
    decided_by: Text | None
    decided: Moment | None
    decided_because: Text | None
    decision_waits_for: Text | None


@contextmanager
def opened(config: Config) -> Iterator[tuple[LedgerQueries, Lookup] | None]:
    """Open the ledger to look photographs up in it; None if there is none yet.

    Raises:
        DeviceError: it cannot be read now.
        LedgerError: it is damaged.
    """
    path = config.state / LEDGER_FILE
    if not path.exists():
        yield None
        return
    with LedgerQueries.open(path) as ledger:
        yield ledger, Lookup(config, ledger)


def find(config: Config, names: Sequence[str]) -> Iterator[tuple[str, Iterator[Row]]]:
    """Find photographs by names, job numbers and paths (see `service.storage.lookup`).

    Yields:
        Each name with the photographs that match it.

    Raises:
        DeviceError: the ledger cannot be read now.
        LedgerError: it is damaged.
        OSError: a folder cannot be read.
    """
    with opened(config) as known:
        for name in names:
            if known is None:
                yield name, iter(())
            else:
                ledger, lookup = known
                jobs = ledger.by_ids(lookup.by_name(name))
                yield name, (row(job, config, lookup.rejected, ledger) for job in jobs)


def every(config: Config) -> Iterator[Row]:
    """Yield all photographs by job number; errors as for `find`."""
    with opened(config) as known:
        if known is not None:
            ledger, lookup = known
            for job in ledger.all_jobs():
                yield row(job, config, lookup.rejected, ledger)


def why_unknown(config: Config, name: str) -> str:
    """Say why a name matches nothing: the file may be in the inbox and not queued yet."""
    with opened(config) as known:
        places = known[1].places(name) if known else iter(())
        inside = (config.inbox / one for root, one in places if root == "inbox")
        there = next((path for path in inside if file_stat(path)), None)
    if there is None:
        return f"no photograph matches {name}"
    if eligible(there, config.inbox, config.watch.ignored):
        return f"{there} is in the inbox but not queued yet"
    return f"{there} is in the inbox but ignored: its name is not that of a photograph"


def row(job: Job, config: Config, rejected: RejectedScans, ledger: LedgerQueries) -> Row:
    """Describe a photograph, and look where its files are now."""
    failed = job.status is JobStatus.FAILED and not job.recolor
    colored = job.status is JobStatus.FINISHED or job.recolor
    owns = colored and job.superseded_by is None  # else its name is that of the later result
    place_of_result = home(job, config)
    files: dict[str, Any] = {
        "scan": _existing(config.inbox / job.path),
        "original": _original(job, config) if colored else None,
        "result": _existing(place_of_result / job.output) if owns else None,
        "sidecar": _existing(place_of_result / sidecar_name(job.output)) if owns else None,
        "rejected": None,
    }
    expected = ["original"] if colored else [] if failed else ["scan"]
    fetched = job.fetched_at if owns and files["result"] is None else None
    if owns and fetched is None:
        expected += ["result", *(["sidecar"] if job.event else [])]
    place = where_rejected(job, rejected) if failed else None
    if place is not None and place.path != config.inbox / job.path:
        files["rejected"] = place.path
    if failed and place is None:
        expected.append("rejected")
    return Row(
        job=job.id,
        state=job.status,
        path=job.path,
        **files,
        **_decision(job, ledger),
        changed=place is not None and place.changed,
        missing=tuple(key for key in expected if files[key] is None),
        reason=job.reason,
        version=job.model,
        to_be_colored_again=job.recolor,
        sha256=job.digest,
        same_content_as=job.same_content_as,
        superseded_by=job.superseded_by,
        queued=job.queued_at,
        started=job.started_at,
        finished=job.finished_at,
        held=job.held,
        colored=job.colored_at,
        fetched=fetched,
        decision_waits_for=job.review_problem if job.review_owed else None,
    )


def _decision(job: Job, ledger: LedgerQueries) -> dict[str, Any]:
    """Return who decided on a photograph's result, when and why."""
    records = ledger.gallery.decisions_of(job.id) if job.decision else []
    stand = [one for one in records if one.undone_at is None and one.event == job.event]
    last = next((one for one in reversed(stand) if one.decision != one.before), None)
    if last is None:
        fields = ("decided_by", "decided", "decided_because")
        return {"decision": job.decision, **dict.fromkeys(fields)}
    return {
        "decision": job.decision,
        "decided_by": last.who,
        "decided": last.decided_at,
        "decided_because": "; ".join(filter(None, (last.reason, last.note))) or None,
    }


def where_rejected(job: Job, rejected: RejectedScans) -> Place | None:
    """Find a rejected scan; None if it is gone or its folder cannot be read."""
    with suppress(OSError):
        return rejected.place_of(job)
    return None


def _original(job: Job, config: Config) -> Path | None:
    """Return where the original is: as recorded, not moved yet, or under its own name."""
    places = (folder / name for folder, name in places_of_original(job, config))
    return next((path for path in places if file_stat(path)), None)


def _existing(path: Path) -> Path | None:
    return path if os.path.lexists(path) else None
