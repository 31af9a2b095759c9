"""The ledger is locked, read-only, on a full disk, or gone: what the real daemon says and does.

With a fake device. Nothing is lost, and all but a ledger that is gone heals without a restart.
"""

import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from service.ledger.database import LONGEST_LOCK_WAIT
from service.ledger.queries import LedgerQueries
from tests.support.command import Command, Home
from tests.support.folder_listing import files
from tests.support.mount_namespaces import WITH_FAKE, Namespace, can_mount
from tests.support.synthetic_photos import gray_scene

pytestmark = pytest.mark.slow

HASTY = """
watch: {settle: 0.1, rescan: 1.0, incomplete_timeout: 0}
batch: {longest_wait: 0.1}
retry: {first_wait: 0.2, longest_wait: 0.4}
stop: {within: 3.0}
"""
LATE = 5.0  # seconds that a busy machine may take for nothing


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Make a home for a hasty daemon."""
    return Home(tmp_path, HASTY)


def ledger_of(home: Home) -> Path:
    """Name the ledger."""
    return home.folder / "state" / "ledger.sqlite3"


def work_begins(home: Home, daemon: Command) -> None:
    """Have a first photo done, so that all that follows meets a daemon at work."""
    home.drop("first.png")
    daemon.wait_for("photo.moved")


def stopped(daemon: Command) -> int:
    """Ask a daemon to stop, and return its exit code."""
    daemon.signal(signal.SIGTERM)
    return daemon.exit_code()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the ledger as another process does that changes it and hangs."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def all_done(home: Home, names: list[str]) -> bool:
    """Tell whether each photo came out once, and each original is in its place."""
    return sorted(names) == files(home.outbox) == files(home.originals)


def test_a_ledger_that_is_locked_is_waited_for(home: Home) -> None:
    """It is said, systemd's watchdog is fed meanwhile, and the work goes on by itself."""
    address = home.folder / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(address))
        told = ("env", f"NOTIFY_SOCKET={address}", "WATCHDOG_USEC=4000000")
        with home.start("run", prefix=told, program=WITH_FAKE) as daemon:
            work_begins(home, daemon)
            with locked(ledger_of(home)):
                home.drop("later.png", gray_scene(40, 50, seed=2))
                daemon.wait_for("daemon.held_up")
            daemon.wait_for("photo.moved", times=2)

            assert 0 == stopped(daemon)
            reason = daemon.events("daemon.held_up")[0]["reason"]
        systemd.settimeout(0)
        said = list(messages(systemd))

    assert "/state/ledger.sqlite3 cannot be used now: database is locked; another" in reason
    assert any("blocked: the ledger" in one and "WATCHDOG=1" in one for one in said)
    assert all_done(home, ["first.png", "later.png"])


def messages(systemd: socket.socket) -> Iterator[str]:
    """Yield what systemd was told."""
    while True:
        try:
            yield systemd.recv(4096).decode()
        except BlockingIOError:
            return


def test_a_daemon_whose_ledger_is_locked_still_stops_in_time(home: Home) -> None:
    """Later than the stop time by one wait for the lock at the most; the photo is not lost."""
    with home.start("run", program=WITH_FAKE) as daemon:
        work_begins(home, daemon)
        with locked(ledger_of(home)):
            home.drop("later.png", gray_scene(40, 50, seed=2))
            daemon.wait_for("daemon.held_up")
            asked = time.monotonic()

            assert 0 == stopped(daemon)
            assert time.monotonic() - asked < 3.0 + LONGEST_LOCK_WAIT + LATE
    with home.start("run", "--once", program=WITH_FAKE) as again:
        assert 0 == again.exit_code()
    assert all_done(home, ["first.png", "later.png"])


@pytest.fixture
def unchangeable(home: Home) -> Iterator[None]:
    """Give files back their changeability, whatever happened."""
    yield
    subprocess.run(["chattr", "-R", "-i", home.folder / "state"], check=False, capture_output=True)


@pytest.mark.usefixtures("unchangeable")
def test_a_ledger_that_becomes_read_only_is_waited_for(home: Home) -> None:
    """As when the kernel makes a disk read-only after an error; it is said."""
    with home.start("run", program=WITH_FAKE) as daemon:
        work_begins(home, daemon)
        path = ledger_of(home)
        parts = [path, path.with_name(f"{path.name}-wal")]  # -shm is memory, and no disk
        if subprocess.run(["chattr", "+i", *parts], check=False, capture_output=True).returncode:
            pytest.skip("files cannot be made unchangeable here")
        home.drop("later.png", gray_scene(40, 50, seed=2))
        daemon.wait_for("daemon.held_up")
        subprocess.run(["chattr", "-i", *parts], check=True)
        daemon.wait_for("photo.moved", times=2)

        assert 0 == stopped(daemon)
        reason = daemon.events("daemon.held_up")[0]["reason"]

    assert "/state/ledger.sqlite3 cannot be used now: " in reason
    assert all_done(home, ["first.png", "later.png"])


needs_mounts = pytest.mark.skipif(not can_mount(), reason="no namespaces may be made here")


@needs_mounts
def test_a_full_disk_under_the_ledger_is_waited_for(home: Home) -> None:
    """It is said in SQLite's words, where no room is kept free; then every photo comes out once."""
    (home.folder / "config.yaml").write_text(f"{HASTY}limits: {{free_space: 0}}\n")
    state = home.folder / "state"
    state.mkdir()
    with Namespace() as namespace:
        namespace.mount(state, megabytes=16)
        with home.start("run", prefix=namespace.prefix, program=WITH_FAKE) as daemon:
            work_begins(home, daemon)
            filler = namespace.see(state) / "somebody's"
            subprocess.run(["dd", "if=/dev/zero", f"of={filler}"], check=False, capture_output=True)
            names = [f"{n:_>200}.png" for n in range(40)]
            for n, name in enumerate(names):
                home.drop(name, gray_scene(24, 32, seed=n))
            daemon.wait_for("daemon.held_up")
            filler.unlink()
            daemon.wait_for("photo.moved", times=1 + len(names))

            assert 0 == stopped(daemon)
            said = daemon.events("daemon.held_up")

        assert (
            "cannot be used now: database or disk is full; free some disk space"
            in said[0]["reason"]
        )
        assert len(said) < 20
        assert all_done(home, ["first.png", *names])


@needs_mounts
def test_a_ledger_that_is_read_only_at_the_start_is_told_and_the_next_start_finds_it_mended(
    home: Home,
) -> None:
    """Exit code 1, upon which systemd tries again; the ledger is not touched."""
    path = ledger_of(home)
    with home.start("run", "--once", program=WITH_FAKE) as daemon:
        assert 0 == daemon.exit_code()
    home.drop("later.png")
    with Namespace() as namespace:
        namespace.bind(path, path)
        namespace.run("mount", "-o", "remount,bind,ro", path)
        with home.start("run", prefix=namespace.prefix, program=WITH_FAKE) as daemon:
            assert 1 == daemon.exit_code()
            assert "cannot be used now: attempt to write a readonly database" in daemon.said
    with home.start("run", "--once", program=WITH_FAKE) as daemon:
        assert 0 == daemon.exit_code()
    assert all_done(home, ["later.png"])


@pytest.mark.parametrize("harm", ["deleted", "replaced"])
def test_a_ledger_that_is_taken_away_ends_the_daemon(home: Home, harm: str) -> None:
    """Exit code 1, saying so; the next start goes on with what is there, and loses no photo."""
    path = ledger_of(home)
    with home.start("run", program=WITH_FAKE) as daemon:
        work_begins(home, daemon)
        home.drop("second.png", gray_scene(40, 50, seed=2))
        daemon.wait_for("photo.moved", times=2)
        copy = home.folder / "copy.sqlite3"
        with closing(sqlite3.connect(path)) as whole, closing(sqlite3.connect(copy)) as backup:
            whole.backup(backup)
        for part in path.parent.glob("ledger*"):
            part.unlink()
        if harm == "replaced":
            copy.rename(path)
        home.drop("third.png", gray_scene(40, 50, seed=3))

        assert 1 == daemon.exit_code()
        (words,) = [line for line in daemon.said.splitlines() if line.startswith("photochrom: ")]

    assert "was deleted, moved or replaced while photochrom was using it" in words

    with home.start("run", "--once", program=WITH_FAKE) as daemon:
        assert 0 == daemon.exit_code()

    assert all_done(home, ["first.png", "second.png", "third.png"])
    with LedgerQueries.open(path) as ledger:
        assert (1 if harm == "deleted" else 3) == ledger.counts()["finished"]
