"""Reads the state of the work from ledger, heartbeat and folders; with or without a daemon.

Nothing is changed or waited for. What cannot be read is named, and the rest is still reported.
"""

import time
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from service.config.loader import Config
from service.filesystem.availability import FolderMonitor
from service.filesystem.lock import owner_of
from service.ledger.jobs import JobStatus
from service.ledger.ledger import LEDGER_FILE, ActiveModel
from service.ledger.queries import LedgerQueries
from service.monitoring.find import where_rejected
from service.monitoring.heartbeat import (
    Heartbeat,
    InWork,
    longest_first,
    read_heartbeat,
)
from service.monitoring.status import (
    ArrivingFiles,
    DaemonHealth,
    ModelStatus,
    RefusedSettings,
    RejectedPhoto,
    ReviewStatus,
    Status,
    StatusLevel,
)
from service.storage.companions import is_companion
from service.storage.rejected import RejectedScans
from service.watch import settings_file
from service.watch.folder_settings import PROBLEMS
from service.watch.selection import find, find_left_alone
from worker.errors import DeviceError, ModelError
from worker.models.promotions import active_versions, read_promotions

REJECTED_SHOWN = 10
DAY = 86_400.0  # seconds
RATE_OVER = 600.0  # seconds
LOCK_TIMEOUT = 0.3  # seconds, for a locked ledger
UNFINISHED = (JobStatus.QUEUED, JobStatus.STARTED)
SILENT_AFTER = 60.0  # seconds without a heartbeat; one is due every ten


class _Work(NamedTuple):
    """What the ledger knows, or as much of it as the heartbeat does."""

    jobs: dict[JobStatus, int] | None
    in_work: tuple[InWork, ...]
    oldest_waiting: float | None
    noted: ActiveModel | None
    last_model: str | None = None
    finished_today: int | None = None
    finished_last_24h: int | None = None
    waiting_for: str | None = None
    rejected: tuple[RejectedPhoto, ...] = ()
    rate_per_hour: float | None = None
    held: int | None = None
    held_open: int | None = None
    decisions_waiting: int | None = None
    fault: str | None = None


def read_status(config: Config) -> Status:
    """Collect the state of the work.

    Raises:
        LedgerError: the ledger is damaged.
    """
    now = time.time()
    running = owner_of(config.state)
    beat = _heartbeat(config, running)
    work = _work(config, beat, now)
    health = _health(running, beat, now)
    left_alone, refused = _besides_scans(config)
    return Status(
        running=running,
        health=health,
        inbox=config.inbox,
        outbox=config.outbox,
        free=_free(config),
        left_alone=left_alone,
        folder_settings=tuple(refused),
        model=_model(config, work.noted, None if running else work.last_model),
        jobs=work.jobs,
        in_work=work.in_work,
        arriving=_arriving(beat),
        finished_today=work.finished_today,
        finished_last_24h=work.finished_last_24h,
        oldest_waiting=work.oldest_waiting,
        waiting_for=work.waiting_for,
        rejected=work.rejected,
        review=ReviewStatus(
            mode=config.review.mode,
            hold_below=config.review.hold_below,
            held=work.held,
            held_open=work.held_open,
            decisions_waiting=work.decisions_waiting,
        ),
        rate_per_hour=work.rate_per_hour,
        workers=beat.workers if beat else (),
        worker_deaths=beat.worker_deaths if beat else None,
        unmoved_originals=beat.unmoved_originals if beat else None,
        unmoved=beat.unmoved if beat else (),
        unreadable_folders=beat.unreadable_folders if beat else None,
        unreadable=beat.unreadable if beat else (),
        ledger_fault=work.fault,
        eta_seconds=_eta(work) if health.level == "ok" else None,
    )


def _heartbeat(config: Config, running: str | None) -> Heartbeat | None:
    """Return the heartbeat of the running daemon; None: it is starting, or there is no daemon."""
    beat = read_heartbeat(config.state) if running else None
    return beat if beat and str(running).startswith(f"process {beat.pid} ") else None


def _health(running: str | None, beat: Heartbeat | None, now: float) -> DaemonHealth:
    """Return the daemon's health as it reported it, or that it does not."""
    if running is None:
        return DaemonHealth(level="not running")
    if beat is None:
        reason = "loading the model (or it is another version of photochrom)"
        return DaemonHealth(level="starting", reasons=(reason,))
    level: StatusLevel = beat.health
    reasons = beat.reasons
    if now - beat.time > SILENT_AFTER:
        minutes = max(1, round((now - beat.time) / 60))
        silent = f"no heartbeat for {minutes} minute{'s' * (minutes > 1)}"
        level, reasons = "silent", (silent, *reasons)
    return DaemonHealth(
        level=level,
        reasons=reasons,
        at=beat.time,
        started=beat.started,
        batch_size=beat.batch_size,
        refused_config=beat.refused_config or None,
    )


def _arriving(beat: Heartbeat | None) -> ArrivingFiles:
    return (
        ArrivingFiles(count=beat.arriving, files=beat.arriving_files) if beat else ArrivingFiles()
    )


def _work(config: Config, beat: Heartbeat | None, now: float) -> _Work:
    """Ask the ledger; while it cannot be read, the heartbeat has some of it.

    Raises:
        LedgerError: the ledger is damaged.
    """
    reported = _Work(
        jobs=beat.jobs if beat else None,
        in_work=beat.in_work if beat else (),
        oldest_waiting=beat.oldest_waiting if beat else None,
        noted=ActiveModel(beat.model) if beat else None,
        held=beat.held if beat else None,
        decisions_waiting=beat.decisions_waiting if beat else None,
    )
    if not (config.state / LEDGER_FILE).exists():
        none = dict.fromkeys(JobStatus, 0)
        reported = reported._replace(jobs=none, held=0, held_open=0)
        reported = reported._replace(decisions_waiting=0)
        return reported._replace(finished_today=0, finished_last_24h=0)
    since = max(now - RATE_OVER, beat.started) if beat else None
    try:
        return _ask_ledger(config, now, since)
    except DeviceError as error:
        return reported._replace(fault=str(error))


def _ask_ledger(config: Config, now: float, since: float | None) -> _Work:
    """Read the ledger.

    Args:
        config: where it is.
        now: seconds since 1970.
        since: start of the period for the rate, during which a daemon was running; None: none runs.

    Raises:
        DeviceError: it cannot be read now.
        LedgerError: it is damaged.
    """
    with LedgerQueries.open(config.state / LEDGER_FILE, wait=LOCK_TIMEOUT) as ledger:
        oldest = ledger.oldest_waiting()
        rate = since and ledger.done_since(since) / max(1.0, now - since) * 3600
        return _Work(
            jobs=ledger.counts(),
            in_work=() if since is None else longest_first(ledger.started(), now),
            oldest_waiting=oldest.queued_at if oldest else None,
            noted=ledger.active_model(),
            last_model=ledger.last_model(),
            finished_today=ledger.finished_since(_midnight(now)),
            finished_last_24h=ledger.finished_since(now - DAY),
            waiting_for=(oldest.reason or None) if oldest else None,
            rejected=tuple(rejected_photos(ledger, config, REJECTED_SHOWN)),
            rate_per_hour=None if rate is None else round(rate, 1),
            held=ledger.gallery.held_count(),
            held_open=ledger.gallery.held_open_count(),
            decisions_waiting=ledger.gallery.owing_review_count(),
        )


def rejected_photos(ledger: LedgerQueries, config: Config, limit: int) -> list[RejectedPhoto]:
    """List the photos rejected last, newest first, with where their scans are now."""
    scans = RejectedScans(config, ledger.rejected_of)
    photos = []
    for job in ledger.recent_failures(limit):
        place = None if job.recolor else where_rejected(job, scans)
        photos.append(
            RejectedPhoto(
                job=job.id,
                path=job.path,
                reason=job.reason,
                at=job.finished_at,
                where=place.path if place else None,
                to_be_colored_again=job.recolor,
            )
        )
    return photos


def _eta(work: _Work) -> int | None:
    """Return the seconds until the queue is empty at this rate; None if nothing moves."""
    left = sum(work.jobs[status] for status in UNFINISHED) if work.jobs else 0
    return round(left / work.rate_per_hour * 3600) if left and work.rate_per_hour else None


def _midnight(now: float) -> float:
    """Return when today began in local time; also on days of 23 or 25 hours."""
    day = time.localtime(now)
    return time.mktime((day.tm_year, day.tm_mon, day.tm_mday, 0, 0, 0, 0, 0, -1))


def _free(config: Config) -> dict[str, int]:
    """Return the free bytes of each available folder; an empty mount point is not one."""
    try:
        return FolderMonitor(config.folders).free()
    except DeviceError:  # the recorded device numbers cannot be read; a daemon reports that
        return {}


def _besides_scans(config: Config) -> tuple[tuple[Path, ...] | None, list[RefusedSettings]]:
    """List what is in the inbox besides scans: other files, and settings files with mistakes.

    Returns:
        The first is None if the inbox cannot be read.
    """
    left: list[Path] = []
    refused: list[RefusedSettings] = []
    try:
        found = find_left_alone(config.inbox, config.watch.ignored)
        for path in sorted(found) if config.inbox.is_dir() else ():
            if path.name == settings_file.NAME:
                refused += _refused(config, path.parent)
            elif path.name != PROBLEMS and not is_companion(path):
                left.append(path)
    except OSError:
        return None, refused
    return tuple(left), refused


def _refused(config: Config, folder: Path) -> list[RefusedSettings]:
    """Return a folder's settings file if it has mistakes, with the number of scans waiting."""
    inside = PurePosixPath(folder.relative_to(config.inbox))
    try:
        settings_file.read_settings(config, inside)
    except settings_file.FolderSettingsError as error:
        scans = sum(1 for _ in find(folder, lambda *_: None, config.watch.ignored))
        return [RefusedSettings(file=str(error.file), problems=error.problems, scans=scans)]
    return []


def _model(config: Config, noted: ActiveModel | None, last: str | None) -> ModelStatus:
    """Return the active version (or the last one used), the promoted one, and why they differ."""
    promoted, damage = None, None
    try:
        promoted = active_versions(read_promotions(config.models_folder))[-1]
    except ModelError as error:
        damage = str(error)
    refused = noted.refused_because if noted and noted.refused == promoted else None
    return ModelStatus(
        serving=last or (noted.model if noted else None),
        promoted=promoted,
        refused_because=damage or refused,
    )
