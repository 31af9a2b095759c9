"""What arrives at a real socket of systemd's kind."""

import contextlib
import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.systemd.notify import LONGEST_STATUS, Notifier


def listening(address: str) -> socket.socket:
    """Listen as systemd does; what does not come within the time given fails."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listener.bind(address)
    listener.settimeout(5.0)
    return listener


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    """Listen at a path."""
    with listening(str(tmp_path / "notify")) as made:
        yield made


@pytest.fixture
def notifier(listener: socket.socket) -> Notifier:
    """Make one that sends there."""
    return Notifier({"NOTIFY_SOCKET": listener.getsockname()})


def test_ready_is_said(listener: socket.socket, notifier: Notifier) -> None:
    """In the words of sd_notify(3)."""
    notifier.ready()

    assert b"READY=1" == listener.recv(4096)


def test_an_abstract_socket_is_reached() -> None:
    """Its name begins with a zero byte, which the environment cannot hold."""
    name = f"photochrom-test-{secrets.token_hex(8)}"
    with listening(f"\0{name}") as abstract:
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).ready()

        assert b"READY=1" == abstract.recv(4096)


def test_the_watchdog_is_fed_with_the_status(listener: socket.socket, notifier: Notifier) -> None:
    """One message has both."""
    notifier.alive("3 queued", well=True)

    assert b"STATUS=3 queued\nWATCHDOG=1" == listener.recv(4096)


def test_the_watchdog_is_not_fed_when_all_is_not_well(
    listener: socket.socket, notifier: Notifier
) -> None:
    """The status still says why."""
    notifier.alive("stalled", well=False)

    assert b"STATUS=stalled" == listener.recv(4096)


def test_a_status_cannot_say_anything_else(listener: socket.socket, notifier: Notifier) -> None:
    """A file name with a newline must not become a message of its own, nor a long one fail."""
    notifier.alive("x\nREADY=1\n" + "y" * 100_000, well=True)
    status, fed = listener.recv(4096).split(b"\n")

    assert status.startswith(b"STATUS=x READY=1 yyy")
    assert len(b"STATUS=") + LONGEST_STATUS == len(status)
    assert b"WATCHDOG=1" == fed


def test_slow_steps_ask_for_time(listener: socket.socket, notifier: Notifier) -> None:
    """In microseconds: ten minutes for the start, what is given for the end."""
    notifier.starting()
    notifier.stopping(120.0)

    assert b"EXTEND_TIMEOUT_USEC=600000000" == listener.recv(4096)
    assert b"STOPPING=1\nEXTEND_TIMEOUT_USEC=120000000" == listener.recv(4096)


@pytest.mark.parametrize(
    ("environment", "beat"),
    [
        ({}, 10.0),
        ({"WATCHDOG_USEC": "4000000"}, 1.0),
        ({"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": str(os.getpid())}, 1.0),
        ({"WATCHDOG_USEC": "4000000", "WATCHDOG_PID": "1"}, 10.0),
        ({"WATCHDOG_USEC": "390000000"}, 10.0),
        ({"WATCHDOG_USEC": "0"}, 10.0),
        ({"WATCHDOG_USEC": "soon"}, 10.0),
    ],
)
def test_the_watchdog_is_fed_four_times_as_often_as_it_must(
    environment: dict[str, str], beat: float
) -> None:
    """If it is this process's; and at least every ten seconds the status is told."""
    assert beat == Notifier({"NOTIFY_SOCKET": "/nowhere", **environment}).beat


def test_without_systemd_nobody_is_told() -> None:
    """Nothing is sent, and nothing logged."""
    with capture_logs() as logs:
        notifier = Notifier({})
        notifier.ready()

    assert not notifier.wanted
    assert [] == logs


def test_a_socket_that_is_gone_is_logged_once_until_it_is_back(tmp_path: Path) -> None:
    """And never ends the daemon."""
    path = str(tmp_path / "notify")
    notifier = Notifier({"NOTIFY_SOCKET": path})
    with capture_logs() as logs:
        notifier.ready()
        notifier.ready()
        with listening(path) as listener:
            notifier.ready()

            assert b"READY=1" == listener.recv(4096)
        notifier.ready()

    assert ["systemd.silent"] * 2 == [entry["event"] for entry in logs]


def test_a_systemd_that_does_not_listen_keeps_nobody_waiting(listener: socket.socket) -> None:
    """When its queue is full, the message is dropped after a second."""
    notifier = Notifier({"NOTIFY_SOCKET": listener.getsockname()})
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as flood:
        flood.settimeout(0.0)
        with contextlib.suppress(BlockingIOError):
            while True:
                flood.sendto(b"x", listener.getsockname())
    with capture_logs() as logs:
        notifier.ready()

    assert ["systemd.silent"] == [entry["event"] for entry in logs]
