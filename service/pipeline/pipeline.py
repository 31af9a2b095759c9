"""The photographs' way, many at once: claimed jobs -> engine -> outcomes -> delivered.

Each `step`, without waiting for any of the threads that do the work:
1. collect what was delivered: finish the job, then archive its original
2. collect the engine's outcomes: a colored photograph is handed to a thread that delivers it, and
   `FailureHandler` decides what becomes of one that failed
3. see why no new work may begin: a folder is away, a disk nearly full, or a fault waited for
4. carry out what people decided on results
5. claim jobs and submit them, as many as the engine takes
"""

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, Protocol

import structlog

from service.config.loader import Config
from service.filesystem.availability import FolderMonitor
from service.ledger.jobs import Job
from service.ledger.ledger import Ledger
from service.pipeline.approvals import Approvals
from service.pipeline.delivery import Delivery, deliver, log_replaced_color, target_of
from service.pipeline.failures import Counters, FailureHandler
from service.pipeline.growth import supersede_shorter
from service.pipeline.tasks import task_of
from service.storage import deliveries
from service.storage.departures import Originals, Watched
from service.storage.naming import free_name, well_named
from service.storage.outbox import Delivered, TakenError
from worker.inference.engine import Colored, Engine, Failed, Outcome, Task, failed
from worker.inference.predictor import Predictor
from worker.metadata.provenance import Record

THREADS = min(8, max(2, os.cpu_count() or 1))  # that deliver

log = structlog.get_logger()


class Inbox(Watched, Protocol):
    """The watched inbox, as the pipeline needs it."""

    def hold(self, path: Path, reason: str, now: float) -> bool:
        """Wait for the rest of a file; False when that was done long enough."""


class _Coloring(NamedTuple):
    job: Job
    task: Task


class _Delivering(NamedTuple):
    job: Job
    task: Task
    outcome: Colored
    hold: bool


class Pipeline:
    """Carries jobs from the ledger through an engine to the outbox.

    All ledger work and all decisions happen in the thread that calls `step`; the engine has threads
    of its own, and so have deliveries.

    Args:
        config: folders and limits.
        ledger: where jobs come from and go to.
        engine: colors; it ends with the pipeline.
        places: the folders.
        wake: called from other threads when there is something to step for.
        watched: the inbox: told of what left it, and waits for the rest of what is incomplete.
        tally: counts what becomes of photographs.
    """

    def __init__(
        self,
        config: Config,
        ledger: Ledger,
        engine: Engine,
        places: FolderMonitor,
        wake: Callable[[], None],
        watched: Inbox,
        tally: Counters | None = None,
    ) -> None:
        """Start the threads; no job is claimed yet."""
        self._config = config
        self._ledger = ledger
        self.engine = engine
        self.places = places
        self._wake = wake
        self._deliverers = ThreadPoolExecutor(THREADS, "deliverer")
        self._coloring: dict[Future[Outcome], _Coloring] = {}
        self._delivering: dict[Future[Delivered[Record]], _Delivering] = {}
        self._claimed: deque[Job] = deque()  # that are not submitted yet
        self._moved = False
        self._moved_at = 0.0
        self.tally = tally or Counters()
        self._blocked_by = ""
        self.originals = Originals(config, self.places, watched, ledger)
        self.approvals = Approvals(config, ledger, self.places)
        self._failures = FailureHandler(
            config.retry,
            ledger,
            self.places,
            self.originals,
            self.tally,
            lambda path, reason, now: watched.hold(config.inbox / path, reason, now),
        )
        engine.on_progress = self._note_progress

    @property
    def busy(self) -> bool:
        """Whether photographs are in hand."""
        return self._in_flight > 0

    @property
    def _in_flight(self) -> int:
        return len(self._claimed) + len(self._coloring) + len(self._delivering)

    def in_hand(self) -> list[Job]:
        """List the jobs of the photographs in hand."""
        coloring = (one.job for one in self._coloring.values())
        return [*self._claimed, *coloring, *(one.job for one in self._delivering.values())]

    @property
    def faults(self) -> int:
        """How many faults of the machine came without a delivery in between."""
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
        """Return for how many seconds no photograph in hand has moved; 0 with none in hand."""
        return now - self._moved_at if self.busy else 0.0

    def take_up(self, predictor: Predictor) -> None:
        """Color with another generator from the next photographs on."""
        self.engine.take_up(predictor)

    def reject(self, job: Job, reason: str, now: float, wall: float) -> None:
        """Reject a queued job; see `FailureHandler.reject`."""
        self._failures.reject(job, reason, now, wall)

    def step(self, now: float, wall: float, *, claim: bool = True) -> None:
        """Do all that can be done now.

        Args:
            now: monotonic seconds.
            wall: seconds since 1970, for the ledger.
            claim: False to only finish what is in hand.
        """
        if self._moved or not self.busy:
            self._moved, self._moved_at = False, now
        self._collect_delivered(now, wall)
        self._collect_outcomes(now, wall)
        self._failures.update(now, wall)
        self._blocked_by = self._failures.blocked_by(now, wall)
        self.originals.step(now)
        if claim:
            self.approvals.step(now)
        if claim and not self._blocked_by:
            self._claim(now, wall)
        self._submit(wall)

    def next_due(self, now: float) -> float | None:
        """Return in how many seconds a step is useful though nothing woke it, or None."""
        return 0.0 if self.approvals.more else self.originals.next_due(now)

    def release(self, wall: float) -> None:
        """Give back the jobs that the engine has not begun."""
        for future in [future for future in self._coloring if future.cancel()]:
            self._claimed.append(self._coloring.pop(future).job)
        while self._claimed:
            self._ledger.unclaim(self._claimed[0].id, wall)
            self._claimed.popleft()

    def close(self) -> None:
        """End the threads; what they have in hand is finished first."""
        self.engine.close()
        self._deliverers.shutdown()

    def abandon(self) -> None:
        """End the threads, and begin none of what waits for them: it could not be noted."""
        self.engine.close(wait=False)
        self._deliverers.shutdown(wait=False, cancel_futures=True)

    # The steps, in a photograph's order

    def _claim(self, now: float, wall: float) -> None:
        """Claim jobs, if the engine has begun all that it was given."""
        if self._claimed or any(not (one.running() or one.done()) for one in self._coloring):
            return
        # After a fault of the machine one photograph goes first, to see whether it works again.
        most = 1 if self.faults else self.engine.slots
        room = min(self.engine.batch_size, most - self._in_flight)
        if room > 0:
            self._claimed.extend(
                self._ledger.claim(
                    room,
                    wall,
                    in_flight=self._in_flight,
                    longest_wait=self._config.retry.longest_wait,
                    below=self._failures.shortage.below(now),
                )
            )

    def _submit(self, wall: float) -> None:
        while self._claimed:
            job = well_named(self._claimed[0], self._config, self._ledger)
            self._claimed.popleft()
            task = task_of(job, self._config, wall)
            future = self.engine.submit(task)
            self._coloring[future] = _Coloring(job, task)
            future.add_done_callback(lambda _future: self._wake())

    def _note_progress(self) -> None:
        self._moved = True
        self._wake()

    def _collect_outcomes(self, now: float, wall: float) -> None:
        for future in [future for future in self._coloring if future.done()]:
            self._moved_at = now
            (job, task), outcome = self._coloring[future], future.result()
            if isinstance(outcome, Failed):
                self._failures.handle(job, outcome, now, wall)
            else:
                job = supersede_shorter(job, outcome.record, self._config, self._ledger)
                self._start_delivery(job, task, outcome, wall)
            # Last: if the ledger cannot be written now, the next step tries again.
            del self._coloring[future]

    def _start_delivery(self, job: Job, task: Task, outcome: Colored, wall: float) -> None:
        hold = job.held or self._config.review.holds(outcome.confidence)
        target = target_of(job, task, self._config, self.places, hold=hold)
        delivery = Delivery(task, outcome, job.started_at or wall)
        future = self._deliverers.submit(deliver, target, delivery)
        self._delivering[future] = _Delivering(job, task, outcome, hold)
        future.add_done_callback(lambda _future: self._wake())

    def _collect_delivered(self, now: float, wall: float) -> None:
        for future in [future for future in self._delivering if future.done()]:
            self._moved_at = now
            job, task, _outcome, _hold = delivering = self._delivering[future]
            error = future.exception()
            if isinstance(error, TakenError):  # since the job was queued
                self._name_otherwise(job, error, wall)
            elif isinstance(error, Exception):
                self._failures.handle(job, failed(task, error), now, wall)
            else:
                self._finish(delivering, now, wall)
            del self._delivering[future]

    def _finish(self, delivering: _Delivering, now: float, wall: float) -> None:
        job, task, outcome, hold = delivering
        # As the ledger has it now: the same scan may have been dropped again meanwhile.
        finished = self._ledger.finish(
            job.id,
            model=outcome.model,
            now=wall,
            output_digest=outcome.sha256,
            event=task.label.event,
            confidence=outcome.confidence,
            held=hold,
        )
        self._failures.delivered(finished, now)
        deliveries.forget(self._config.state, job.id)
        self.tally.finished += 1
        self.tally.pixels += outcome.pixels
        self._log_delivery(finished, outcome.record, wall)
        read = frozenset(file.sha256 for file in outcome.record.xmp_files)
        self.originals.archive(finished, now, verified=True, xmp_read=read)

    @staticmethod
    def _log_delivery(job: Job, record: Record, wall: float) -> None:
        if record.lost:
            log.warning("photo.left_behind", job=job.id, path=job.path, what=record.lost)
        log_replaced_color(record, job=job.id, path=job.path)
        seconds = round(max(0.0, wall - (job.started_at or wall)), 3)
        if job.held:
            log.info(
                "photo.held",
                job=job.id,
                path=job.path,
                output=job.output,
                seconds=seconds,
                model=job.model,
                confidence=job.confidence,
            )
            return
        log.info(
            "photo.delivered",
            job=job.id,
            path=job.path,
            output=job.output,
            seconds=seconds,
            model=job.model,
        )

    def _name_otherwise(self, job: Job, error: TakenError, wall: float) -> None:
        """Give a result another name, since another file has taken its own, and requeue the job."""
        name = free_name(job.path, job.digest, self._config, self._ledger.queries)
        self._ledger.rename_output(job.id, name)
        self._ledger.unclaim(job.id, wall)
        log.warning("photo.name_taken", job=job.id, path=job.path, reason=str(error), output=name)
