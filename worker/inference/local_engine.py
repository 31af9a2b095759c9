"""The engine in this process: readers, one device thread, writers.

A photograph's way:
1. it waits until a reader is free and there is room for its pixels
2. a reader opens the scan by way of the service, decodes and shrinks it
3. the device thread predicts chroma for a batch that is full, or that nothing more would join
4. a writer merges, labels and encodes it into its staging file, syncs that and reads it back; a
   photograph that is colored again is compared with its earlier result
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from io import BufferedRandom, FileIO
from pathlib import Path, PurePosixPath

from worker import difference, render, scan
from worker.atomic import digest_from_disk
from worker.inference.engine import Colored, Outcome, Task, WorkerState, failed
from worker.inference.predictor import Colors, Predictor
from worker.inference.task_files import TaskFiles
from worker.metadata.credentials import CredentialSettings
from worker.metadata.provenance import Origin
from worker.scan import Scan, predict_scans
from worker.settings import ColorWishes

THREADS = min(8, max(2, os.cpu_count() or 1))  # that read, and as many that write
PIXELS_IN_MEMORY = 256_000_000  # from reader to staging file; one larger photograph goes alone
BATCHES_IN_MEMORY = 5


@dataclass(eq=False)
class _Photo:
    """A photograph in hand."""

    task: Task
    future: Future[Outcome]
    scan: Scan | None = None
    since: float = 0.0  # when it was read, monotonic seconds


class LocalEngine:
    """Colors photographs in threads of this process; see `worker.inference.engine.Engine`.

    Args:
        predictor: the loaded generator.
        files: opens scans and staging files.
        longest_wait: seconds that a photograph waits for others to fill its batch.
        signer: who signs results; None for nobody.
    """

    def __init__(
        self,
        predictor: Predictor,
        files: TaskFiles,
        longest_wait: float = 0.0,
        signer: CredentialSettings | None = None,
    ) -> None:
        """Start the threads."""
        self._predictor = predictor
        self._files = files
        self._longest_wait = longest_wait
        self._signer = signer
        self.batch_done: Callable[[int, float], None] = lambda _photos, _seconds: None
        self.on_progress: Callable[[], None] = lambda: None
        self._changed = threading.Condition()  # guards all below
        self._waiting: deque[_Photo] = deque()
        self._ready: deque[_Photo] = deque()
        self._reading = 0
        self._device_is_busy = False
        self._writing = 0
        self._pixels = 0  # of all that was read and is not written
        self._closed = False
        self._given_up = False
        self._readers = ThreadPoolExecutor(THREADS, "reader")
        self._writers = ThreadPoolExecutor(THREADS, "writer")
        self._device = ThreadPoolExecutor(1, "device")

    @property
    def model(self) -> str:
        """The version that colors the next photograph."""
        return self._predictor.model

    @property
    def slots(self) -> int:
        """How many photographs it takes at once."""
        return BATCHES_IN_MEMORY * self._predictor.batch_size

    @property
    def batch_size(self) -> int:
        """How many photographs go through the device together."""
        return self._predictor.batch_size

    @property
    def memory(self) -> int | None:
        """Bytes in use of the device's own memory; None where it has none."""
        return self._predictor.device_memory()

    isolates = False  # what crashes it ends the daemon
    blocked_by = ""
    workers: tuple[WorkerState, ...] = ()
    worker_deaths = 0

    def take_up(self, predictor: Predictor) -> None:
        """Color with another generator from the next batch on; the old one ends what it has."""
        self._predictor = predictor

    def submit(self, task: Task) -> Future[Outcome]:
        """Take a photograph; its future can be canceled until the scan is read."""
        photo = _Photo(task, Future())
        with self._changed:
            if self._closed:
                raise RuntimeError("the engine is closed")
            self._waiting.append(photo)
            self._start_reading()
        return photo.future

    def close(self, *, wait: bool = True) -> None:
        """Cancel what is not begun, finish what is, and end.

        Args:
            wait: False returns at once, and ends what is begun as soon as it can.
        """
        with self._changed:
            self._closed = True
            self._given_up = self._given_up or not wait
            for photo in self._waiting:
                photo.future.cancel()
            self._waiting.clear()
            self._changed.notify_all()
            if wait:
                self._changed.wait_for(lambda: self._given_up or not self._is_busy)
        for threads in (self._readers, self._device, self._writers):
            threads.shutdown(wait=wait, cancel_futures=not wait)

    @property
    def _is_busy(self) -> bool:
        return bool(self._reading or self._ready or self._device_is_busy or self._writing)

    def _start_reading(self) -> None:
        """Hand waiting photographs to readers, as far as memory allows; the lock is held."""
        while self._waiting and self._reading < THREADS and self._pixels < PIXELS_IN_MEMORY:
            photo = self._waiting.popleft()
            if photo.future.set_running_or_notify_cancel():
                self._reading += 1
                self._readers.submit(self._read, photo)

    def _read(self, photo: _Photo) -> None:
        task = photo.task
        outcome = None
        try:
            with self._files.open_source(task) as (path, file, xmp_files):
                photo.scan = scan.read(path, task.read, file, xmp_files)
        except Exception as error:  # noqa: BLE001 - an outcome like any other
            photo.scan, outcome = None, failed(task, error)
        with self._changed:
            self._reading -= 1
            if photo.scan is not None:
                self._pixels += photo.scan.size
                photo.since = time.monotonic()
                self._ready.append(photo)
                self._start_coloring()
            self._start_reading()
            self._changed.notify_all()
        if outcome:
            photo.future.set_result(outcome)
        self.on_progress()

    def _start_coloring(self) -> None:
        """Have the device color the next batch, if it is idle; the lock is held."""
        if self._ready and not self._device_is_busy and not self._given_up:
            self._device_is_busy = True
            self._device.submit(self._color_batch)

    def _next_batch(self) -> list[_Photo]:
        """Wait for a batch that is due, and take it; none once the engine was given up."""
        with self._changed:
            while (wait := self._due_in(time.monotonic())) > 0 and not self._given_up:
                self._changed.wait(wait)
            if self._given_up:
                return []
            count = min(len(self._ready), self._predictor.batch_size)
            return [self._ready.popleft() for _ in range(count)]

    def _due_in(self, now: float) -> float:
        """Return in how many seconds what is ready is to be colored; the lock is held."""
        full = len(self._ready) >= self._predictor.batch_size
        memory_is_full = self._pixels >= PIXELS_IN_MEMORY
        nothing_follows = memory_is_full or self._closed or not (self._waiting or self._writing)
        if full or (nothing_follows and not self._reading):
            return 0.0
        return self._ready[0].since + self._longest_wait - now

    def _color_batch(self) -> None:
        """Predict chroma for a batch, and hand its photographs to writers."""
        batch = self._next_batch()
        if not batch:
            return
        predictor, began = self._predictor, time.monotonic()
        results: Sequence[list[Colors] | Exception]
        try:
            wishes = [one for photo in batch for one in _wishes_of_pages(photo)]
            color = partial(predictor.color, wishes=wishes)
            results = predict_scans(color, [_scan(photo) for photo in batch])
            self.batch_done(len(batch), time.monotonic() - began)
        except Exception as error:  # noqa: BLE001 - the outcome of each of them
            results = [error] * len(batch)
        with self._changed:
            self._writing += len(batch)
            self._device_is_busy = False
            self._start_coloring()
            self._changed.notify_all()
        self.on_progress()
        for photo, result in zip(batch, results, strict=True):
            if isinstance(result, Exception):
                self._finish(photo, failed(photo.task, result))
            elif not self._given_up:
                self._writers.submit(self._write, photo, result, predictor)

    def _write(self, photo: _Photo, colors: Sequence[Colors], predictor: Predictor) -> None:
        try:
            outcome: Outcome = self._colored(photo.task, _scan(photo), colors, predictor)
        except Exception as error:  # noqa: BLE001 - an outcome like any other
            outcome = failed(photo.task, error)
        self._finish(photo, outcome)

    def _colored(
        self, task: Task, photo: Scan, colors: Sequence[Colors], predictor: Predictor
    ) -> Colored:
        chromas = [page.ab for page in colors]
        origin = Origin(
            name=PurePosixPath(task.source.path).name,
            sha256=task.source.sha256,
            model=predictor.model,
            weights_sha256=predictor.weights_sha256,
            software=task.label.software,
            event=task.label.event,
            when=datetime.fromisoformat(task.label.when),
            said=task.wishes.in_words,
        )
        with self._files.open_staging(task) as file:
            record = render.write(photo, chromas, origin, task.write, file, self._signer)
            file.flush()
            os.fsync(file.fileno())
            size = os.fstat(file.fileno()).st_size
            digest = digest_from_disk(Path(file.name))
            change, not_compared = self._change(task, file)
        settings = {
            "render_size": predictor.render_size,
            "precision": predictor.precision,
            **record.settings,
        }
        beside = tuple(replace(one, content=b"") for one in record.xmp_files)
        record = replace(record, settings=settings, xmp_files=beside)
        confidence = min(page.confidence for page in colors)
        return Colored(
            task.job,
            task.attempt,
            predictor.model,
            predictor.weights_sha256,
            record,
            digest,
            size,
            confidence,
            change,
            not_compared,
        )

    def _change(self, task: Task, staging: BufferedRandom) -> tuple[float | None, str]:
        """Compare a result with the earlier one; None, and why, if it cannot be compared."""
        if not task.source.recolor:
            return None, ""
        try:
            with self._files.open_earlier(task) as earlier:
                if earlier is None:
                    return None, ""
                present = FileIO(staging.fileno(), closefd=False)
                return difference.change(earlier, present, task.read), ""
        except Exception as error:  # noqa: BLE001 - the new result is whole, compared or not
            return None, str(error) or repr(error)

    def _finish(self, photo: _Photo, outcome: Outcome) -> None:
        with self._changed:
            self._writing -= 1
            self._pixels -= _scan(photo).size
            photo.scan = None  # its memory is free before anybody hears of it
            self._start_reading()
            self._changed.notify_all()
        photo.future.set_result(outcome)


def _scan(photo: _Photo) -> Scan:
    assert photo.scan is not None  # noqa: S101 - it was read, and is not written yet
    return photo.scan


def _wishes_of_pages(photo: _Photo) -> list[ColorWishes]:
    return [photo.task.wishes.of_page(number) for number in range(len(_scan(photo).pages))]
