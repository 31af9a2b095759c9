"""Prints a `Status` as a page for people, also in a narrow terminal."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from service.ledger.jobs import JobStatus
from service.monitoring.health import FIX_PERMISSIONS
from service.monitoring.heartbeat import WorkerBeat
from service.monitoring.status import ModelStatus, Status
from service.terminal import printable

IN_WORK_SHOWN = 5
LEFT_ALONE_SHOWN = 20
COLORS = {"ok": "green", "not running": "yellow", "starting": "yellow"}  # else red
SIZES = ("bytes", "kB", "MB", "GB", "TB")


def print_status(status: Status, console: Console) -> None:
    """Print the page."""
    _line(console, *_headline(status))
    for reason in (*status.health.reasons, status.ledger_fault):
        if reason:
            _inner_line(console, reason)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in _rows(status):
        table.add_row(label, Text(printable(value)))
    console.print(table)
    for title, lines in (
        ("Workers that are paused:", [f"{one.name}: {one.reason}" for one in _paused(status)]),
        ("In progress, longest first:", list(_in_work(status))),
        ("Arriving (not complete yet), longest unchanged first:", list(_arriving(status))),
        ("Waiting until the mistakes in photochrom.yaml are corrected:", list(_refused(status))),
        ("Rejected, newest first:", list(_rejected(status))),
        ("Ignored in the inbox (not photographs):", list(_left_alone(status))),
    ):
        if lines:
            _line(console, f"\n{title}")
            for line in lines:
                _inner_line(console, line)


def in_words(seconds: float) -> str:
    """Return a duration such as "3 minutes", rounded down."""
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")):
        count = int(seconds // size)
        if count >= 2 or size == 1 or (count and size == 60):
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    raise AssertionError  # there is no unit below a second


def _headline(status: Status) -> tuple[str, str]:
    """Return the first line and its color."""
    level = status.health.level
    color = COLORS.get(level, "red")
    if level == "not running":
        return "photochrom is not running", color
    running = f"photochrom is running ({status.owner})"
    if level == "silent":
        return f"{running} but not responding", color
    if level == "ok" and (status.unmoved_originals or status.unreadable_folders):
        return f"{running}: {FIX_PERMISSIONS}", "yellow"
    return f"{running}: {level}", color


def _rows(status: Status) -> Iterator[tuple[str, str]]:
    """Yield what is known, each with its label."""
    if status.jobs:
        jobs = {one: status.jobs.get(one, 0) for one in JobStatus}
        yield JobStatus.QUEUED.words, f"{jobs[JobStatus.QUEUED]}{_oldest(status)}"
        shown = any(str(status.waiting_for) in reason for reason in status.health.reasons)
        if status.waiting_for and not shown:
            yield "retrying after", status.waiting_for
        yield JobStatus.STARTED.words, str(jobs[JobStatus.STARTED])
        yield JobStatus.FINISHED.words, f"{jobs[JobStatus.FINISHED]}{_lately(status)}"
        yield JobStatus.FAILED.words, str(jobs[JobStatus.FAILED])
    if status.review.held:
        yield "held", _held(status)
    if status.review.decisions_waiting:
        later = "" if status.running else " once photochrom runs"
        yield "decisions", f"{status.review.decisions_waiting} to be carried out{later}"
    if status.rate_per_hour:
        yield "rate", f"{status.rate_per_hour:.0f} photos per hour"
    if status.workers or status.worker_deaths:
        yield "workers", _workers(status)
    if status.eta_seconds:
        yield "time left", f"about {in_words(status.eta_seconds)}"
    yield "model", _model(status.model)
    yield "inbox", str(status.inbox)
    yield "outbox", str(status.outbox)
    if status.free:
        yield "free space", _free(status.free)


def _paused(status: Status) -> list[WorkerBeat]:
    return [one for one in status.workers if one.state == "paused"]


def _workers(status: Status) -> str:
    """Return how many color, on how many machines, how fast, and how many were lost."""
    ready = [one for one in status.workers if one.state == "ready"]
    hosts, rate = len({one.host for one in ready}), sum(one.rate_per_hour for one in ready)
    said = f"{len(ready)} of {len(status.workers)} ready on {hosts} machine{'s' * (hosts != 1)}"
    said += f", {rate:,.0f} photos per hour"
    lost = status.worker_deaths
    return f"{said}; {lost} lost since the start" if lost else said


def _held(status: Status) -> str:
    """Return how many results are held, and how to let them go."""
    review = status.review
    more = "; new results are delivered at once" if review.mode == "after" else ""
    if review.hold_below is not None and review.mode == "after":
        more = f" (confidence below {review.hold_below:g})"
    if review.held_open is None:
        return f"{review.held} for approval: photochrom web{more}"
    to_do = f"{review.held_open} to decide on: photochrom web"
    return f"{review.held}; {to_do if review.held_open else 'all decided on'}{more}"


def _free(free: dict[str, int]) -> str:
    """Return the free space of each disk once, with the folders on it."""
    folders: dict[str, list[str]] = {}
    for key, size in free.items():
        folders.setdefault(_size(size), []).append(key)
    if len(folders) == 1:
        return next(iter(folders))
    return ", ".join(f"{size} ({', '.join(keys)})" for size, keys in folders.items())


def _oldest(status: Status) -> str:
    if status.oldest_waiting is None or not (status.jobs or {}).get(JobStatus.QUEUED):
        return ""
    local = datetime.fromtimestamp(status.oldest_waiting).astimezone()
    return f", the oldest since {local:%Y-%m-%d %H:%M}"


def _lately(status: Status) -> str:
    if status.finished_today is None:
        return ""
    return f" ({status.finished_today} today, {status.finished_last_24h} in the last 24 hours)"


def _in_work(status: Status) -> Iterator[str]:
    for one in status.in_work[:IN_WORK_SHOWN]:
        yield f"job {one.job}, {one.path}: for {in_words(one.seconds)}"
    yield from _more(len(status.in_work) - IN_WORK_SHOWN)


def _arriving(status: Status) -> Iterator[str]:
    for one in status.arriving.files:
        yield f"{one.path}: {one.reason} (unchanged for {in_words(one.seconds)})"
    yield from _more(status.arriving.count - len(status.arriving.files))


def _refused(status: Status) -> Iterator[str]:
    for one in status.folder_settings:
        scans = f"{one.scans} scan{'s' * (one.scans != 1)}"
        yield f"{one.file} ({scans}): {'; '.join(one.problems)}"


def _left_alone(status: Status) -> Iterator[str]:
    paths = status.left_alone or ()
    yield from map(str, paths[:LEFT_ALONE_SHOWN])
    yield from _more(len(paths) - LEFT_ALONE_SHOWN)


def _rejected(status: Status) -> Iterator[str]:
    for one in status.rejected:
        where = f"; now at {one.where}" if one.where else "; the scan is gone"
        if one.to_be_colored_again:
            where = "; the earlier result is kept"
        yield f"job {one.job}, {one.path}: {one.reason}{where}"
    if status.rejected and status.jobs:
        more = status.jobs.get(JobStatus.FAILED, 0) - len(status.rejected)
        yield from _more(more, " (photochrom status --all)")


def _more(count: int, where: str = "") -> Iterable[str]:
    return [f"and {count} more{where}"] if count > 0 else []


def _model(model: ModelStatus) -> str:
    words = model.serving or "none yet"
    if model.promoted and model.promoted != model.serving:
        refused = f" but was refused: {model.refused_because}" if model.refused_because else ""
        return f"{words}; {model.promoted} is promoted{refused}"
    return f"{words}; {model.refused_because}" if model.refused_because else words


def _size(size: float) -> str:
    for unit in SIZES:
        if size < 1000 or unit == SIZES[-1]:
            return f"{size:.0f} {unit}" if size >= 10 or unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError  # the last unit takes all


def _line(console: Console, text: str, color: str = "") -> None:
    """Print a line literally: brackets are not markup."""
    console.print(Text(printable(text, keep="\n"), style=color), highlight=False)


def _inner_line(console: Console, text: str) -> None:
    """Print an indented line, wrapped with the same indent."""
    line = Text(printable(text), overflow="fold")
    console.print(Padding(line, (0, 0, 0, 2), expand=False), highlight=False)
