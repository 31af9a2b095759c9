"""Metrics for Prometheus: served on a loopback address, or written to a file for node_exporter.

A scrape is answered from the last heartbeat, in a separate thread: it never reads the ledger and
never blocks the daemon. A failed export is logged and retried with the next heartbeat; work
continues. docs/metrics.md lists the names.
"""

import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from wsgiref.simple_server import WSGIServer

import structlog
from prometheus_client import (
    CollectorRegistry,
    Histogram,
    ProcessCollector,
    generate_latest,
    start_http_server,
)
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from service.config.addresses import address
from service.config.sections import Metrics as Settings
from service.monitoring.health import PUBLISHED
from service.monitoring.heartbeat import Heartbeat
from worker.atomic import write_atomically

BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
BATCH_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
READABLE = 0o644  # node_exporter runs as another user; metrics name no file

log = structlog.get_logger()


class Metrics:
    """The exported metrics; free of cost while no export is configured."""

    def __init__(self) -> None:
        """Export nothing yet."""
        self._settings = Settings()
        self._registry = CollectorRegistry()
        self._heart = _Heart()
        self._registry.register(self._heart)
        # The prefix keeps them apart from those of node_exporter's own process.
        ProcessCollector(namespace="photochrom", registry=self._registry)
        self._sizes = Histogram(
            "photochrom_batch_size",
            "Photos colored in one batch.",
            buckets=BATCH_SIZES,
            registry=self._registry,
        )
        self._seconds = Histogram(
            "photochrom_batch_seconds",
            "Device time for one batch.",
            buckets=BATCH_SECONDS,
            registry=self._registry,
        )
        self._server: tuple[WSGIServer, threading.Thread] | None = None
        self._faults: dict[str, str] = {}

    @property
    def faults(self) -> tuple[str, ...]:
        """Why the export failed at the last heartbeat, in words; empty if it did not."""
        return tuple(self._faults.values())

    def move(self, settings: Settings) -> None:
        """Export as configured here from the next heartbeat on; counters keep their values."""
        if settings.listen != self._settings.listen:
            self.close()
        self._settings = settings
        self._faults.clear()

    def batch_done(self, photos: int, seconds: float) -> None:
        """Count a batch; may be called from any thread."""
        self._sizes.observe(photos)
        self._seconds.observe(seconds)

    def serve(self) -> None:
        """Start serving if configured and not running; never raises (see `faults`)."""
        listen = self._settings.listen
        if listen and self._server is None:
            words = f"cannot serve metrics on {listen}"
            self._tried("listen", words, partial(self._serve, *address(listen)))

    def show(self, beat: Heartbeat) -> None:
        """Export a heartbeat from now on; never raises, never waits for a reader."""
        self._heart.beat = beat
        textfile = self._settings.textfile
        if textfile:
            words = f"cannot write metrics to {textfile}"
            self._tried("textfile", words, partial(self._write, textfile))

    def close(self) -> None:
        """Stop serving; the file stays, with its heartbeat's timestamp."""
        if self._server is not None:
            server, thread = self._server
            server.shutdown()
            server.server_close()
            thread.join()
            self._server = None

    def _serve(self, host: str, port: int) -> None:
        self._server = start_http_server(port, host, self._registry)

    def _write(self, textfile: Path) -> None:
        write_atomically(textfile, generate_latest(self._registry), mode=READABLE)

    def _tried(self, key: str, words: str, step: Callable[[], None]) -> None:
        """Run a step; log when it starts to fail and when it works again."""
        before = self._faults.pop(key, None)
        try:
            step()
        except OSError as error:
            self._faults[key] = f"{words}: {error.strerror or error}"
            if before is None:
                log.warning("metrics.silent", key=f"metrics.{key}", reason=self._faults[key])
        else:
            if before is not None:
                log.info("metrics.told", key=f"metrics.{key}")


class _Heart(Collector):
    """The last heartbeat as metrics."""

    def __init__(self) -> None:
        self.beat: Heartbeat | None = None

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics; none before the first heartbeat."""
        beat = self.beat  # may be replaced while this runs
        if beat is None:
            return
        yield from _health(beat)
        yield from _work(beat)
        yield from _machine(beat)


def _health(beat: Heartbeat) -> Iterator[Metric]:
    yield _gauge("heartbeat_timestamp_seconds", "When these values were taken.", beat.time)
    health = GaugeMetricFamily(
        "photochrom_health", "1 for the current level, else 0.", labels=["level"]
    )
    for level, word in PUBLISHED.items():
        health.add_metric([word.replace(" ", "_")], float(level == beat.health))
    yield health
    model = InfoMetricFamily("photochrom_model", "The active model version.")
    model.add_metric([], {"version": beat.model})
    yield model
    refused = float(bool(beat.refused_config))
    yield _gauge("config_refused", "1 while a changed config.yaml is refused.", refused)


def _work(beat: Heartbeat) -> Iterator[Metric]:
    if beat.jobs is not None:  # else the ledger could not be asked
        jobs = GaugeMetricFamily("photochrom_jobs", "Photos by status.", labels=["status"])
        for status, count in beat.jobs.items():
            jobs.add_metric([status], count)
        yield jobs
        waited = 0.0 if beat.oldest_waiting is None else max(0.0, beat.time - beat.oldest_waiting)
        yield _gauge(
            "oldest_pending_seconds", "Age of the oldest waiting photo; 0 if none waits.", waited
        )
    for name, words, number in (
        ("held", "Results that wait for approval.", beat.held),
        ("decisions_waiting", "Results whose decision is not carried out.", beat.decisions_waiting),
    ):
        if number is not None:
            yield _gauge(name, words, number)
    unmoved = "Originals that permissions keep in the inbox."
    yield _gauge("unmoved_originals", unmoved, beat.unmoved_originals)
    unreadable = "Folders in the inbox that cannot be read."
    yield _gauge("unreadable_folders", unreadable, beat.unreadable_folders)
    done = "Photos finished or rejected since the start."
    photos = CounterMetricFamily("photochrom_photos", done, labels=["result"])
    photos.add_metric(["finished"], beat.finished)
    photos.add_metric(["rejected"], beat.rejected)
    yield photos
    size = "Size of the finished photos."
    pixels = CounterMetricFamily("photochrom_megapixels", size, labels=["result"])
    pixels.add_metric(["finished"], beat.megapixels)
    yield pixels
    yield _gauge("batch_size_limit", "Photos per batch at most.", beat.batch_size)


def _machine(beat: Heartbeat) -> Iterator[Metric]:
    rescanned = "When the last rescan of the inbox ended."
    yield _gauge("last_rescan_timestamp_seconds", rescanned, beat.rescanned)
    yield _gauge(
        "last_rescan_duration_seconds", "Duration of the last rescan.", beat.rescan_seconds
    )
    free = GaugeMetricFamily(
        "photochrom_free_bytes", "Free disk space by folder.", labels=["folder"]
    )
    for folder, size in beat.free.items():
        free.add_metric([folder], size)
    yield free
    if beat.device_memory is not None:
        memory = "Device memory in use."
        yield _gauge("device_memory_bytes", memory, beat.device_memory)
    if beat.workers or beat.worker_deaths:
        yield from _cluster(beat)
    yield CounterMetricFamily(
        "photochrom_event_queue_overflows",
        "Times that inotify events were lost.",
        value=beat.overflows,
    )
    yield CounterMetricFamily(
        "photochrom_emitter_restarts",
        "Times that watching died and was restarted.",
        value=beat.rebuilt,
    )


def _cluster(beat: Heartbeat) -> Iterator[Metric]:
    """Yield what there is only with several workers."""
    states = GaugeMetricFamily("photochrom_workers", "Workers by state.", labels=["state"])
    for state in ("starting", "ready", "paused"):
        states.add_metric([state], sum(one.state == state for one in beat.workers))
    yield states
    done = "Photos that a worker colored since its place is there."
    photos = CounterMetricFamily("photochrom_worker_photos", done, labels=["worker"])
    for one in beat.workers:
        photos.add_metric([one.name], one.done)
    yield photos
    lost = "Workers that died or hung, since the start."
    yield CounterMetricFamily("photochrom_worker_deaths", lost, value=beat.worker_deaths)


def _gauge(name: str, words: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"photochrom_{name}", words, value=value)
