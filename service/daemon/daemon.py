"""The daemon: startup, main_loop, step, reload, shutdown.

startup   remove what a crash left, requeue what it interrupted, start watching; an unmounted folder
          is waited for
main_loop step, then sleep until something happens or is due
step      the watcher finds complete files, the intake queues them, the pipeline colors and delivers
          them; a promoted model is taken up between two batches
reload    on SIGHUP: finish what is in progress, then rebuild all parts from config.yaml as it is
          now; one with mistakes is refused
shutdown  start nothing new; finish what is in progress within stop.within
"""

import threading
import time
from collections.abc import Callable, Sequence

import structlog

from service.config.loader import Config
from service.daemon.blocked_log import BlockedLog
from service.daemon.memory_trimmer import MemoryTrimmer
from service.daemon.model_updates import ModelWatch
from service.daemon.reload import Parts, Reloader
from service.filesystem.availability import FolderMonitor
from service.ledger.jobs import JobStatus
from service.ledger.ledger import LEDGER_FILE, ActiveModel, Ledger, LedgerError
from service.ledger.retention import Retention
from service.monitoring.reporter import HealthReporter
from service.pipeline.engines import make_engine
from service.pipeline.failures import Counters, ended_the_process
from service.pipeline.intake import Intake
from service.pipeline.pipeline import Pipeline
from service.signals import Signals
from service.storage import deliveries, held
from service.storage.cleanup import TempFileSweeper
from service.systemd.notify import Notifier
from service.terminal import Report
from service.watch.folder_settings import FolderSettingsWatch
from service.watch.stability import StableFile
from service.watch.watcher import Watcher
from worker.errors import DeviceError
from worker.inference.predictor import Predictor

LONGEST_SLEEP = 0.5  # seconds; signals only set flags, so this is the delay until one is noticed
STOP_MARGIN = 30.0  # seconds from the end of stop.within to the end of the process

log = structlog.get_logger()


class Daemon:
    """Watches an inbox and colors what arrives, until asked to stop.

    Args:
        config: the configuration to begin with.
        predictor: the loaded model.
        models: brings promoted versions; None keeps the given model.
        once: stop when nothing is left to do.
        report: progress callback, in photos, called after each step.
        notifier: to systemd; None reports to nobody.
        signals: signals received before now count.

    Attributes:
        reloader: reads the configuration again on SIGHUP; None ignores it.
        counters: what became of photos since the start, across reloads.
        work_left: after `run`, whether photos were left for a later run.
    """

    def __init__(
        self,
        config: Config,
        predictor: Predictor,
        models: ModelWatch | None = None,
        *,
        once: bool = False,
        report: Report | None = None,
        notifier: Notifier | None = None,
        signals: Signals | None = None,
    ) -> None:
        """Open the ledger; start nothing yet."""
        self._once = once
        self._progress = report
        self._notifier = notifier or Notifier({})
        self.signals = signals or Signals()
        self.reloader: Reloader | None = None
        self.work_left = False
        self.counters = Counters()
        self.ledger = Ledger(config.state / LEDGER_FILE)
        self._woken = threading.Event()
        self._blocked = BlockedLog()
        self._sweeper = TempFileSweeper()
        self._memory = MemoryTrimmer()
        self._reporter = HealthReporter(self._notifier, self.ledger)
        self._recorded_model: ActiveModel | None = None  # in the ledger
        self._now = self._wall = 0.0  # of the step in progress
        active = models.serving if models else ActiveModel(predictor.model)
        self._build(Parts(config, predictor, models, active))

    def _build(self, parts: Parts) -> None:
        """Build everything that depends on the configuration; ledger and counters stay."""
        config = self.config = parts.config
        self._parts = parts
        self.watcher = Watcher(
            config.inbox, config.watch, on_stable=self._take, wake=self._woken.set
        )
        self.watcher.found_some, self.watcher.ignore = self._keep_alive, config.watch.ignored
        folders = held.folders_in_use(config, self.ledger.queries)
        self.folders = FolderMonitor(folders, config.limits.free_space)
        engine = make_engine(config, parts.predictor, self.folders)
        self.pipeline = Pipeline(
            config,
            self.ledger,
            engine,
            self.folders,
            self._woken.set,
            self.watcher,
            self.counters,
        )
        self.folder_settings = FolderSettingsWatch(config, self.watcher.revisit)
        archive = self.pipeline.originals.archive
        self.intake = Intake(config, self.ledger, archive, self.folder_settings)
        self._retention = Retention(config, self.ledger)
        self._reporter.attach(config, self.watcher, self.pipeline, self.folder_settings)

    def run(self) -> bool:
        """Run until asked to stop, or with `once` until nothing is left to do.

        Returns:
            False if stop.within ended before everything in progress was done. Nothing is lost, but
            threads are still running.

        Raises:
            LedgerError: the ledger is damaged or gone, so nothing more can be recorded; what was in
                progress is redone after the next start.
        """
        self.startup()
        try:
            try:
                self.main_loop()
            finally:
                done = self.shutdown()
        except LedgerError:
            self.pipeline.abandon()
            raise
        return done

    def startup(self) -> None:
        """Clean up after whatever happened before, and start watching."""
        self.signals.listen()
        self._notifier.starting()
        now, wall = time.monotonic(), time.time()
        swept = self._sweeper.remove(self.config, self.folders)
        interrupted = self.ledger.recover()
        deliveries.adopt(self.config.state, self.ledger)
        log.info(
            "daemon.started",
            inbox=self.config.inbox,
            outbox=self.config.outbox,
            swept=swept,
            resumed=len(interrupted),
        )
        self._record_model()
        for job in self.ledger.queries.exhausted(self.config.retry.attempts):
            self.pipeline.reject(job, ended_the_process(job), now, wall)
        self._find_empty_folders(now)
        self.watcher.start(now)
        self._notifier.ready()
        self._reporter.step(time.monotonic())

    def main_loop(self) -> None:
        """Step and sleep until it is time to stop."""
        while not self.signals.stop:
            self._woken.clear()
            failed = False
            try:
                if self.signals.take_reload() and self.reloader:
                    self._reload(self.reloader)
                now = time.monotonic()
                self.step(now, time.time())
                self._blocked.note(self.pipeline.blocked_by, now, over=not self.pipeline.faults)
                if self._once and self._nothing_left(now):
                    return
            except DeviceError as error:  # nothing was changed; the next step retries
                failed = True
                self._blocked.note(str(error), time.monotonic())
                self._woken.clear()
            self._report_health()
            # A failed step would fail again at once, though work is due.
            sleep = LONGEST_SLEEP if failed else self._seconds_to_sleep(time.monotonic())
            self._woken.wait(sleep)

    def step(self, now: float, wall: float) -> None:
        """Do all that can be done now.

        Args:
            now: monotonic seconds.
            wall: seconds since 1970.

        Raises:
            DeviceError: the ledger cannot be used now; the next step continues where this one
                ended.
        """
        self._now, self._wall = now, wall
        self._sweeper.note(self.folders.unavailable)
        if not self.pipeline.busy:
            self._sweeper.remove(self.config, self.folders, self._keep_alive)
        # Without the outbox nobody knows which names are taken there.
        unavailable = self.folders.problem("inbox") or self.folders.problem("outbox")
        if not unavailable:
            self.folder_settings.step(now)
        self.watcher.step(now, tell=not unavailable)
        self._take_up_model(now)
        self.pipeline.step(now, wall)
        if not unavailable:  # else scans would look deleted
            self._retention.step(now, wall)
        self._report_progress()
        self._memory.step(now, self.counters.finished + self.counters.rejected)

    def shutdown(self) -> bool:
        """Finish what is in progress, within stop.within.

        Returns:
            Whether everything was finished. What is left stays in the ledger for the next start.
        """
        self._notifier.stopping(self.config.stop.within + STOP_MARGIN)
        self.watcher.stop()
        deadline = time.monotonic() + self.config.stop.within
        self._finish(lambda: time.monotonic() >= deadline)
        self._reporter.close()
        done = not self.pipeline.busy
        if done:
            self.pipeline.close()
        if self._parts.models:
            done = self._parts.models.end(deadline) and done
        self.work_left = self._is_work_left()
        self.ledger.close()
        counters = self.counters
        log.info(
            "daemon.stopped",
            finished=counters.finished,
            rejected=counters.rejected,
            everything_done=done,
        )
        return done

    @property
    def blocked_by(self) -> str:
        """Why no new work begins now, or ""."""
        return self._blocked.reason

    @property
    def refused_config(self) -> str:
        """What was wrong with config.yaml when SIGHUP last reread it; "" if it is in use."""
        return self.reloader.refused if self.reloader else ""

    def _reload(self, reloader: Reloader) -> None:
        """Take up the current config.yaml; keep the old configuration if it has mistakes.

        A request to stop that comes meanwhile wins: nothing is reloaded.

        Raises:
            DeviceError: the ledger cannot be written now; all else was done.
        """
        self._notifier.reloading(time.monotonic())
        old, new = self._parts, reloader.read(self._parts)
        if new:
            self._finish(lambda: self.signals.stop)
            if self.signals.stop:
                return
            self.watcher.stop()
            self.pipeline.close()
            if old.models:
                old.models.end(time.monotonic())
            self._build(new)
            self._find_empty_folders(time.monotonic())
            self.watcher.start(time.monotonic())
            reloader.take_up(old.config, new.config)
        self._notifier.ready()
        self.ledger.expedite(time.time())  # the new configuration may have cured the fault

    def _finish(self, over: Callable[[], bool]) -> None:
        """Start nothing new and finish what is in progress, or give up when `over` says so."""
        while self._in_hand and not over():
            self._woken.clear()
            try:
                self.pipeline.release(time.time())
                self.pipeline.step(time.monotonic(), time.time(), claim=False)
            except DeviceError as error:
                self._blocked.note(str(error), time.monotonic())
            self.watcher.rescan_moved_at = time.monotonic()  # rescans are paused on purpose
            self._report_health()
            if self._in_hand:
                self._woken.wait(LONGEST_SLEEP)

    @property
    def _in_hand(self) -> bool:
        """Whether photos are in progress or finished originals still have to leave the inbox."""
        leaving = self.pipeline.originals.leaving
        return self.pipeline.busy or (leaving and not self.folders.blocked_by)

    # What the parts call

    def _take(self, files: Sequence[StableFile]) -> list[str | Exception]:
        # At the step's own time: what is queued in it is claimed in it.
        answers = self.intake.take(files, self._now, self._wall)
        self._keep_alive()
        return answers

    def _keep_alive(self) -> None:
        self._reporter.keep_alive(time.monotonic())

    # The smaller steps

    def _find_empty_folders(self, now: float) -> None:
        if not self.folders.problem("inbox"):
            self.pipeline.originals.emptied.find(now)

    def _take_up_model(self, now: float) -> None:
        models = self._parts.models
        if models:
            predictor = models.step(now)
            if predictor is not None:
                self.pipeline.take_up(predictor)
            self._parts = self._parts._replace(
                predictor=predictor or self._parts.predictor, active=models.serving
            )
        self._record_model()

    def _record_model(self) -> None:
        if self._parts.active != self._recorded_model:
            self.ledger.record_active_model(self._parts.active)
            self._recorded_model = self._parts.active

    def _report_health(self) -> None:
        self._reporter.step(time.monotonic(), self.blocked_by, self.refused_config)

    def _report_progress(self) -> None:
        if self._progress:
            counts = self.ledger.queries.counts()
            done = self.counters.finished + self.counters.rejected
            left = counts[JobStatus.QUEUED] + counts[JobStatus.STARTED]
            self._progress(done, done + left, "")

    def _nothing_left(self, now: float) -> bool:
        """Return whether a run with `once` is over: done, or waiting would not help."""
        if self.pipeline.busy:
            return False
        if self.folders.blocked_by:
            return True
        if not self.watcher.settled(now):
            return False
        attempts = self.config.retry.attempts
        wait = max(self.config.retry.longest_wait, self.config.engine.patience)
        idle = self.pipeline.idle_engine(now) > wait
        if self.pipeline.faults >= attempts or idle:
            return True
        if self.pipeline.approvals.more:
            return False
        return not self._jobs_left() and not self.pipeline.originals.waiting(attempts)

    def _jobs_left(self) -> bool:
        try:
            counts = self.ledger.queries.counts()
        except DeviceError:  # the next step, or the next start, says why
            return True
        return counts[JobStatus.QUEUED] + counts[JobStatus.STARTED] > 0

    def _is_work_left(self) -> bool:
        """Return whether anything is left for a later run; with `once`, log what still arrives."""
        arriving = self.watcher.arriving
        for one in arriving if self._once else ():
            path = one.path.relative_to(self.config.inbox)
            log.warning("photo.arriving", path=path, reason=one.reason)
        return bool(
            self._jobs_left()
            or self.pipeline.originals.waiting()
            or self.pipeline.approvals.fault
            or self.folder_settings.waiting
            or self.folders.blocked_by
            or arriving
        )

    def _seconds_to_sleep(self, now: float) -> float:
        if self.folders.blocked_by:  # files and moves are due that have to wait
            return LONGEST_SLEEP
        dues = (self.watcher.next_due(now), self.pipeline.next_due(now), LONGEST_SLEEP)
        return min(due for due in dues if due is not None)
