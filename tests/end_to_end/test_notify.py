"""The real command, told by a real socket that systemd started it."""

import signal
import socket
from pathlib import Path

import pytest

from tests.support.command import Home
from tests.support.waiting import wait_until


@pytest.mark.slow
def test_systemd_hears_of_the_start_the_work_and_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In this order: time for the start, READY, fed while it works, STOPPING; then exit 0."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "2000000")
    home = Home(tmp_path / "home")
    home.drop("a.png")
    said: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        listener.settimeout(0.0)

        def heard(words: str) -> bool:
            try:
                said.append(listener.recv(4096).decode())
            except BlockingIOError:
                return False
            return words in said[-1]

        with home.start("run") as command:
            command.wait_until(lambda: heard("READY=1"))
            started = list(said)
            command.wait_until(lambda: heard(" 1 finished"))
            done = said[-1]
            command.wait_until(lambda: heard("WATCHDOG=1"))
            command.signal(signal.SIGTERM)
            assert 0 == command.exit_code()
            wait_until(lambda: heard("STOPPING=1"))

    assert {"EXTEND_TIMEOUT_USEC=600000000"} == set(started[:-1])
    assert "READY=1" == started[-1]
    assert "STATUS=ok; 0 waiting, 0 in progress, 1 finished, 0 rejected\nWATCHDOG=1" == done
    assert said[-1].startswith("STOPPING=1\nEXTEND_TIMEOUT_USEC=")
