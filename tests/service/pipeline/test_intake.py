"""What becomes of a file at rest: a job, or one whose rest is waited for."""

import errno
import io
import itertools
import math
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any
from unittest.mock import Mock

import pytest

from service.config.loader import Config
from service.filesystem.safe_open import file_stat
from service.ledger.jobs import Job
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.pipeline import intake
from service.pipeline.intake import Intake
from service.storage import naming
from service.watch.folder_settings import FolderSettingsWatch
from service.watch.stability import Rest, StableFile
from tests.support.delivered_results import place
from worker.errors import DeviceError

SIZE = 20_000
AT_REST = Rest(5.0, closed=True)
FILLED = "it ends in zeros, as a file does that is still being filled"


class Arrivals:
    """An intake, and files that come to it."""

    def __init__(self, config: Config, ledger: Ledger) -> None:
        """Nothing came yet."""
        self.path = config.inbox / "a.tif"
        self.ledger = ledger
        self._intake = Intake(config, ledger, Mock(), FolderSettingsWatch(config, Mock()))

    def take(self, seconds: float = 5.0, *, closed: bool = True) -> str | Exception:
        """Tell of the file at rest; return why it is waited for, or ""."""
        (answer,) = self.take_all(self.path, rest=Rest(seconds, closed))
        return answer

    def take_all(self, *paths: Path, rest: Rest = AT_REST) -> list[str | Exception]:
        """Tell of files at rest, together."""
        files = []
        for path in paths:
            looks = file_stat(path)
            assert looks
            files.append(StableFile(path, looks, rest))
        return self._intake.take(files, 1000.0, 2e9)


@pytest.fixture
def arrivals(tmp_path: Path) -> Iterator[Arrivals]:
    """Make one with the settings of every installation."""
    config = place(tmp_path)
    with Ledger(config.state / LEDGER_FILE) as ledger:
        yield Arrivals(config, ledger)


def given_its_size_first(path: Path, size: int = SIZE) -> None:
    """Give a file its size, and fill only its beginning."""
    with path.open("wb") as file:
        file.truncate(size)
        file.write(b"II*\0" * 100)


def test_a_file_whose_end_was_never_written_is_waited_for(arrivals: Arrivals) -> None:
    """Closed or not, as after a lost connection; until it has been at rest for a long time."""
    given_its_size_first(arrivals.path)

    assert FILLED == arrivals.take(closed=False)
    assert FILLED == arrivals.take(closed=True)
    assert "" == arrivals.take(600.0)


def test_a_scan_that_ends_in_black_is_taken_when_it_is_closed(arrivals: Arrivals) -> None:
    """Its zeros were written; while a writer may have it open, nobody knows that."""
    arrivals.path.write_bytes(b"II*\0" + bytes(SIZE))

    assert FILLED == arrivals.take(closed=False)
    assert "" == arrivals.take(closed=True)


def test_an_empty_file_is_waited_for(arrivals: Arrivals) -> None:
    """Its content is still to come; it is no job."""
    arrivals.path.touch()

    assert "it is empty" == arrivals.take()


def test_files_are_queued_together_and_one_that_cannot_be_read_alone_waits(
    arrivals: Arrivals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One bad sector neither undoes nor holds up what came with it."""
    read = intake.digest_of

    def broken(file: io.FileIO) -> str:
        if str(file.name).endswith("b.tif"):
            raise OSError(errno.EIO, "Input/output error")
        return read(file)

    monkeypatch.setattr(intake, "digest_of", broken)
    paths = [arrivals.path.with_name(name) for name in ("a.tif", "b.tif", "c.tif")]
    for path in paths:
        path.write_bytes(b"II*\0" + path.name.encode())
    answers = arrivals.take_all(*paths)

    assert ("", "") == (answers[0], answers[2])
    assert "b.tif cannot be read now: Input/output error" in str(answers[1])
    assert ["a.tif", "c.tif"] == [str(job.path) for job in arrivals.ledger.queries.due(9, math.inf)]


def test_none_of_the_files_is_queued_where_the_ledger_fails(
    arrivals: Arrivals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that all of them are told of again."""
    paths = [arrivals.path.with_name(name) for name in ("a.tif", "b.tif")]
    for path in paths:
        path.write_bytes(b"II*\0" + path.name.encode())
    enqueue, calls = arrivals.ledger.enqueue, itertools.count(1)

    def full(*values: Any) -> tuple[Job, bool]:
        if next(calls) == 2:
            raise DeviceError("the disk is full")
        return enqueue(*values)

    monkeypatch.setattr(arrivals.ledger, "enqueue", full)
    with pytest.raises(DeviceError, match="the disk is full"):
        arrivals.take_all(*paths)

    assert [] == arrivals.ledger.queries.due(9, math.inf)


def test_files_of_one_name_that_come_together_get_different_outputs(
    arrivals: Arrivals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each sees the names that those before it took, though nothing is committed yet."""
    monkeypatch.setattr(naming.outbox, "output_name", lambda *_: PurePosixPath("same.tif"))
    paths = [arrivals.path.with_name(name) for name in ("a.tif", "b.tif")]
    for path in paths:
        path.write_bytes(b"II*\0" + path.name.encode())
    arrivals.take_all(*paths)

    first, second = arrivals.ledger.queries.due(9, math.inf)
    assert "same.tif" == str(first.output)
    assert f"same.{second.digest[:8]}.tif" == str(second.output)
