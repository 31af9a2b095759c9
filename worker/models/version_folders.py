"""Numbered folders in one folder on a local disk, created atomically.

Changes are made under a lock that ends with the process, so trainings and people can make them at
the same time. No number is used twice.
"""

import fcntl
import os
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from worker.atomic import sync_folder, write_durably
from worker.errors import ModelError

LAST_NUMBER_FILE = "last_number"
STAGED, REMOVED = ".publishing-", ".pruned-"  # prefixes of folders before and after


class VersionFolders:
    """The folders 0001, 0002 and so on in one folder; anything else in it is ignored.

    Args:
        folder: created by the first change.
    """

    def __init__(self, folder: Path) -> None:
        """Read and create nothing yet."""
        self._folder = folder

    def numbers(self) -> list[int]:
        """List the existing numbers, lowest first."""
        return sorted(int(path.name) for path in self._folder.glob("[0-9]*") if path.name.isdigit())

    def home(self, number: int) -> Path:
        """Return the path for a number, whether it exists or not."""
        return self._folder / f"{number:04d}"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock, which is not reentrant.

        Raises:
            OSError: the folder cannot be created or locked.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with _opened(self._folder) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Create a folder to fill and `commit`; without a commit it is deleted.

        If this process is killed, the next one to stage or remove a folder deletes it.

        Raises:
            OSError: the disk failed.
        """
        with self.locked():
            self._sweep()
            folder = self._folder / f"{STAGED}{_unique()}"
            folder.mkdir()
            descriptor = os.open(folder, os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_EX)  # shows that it is in use
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)  # the next sweep deletes what is left
            os.close(descriptor)

    def commit(self, folder: Path) -> int:
        """Give a filled folder of `staging` the next number, and return it.

        Raises:
            ModelError: the record of the last number is damaged.
            OSError: the disk failed.
        """
        with self.locked():
            number = self._highest() + 1
            self._record(number)
            folder.rename(self.home(number))
            sync_folder(self._folder)
        return number

    def remove(self, numbers: Sequence[int]) -> None:
        """Delete folders, and what crashes left; the caller holds the lock (`locked`).

        Raises:
            ModelError: the record of the last number is damaged.
            OSError: the disk failed; the next sweep deletes the rest.
        """
        self._record(self._highest())  # counts folders that a person put here, too
        for number in numbers:  # atomic, even if the process is killed
            self.home(number).rename(self._folder / f"{REMOVED}{_unique()}")
        sync_folder(self._folder)
        self._sweep()

    def _sweep(self) -> None:
        """Delete what crashes left; the caller holds the lock."""
        for kind in (STAGED, REMOVED):
            for leftover in self._folder.glob(f"{kind}*"):
                with _opened(leftover) as descriptor:
                    try:
                        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:  # still in use
                        continue
                    shutil.rmtree(leftover)

    def _record(self, number: int) -> None:
        write_durably(self._folder / LAST_NUMBER_FILE, f"{number}\n")

    def _highest(self) -> int:
        """Return the highest number ever used or present."""
        path = self._folder / LAST_NUMBER_FILE
        try:
            last = int(path.read_text()) if path.exists() else 0
        except ValueError as error:
            raise ModelError(
                f"{path} is damaged; write the highest version number ever used into it"
            ) from error
        return max([last, *self.numbers()])


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _unique() -> str:
    return f"{os.getpid()}-{secrets.token_hex(4)}"
