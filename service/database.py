"""The ledger's file: opened, brought to the newest form, changed whole or not at all.

Whatever SQLite says becomes a fault of the machine or of the file.
"""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from service.schema import MIGRATIONS
from worker.errors import DeviceError, PhotochromError

LONGEST_LOCK_WAIT = 10.0  # seconds, for another process that holds the ledger

Row = dict[str, Any]


class LedgerError(PhotochromError):
    """The ledger is damaged, or was written by a newer photochrom; a person must look at it."""


class Database:
    """An open SQLite file; used by the thread that opened it.

    Every method raises DeviceError when the disk is full or the file is locked or cannot be
    written: nothing was changed then, and it may be tried again. It raises LedgerError when the
    file is damaged.
    """

    def __init__(
        self, path: Path, *, read_only: bool = False, wait: float = LONGEST_LOCK_WAIT
    ) -> None:
        """Open a file; one to write is made when missing, and an older one brought up to date."""
        self._path = path
        uri = f"file:{quote(os.fsencode(path))}?mode={'ro' if read_only else 'rwc'}"
        with self._faults():
            self._connection = sqlite3.connect(uri, uri=True, timeout=wait, isolation_level=None)
        try:
            self._prepare(read_only=read_only)
        except BaseException:  # whatever ended it, the file must not stay open; it goes on up
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @property
    def outdated(self) -> bool:
        """Whether the file is still in an older form; only one that is opened read-only can be."""
        return self._version() < len(MIGRATIONS)

    def rows(self, sql: str, *values: Any) -> list[Row]:
        """Run one statement, which is never a user's text, and return its rows by column."""
        with self._faults(), closing(self._connection.cursor()) as cursor:
            cursor.row_factory = _by_column
            return cursor.execute(sql, values).fetchall()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Have all statements inside take effect, and last, or none."""
        with self._faults():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:  # even Ctrl-C must not leave half a change; it goes on up
                if self._connection.in_transaction:  # a full disk may have ended it
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise DeviceError(f"the ledger {self._path} cannot be used now: {error}") from error
        except sqlite3.DatabaseError as error:
            raise LedgerError(
                f"the ledger {self._path} is damaged ({error}); put back a copy, or move it away to"
                " begin a new one"
            ) from error

    def _version(self) -> int:
        return int(self.rows("PRAGMA user_version")[0]["user_version"])

    def _prepare(self, *, read_only: bool) -> None:
        version = self._version()
        if version > len(MIGRATIONS):
            raise LedgerError(
                f"the ledger {self._path} was written by a newer photochrom (version {version} of"
                f" its form, this one knows {len(MIGRATIONS)}); use that one"
            )
        if read_only:
            return
        for setting in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON"):
            self.rows(f"PRAGMA {setting}")
        with self.transaction():  # another process may have done it by now: ask again
            for migration in MIGRATIONS[self._version() :]:
                for statement in migration.split(";"):
                    self.rows(statement)
            self.rows(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _by_column(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> Row:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}
