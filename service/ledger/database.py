"""The ledger's SQLite file: opening, migrations, transactions, and SQLite's errors as ours."""

import os
import re
import sqlite3
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from service.ledger.schema import MIGRATIONS
from worker.errors import DeviceError, PhotochromError

LONGEST_LOCK_WAIT = 10.0  # seconds, for a lock of another process
LARGEST_WAL = 1 << 23  # bytes of the write-ahead log that are kept when it is reset
MOST_STATEMENTS = 500  # whose columns are remembered
SETTINGS = (
    "journal_mode = WAL",
    f"journal_size_limit = {LARGEST_WAL}",
    "synchronous = FULL",
    "foreign_keys = ON",
)

_REMEDIES = (  # SQLite's message, and our hint
    ("is full", "; free some disk space"),
    ("is locked", "; another process holds it (fuser shows which)"),
    ("disk I/O error", "; check its disk (see dmesg)"),
    ("readonly", "; make it and its folder writable for photochrom's user"),
)

Row = dict[str, Any]


class LedgerError(PhotochromError):
    """The ledger is damaged, replaced, or of a newer photochrom; a person must act."""


class Database:
    """An open SQLite file; used by the thread that opened it.

    Every method raises DeviceError when the disk is full or the file is locked or not writable;
    nothing was changed then, and the call may be repeated. It raises LedgerError when the file is
    damaged, or is no longer the one that was opened.
    """

    def __init__(
        self, path: Path, *, read_only: bool = False, wait: float = LONGEST_LOCK_WAIT
    ) -> None:
        """Open a file; unless read-only, create it if missing and migrate an older schema."""
        self._path = path
        mode = "rwc" if not read_only else "ro&immutable=1" if self._is_idle() else "ro"
        uri = f"file:{quote(os.fsencode(path))}?mode={mode}"
        with self._translated_errors():
            self._connection = sqlite3.connect(uri, uri=True, timeout=wait, isolation_level=None)
            self._connection.create_function("folded", 1, folded, deterministic=True)
        self._names: dict[str, list[str]] = {}  # of the columns of each statement
        try:
            self._prepare(read_only=read_only)
            self._identity = self._files()
        except BaseException:  # even Ctrl-C must not leave the file open and locked
            self._connection.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    @property
    def outdated(self) -> bool:
        """Whether the file has an older schema; only possible when it was opened read-only."""
        return self._version() < len(MIGRATIONS)

    def rows(self, sql: str, *values: Any) -> list[Row]:
        """Run one statement, never built from user input; return its rows by column name."""
        return self._rows(sql, values)

    def rows_named(self, sql: str, values: Mapping[str, Any]) -> list[Row]:
        """Do the same with named parameters, such as `:id`."""
        return self._rows(sql, values)

    def _rows(self, sql: str, values: Sequence[Any] | Mapping[str, Any]) -> list[Row]:
        with self._translated_errors(), closing(self._connection.execute(sql, values)) as cursor:
            rows = cursor.fetchall()
            if not rows:
                return []
            names = self._names.get(sql)
            if names is None:  # slow, for SQLite describes each column anew
                if len(self._names) >= MOST_STATEMENTS:
                    self._names.clear()
                names = self._names[sql] = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in rows]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all statements inside durably, or none; one inside another is a part of it.

        The outermost alone is committed. An inner one that raises undoes its own statements, and
        the outer one may go on.
        """
        if self._connection.in_transaction:
            with self._part_of_transaction():
                yield
            return
        if self._files() != self._identity:
            raise LedgerError(
                f"the ledger {self._path} was deleted, moved or replaced while photochrom was using"
                " it; nothing more is written to it. Put it back if that was a mistake, then start"
                " photochrom again"
            )
        with self._translated_errors():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:  # even Ctrl-C must not leave half a change
                if self._connection.in_transaction:  # a full disk may have ended it
                    self._connection.execute("ROLLBACK")
                raise

    @contextmanager
    def _part_of_transaction(self) -> Iterator[None]:
        with self._translated_errors():
            self._connection.execute("SAVEPOINT part")
            try:
                yield
            except BaseException:  # even Ctrl-C
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK TO part")
                    self._connection.execute("RELEASE part")
                raise
            self._connection.execute("RELEASE part")

    @property
    def wal_size(self) -> int:
        """Size of the write-ahead log, bytes; it grows while a reader holds an old snapshot."""
        try:
            return self._wal.stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def _wal(self) -> Path:
        return self._path.with_name(f"{self._path.name}-wal")

    def _is_idle(self) -> bool:
        """Tell whether nobody uses the file, and its folder is not writable.

        SQLite cannot create its log there, and opens the file only as immutable.
        """
        return not (os.access(self._path.parent, os.W_OK) or self._wal.exists())

    def _files(self) -> list[tuple[int, int] | None]:
        """Return device and inode of the ledger and its log; None for one that is missing."""
        found: list[tuple[int, int] | None] = []
        for path in (self._path, self._wal):
            try:
                stat = path.stat()
                found.append((stat.st_dev, stat.st_ino))
            except FileNotFoundError:
                found.append(None)
            except OSError as error:
                raise DeviceError(
                    f"the ledger {self._path} cannot be used now: {error.strerror}"
                ) from error
        return found

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            remedy = next((to_do for said, to_do in _REMEDIES if said in str(error)), "")
            raise DeviceError(
                f"the ledger {self._path} cannot be used now: {error}{remedy}"
            ) from error
        except sqlite3.DatabaseError as error:
            raise LedgerError(
                f"the ledger {self._path} is damaged ({error}); restore a backup, or make a new"
                " one with `photochrom rebuild-ledger --move-aside`"
            ) from error

    def _version(self) -> int:
        return int(self.rows("PRAGMA user_version")[0]["user_version"])

    def _prepare(self, *, read_only: bool) -> None:
        version = self._version()
        if version > len(MIGRATIONS):
            raise LedgerError(
                f"the ledger {self._path} was written by a newer photochrom (schema {version}; this"
                f" version supports {len(MIGRATIONS)}); use that version"
            )
        if read_only:
            return
        for setting in SETTINGS:
            self.rows(f"PRAGMA {setting}")
        self._identity = self._files()
        with self.transaction():  # another process may have migrated it meanwhile
            for migration in MIGRATIONS[self._version() :]:
                for statement in _statements(migration):
                    self.rows(statement)
            self.rows(f"PRAGMA user_version = {len(MIGRATIONS)}")


def folded(name: str | bytes | None) -> str:
    """Return a name for comparison: case-folded, with composed letters."""
    text = os.fsdecode(name or b"")
    text = re.sub("[\ud800-\udfff]", "\N{REPLACEMENT CHARACTER}", text)  # SQLite takes no bytes
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def _statements(script: str) -> Iterator[str]:
    """Yield the statements of a script, each trigger as one."""
    statement = ""
    for part in script.split(";"):
        statement += f"{part};"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
