"""What `service.monitoring.status` found, as a page for people; in a narrow terminal, too."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from service.ledger.jobs import JobStatus
from service.monitoring.health import NEEDS_SOMEBODY, WELL
from service.terminal import printable

IN_WORK_SHOWN = 5
LEFT_ALONE_SHOWN = 20
SIZES = ("bytes", "kB", "MB", "GB", "TB")


def print_status(status: dict[str, Any], console: Console) -> None:
    """Print it."""
    _line(console, *_headline(status))
    for reason in (*status["health"]["reasons"], status["ledger_fault"]):
        if reason:
            _inner_line(console, reason)
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for label, value in _rows(status):
        table.add_row(label, Text(printable(value)))
    console.print(table)
    for title, lines in (
        ("In work, longest first:", list(_in_work(status))),
        ("Arriving (not whole yet), those at rest for longest first:", list(_arriving(status))),
        ("Waiting until their photochrom.yaml is mended:", list(_refused_settings(status))),
        ("Rejected, newest first:", list(_rejected(status))),
        ("Left alone in the inbox (no photos):", list(_left_alone(status))),
    ):
        if lines:
            _line(console, f"\n{title}")
            for line in lines:
                _inner_line(console, line)


def in_words(seconds: float) -> str:
    """Say how long that is, such as "3 minutes"; rounded down, but never to nothing."""
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")):
        count = int(seconds // size)
        if count >= 2 or size == 1 or (count and size == 60):
            return f"{count} {unit}" if count == 1 else f"{count} {unit}s"
    raise AssertionError  # there is no unit below a second


def _headline(status: dict[str, Any]) -> tuple[str, str]:
    level = status["health"]["level"]
    if level == "not running":
        return "photochrom is not running", "yellow"
    color = "green" if level == "well" else "yellow" if level == "starting" else "red"
    well = WELL
    if level == "well" and (status["unmoved_originals"] or status["unreadable_folders"]):
        color, well = "yellow", NEEDS_SOMEBODY
    words = {"well": well, "silent": "but gives no sign of life"}.get(level, level)
    return f"photochrom is running ({status['running']}): {words}", color


def _rows(status: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield what is known, each with its label."""
    jobs = status["jobs"]
    if jobs:
        yield (
            JobStatus.QUEUED.words,
            f"{jobs['queued']}{_since(status['oldest_waiting'], jobs['queued'])}",
        )
        told = any(str(status["waiting_for"]) in reason for reason in status["health"]["reasons"])
        if status["waiting_for"] and not told:
            yield "held up by", status["waiting_for"]
        yield JobStatus.STARTED.words, str(jobs["started"])
        yield JobStatus.FINISHED.words, f"{jobs['finished']}{_lately(status)}"
        yield JobStatus.FAILED.words, str(jobs["failed"])
    if status["rate_per_hour"]:
        yield "rate", f"{status['rate_per_hour']:.0f} photos an hour"
    if status["eta_seconds"]:
        yield "done in about", in_words(status["eta_seconds"])
    yield "model", _model(status["model"])
    for folder in ("inbox", "outbox"):
        yield folder, status[folder]
    if status["free"]:
        yield "free space", _free(status["free"])


def _free(free: dict[str, int]) -> str:
    """Tell it of each disk once, with the folders on it."""
    folders: dict[str, list[str]] = {}
    for key, size in free.items():
        folders.setdefault(_size(size), []).append(key)
    if len(folders) == 1:
        return next(iter(folders))
    return ", ".join(f"{size} ({', '.join(keys)})" for size, keys in folders.items())


def _since(moment: str | None, waiting: int) -> str:
    if not moment or not waiting:
        return ""
    local = datetime.fromisoformat(moment).astimezone()
    return f", the oldest since {local:%Y-%m-%d %H:%M}"


def _lately(status: dict[str, Any]) -> str:
    if status["finished_today"] is None:
        return ""
    last_day = status["finished_last_24h"]
    return f", {status['finished_today']} of them today, {last_day} in the last 24 hours"


def _in_work(status: dict[str, Any]) -> Iterator[str]:
    for one in status["in_work"][:IN_WORK_SHOWN]:
        yield f"job {one['job']}, {one['path']}: for {in_words(one['seconds'])}"
    more = len(status["in_work"]) - IN_WORK_SHOWN
    if more > 0:
        yield f"and {more} more"


def _arriving(status: dict[str, Any]) -> Iterator[str]:
    arriving = status["arriving"]
    for one in arriving["files"]:
        yield f"{one['path']}: {one['reason']} (unchanged for {in_words(one['seconds'])})"
    if arriving["count"] > len(arriving["files"]):
        yield f"and {arriving['count'] - len(arriving['files'])} more"


def _refused_settings(status: dict[str, Any]) -> Iterator[str]:
    for one in status["folder_settings"]:
        scans = f"{one['scans']} scan{'s' * (one['scans'] != 1)}"
        yield f"{scans} for {one['file']}: {'; '.join(one['problems'])}"


def _left_alone(status: dict[str, Any]) -> Iterator[str]:
    paths = status["left_alone"] or []
    yield from paths[:LEFT_ALONE_SHOWN]
    if len(paths) > LEFT_ALONE_SHOWN:
        yield f"and {len(paths) - LEFT_ALONE_SHOWN} more"


def _rejected(status: dict[str, Any]) -> Iterator[str]:
    for one in status["rejected"]:
        where = f"; now {one['where']}" if one["where"] else "; its scan is no longer there"
        if one["to_be_colored_again"]:
            where = "; the earlier result stays"
        yield f"job {one['job']}, {one['path']}: {one['reason']}{where}"
    more = (status["jobs"] or {"failed": 0})["failed"] - len(status["rejected"])
    if status["rejected"] and more > 0:
        yield f"and {more} more (photochrom status --all)"


def _model(model: dict[str, str | None]) -> str:
    serving, promoted, because = model["serving"], model["promoted"], model["refused_because"]
    words = serving or "none yet"
    if promoted and promoted != serving:
        words += f"; {promoted} is promoted"
    return f"{words}; refused: {because}" if because else words


def _size(size: float) -> str:
    for unit in SIZES:
        if size < 1000 or unit == SIZES[-1]:
            return f"{size:.0f} {unit}" if size >= 10 or unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError  # the last unit takes all


def _line(console: Console, text: str, color: str = "") -> None:
    """Print a line as it is: brackets in it are no markup."""
    console.print(Text(printable(text, keep="\n"), style=color), highlight=False)


def _inner_line(console: Console, text: str) -> None:
    """Print a line that belongs to the one above, also where it does not fit into one."""
    line = Text(printable(text), overflow="fold")
    console.print(Padding(line, (0, 0, 0, 2), expand=False), highlight=False)
