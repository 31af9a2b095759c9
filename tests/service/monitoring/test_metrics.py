"""What Prometheus really gets, over HTTP and as a file."""

import errno
import os
import re
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from service.config.sections import Metrics as Settings
from service.monitoring.heartbeat import Heartbeat, WorkerBeat
from service.monitoring.metrics import Metrics

NOON = 1_800_000_000.0
DOCS = Path(__file__).parents[3] / "docs" / "metrics.md"
BEAT = Heartbeat(
    time=NOON,
    pid=12,
    started=NOON - 60,
    health="blocked",
    model="3",
    batch_size=8,
    jobs={"queued": 4, "started": 3, "finished": 2, "failed": 1},
    oldest_waiting=NOON - 90,
    held=5,
    decisions_waiting=2,
    rescanned=NOON - 5,
    rescan_seconds=0.25,
    overflows=6,
    rebuilt=7,
    free={"inbox": 1_000, "outbox": 2_000},
    finished=20,
    rejected=10,
    unmoved_originals=12,
    unreadable_folders=3,
    megapixels=123.5,
    device_memory=1 << 30,
    workers=(
        WorkerBeat(name="a #1", host="a", state="ready", done=7),
        WorkerBeat(name="b #1", host="b", state="paused", done=5, reason="its card failed"),
    ),
    worker_deaths=3,
)
Samples = dict[tuple[str, tuple[str, ...]], float]


@pytest.fixture
def metrics() -> Iterator[Metrics]:
    """Make metrics; afterwards serve no more."""
    made = Metrics()
    yield made
    made.close()


@pytest.fixture
def port() -> int:
    """Find a port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def samples(text: str) -> Samples:
    """Read them as Prometheus does: values by name and the values of their labels."""
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(port: int, host: str = "127.0.0.1") -> Samples:
    """Ask over HTTP."""
    with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=10) as answer:
        return samples(answer.read().decode())


def told(metrics: Metrics, folder: Path, **values: Any) -> Samples:
    """Tell a heartbeat in a file and read that."""
    metrics.move(Settings(textfile=folder / "photochrom.prom"))
    metrics.show(BEAT.model_copy(update=values))
    return samples((folder / "photochrom.prom").read_text())


def test_a_scrape_finds_the_heartbeat(metrics: Metrics, port: int) -> None:
    """Every number of it."""
    metrics.move(Settings(listen=f"127.0.0.1:{port}"))
    metrics.serve()
    metrics.show(BEAT)
    found = scrape(port)

    assert {
        ("photochrom_heartbeat_timestamp_seconds", ()): NOON,
        ("photochrom_health", ("well",)): 0,
        ("photochrom_health", ("held_up",)): 1,
        ("photochrom_health", ("stuck",)): 0,
        ("photochrom_model_info", ("3",)): 1,
        ("photochrom_config_refused", ()): 0,
        ("photochrom_jobs", ("queued",)): 4,
        ("photochrom_jobs", ("started",)): 3,
        ("photochrom_jobs", ("finished",)): 2,
        ("photochrom_jobs", ("failed",)): 1,
        ("photochrom_oldest_pending_seconds", ()): 90,
        ("photochrom_held", ()): 5,
        ("photochrom_decisions_waiting", ()): 2,
        ("photochrom_photos_total", ("finished",)): 20,
        ("photochrom_unmoved_originals", ()): 12,
        ("photochrom_unreadable_folders", ()): 3,
        ("photochrom_photos_total", ("rejected",)): 10,
        ("photochrom_megapixels_total", ("finished",)): 123.5,
        ("photochrom_batch_size_limit", ()): 8,
        ("photochrom_last_rescan_timestamp_seconds", ()): NOON - 5,
        ("photochrom_last_rescan_duration_seconds", ()): 0.25,
        ("photochrom_free_bytes", ("inbox",)): 1_000,
        ("photochrom_free_bytes", ("outbox",)): 2_000,
        ("photochrom_device_memory_bytes", ()): 1 << 30,
        ("photochrom_workers", ("ready",)): 1,
        ("photochrom_workers", ("paused",)): 1,
        ("photochrom_workers", ("starting",)): 0,
        ("photochrom_worker_photos_total", ("a #1",)): 7,
        ("photochrom_worker_deaths_total", ()): 3,
        ("photochrom_event_queue_overflows_total", ()): 6,
        ("photochrom_emitter_restarts_total", ()): 7,
    }.items() <= found.items()
    assert 1e6 < found["photochrom_process_resident_memory_bytes", ()]


def test_the_next_scrape_finds_the_next_heartbeat(metrics: Metrics, port: int) -> None:
    """On the same port."""
    metrics.move(Settings(listen=f"127.0.0.1:{port}"))
    metrics.serve()
    metrics.show(BEAT)
    metrics.show(BEAT.model_copy(update={"finished": 21}))

    assert 21 == scrape(port)["photochrom_photos_total", ("finished",)]


def test_batches_are_counted_by_size_and_time(metrics: Metrics, tmp_path: Path) -> None:
    """A histogram of each."""
    for photos, seconds in ((1, 0.2), (8, 3.0), (8, 4.0)):
        metrics.batch_done(photos, seconds)
    found = told(metrics, tmp_path)

    assert 1 == found["photochrom_batch_size_bucket", ("1.0",)]
    assert 1 == found["photochrom_batch_size_bucket", ("4.0",)]
    assert 3 == found["photochrom_batch_size_bucket", ("8.0",)]
    assert 17 == found["photochrom_batch_size_sum", ()]
    assert 1 == found["photochrom_batch_seconds_bucket", ("2.5",)]
    assert 3 == found["photochrom_batch_seconds_count", ()]
    assert 7.2 == pytest.approx(found["photochrom_batch_seconds_sum", ()])


def test_what_nobody_knows_is_not_told(metrics: Metrics, tmp_path: Path) -> None:
    """No zeros for a ledger that is locked, nor for the memory of a card that is not there."""
    unknown = dict.fromkeys(("jobs", "oldest_waiting", "held", "decisions_waiting"))
    found = told(metrics, tmp_path, **unknown, device_memory=None)
    names = {name for name, _labels in found}

    assert not names & {
        "photochrom_jobs",
        "photochrom_oldest_pending_seconds",
        "photochrom_held",
        "photochrom_decisions_waiting",
        "photochrom_device_memory_bytes",
    }
    assert "photochrom_health" in names


def test_a_daemon_that_colors_itself_tells_of_no_workers(metrics: Metrics, tmp_path: Path) -> None:
    """There are none."""
    found = told(metrics, tmp_path, workers=(), worker_deaths=0)

    assert not [name for name, _labels in found if "worker" in name]


def test_every_name_is_documented(metrics: Metrics, tmp_path: Path) -> None:
    """And nothing else is; names are an interface."""
    families = {
        name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum")
        for name, _labels in told(metrics, tmp_path)
        if not name.endswith("_created")
    }
    families = {name for name in families if not name.startswith("photochrom_process_")}
    documented = set(re.findall(r"^\| `(photochrom_\w+?)[`{]", DOCS.read_text(), re.MULTILINE))

    assert documented - {"photochrom_process_"} == families


def test_the_alerts_ask_for_what_there_is(metrics: Metrics, tmp_path: Path) -> None:
    """A name that nobody tells would never alert."""
    names = {name for name, _labels in told(metrics, tmp_path)}
    (alerts,) = re.findall(r"<!-- alerts.yml -->\n```yaml\n(.*?)```", DOCS.read_text(), re.DOTALL)

    assert 6 == alerts.count("alert:")
    assert names > set(re.findall(r"photochrom_\w+", alerts))


def test_a_file_has_no_name_of_node_exporters_own(metrics: Metrics, tmp_path: Path) -> None:
    """It would refuse to tell anything at all then."""
    assert all(name.startswith("photochrom_") for name, _labels in told(metrics, tmp_path))


def test_another_user_may_read_the_file(metrics: Metrics, tmp_path: Path) -> None:
    """Though the service's umask keeps results from others."""
    before = os.umask(0o077)
    try:
        told(metrics, tmp_path)
    finally:
        os.umask(before)

    assert 0o644 == (tmp_path / "photochrom.prom").stat().st_mode & 0o777
    assert ["photochrom.prom"] == [path.name for path in tmp_path.iterdir()]


def test_a_port_in_use_is_said_and_tried_again(metrics: Metrics, port: int) -> None:
    """Once when it begins and once when it is over; the daemon goes on in between."""
    metrics.move(Settings(listen=f"127.0.0.1:{port}"))
    with capture_logs() as logs:
        with socket.create_server(("127.0.0.1", port)):
            metrics.serve()
            metrics.serve()
            metrics.show(BEAT)
            faults = metrics.faults
        metrics.serve()

    words = f"cannot serve metrics on 127.0.0.1:{port}: {os.strerror(errno.EADDRINUSE)}"
    assert (words,) == faults
    assert () == metrics.faults
    assert [("metrics.silent", "warning"), ("metrics.told", "info")] == [
        (entry["event"], entry["log_level"]) for entry in logs
    ]
    assert words == logs[0]["reason"]
    assert NOON == scrape(port)["photochrom_heartbeat_timestamp_seconds", ()]


def test_a_folder_that_is_away_is_said_and_tried_again(metrics: Metrics, tmp_path: Path) -> None:
    """Likewise."""
    folder = tmp_path / "textfiles"
    metrics.move(Settings(textfile=folder / "a.prom"))
    with capture_logs() as logs:
        metrics.show(BEAT)
        metrics.show(BEAT)
        folder.mkdir()
        metrics.show(BEAT)

    assert ["metrics.silent", "metrics.told"] == [entry["event"] for entry in logs]
    assert (folder / "a.prom").exists()


def test_they_move_and_keep_what_was_counted(metrics: Metrics, port: int, tmp_path: Path) -> None:
    """As when config.yaml is read again: the old port is free at once."""
    metrics.move(Settings(listen=f"127.0.0.1:{port}"))
    metrics.batch_done(8, 1.0)
    metrics.serve()
    found = told(metrics, tmp_path)
    with socket.create_server(("127.0.0.1", port)):
        pass

    assert 1 == found["photochrom_batch_size_count", ()]


def test_by_default_nobody_is_told(metrics: Metrics, tmp_path: Path) -> None:
    """No port is opened, no file written."""
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - a descriptor for each
    metrics.move(Settings())
    metrics.serve()
    metrics.show(BEAT)

    assert before == len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    assert [] == list(tmp_path.iterdir())


def test_it_serves_on_the_other_loopback(metrics: Metrics) -> None:
    """That of IPv6, where the machine has one."""
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as one:
            port = one.getsockname()[1]
    except OSError:
        pytest.skip("this machine has no IPv6")
    metrics.move(Settings(listen=f"[::1]:{port}"))
    metrics.serve()
    metrics.show(BEAT)

    assert NOON == scrape(port, "[::1]")["photochrom_heartbeat_timestamp_seconds", ()]
