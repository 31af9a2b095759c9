"""Promises of `photochrom review`: what it prints and exits with; it runs in this process."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.cli.main import app
from service.ledger.jobs import DecisionRecord
from service.ledger.ledger import LEDGER_FILE
from service.ledger.queries import LedgerQueries
from tests.support.delivered_results import color, place


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Make a folder with a configuration and two colored photos."""
    (tmp_path / "config.yaml").write_text("log: {level: info}\n")
    config = place(tmp_path)
    for name in ("1931/a.tif", "b.tif"):
        color(config, name)
    return tmp_path


def photochrom(home: Path, *arguments: str) -> Result:
    """Run a command of a home."""
    return CliRunner().invoke(app, [*arguments, "--config", str(home / "config.yaml")])


def log_of(home: Path, job: int) -> list[DecisionRecord]:
    """Return the decisions on a job."""
    with LedgerQueries.open(home / "state" / LEDGER_FILE) as ledger:
        return ledger.gallery.decisions_of(job)


@pytest.mark.parametrize(
    ("command", "words"),
    [("approve", "approved"), ("reject", "rejected"), ("flag", "flagged"), ("open", "open again")],
)
def test_each_decision_has_a_command(home: Path, command: str, words: str) -> None:
    """With reason, note and name."""
    more = ("--reason", "coat", "--note", "it was red", "--who", "Ada")
    done = photochrom(home, "review", command, "1931/", *more)

    assert (0, f"{words}, by Ada: 1\n") == (done.exit_code, done.stdout)
    (record,) = log_of(home, 1)
    assert ("coat", "it was red", "Ada") == (record.reason, record.note, record.who)
    assert (record.decision or "open again") == words


def test_the_last_decision_is_undone_once(home: Path) -> None:
    """Exit code 3 tells that there is no other."""
    photochrom(home, "review", "approve", "1", "2", "--who", "Ada")
    first = photochrom(home, "review", "undo", "--who", "Ada")
    again = photochrom(home, "review", "undo", "--who", "Ada")

    assert (0, "undone for Ada: 2\n") == (first.exit_code, first.stdout)
    assert (3, "undone for Ada: 0\n") == (again.exit_code, again.stdout)
    assert all(log_of(home, job)[0].undone_at for job in (1, 2))


def test_what_is_no_result_is_refused_and_nothing_decided(home: Path) -> None:
    """As wrong usage, with its name."""
    done = photochrom(home, "review", "approve", "1", "nowhere.tif")

    assert 2 == done.exit_code
    assert "nowhere.tif" in done.stderr
    assert [] == log_of(home, 1)
