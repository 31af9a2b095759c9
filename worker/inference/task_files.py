"""How the service opens the files of a task, for engines, which never choose a folder."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from io import BufferedRandom, FileIO
from pathlib import Path
from typing import NamedTuple

from worker.inference.engine import Task
from worker.metadata.provenance import XmpFile


class OpenedSource(NamedTuple):
    """A scan, opened by the service.

    Attributes:
        path: of the scan.
        file: open for reading; None: what lies at the path is read.
        xmp_files: those beside it, those that count more last.
    """

    path: Path
    file: FileIO | None
    xmp_files: tuple[XmpFile, ...] = ()


@dataclass(frozen=True)
class TaskFiles:
    """What opens them.

    Attributes:
        open_source: opens the scan of a task; at its end it raises SourceChanged where the scan was
            changed meanwhile, whatever its reader made of it.
        open_staging: makes the empty staging file of a task, open for reading and writing; its
            `name` is its path. Removes it where its writer raises.
        open_earlier: opens the earlier result of a task that colors again; None: it is not there.
        staged: returns the size of the staging file of a task, in bytes.
        discard: removes the staging file of a task, if there is one.
    """

    open_source: Callable[[Task], AbstractContextManager[OpenedSource]]
    open_staging: Callable[[Task], AbstractContextManager[BufferedRandom]]
    open_earlier: Callable[[Task], AbstractContextManager[FileIO | None]] = lambda _task: (
        nullcontext()
    )
    staged: Callable[[Task], int] = lambda task: Path(task.staging).stat().st_size
    discard: Callable[[Task], None] = lambda task: Path(task.staging).unlink(missing_ok=True)
