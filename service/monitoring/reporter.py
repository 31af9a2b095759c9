"""Reports the daemon's health to systemd, to `photochrom status` and to Prometheus.

The work loop calls it; a thread of its own would keep reporting while the daemon hangs. systemd's
watchdog is pinged only while the daemon is not stalled.
"""

import os
import time
from typing import Any, NamedTuple

import structlog

from service.config.loader import Config
from service.filesystem.access import may_not_read
from service.ledger.jobs import JobStatus
from service.ledger.ledger import Ledger
from service.monitoring.health import Signs, judge
from service.monitoring.heartbeat import (
    ArrivingFile,
    Heartbeat,
    UnmovedIn,
    WorkerBeat,
    longest_first,
    write_heartbeat,
)
from service.monitoring.metrics import Metrics
from service.pipeline.pipeline import Pipeline
from service.systemd.notify import Notifier
from service.watch.folder_settings import FolderSettingsWatch
from service.watch.watcher import Arriving, Watcher
from worker.errors import DeviceError

FOLDERS_SHOWN = 100  # at most, in a heartbeat
ARRIVING_SHOWN = 20  # files
MIN_INTERVAL = 1.0  # seconds between two heartbeats, however often the health changes

log = structlog.get_logger()


class _Queue(NamedTuple):
    """What the ledger knows; None and "" where it could not be read, and why not."""

    jobs: dict[JobStatus, int] | None
    oldest_waiting: float | None
    due: bool
    held: int | None = None
    decisions_waiting: int | None = None
    fault: str = ""


class HealthReporter:
    """Observes the parts of a daemon and reports their health.

    Args:
        notifier: to systemd.
        ledger: counts the jobs.
    """

    _config: Config
    _watcher: Watcher
    _pipeline: Pipeline
    _settings: FolderSettingsWatch

    def __init__(self, notifier: Notifier, ledger: Ledger) -> None:
        """Report nothing before `attach`."""
        self._notifier = notifier
        self._ledger = ledger
        self._metrics = Metrics()
        self._started = time.time()
        self._reported_at = float("-inf")
        self._last = (False, "", "", 0)
        self._idle_since: float | None = None
        self._beat: Heartbeat | None = None
        self._unwritten = ""

    def attach(
        self, config: Config, watcher: Watcher, pipeline: Pipeline, settings: FolderSettingsWatch
    ) -> None:
        """Observe these parts from now on; a reload replaces them.

        Args:
            config: intervals and where to export metrics.
            watcher: knows rescans and arriving files.
            pipeline: knows the photos in progress.
            settings: knows the scans that wait for their folder's settings.
        """
        self._config = config
        self._watcher = watcher
        self._pipeline = pipeline
        self._settings = settings
        self._metrics.move(config.metrics)
        pipeline.engine.batch_done = self._metrics.batch_done

    def step(self, now: float, blocked_by: str = "", refused_config: str = "") -> None:
        """Report if it is time to, or at once when something has changed.

        Args:
            now: monotonic seconds.
            blocked_by: what kept the loop from its work just now, or "".
            refused_config: why a changed configuration was refused, or "".
        """
        blocked = bool(blocked_by or self._pipeline.unresolved(now) or not self._watcher.sees_inbox)
        last = (blocked, refused_config, self._waits_for(), len(self._watcher.arriving))
        interval = MIN_INTERVAL if last != self._last else self._notifier.beat
        if now < self._reported_at + interval:
            return
        self._last = last
        self._metrics.serve()
        was_stalled = self._beat is not None and self._beat.health == "stalled"
        self._beat = self._observe(now, blocked_by, refused_config)
        if self._beat.health == "stalled" and not was_stalled:
            log.error("daemon.stuck", reason="; ".join(self._beat.reasons))
        self._report(self._beat, now)

    def keep_alive(self, now: float) -> None:
        """Report that a long rescan makes progress, if it has been quiet for long."""
        if now < self._reported_at + 2 * self._notifier.beat:
            return
        beat = self._beat or self._observe(now, "", "")
        changes = {"time": time.time(), "reasons": ("scanning the inbox", *beat.reasons)}
        self._report(beat.model_copy(update=changes), now)

    def close(self) -> None:
        """Stop reporting."""
        self._metrics.close()

    def _report(self, beat: Heartbeat, now: float) -> None:
        self._reported_at = now
        self._notifier.alive(beat.line, well=beat.health != "stalled")
        self._metrics.show(beat)
        try:
            write_heartbeat(self._config.state, beat)
        except OSError as error:  # no reason to stop; `photochrom status` sees its age
            if not self._unwritten:
                log.warning("heartbeat.not_written", reason=error.strerror)
            self._unwritten = error.strerror or str(error)
        else:
            if self._unwritten:
                log.info("heartbeat.written")
            self._unwritten = ""

    def _observe(self, now: float, blocked_by: str, refused_config: str) -> Heartbeat:
        wall = time.time()
        queue = self._queue(wall)
        in_hand = self._pipeline.in_hand()
        if in_hand or not queue.due:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        started = (queue.jobs or {}).get(JobStatus.STARTED, 0)
        orphans = 0 if in_hand else started
        health = judge(self._signs(now, queue.fault or blocked_by, refused_config, orphans))
        arriving = self._watcher.arriving
        counters, engine = self._pipeline.tally, self._pipeline.engine
        return Heartbeat(
            time=wall,
            pid=os.getpid(),
            started=self._started,
            health=health.level,
            reasons=health.reasons,
            model=engine.model,
            batch_size=engine.batch_size,
            jobs=queue.jobs,
            oldest_waiting=queue.oldest_waiting,
            held=queue.held,
            decisions_waiting=queue.decisions_waiting,
            in_work=longest_first(in_hand, wall),
            arriving=len(arriving),
            arriving_files=self._longest_unchanged(arriving, now),
            rescanned=wall - (now - self._watcher.rescanned_at),
            rescan_seconds=self._watcher.rescan_seconds,
            overflows=self._watcher.overflows,
            rebuilt=self._watcher.rebuilt,
            free=self._pipeline.places.free(),
            finished=counters.finished,
            rejected=counters.rejected,
            megapixels=counters.pixels / 1e6,
            device_memory=engine.memory,
            workers=tuple(map(WorkerBeat.of, engine.workers)),
            worker_deaths=engine.worker_deaths,
            refused_config=refused_config,
            **self._denied(),
        )

    def _queue(self, wall: float) -> _Queue:
        longest = self._config.retry.longest_wait
        try:
            oldest = self._ledger.queries.oldest_waiting()
            return _Queue(
                self._ledger.queries.counts(),
                oldest.queued_at if oldest else None,
                self._ledger.queries.has_due(wall, longest_wait=longest),
                self._ledger.queries.gallery.held_count(),
                self._ledger.queries.gallery.owing_review_count(),
            )
        except DeviceError as error:
            return _Queue(None, None, due=False, fault=str(error))

    def _denied(self) -> dict[str, Any]:
        """Return what permissions prevent, as much as the heartbeat has room for."""
        unmoved, unreadable = self._pipeline.originals.unmoved, self._watcher.unreadable
        folders = (
            UnmovedIn(folder=str(folder), photos=photos, reason=reason)
            for folder, photos, reason in unmoved.folders()[:FOLDERS_SHOWN]
        )
        return {
            "unmoved_originals": len(unmoved),
            "unmoved": tuple(folders),
            "unreadable_folders": len(unreadable),
            "unreadable": unreadable[:FOLDERS_SHOWN],
        }

    def _longest_unchanged(self, arriving: list[Arriving], now: float) -> tuple[ArrivingFile, ...]:
        longest = sorted(arriving, key=lambda one: one.since)[:ARRIVING_SHOWN]
        return tuple(
            ArrivingFile(
                path=str(one.path.relative_to(self._config.inbox)),
                reason=one.reason,
                seconds=round(now - one.since, 1),
            )
            for one in longest
        )

    def _waits_for(self) -> str:
        """Return which settings files have mistakes that scans wait for, or ""."""
        refused = self._settings.refused
        if not refused:
            return ""
        scans, more = sum(refused.values()), len(refused) - 1
        first = f"{next(iter(refused))}{f' and {more} more' if more else ''}"
        waits = "1 scan waits" if scans == 1 else f"{scans} scans wait"
        return f"{waits} until the mistakes in {first} are corrected"

    def _signs(self, now: float, blocked_by: str, refused_config: str, orphans: int) -> Signs:
        mistakes = "; ".join(refused_config.splitlines())
        unreadable = self._watcher.unreadable
        fault = self._pipeline.approvals.fault
        remarks = (
            f"decisions on results wait: {fault}" if fault else "",
            *self._pipeline.originals.unmoved.words(),
            may_not_read(unreadable) if unreadable else "",
            self._watcher.unannounced,
            f"the changed config.yaml was refused: {mistakes}" if mistakes else "",
            *self._metrics.faults,
        )
        return Signs(
            rescan_age=now - self._watcher.rescan_moved_at,
            rescan_every=self._config.watch.rescan,
            still=self._pipeline.still(now),
            longest_wait=self._config.batch.longest_wait,
            events=self._watcher.emitters_alive(),
            inbox=self._watcher.sees_inbox,
            blocked_by=blocked_by,
            unresolved=self._pipeline.unresolved(now),
            idle=0.0 if self._idle_since is None else now - self._idle_since,
            orphans=orphans,
            settings=self._waits_for(),
            remarks=tuple(remark for remark in remarks if remark),
        )
