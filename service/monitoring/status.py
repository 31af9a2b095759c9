"""The state of the work as one value: for `photochrom status`, its JSON, and the web."""

import re
from typing import Annotated, Literal

from pydantic import PlainSerializer

from service.ledger.jobs import JobStatus
from service.monitoring.health import PUBLISHED, Level
from service.monitoring.heartbeat import ArrivingFile, InWork, UnmovedIn, WorkerBeat
from service.monitoring.values import Moment, StoredPath, Text, Value

StatusLevel = Level | Literal["starting", "silent", "not running"]
PublishedLevel = Annotated[
    StatusLevel, PlainSerializer(lambda level: PUBLISHED.get(level, level), return_type=str)
]


class DaemonHealth(Value):
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


class RefusedSettings(Value):
    """A photochrom.yaml in the inbox with mistakes: its path there, and how many scans wait."""

    file: Text
    problems: tuple[Text, ...]
    scans: int


class ModelStatus(Value):
    """The active version (or the last one, without a daemon), and the promoted one if it differs.

    Attributes:
        serving: the version in use.
        promoted: the version promoted last; None if the history is damaged.
        refused_because: why the promoted one is not in use.
    """

    serving: str | None
    promoted: str | None
    refused_because: Text | None


class ArrivingFiles(Value):
    """The files in the inbox that are not complete yet: how many, and some of them."""

    count: int = 0
    files: tuple[ArrivingFile, ...] = ()


class RejectedPhoto(Value):
    """A rejected photo, and where its scan is now; None: nowhere."""

    job: int
    path: StoredPath
    reason: Text | None
    at: Moment | None
    where: StoredPath | None
    to_be_colored_again: bool


class ReviewStatus(Value):
    """What waits for reviewers, and what they decided waits for the daemon.

    Attributes:
        mode: "after" or "hold"; `review.mode`.
        hold_below: the confidence below which results are held, or None.
        held: results that wait for approval; None if the ledger cannot be read.
        held_open: those of them that nobody has decided on yet; None likewise.
        decisions_waiting: results whose decision is not carried out yet; None likewise.
    """

    mode: Literal["after", "hold"]
    hold_below: float | None
    held: int | None
    held_open: int | None
    decisions_waiting: int | None


class Status(Value):
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
        review: what waits for reviewers.
        rate_per_hour: photos per hour over the last ten minutes.
        workers: those of a cluster that color; none if the daemon does.
        worker_deaths: how many of them were lost since the daemon's start; None without a daemon.
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
    review: ReviewStatus
    rate_per_hour: float | None
    workers: tuple[WorkerBeat, ...]
    worker_deaths: int | None
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
