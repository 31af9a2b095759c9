"""`photochrom status CONFIG...`: several daemons in one table, and their sums."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from service.cli.status_page import COLORS, in_words
from service.config.loader import load_config
from service.ledger.jobs import JobStatus
from service.monitoring.status import Status
from service.monitoring.status_reader import read_status
from service.terminal import printable
from worker.errors import PhotochromError

COUNTS = (JobStatus.QUEUED, JobStatus.STARTED, JobStatus.FINISHED, JobStatus.FAILED)


class One(NamedTuple):
    """One daemon: its configuration file, and its status or why that cannot be read."""

    config: Path
    status: Status | None
    fault: str = ""


def read_all(configs: Sequence[Path]) -> list[One]:
    """Read the status of each daemon; one that cannot be read does not hide the others."""
    found = []
    for config in configs:
        try:
            found.append(One(config, read_status(load_config(config))))
        except (PhotochromError, OSError) as error:
            found.append(One(config, None, str(error)))
    return found


def print_all(found: Sequence[One], console: Console) -> None:
    """Print a line for each daemon, their sum, and then what is wrong with any."""
    table = Table(box=None, pad_edge=False)
    table.add_column("", overflow="fold")
    table.add_column("daemon", no_wrap=True)
    for name in (*(one.words for one in COUNTS), "per hour"):
        table.add_column(name, justify="right", no_wrap=True)
    for one, label in zip(found, _labels(found), strict=True):
        level = one.status.health.level if one.status else "unreadable"
        style = COLORS.get(level, "red")
        table.add_row(Text(printable(label)), Text(level, style=style), *_cells(one))
    total = together(found)
    rate = f"{total['rate_per_hour']:.0f}" if total["rate_per_hour"] else ""
    table.add_row("all", "", *(str(total[count]) for count in COUNTS), rate)
    console.print(table)
    if total["eta_seconds"]:
        console.print(f"Time left: about {in_words(total['eta_seconds'])}", highlight=False)
    for one in found:
        reasons = one.status.health.reasons if one.status else ()
        ledger = one.status.ledger_fault if one.status else ""
        for reason in filter(None, (one.fault, *reasons, ledger)):
            console.print(Text(printable(f"{one.config}: {reason}"), overflow="fold"))


def together(found: Sequence[One]) -> dict[str, Any]:
    """Add up what the daemons have to do; the time left is that of the slowest."""
    known = [one.status for one in found if one.status]
    sums: dict[str, Any] = {
        count: sum((status.jobs or {}).get(count, 0) for status in known) for count in COUNTS
    }
    rates = [status.rate_per_hour for status in known if status.rate_per_hour]
    times = [status.eta_seconds for status in known if status.eta_seconds]
    return {
        **sums,
        "rate_per_hour": sum(rates) if rates else None,
        "eta_seconds": max(times, default=None),
    }


def as_value(found: Sequence[One]) -> dict[str, Any]:
    """Return the same for `--json`."""
    daemons = [
        {
            "config": printable(str(one.config)),
            "fault": one.fault or None,
            "status": one.status.model_dump() if one.status else None,
        }
        for one in found
    ]
    return {"daemons": daemons, "together": together(found)}


def _labels(found: Sequence[One]) -> list[str]:
    """Return what is different in the paths of the configurations; of one alone, all of it."""
    if len(found) == 1:
        return [str(found[0].config)]
    common = os.path.commonpath([one.config.absolute().parent for one in found])
    inside = [one.config.absolute().relative_to(common) for one in found]
    same_name = len({path.name for path in inside}) == 1
    return [str(path.parent if same_name else path) for path in inside]


def _cells(one: One) -> list[str]:
    if one.status is None:
        return [""] * (len(COUNTS) + 1)
    status = one.status
    counts = [str((status.jobs or {}).get(count, "?")) for count in COUNTS]
    rate = f"{status.rate_per_hour:.0f}" if status.rate_per_hour else ""
    return [*counts, rate]
