"""Promises of the reporter, with a real daemon, its folders and ledger, and a fake device."""

import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.backoff import Backoff
from service.config.loader import Config
from service.config.sections import Batching, Retry, Stop, Watch
from service.daemon.daemon import Daemon
from service.filesystem.folder_checks import make_folders
from service.monitoring.health import PATIENCE
from service.monitoring.heartbeat import HEARTBEAT_FILE, read_heartbeat
from service.systemd.notify import Notifier
from service.watch import watcher
from tests.support.fakes import FakeColorist
from tests.support.synthetic_photos import gray_scene, save
from tests.support.waiting import wait_until


class Watched:
    """A daemon and what systemd hears of it."""

    def __init__(self, folder: Path) -> None:
        """Make the folders, the socket and the daemon."""
        config = Config(
            watch=Watch(settle=0.0, incomplete_timeout=0.0),
            batch=Batching(longest_wait=0.0),
            stop=Stop(within=20.0),
            retry=Retry(first_wait=60.0),
        )
        self.config = config.beside(folder)
        make_folders(self.config.folders.values())
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.listener.bind(str(folder / "notify"))
        self.listener.settimeout(0.0)
        self.colorist = FakeColorist()
        notifier = Notifier({"NOTIFY_SOCKET": str(folder / "notify")})
        self.daemon = Daemon(self.config, self.colorist, notifier=notifier)

    def heard(self) -> list[str]:
        """Take what was said since the last time."""
        messages = []
        try:
            while True:
                messages.append(self.listener.recv(4096).decode())
        except BlockingIOError:
            return messages

    def drop(self, name: str) -> None:
        """Put a scan in the inbox."""
        path = self.config.inbox / name
        path.parent.mkdir(exist_ok=True)
        save(path, gray_scene(24, 32))

    def step_until_busy(self, now: float) -> None:
        """Step until a photo is on the device; the clock stands."""

        def on_device() -> bool:
            self.daemon.step(now, time.time())
            return bool(self.colorist.batches)

        wait_until(on_device)


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    """Make it; afterwards end it, and give the signals back."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    made = Watched(tmp_path)
    yield made
    made.colorist.device_gate.set()
    made.daemon.watcher.stop()
    made.daemon.pipeline.close()
    made.daemon.ledger.close()
    made.listener.close()
    for number, handler in before.items():
        signal.signal(number, handler)


def test_ready_is_said_when_the_start_is_over(watched: Watched) -> None:
    """Time for the start is asked for before."""
    watched.daemon.startup()

    assert ["EXTEND_TIMEOUT_USEC=600000000", "READY=1"] == watched.heard()[:2]


def test_the_watchdog_is_fed_with_the_counts_now_and_then(watched: Watched) -> None:
    """Not with every step of the loop."""
    watched.daemon.startup()
    watched.heard()
    now = time.monotonic()
    for later in (0.0, 1.0, 9.0, 10.0, 15.0, 19.9, 20.0):
        watched.daemon._reporter.step(now + later)

    assert [
        "STATUS=ok; 0 waiting, 0 in progress, 0 finished, 0 rejected\nWATCHDOG=1"
    ] * 2 == watched.heard()


def test_a_device_that_hangs_starves_the_watchdog(watched: Watched) -> None:
    """The loop goes on, and yet no photo moves; why is in the status and, once, in the log."""
    watched.colorist.device_gate.clear()
    watched.daemon.startup()
    watched.drop("a.png")
    now = time.monotonic() + 1.0
    watched.step_until_busy(now)
    watched.heard()
    with capture_logs() as logs:
        watched.daemon._reporter.step(now + 20.0)
        for later in (PATIENCE + 10, PATIENCE + 30):
            watched.daemon.watcher.rescan_moved_at = now + later
            watched.daemon._reporter.step(now + later)
    fed, *starved = watched.heard()

    assert "WATCHDOG=1" in fed
    assert [f"STATUS=stalled: no progress for {PATIENCE + n:.0f} seconds" for n in (10, 30)] == [
        words.split(";")[0] for words in starved
    ]
    assert not [words for words in starved if "WATCHDOG=1" in words]
    assert ["daemon.stuck"] == [entry["event"] for entry in logs]


def test_a_photo_that_is_lost_between_ledger_and_pipeline_starves_the_watchdog(
    watched: Watched,
) -> None:
    """It would stay in work for ever; a restart queues it again."""
    watched.daemon.startup()
    watched.drop("a.png")

    def queued() -> bool:
        watched.daemon.watcher.step(time.monotonic())
        return sum(watched.daemon.ledger.queries.counts().values()) == 1

    wait_until(queued)
    watched.daemon.ledger.claim(1, time.time(), in_flight=0)
    watched.heard()
    watched.daemon._reporter.step(time.monotonic() + 60.0)

    [said] = watched.heard()

    assert said.startswith("STATUS=stalled: 1 photo in progress in the ledger only; 0 waiting")


def test_work_that_waits_for_nothing_is_not_still(watched: Watched) -> None:
    """However long the inbox was empty before, the first photo has its whole time."""
    watched.colorist.device_gate.clear()
    watched.daemon.startup()
    watched.daemon.step(1e9, time.time())
    idle = watched.daemon.pipeline.still(2e9)
    watched.drop("a.png")
    watched.step_until_busy(2e9)

    assert 0.0 == idle
    assert 100.0 == watched.daemon.pipeline.still(2e9 + 100.0)


def test_an_inbox_that_is_away_is_said_and_the_watchdog_fed(watched: Watched) -> None:
    """A restart would not bring the share back."""
    watched.daemon.startup()
    watched.config.inbox.rename(watched.config.inbox.with_name("away"))
    watched.daemon.step(time.monotonic(), time.time())
    watched.heard()
    watched.daemon._reporter.step(time.monotonic() + 1.0)
    (said,) = watched.heard()

    assert said.startswith("STATUS=blocked: the inbox cannot be read; ")
    assert said.endswith("WATCHDOG=1")

    watched.config.inbox.with_name("away").rename(watched.config.inbox)
    watched.daemon.step(time.monotonic() + 60.0, time.time())

    assert watched.daemon.watcher.sees_inbox


def test_a_long_look_through_the_inbox_feeds_the_watchdog(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hundreds of thousands of files on a slow disk take longer than the watchdog waits."""
    for number in range(50):
        watched.drop(f"{number}/a.png")
    watched.daemon.startup()
    watched.heard()
    clock = iter(range(1_000_000, 2_000_000))  # each folder takes a second or more
    monkeypatch.setattr(watcher, "CHECKED_WITHIN", 60.0)
    watched.daemon.watcher.rescan_moved_at = 1e6
    monkeypatch.setattr(time, "monotonic", lambda: float(next(clock)))
    watched.daemon.watcher.step(1e6)
    monkeypatch.undo()

    heard = watched.heard()

    assert 2 <= len(heard)
    assert all(said.startswith("STATUS=ok; scanning the inbox; ") for said in heard)
    assert all(said.endswith("\nWATCHDOG=1") for said in heard)


def test_the_end_is_said_with_the_time_it_may_take(watched: Watched) -> None:
    """Time to finish what is in work, and some to end."""
    watched.daemon.startup()
    watched.heard()
    watched.daemon.shutdown()

    assert ["STOPPING=1\nEXTEND_TIMEOUT_USEC=50000000"] == watched.heard()


def test_a_heartbeat_is_left_where_nobody_listens(watched: Watched) -> None:
    """`photochrom status` reads it, under systemd or not."""
    watched.daemon._notifier.wanted = False
    watched.drop("a.png")
    watched.colorist.device_gate.clear()
    watched.daemon.startup()
    now = time.monotonic()
    watched.step_until_busy(now)
    watched.daemon._reporter.step(now + 10.0)
    beat = read_heartbeat(watched.config.state)

    assert beat
    assert ("ok", (), "fake", 2) == (beat.health, beat.reasons, beat.model, beat.batch_size)
    assert ["a.png"] == [one.path for one in beat.in_work]
    assert {"queued": 0, "started": 1, "finished": 0, "failed": 0} == beat.jobs
    assert set(watched.config.folders) == set(beat.free)
    assert [] == watched.heard()[2:]


def test_what_was_done_is_counted(watched: Watched) -> None:
    """In photos, in megapixels and in batches."""
    batches: list[tuple[int, float]] = []
    watched.daemon.pipeline.engine.batch_done = lambda photos, seconds: batches.append(
        (photos, seconds)
    )
    watched.drop("a.png")
    watched.daemon.startup()

    def done() -> bool:
        watched.daemon.step(time.monotonic(), time.time())
        return watched.daemon.pipeline.tally.finished == 1

    wait_until(done)
    watched.daemon._reporter.step(time.monotonic() + 10.0)
    beat = read_heartbeat(watched.config.state)

    assert beat
    assert (1, 0, 24 * 32 / 1e6) == (beat.finished, beat.rejected, beat.megapixels)
    assert [1] == [photos for photos, _seconds in batches]
    assert 0 < batches[0][1] < 10


def test_a_fault_of_the_machine_is_told_at_once_and_its_end_too(watched: Watched) -> None:
    """Not with the next beat only, and not more often than once a second."""
    watched.colorist.faults.append(OSError(5, "Input/output error"))
    watched.drop("a.png")
    watched.daemon.startup()
    now = time.monotonic() + 10.0
    watched.daemon._reporter.step(now)

    def unresolved() -> bool:
        watched.daemon.step(now, time.time())
        return bool(watched.daemon.pipeline.unresolved(now))

    wait_until(unresolved)
    said = []
    for later in (0.5, 1.5, 2.5):
        watched.daemon._reporter.step(now + later)
        beat = read_heartbeat(watched.config.state)
        assert beat
        said.append((beat.health, *beat.reasons))
    watched.daemon.pipeline._failures.backoff = Backoff()
    watched.daemon._reporter.step(now + 3.0)
    after = read_heartbeat(watched.config.state)

    words = "[Errno 5] Input/output error"
    assert [("ok",), ("blocked", words), ("blocked", words)] == said
    assert after
    assert "ok" == after.health


def test_a_photo_that_is_due_and_never_taken_up_starves_the_watchdog(watched: Watched) -> None:
    """Nothing is in hand and nothing holds it up, and yet the queue stands still."""
    watched.daemon.startup()
    watched.drop("a.png")

    def queued() -> bool:
        watched.daemon.watcher.step(time.monotonic())
        return sum(watched.daemon.ledger.queries.counts().values()) == 1

    wait_until(queued)
    now = time.monotonic() + 10.0
    watched.heard()
    for later in (0.0, PATIENCE - 10.0, PATIENCE + 10.0):
        watched.daemon.watcher.rescan_moved_at = now + later
        watched.daemon._reporter.step(now + later)
    fed, still_fed, starved = watched.heard()

    assert "WATCHDOG=1" in fed
    assert "WATCHDOG=1" in still_fed
    assert starved.startswith(
        "STATUS=stalled: photos are waiting, but none was started for 910 seconds; "
    )
    assert "WATCHDOG=1" not in starved


def test_a_heartbeat_that_cannot_be_written_is_said_once(watched: Watched) -> None:
    """And that it can be again; systemd hears all the while."""
    watched.daemon.startup()
    watched.heard()
    now = time.monotonic() + 10.0
    away = watched.config.state.with_name("away")
    with capture_logs() as logs:
        watched.config.state.rename(away)
        for later in (0.0, 10.0, 20.0):
            watched.daemon._reporter.step(now + later)
        away.rename(watched.config.state)
        watched.daemon._reporter.step(now + 30.0)

    assert ["heartbeat.not_written", "heartbeat.written"] == [entry["event"] for entry in logs]
    assert 4 == len(watched.heard())
    assert (watched.config.state / HEARTBEAT_FILE).exists()


def test_the_heartbeat_stays_readable_while_a_rescan_goes_on(watched: Watched) -> None:
    """One that takes minutes is no silence."""
    watched.daemon.startup()
    now = time.monotonic() + 10.0
    watched.daemon._reporter.step(now)
    (watched.config.state / HEARTBEAT_FILE).unlink()
    watched.daemon._reporter.keep_alive(now + 19.0)
    early = read_heartbeat(watched.config.state)
    watched.daemon._reporter.keep_alive(now + 20.0)
    watched.daemon._reporter.keep_alive(now + 40.0)
    late = read_heartbeat(watched.config.state)

    assert early is None
    assert late
    assert ("scanning the inbox",) == late.reasons


def test_scans_that_wait_for_their_folders_settings_are_reported(watched: Watched) -> None:
    """Somebody must correct the file: the level is blocked, and the watchdog is pinged."""
    folder = watched.config.inbox / "album"
    folder.mkdir()
    (folder / "photochrom.yaml").write_text("vivid: 3\n")
    for name in ("album/a.png", "album/b.png"):
        watched.drop(name)
    watched.daemon.startup()

    def refused() -> bool:
        watched.daemon.step(time.monotonic(), time.time())
        return watched.daemon.folder_settings.waiting == 2

    wait_until(refused)
    watched.heard()
    watched.daemon._reporter.step(time.monotonic() + 1.0)
    (blocked,) = watched.heard()
    (folder / "photochrom.yaml").unlink()

    def colored() -> bool:
        watched.daemon.step(time.monotonic(), time.time())
        return watched.daemon.counters.finished == 2

    wait_until(colored)
    watched.daemon._reporter.step(time.monotonic() + 2.0)
    (said,) = watched.heard()

    reason = "2 scans wait until the mistakes in album/photochrom.yaml are corrected"
    assert blocked.startswith(f"STATUS=blocked: {reason}; ")
    assert blocked.endswith("WATCHDOG=1")
    assert said.startswith("STATUS=ok; 0 waiting, 0 in progress, 2 finished")
