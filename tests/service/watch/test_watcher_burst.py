"""More files at once than the kernel's queue holds: each is found, once, and soon."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from service.config.loader import Config
from service.config.sections import Batching, Watch
from service.daemon.daemon import Daemon
from service.filesystem.folder_checks import make_folders
from service.watch import observer
from service.watch.stability import StableFile
from service.watch.watcher import Watcher
from tests.support.fakes import LONGEST_WAIT, FakeColorist
from tests.support.folder_listing import files
from tests.support.synthetic_photos import gray_scene, save
from tests.support.waiting import wait_until

QUEUE = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
NEVER = 1e6  # seconds between rescans
BURST = """
import os, sys
for number in range(int(sys.argv[2])):
    os.close(os.open(f"{sys.argv[1]}/{number:05}.jpg", os.O_CREAT | os.O_WRONLY))
"""


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Give a gate: while it is closed (`clear`), nobody empties the kernel's queue."""
    gate = threading.Event()
    gate.set()
    handle = observer._Inotify.handle_event

    def late(self: observer._Inotify, event: observer.InotifyEvent) -> None:
        gate.wait(4 * LONGEST_WAIT)
        handle(self, event)

    monkeypatch.setattr(observer._Inotify, "handle_event", late)
    return gate


def fill_the_queue(inbox: Path) -> None:
    """Make as many announcements as the kernel keeps, of files that are not for the daemon."""
    for number in range(QUEUE + 3000):  # some are in the reader's hand already
        os.utime(inbox / f"{number % 2}.txt")  # equal ones in a row would count as one


class Told:
    """A watcher in real time that is never due to rescan, and what it told."""

    def __init__(self, inbox: Path) -> None:
        """Start on an empty inbox."""
        self.told: list[str] = []
        self.watcher = Watcher(
            inbox,
            Watch(settle=0.5, rescan=NEVER, polling="never"),
            on_stable=self._note,
            wake=lambda: None,
        )
        self.watcher.start(time.monotonic())
        self.watcher.step(time.monotonic())

    def _note(self, files: Sequence[StableFile]) -> list[str | Exception]:
        self.told += [file.path.name for file in files]
        return [""] * len(files)

    def has_told(self, count: int) -> bool:
        """Step for a while; tell whether so many were told of, and nothing is left to do."""
        for _ in range(1000):
            self.watcher.step(time.monotonic())
            if self.watcher.next_due(time.monotonic()) > 0.0:
                break
        return len(self.told) >= count and self.watcher.settled(time.monotonic())


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Told]:
    """Watch an empty inbox."""
    for number in range(2):
        (tmp_path / f"{number}.txt").touch()
    made = Told(tmp_path)
    yield made
    made.watcher.stop()


def test_a_file_whose_announcement_the_kernel_dropped_is_found_at_once(
    told: Told, tmp_path: Path, reader: threading.Event
) -> None:
    """The loss brings a rescan, though the next would be due in days."""
    reader.clear()
    fill_the_queue(tmp_path)
    (tmp_path / "a.jpg").touch()
    reader.set()
    wait_until(lambda: told.has_told(1), 30)

    assert ["a.jpg"] == told.told
    assert 1 <= told.watcher.overflows
    assert told.watcher.emitters_alive()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_forty_thousand_files_at_once_are_each_told_of_once(
    told: Told, tmp_path: Path, reader: threading.Event
) -> None:
    """While the reader is late, so that the kernel drops most announcements."""
    reader.clear()
    subprocess.run([sys.executable, "-c", BURST, tmp_path, "40000"], check=True, timeout=120)
    reader.set()
    wait_until(lambda: told.has_told(40_000), 150)

    assert 40_000 == len(set(told.told)) == len(told.told)
    assert QUEUE > 80_000 or told.watcher.overflows >= 1  # two announcements a file
    assert 0 == told.watcher.rebuilt


def test_a_daemon_colors_each_photo_of_a_burst_once(
    tmp_path: Path, reader: threading.Event
) -> None:
    """In new sub-folders too, that nobody announced."""
    config = Config(watch=Watch(settle=0.2, rescan=NEVER), batch=Batching(longest_wait=0.0)).beside(
        tmp_path
    )
    make_folders(config.folders.values())
    for number in range(2):
        (config.inbox / f"{number}.txt").touch()
    scan = save(tmp_path / "scan.png", gray_scene(8, 8))
    names = [f"box {number % 10}/{number:03}.png" for number in range(100)]
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    daemon = Daemon(config, FakeColorist())
    try:
        daemon.startup()
        daemon.step(time.monotonic(), time.time())
        reader.clear()
        fill_the_queue(config.inbox)
        for name in names:
            (config.inbox / name).parent.mkdir(exist_ok=True)
            shutil.copy(scan, config.inbox / name)
        reader.set()

        def done() -> bool:
            daemon.step(time.monotonic(), time.time())
            return daemon.counters.finished >= len(names) and not daemon.pipeline.busy

        wait_until(done, 100)
    finally:
        daemon.watcher.stop()
        daemon.pipeline.close()
        daemon.ledger.close()
        for number, handler in before.items():
            signal.signal(number, handler)

    assert sorted(names) == files(config.outbox)
    assert sorted(names) == files(config.originals.folder)
    assert ["0.txt", "1.txt"] == files(config.inbox)
    assert len(names) == daemon.counters.finished
    assert 1 <= daemon.watcher.overflows
