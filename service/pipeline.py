"""The way of the photos, many at once: claimed jobs -> scans -> color -> delivered.

Each `step`, without waiting for any of the threads that do the work:
1. take the results of writers: finish the job, then archive the original
2. take the results of the device: hand each photo and its chroma to a writer
3. take the results of readers: a scan is ready for the device, or its job is rejected or waits
4. claim jobs and hand them to readers, as far as memory allows
5. when a batch is full or has waited long enough, hand it to the device
"""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, TypeVar

import structlog

from service import outbox
from service.config import Config
from service.jobs import Job
from service.ledger import Ledger
from service.originals import Originals, still_there
from service.sections import Retry
from worker import scan
from worker.errors import DeviceError, ScanError
from worker.scan import Scan

THREADS = min(8, max(2, os.cpu_count() or 1))  # that read, and as many that write
PIXELS_IN_MEMORY = 256_000_000  # from reader to outbox; one larger photo goes alone
BATCHES_IN_MEMORY = 5
BATCHES_ON_DEVICE = 2  # one at work, and the next waiting, so that the device never does

T = TypeVar("T")
log = structlog.get_logger()


class Colorist(Protocol):
    """What the pipeline needs of `worker.colorizer.Colorizer`; tests bring their own."""

    batch_size: int

    @property
    def model(self) -> str:
        """Name of the model version that colors."""

    def predict(self, scans: Sequence[Scan]) -> list[Any]:
        """Give chroma, or a ScanError, for each scan."""

    def paint(self, photo: Scan, chroma: Any, file: Any) -> None:
        """Write the colored photo into an open file."""


class Changed(Exception):  # noqa: N818 - it is news, no error
    """The file is gone, or no longer the one that was queued; the watcher brings what it is now."""


@dataclass
class Tally:
    """What happened since the daemon started, in photos."""

    finished: int = 0
    rejected: int = 0


class _Trouble:
    """How long the machine's faults make everything wait: doubling until something works again."""

    def __init__(self, retry: Retry) -> None:
        """There is no trouble yet."""
        self._retry = retry
        self.faults = 0
        self.until = 0.0

    def begin(self, now: float) -> float:
        """Note a fault; return the seconds to wait. Photos that fail together are one fault."""
        if now >= self.until:
            self.until = now + self._retry.wait_after(self.faults)
            self.faults += 1
        return self.until - now

    def end(self) -> None:
        """Something works again."""
        self.faults, self.until = 0, 0.0


class Pipeline:
    """Carries jobs from the ledger through to the outbox.

    All ledger work and all decisions happen in the thread that calls `step`; readers, writers and
    the device have threads of their own.

    Args:
        config: folders and limits.
        ledger: where jobs come from and go to.
        colorist: the loaded generator.
        wake: called from other threads when there is something to step for.
        moved: told of each original that left the inbox.
    """

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        colorist: Colorist,
        wake: Callable[[], None],
        moved: Callable[[Path], None] = lambda _path: None,
    ) -> None:
        """Start the threads; no job is claimed yet."""
        self._config = config
        self._ledger = ledger
        self._colorist = colorist
        self._wake = wake
        self._readers = ThreadPoolExecutor(THREADS, "reader")
        self._device = ThreadPoolExecutor(1, "device")
        self._writers = ThreadPoolExecutor(THREADS, "writer")
        self._claimed: deque[Job] = deque()
        self._reading: dict[Future[Scan], Job] = {}
        self._ready: deque[tuple[Job, Scan, float]] = deque()
        self._coloring: deque[tuple[Future[list[Any]], deque[tuple[Job, Scan]]]] = deque()
        self._writing: dict[Future[Path], tuple[Job, Scan]] = {}
        self._trouble = _Trouble(config.retry)
        self.originals = Originals(config, moved)
        self.tally = Tally()

    @property
    def busy(self) -> bool:
        """Whether photos are in hand."""
        return self._in_flight > 0

    @property
    def _in_flight(self) -> int:
        coloring = sum(len(batch) for _future, batch in self._coloring)
        holding = (self._claimed, self._reading, self._ready, self._writing)
        return coloring + sum(len(jobs) for jobs in holding)

    @property
    def faults(self) -> int:
        """How many faults of the machine came in a row, without a photo delivered in between."""
        return self._trouble.faults

    def step(self, now: float, wall: float, *, claim: bool = True) -> None:
        """Do all that can be done now.

        Args:
            now: monotonic seconds.
            wall: seconds since 1970, for the ledger.
            claim: False to only bring what is in hand to its end.
        """
        self._collect_written(now, wall)
        self._collect_colored(now, wall)
        self._collect_read(now, wall)
        self.originals.step(now)
        if claim and now >= self._trouble.until:
            self._claim(wall)
        self._start_reading()
        self._start_coloring(now)

    def next_due(self, now: float) -> float | None:
        """Return in how many seconds a step is useful though nothing woke it, or None."""
        move = self.originals.next_due(now)
        if not self._ready or self._coloring:  # the device wakes when it is done
            return move
        batch = max(0.0, self._ready[0][2] + self._config.batch.longest_wait - now)
        return batch if move is None else min(batch, move)

    def release(self, wall: float) -> None:
        """Give back the jobs that nobody has begun to read."""
        while self._claimed:
            self._ledger.release(self._claimed[0].id, wall)
            self._claimed.popleft()

    def close(self) -> None:
        """End the threads; what they have in hand is finished first."""
        self._readers.shutdown(cancel_futures=True)
        self._device.shutdown()
        self._writers.shutdown()

    # The steps, in a photo's order

    def _claim(self, wall: float) -> None:
        batch = self._colorist.batch_size
        room = min(batch, BATCHES_IN_MEMORY * batch - self._in_flight)
        if not self._claimed and room > 0:
            self._claimed.extend(self._ledger.claim(room, wall, in_flight=self._in_flight))

    def _start_reading(self) -> None:
        while (
            self._claimed
            and len(self._reading) < THREADS
            and self._pixels_in_memory() < PIXELS_IN_MEMORY
        ):
            job = self._claimed.popleft()
            future = self._readers.submit(self._read, job)
            self._reading[future] = job
            future.add_done_callback(lambda _future: self._wake())

    def _pixels_in_memory(self) -> int:
        ready = [photo for _job, photo, _since in self._ready]
        coloring = [photo for _future, batch in self._coloring for _job, photo in batch]
        writing = [photo for _job, photo in self._writing.values()]
        return sum(photo.gray.size for photo in (*ready, *coloring, *writing))

    def _read(self, job: Job) -> Scan:
        path = self._config.inbox / job.path
        if not still_there(path, job.snapshot):
            raise Changed
        photo = scan.read(path, self._config.read_settings)
        if not still_there(path, job.snapshot):
            raise Changed
        return photo

    def _collect_read(self, now: float, wall: float) -> None:
        for future in [future for future in self._reading if future.done()]:
            job = self._reading[future]
            photo = self._outcome(job, future, now, wall)
            if photo is not None:
                self._ready.append((job, photo, now))
            # Last: if the ledger cannot be written now, the next step tries again.
            del self._reading[future]

    def _start_coloring(self, now: float) -> None:
        while len(self._coloring) < BATCHES_ON_DEVICE and self._batch_is_due(now):
            count = min(len(self._ready), self._colorist.batch_size)
            batch = deque(self._ready.popleft()[:2] for _ in range(count))
            future = self._device.submit(self._colorist.predict, [photo for _job, photo in batch])
            self._coloring.append((future, batch))
            future.add_done_callback(lambda _future: self._wake())

    def _batch_is_due(self, now: float) -> bool:
        if len(self._ready) >= self._colorist.batch_size:
            return True
        if not self._ready or self._coloring:  # a batch may fill while the device is busy
            return False
        nothing_follows = not self._reading and not self._writing and not self._claimed
        waited = now - self._ready[0][2] >= self._config.batch.longest_wait
        memory_is_full = not self._reading and self._pixels_in_memory() >= PIXELS_IN_MEMORY
        return waited or nothing_follows or memory_is_full

    def _collect_colored(self, now: float, wall: float) -> None:
        while self._coloring and self._coloring[0][0].done():
            future, batch = self._coloring[0]
            fault = future.exception()
            results = [fault] * len(batch) if fault else future.result()[-len(batch) :]
            for result in results:
                job, photo = batch[0]
                if isinstance(result, Exception):
                    self._settle(job, result, now, wall)
                else:
                    self._start_writing(job, photo, result)
                batch.popleft()
            self._coloring.popleft()

    def _start_writing(self, job: Job, photo: Scan, chroma: Any) -> None:
        future = self._writers.submit(self._write, job, photo, chroma)
        self._writing[future] = (job, photo)
        future.add_done_callback(lambda _future: self._wake())

    def _write(self, job: Job, photo: Scan, chroma: Any) -> Path:
        paint = partial(self._colorist.paint, photo, chroma)
        return outbox.deliver(self._config.outbox, PurePosixPath(job.output), paint)

    def _collect_written(self, now: float, wall: float) -> None:
        for future in [future for future in self._writing if future.done()]:
            job, _photo = self._writing[future]
            if self._outcome(job, future, now, wall) is not None:
                self._ledger.finish(job.id, model=self._colorist.model, now=wall)
                self._trouble.end()
                self.tally.finished += 1
                seconds = round(wall - (job.started_at or wall), 3)
                log.info(
                    "photo.delivered", job=job.id, path=job.path, output=job.output, seconds=seconds
                )
                self.originals.archive(job, now)
            del self._writing[future]

    # What went wrong, and whose fault it is

    def _outcome(self, job: Job, future: Future[T], now: float, wall: float) -> T | None:
        """Return what a thread made of a job, or settle the job and return None."""
        try:
            return future.result()
        except Exception as error:  # noqa: BLE001 - `_settle` decides, and logs
            self._settle(job, error, now, wall)
            return None

    def _settle(self, job: Job, error: Exception, now: float, wall: float) -> None:
        """Reject a job or put it back, by whose fault it was."""
        if isinstance(error, ScanError):
            self._reject(job, str(error), now, wall)
        elif isinstance(error, Changed):
            self._ledger.fail(job.id, "the file was changed or taken away before it was read", wall)
            log.info("photo.changed", job=job.id, path=job.path)
        elif isinstance(error, OSError | DeviceError | MemoryError):
            self._wait(job, error, now, wall)
        else:
            # A fault nobody foresaw, met by one photo, must not stop the line. Its traceback is
            # logged, its attempt counts, and after the last one the photo is rejected.
            log.error(
                "photo.failed", job=job.id, path=job.path, attempt=job.attempts, exc_info=error
            )
            if job.attempts >= self._config.retry.attempts:
                reason = f"photochrom failed on this photo {job.attempts} times, lastly: {error!r}"
                self._reject(job, reason, now, wall)
            else:
                self._ledger.again(job.id, repr(error), wall + self._config.retry.first_wait)

    def _wait(self, job: Job, error: Exception, now: float, wall: float) -> None:
        """Put a job back in the queue: the machine is at fault, so everything waits a while."""
        seconds = self._trouble.begin(now)
        self._ledger.wait(job.id, str(error) or repr(error), wall + seconds)
        log.warning(
            "photo.waits",
            job=job.id,
            path=job.path,
            reason=str(error) or repr(error),
            seconds=round(seconds, 1),
        )

    def _reject(self, job: Job, reason: str, now: float, wall: float) -> None:
        self._ledger.fail(job.id, reason, wall)
        self.tally.rejected += 1
        log.warning("photo.rejected", job=job.id, path=job.path, reason=reason)
        self.originals.reject(job, reason, now)
