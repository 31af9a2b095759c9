"""One process at a time, and never a lock that outlives its process."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from service.filesystem import lock
from service.filesystem.lock import LOCK_FILE, StateLock, owner_of
from worker.errors import DeviceError

HOLD = """
import pathlib, sys
from service.filesystem.lock import StateLock
with StateLock(pathlib.Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_a_second_owner_is_refused_and_told_who_has_it(tmp_path: Path) -> None:
    """By process and machine, with what to do."""
    me = f"process {os.getpid()} on {socket.gethostname()}"
    with StateLock(tmp_path):
        with pytest.raises(DeviceError, match=f"{me}; stop it first"):
            StateLock(tmp_path)

        assert me == owner_of(tmp_path)


def test_a_lock_that_was_given_back_can_be_taken_again(tmp_path: Path) -> None:
    """Its file stays, and means nothing."""
    for _ in range(2):
        StateLock(tmp_path).close()

    assert owner_of(tmp_path) is None
    assert (tmp_path / LOCK_FILE).exists()


def test_a_folder_that_was_never_locked_has_no_owner(tmp_path: Path) -> None:
    """And asking leaves nothing in it."""
    assert owner_of(tmp_path) is None
    assert owner_of(tmp_path / "missing") is None
    assert [] == list(tmp_path.iterdir())


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    """However it ended; a person never has to delete a lock."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert "locked\n" == process.stdout.readline()
        assert f"process {process.pid} " in (owner_of(tmp_path) or "")
        with pytest.raises(DeviceError, match=f"process {process.pid} "):
            StateLock(tmp_path)
        process.send_signal(signal.SIGKILL)
        process.wait(10)

    assert owner_of(tmp_path) is None
    StateLock(tmp_path).close()


def test_whoever_asks_for_the_owner_is_not_taken_for_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A status that is asked at the very moment of a start does not prevent it."""
    asker = (tmp_path / LOCK_FILE).open("w+")
    fcntl.flock(asker, fcntl.LOCK_SH)
    asked = []

    def done_asking(state: Path) -> str | None:
        asked.append(owner_of(state))
        asker.close()
        return asked[-1]

    monkeypatch.setattr(lock, "owner_of", done_asking)
    StateLock(tmp_path).close()

    assert [None] == asked
