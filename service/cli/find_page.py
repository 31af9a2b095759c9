"""Prints photographs that `service.monitoring.find` found: for people, and as JSON.

Each row is printed as it comes, as there may be a million.
"""

import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import chain

from service.config.loader import Config
from service.ledger.jobs import JobStatus
from service.monitoring.find import Row, find, why_unknown
from service.terminal import as_json, printable

RECOLORING = {
    JobStatus.QUEUED: "queued for recoloring",
    JobStatus.STARTED: "being recolored",
    JobStatus.FAILED: "recoloring failed",
}


def print_found(config: Config, names: list[str], *, json: bool) -> bool:
    """Print what matches each name, then on standard error the names that match nothing.

    Returns:
        Whether every name matched.

    Raises:
        DeviceError: the ledger cannot be read now.
        LedgerError: it is damaged.
        OSError: a folder cannot be read.
    """
    unknown: list[str] = []

    def rows() -> Iterator[Row]:
        for name, matches in find(config, names):
            first = next(matches, None)
            if first is None:
                unknown.append(name)
            else:
                yield from chain([first], matches)

    if json:
        print("[")
        print_rows_as_json(rows())
        print("]")
    else:
        for row in rows():
            print_row(row)
    for name in unknown:
        print("photochrom:", printable(why_unknown(config, name)), file=sys.stderr)
    return not unknown


def print_row(row: Row) -> None:
    """Print a photograph for people: a line with its state, and one for each thing known."""
    state = row.state.words
    if row.to_be_colored_again:
        state = f"{JobStatus.FINISHED.words}; {RECOLORING[row.state]}"
    _line(f"job {row.job}, {row.path}: {state}")
    files = {
        "scan": row.scan,
        "original": row.original,
        "result": row.result,
        "rejected": row.rejected,
    }
    for key, path in files.items():
        if path:
            changed = " (changed since)" if key == "rejected" and row.changed else ""
            _line(f"  {key:<9} {path}{changed}")
        elif key in row.missing:
            _line(f"  {key:<9} missing")
    others = {"reason": row.reason, "version": row.version, "later job": row.superseded_by}
    for key, value in others.items():
        if value:
            _line(f"  {key:<9} {value}")
    times = {"queued": row.queued, "started": row.started, "finished": row.finished}
    said = (f"{key} {_local(at)}" for key, at in times.items() if at is not None)
    _line(f"  {'times':<9} {', '.join(said)}")


def print_line(row: Row) -> None:
    """Print a photograph for people in one line, however long; for thousands of them."""
    state = row.state.words
    rejected = (row.rejected or row.scan, row.reason) if row.state is JobStatus.FAILED else ()
    parts = [str(one) for one in (*rejected, row.result and f"-> {row.result}") if one]
    parts += [f"missing: {', '.join(row.missing)}"] if row.missing else []
    _line("  ".join([f"{row.job:>7}", f"{state:<11}", str(row.path), *parts]))


def print_rows_as_json(rows: Iterable[Row]) -> None:
    """Print rows as the elements of a JSON list, a line each."""
    comma = ""
    for row in rows:
        print(comma + as_json(row.model_dump(), None, sys.stdout.encoding or "utf-8"), end="")
        comma = ",\n"
    print()


def _local(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds).astimezone():%Y-%m-%d %H:%M:%S}"


def _line(text: str) -> None:
    print(printable(text))
