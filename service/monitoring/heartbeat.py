"""What a running daemon tells of itself: one value, for systemd, for metrics, and as a small file.

The file is replaced in one step, so that whoever reads it beside the daemon finds it whole. It is
not synced to the disk: it is of no use after a power cut.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from service.ledger.jobs import Job, JobStatus
from service.monitoring.health import HELD_UP, NEEDS_SOMEBODY, WELL, Level
from service.terminal import printable
from worker.atomic import write_atomically

HEARTBEAT_FILE = "heartbeat.json"


# Names in it are written out where they are not UTF-8, or a terminal would obey them.
Shown = Annotated[str, AfterValidator(printable)]


class InWork(BaseModel):
    """A photo in work: its job, the path of its scan in the inbox, and since how many seconds."""

    model_config = ConfigDict(frozen=True)

    job: int
    path: Shown
    seconds: float

    @classmethod
    def of(cls, job: Job, wall: float) -> Self:
        """Tell of a started job."""
        since = wall if job.started_at is None else job.started_at
        return cls(job=job.id, path=str(job.path), seconds=round(max(0.0, wall - since), 1))


class UnmovedIn(BaseModel):
    """Originals that permissions keep in the inbox: which folder, how many, and what would help."""

    model_config = ConfigDict(frozen=True)

    folder: Shown
    photos: int
    reason: Shown


class ArrivingFile(BaseModel):
    """A file in the inbox that is not taken yet: why, and since how many seconds it is at rest."""

    model_config = ConfigDict(frozen=True)

    path: Shown
    reason: Shown
    seconds: float


class Heartbeat(BaseModel):
    """How a daemon stands; times are seconds since 1970, sizes bytes.

    Attributes:
        time: when this was so.
        pid: the number of its process.
        started: when it started.
        health: well, held up or stuck.
        reasons: what is wrong, in words, the worst first.
        model: the version that colors.
        batch_size: how many photos it colors in one go.
        jobs: how many there are of each status; None where the ledger could not be asked.
        oldest_waiting: when the photo was queued that has waited longest; None where none waits, or
            the ledger could not be asked.
        in_work: the photos in work, those begun first first.
        arriving: how many files in the inbox are not taken yet, since they are not whole.
        arriving_files: some of them, those at rest for longest first.
        rescanned: when the last full look through the inbox was over.
        rescan_seconds: how long it took.
        overflows: how often announcements of new files were lost since the start.
        rebuilt: how often what takes them had died and was built again.
        free: bytes that are free for each folder that could be asked, by its key in config.yaml.
        finished: photos delivered since the start.
        rejected: photos given up since the start.
        megapixels: of the photos delivered since the start.
        device_memory: bytes in use of the device's own memory; None where it has none.
        refused_config: why a changed config.yaml is not used, or "".
        unmoved_originals: how many originals permissions keep in the inbox.
        unmoved: the folders that do not let them go, with the most originals first; not all, where
            there are many.
        unreadable_folders: how many sub-folders of the inbox may not be read.
        unreadable: which; not all, where there are many.
    """

    model_config = ConfigDict(frozen=True)

    time: float
    pid: int
    started: float
    health: Level
    reasons: tuple[Shown, ...] = ()
    model: str
    batch_size: int
    jobs: dict[JobStatus, int] | None = None
    oldest_waiting: float | None = None
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
    refused_config: Shown = ""
    unmoved_originals: int = 0
    unmoved: tuple[UnmovedIn, ...] = ()
    unreadable_folders: int = 0
    unreadable: tuple[Shown, ...] = ()

    @property
    def line(self) -> str:
        """The same in a line for people, in the words of `photochrom status`."""
        each = [f"{count} {status.words}" for status, count in (self.jobs or {}).items()]
        each += [f"{self.arriving} arriving"] if self.arriving else []
        counts = ", ".join(each)
        reasons = "; ".join(reason.removeprefix(HELD_UP) for reason in self.reasons)
        if self.health != "well":
            return "; ".join(filter(None, [f"{self.health}: {reasons}", counts]))
        well = NEEDS_SOMEBODY if self.needs_somebody else WELL
        return "; ".join(filter(None, [well, reasons, counts]))

    @property
    def needs_somebody(self) -> bool:
        """Whether its work goes on, but permissions keep some of it from being done."""
        return self.unmoved_originals > 0 or self.unreadable_folders > 0


def write_heartbeat(state: Path, beat: Heartbeat) -> None:
    """Leave a heartbeat in the state folder, in place of the one before.

    Raises:
        OSError: the disk does not let it; the one before stays.
    """
    write_atomically(state / HEARTBEAT_FILE, beat.model_dump_json(indent=2) + "\n")


def read_heartbeat(state: Path) -> Heartbeat | None:
    """Return what the daemon of a state folder told last; None where it is missing or no sense.

    Raises:
        OSError: it may not be read, or the disk failed.
    """
    try:
        return Heartbeat.model_validate_json((state / HEARTBEAT_FILE).read_bytes())
    except (FileNotFoundError, ValidationError):  # none yet, or of another photochrom
        return None


def longest_first(jobs: Iterable[Job], wall: float) -> tuple[InWork, ...]:
    """Tell of started jobs, those begun first first."""
    return tuple(sorted((InWork.of(job, wall) for job in jobs), key=lambda one: -one.seconds))
