"""How the work stands, read from ledger and heartbeat beside a running daemon; or without one.

What cannot be read is said, and the rest is told; nothing is ever changed or waited for.
"""

import time
from pathlib import Path, PurePosixPath
from typing import Any

from service.config.loader import Config
from service.filesystem.availability import FolderMonitor
from service.filesystem.lock import owner_of
from service.ledger.jobs import JobStatus
from service.ledger.ledger import LEDGER_FILE, ActiveModel
from service.ledger.queries import LedgerQueries
from service.monitoring.find import utc, where_rejected
from service.monitoring.heartbeat import Heartbeat, longest_first, read_heartbeat
from service.storage.companions import is_companion
from service.storage.rejected import RejectedScans
from service.watch import folder_settings
from service.watch.selection import find, find_left_alone
from worker.errors import DeviceError, ModelError
from worker.models.promotions import active_versions, read_promotions

REJECTED_SHOWN = 10
DAY = 86_400.0  # seconds
RATE_OVER = 600.0  # seconds
LONGEST_WAIT = 0.3  # seconds, for a ledger that is locked
LEFT = (JobStatus.QUEUED, JobStatus.STARTED)
SILENT_AFTER = 60.0  # seconds without a heartbeat, of which there is one every ten


def read_status(config: Config) -> dict[str, Any]:
    """Collect what is known of the work; docs/operations.md lists the keys.

    Times are ISO 8601 in UTC. What nobody knows is None: a rate without a daemon, say, or what only
    the ledger knows where that cannot be read now (`ledger_fault` says why).

    Raises:
        LedgerError: the ledger is damaged.
    """
    now = time.time()
    running = owner_of(config.state)
    beat = read_heartbeat(config.state) if running else None
    if beat and not str(running).startswith(f"process {beat.pid} "):
        beat = None  # of the daemon before; this one is starting
    since = max(now - RATE_OVER, beat.started) if beat else None
    known = _of_heartbeat(beat)
    try:
        known |= _of_ledger(config, now, since)
    except DeviceError as error:
        known["ledger_fault"] = str(error)
    noted, last = known.pop("noted"), known.pop("last_model")
    health = _health(running, beat, now)
    left_alone, refused = _beside_scans(config)
    return {
        "running": running,
        "health": health,
        "inbox": str(config.inbox),
        "outbox": str(config.outbox),
        "free": _free(config),
        "left_alone": left_alone,
        "folder_settings": refused,
        "model": _model(config, noted, None if running else last),
        **known,
        "eta_seconds": _eta(known) if health["level"] == "well" else None,
    }


def _health(running: str | None, beat: Heartbeat | None, now: float) -> dict[str, Any]:
    """Tell how the daemon does, as its heartbeat has it; or that there is none."""
    if running is None:
        level, reasons = "not running", []
    elif beat is None:
        level, reasons = "starting", ["it loads the model, or is of another version of photochrom"]
    elif now - beat.time > SILENT_AFTER:
        minutes = max(1, round((now - beat.time) / 60))
        silent = f"no sign of life for {minutes} minute{'s' * (minutes > 1)}"
        level, reasons = "silent", [silent, *beat.reasons]
    else:
        level, reasons = beat.health, list(beat.reasons)
    return {
        "level": level,
        "reasons": reasons,
        "at": beat and utc(beat.time),
        "started": beat and utc(beat.started),
        "batch_size": beat and beat.batch_size,
        "refused_config": (beat and beat.refused_config) or None,
    }


def _of_heartbeat(beat: Heartbeat | None) -> dict[str, Any]:
    """Give what the ledger is to tell, as far as the heartbeat knows it."""
    return {
        "jobs": beat and beat.jobs,
        "in_work": [one.model_dump() for one in beat.in_work] if beat else [],
        "arriving": {
            "count": beat.arriving if beat else 0,
            "files": [one.model_dump() for one in beat.arriving_files] if beat else [],
        },
        "finished_today": None,
        "finished_last_24h": None,
        "oldest_waiting": utc(beat.oldest_waiting) if beat else None,
        "waiting_for": None,
        "rejected": [],
        "rate_per_hour": None,
        "unmoved_originals": beat and beat.unmoved_originals,
        "unmoved": [one.model_dump() for one in beat.unmoved] if beat else [],
        "unreadable_folders": beat and beat.unreadable_folders,
        "unreadable": list(beat.unreadable) if beat else [],
        "ledger_fault": None,
        "noted": beat and ActiveModel(beat.model),
        "last_model": None,
    }


def _of_ledger(config: Config, now: float, since: float | None) -> dict[str, Any]:
    """Ask the ledger; one that is not made yet has nothing.

    Args:
        config: where it is.
        now: seconds since 1970.
        since: the start of what the rate is told of, for which a daemon was at work; None: none is.

    Raises:
        DeviceError: it cannot be read now.
        LedgerError: it is damaged.
    """
    if not (config.state / LEDGER_FILE).exists():
        return {"jobs": dict.fromkeys(JobStatus, 0), "finished_today": 0, "finished_last_24h": 0}
    with LedgerQueries.open(config.state / LEDGER_FILE, wait=LONGEST_WAIT) as ledger:
        oldest = ledger.oldest_waiting()
        in_work = () if since is None else longest_first(ledger.started(), now)
        rate = since and ledger.done_since(since) / max(1.0, now - since) * 3600
        return {
            "jobs": ledger.counts(),
            "in_work": [one.model_dump() for one in in_work],
            "finished_today": ledger.finished_since(_midnight(now)),
            "finished_last_24h": ledger.finished_since(now - DAY),
            "oldest_waiting": oldest and utc(oldest.queued_at),
            "waiting_for": (oldest and oldest.reason) or None,
            "rejected": _rejected(ledger, config),
            "rate_per_hour": None if rate is None else round(rate, 1),
            "noted": ledger.active_model(),
            "last_model": ledger.last_model(),
        }


def _rejected(ledger: LedgerQueries, config: Config) -> list[dict[str, Any]]:
    """List the last photos that were rejected, with where they lie now; None: nowhere."""
    scans = RejectedScans(config, ledger.rejected_of)
    rows = []
    for job in ledger.recent_failures(REJECTED_SHOWN):
        place = None if job.recolor else where_rejected(job, scans)
        rows.append(
            {
                "job": job.id,
                "path": str(job.path),
                "reason": job.reason,
                "at": utc(job.finished_at),
                "where": place and str(place.path),
                "to_be_colored_again": job.recolor,
            }
        )
    return rows


def _eta(known: dict[str, Any]) -> int | None:
    """Return in how many seconds all is done at this rate; None where it makes no progress."""
    left = sum(known["jobs"][status] for status in LEFT) if known["jobs"] else 0
    return round(left / known["rate_per_hour"] * 3600) if left and known["rate_per_hour"] else None


def _midnight(now: float) -> float:
    """Return when today began, where this machine is; also on days that have 23 or 25 hours."""
    day = time.localtime(now)
    return time.mktime((day.tm_year, day.tm_mon, day.tm_mday, 0, 0, 0, 0, 0, -1))


def _free(config: Config) -> dict[str, int]:
    """Return the bytes that are free for each folder that is there; a mere mount point is not."""
    try:
        return FolderMonitor(config.folders).free()
    except DeviceError:  # what was noted of them cannot be read; a daemon says so itself
        return {}


def _beside_scans(config: Config) -> tuple[list[str] | None, list[dict[str, Any]]]:
    """List what is in the inbox beside scans: what is no photo, and settings files with mistakes.

    Returns:
        The first is None where the inbox cannot be read.
    """
    left, refused = [], []
    try:
        found = find_left_alone(config.inbox, config.watch.ignored)
        for path in sorted(found) if config.inbox.is_dir() else ():
            if path.name == folder_settings.NAME:
                refused += _refused(config, path.parent)
            elif path.name != folder_settings.PROBLEMS and not is_companion(path):
                left.append(str(path))
    except OSError:
        return None, refused
    return left, refused


def _refused(config: Config, folder: Path) -> list[dict[str, Any]]:
    """Tell why a folder's settings file cannot be used, and how many scans wait for it, if so."""
    inside = PurePosixPath(folder.relative_to(config.inbox))
    try:
        folder_settings.read_settings(config.inbox, inside)
    except folder_settings.FolderSettingsError as error:
        scans = sum(1 for _ in find(folder, lambda *_: None, config.watch.ignored))
        return [{"file": str(error.file), "problems": list(error.problems), "scans": scans}]
    return []


def _model(config: Config, noted: ActiveModel | None, last: str | None) -> dict[str, str | None]:
    """Tell which version serves (or colored last), which is promoted, and why it does not serve."""
    promoted, damage = None, None
    try:
        promoted = active_versions(read_promotions(config.models_folder))[-1]
    except ModelError as error:
        damage = str(error)
    return {
        "serving": last or (noted.model if noted else None),
        "promoted": promoted,
        "refused_because": damage
        or (noted.refused_because if noted and noted.refused == promoted else None),
    }
