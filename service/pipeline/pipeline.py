"""The photographs' way, many at once: claimed jobs -> engine -> outcomes -> delivered.

Each `step`, without waiting for any of the threads that do the work:
1. collect what was delivered, and what was colored, in one transaction of the ledger: the former is
   finished, and its original then archived; of the latter is noted what it delivers, and it is then
   handed to a thread that does
2. `FailureHandler` decides what becomes of those that failed
3. see why no new work may begin: a folder is away, a disk nearly full, or a fault waited for
4. carry out what people decided on results
5. claim jobs and submit them, as many as the engine takes
"""

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
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
from service.storage.departures import Originals, Watched
from service.storage.naming import free_name, well_named
from service.storage.outbox import Delivered, TakenError
from worker.inference.engine import Colored, Engine, Failed, Outcome, Task, failed
from worker.inference.predictor import Predictor
from worker.metadata.provenance import Record

THREADS = 16  # that deliver; they mostly wait for the disk, which syncs many files as fast as one
MOST_DELIVERING = 64  # photographs; none is begun while there are more

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
        self._engine_idle_since: float | None = None
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

    def idle_engine(self, now: float) -> float:
        """Return for how many seconds the engine has colored nothing; 0 if it does."""
        return 0.0 if self._engine_idle_since is None else now - self._engine_idle_since

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
        self._collect(now, wall)
        self._failures.update(now, wall)
        idle = self.engine.blocked_by
        if not idle or self._engine_idle_since is None:
            self._engine_idle_since = now if idle else None
        self._blocked_by = self._failures.blocked_by(now, wall) or idle
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
        room = 1 - self._in_flight
        if not self.faults:
            free = MOST_DELIVERING - len(self._delivering)
            room = min(self.engine.batch_size, self.engine.slots - len(self._coloring), free)
        if room > 0:
            self._claimed.extend(
                self._ledger.claim(
                    room,
                    wall,
                    in_flight=self._in_flight,
                    longest_wait=self._config.retry.longest_wait,
                    below=self._failures.shortage.below(now),
                    alone=not self.engine.isolates,
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

    def _collect(self, now: float, wall: float) -> None:
        """Finish what was delivered, and deliver what was colored; the ledger commits once.

        If the ledger cannot be written now, the next step tries again.
        """
        delivered = [future for future in self._delivering if future.done()]
        outcomes = [future for future in self._coloring if future.done()]
        if delivered or outcomes:
            self._moved_at = now
            self._collect_successes(
                [future for future in delivered if future.exception() is None],
                [future for future in outcomes if isinstance(future.result(), Colored)],
                now,
                wall,
            )
            self._collect_failures(delivered, outcomes, now, wall)

    def _collect_successes(
        self,
        delivered: Sequence[Future[Delivered[Record]]],
        colored: Sequence[Future[Outcome]],
        now: float,
        wall: float,
    ) -> None:
        with self._ledger.transaction() if delivered or colored else nullcontext():
            finished = [self._finish(self._delivering[future], wall) for future in delivered]
            noted = [self._note_delivery(future, wall) for future in colored]
        for future, job in zip(delivered, finished, strict=True):
            self._archive(self._delivering.pop(future), job, now, wall)
        for done, (job, delivery) in zip(colored, noted, strict=True):
            del self._coloring[done]
            self._start_delivery(job, delivery)

    def _collect_failures(
        self,
        delivered: Sequence[Future[Delivered[Record]]],
        outcomes: Sequence[Future[Outcome]],
        now: float,
        wall: float,
    ) -> None:
        for future in delivered:
            if future in self._delivering:
                self._fail_delivery(self._delivering[future], future.exception(), now, wall)
                del self._delivering[future]
        for done in outcomes:
            outcome = done.result()
            if isinstance(outcome, Failed):
                self._failures.handle(self._coloring[done].job, outcome, now, wall)
                del self._coloring[done]

    def _note_delivery(self, colored: Future[Outcome], wall: float) -> tuple[Job, Delivery]:
        """Note in the ledger what is about to get a name."""
        (job, task), outcome = self._coloring[colored], colored.result()
        assert isinstance(outcome, Colored)  # noqa: S101 - see `_collect`
        job = supersede_shorter(job, outcome.record, self._config, self._ledger)
        self._ledger.note_delivery(job.id, outcome.sha256, task.label.event)
        return job, Delivery(task, outcome, job.started_at or wall)

    def _start_delivery(self, job: Job, delivery: Delivery) -> None:
        task, outcome = delivery.task, delivery.outcome
        hold = job.held or self._config.review.holds(outcome.confidence)
        target = target_of(job, delivery, self._config, self.places, hold=hold)
        future = self._deliverers.submit(deliver, target, delivery)
        self._delivering[future] = _Delivering(job, task, outcome, hold)
        future.add_done_callback(lambda _future: self._wake())

    def _fail_delivery(
        self, delivering: _Delivering, error: BaseException | None, now: float, wall: float
    ) -> None:
        job = delivering.job
        if isinstance(error, TakenError):  # since the job was queued
            self._name_otherwise(job, error, wall)
        elif isinstance(error, Exception):
            self._failures.handle(job, failed(delivering.task, error), now, wall)

    def _finish(self, delivering: _Delivering, wall: float) -> Job:
        """Return the job as the ledger has it now: its scan may have been dropped again."""
        job, task, outcome, hold = delivering
        return self._ledger.finish(
            job.id,
            model=outcome.model,
            now=wall,
            output_digest=outcome.sha256,
            event=task.label.event,
            confidence=outcome.confidence,
            change=outcome.change,
            held=hold,
        )

    def _archive(self, delivering: _Delivering, finished: Job, now: float, wall: float) -> None:
        """Log a finished job, and have its original moved."""
        outcome = delivering.outcome
        self._failures.delivered(finished, now)
        self.tally.finished += 1
        self.tally.pixels += outcome.pixels
        self._log_delivery(finished, outcome.record, wall)
        if why := outcome.not_compared:
            log.warning("photo.not_compared", job=finished.id, path=finished.path, reason=why)
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
