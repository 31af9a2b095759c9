"""The table of a report, for spreadsheets: CSV, one photograph a row."""

import csv
import io
from collections.abc import Iterable
from datetime import UTC, datetime

from service.maintenance.report_entries import Entry, said
from service.terminal import printable

COLUMNS = (
    "job",
    "scan",
    "state",
    "when",
    "model version",
    "confidence",
    "change",
    "decision",
    "decided by",
    "decided",
    "reason",
    "note",
    "colors said",
    "wished",
    "held",
    "fetched",
    "rejected because",
    "result",
    "scan SHA-256",
    "result SHA-256",
    "event",
)
FORMULA = ("=", "+", "-", "@")  # begins what a spreadsheet would compute


def row_of(entry: Entry) -> bytes:
    """Return the row of a photograph; times in UTC."""
    return row(map(_cell, _values(entry)))


def row(cells: Iterable[str]) -> bytes:
    """Return cells as a row of CSV."""
    text = io.StringIO()
    csv.writer(text).writerow(cells)
    return text.getvalue().encode()


def _values(entry: Entry) -> list[str | float | None]:
    job, last = entry.job, entry.last_decision
    ended = job.finished_at if entry.is_rejected else job.colored_at
    return [
        job.id,
        entry.path,
        "rejected" if entry.is_rejected else "colored",
        _utc(ended),
        job.model,
        None if job.confidence is None else round(job.confidence, 3),
        None if job.change is None else round(job.change, 1),
        job.decision,
        last.who if last else None,
        _utc(last.decided_at) if last else None,
        last.reason if last else None,
        "; ".join(one.note for one in entry.decisions if one.note),
        "; ".join(map(said, entry.points)),
        entry.wished,
        "yes" if job.held else None,
        _utc(job.fetched_at),
        job.reason if entry.is_rejected else None,
        None if entry.is_rejected else str(job.output),
        job.digest,
        job.output_digest,
        job.event,
    ]


def _cell(value: str | float | None) -> str:
    """Return a cell that no spreadsheet takes for a formula: then an apostrophe is before it."""
    text = "" if value is None else printable(str(value))
    return f"'{text}" if text.lstrip().startswith(FORMULA) else text


def _utc(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S}"
