"""A predictor and files that fail or wait as a folder says, in any process.

In that folder the file `held` lets the device wait until it is gone; `device` and `writer` hold the
name of a fault that is raised there, `earlier` one, or the path of the earlier result of all; each
worker leaves a file named after its process.
"""

import errno
import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from io import BufferedRandom, FileIO
from pathlib import Path
from typing import Any

from tests.support.fakes import LONGEST_WAIT, FakeColorist
from worker.cluster.node_worker import Parts
from worker.errors import DeviceError, ModelError, SourceChanged
from worker.inference.engine import Task
from worker.inference.predictor import Predictor
from worker.inference.task_files import OpenedSource, TaskFiles
from worker.models.version import CARD_FILE, GENERATOR_FILE, ModelVersion
from worker.scan import Page
from worker.settings import ColorWishes

FAULTS: dict[str, Exception] = {
    "device": DeviceError("the card fell off the bus"),
    "memory": MemoryError(),
    "memory, says the system": OSError(errno.ENOMEM, "Cannot allocate memory"),
    "model": ModelError("its file is damaged"),
    "disk": OSError(errno.EIO, "Input/output error"),
    "unforeseen": ZeroDivisionError("oh"),
}


class Obedient:
    """A predictor that does what a folder says."""

    def __init__(self, predictor: Predictor, control: Path) -> None:
        """Wrap another predictor."""
        self._predictor = predictor
        self._control = control

    def __getattr__(self, name: str) -> Any:
        """Be the other in all else."""
        return getattr(self._predictor, name)

    def color(self, pages: Sequence[Page], wishes: Sequence[ColorWishes]) -> Any:
        """Wait, fail or color."""
        deadline = time.monotonic() + LONGEST_WAIT
        while (self._control / "held").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        _fail(self._control / "device")
        return self._predictor.color(pages, wishes)


def files_of(control: Path) -> TaskFiles:
    """Open files by their paths, as the service does."""
    return TaskFiles(open_source, partial(open_staging, control), partial(open_earlier, control))


@contextmanager
def open_source(task: Task) -> Iterator[OpenedSource]:
    """Open a scan as the service does: what it is afterwards counts too."""
    path = Path(task.source.path)
    try:
        yield OpenedSource(path, None)
    finally:
        if not path.exists() or path.stat().st_mtime_ns != task.source.mtime_ns:
            raise SourceChanged


@contextmanager
def open_staging(control: Path, task: Task) -> Iterator[BufferedRandom]:
    """Make a staging file as the service does."""
    path = Path(task.staging)
    try:
        with path.open("x+b") as file:
            yield file
            _fail(control / "writer")
    except BaseException:
        path.unlink(missing_ok=True)
        raise


@contextmanager
def open_earlier(control: Path, _task: Task) -> Iterator[FileIO | None]:
    """Open the earlier result as the service does."""
    said = (control / "earlier").read_text()
    if said == "missing":
        yield None
        return
    _fail(control / "earlier")
    with FileIO(said) as file:
        yield file


def save_model(name: str, folder: Path) -> ModelVersion:
    """Write a version that says no more than its name."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / GENERATOR_FILE).write_text(name)
    card = {"sha256": hashlib.sha256(name.encode()).hexdigest()}
    (folder / CARD_FILE).write_text(json.dumps(card))
    return ModelVersion(name, folder, card)


def fake_of(version: ModelVersion, batch_size: int = 3) -> FakeColorist:
    """Load such a version."""
    made = FakeColorist(batch_size, version.name)
    made.weights_sha256, made.folder = str(version.card["sha256"]), version.folder
    return made


def _load(words: str, version: ModelVersion) -> Any:
    control = Path(json.loads(words)["control"])
    (control / f"worker-{os.getpid()}").touch()
    _fail(control / "load")
    return Obedient(fake_of(version), control)


def _files(words: str) -> TaskFiles:
    return files_of(Path(json.loads(words)["control"]))


def _fail(order: Path) -> None:
    if order.exists() and (fault := order.read_text()) in FAULTS:
        raise FAULTS[fault]


PARTS = Parts(_files, _files, _load)
