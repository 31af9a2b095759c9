"""The real command and its signals: at its start, on a terminal, and when that is closed."""

import os
import pty
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import HASTY, ROOT, Home
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_tensorflow_loads_is_waited_with(
    tmp_path: Path, number: signal.Signals
) -> None:
    """A stop is a clean one, told and with exit 0; a reload comes after the start."""
    home = Home(tmp_path)
    lock = tmp_path / "state" / "lock"
    with home.start("run") as command:
        command.wait_until(lock.exists)  # it is taken just before TensorFlow
        command.signal(number)
        if number == signal.SIGHUP:
            command.wait_for("config.reloaded")
            command.signal(signal.SIGTERM)
        code = command.exit_code()
        events = [entry["event"] for entry in command.events()]

    reloaded = ["config.reloaded"] if number == signal.SIGHUP else []
    assert 0 == code
    assert ["model.loaded", "daemon.started", *reloaded, "daemon.stopped"] == events


def test_another_format_is_taken_up_by_the_generator(tmp_path: Path) -> None:
    """It is loaded anew in the same process, and what it gives is what the name says."""
    home = Home(tmp_path)
    with home.start("run") as command:
        command.wait_for("daemon.started")
        (tmp_path / "config.yaml").write_text(f"{HASTY}output: {{format: jpeg}}\n")
        command.signal(signal.SIGHUP)
        command.wait_for("config.reloaded", changed=["output.format"])
        home.drop("a.png")
        command.wait_for("photo.delivered")
        command.signal(signal.SIGTERM)
        code = command.exit_code()

    assert 0 == code
    assert b"\xff\xd8\xff" == (home.outbox / "a.png.jpg").read_bytes()[:3]


class Terminal:
    """The command, with a fake device, on a terminal of its own."""

    def __init__(self, home: Home) -> None:
        """Start it."""
        self._ours, theirs = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.fake_device_command", "run"],
            cwd=home.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            # Its controlling terminal: what `login` and `sshd` do.
            start_new_session=True,
            preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),  # noqa: PLW1509
        )
        os.close(theirs)
        self._shown = ""

    def shows(self, words: str) -> bool:
        """Tell whether it has written these words by now."""
        while select.select([self._ours], [], [], 0.0)[0]:
            self._shown += os.read(self._ours, 4096).decode(errors="replace")
        return words in self._shown

    def close(self) -> None:
        """Close the window."""
        os.close(self._ours)


def test_a_closed_terminal_ends_it(tmp_path: Path) -> None:
    """As it does with other programs; while it is open, SIGHUP is a request to reload."""
    terminal = Terminal(Home(tmp_path))
    try:
        wait_until(lambda: terminal.shows("daemon.started"), 60.0)
        terminal.process.send_signal(signal.SIGHUP)
        wait_until(lambda: terminal.shows("config.reloaded"), 60.0)
        terminal.close()
        code = terminal.process.wait(60.0)
    finally:
        terminal.process.kill()

    assert -signal.SIGHUP == code
