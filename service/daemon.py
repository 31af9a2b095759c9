"""The daemon: startup, main_loop, step(now), shutdown.

startup   make the folders, lock the state, sweep what a crash left, queue again what it interrupted, start to watch
main_loop step, then sleep until something happens or is due
step      the watcher finds stable files, `take` queues them, the pipeline carries them on
shutdown  no new job; what is in hand is brought to its end within the stop time
"""

import signal
import threading
import time
from pathlib import Path, PurePosixPath
from types import FrameType

import structlog

from service import inbox, outbox
from service.config import Config
from service.folders import make_folders
from service.ledger import Job, JobStatus, Ledger
from service.pipeline import Colorist, Pipeline
from service.stability import Snapshot
from service.watcher import Watcher

LONGEST_SLEEP = 0.5  # seconds; a signal only sets a flag, so this is how late it is noticed
LEDGER_FILE = "ledger.sqlite3"

log = structlog.get_logger()


class Daemon:
    """Watches an inbox and has its photos colored, until it is asked to stop.

    Args:
        config: folders and habits.
        colorist: the loaded generator.
        once: stop by itself when everything that waits is done.
    """

    def __init__(self, config: Config, colorist: Colorist, *, once: bool = False) -> None:
        """Open the ledger; nothing is started yet."""
        self.config = config
        self._once = once
        self._woken = threading.Event()
        self._stop_asked = False
        self.ledger = Ledger(config.state / LEDGER_FILE)
        self.pipeline = Pipeline(config, self.ledger, colorist, self._woken.set)
        self.watcher = Watcher(
            config.inbox,
            settle=config.watch.settle,
            rescan=config.watch.rescan,
            polling=config.watch.polling,
            on_stable=self.take,
            wake=self._woken.set,
        )

    def run(self) -> bool:
        """Run until asked to stop, or with `once` until nothing waits.

        Returns:
            False when the stop time was over before everything in hand was done; nothing is lost by
            that, but threads are still at work.
        """
        self.startup()
        try:
            self.main_loop()
        finally:
            done = self.shutdown()
        return done

    def startup(self) -> None:
        """Bring everything to a clean start after whatever happened before."""
        for number, handler in ((signal.SIGTERM, self._on_signal), (signal.SIGINT, self._on_signal)):
            signal.signal(number, handler)
        now, wall = time.monotonic(), time.time()
        swept = outbox.sweep(self.config.outbox)
        interrupted = self.ledger.recover()
        log.info("daemon.started", inbox=self.config.inbox, outbox=self.config.outbox, swept=swept, resumed=len(interrupted))
        for job in self.ledger.exhausted(self.config.retry.attempts):
            reason = f"photochrom was ended {job.attempts} times while it worked on this photo"
            self.ledger.fail(job.id, reason, wall)
            self.pipeline.tally.rejected += 1
            log.warning("photo.rejected", job=job.id, path=job.path, reason=reason)
            self.pipeline.set_aside(job, reason, now)
        self.watcher.start(now)

    def main_loop(self) -> None:
        """Step and sleep until it is time to end."""
        while not self._stop_asked:
            self._woken.clear()
            now = time.monotonic()
            self.step(now, time.time())
            if self._once and self._all_done(now):
                return
            self._woken.wait(self._seconds_to_sleep(now))

    def step(self, now: float, wall: float) -> None:
        """Do all that can be done now.

        Args:
            now: monotonic seconds.
            wall: seconds since 1970.
        """
        self.watcher.step(now)
        self.pipeline.step(now, wall)

    def shutdown(self) -> bool:
        """Bring what is in hand to its end, within the stop time; returns whether that was enough."""
        self.watcher.stop()
        deadline = time.monotonic() + self.config.stop.within
        self.pipeline.release(time.time())
        while not self.pipeline.settled and time.monotonic() < deadline:
            self._woken.clear()
            self.pipeline.step(time.monotonic(), time.time(), claim=False)
            if not self.pipeline.settled:
                self._woken.wait(LONGEST_SLEEP)
        done = self.pipeline.settled
        if done:
            self.pipeline.close()
        self.ledger.close()
        tally = self.pipeline.tally
        log.info("daemon.stopped", finished=tally.finished, rejected=tally.rejected, everything_done=done)
        return done

    def take(self, path: Path, snapshot: Snapshot) -> None:
        """Queue a stable file, or settle it when its work was done before."""
        relative = PurePosixPath(path.relative_to(self.config.inbox))
        job = self.ledger.find(relative, snapshot)
        if job is None:
            job, is_new = self._enqueue(path, relative, snapshot)
            if is_new:
                log.info("photo.queued", job=job.id, path=job.path, same_content_as=job.same_content_as)
        if job.status is JobStatus.FINISHED:
            self.pipeline.archive(job, time.monotonic())

    def _enqueue(self, path: Path, relative: PurePosixPath, snapshot: Snapshot) -> tuple[Job, bool]:
        digest = inbox.digest(path)
        name = outbox.output_name(relative, self.config.output.format)
        if self.ledger.output_taken(name, relative) or (self.config.outbox / name).exists():
            name = outbox.alternative_name(name, digest)
        return self.ledger.enqueue(relative, digest, snapshot, name, time.time())

    def _all_done(self, now: float) -> bool:
        return self.pipeline.idle and self.watcher.settled(now) and not self.ledger.work_left(self.config.retry.attempts)

    def _seconds_to_sleep(self, now: float) -> float:
        dues = (self.watcher.next_due(now), self.pipeline.next_due(now))
        return min(LONGEST_SLEEP, *(due for due in dues if due is not None), LONGEST_SLEEP)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        """First: stop when the batch in hand is delivered. Second: stop now."""
        if self._stop_asked:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self._stop_asked = True
