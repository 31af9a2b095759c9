"""What watchdog hides is noticed, told once, and mended: dead threads, lost events, few watches."""

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from watchdog.observers.inotify_c import InotifyConstants, InotifyEvent, Mask, WatchDescriptor

from service.watch.observer import Hints
from service.watch.supervisor import Supervisor
from tests.support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[3]
OVERFLOW = InotifyEvent(WatchDescriptor(-1), Mask(InotifyConstants.IN_Q_OVERFLOW), 0, b"")


def few_watches(inbox: Path, limit: int) -> dict[str, Any]:
    """Watch thirty folders in a namespace that grants few watches, and tell what was seen."""
    command = [
        "unshare",
        "-r",
        sys.executable,
        "-m",
        "tests.support.limited_inotify",
        inbox,
        "30",
        str(limit),
    ]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    if "unshare" in done.stderr:
        pytest.skip(f"no user namespaces here: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


class TestFewWatches:
    """The kernel grants a user so many, fs.inotify.max_user_watches."""

    def test_folders_that_are_not_watched_are_told_and_their_files_found(
        self, tmp_path: Path
    ) -> None:
        """By one rescan; and all are watched again once the limit is raised, without a restart."""
        seen = few_watches(tmp_path, 10)

        assert ["watch.incomplete", "watch.complete"] == [line["event"] for line in seen["logs"]]
        assert (21, 31) == (seen["logs"][0]["unwatched"], seen["logs"][0]["folders"])
        assert "raise fs.inotify.max_user_watches" in seen["logs"][0]["reason"]
        assert seen["unannounced"].startswith("21 of 31 folders are not watched; raise fs.inotify")
        assert (30, 30) == (seen["told by the first rescan"], seen["told"])
        assert "" == seen["then unannounced"]
        assert 0 == seen["rebuilt"]

    def test_a_limit_that_lets_nothing_be_watched_is_told_and_heals(self, tmp_path: Path) -> None:
        """The daemon works by its rescans until the limit is raised."""
        seen = few_watches(tmp_path, 0)

        assert ["watch.unavailable", "watch.available"] == [line["event"] for line in seen["logs"]]
        assert "raise fs.inotify.max_user_watches" in seen["logs"][0]["reason"]
        assert "the inbox is not watched" in seen["unannounced"]
        assert (30, 30) == (seen["told by the first rescan"], seen["told"])
        assert (False, True) == (seen["alive"], seen["then alive"])
        assert "" == seen["then unannounced"]


class Watch:
    """A supervisor at work on an inbox."""

    def __init__(self, inbox: Path) -> None:
        """Begin to watch."""
        self.woken = threading.Event()
        self.hints = Hints(self.woken.set)
        self.supervisor = Supervisor(inbox, self.hints, "never", 1.0)
        self.supervisor.keep(1000.0)

    @property
    def kernel(self) -> Any:
        """The thread that reads the kernel's queue."""
        assert self.supervisor._observer
        return self.supervisor._observer._kernel


@pytest.fixture
def watch(tmp_path: Path) -> Iterator[Watch]:
    """Watch an empty folder."""
    made = Watch(tmp_path)
    yield made
    made.supervisor.stop()


def test_events_that_the_kernel_dropped_are_noticed(
    watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    """Counted, and the daemon is woken; watchdog's own two lines on each are not passed on."""
    with caplog.at_level(logging.WARNING):
        watch.kernel.handle_event(OVERFLOW)
        watch.kernel.handle_event(OVERFLOW)

    assert 2 == watch.hints.overflows
    assert watch.hints.overflowed
    assert watch.woken.is_set()
    assert [] == caplog.messages


def test_after_a_loss_announcements_go_on(watch: Watch, tmp_path: Path) -> None:
    """Watchdog takes all its watches away then, and sets them again."""
    watch.kernel.handle_event(OVERFLOW)
    (tmp_path / "a.jpg").touch()

    wait_until(lambda: tmp_path / "a.jpg" in watch.hints.take())


def test_a_reader_that_died_is_noticed(
    watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing comes any more, though watchdog's observer and emitter live on."""
    monkeypatch.setattr(threading, "excepthook", lambda _args: None)
    with monkeypatch.context() as patch:
        patch.setattr(watch.kernel, "handle_event", None)
        (tmp_path / "a.jpg").touch()
        wait_until(lambda: not watch.kernel.is_alive())

    assert not watch.supervisor.alive
    with capture_logs() as logs:
        assert not watch.supervisor.keep(1000.0)
        assert watch.supervisor.keep(1001.0)
    assert watch.supervisor.alive
    assert 1 == watch.supervisor.rebuilt
    assert ["watch.rebuilt"] == [line["event"] for line in logs]


def test_nothing_is_left_of_an_observer_that_was_stopped(watch: Watch) -> None:
    """No thread and no descriptor, however often it is built again."""
    watch.supervisor.stop()
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    for turn in range(5):
        watch.supervisor.keep(2000.0 + 100 * turn)
        assert watch.supervisor.alive
        watch.supervisor.stop()

    assert threads == threading.active_count()
    assert descriptors == len(os.listdir("/proc/self/fd"))  # noqa: PTH208
