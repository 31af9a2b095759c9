"""The seam between the daemon and whatever colors photographs: a task goes in, an outcome returns.

All that crosses it is plain data, so an engine may live in this process or on another machine. An
engine reads the scan, colors it and writes one staging file; only the daemon gives results a name.
What goes wrong comes back as a `Failed`; `submit` and its future never raise for a photograph.
"""

import os
import traceback
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from worker.errors import (
    DeviceError,
    InColorError,
    IncompleteError,
    ModelError,
    ScanError,
    SourceChanged,
)
from worker.formats.memory import is_short
from worker.metadata.provenance import Record
from worker.settings import AS_GENERATED, ColorWishes, ReadSettings, WriteSettings

if TYPE_CHECKING:
    from worker.inference.predictor import Predictor

FailureKind = Literal[
    "scan",  # nobody can color it
    "in color",  # it has color of its own
    "incomplete",  # its rest may still come
    "source changed",  # it is gone, or another file by now
    "device",  # the machine cannot do the work now
    "disk",  # a file cannot be read or written now
    "memory",
    "model",  # the generator is missing or damaged
    "unforeseen",  # a bug
]


@dataclass(frozen=True)
class Source:
    """The scan of a task: where it is to be found, and what it must look like.

    Attributes:
        path: in the inbox, or as it was given.
        sha256: of its content, hexadecimal.
        size: in bytes.
        mtime_ns: time of its last change, nanoseconds since 1970.
        inode: its number in its file system.
        device: the number of that file system.
        ctime_ns: time of the last change of content, name or permissions; 0 if unknown.
        recolor: whether it was colored before and may have been moved to the originals.
        original: its path there, if that is known.
        output: path of its earlier result.
        output_sha256: of that, hexadecimal; None: not recorded.
        held: whether that waits for approval.
    """

    path: str
    sha256: str
    size: int
    mtime_ns: int
    inode: int
    device: int = 0
    ctime_ns: int = 0
    recolor: bool = False
    original: str | None = None
    output: str = ""
    output_sha256: str | None = None
    held: bool = False


@dataclass(frozen=True)
class Label:
    """What a result says of its making, apart from scan and model.

    Attributes:
        software: name and version of this program.
        event: UUID of this coloring.
        when: it takes place, ISO 8601, UTC, whole seconds.
    """

    software: str
    event: str
    when: str


@dataclass(frozen=True)
class Task:
    """One photograph to color.

    Attributes:
        job: its number.
        attempt: how often work on the job began; an outcome echoes both.
        source: the scan.
        read: what the scan may be.
        write: how the result is encoded.
        label: what it says of its making.
        staging: path of the file to write; it is made by the task.
        wishes: what the archivist wishes of its colors.
    """

    job: int
    attempt: int
    source: Source
    read: ReadSettings
    write: WriteSettings
    label: Label
    staging: str
    wishes: ColorWishes = AS_GENERATED


@dataclass(frozen=True)
class Colored:
    """A photograph is colored, and its staging file is whole and on the disk.

    Attributes:
        job: of the task.
        attempt: of the task.
        model: the version that colored all of it.
        weights_sha256: of its generator's file, hexadecimal.
        record: what was written; its XMP files come without their content.
        sha256: of the staging file as read back from the disk, hexadecimal.
        size: of it, in bytes.
        confidence: of the generator in its colors, 0 to 1; that of its least sure page.
        change: from the earlier result, as `worker.difference.change`; None: there is none, or it
            could not be compared.
        not_compared: why it could not; "" if it could or there is none.
    """

    job: int
    attempt: int
    model: str
    weights_sha256: str
    record: Record
    sha256: str
    size: int
    confidence: float
    change: float | None = None
    not_compared: str = ""

    @property
    def pixels(self) -> int:
        """How many pixels its pages hold together."""
        return sum(page.width * page.height for page in self.record.pages)


@dataclass(frozen=True)
class Failed:
    """A photograph was not colored, and no staging file is left.

    Attributes:
        job: of the task.
        attempt: of the task.
        kind: whose fault it is.
        reason: in plain words; may be empty for want of memory.
        errno: of the system's error, or 0.
        file: that the system's error names, or "".
        traceback: of what nobody foresaw, or "".
        worker: the one of several workers that failed, or ""; others may do what it could not.
    """

    job: int
    attempt: int
    kind: FailureKind
    reason: str
    errno: int = 0
    file: str = ""
    traceback: str = ""
    worker: str = ""

    @property
    def error(self) -> OSError:
        """The system's error, as far as it was told."""
        if not self.errno:
            return OSError(self.reason)
        return OSError(self.errno, self.reason, self.file or None)


Outcome = Colored | Failed


@dataclass(frozen=True)
class WorkerState:
    """One of the processes, on any machine, that color for an engine.

    Attributes:
        name: its own, such as "scanner-2 #1".
        host: the machine it runs on.
        state: what it does; "paused" after a fault of its machine.
        in_hand: photographs that it has.
        done: photographs that it colored since it started.
        rate: photographs an hour, of the last minutes.
        reason: why it is paused, in words; or "".
    """

    name: str
    host: str
    state: Literal["starting", "ready", "paused"]
    in_hand: int = 0
    done: int = 0
    rate: float = 0.0
    reason: str = ""


class Engine(Protocol):
    """Colors photographs, several at once and in any order.

    Attributes:
        model: the version that colors the next photograph.
        slots: how many photographs it takes at once.
        batch_size: how many go through its device together.
        isolates: whether a photograph that crashes its process leaves the daemon alive; then one
            that did so may be tried again while others are in hand.
        blocked_by: why it colors nothing now, in words; or "".
        workers: the processes that color for it; none if it is this one.
        worker_deaths: how many of them ended that should not have.
        batch_done: called for each batch, with its photographs and the device's seconds.
        on_progress: called whenever a photograph in hand has moved on; both from any thread.
    """

    batch_done: Callable[[int, float], None]
    on_progress: Callable[[], None]

    @property
    def model(self) -> str: ...  # noqa: D102 - see the class

    @property
    def slots(self) -> int: ...  # noqa: D102

    @property
    def batch_size(self) -> int: ...  # noqa: D102

    @property
    def isolates(self) -> bool: ...  # noqa: D102

    @property
    def blocked_by(self) -> str: ...  # noqa: D102

    @property
    def workers(self) -> tuple[WorkerState, ...]: ...  # noqa: D102

    @property
    def worker_deaths(self) -> int: ...  # noqa: D102

    @property
    def memory(self) -> int | None:
        """Bytes in use of the device's own memory; None where it has none."""

    def submit(self, task: Task) -> Future[Outcome]:
        """Take a photograph; its future can be canceled until the scan is read."""

    def take_up(self, predictor: "Predictor") -> None:
        """Color with another generator from the next photographs on."""

    def close(self, *, wait: bool = True) -> None:
        """Cancel what is not begun, finish what is, and end.

        Args:
            wait: False returns at once, and ends what is begun as soon as it can.
        """


def failed(task: Task, error: Exception) -> Failed:
    """Turn the error that ended the work on a task into an outcome."""
    kind = kind_of(error)
    errno, file, trace = 0, "", ""
    if kind == "memory":
        reason = str(error) if type(error) is MemoryError else ""  # as `worker.scan.read` says it
    elif isinstance(error, OSError):
        reason = error.strerror or str(error) or repr(error)
        errno, file = error.errno or 0, os.fsdecode(error.filename or "")
    elif kind in {"model", "unforeseen"}:
        reason = repr(error)
        trace = "".join(traceback.format_exception(error)).rstrip()
    else:
        reason = str(error) or repr(error)
    return Failed(task.job, task.attempt, kind, reason, errno, file, trace)


def kind_of(error: Exception) -> FailureKind:
    """Tell whose fault an error is."""
    if is_short(error):
        return "memory"
    kinds: tuple[tuple[type[Exception], FailureKind], ...] = (
        (InColorError, "in color"),
        (IncompleteError, "incomplete"),
        (ScanError, "scan"),
        (SourceChanged, "source changed"),
        (DeviceError, "device"),
        (ModelError, "model"),
        (OSError, "disk"),
    )
    return next((kind for type_, kind in kinds if isinstance(error, type_)), "unforeseen")
