"""Numbered folders in one folder on a local disk: each comes whole or not at all.

Whoever changes something holds a lock that ends with the process, so that trainings and people may
do so at the same time. A number is never given twice.
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
ARRIVING, LEAVING = ".publishing-", ".pruned-"  # how folders are named before and after


class VersionFolders:
    """The folders 0001, 0002 and so on in one folder; anything else in it is left alone.

    Args:
        folder: made when it is first changed.
    """

    def __init__(self, folder: Path) -> None:
        """Nothing is read or made yet."""
        self._folder = folder

    def numbers(self) -> list[int]:
        """List the numbers there are, from the lowest."""
        return sorted(int(path.name) for path in self._folder.glob("[0-9]*") if path.name.isdigit())

    def home(self, number: int) -> Path:
        """Return where the folder with this number lies, or would."""
        return self._folder / f"{number:04d}"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the lock; not to be asked for again by who holds it.

        Raises:
            OSError: the folder cannot be made or locked.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        with _opened(self._folder) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield

    @contextmanager
    def staging(self) -> Iterator[Path]:
        """Make a folder to be filled and then numbered by `settle`; without that it goes again.

        Nobody sweeps it while this process lives, and everybody does when it was killed.

        Raises:
            OSError: when the disk fails.
        """
        with self.locked():
            self._sweep()
            folder = self._folder / f"{ARRIVING}{_unique()}"
            folder.mkdir()
            mine = os.open(folder, os.O_RDONLY)
            fcntl.flock(mine, fcntl.LOCK_EX)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)  # what is left goes with the next sweep
            os.close(mine)

    def commit(self, folder: Path) -> int:
        """Give a filled folder of `arriving` the next number, and return that.

        Raises:
            ModelError: the record of the last number is damaged.
            OSError: when the disk fails.
        """
        with self.locked():
            number = self._highest() + 1
            self._record(number)
            folder.rename(self.home(number))
            sync_folder(self._folder)
        return number

    def remove(self, numbers: Sequence[int]) -> None:
        """Remove folders for good, and what crashes left; the caller is `alone`.

        Raises:
            ModelError: the record of the last number is damaged.
            OSError: when the disk fails; what it did not remove goes the next time.
        """
        self._record(self._highest())  # of folders that a person put here, too
        for number in numbers:  # gone from its place at once, whenever the process ends
            self.home(number).rename(self._folder / f"{LEAVING}{_unique()}")
        sync_folder(self._folder)
        self._sweep()

    def _sweep(self) -> None:
        """Remove what crashes left on its way in or out; the caller is `alone`."""
        for kind in (ARRIVING, LEAVING):
            for leftover in self._folder.glob(f"{kind}*"):
                with _opened(leftover) as descriptor:
                    try:
                        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except BlockingIOError:  # whoever fills it is alive
                        continue
                    shutil.rmtree(leftover)

    def _record(self, number: int) -> None:
        write_durably(self._folder / LAST_NUMBER_FILE, f"{number}\n")

    def _highest(self) -> int:
        """Return the highest number that was ever given or is there."""
        path = self._folder / LAST_NUMBER_FILE
        try:
            last = int(path.read_text()) if path.exists() else 0
        except ValueError as error:
            raise ModelError(
                f"{path} holds no number; write the highest number ever given into it"
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
