"""What runs on a node of the cluster: a local engine, told by the bridge what to do.

It imports nothing of Ray, and what computes only when it is told to load a generator. It answers
with values: an exception would need its class on both sides, and comes wrapped.
"""

import asyncio
import hashlib
import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedRandom, FileIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from worker.cluster.environment import environment
from worker.cluster.messages import Painted, decode
from worker.errors import ModelError
from worker.inference.engine import Task
from worker.inference.predictor import Predictor
from worker.inference.task_files import OpenedSource, TaskFiles
from worker.metadata.provenance import XmpFile
from worker.models.version import CARD_FILE, GENERATOR_FILE, ModelVersion

if TYPE_CHECKING:
    from worker.inference.local_engine import LocalEngine

HIDE_GPUS = {"CUDA_VISIBLE_DEVICES": ""}  # Ray shows them to a worker that asked for none


@dataclass(frozen=True)
class Parts:
    """What the service gives to workers and to the bridge; each gets `ClusterSettings.parts`.

    Attributes:
        node_files: opens the files of tasks on a node.
        daemon_files: opens them on the daemon's machine.
        load: loads a generator on a node, and tries it; raises ModelError or DeviceError.
        signer: returns who signs results, or None.
    """

    node_files: Callable[[str], TaskFiles]
    daemon_files: Callable[[str], TaskFiles]
    load: Callable[[str, ModelVersion], Predictor]
    signer: Callable[[str], Any] = lambda _parts: None


@dataclass(frozen=True)
class Content:
    """A scan and what belongs to it, where there is no shared storage.

    Attributes:
        scan: the file.
        xmp_files: those beside it.
        earlier: the earlier result of a photograph that is colored again, if it is there.
        earlier_name: its file name.
        earlier_fault: why that cannot be read, in words; or "".
    """

    scan: bytes
    xmp_files: tuple[XmpFile, ...] = ()
    earlier: bytes | None = None
    earlier_name: str = ""
    earlier_fault: str = ""


class NodeWorker:
    """Colors photographs on a node; its methods are called by way of Ray.

    Args:
        parts: of the service.
        words: `ClusterSettings.parts`.
        shared: whether the folders of photographs are there.
        cpus: cores that it has.
        gpu: whether it has a GPU.
    """

    def __init__(self, parts: Parts, words: str, *, shared: bool, cpus: int, gpu: bool) -> None:
        """Set the environment of what is imported later."""
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(cpus))
        if not gpu:
            os.environ.update(HIDE_GPUS)
        self._parts = parts
        self._words = words
        self._shared = shared
        self._contents: dict[str, Content] = {}  # by staging path, without shared storage
        self._results: dict[str, bytes] = {}
        self._engine: LocalEngine | None = None
        self._batches: list[tuple[int, float]] = []
        self._moved = 0
        self._lock = threading.Lock()

    async def environment(self) -> str:
        """Return what must be the same everywhere, as JSON."""
        return json.dumps(environment())

    async def load(self, name: str, card: str, content: bytes) -> tuple[str, str]:
        """Take up a generator, given its file; return its digest, or "" and why it failed."""
        try:
            return await asyncio.to_thread(self._load, name, card, content), ""
        except Exception as error:  # noqa: BLE001 - told to the bridge, which lets this worker rest
            return "", str(error) or repr(error)

    async def paint(self, task: str, content: Content | None) -> Painted:
        """Color a photograph.

        Args:
            task: as JSON.
            content: of its scan, without shared storage.
        """
        wanted = decode(Task, json.loads(task))
        if content is not None:
            self._contents[wanted.staging] = content
        assert self._engine is not None  # noqa: S101 - photographs come after a model
        outcome = await asyncio.wrap_future(self._engine.submit(wanted))
        self._contents.pop(wanted.staging, None)
        with self._lock:
            batches, self._batches = self._batches, []
            self._moved += 1
        return Painted.of(outcome, batches, self._results.pop(wanted.staging, b""))

    async def sign_of_life(self) -> int:
        """Return a number that changes whenever a photograph has moved on."""
        return self._moved

    def _load(self, name: str, card: str, content: bytes) -> str:
        from worker.inference.local_engine import LocalEngine

        found = hashlib.sha256(content).hexdigest()
        if found != json.loads(card).get("sha256", found):
            raise ModelError(f"version {name} was damaged on its way (SHA-256 differs)")
        with TemporaryDirectory(prefix="photochrom-") as folder:
            (Path(folder) / GENERATOR_FILE).write_bytes(content)
            (Path(folder) / CARD_FILE).write_text(card, encoding="utf-8")
            version = ModelVersion(name, Path(folder), {**json.loads(card), "sha256": found})
            predictor = self._parts.load(self._words, version)
        if self._engine is None:
            engine = LocalEngine(predictor, self._files(), 0.0, self._parts.signer(self._words))
            engine.batch_done, engine.on_progress = self._note_batch, self._note_progress
            self._engine = engine
        else:
            self._engine.take_up(predictor)
        return found

    def _note_batch(self, photographs: int, seconds: float) -> None:
        with self._lock:
            self._batches.append((photographs, seconds))

    def _note_progress(self) -> None:
        with self._lock:
            self._moved += 1

    def _files(self) -> TaskFiles:
        if self._shared:
            return self._parts.node_files(self._words)
        return TaskFiles(self._open_content, self._open_result, self._open_earlier)

    @contextmanager
    def _open_content(self, task: Task) -> Iterator[OpenedSource]:
        content = self._contents[task.staging]
        with _in_memory(content.scan, task.source.path) as file:
            yield OpenedSource(Path(task.source.path), file, content.xmp_files)

    @contextmanager
    def _open_earlier(self, task: Task) -> Iterator[FileIO | None]:
        content = self._contents[task.staging]
        if content.earlier_fault:
            raise OSError(content.earlier_fault)
        if content.earlier is None:
            yield None
            return
        with _in_memory(content.earlier, content.earlier_name) as file:
            yield file

    @contextmanager
    def _open_result(self, task: Task) -> Iterator[BufferedRandom]:
        with _in_memory(b"", task.staging) as raw:
            path = f"/proc/self/fd/{raw.fileno()}"
            with Path(path).open("r+b") as file:
                yield file
                file.flush()
                file.seek(0)
                self._results[task.staging] = file.read()


@contextmanager
def _in_memory(content: bytes, name: str) -> Iterator[FileIO]:
    """Make a file that is on no disk, and goes by a name."""
    descriptor = os.memfd_create("photochrom")
    with FileIO(name, "r+b", opener=lambda _name, _flags: descriptor) as file:
        written = memoryview(content)
        while written:
            written = written[file.write(written) :]
        file.seek(0)
        yield file
