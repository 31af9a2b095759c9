"""The state of the work as one value, read from ledger and heartbeat; with or without a daemon.

Nothing is changed or waited for. What cannot be read is named, and the rest is still reported.
"""

import re
import time
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, PlainSerializer, SkipValidation

from service.config.loader import Config
from service.filesystem.availability import FolderMonitor
from service.filesystem.lock import owner_of
from service.ledger.jobs import JobStatus
from service.ledger.ledger import LEDGER_FILE, ActiveModel
from service.ledger.queries import LedgerQueries
from service.monitoring.find import Moment, StoredPath, where_rejected
from service.monitoring.health import PUBLISHED, Level
from service.monitoring.heartbeat import (
    ArrivingFile,
    Heartbeat,
    InWork,
    UnmovedIn,
    longest_first,
    read_heartbeat,
)
from service.storage.companions import is_companion
from service.storage.rejected import RejectedScans
from service.watch import folder_settings
from service.watch.selection import find, find_left_alone
from worker.errors import DeviceError, ModelError
from worker.models.promotions import active_versions, read_promotions

REJECTED_SHOWN = 10
DAY = 86_400.0  # seconds
RATE_OVER = 600.0  # seconds
LOCK_TIMEOUT = 0.3  # seconds, for a locked ledger
UNFINISHED = (JobStatus.QUEUED, JobStatus.STARTED)
SILENT_AFTER = 60.0  # seconds without a heartbeat; one is due every ten

StatusLevel = Level | Literal["starting", "silent", "not running"]
PublishedLevel = Annotated[
    StatusLevel, PlainSerializer(lambda level: PUBLISHED.get(level, level), return_type=str)
]
Text = Annotated[str, SkipValidation]  # may hold bytes of names that are not UTF-8


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, defer_build=True)  # built only where one is made


class DaemonHealth(_Value):
    """The daemon's health as it reported it, or that it does not report.

    Attributes:
        level: in JSON "well", "held up", "stuck", "starting", "silent" or "not running".
        reasons: what is wrong, in words, the worst first.
        at: when it reported this.
        started: when it started.
        batch_size: photos in a full batch.
        refused_config: why a changed config.yaml was refused, or None.
    """

    level: PublishedLevel
    reasons: tuple[Text, ...] = ()
    at: Moment | None = None
    started: Moment | None = None
    batch_size: int | None = None
    refused_config: Text | None = None


class RefusedSettings(_Value):
    """A photochrom.yaml in the inbox with mistakes: its path there, and how many scans wait."""

    file: Text
    problems: tuple[Text, ...]
    scans: int


class ModelStatus(_Value):
    """The active version (or the last one, without a daemon), and the promoted one if it differs.

    Attributes:
        serving: the version in use.
        promoted: the version promoted last; None if the history is damaged.
        refused_because: why the promoted one is not in use.
    """

    serving: str | None
    promoted: str | None
    refused_because: Text | None


class ArrivingFiles(_Value):
    """The files in the inbox that are not complete yet: how many, and some of them."""

    count: int = 0
    files: tuple[ArrivingFile, ...] = ()


class RejectedPhoto(_Value):
    """A rejected photo, and where its scan is now; None: nowhere."""

    job: int
    path: StoredPath
    reason: Text | None
    at: Moment | None
    where: StoredPath | None
    to_be_colored_again: bool


class Status(_Value):
    """The state of the work; docs/status.md lists the same keys for JSON.

    Times are seconds since 1970, and ISO 8601 in UTC in `model_dump`, which is what
    `photochrom status --json` prints. None stands for what is not known: a rate without a daemon,
    or what only an unreadable ledger knows (`ledger_fault` says why).

    Attributes:
        running: the owner of the state folder's lock, such as "process 12 on archive", or None.
        health: the daemon's.
        inbox: its path.
        outbox: its path.
        free: free bytes by folder, by its key in config.yaml.
        left_alone: files in the inbox that are not photos; None if it cannot be read.
        folder_settings: settings files with mistakes.
        model: active and promoted version.
        jobs: number of jobs by status.
        in_work: photos in progress, oldest first.
        arriving: files that are not complete yet.
        finished_today: photos finished since local midnight.
        finished_last_24h: photos finished within 24 hours.
        oldest_waiting: when the oldest waiting photo was queued.
        waiting_for: the machine fault for which it was put back.
        rejected: the last ten rejected photos.
        rate_per_hour: photos per hour over the last ten minutes.
        unmoved_originals: number of originals that permissions keep in the inbox.
        unmoved: the folders that keep them.
        unreadable_folders: number of sub-folders of the inbox that cannot be read.
        unreadable: which.
        ledger_fault: why the ledger cannot be read now, or None.
        eta_seconds: until the queue is empty at this rate; None unless the level is ok.
    """

    running: Text | None
    health: DaemonHealth
    inbox: StoredPath
    outbox: StoredPath
    free: dict[str, int]
    left_alone: tuple[StoredPath, ...] | None
    folder_settings: tuple[RefusedSettings, ...]
    model: ModelStatus
    jobs: dict[JobStatus, int] | None
    in_work: tuple[InWork, ...]
    arriving: ArrivingFiles
    finished_today: int | None
    finished_last_24h: int | None
    oldest_waiting: Moment | None
    waiting_for: Text | None
    rejected: tuple[RejectedPhoto, ...]
    rate_per_hour: float | None
    unmoved_originals: int | None
    unmoved: tuple[UnmovedIn, ...]
    unreadable_folders: int | None
    unreadable: tuple[Text, ...]
    ledger_fault: Text | None
    eta_seconds: int | None

    @property
    def owner(self) -> str:
        """The running process in words, such as "pid 12"."""
        found = re.match(r"process (\d+) ", self.running or "")
        return f"pid {found[1]}" if found else self.running or "none"


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
        rate_per_hour=work.rate_per_hour,
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
    )
    if not (config.state / LEDGER_FILE).exists():
        none = dict.fromkeys(JobStatus, 0)
        return reported._replace(jobs=none, finished_today=0, finished_last_24h=0)
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
            rejected=tuple(_rejected(ledger, config)),
            rate_per_hour=None if rate is None else round(rate, 1),
        )


def _rejected(ledger: LedgerQueries, config: Config) -> list[RejectedPhoto]:
    """List the photos rejected last, with where their scans are now."""
    scans = RejectedScans(config, ledger.rejected_of)
    photos = []
    for job in ledger.recent_failures(REJECTED_SHOWN):
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
            if path.name == folder_settings.NAME:
                refused += _refused(config, path.parent)
            elif path.name != folder_settings.PROBLEMS and not is_companion(path):
                left.append(path)
    except OSError:
        return None, refused
    return tuple(left), refused


def _refused(config: Config, folder: Path) -> list[RefusedSettings]:
    """Return a folder's settings file if it has mistakes, with the number of scans waiting."""
    inside = PurePosixPath(folder.relative_to(config.inbox))
    try:
        folder_settings.read_settings(config.inbox, inside)
    except folder_settings.FolderSettingsError as error:
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
