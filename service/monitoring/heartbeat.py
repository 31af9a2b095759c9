"""What a running daemon reports of itself: one value, for systemd, metrics and `photochrom status`.

It is written to a small file, replaced atomically, so a reader always finds it whole. It is not
synced: after a power cut it is worthless.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
)

from service.ledger.jobs import Job, JobStatus
from service.monitoring.health import FIX_PERMISSIONS, PUBLISHED, Level
from service.terminal import printable
from worker.atomic import write_atomically
from worker.inference.engine import WorkerState

HEARTBEAT_FILE = "heartbeat.json"
_LEVELS = {word: level for level, word in PUBLISHED.items()}


def _from_published(value: Any) -> Any:
    return _LEVELS.get(value, value) if isinstance(value, str) else value


# What is not UTF-8 in a name, or would control a terminal, is escaped.
Shown = Annotated[str, AfterValidator(printable)]
# JSON has the published words, the code its own.
PublishedLevel = Annotated[
    Level, BeforeValidator(_from_published), PlainSerializer(lambda level: PUBLISHED[level])
]


class InWork(BaseModel):
    """A photo in progress: its job, its path in the inbox, and seconds since it began."""

    model_config = ConfigDict(frozen=True)

    job: int
    path: Shown
    seconds: float

    @classmethod
    def of(cls, job: Job, wall: float) -> Self:
        """Describe a started job."""
        since = wall if job.started_at is None else job.started_at
        return cls(job=job.id, path=str(job.path), seconds=round(max(0.0, wall - since), 1))


class UnmovedIn(BaseModel):
    """A folder of the inbox whose originals permissions do not let go; `reason` has the remedy."""

    model_config = ConfigDict(frozen=True)

    folder: Shown
    photos: int
    reason: Shown


class ArrivingFile(BaseModel):
    """A file in the inbox that is still arriving: why, and seconds since it last changed."""

    model_config = ConfigDict(frozen=True)

    path: Shown
    reason: Shown
    seconds: float


class WorkerBeat(BaseModel):
    """A worker of a cluster: photographs it has, it colored and it colors an hour; why it rests."""

    model_config = ConfigDict(frozen=True)

    name: Shown
    host: Shown
    state: Literal["starting", "ready", "paused"]
    in_hand: int = 0
    done: int = 0
    rate_per_hour: float = 0.0
    reason: Shown = ""

    @classmethod
    def of(cls, worker: WorkerState) -> Self:
        """Describe a worker of an engine."""
        return cls(
            name=worker.name,
            host=worker.host,
            state=worker.state,
            in_hand=worker.in_hand,
            done=worker.done,
            rate_per_hour=round(worker.rate, 1),
            reason=worker.reason,
        )


class Heartbeat(BaseModel):
    """The state of a daemon; times are seconds since 1970, sizes are bytes.

    Attributes:
        time: when this was so.
        pid: the daemon's process ID.
        started: when it started.
        health: its level; in JSON "well", "held up" or "stuck".
        reasons: what is wrong, in words, the worst first.
        model: the active model version.
        batch_size: photos in a full batch.
        jobs: number of jobs by status; None if the ledger could not be read.
        oldest_waiting: when the oldest waiting photo was queued; None if none waits or the ledger
            could not be read.
        held: number of results that wait for approval; None as with `jobs`.
        decisions_waiting: number of results whose decision is to be carried out; None likewise.
        in_work: photos in progress, oldest first.
        arriving: number of files in the inbox that are not complete yet.
        arriving_files: some of them, those unchanged longest first.
        rescanned: when the last full rescan of the inbox ended.
        rescan_seconds: how long it took.
        overflows: how often events of new files were lost since the start.
        rebuilt: how often the watching threads died and were restarted.
        free: free bytes by folder, by its key in config.yaml.
        finished: photos delivered since the start.
        rejected: photos rejected since the start.
        megapixels: of the photos delivered since the start.
        device_memory: bytes of the device's own memory in use; None if it has none.
        workers: those of a cluster that color; none if the daemon does.
        worker_deaths: how many of them were lost since the start.
        refused_config: why a changed config.yaml was refused, or "".
        unmoved_originals: number of originals that permissions keep in the inbox.
        unmoved: the folders that keep them, those with most originals first; at most a hundred.
        unreadable_folders: number of sub-folders of the inbox that cannot be read.
        unreadable: which; at most a hundred.
    """

    model_config = ConfigDict(frozen=True)

    time: float
    pid: int
    started: float
    health: PublishedLevel
    reasons: tuple[Shown, ...] = ()
    model: str
    batch_size: int
    jobs: dict[JobStatus, int] | None = None
    oldest_waiting: float | None = None
    held: int | None = None
    decisions_waiting: int | None = None
    in_work: tuple[InWork, ...] = ()
    arriving: int = 0
    arriving_files: tuple[ArrivingFile, ...] = ()
    rescanned: float
    rescan_seconds: float = 0.0
    overflows: int = 0
    rebuilt: int = 0
    free: dict[str, int] = Field(default_factory=dict)
    finished: int = 0
    rejected: int = 0
    megapixels: float = 0.0
    device_memory: int | None = None
    workers: tuple[WorkerBeat, ...] = ()
    worker_deaths: int = 0
    refused_config: Shown = ""
    unmoved_originals: int = 0
    unmoved: tuple[UnmovedIn, ...] = ()
    unreadable_folders: int = 0
    unreadable: tuple[Shown, ...] = ()

    @property
    def line(self) -> str:
        """The same in one line for people, in the words of `photochrom status`."""
        each = [f"{count} {status.words}" for status, count in (self.jobs or {}).items()]
        each += [f"{self.arriving} arriving"] if self.arriving else []
        reasons, counts = "; ".join(self.reasons), ", ".join(each)
        if self.health != "ok":
            return "; ".join(filter(None, [f"{self.health}: {reasons}", counts]))
        level = FIX_PERMISSIONS if self.needs_permissions else self.health
        return "; ".join(filter(None, [level, reasons, counts]))

    @property
    def needs_permissions(self) -> bool:
        """Whether work continues but permissions stop some of it."""
        return self.unmoved_originals > 0 or self.unreadable_folders > 0


def write_heartbeat(state: Path, beat: Heartbeat) -> None:
    """Replace the heartbeat in the state folder.

    Raises:
        OSError: it cannot be written; the previous one stays.
    """
    write_atomically(state / HEARTBEAT_FILE, beat.model_dump_json(indent=2) + "\n")


def read_heartbeat(state: Path) -> Heartbeat | None:
    """Return the last heartbeat in a state folder; None if it is missing or makes no sense.

    Raises:
        OSError: it cannot be read.
    """
    try:
        return Heartbeat.model_validate_json((state / HEARTBEAT_FILE).read_bytes())
    except (FileNotFoundError, ValidationError):  # none yet, or another version's
        return None


def longest_first(jobs: Iterable[Job], wall: float) -> tuple[InWork, ...]:
    """Describe started jobs, the oldest first."""
    return tuple(sorted((InWork.of(job, wall) for job in jobs), key=lambda one: -one.seconds))
