"""A ledger of the first photochrom is carried over, photo by photo.

The other promises of the file (locks, full disks, damage) are in test_ledger.
"""

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath

import pytest

from service.filesystem.file_stat import FileStat
from service.ledger.database import LARGEST_WAL, Database, LedgerError
from service.ledger.jobs import JobStatus
from service.ledger.ledger import ActiveModel, Ledger
from service.ledger.queries import LedgerQueries
from service.ledger.schema import MIGRATIONS
from worker.errors import DeviceError

# As photochrom 0.1.0 made it; this text is history and never changes.
FIRST = """
CREATE TABLE jobs (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    path BLOB NOT NULL,
    digest TEXT NOT NULL,
    output BLOB NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    inode TEXT NOT NULL,
    device TEXT NOT NULL,
    same_content_as INTEGER REFERENCES jobs (id),
    status TEXT NOT NULL CHECK (status IN ('queued', 'started', 'finished', 'failed')),
    attempts INTEGER NOT NULL DEFAULT 0,
    waits INTEGER NOT NULL DEFAULT 0,
    reason TEXT,
    model TEXT,
    not_before REAL NOT NULL,
    queued_at REAL NOT NULL,
    started_at REAL,
    finished_at REAL,
    UNIQUE (path, digest)
);
CREATE UNIQUE INDEX jobs_by_output ON jobs (output) WHERE status != 'failed';
CREATE INDEX jobs_by_digest ON jobs (digest);
CREATE INDEX jobs_by_status ON jobs (status, finished_at);
PRAGMA user_version = 1;
"""
PHOTOS = [  # name, status, model
    ("a.png", "finished", "builtin"),
    ("caf\udce9.png", "finished", "2"),
    ("late.png", "queued", None),
    ("torn.png", "started", None),
    ("bad.png", "failed", None),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Make a ledger as the first photochrom left it, with a job of each kind."""
    path = tmp_path / "ledger.sqlite3"
    database = sqlite3.connect(path)
    database.executescript(f"PRAGMA journal_mode = WAL; {FIRST}")
    for number, (name, status, model) in enumerate(PHOTOS, 1):
        row = (os.fsencode(name), f"{number:064}", os.fsencode(name), status, model)
        database.execute(
            "INSERT INTO jobs (path, digest, output, size, mtime_ns, inode, device, status, model,"
            " not_before, queued_at) VALUES (?, ?, ?, 5, 6, '18446744073709551615', '8', ?, ?,"
            " 0, 1)",
            row,
        )
    database.commit()
    database.close()
    return path


def test_every_job_of_the_first_form_is_carried_over(path: Path) -> None:
    """With all it had; nothing is known of where its original lies, and nothing is recolored."""
    with Ledger(path) as ledger:
        assert not ledger.queries.outdated
        assert {"queued": 1, "started": 1, "finished": 2, "failed": 1} == ledger.queries.counts()
        for number, (name, status, model) in enumerate(PHOTOS, 1):
            job = ledger.queries._one("id = ?", number)
            assert job is not None
            assert (name, status, model) == (str(job.path), job.status, job.model)
            assert (f"{number:064}", FileStat(5, 6, 2**64 - 1, 8)) == (job.digest, job.stat)
            assert (None, False) == (job.original, job.recolor)
            assert (None, None) == (job.output_digest, job.event)


def test_work_goes_on_after_the_change(path: Path) -> None:
    """What was torn goes on; what was finished can be colored again; a free name stays free."""
    with Ledger(path) as ledger:
        assert [4] == [job.id for job in ledger.recover()]
        assert 1 == ledger.recolor([1], 9.0)
        assert [3, 4, 1] == [job.id for job in ledger.claim(9, 9.0, in_flight=0)]
        assert ledger.queries.output_taken(PurePosixPath("a.png"))
        assert not ledger.queries.output_taken(PurePosixPath("bad.png"))
        ledger.record_active_model(ActiveModel("2"))
        assert ActiveModel("2") == ledger.queries.active_model()


def test_the_change_happens_once(path: Path) -> None:
    """Two that open it one after the other, or at once, find the same."""
    with Ledger(path) as first, Ledger(path) as second:
        assert first.queries.counts() == second.queries.counts()
    with Ledger(path) as third:
        assert 2 == third.queries.counts()[JobStatus.FINISHED]


def test_a_change_that_fails_leaves_the_first_form(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whole, so that the earlier photochrom still works with it."""
    monkeypatch.setattr(
        "service.ledger.database.MIGRATIONS", (*MIGRATIONS, "SELECT * FROM nowhere")
    )
    with pytest.raises(Exception, match="no such table: nowhere"):
        Ledger(path)
    database = sqlite3.connect(path)
    version = database.execute("PRAGMA user_version").fetchone()[0]
    columns = [row[1] for row in database.execute("PRAGMA table_info(jobs)")]
    database.close()

    assert 1 == version
    assert "recolor" not in columns


def test_the_first_form_can_be_looked_at_unchanged(path: Path) -> None:
    """As `photochrom status` does after an update, before the daemon's start."""
    with LedgerQueries.open(path) as ledger:
        assert ledger.outdated
        assert {"queued": 1, "started": 1, "finished": 2, "failed": 1} == ledger.counts()
        assert ledger.oldest_waiting() is not None
        assert "2" == ledger.last_model()
        assert ledger.active_model() is None
    with LedgerQueries.open(path) as again:
        assert again.outdated


def test_a_new_ledger_has_the_newest_form(tmp_path: Path) -> None:
    """The same one as an old one that was carried over."""
    first = tmp_path / "first.sqlite3"
    Database(first).close()
    shapes = []
    for each in (first, _carried_over(tmp_path / "second.sqlite3")):
        database = sqlite3.connect(each)
        shapes.append(sorted(database.execute("SELECT type, name, tbl_name FROM sqlite_master")))
        database.close()

    assert shapes[0] == shapes[1]
    assert ("table", "serving", "serving") in shapes[0]


def _carried_over(path: Path) -> Path:
    database = sqlite3.connect(path)
    database.executescript(FIRST)
    database.close()
    Database(path).close()
    return path


def test_the_owner_of_an_output_is_found_by_an_index(path: Path) -> None:
    """However many photos there are."""
    with Ledger(path) as ledger:
        plan = ledger._database.rows(
            "EXPLAIN QUERY PLAN SELECT * FROM jobs"
            " WHERE output = ? AND (status != 'failed' OR recolor) AND superseded_by IS NULL",
            b"a.png",
        )

    assert "jobs_by_output" in plan[0]["detail"]


def test_the_next_jobs_are_found_by_an_index(path: Path) -> None:
    """Without sorting all that wait."""
    with Ledger(path) as ledger:
        plan = ledger._database.rows(
            "EXPLAIN QUERY PLAN SELECT * FROM jobs"
            " WHERE status = 'queued' AND not_before <= ? ORDER BY recolor, id LIMIT ?",
            1.0,
            8,
        )

    assert ["SEARCH jobs USING INDEX jobs_by_turn (status=?)"] == [row["detail"] for row in plan]


# Which have no others:
OF_THE_WAITING = re.compile("SCAN jobs USING INDEX jobs_(by_wait|held|owing_review)")


def test_no_question_of_the_daemon_looks_at_all_photos(path: Path) -> None:
    """Each is answered by an index, and none by sorting, however many photos are finished."""
    asked: list[str] = []
    with Ledger(path) as ledger:
        ledger._database._connection.set_trace_callback(asked.append)
        ledger.queries.counts()
        ledger.queries.oldest_waiting()
        ledger.queries.recent_failures(9)
        ledger.queries.finished_since(1.0)
        ledger.queries.done_since(1.0)
        ledger.queries.has_due(1.0)
        ledger.queries.last_model()
        ledger.queries.exhausted(3)
        ledger.queries.backed_off(1.0, limit=1)
        ledger.queries.finished_before(9.0, ledger.queries.job(1), 9)
        ledger.queries.output_taken(PurePosixPath("a.png"))
        ledger.queries.by_stat(PurePosixPath("a.png"), FileStat(5, 6, 7, 8))
        ledger.queries.gallery.held_count()
        ledger.queries.gallery.owing_review_count()
        ledger.queries.gallery.owing_review(20)
        ledger.recover()
        ledger.claim(8, 9.0, in_flight=0)
        ledger.forget(1)
        ledger._database._connection.set_trace_callback(None)
        plans = {
            sql: [row["detail"] for row in ledger._database.rows(f"EXPLAIN QUERY PLAN {sql}")]
            for sql in (sql.replace("Inf", "9e999") for sql in asked)
            if sql.split()[0] in {"SELECT", "UPDATE", "DELETE"} and "FROM counts" not in sql
        }
    slow = {
        sql: plan
        for sql, plan in plans.items()
        if any("SCAN" in OF_THE_WAITING.sub("", step) or "B-TREE" in step for step in plan)
    }

    assert 16 <= len(plans)
    assert {} == slow


def test_a_ledger_that_was_deleted_or_replaced_is_no_longer_written_to(path: Path) -> None:
    """Else months of work would go into a file that nobody can find."""
    other = path.with_name("other.sqlite3")
    for harm in (
        path.unlink,
        lambda: path.with_name(f"{path.name}-wal").unlink(),
        lambda: other.rename(path),
    ):
        with Ledger(path) as ledger:
            Ledger(other).close()
            before = ledger.queries.counts()
            harm()
            with pytest.raises(LedgerError, match="was deleted, moved or replaced while photo"):
                ledger.record_active_model(ActiveModel("2"))

            assert before == ledger.queries.counts()
        for left in path.parent.iterdir():
            left.unlink()
        Ledger(path).close()


def test_a_folder_that_cannot_be_looked_at_is_the_machines_fault(path: Path) -> None:
    """Such as on a disk that fails: it is tried again, and the ledger is not given up."""
    with Ledger(path) as ledger:
        away = path.parent.rename(path.parent.with_name("away"))
        path.parent.write_bytes(b"no folder")
        with pytest.raises(DeviceError, match="cannot be used now: Not a directory"):
            ledger.record_active_model(ActiveModel("2"))
        path.parent.unlink()
        away.rename(path.parent)
        ledger.record_active_model(ActiveModel("2"))

        assert ActiveModel("2") == ledger.queries.active_model()


def test_the_log_shrinks_when_a_reader_lets_go(tmp_path: Path) -> None:
    """It grows while one holds on to an old state, and is no larger than its limit later."""
    path = tmp_path / "new.sqlite3"
    database = Database(path)
    database.rows("PRAGMA synchronous = OFF")
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM jobs").fetchone()
    for start in range(20):
        _fill(database, 2000, start)
    held = database.wal_size
    reader.execute("COMMIT")
    reader.close()
    for start in range(20, 23):
        _fill(database, 2000, start)
    let_go = database.wal_size
    database.close()

    assert held > 1.5 * LARGEST_WAL
    assert 0 < let_go <= LARGEST_WAL


def _fill(database: Database, count: int, start: int = 0) -> None:
    """Put rows into a ledger, as if photos had come."""
    with database.transaction():
        for number in range(start * count, (start + 1) * count):
            database.rows(
                "INSERT INTO jobs (path, digest, output, size, mtime_ns, inode, device, status,"
                " not_before, queued_at) VALUES (?, ?, ?, 5, 6, '7', '8', 'finished', 0, 1)",
                b"filled %d" % number,
                f"{number:_>64}",
                b"out %d" % number,
            )


class TestTransactions:
    """Several changes in one transaction: all of them are on the disk, or none."""

    ADD = "INSERT INTO counts VALUES (?, 0)"

    @pytest.fixture
    def database(self, tmp_path: Path) -> Iterator[Database]:
        """Open an empty ledger."""
        database = Database(tmp_path / "ledger")
        yield database
        database.close()

    def add(self, database: Database, *names: str, fail: bool = False) -> None:
        """Add rows, each in a transaction, in another transaction; or fail at the end of that."""
        with database.transaction():
            for name in names:
                with database.transaction():
                    database.rows(self.ADD, name)
            if fail:
                raise ValueError("no")

    def seen(self, database: Database) -> set[str]:
        """Tell what another process sees."""
        with closing(sqlite3.connect(database._path)) as other:
            rows = other.execute("SELECT status FROM counts WHERE jobs = 0").fetchall()
        return {status for (status,) in rows} - {"queued", "started", "finished", "failed"}

    def test_changes_inside_another_are_committed_with_it(self, database: Database) -> None:
        """Not before."""
        with database.transaction():
            self.add(database, "a", "b")
            assert set() == self.seen(database)

        assert {"a", "b"} == self.seen(database)

    def test_an_inner_one_that_fails_undoes_itself_only(self, database: Database) -> None:
        """And those in it; the outer one goes on."""
        with database.transaction():
            self.add(database, "a")
            with pytest.raises(ValueError, match="no"):
                self.add(database, "b", "c", fail=True)
            self.add(database, "d")

        assert {"a", "d"} == self.seen(database)

    def test_an_outer_one_that_fails_undoes_all(self, database: Database) -> None:
        """Also what inner ones had done; then a new one begins afresh."""
        with pytest.raises(ValueError, match="no"):
            self.add(database, "a", "b", fail=True)
        self.add(database, "c")

        assert {"c"} == self.seen(database)

    def test_a_disk_that_fills_up_undoes_all(self, database: Database) -> None:
        """Though the error comes in an inner one, and SQLite may end the outer one itself."""
        pages = database.rows("PRAGMA page_count")[0]["page_count"]
        database.rows(f"PRAGMA max_page_count = {pages + 1}")
        with pytest.raises(DeviceError, match="free some disk space"):
            self.add(database, "a", 100_000 * "b", "c")
        database.rows("PRAGMA max_page_count = 1000000")
        self.add(database, "d")

        assert {"d"} == self.seen(database)
