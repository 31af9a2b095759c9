"""The daemon: startup, main_loop, step(now), shutdown.

startup   make the folders, lock the state, sweep what a crash left, queue again what it
interrupted, start to watch
main_loop step, then sleep until something happens or is due
step      the watcher finds stable files, `take` queues them, the pipeline carries them on; a
          version that was promoted is taken up between two batches
shutdown  no new job; what is in hand is brought to its end within the stop time
"""

import signal
import threading
import time
from pathlib import Path, PurePosixPath
from types import FrameType

import structlog

from service import inbox, outbox
from service.colorist import Colorist
from service.config import Config
from service.faults import ended_the_process
from service.jobs import Job, JobStatus
from service.ledger import LEDGER_FILE, Ledger, Serving
from service.model_watch import ModelWatch
from service.notify import Notifier
from service.pipeline import Pipeline
from service.progress import Report
from service.pulse import Pulse
from service.sidecar import sidecar_name
from service.stability import Snapshot
from service.watcher import Watcher
from worker.errors import DeviceError

LONGEST_SLEEP = 0.5  # seconds; a signal only sets a flag, so this is how late it is noticed
STOP_MARGIN = 30.0  # seconds from the end of the stop time to the end of the process

log = structlog.get_logger()


class Daemon:
    """Watches an inbox and has its photos colored, until it is asked to stop.

    Args:
        config: folders and habits.
        colorist: the loaded generator.
        models: brings the promoted version; None stays with the colorist for good.
        once: stop by itself when everything that waits is done.
        report: moved after each step, in photos.
        notifier: tells systemd, if it started the daemon; None tells nobody.
    """

    def __init__(
        self,
        config: Config,
        colorist: Colorist,
        models: ModelWatch | None = None,
        *,
        once: bool = False,
        report: Report | None = None,
        notifier: Notifier | None = None,
    ) -> None:
        """Open the ledger; nothing is started yet."""
        self.config = config
        self._models = models
        self._serving = models.serving if models else Serving(colorist.model)
        self._once = once
        self._report = report
        self._woken = threading.Event()
        self._stop_asked = False
        self.held_up = False  # whether photos were left at the end
        self.ledger = Ledger(config.state / LEDGER_FILE)
        self.watcher = Watcher(
            config.inbox,
            settle=config.watch.settle,
            rescan=config.watch.rescan,
            polling=config.watch.polling,
            on_stable=self.take,
            wake=self._woken.set,
        )
        self.pipeline = Pipeline(
            config, self.ledger, colorist, self._woken.set, self.watcher.forget
        )
        self._notifier = notifier or Notifier({})
        self._pulse = Pulse(config, self._notifier, self.watcher, self.pipeline, self.ledger)
        self.watcher.found_one = self._found_one

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
        for number, handler in (
            (signal.SIGTERM, self._on_signal),
            (signal.SIGINT, self._on_signal),
        ):
            signal.signal(number, handler)
        self._notifier.starting()
        now, wall = time.monotonic(), time.time()
        folders = {*self.config.folders.values(), self.config.originals.folder}
        folders -= {self.config.state}
        swept = sum(outbox.sweep(folder) for folder in folders)
        interrupted = self.ledger.recover()
        log.info(
            "daemon.started",
            inbox=self.config.inbox,
            outbox=self.config.outbox,
            swept=swept,
            resumed=len(interrupted),
        )
        self.ledger.serve(self._serving)
        for job in self.ledger.exhausted(self.config.retry.attempts):
            self.pipeline.reject(job, ended_the_process(job), now, wall)
        self.watcher.start(now)
        self._notifier.ready()
        self._pulse.step(time.monotonic())

    def main_loop(self) -> None:
        """Step and sleep until it is time to end."""
        while not self._stop_asked:
            self._woken.clear()
            now, held_up = time.monotonic(), ""
            try:
                self.step(now, time.time())
                if self._once and self._nothing_left(now):
                    return
            except DeviceError as error:  # nothing was changed; the next step tries again
                held_up = str(error)
                log.warning("daemon.held_up", reason=held_up)
                self._woken.clear()
            self._pulse.step(time.monotonic(), held_up)
            self._woken.wait(self._seconds_to_sleep(now))

    def step(self, now: float, wall: float) -> None:
        """Do all that can be done now.

        Args:
            now: monotonic seconds.
            wall: seconds since 1970.

        Raises:
            DeviceError: the ledger cannot be used now; the next step goes on where this one ended.
        """
        self.watcher.step(now)
        self._take_up(now)
        self.pipeline.step(now, wall)
        if self._report:
            counts = self.ledger.counts()
            done = self.pipeline.tally.finished + self.pipeline.tally.rejected
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
        while self.pipeline.busy and time.monotonic() < deadline:
            self._woken.clear()
            try:
                self.pipeline.release(time.time())
                self.pipeline.step(time.monotonic(), time.time(), claim=False)
            except DeviceError as error:
                log.warning("daemon.held_up", reason=str(error))
            self._pulse.step(time.monotonic())
            if self.pipeline.busy:
                self._woken.wait(LONGEST_SLEEP)
        self._pulse.close()
        done = not self.pipeline.busy
        if done:
            self.pipeline.close()
        if self._models:
            done = self._models.end(deadline) and done
        self.held_up = self._jobs_left() or self.pipeline.originals.waiting()
        self.ledger.close()
        tally = self.pipeline.tally
        log.info(
            "daemon.stopped", finished=tally.finished, rejected=tally.rejected, everything_done=done
        )
        return done

    def take(self, path: Path, snapshot: Snapshot) -> None:
        """Queue a stable file, or move it away when its work was done before.

        Raises:
            DeviceError: the file or the ledger cannot be read now.
        """
        relative = PurePosixPath(path.relative_to(self.config.inbox))
        job = self.ledger.find(relative, snapshot)
        if job is None:
            try:
                digest = inbox.digest(path)
            except FileNotFoundError:
                return  # taken away again
            except PermissionError:
                # The pipeline rejects it, with this reason; another unreadable file is another job.
                digest = f"unreadable {snapshot.inode} {snapshot.mtime_ns}"
            except OSError as error:  # the watcher will tell of it again
                raise DeviceError(f"{path} cannot be read now: {error.strerror}") from error
            job = self._enqueue(relative, digest, snapshot)
        if job.status is JobStatus.FINISHED:
            self.pipeline.originals.archive(job, time.monotonic())
        self._found_one()

    def _found_one(self) -> None:
        self._pulse.goes_on(time.monotonic())

    def _take_up(self, now: float) -> None:
        if self._models is None:
            return
        colorist = self._models.step(now)
        if colorist is not None:
            self.pipeline.take_up(colorist)
        if self._models.serving != self._serving:
            self.ledger.serve(self._models.serving)
            self._serving = self._models.serving

    def _enqueue(self, relative: PurePosixPath, digest: str, snapshot: Snapshot) -> Job:
        name = outbox.output_name(relative, self.config.output.format)
        taken = any((self.config.outbox / one).exists() for one in (name, sidecar_name(name)))
        if taken or self.ledger.output_taken(name):
            name = outbox.alternative_name(name, digest)
        job, is_new = self.ledger.enqueue(relative, digest, snapshot, name, time.time())
        if is_new:
            log.info("photo.queued", job=job.id, path=job.path, same_content_as=job.same_content_as)
        return job

    def _nothing_left(self, now: float) -> bool:
        if not self.watcher.settled(now) or self.pipeline.busy:
            return False
        attempts = self.config.retry.attempts
        if self.pipeline.faults >= attempts:  # this will not heal by itself
            return True
        return not self._jobs_left() and not self.pipeline.originals.waiting(attempts)

    def _jobs_left(self) -> bool:
        counts = self.ledger.counts()
        return counts[JobStatus.QUEUED] + counts[JobStatus.STARTED] > 0

    def _seconds_to_sleep(self, now: float) -> float:
        dues = (self.watcher.next_due(now), self.pipeline.next_due(now), LONGEST_SLEEP)
        return min(due for due in dues if due is not None)

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        """First: stop when the batch in hand is delivered. Second: stop now."""
        if self._stop_asked:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self._stop_asked = True
