"""The ledger's file: opened, brought to the newest form, changed whole or not at all, kept small.

Whatever SQLite says becomes a fault of the machine or of the file.
"""

import os
import re
import sqlite3
import unicodedata
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from service.ledger.schema import MIGRATIONS
from worker.errors import DeviceError, PhotochromError

LONGEST_LOCK_WAIT = 10.0  # seconds, for another process that holds the ledger
LONGEST_JOURNAL = 1 << 23  # bytes of the write-ahead log that are kept when it is begun anew
INCREMENTAL = 2  # as SQLite says auto_vacuum
SETTINGS = (  # in this order: the first has no effect once there is anything in the file
    "auto_vacuum = INCREMENTAL",
    "journal_mode = WAL",
    f"journal_size_limit = {LONGEST_JOURNAL}",
    "synchronous = FULL",
    "foreign_keys = ON",
)

_REMEDIES = (  # what SQLite says, and what to do
    ("is full", "; free some space where it lies"),
    ("is locked", "; another process holds it (fuser names it)"),
    ("disk I/O error", "; look after its disk (dmesg says more)"),
    ("readonly", "; let photochrom's user write it and its folder"),
)

Row = dict[str, Any]


class LedgerError(PhotochromError):
    """The ledger is damaged, taken away, or of a newer photochrom; a person must look at it."""


class Database:
    """An open SQLite file; used by the thread that opened it.

    Every method raises DeviceError when the disk is full or the file is locked or cannot be
    written: nothing was changed then, and it may be tried again. It raises LedgerError when the
    file is damaged, or is no longer the one that was opened.
    """

    def __init__(
        self, path: Path, *, read_only: bool = False, wait: float = LONGEST_LOCK_WAIT
    ) -> None:
        """Open a file; one to write is made when missing, and an older one brought up to date."""
        self._path = path
        mode = "rwc" if not read_only else "ro&immutable=1" if self._rests() else "ro"
        uri = f"file:{quote(os.fsencode(path))}?mode={mode}"
        with self._faults():
            self._connection = sqlite3.connect(uri, uri=True, timeout=wait, isolation_level=None)
            self._connection.create_function("folded", 1, folded, deterministic=True)
        try:
            self._prepare(read_only=read_only)
            self._identity = self._files()
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
        if self._files() != self._identity:
            raise LedgerError(
                f"the ledger {self._path} was deleted, moved or replaced while photochrom worked"
                " with it; nothing more is written to it. Put it back if that was a mistake, and"
                " start photochrom again: it begins with what is there"
            )
        with self._faults():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:  # even Ctrl-C must not leave half a change; it goes on up
                if self._connection.in_transaction:  # a full disk may have ended it
                    self._connection.execute("ROLLBACK")
                raise

    # Kept small

    @property
    def journal_size(self) -> int:
        """Bytes of the write-ahead log; it grows as long as one reader holds on to an old state."""
        try:
            return self._journal.stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def shrinks(self) -> bool:
        """Whether free pages can be given back: not in a file of an earlier photochrom."""
        return int(self.rows("PRAGMA auto_vacuum")[0]["auto_vacuum"]) == INCREMENTAL

    def rewrite(self) -> None:
        """Write the file anew, once, so that it shrinks from then on.

        It takes twice its size in temporary files and log, and half a minute for a million photos.
        """
        self.rows("VACUUM")
        self.rows("PRAGMA wal_checkpoint(TRUNCATE)")

    def give_back(self, pages: int) -> bool:
        """Give up to so many free pages of 4 kB back to the disk; tell whether there are more."""
        before = self._free_pages()
        with self._faults():
            # A page is a row without columns, of which Python's `execute` takes but the first.
            self._connection.executescript(f"PRAGMA incremental_vacuum({pages:d})")
        return 0 < self._free_pages() < before

    def _free_pages(self) -> int:
        return int(self.rows("PRAGMA freelist_count")[0]["freelist_count"])

    @property
    def _journal(self) -> Path:
        return self._path.with_name(f"{self._path.name}-wal")

    def _rests(self) -> bool:
        """Tell whether nobody works on the file, in a folder in which SQLite could make no log.

        It would refuse to open the file then, unless it is told that it does not change.
        """
        return not (os.access(self._path.parent, os.W_OK) or self._journal.exists())

    def _files(self) -> list[tuple[int, int] | None]:
        """Tell which files are there under the names of ledger and log: device and inode."""
        found: list[tuple[int, int] | None] = []
        for path in (self._path, self._journal):
            try:
                status = path.stat()
                found.append((status.st_dev, status.st_ino))
            except FileNotFoundError:
                found.append(None)
            except OSError as error:
                raise DeviceError(
                    f"the ledger {self._path} cannot be used now: {error.strerror}"
                ) from error
        return found

    @contextmanager
    def _faults(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            remedy = next((to_do for said, to_do in _REMEDIES if said in str(error)), "")
            raise DeviceError(
                f"the ledger {self._path} cannot be used now: {error}{remedy}"
            ) from error
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
        for setting in SETTINGS:
            self.rows(f"PRAGMA {setting}")
        self._identity = self._files()
        with self.transaction():  # another process may have done it by now: ask again
            for migration in MIGRATIONS[self._version() :]:
                for statement in _statements(migration):
                    self.rows(statement)
            self.rows(f"PRAGMA user_version = {len(MIGRATIONS)}")


def folded(name: str | bytes | None) -> str:
    """Return a name as one to compare: in one case, and its letters composed in one way."""
    text = os.fsdecode(name or b"")
    text = re.sub("[\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", text)  # SQLite takes no bytes
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def _statements(script: str) -> Iterator[str]:
    """Yield the statements of a script; those inside a trigger belong to it."""
    statement = ""
    for part in script.split(";"):
        statement += f"{part};"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _by_column(cursor: sqlite3.Cursor, row: tuple[Any, ...]) -> Row:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}
