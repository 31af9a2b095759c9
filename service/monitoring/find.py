"""Where photographs are: for `photochrom find`, and for the rows of `photochrom status`.

Read from the ledger, and from the disk as it is now; beside a running daemon or without one, and
nothing is ever changed. Photographs are told of one by one, for there may be a million.
"""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from service.config.loader import Config
from service.filesystem.safe_open import snapshot
from service.ledger.jobs import Job, JobStatus
from service.ledger.ledger import LEDGER_FILE
from service.ledger.queries import LedgerQueries
from service.storage.lookup import Lookup
from service.storage.originals import places_of_original
from service.storage.rejected import Place, RejectedScans
from service.storage.sidecar import sidecar_name
from service.terminal import as_json, printable
from service.watch.selection import eligible

Row = dict[str, Any]

LABELS = {"superseded_by": "later job"}  # for people, where the key is none of their words
AGAIN = {
    JobStatus.QUEUED: "waiting to be colored again",
    JobStatus.STARTED: "being colored again",
    JobStatus.FAILED: "could not be colored again",
}


@contextmanager
def opened(config: Config) -> Iterator[tuple[LedgerQueries, Lookup] | None]:
    """Open the ledger to look photographs up in it; None: there is none yet.

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
    """Find photographs by names, numbers of jobs and paths; for these see `service.storage.lookup`.

    Yields:
        Each name with what was found by it, each as a row (`described`).

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
                yield name, (described(job, config, lookup.rejected) for job in jobs)


def every(config: Config) -> Iterator[Row]:
    """Yield all photographs in the order of their jobs; errors as for `find`."""
    with opened(config) as known:
        if known is not None:
            ledger, lookup = known
            for job in ledger.all_jobs():
                yield described(job, config, lookup.rejected)


def why_unknown(config: Config, name: str) -> str:
    """Say why nothing was found by a name; perhaps the file is there and not queued yet."""
    with opened(config) as known:
        places = known[1].places(name) if known else iter(())
        inside = (config.inbox / one for root, one in places if root == "inbox")
        there = next((path for path in inside if snapshot(path)), None)
    if there is None:
        return f"no photograph is known by {name}"
    if eligible(there, config.inbox, config.watch.ignored):
        return f"{there} is in the inbox and not queued yet"
    return f"{there} is in the inbox and left alone: by its name it is no scan"


def described(job: Job, config: Config, rejected: RejectedScans) -> Row:
    """Tell of a photograph: how far it is, and where its files are now.

    Returns:
        What docs/operations.md lists. A place is None where nothing is there; what should be there
        and is not is listed under `missing`. Times are ISO 8601 in UTC.
    """
    failed = job.status is JobStatus.FAILED and not job.recolor
    colored = job.status is JobStatus.FINISHED or job.recolor
    owns = colored and job.superseded_by is None  # else its name is that of the later result
    found = {
        "scan": _there(config.inbox / job.path),
        "original": _original(job, config) if colored else None,
        "result": _there(config.outbox / job.output) if owns else None,
        "sidecar": _there(config.outbox / sidecar_name(job.output)) if owns else None,
        "rejected": None,
    }
    expected = ["original"] if colored else [] if failed else ["scan"]
    expected += ["result", *(["sidecar"] if job.event else [])] if owns else []
    place = where_rejected(job, rejected) if failed else None
    if place is not None and place.path != config.inbox / job.path:
        found["rejected"] = place.path
    if failed and place is None:
        expected.append("rejected")
    return {
        "job": job.id,
        "state": job.status,
        "path": str(job.path),
        **{key: path and str(path) for key, path in found.items()},
        "changed": place is not None and place.changed,
        "missing": [key for key in expected if found[key] is None],
        "reason": job.reason,
        "version": job.model,
        "to_be_colored_again": job.recolor,
        "sha256": job.digest,
        "same_content_as": job.same_content_as,
        "superseded_by": job.superseded_by,
        "queued": utc(job.queued_at),
        "started": utc(job.started_at),
        "finished": utc(job.finished_at),
    }


def where_rejected(job: Job, rejected: RejectedScans) -> Place | None:
    """Find a rejected scan; None where it is gone, or its folder cannot be read."""
    with suppress(OSError):
        return rejected.place_of(job)
    return None


def print_row(row: Row) -> None:
    """Print a photograph for people: a line with its state, and one for each thing known."""
    state = JobStatus(row["state"]).words
    if row["to_be_colored_again"]:
        state = f"{JobStatus.FINISHED.words}; {AGAIN[row['state']]}"
    _say(f"job {row['job']}, {row['path']}: {state}")
    for key in ("scan", "original", "result", "rejected"):
        if row[key]:
            changed = " (changed since)" if key == "rejected" and row["changed"] else ""
            _say(f"  {key:<9} {row[key]}{changed}")
        elif key in row["missing"]:
            _say(f"  {key:<9} missing")
    for key in ("reason", "version", "superseded_by"):
        if row[key]:
            _say(f"  {LABELS.get(key, key):<9} {row[key]}")
    times = (f"{key} {_local(row[key])}" for key in ("queued", "started", "finished") if row[key])
    _say(f"  {'times':<9} {', '.join(times)}")


def print_line(row: Row) -> None:
    """Print a photograph for people in one line, however long; for thousands of them."""
    state = JobStatus(row["state"]).words
    places = (row["rejected"] or row["scan"], row["reason"]) if state == "rejected" else ()
    told = [one for one in (*places, row["result"] and f"-> {row['result']}") if one]
    missing = [f"missing: {', '.join(row['missing'])}"] if row["missing"] else []
    _say("  ".join([f"{row['job']:>7}", f"{state:<8}", row["path"], *told, *missing]))


def print_json(rows: Iterable[Row]) -> None:
    """Print rows as the elements of a JSON list, a line each."""
    comma = ""
    for row in rows:
        print(comma + as_json(row, None, sys.stdout.encoding or "utf-8"), end="")
        comma = ",\n"
    print()


def utc(seconds: float | None) -> str | None:
    """Return a moment in ISO 8601, UTC; of None nothing."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _local(moment: str) -> str:
    return f"{datetime.fromisoformat(moment).astimezone():%Y-%m-%d %H:%M:%S}"


def _original(job: Job, config: Config) -> Path | None:
    """Return where the original lies: as noted, not moved yet, or under its own name."""
    places = (folder / name for folder, name in places_of_original(job, config))
    return next((path for path in places if snapshot(path)), None)


def _there(path: Path) -> Path | None:
    return path if os.path.lexists(path) else None


def _say(line: str) -> None:
    print(printable(line))
