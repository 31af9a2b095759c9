"""Prints photographs that `service.monitoring.find` found: for people, and as JSON.

Each row is printed as it comes, as there may be a million.
"""

import sys
from collections.abc import Iterable, Iterator
from datetime import datetime

from service.config.loader import Config
from service.ledger.jobs import Decision, JobStatus
from service.monitoring.find import Row, find, why_unknown
from service.terminal import as_json, printable

HELD: dict[Decision | None, str] = {  # that were decided on
    Decision.APPROVED: "Its result is delivered in a moment, if photochrom runs.",
    Decision.REJECTED: "Its result stays held.",
}
ADVICE = {
    "result": " If it was carried away, run: photochrom mark-fetched --missing",
    "rejected": " Drop it again to have it tried again.",
}


def print_found(config: Config, names: list[str], *, json: bool) -> bool:
    """Print what matches a name, each photograph once, then on standard error what matches nothing.

    Returns:
        Whether every name matched.

    Raises:
        DeviceError: the ledger cannot be read now.
        LedgerError: it is damaged.
        OSError: a folder cannot be read.
    """
    unknown: list[str] = []

    def rows() -> Iterator[Row]:
        printed = set[int]()
        for name, matches in find(config, names):
            known = False
            for row in matches:
                known = True
                if row.job not in printed:
                    printed.add(row.job)
                    yield row
            if not known:
                unknown.append(name)

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
    """Print where a photograph stands, for people: its name, and sentences."""
    _line(f"{row.path} (job {row.job})")
    for sentence in (*_state(row), *_result(row), *_files(row)):
        _line(f"  {sentence}")


def _state(row: Row) -> Iterator[str]:
    """Yield how far it is."""
    if row.state is JobStatus.FAILED and not row.to_be_colored_again:
        yield f"Rejected{_on(row.finished)}: {row.reason}"
        return
    if row.state is JobStatus.FINISHED or row.to_be_colored_again:
        yield f"Colored by version {row.version or 'unknown'}{_on(row.colored)}."
    again = "to be recolored " if row.to_be_colored_again else ""
    if row.state is JobStatus.QUEUED:
        yield f"Waiting {again}since {_local(row.queued)}."
    elif row.state is JobStatus.STARTED:
        yield f"Being {'recolored' if again else 'colored'}{_since(row.started)}."
    elif row.state is JobStatus.FAILED:
        yield f"Recoloring failed{_on(row.finished)}; the earlier result is kept."
    if row.reason:
        yield f"Last difficulty: {row.reason}"


def _result(row: Row) -> Iterator[str]:
    """Yield what was decided on its result."""
    if row.decision:
        who = f" by {row.decided_by}" if row.decided_by else ""
        why = f": {row.decided_because}" if row.decided_because else ""
        yield f"{row.decision.capitalize()}{who}{_on(row.decided)}{why}"
    if row.held and row.decision_waits_for:
        yield f"Its result cannot be delivered: {row.decision_waits_for}"
    elif row.held:
        yield HELD.get(row.decision, "Its result is held until a reviewer approves it.")
    if row.fetched is not None:
        yield f"Its result was fetched from the outbox{_on(row.fetched)}."
    if row.superseded_by:
        yield f"Job {row.superseded_by} took over its result: that scan has more pages."
    if row.same_content_as:
        yield f"Its content is the same as that of job {row.same_content_as}."


def _files(row: Row) -> Iterator[str]:
    """Yield where its files are."""
    for name, path in (
        ("scan", row.scan),
        ("original", row.original),
        ("result", row.result),
        ("rejected scan", row.rejected),
    ):
        if path:
            changed = ", changed since" if path is row.rejected and row.changed else ""
            yield f"Its {name} is {path}{changed}"
    for name in row.missing:
        yield f"Its {'scan' if name == 'rejected' else name} is missing.{ADVICE.get(name, '')}"


def _on(moment: float | None) -> str:
    return "" if moment is None else f" on {_local(moment)}"


def _since(moment: float | None) -> str:
    return "" if moment is None else f" since {_local(moment)}"


def print_line(row: Row) -> None:
    """Print a photograph for people in one line, however long; for thousands of them."""
    state = row.state.words
    rejected = (row.rejected or row.scan, row.reason) if row.state is JobStatus.FAILED else ()
    parts = [str(one) for one in (*rejected, row.result and f"-> {row.result}") if one]
    parts += [str(row.decision)] if row.decision else []
    waits = row.held and row.decision_waits_for
    parts += [f"cannot be delivered: {waits}"] if waits else ["held"] if row.held else []
    parts += ["fetched"] if row.fetched is not None else []
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
