"""The daemon: startup, main_loop, step(now), reload, shutdown.

startup   sweep what a crash left, queue again what it interrupted, start to watch; a folder that
          is away is waited for, and swept when it is back
main_loop step, then sleep until something happens or is due
step      the watcher finds stable files, the intake queues them, the pipeline carries them on; a
          version that was promoted is taken up between two batches
reload    SIGHUP: what is in hand is brought to its end, then all parts are made anew from
          config.yaml as it is now; a bad one is refused
shutdown  no new job; what is in hand is brought to its end within the stop time
"""

import threading
import time
from collections.abc import Callable
from pathlib import Path

import structlog

from service.config.loader import Config
from service.daemon.blocked_log import BlockedLog
from service.daemon.model_updates import ModelWatch
from service.daemon.reload import Parts, Reloader
from service.filesystem.availability import FolderMonitor
from service.filesystem.snapshot import FileStat
from service.ledger.jobs import JobStatus
from service.ledger.ledger import LEDGER_FILE, ActiveModel, Ledger, LedgerError
from service.ledger.retention import Retention
from service.monitoring.reporter import HealthReporter
from service.pipeline.engines import local_engine
from service.pipeline.failures import Counters, ended_the_process
from service.pipeline.intake import Intake
from service.pipeline.pipeline import Pipeline
from service.progress import Report
from service.signals import Signals
from service.storage import deliveries
from service.storage.cleanup import TempFileSweeper
from service.systemd.notify import Notifier
from service.watch.folder_settings import FolderSettingsWatch
from service.watch.watcher import Rest, Watcher
from worker.errors import DeviceError
from worker.inference.predictor import Predictor

LONGEST_SLEEP = 0.5  # seconds; a signal only sets a flag, so this is how late it is noticed
STOP_MARGIN = 30.0  # seconds from the end of the stop time to the end of the process

log = structlog.get_logger()


class Daemon:
    """Watches an inbox and has its photos colored, until it is asked to stop.

    Args:
        config: folders and habits.
        predictor: the loaded generator.
        models: brings the promoted version; None keeps the predictor.
        once: stop by itself when everything that waits is done.
        report: moved after each step, in photos.
        notifier: tells systemd, if it started the daemon; None tells nobody.
        signals: what was asked of the process before this began.

    Attributes:
        reloader: reads the configuration again; None, as at first, keeps this one for good.
        tally: what became of photos since the start, whatever was reloaded in between.
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
        """Open the ledger; nothing is started yet."""
        self._once = once
        self._report = report
        self._notifier = notifier or Notifier({})
        self.signals = signals or Signals()
        self.reloader: Reloader | None = None
        self._woken = threading.Event()
        self.held_up = False  # whether photos were left at the end
        self._hold_up = BlockedLog()
        self._leftovers = TempFileSweeper()
        self.ledger = Ledger(config.state / LEDGER_FILE)
        self._noted: ActiveModel | None = None  # what the ledger knows to serve
        self.tally = Counters()
        self._pulse = HealthReporter(self._notifier, self.ledger)
        serving = models.serving if models else ActiveModel(predictor.model)
        self._make(Parts(config, predictor, models, serving))

    def _make(self, parts: Parts) -> None:
        """Make all that follows the configuration; the ledger and the counts stay."""
        config = self.config = parts.config
        self._parts = parts
        self.watcher = Watcher(
            config.inbox,
            config.watch,
            on_stable=self._take,
            wake=self._woken.set,
        )
        self.places = FolderMonitor(config.folders, config.limits.free_space)
        engine = local_engine(config, parts.predictor, self.places)
        self.pipeline = Pipeline(
            config, self.ledger, engine, self.places, self._woken.set, self.watcher, self.tally
        )
        self.folder_settings = FolderSettingsWatch(config, self.watcher.revisit)
        archive = self.pipeline.originals.archive
        self.intake = Intake(config, self.ledger, archive, self.folder_settings)
        self._pulse.attach(config, self.watcher, self.pipeline)
        self._retention = Retention(config, self.ledger)
        self.watcher.found_one, self.watcher.ignore = self._found_one, config.watch.ignored

    def run(self) -> bool:
        """Run until asked to stop, or with `once` until nothing waits.

        Returns:
            False when the stop time was over before everything in hand was done; nothing is lost by
            that, but threads are still at work.

        Raises:
            LedgerError: the ledger is damaged or was taken away, so that nothing more can be noted;
                what was in hand is done anew after the next start.
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
        """Bring everything to a clean start after whatever happened before."""
        self.signals.listen()
        self._notifier.starting()
        now, wall = time.monotonic(), time.time()
        swept = self._leftovers.remove(self.config, self.places)
        interrupted = self.ledger.recover()
        deliveries.forget_all_but_open(self.config.state, self.ledger.job)
        log.info(
            "daemon.started",
            inbox=self.config.inbox,
            outbox=self.config.outbox,
            swept=swept,
            resumed=len(interrupted),
        )
        self._retention.start()
        self._note_serving()
        for job in self.ledger.exhausted(self.config.retry.attempts):
            self.pipeline.reject(job, ended_the_process(job), now, wall)
        self._find_empty_folders(now)
        self.watcher.start(now)
        self._notifier.ready()
        self._pulse.step(time.monotonic())

    def main_loop(self) -> None:
        """Step and sleep until it is time to end."""
        while not self.signals.stop:
            self._woken.clear()
            failed = False
            try:
                if self.signals.take_reload() and self.reloader:
                    self._reload(self.reloader)
                now = time.monotonic()
                self.step(now, time.time())
                self._hold_up.note(self.pipeline.blocked_by, now, over=not self.pipeline.faults)
                if self._once and self._nothing_left(now):
                    return
            except DeviceError as error:  # nothing was changed; the next step tries again
                failed = True
                self._hold_up.note(str(error), time.monotonic())
                self._woken.clear()
            self._pulse.step(time.monotonic(), self.held_up_by, self.refused_config)
            # What holds the work up is not gone at once, though there is work that is due.
            sleep = LONGEST_SLEEP if failed else self._seconds_to_sleep(time.monotonic())
            self._woken.wait(sleep)

    def step(self, now: float, wall: float) -> None:
        """Do all that can be done now.

        Args:
            now: monotonic seconds.
            wall: seconds since 1970.

        Raises:
            DeviceError: the ledger cannot be used now; the next step goes on where this one ended.
        """
        self._leftovers.note(self.places.away)
        if not self.pipeline.busy:
            self._leftovers.remove(self.config, self.places, self._found_one)
        # Without the outbox it is not known which names are taken there.
        away = self.places.problem("inbox") or self.places.problem("outbox")
        if not away:
            self.folder_settings.step(now)
        self.watcher.step(now, tell=not away)
        self._take_up(now)
        self.pipeline.step(now, wall)
        if not away:  # nor what lies in the inbox
            self._retention.step(now, wall)
        if self._report:
            counts = self.ledger.counts()
            done = self.tally.finished + self.tally.rejected
            self._report(done, done + counts[JobStatus.QUEUED] + counts[JobStatus.STARTED], "")

    def shutdown(self) -> bool:
        """Bring what is in hand to its end, within the stop time.

        Returns:
            Whether that was enough. What is left stays in the ledger and is done after the next
            start.
        """
        self._notifier.stopping(self.config.stop.within + STOP_MARGIN)
        self.watcher.stop()
        deadline = time.monotonic() + self.config.stop.within
        self._finish(lambda: time.monotonic() >= deadline)
        self._pulse.close()
        done = not self.pipeline.busy
        if done:
            self.pipeline.close()
        if self._parts.models:
            done = self._parts.models.end(deadline) and done
        waiting = self._jobs_left() or self.pipeline.originals.waiting()
        waiting = waiting or self.folder_settings.waiting > 0
        arriving = self.watcher.arriving
        for one in arriving if self._once else ():
            path = one.path.relative_to(self.config.inbox)
            log.warning("photo.arriving", path=path, reason=one.reason)
        self.held_up = waiting or bool(self.places.trouble) or bool(arriving)
        self.ledger.close()
        tally = self.tally
        log.info(
            "daemon.stopped", finished=tally.finished, rejected=tally.rejected, everything_done=done
        )
        return done

    @property
    def held_up_by(self) -> str:
        """The fault of the machine that keeps new work from beginning now, or ""."""
        return self._hold_up.reason

    @property
    def refused_config(self) -> str:
        """What was wrong with config.yaml when SIGHUP had it read; "" where it is in use."""
        return self.reloader.refused if self.reloader else ""

    def _reload(self, reloader: Reloader) -> None:
        """Go on with config.yaml as it is now; with the old one, where it has mistakes.

        Asked to stop before all in hand is done, it reloads nothing, and the shutdown follows.

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
            self._make(new)
            self._find_empty_folders(time.monotonic())
            self.watcher.start(time.monotonic())
            reloader.take_up(old.config, new.config)
        self._notifier.ready()
        self.ledger.expedite(time.time())  # what waits after a fault: it may be mended by this

    def _finish(self, over: Callable[[], bool]) -> None:
        """Begin nothing new, and bring what is in hand to its end, or until it is over."""
        while self._in_hand and not over():
            self._woken.clear()
            try:
                self.pipeline.release(time.time())
                self.pipeline.step(time.monotonic(), time.time(), claim=False)
            except DeviceError as error:
                self._hold_up.note(str(error), time.monotonic())
            self.watcher.rescan_moved_at = time.monotonic()  # it rests, and is to rest
            self._pulse.step(time.monotonic(), self.held_up_by, self.refused_config)
            if self._in_hand:
                self._woken.wait(LONGEST_SLEEP)

    @property
    def _in_hand(self) -> bool:
        """Whether photos are in work, or originals still lie hidden in an inbox that is there."""
        return self.pipeline.busy or (self.pipeline.originals.leaving and not self.places.trouble)

    def _take(self, path: Path, snapshot: FileStat, rest: Rest) -> str:
        reason = self.intake.take(path, snapshot, rest)
        self._found_one()
        return reason

    def _found_one(self) -> None:
        self._pulse.keep_alive(time.monotonic())

    def _find_empty_folders(self, now: float) -> None:
        if not self.places.problem("inbox"):
            self.pipeline.originals.emptied.find(now)

    def _take_up(self, now: float) -> None:
        models = self._parts.models
        if models:
            predictor = models.step(now)
            if predictor is not None:
                self.pipeline.take_up(predictor)
            self._parts = self._parts._replace(
                predictor=predictor or self._parts.predictor, serving=models.serving
            )
        self._note_serving()

    def _note_serving(self) -> None:
        if self._parts.serving != self._noted:
            self.ledger.serve(self._parts.serving)
            self._noted = self._parts.serving

    def _nothing_left(self, now: float) -> bool:
        if self.pipeline.busy:
            return False
        if self.places.trouble:  # this will not heal by itself
            return True
        if not self.watcher.settled(now):
            return False
        attempts = self.config.retry.attempts
        if self.pipeline.faults >= attempts:  # nor will this
            return True
        return not self._jobs_left() and not self.pipeline.originals.waiting(attempts)

    def _jobs_left(self) -> bool:
        try:
            counts = self.ledger.counts()
        except DeviceError:  # the next step, or the next start, says why
            return True
        return counts[JobStatus.QUEUED] + counts[JobStatus.STARTED] > 0

    def _seconds_to_sleep(self, now: float) -> float:
        if self.places.trouble:  # files are due that are not told of, and moves
            return LONGEST_SLEEP
        dues = (self.watcher.next_due(now), self.pipeline.next_due(now), LONGEST_SLEEP)
        return min(due for due in dues if due is not None)
