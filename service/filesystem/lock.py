"""One daemon per state folder: a lock that the kernel releases however its owner ends."""

import fcntl
import os
import socket
from pathlib import Path
from typing import Self, TextIO

from service.filesystem.access import refuse_strangers
from worker.errors import DeviceError

LOCK_FILE = "lock"


class StateLock:
    """The lock on a state folder; the file names its owner.

    Args:
        state: the state folder; it must exist.

    Raises:
        DeviceError: another process holds it, or this user may not write there.
    """

    def __init__(self, state: Path) -> None:
        """Acquire the lock."""
        refuse_strangers(state, write=True)
        self._file = (state / LOCK_FILE).open("a+")
        while not _locked(self._file, fcntl.LOCK_EX):
            owner = owner_of(state)
            if owner is not None:  # otherwise `owner_of` in another process held it for a moment
                self._file.close()
                raise DeviceError(f"{state} is in use by {owner}; stop it first")
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        self._file.flush()

    def close(self) -> None:
        """Release the lock."""
        self._file.close()

    def __enter__(self) -> Self:
        """Return the lock."""
        return self

    def __exit__(self, *_: object) -> None:
        """Release it."""
        self.close()


def owner_of(state: Path) -> str | None:
    """Return who holds the lock of a state folder, such as "process 12 on archive", or None.

    Raises:
        DeviceError: this user may not read the folder.
    """
    refuse_strangers(state, write=False)
    try:
        with (state / LOCK_FILE).open("r") as file:
            if not _locked(file, fcntl.LOCK_SH):
                return file.read().strip() or "another process"
    except FileNotFoundError:
        pass
    return None


def _locked(file: TextIO, kind: int) -> bool:
    """Acquire a lock until the file is closed; return False if another process holds one."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
