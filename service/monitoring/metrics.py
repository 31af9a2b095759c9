"""Numbers for Prometheus: served on a loopback address, or left as a file for node_exporter.

A scrape is answered from the last heartbeat, in a thread of its own: it never asks the ledger and
never makes the daemon wait. Where they can be neither served nor written, that is said, the work
goes on, and the next heartbeat tries again. docs/metrics.md has the names.
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

from service.config.sections import Metrics as Settings
from service.config.sections import address
from service.monitoring.health import Level
from service.monitoring.heartbeat import Heartbeat
from worker.atomic import write_atomically

LEVELS: tuple[Level, ...] = ("well", "held up", "stuck")
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
BATCH_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
READABLE = 0o644  # node_exporter is another user, and the numbers name no file

log = structlog.get_logger()


class Metrics:
    """What Prometheus is told; where nobody is to be told, it costs nothing."""

    def __init__(self) -> None:
        """Nobody is told yet."""
        self._settings = Settings()
        self._registry = CollectorRegistry()
        self._heart = _Heart()
        self._registry.register(self._heart)
        # With a prefix: node_exporter has a process of its own, and would refuse two of a name.
        ProcessCollector(namespace="photochrom", registry=self._registry)
        self._sizes = Histogram(
            "photochrom_batch_size",
            "Photographs colored in one go.",
            buckets=BATCH_SIZES,
            registry=self._registry,
        )
        self._seconds = Histogram(
            "photochrom_batch_seconds",
            "Time the device took for one go.",
            buckets=BATCH_SECONDS,
            registry=self._registry,
        )
        self._server: tuple[WSGIServer, threading.Thread] | None = None
        self._faults: dict[str, str] = {}

    @property
    def faults(self) -> tuple[str, ...]:
        """Why they cannot be served, or were not written at the last heartbeat, in words."""
        return tuple(self._faults.values())

    def move(self, settings: Settings) -> None:
        """Tell them elsewhere from the next heartbeat on; what was counted stays."""
        if settings.listen != self._settings.listen:
            self.close()
        self._settings = settings
        self._faults.clear()

    def batch_done(self, photos: int, seconds: float) -> None:
        """Count a batch; may be called from any thread."""
        self._sizes.observe(photos)
        self._seconds.observe(seconds)

    def serve(self) -> None:
        """Begin to answer, if that is wanted and not done yet; never raises (see `faults`)."""
        listen = self._settings.listen
        if listen and self._server is None:
            words = f"metrics are not served on {listen}"
            self._tried("listen", words, partial(self._serve, *address(listen)))

    def show(self, beat: Heartbeat) -> None:
        """Tell a heartbeat from now on; never raises, and never waits for who asks."""
        self._heart.beat = beat
        textfile = self._settings.textfile
        if textfile:
            words = f"metrics are not written to {textfile}"
            self._tried("textfile", words, partial(self._write, textfile))

    def close(self) -> None:
        """Serve no more; the file stays, with the time of its heartbeat in it."""
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
        """Do a step; say when it begins to fail, and when it works again."""
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
        """Yield them all; nothing before the first heartbeat."""
        beat = self.beat  # one value, whatever comes meanwhile
        if beat is None:
            return
        yield from _health(beat)
        yield from _work(beat)
        yield from _machine(beat)


def _health(beat: Heartbeat) -> Iterator[Metric]:
    yield _gauge("heartbeat_timestamp_seconds", "When all this was so.", beat.time)
    health = GaugeMetricFamily("photochrom_health", "1 for how the daemon does.", labels=["level"])
    for level in LEVELS:
        health.add_metric([level.replace(" ", "_")], float(level == beat.health))
    yield health
    model = InfoMetricFamily("photochrom_model", "The version that colors.")
    model.add_metric([], {"version": beat.model})
    yield model
    refused = float(bool(beat.refused_config))
    yield _gauge("config_refused", "1 while a changed config.yaml is not used.", refused)


def _work(beat: Heartbeat) -> Iterator[Metric]:
    if beat.jobs is not None:  # else the ledger could not be asked
        jobs = GaugeMetricFamily("photochrom_jobs", "Photographs by status.", labels=["status"])
        for status, count in beat.jobs.items():
            jobs.add_metric([status], count)
        yield jobs
        waited = 0.0 if beat.oldest_waiting is None else max(0.0, beat.time - beat.oldest_waiting)
        yield _gauge("oldest_pending_seconds", "How long the oldest waits; 0: none does.", waited)
    unmoved = "Originals that permissions keep in the inbox."
    yield _gauge("unmoved_originals", unmoved, beat.unmoved_originals)
    unreadable = "Folders in the inbox that may not be read."
    yield _gauge("unreadable_folders", unreadable, beat.unreadable_folders)
    photos = CounterMetricFamily(
        "photochrom_photos", "Photographs done with since the start.", labels=["result"]
    )
    photos.add_metric(["finished"], beat.finished)
    photos.add_metric(["rejected"], beat.rejected)
    yield photos
    pixels = CounterMetricFamily(
        "photochrom_megapixels", "Their size, where it is known.", labels=["result"]
    )
    pixels.add_metric(["finished"], beat.megapixels)
    yield pixels
    yield _gauge("batch_size_limit", "Photographs that go in one batch at most.", beat.batch_size)


def _machine(beat: Heartbeat) -> Iterator[Metric]:
    rescanned = "When the last look through the inbox was over."
    yield _gauge("last_rescan_timestamp_seconds", rescanned, beat.rescanned)
    yield _gauge("last_rescan_duration_seconds", "How long that took.", beat.rescan_seconds)
    free = GaugeMetricFamily("photochrom_free_bytes", "Free space by folder.", labels=["folder"])
    for folder, size in beat.free.items():
        free.add_metric([folder], size)
    yield free
    if beat.device_memory is not None:
        memory = "Memory of the device in use."
        yield _gauge("device_memory_bytes", memory, beat.device_memory)
    yield CounterMetricFamily(
        "photochrom_event_queue_overflows", "Announcements of files lost.", value=beat.overflows
    )
    yield CounterMetricFamily(
        "photochrom_emitter_restarts", "Watching that died and was mended.", value=beat.rebuilt
    )


def _gauge(name: str, words: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"photochrom_{name}", words, value=value)
