"""The HTML pages of a report: plain, printable, without a script, complete in themselves."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from html import escape
from importlib.metadata import version
from importlib.resources import files

from service.ledger.jobs import Decision, DecisionRecord
from service.maintenance.premis import what_was_decided
from service.maintenance.report_entries import Entry, Picture, Summary, said
from service.terminal import printable

GUESS = (
    "In each pair, the left picture is the scan: it is the record. The right one was colored by a"
    " machine: a neural network chose its colors; they are believable guesses and no record."
)
SCAN, COLORED = "Scan", "Colored by a machine"
TABLE = "photographs.csv"
Rows = Iterable[Sequence[str | int]]


def index_page(summary: Summary) -> str:
    """Return the first page: what the report is of, counts, versions, reviewers and sheets."""
    made = f"Made on {_time(datetime.now(UTC).timestamp())} by photochrom {version('photochrom')}."
    parts = [
        "<h1>Photographs colored by a machine</h1>",
        f'<p class="quiet">{escape(_scope(summary))}</p>',
        f'<p class="quiet">{made} Times are local.</p>',
        f'<p class="notice">{GUESS}</p>',
        "<h2>Numbers</h2>",
        _table((), _counts(summary)),
    ]
    if summary.models:
        parts += ["<h2>Versions</h2>", _models(summary)]
    if summary.informants:
        informants: Rows = sorted(summary.informants.items())
        parts += ["<h2>Who said colors</h2>", _table(("Person", "Photographs"), informants)]
    if summary.reviewers:
        parts += ["<h2>Reviewers</h2>", _reviewers(summary)]
    if summary.reasons:
        reasons: Rows = summary.reasons.most_common()
        parts += ["<h2>Why scans were rejected</h2>", _table(("Reason", "Scans"), reasons)]
    parts += ["<h2>Sheets</h2>", _sheets(summary)]
    parts.append(
        f'<p>All of it as a table, for spreadsheets: <a href="{TABLE}">{TABLE}</a> (UTF-8).</p>'
    )
    return _page("Photographs colored by a machine", parts)


def sheet_page(
    entries: Sequence[Entry],
    number: int,
    sheets: int,
    around: tuple[str | None, ...],
    *,
    rejected: bool,
) -> str:
    """Return a sheet of photographs.

    Args:
        entries: the photographs.
        number: of the sheet, from 1.
        sheets: how many there are.
        around: files of the sheets before and after, if any.
        rejected: whether these are rejected scans.
    """
    title = "Rejected scans" if rejected else "Photographs colored by a machine"
    links = ['<a href="index.html">Overview</a>']
    for name, words in zip(around, ("Sheet before", "Next sheet"), strict=True):
        if name:
            links.append(f'<a href="{name}">{words}</a>')
    navigation = f"<nav>{''.join(links)}</nav>"
    parts = [
        f"<h1>{title}</h1>",
        f'<p class="quiet">Sheet {number} of {sheets}</p>',
        *([] if rejected else [f'<p class="notice">{GUESS}</p>']),
        navigation,
        '<div class="sheet">',
        *map(_article, entries),
        "</div>",
        navigation,
    ]
    return _page(f"{title}, sheet {number}", parts)


def _article(entry: Entry) -> str:
    pictures = [_figure(entry.scan, SCAN, f"Scan of {entry.path}")]
    if not entry.is_rejected:
        colored = entry.colored
        if entry.fetched:
            colored = Picture(None, "taken out of the outbox")
        pictures.append(_figure(colored, COLORED, f"{entry.path}, colored by a machine"))
    alone = "" if len(pictures) == 2 else " alone"
    lines = "".join(f"<p>{line}</p>" for line in _lines(entry))
    return (
        f"<article><h2>{escape(entry.path)}</h2>"
        f'<div class="pair{alone}">{"".join(pictures)}</div>{lines}</article>'
    )


def _figure(picture: Picture, label: str, about: str) -> str:
    if picture.name is None:
        inside = f'<p class="fault">no picture: {_text(picture.fault)}</p>'
    else:
        inside = f'<img src="{escape(picture.name)}" alt="{escape(about)}">'
    return f"<figure>{inside}<figcaption>{label}</figcaption></figure>"


def _lines(entry: Entry) -> Iterator[str]:
    """Yield what is told below a photograph's pictures, as HTML."""
    job = entry.job
    if entry.is_rejected:
        yield f"Job {job.id}. Rejected on {_time(job.finished_at)}: {_text(job.reason or '')}"
        return
    pages = len(entry.sidecar.pages) if entry.sidecar else 1
    sure = "" if job.confidence is None else f", confidence {100 * job.confidence:.0f} %"
    of = f", page 1 of {pages}" if pages > 1 else ""
    colored = f"Colored on {_time(job.colored_at)} by version {_text(job.model or 'unknown')}"
    yield f"Job {job.id}{of}. {colored}{sure}."
    if job.recolor:
        yield "It is to be recolored; this is the earlier result."
    if job.held:
        yield "It is held until a reviewer approves it."
    if entry.fetched:
        yield f"The result was taken out of the outbox on {_time(job.fetched_at)}."
    for point in entry.points:
        swatch = f'<span class="swatch" style="background: {escape(point.color)}"></span>'
        yield f"{swatch} {_text(said(point))}"
    if entry.wished:
        yield f"Wished: {_text(entry.wished)}."
    yield from map(_decision, entry.decisions)


def _decision(record: DecisionRecord) -> str:
    why = "; ".join(filter(None, (record.reason, record.note)))
    words = what_was_decided(record).capitalize()
    return f"{words} by {_text(record.who)} on {_time(record.decided_at)}" + (
        f": {_text(why)}" if why else ""
    )


def _counts(summary: Summary) -> Iterator[tuple[str, int]]:
    """Yield the numbers, without those that are 0 and say nothing by that."""
    decided = summary.decisions
    yield "Photographs colored", summary.colored
    for words, count in (
        ("of them approved by a reviewer", decided[Decision.APPROVED]),
        ("rejected by a reviewer", decided[Decision.REJECTED]),
        ("flagged by a reviewer", decided[Decision.FLAGGED]),
        ("not decided on", decided[None]),
        ("held until approved", summary.held),
        ("results taken out of the outbox", summary.fetched),
        ("to be recolored", summary.again),
    ):
        if count:
            yield words, count
    yield "Scans rejected, and not colored", summary.rejected


def _models(summary: Summary) -> str:
    rows: list[tuple[str, int, str]] = []
    for model, count in sorted(summary.models.items(), key=lambda one: (len(one[0]), one[0])):
        digests = sorted(summary.weights.get(model, ()))
        rows.append((model, count, ", ".join(digests)))
    return _table(("Version", "Photographs", "SHA-256 of its weights"), rows)


def _reviewers(summary: Summary) -> str:
    rows: list[tuple[str | int, ...]] = [
        (name, *(summary.reviewers[name, one] for one in Decision))
        for name in sorted({who for who, _ in summary.reviewers})
    ]
    return _table(("Reviewer", *(one.capitalize() for one in Decision)), rows)


def _sheets(summary: Summary) -> str:
    items = (
        f'<li><a href="{name}">{escape(_span(first, last))}</a>'
        f" ({count}{', rejected' if name.startswith('rejected') else ''})</li>"
        for name, first, last, count in summary.sheets
    )
    return f"<ol>{''.join(items)}</ol>"


def _span(first: str, last: str) -> str:
    return first if first == last else f"{first} to {last}"


def _scope(summary: Summary) -> str:
    scope = summary.scope
    where = f"Folder {printable(str(scope.folder))}" if scope.folder else "All folders"
    when = []
    if scope.since is not None:
        when.append(f"from {_day_or_time(scope.since)}")
    if scope.until is not None:
        when.append(f"to {_day_or_time(scope.until, last=True)}")
    return f"{where}, {' '.join(when) or 'from the first photograph to the last'}"


def _day_or_time(seconds: float, *, last: bool = False) -> str:
    """Return the day that begins at a moment, or, if it is the last, ends there; else the time."""
    local = datetime.fromtimestamp(seconds).astimezone()
    if (local.hour, local.minute, local.second) != (0, 0, 0):
        return f"{local:%Y-%m-%d %H:%M}"
    return f"{local - timedelta(seconds=1) if last else local:%Y-%m-%d}"


def _table(head: Sequence[str], rows: Rows) -> str:
    def cell(value: str | int) -> str:
        if isinstance(value, int):
            return f'<td class="number">{value}</td>'
        return f"<td>{_text(value)}</td>"

    first = "".join(f'<th scope="col">{escape(one)}</th>' for one in head)
    body = "".join(f"<tr>{''.join(map(cell, row))}</tr>" for row in rows)
    return (
        f"<table>{f'<thead><tr>{first}</tr></thead>' if head else ''}<tbody>{body}</tbody></table>"
    )


def _text(text: str) -> str:
    return escape(printable(text))


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "an unknown day"
    local = datetime.fromtimestamp(seconds).astimezone()
    return f'<time datetime="{local.isoformat(timespec="seconds")}">{local:%Y-%m-%d %H:%M}</time>'


@cache
def _style() -> str:
    return files("service.maintenance").joinpath("report.css").read_text()


def _page(title: str, parts: Iterable[str]) -> str:
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<link rel="icon" href="data:,">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_style()}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )
