"""How the work stands, read from the ledger beside a running daemon; for people and as JSON."""

import time
from datetime import UTC, datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from service.config import Config
from service.inbox import find_left_alone
from service.jobs import JobStatus
from service.ledger import LEDGER_FILE, Ledger, Serving
from service.lock import owner_of
from worker.errors import ModelError
from worker.promotions import read_promotions, standing

REJECTED_SHOWN = 10
DAY = 86_400.0  # seconds


def read_status(config: Config) -> dict[str, Any]:
    """Collect what is known of the work.

    Returns:
        running (owner or None), counts by job status, finished in the last 24 hours, oldest waiting
        (ISO time or None), waiting for (the machine's fault that holds up a job, or None), model,
        rejected (newest first) with job, path, reason and time, and files that stay in the inbox
        because they are no photos. Times are UTC. The model has three keys: the version serving (of
        a running daemon, else of the last photo; or None), the version promoted (None where the
        history is damaged), and refused_because: why the daemon does not use that one, or None.

    Raises:
        DeviceError: the ledger cannot be read.
    """
    running = owner_of(config.state)
    status: dict[str, Any] = {
        "running": running,
        "inbox": str(config.inbox),
        "outbox": str(config.outbox),
        "jobs": dict.fromkeys(JobStatus, 0),
        "finished_last_24h": 0,
        "oldest_waiting": None,
        "waiting_for": None,
        "model": _model(config, None, None),
        "rejected": [],
        "left_alone": sorted(str(path) for path in find_left_alone(config.inbox))
        if config.inbox.is_dir()
        else [],
    }
    if not (config.state / LEDGER_FILE).exists():
        return status
    with Ledger.open_read_only(config.state / LEDGER_FILE) as ledger:
        oldest = ledger.oldest_waiting()
        status |= {
            "jobs": ledger.counts(),
            "finished_last_24h": ledger.finished_since(time.time() - DAY),
            "oldest_waiting": oldest and _utc(oldest.queued_at),
            "waiting_for": (oldest and oldest.waits and oldest.reason) or None,
            "model": _model(config, ledger.serving(), None if running else ledger.last_model()),
            "rejected": [
                {
                    "job": job.id,
                    "path": str(job.path),
                    "reason": job.reason,
                    "at": _utc(job.finished_at),
                }
                for job in ledger.recent_failures(REJECTED_SHOWN)
            ],
        }
    return status


def _model(config: Config, noted: Serving | None, last: str | None) -> dict[str, str | None]:
    promoted, damage = None, None
    try:
        promoted = standing(read_promotions(config.models_folder))[-1]
    except ModelError as error:
        damage = str(error)
    return {
        "serving": last or (noted.model if noted else None),
        "promoted": promoted,
        "refused_because": damage
        or (noted.refused_because if noted and noted.refused == promoted else None),
    }


def _utc(seconds: float | None) -> str | None:
    return (
        None
        if seconds is None
        else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    )


def _model_in_words(model: dict[str, str | None]) -> str:
    serving, promoted, because = model["serving"], model["promoted"], model["refused_because"]
    words = serving or "none yet"
    if promoted and promoted != serving:
        words += f"; {promoted} is promoted"
    return f"{words}; refused: {because}" if because else words


def print_status(status: dict[str, Any], console: Console) -> None:
    """Show to a person what `read_status` found."""
    running = status["running"]
    console.print(
        f"photochrom is running ({running})" if running else "photochrom is not running",
        highlight=False,
    )
    table = Table(box=None, show_header=False, pad_edge=False)
    jobs = status["jobs"]
    for label, value in (
        ("waiting", jobs["queued"]),
        ("in work", jobs["started"]),
        ("finished", f"{jobs['finished']}  ({status['finished_last_24h']} in the last 24 hours)"),
        ("rejected", jobs["failed"]),
        ("oldest waiting", status["oldest_waiting"]),
        ("held up by", status["waiting_for"]),
        ("model", _model_in_words(status["model"])),
        ("inbox", status["inbox"]),
        ("outbox", status["outbox"]),
    ):
        if value is not None:
            table.add_row(label, str(value))
    console.print(table)
    for title, lines in (
        (
            "Rejected, newest first:",
            [f"job {one['job']}, {one['path']}: {one['reason']}" for one in status["rejected"]],
        ),
        ("Left alone in the inbox (no photos):", status["left_alone"]),
    ):
        if lines:
            console.print(
                f"\n{title}",
                *(f"  {line}" for line in lines),
                sep="\n",
                highlight=False,
                markup=False,
            )
