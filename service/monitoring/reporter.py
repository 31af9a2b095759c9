"""The daemon's sign of life: to systemd, to `photochrom status` and to Prometheus.

It comes from the loop that does the work, not from a thread of its own, which would go on beating
in a daemon that hangs. systemd's watchdog is fed only while the work goes on.
"""

import os
import time
from typing import Any

import structlog

from service.config.loader import Config
from service.filesystem.access import may_not_read
from service.ledger.jobs import JobStatus
from service.ledger.ledger import Ledger
from service.monitoring.health import Health, Signs, judge
from service.monitoring.heartbeat import (
    ArrivingFile,
    Heartbeat,
    UnmovedIn,
    longest_first,
    write_heartbeat,
)
from service.monitoring.metrics import Metrics
from service.pipeline.pipeline import Pipeline
from service.systemd.notify import Notifier
from service.watch.watcher import Arriving, Watcher
from worker.errors import DeviceError

FOLDERS_TOLD = 100  # at most, in a heartbeat
ARRIVING_SHOWN = 20  # files
QUICKEST = 1.0  # seconds between two signs of life, however often the health changes

log = structlog.get_logger()


class HealthReporter:
    """Looks at the parts of a daemon and tells how they do.

    Args:
        notifier: tells systemd.
        ledger: how much is left?
    """

    _config: Config
    _watcher: Watcher
    _pipeline: Pipeline

    def __init__(self, notifier: Notifier, ledger: Ledger) -> None:
        """Nothing is told before it has parts to look at."""
        self._notifier = notifier
        self._ledger = ledger
        self._metrics = Metrics()
        self._started = time.time()
        self._told_at = float("-inf")
        self._known = (False, "", 0)
        self._idle_since: float | None = None
        self._beat: Heartbeat | None = None
        self._unwritten = ""

    def attach(self, config: Config, watcher: Watcher, pipeline: Pipeline) -> None:
        """Look at these parts from now on; after a reload they are others.

        Args:
            config: how long things may take, and who is told.
            watcher: when was the last rescan?
            pipeline: does the work move?
        """
        self._config = config
        self._watcher = watcher
        self._pipeline = pipeline
        self._metrics.move(config.metrics)
        pipeline.engine.batch_done = self._metrics.batch_done

    def step(self, now: float, held_up: str = "", refused_config: str = "") -> None:
        """Tell how it goes, if it is time to, or at once when there is news.

        Args:
            now: monotonic seconds.
            held_up: the machine's fault that kept the loop from its work just now, or "".
            refused_config: why a changed configuration is not used, or "".
        """
        tried_again = self._pipeline.unresolved(now)
        troubled = bool(held_up or tried_again or not self._watcher.sees_inbox)
        known = (troubled, refused_config, len(self._watcher.arriving))
        news = known != self._known
        pause = QUICKEST if news else self._notifier.beat
        if now < self._told_at + pause:
            return
        self._known = known
        self._metrics.serve()
        health, beat = self._look(now, held_up, refused_config)
        was_stuck = self._beat is not None and self._beat.health == "stuck"
        if health.level == "stuck" and not was_stuck:
            log.error("daemon.stuck", reason="; ".join(health.reasons))
        self._beat = beat
        self._tell(beat, now)

    def keep_alive(self, now: float) -> None:
        """Tell that a long step goes on, if it is long: one more file was found or taken."""
        if now < self._told_at + 2 * self._notifier.beat:
            return
        beat = self._beat or self._look(now, "", "")[1]
        reasons = ("looking through the inbox", *beat.reasons)
        looking = {"time": time.time(), "reasons": reasons}
        self._tell(beat.model_copy(update=looking), now)

    def close(self) -> None:
        """Tell no more."""
        self._metrics.close()

    def _tell(self, beat: Heartbeat, now: float) -> None:
        self._told_at = now
        self._notifier.alive(beat.line, well=beat.health != "stuck")
        self._metrics.show(beat)
        try:
            write_heartbeat(self._config.state, beat)
        except OSError as error:  # no reason to stop; `photochrom status` sees that it is old
            if not self._unwritten:
                log.warning("heartbeat.not_written", reason=error.strerror)
            self._unwritten = error.strerror or str(error)
        else:
            if self._unwritten:
                log.info("heartbeat.written")
            self._unwritten = ""

    def _look(self, now: float, held_up: str, refused_config: str) -> tuple[Health, Heartbeat]:
        wall = time.time()
        jobs, oldest = None, None
        try:
            jobs = self._ledger.counts()
            oldest = self._ledger.oldest_waiting()
            due = self._ledger.any_due(wall, longest_wait=self._config.retry.longest_wait)
        except DeviceError as error:
            held_up, due = str(error), False
        in_hand = self._pipeline.in_hand()
        if in_hand or not due:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        started = (jobs or {}).get(JobStatus.STARTED, 0)
        arriving = self._watcher.arriving
        health = judge(self._signs(now, held_up, refused_config, 0 if in_hand else started))
        tally, engine = self._pipeline.tally, self._pipeline.engine
        return health, Heartbeat(
            time=wall,
            pid=os.getpid(),
            started=self._started,
            health=health.level,
            reasons=health.reasons,
            model=engine.model,
            batch_size=engine.batch_size,
            jobs=jobs,
            oldest_waiting=oldest.queued_at if oldest else None,
            in_work=longest_first(in_hand, wall),
            arriving=len(arriving),
            arriving_files=self._longest_at_rest(arriving, now),
            rescanned=wall - (now - self._watcher.rescanned_at),
            rescan_seconds=self._watcher.rescan_seconds,
            overflows=self._watcher.overflows,
            rebuilt=self._watcher.rebuilt,
            free=self._pipeline.places.free(),
            finished=tally.finished,
            rejected=tally.rejected,
            megapixels=tally.pixels / 1e6,
            device_memory=engine.memory,
            refused_config=refused_config,
            **self._kept_back(),
        )

    def _kept_back(self) -> dict[str, Any]:
        """Tell what permissions hinder, as far as the heartbeat has room for it."""
        unmoved, unreadable = self._pipeline.originals.unmoved, self._watcher.unreadable
        folders = (
            UnmovedIn(folder=str(folder), photos=photos, reason=reason)
            for folder, photos, reason in unmoved.folders()[:FOLDERS_TOLD]
        )
        return {
            "unmoved_originals": len(unmoved),
            "unmoved": tuple(folders),
            "unreadable_folders": len(unreadable),
            "unreadable": unreadable[:FOLDERS_TOLD],
        }

    def _longest_at_rest(self, arriving: list[Arriving], now: float) -> tuple[ArrivingFile, ...]:
        longest = sorted(arriving, key=lambda one: one.since)[:ARRIVING_SHOWN]
        return tuple(
            ArrivingFile(
                path=str(one.path.relative_to(self._config.inbox)),
                reason=one.reason,
                seconds=round(now - one.since, 1),
            )
            for one in longest
        )

    def _signs(self, now: float, held_up: str, refused_config: str, orphans: int) -> Signs:
        mistakes = "; ".join(refused_config.splitlines())
        refused = f"the changed config.yaml is not used: {mistakes}" if mistakes else ""
        unreadable = self._watcher.unreadable
        remarks = (
            *self._pipeline.originals.unmoved.words(),
            may_not_read(unreadable) if unreadable else "",
            self._watcher.unannounced,
            refused,
            *self._metrics.faults,
        )
        return Signs(
            rescan_age=now - self._watcher.rescan_moved_at,
            rescan_every=self._config.watch.rescan,
            still=self._pipeline.still(now),
            longest_wait=self._config.batch.longest_wait,
            hints=self._watcher.emitters_alive(),
            inbox=self._watcher.sees_inbox,
            held_up=held_up,
            tried_again=self._pipeline.unresolved(now),
            idle=0.0 if self._idle_since is None else now - self._idle_since,
            orphans=orphans,
            remarks=tuple(remark for remark in remarks if remark),
        )
