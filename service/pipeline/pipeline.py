"""The way of the photos, many at once: claimed jobs -> scans -> color -> delivered.

Each `step`, without waiting for any of the threads that do the work:
1. take the results of writers: finish the job, then archive the original
2. take the results of the device: hand each photo and its chroma to a writer
3. take the results of readers: a scan is ready for the device, or its job is rejected or waits
4. claim jobs and hand them to readers, as far as memory allows; none while a folder is away, a
   disk is nearly full, or a fault of the machine is waited for
5. when a batch is full or has waited long enough, hand it to the device
"""

import os
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import structlog

from service.config.loader import Config
from service.filesystem.availability import FolderMonitor
from service.ledger.jobs import Job
from service.ledger.ledger import Ledger
from service.pipeline.delivery import Source, Target, deliver, log_replaced_color
from service.pipeline.failures import Counters, FailureHandler
from service.pipeline.growth import supersede_shorter
from service.pipeline.protocols import Predictor
from service.pipeline.reading import confirm, read_scan
from service.storage import deliveries
from service.storage.deliveries import Own
from service.storage.departures import Originals, Watched
from service.storage.naming import free_name, well_named
from service.storage.outbox import Delivered, TakenError
from worker.metadata.provenance import Origin, Record
from worker.scan import Scan, predict_scans

THREADS = min(8, max(2, os.cpu_count() or 1))  # that read, and as many that write
PIXELS_IN_MEMORY = 256_000_000  # from reader to outbox; one larger photo goes alone
BATCHES_IN_MEMORY = 5
BATCHES_ON_DEVICE = 2  # one at work, and the next waiting, so that the device never does

T = TypeVar("T")
Delivery = tuple[Delivered[Record], Origin]
log = structlog.get_logger()


class Inbox(Watched, Protocol):
    """The watched inbox, as the pipeline needs it."""

    def hold(self, path: Path, reason: str, now: float) -> bool:
        """Wait for the rest of a file; False when that was done long enough."""


class _Batch(NamedTuple):
    """Photos on the device; they are finished by the colorist that predicted them."""

    future: Future[list[Any]]
    photos: deque[tuple[Job, Scan]]
    colorist: Predictor


class _Writing(NamedTuple):
    job: Job
    photo: Scan
    model: str


class Pipeline:
    """Carries jobs from the ledger through to the outbox.

    All ledger work and all decisions happen in the thread that calls `step`; readers, writers and
    the device have threads of their own.

    Args:
        config: folders and limits.
        ledger: where jobs come from and go to.
        colorist: the loaded generator.
        wake: called from other threads when there is something to step for.
        watched: the inbox: told of what left it, and waits for the rest of what is not whole.
        tally: counts what becomes of photos.

    Attributes:
        colorist: the generator that colors the next batch.
        batch_done: told of each batch, in photos and the device's seconds, from its thread.
        places: the folders.
    """

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        colorist: Predictor,
        wake: Callable[[], None],
        watched: Inbox,
        tally: Counters | None = None,
    ) -> None:
        """Start the threads; no job is claimed yet."""
        self._config = config
        self._ledger = ledger
        self.colorist = colorist
        self._wake = wake
        self._readers = ThreadPoolExecutor(THREADS, "reader")
        self._device = ThreadPoolExecutor(1, "device")
        self._writers = ThreadPoolExecutor(THREADS, "writer")
        self._claimed: deque[Job] = deque()
        self._reading: dict[Future[Scan], Job] = {}
        self._ready: deque[tuple[Job, Scan, float]] = deque()
        self._coloring: deque[_Batch] = deque()
        self._writing: dict[Future[Delivery], _Writing] = {}
        self._moved_at = 0.0
        self.tally = tally or Counters()
        self.batch_done: Callable[[int, float], None] = lambda _photos, _seconds: None
        self._blocked_by = ""
        self.places = FolderMonitor(config.folders, config.limits.free_space)
        self.originals = Originals(config, self.places, watched, ledger)
        self._failures = FailureHandler(
            config.retry,
            ledger,
            self.places,
            self.originals,
            self.tally,
            lambda path, reason, now: watched.hold(config.inbox / path, reason, now),
        )

    @property
    def busy(self) -> bool:
        """Whether photos are in hand."""
        return self._in_flight > 0

    @property
    def _in_flight(self) -> int:
        return len(self.in_hand())

    def in_hand(self) -> list[Job]:
        """List the jobs of the photos in hand."""
        coloring = (job for batch in self._coloring for job, _photo in batch.photos)
        ready = (job for job, _photo, _since in self._ready)
        writing = (one.job for one in self._writing.values())
        return [*self._claimed, *self._reading.values(), *ready, *coloring, *writing]

    @property
    def faults(self) -> int:
        """How many faults of the machine came in a row, without a photo delivered in between."""
        return self._failures.in_a_row

    @property
    def blocked_by(self) -> str:
        """Why no new work begins, as of the last step; "" when nothing blocks."""
        return self._blocked_by

    def unresolved(self, now: float) -> str:
        """Return the machine's fault that photographs were put back for and did not get past yet.

        Args:
            now: monotonic seconds.
        """
        return self._failures.unresolved(now, busy=self.busy)

    def still(self, now: float) -> float:
        """Return for how many seconds no photo in hand has moved; 0 with none in hand."""
        return now - self._moved_at if self.busy else 0.0

    def take_up(self, colorist: Predictor) -> None:
        """Color with another generator from the next batch on; what the old one has, it ends."""
        self.colorist = colorist

    def reject(self, job: Job, reason: str, now: float, wall: float) -> None:
        """Give a queued job up; see `FailureHandler.reject`."""
        self._failures.reject(job, reason, now, wall)

    def step(self, now: float, wall: float, *, claim: bool = True) -> None:
        """Do all that can be done now.

        Args:
            now: monotonic seconds.
            wall: seconds since 1970, for the ledger.
            claim: False to only bring what is in hand to its end.
        """
        if not self.busy:
            self._moved_at = now
        self._collect_written(now, wall)
        self._collect_colored(now, wall)
        self._collect_read(now, wall)
        self._failures.update(now, wall)
        self._blocked_by = self._failures.blocked_by(now, wall)
        self.originals.step(now)
        if claim and not self._blocked_by:
            self._claim(now, wall)
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
            self._ledger.unclaim(self._claimed[0].id, wall)
            self._claimed.popleft()

    def close(self) -> None:
        """End the threads; what they have in hand is finished first."""
        self._readers.shutdown(cancel_futures=True)
        self._device.shutdown()
        self._writers.shutdown()

    def abandon(self) -> None:
        """End the threads, and begin none of what waits for them: it could not be noted."""
        for threads in (self._readers, self._device, self._writers):
            threads.shutdown(wait=False, cancel_futures=True)

    # The steps, in a photo's order

    def _claim(self, now: float, wall: float) -> None:
        batch = self.colorist.batch_size
        # After a fault of the machine one photo goes first, to see whether it works again.
        most = 1 if self.faults else BATCHES_IN_MEMORY * batch
        room = min(batch, most - self._in_flight)
        if not self._claimed and room > 0:
            longest = self._config.retry.longest_wait
            self._claimed.extend(
                self._ledger.claim(
                    room,
                    wall,
                    in_flight=self._in_flight,
                    longest_wait=longest,
                    below=self._failures.shortage.below(now),
                )
            )

    def _start_reading(self) -> None:
        while (
            self._claimed
            and len(self._reading) < THREADS
            and self._pixels_in_memory() < PIXELS_IN_MEMORY
        ):
            job = well_named(self._claimed[0], self._config, self._ledger)
            self._claimed.popleft()
            future = self._readers.submit(read_scan, job, self._config, self.places)
            self._reading[future] = job
            future.add_done_callback(lambda _future: self._wake())

    def _pixels_in_memory(self) -> int:
        ready = [photo for _job, photo, _since in self._ready]
        coloring = [photo for batch in self._coloring for _job, photo in batch.photos]
        writing = [writing.photo for writing in self._writing.values()]
        return sum(photo.size for photo in (*ready, *coloring, *writing))

    def _collect_read(self, now: float, wall: float) -> None:
        for future in [future for future in self._reading if future.done()]:
            job = self._reading[future]
            photo = self._outcome(job, future, now, wall)
            if photo is not None:
                job = supersede_shorter(job, photo, self._config, self._ledger)
                self._ready.append((job, photo, now))
            # Last: if the ledger cannot be written now, the next step tries again.
            del self._reading[future]

    def _start_coloring(self, now: float) -> None:
        while len(self._coloring) < BATCHES_ON_DEVICE and self._batch_is_due(now):
            count = min(len(self._ready), self.colorist.batch_size)
            batch = deque(self._ready.popleft()[:2] for _ in range(count))
            scans = [photo for _job, photo in batch]
            future = self._device.submit(self._predict, self.colorist, scans)
            self._coloring.append(_Batch(future, batch, self.colorist))
            future.add_done_callback(lambda _future: self._wake())

    def _predict(self, colorist: Predictor, scans: list[Scan]) -> list[Any]:
        began = time.monotonic()
        results: list[Any] = predict_scans(colorist.predict, scans)
        self.batch_done(len(scans), time.monotonic() - began)
        return results

    def _batch_is_due(self, now: float) -> bool:
        if len(self._ready) >= self.colorist.batch_size:
            return True
        if not self._ready or self._coloring:  # a batch may fill while the device is busy
            return False
        nothing_follows = not self._reading and not self._writing and not self._claimed
        waited = now - self._ready[0][2] >= self._config.batch.longest_wait
        memory_is_full = not self._reading and self._pixels_in_memory() >= PIXELS_IN_MEMORY
        return waited or nothing_follows or memory_is_full

    def _collect_colored(self, now: float, wall: float) -> None:
        while self._coloring and self._coloring[0].future.done():
            self._moved_at = now
            future, batch, colorist = self._coloring[0]
            fault = future.exception()
            results = [fault] * len(batch) if fault else future.result()[-len(batch) :]
            for result in results:
                job, photo = batch[0]
                if isinstance(result, Exception):
                    self._failures.handle(job, result, now, wall)
                else:
                    self._start_writing(job, photo, result, colorist, wall)
                batch.popleft()
            self._coloring.popleft()

    def _start_writing(
        self, job: Job, photo: Scan, chroma: Any, colorist: Predictor, wall: float
    ) -> None:
        read = job.started_at or wall
        source = Source(job.path, job.digest, job.stat, read, job.settings)
        check = partial(self.places.check, "outbox")
        target = Target(self._config.outbox, job.output, check, own=Own(self._config.state, job))
        if not job.recolor:  # else it was found by its content
            target = target._replace(confirm=partial(confirm, job, self._config, self.places))
        future = self._writers.submit(deliver, target, photo, chroma, colorist, source, wall)
        self._writing[future] = _Writing(job, photo, colorist.model)
        future.add_done_callback(lambda _future: self._wake())

    def _collect_written(self, now: float, wall: float) -> None:
        for future in [future for future in self._writing if future.done()]:
            job, photo, model = self._writing[future]
            outcome = self._outcome(job, future, now, wall)
            if outcome is not None:
                delivered, origin = outcome
                # As the ledger has it now: the same scan may have been dropped again meanwhile.
                finished = self._ledger.finish(
                    job.id,
                    model=model,
                    now=wall,
                    output_digest=delivered.sha256,
                    event=origin.event,
                )
                self._failures.delivered(finished, now)
                deliveries.forget(self._config.state, job.id)
                self.tally.finished += 1
                self.tally.pixels += photo.size
                self._log_delivery(finished, delivered.result, wall)
                read = frozenset(file.sha256 for file in delivered.result.xmp_files)
                self.originals.archive(finished, now, verified=True, xmp_read=read)
            del self._writing[future]

    @staticmethod
    def _log_delivery(job: Job, record: Record, wall: float) -> None:
        if record.lost:
            log.warning("photo.left_behind", job=job.id, path=job.path, what=record.lost)
        log_replaced_color(record, job=job.id, path=job.path)
        log.info(
            "photo.delivered",
            job=job.id,
            path=job.path,
            output=job.output,
            seconds=round(max(0.0, wall - (job.started_at or wall)), 3),
            model=job.model,
        )

    def _name_otherwise(self, job: Job, error: TakenError, wall: float) -> None:
        """Have a photo come out under a free name: another file has the one it was to get."""
        name = free_name(job.path, job.digest, self._config, self._ledger.queries)
        self._ledger.rename_output(job.id, name)
        self._ledger.unclaim(job.id, wall)
        log.warning("photo.name_taken", job=job.id, path=job.path, reason=str(error), output=name)

    def _outcome(self, job: Job, future: Future[T], now: float, wall: float) -> T | None:
        """Return what a thread made of a job, or settle the job and return None."""
        self._moved_at = now
        try:
            return future.result()
        except TakenError as error:  # since the job was queued
            self._name_otherwise(job, error, wall)
            return None
        except Exception as error:  # noqa: BLE001 - `FailureHandler.handle` decides, and logs
            self._failures.handle(job, error, now, wall)
            return None
