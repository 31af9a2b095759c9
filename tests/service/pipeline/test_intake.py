"""What becomes of a file at rest: a job, or one whose rest is waited for."""

from collections.abc import Iterator
from pathlib import Path
from unittest.mock import Mock

import pytest

from service.config.loader import Config
from service.filesystem.safe_open import file_stat
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.pipeline.intake import Intake
from service.watch.folder_settings import FolderSettingsWatch
from service.watch.watcher import Rest
from tests.support.delivered_results import place

SIZE = 20_000
FILLED = "it ends in zeros, as a file does that is still being filled"


class Arrivals:
    """An intake, and files that come to it."""

    def __init__(self, config: Config, ledger: Ledger) -> None:
        """Nothing came yet."""
        self.path = config.inbox / "a.tif"
        self._intake = Intake(config, ledger, Mock(), FolderSettingsWatch(config, Mock()))

    def take(self, seconds: float = 5.0, *, closed: bool = True) -> str:
        """Tell of the file at rest; return why it is waited for, or ""."""
        looks = file_stat(self.path)
        assert looks
        return self._intake.take(self.path, looks, Rest(seconds, closed))


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
