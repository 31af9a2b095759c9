"""Find and lookup: what a person types, and where its files are."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path, PurePosixPath

import pytest

from service.config.loader import Config
from service.ledger import schema
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.monitoring.find import Row, every, find, why_unknown
from service.storage.lookup import is_number
from tests.support.delivered_results import REASON, color, place, place_with_ledger, reject


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Make the folders and an empty ledger."""
    return place_with_ledger(tmp_path)


def found(config: Config, *names: str) -> list[int]:
    """Return the jobs that are found."""
    return [row.job for _name, rows in find(config, names) for row in rows]


def only(config: Config, name: str) -> Row:
    """Return the one photo that is found."""
    [(_name, rows)] = [(name, list(rows)) for name, rows in find(config, [name])]
    [row] = rows
    return row


class TestWhatIsMeant:
    """By names, numbers and paths."""

    @pytest.mark.parametrize(
        ("said", "names"),
        [
            ("2", ["1931/Müller 100%_a.tif"]),
            ("02", []),  # a name, for it has a zero before it
            ("a.TIF", ["1931/a.tif", "1931/Müller 100%_a.tif", "b/a.tif"]),  # any case
            ("müLLER", ["1931/Müller 100%_a.tif"]),
            ("Mu\u0308ller", ["1931/Müller 100%_a.tif"]),  # decomposed, as a Mac writes it
            ("100%_", ["1931/Müller 100%_a.tif"]),  # no wildcards
            ("0%a", []),
            ("1931", ["1931/a.tif", "1931/Müller 100%_a.tif"]),
            ("1931/a.tif", ["1931/a.tif"]),
            ("caf\\udce9", ["caf\udce9.tif"]),  # as it is printed
            ("{inbox}/b", ["b/a.tif"]),
            ("{outbox}/1931/a.tif", ["1931/a.tif"]),
            ("{outbox}/1931/a.tif.json", ["1931/a.tif"]),
            ("{originals}/1931/a.tif", ["1931/a.tif"]),
            ("{originals}/1931", ["1931/a.tif", "1931/Müller 100%_a.tif"]),
            ("{rejected}/b/a.tif", ["b/a.tif"]),
            ("{rejected}/b/a.tif.reason.txt", ["b/a.tif"]),
            ("{rejected}/1931/a.tif", []),  # it is not there
            ("/elsewhere/1931/a.tif", []),
            ("", []),
        ],
    )
    def test_names_numbers_and_paths_are_understood(
        self, config: Config, said: str, names: list[str]
    ) -> None:
        """Wherever the file lies, and however it is written."""
        jobs = [color(config, "1931/a.tif"), color(config, "1931/Müller 100%_a.tif")]
        jobs += [reject(config, "b/a.tif"), color(config, "caf\udce9.tif")]
        number = {str(job.path): job.id for job in jobs}
        said = said.format(
            inbox=config.inbox,
            outbox=config.outbox,
            originals=config.originals.folder,
            rejected=config.rejected,
        )

        assert [number[name] for name in names] == found(config, said)

    def test_a_path_from_here_is_understood(
        self, config: Config, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Though the folder is reached by a symlink."""
        job = color(config, "1931/a.tif")
        link = config.outbox.parent / "link"
        link.symlink_to(config.outbox)
        linked = config.model_copy(update={"outbox": link})
        monkeypatch.chdir(config.outbox / "1931")

        assert [job.id] == found(linked, "../1931/./a.tif.json")

    def test_a_number_that_no_job_has_may_be_a_name(self, config: Config) -> None:
        """And with a slash, it is always a folder."""
        jobs = [color(config, "7/a.tif"), color(config, "1/b.tif")]

        assert [jobs[0].id] == found(config, "7")
        assert [jobs[0].id] == found(config, "1")
        assert [jobs[1].id] == found(config, "1/")
        assert not is_number("٣")

    def test_names_that_were_shortened_are_found(self, config: Config) -> None:
        """By the names of sidecar and rejected scan as they lie there."""
        long, other = color(config, "x" * 250 + ".tif"), reject(config, "y" * 250 + ".tif")
        [sidecar] = config.outbox.glob("*.json")
        [scan] = config.rejected.glob("y*.tif")

        assert [long.id] == found(config, str(sidecar))
        assert [other.id] == found(config, str(scan))


class TestWhereItIs:
    """What is told of one."""

    def test_a_finished_photo_is_told_with_all_its_files(self, config: Config) -> None:
        """With the version that colored it; what is missing is said."""
        color(config, "1931/a.tif")
        row = only(config, "a.tif")
        (config.outbox / "1931/a.tif").unlink()
        (config.originals.folder / "1931/a.tif").unlink()
        later = only(config, "a.tif")

        assert ("finished", "7", ()) == (row.state, row.version, row.missing)
        assert config.originals.folder / "1931/a.tif" == row.original
        assert config.outbox / "1931/a.tif" == row.result
        assert config.outbox / "1931/a.tif.json" == row.sidecar
        assert row.scan is row.rejected is later.result is None
        assert ("original", "result") == later.missing

    def test_a_rejected_one_is_told_where_it_lies_now(self, config: Config) -> None:
        """Moved, edited, under a number of its name, or gone."""
        scan = reject(config, "a.tif")
        first = only(config, "1")
        (config.rejected / "a.tif").rename(config.rejected / "a (2).tif")
        moved = only(config, "1")
        (config.rejected / "a (2).tif").write_bytes(b"edited")
        edited = only(config, "1")
        (config.rejected / "a (2).tif").unlink()
        gone = only(config, "1")

        assert scan.id == first.job
        assert ("failed", REASON) == (first.state, first.reason)
        assert config.rejected / "a.tif" == first.rejected
        assert config.rejected / "a (2).tif" == moved.rejected == edited.rejected
        assert [False, False, True] == [row.changed for row in (first, moved, edited)]
        assert (None, ("rejected",)) == (gone.rejected, gone.missing)

    def test_a_file_that_is_not_queued_is_told_too(self, config: Config) -> None:
        """It may be arriving still, or its name be none of a scan."""
        for name in ("new.tif", "notes.txt"):
            (config.inbox / name).write_bytes(b"new")

        assert "new.tif is in the inbox but not queued yet" in why_unknown(config, "new.tif")
        assert "its name is not that of a photograph" in why_unknown(config, "notes.txt")
        assert "no photograph matches none.tif" == why_unknown(config, "none.tif")

    def test_without_a_ledger_nothing_is_known(self, tmp_path: Path) -> None:
        """And none is made."""
        config = place(tmp_path)

        assert [] == found(config, "1", "a")
        assert [] == list(every(config))
        assert [] == list(config.state.iterdir())


def test_a_name_is_found_though_another_process_writes(config: Config) -> None:
    """It is only read, whatever a daemon does meanwhile."""
    job = color(config, "a.tif")
    with Ledger(config.state / LEDGER_FILE) as ledger, ledger.transaction():
        assert [job.id] == found(config, os.fsdecode(b"a.tif"))
    assert PurePosixPath("a.tif") == job.path


def test_a_ledger_of_an_older_photochrom_is_read(tmp_path: Path) -> None:
    """Of the first form, too; it is not brought to the newest one."""
    config = place(tmp_path)
    path = config.state / LEDGER_FILE
    with closing(sqlite3.connect(path)) as ledger:
        ledger.executescript(f"{schema.VERSION_1}; PRAGMA user_version = 1")
        for n, status in enumerate(("finished", "failed")):
            sql = "INSERT INTO jobs (path, digest, output, size, mtime_ns, inode, device, status,"
            sql += " not_before, queued_at) VALUES (?, '0', ?, 1, 1, '1', '1', ?, 0, 0)"
            ledger.execute(sql, (b"%d.tif" % n, b"%d.tif" % n, status))
        ledger.commit()
    before = path.read_bytes()

    assert [1, 2] == found(config, ".tif")
    assert [1] == found(config, str(config.outbox / "0.tif"))
    assert [("original", "result"), ("rejected",)] == [row.missing for row in every(config)]
    assert before == path.read_bytes()
