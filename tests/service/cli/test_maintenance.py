"""Promises of the commands that look after the archive: what they print and exit with.

They run in this process, through the command line's own parts; tests/end_to_end starts them.
"""

import importlib.util
import json
from pathlib import Path

import bagit
import pytest
from typer.testing import CliRunner, Result

from service.cli.main import app
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.maintenance.layouts.layout_name import LayoutName
from service.storage import moves
from tests.support.delivered_results import color, place, queue
from worker.errors import DeviceError


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Make a folder with a configuration and two colored photos."""
    (tmp_path / "config.yaml").write_text("log: {level: info}\n")
    config = place(tmp_path)
    for name in ("1931/a.tif", "b.tif"):
        color(config, name)
    return tmp_path


def photochrom(home: Path, *arguments: str, said: str = "") -> Result:
    """Run a command of a home, with what a person types."""
    given = [*arguments, "--config", str(home / "config.yaml")]
    return CliRunner().invoke(app, given, input=said)


def test_verify_exits_0_where_all_is_well_and_1_where_something_was_found(home: Path) -> None:
    """So that cron can tell."""
    well = photochrom(home, "verify")
    (home / "outbox/b.tif").unlink()
    found = photochrom(home, "verify")

    assert (0, "photographs checked: 2; findings: 0\n") == (well.exit_code, well.stdout)
    assert 1 == found.exit_code
    assert "output missing: b.tif: not in the outbox" == found.stdout.splitlines()[0]


def test_verify_prints_json_for_programs(home: Path) -> None:
    """All of it, and nothing else."""
    (home / "outbox/b.tif.json").unlink()
    done = photochrom(home, "verify", "--json", "--repair")

    assert {
        "checked": 2,
        "without_digest": 0,
        "in_work": 0,
        "findings": [
            {
                "kind": "sidecar",
                "fault": "missing",
                "path": "b.tif.json",
                "job": 2,
                "words": "not in the outbox",
            }
        ],
        "queued": 1,
        "not_queued": {},
        "rejected": 0,
        "fetched": 0,
    } == json.loads(done.stdout)
    with Ledger(home / "state" / LEDGER_FILE) as ledger:
        assert [2] == [job.id for job in ledger.queries.owning_output() if job.recolor]


def test_bag_makes_a_bag_and_says_so(home: Path, tmp_path: Path) -> None:
    """Of a sub-folder of the inbox, under an organization's name."""
    bag = tmp_path / "bag"
    done = photochrom(home, "bag", str(bag), "--subfolder", "1931", "--organization", "Archive")

    assert (0, f"{bag}: 1 photograph\n") == (done.exit_code, done.stdout)
    assert bagit.Bag(str(bag)).validate()
    assert "Archive" == bagit.Bag(str(bag)).info["Source-Organization"]


def test_a_sub_folder_outside_the_inbox_is_wrong_usage(home: Path, tmp_path: Path) -> None:
    """It exits 2 and makes nothing."""
    done = photochrom(home, "bag", str(tmp_path / "bag"), "--subfolder", "../outbox")

    assert 2 == done.exit_code
    assert not (tmp_path / "bag").exists()


def test_without_the_extra_it_is_said_how_to_install_it(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before anything is copied."""
    monkeypatch.setattr("service.maintenance.bag.find_spec", lambda _name: None)
    done = photochrom(home, "bag", str(tmp_path / "bag"))

    assert importlib.util.find_spec("bagit")
    assert isinstance(done.exception, DeviceError)
    assert "pip install 'photochrom[bag]'" in str(done.exception)
    assert not (tmp_path / "bag").exists()


def test_retry_says_what_it_did_and_exits_3_where_it_could_not(home: Path) -> None:
    """By numbers, all that was rejected, or all."""
    with Ledger(home / "state" / LEDGER_FILE) as ledger:
        job = queue(place(home), "c.tif")
        ledger.fail(job.id, "cut short", 1.0)
    moves.reject(home / "inbox/c.tif", home / "inbox", home / "rejected", "cut short")
    dry = photochrom(home, "retry", "--rejected", "--dry-run")
    finished = photochrom(home, "retry", "1", "3")
    again = photochrom(home, "retry", "--all")
    place_of = f"moved back to the inbox from {home / 'rejected/c.tif'}\n"

    assert (0, f"job 3, c.tif: would be {place_of}") == (dry.exit_code, dry.stdout)
    assert 3 == finished.exit_code
    assert finished.stdout.startswith("job 1, 1931/a.tif: finished")
    assert finished.stdout.endswith(f"job 3, c.tif: {place_of}")
    assert 3 == again.exit_code
    assert "the inbox has another file with its name" in again.stdout


@pytest.mark.parametrize("arguments", [[], ["1", "--all"], ["--all", "--rejected"], ["--dry-run"]])
def test_retry_wants_numbers_or_one_of_its_options(home: Path, arguments: list[str]) -> None:
    """Anything else is wrong usage."""
    assert 2 == photochrom(home, "retry", *arguments).exit_code


def test_forget_says_what_stays_and_exits_3_where_it_could_not(home: Path) -> None:
    """It forgets what it can."""
    done = photochrom(home, "forget", "1")
    twice = photochrom(home, "forget", "1", "2")
    stays = "its scan stay in place\n"

    assert 0 == done.exit_code
    assert f"job 1, 1931/a.tif: forgotten; {home / 'outbox/1931/a.tif'} and {stays}" == done.stdout
    assert 3 == twice.exit_code
    assert "job 1: no such job" == twice.stdout.splitlines()[0]
    assert (home / "outbox/b.tif").exists()
    assert 2 == photochrom(home, "forget").exit_code


def test_mark_fetched_asks_before_it_marks_all_that_is_missing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a terminal; a script says --yes, and without that nothing is marked."""
    for name in ("b.tif", "b.tif.json"):
        (home / "outbox" / name).unlink()
    without = photochrom(home, "mark-fetched", "--missing")
    dry = photochrom(home, "mark-fetched", "--missing", "--dry-run")
    monkeypatch.setattr("service.cli.handover._asks_a_person", lambda: True)
    refused = photochrom(home, "mark-fetched", "--missing", said="n\n")
    answered = photochrom(home, "mark-fetched", "--missing", said="y\n")

    assert isinstance(without.exception, DeviceError)
    assert "1 result\n  in the outbox itself: 1\n" == dry.stdout
    assert 1 == refused.exit_code
    assert "Were these carried away? [y/N]: y\nmarked as fetched: 1\n" in answered.stdout
    assert 0 == photochrom(home, "verify").exit_code
    assert "no longer marked: 1" in photochrom(home, "mark-fetched", "b.tif", "--undo").stdout
    assert "marked as fetched: 1" in photochrom(home, "mark-fetched", "--missing", "--yes").stdout


@pytest.mark.parametrize("arguments", [(), ("b.tif", "--missing"), ("--missing", "--undo")])
def test_mark_fetched_is_told_exactly_what(home: Path, arguments: tuple[str, ...]) -> None:
    """Names, or what is missing."""
    assert 2 == photochrom(home, "mark-fetched", *arguments).exit_code


def test_mark_fetched_refuses_an_unknown_name(home: Path) -> None:
    """As recolor does."""
    assert 2 == photochrom(home, "mark-fetched", "zzz").exit_code


@pytest.mark.parametrize("layout", list(LayoutName))
def test_bag_takes_a_layout(home: Path, tmp_path: Path, layout: str) -> None:
    """By its name."""
    done = photochrom(home, "bag", str(tmp_path / "bag"), "--layout", layout)

    assert (0, f"{tmp_path / 'bag'}: 2 photographs\n") == (done.exit_code, done.stdout)


def test_report_tells_where_to_begin(home: Path, tmp_path: Path) -> None:
    """And refuses what is no day, and a folder elsewhere."""
    done = photochrom(home, "report", "--out", str(tmp_path / "report"), "--since", "1970-01-01")

    assert 0 == done.exit_code
    assert f"{tmp_path / 'report'}/index.html" == done.stdout.splitlines()[0]
    assert (tmp_path / "report/photographs.csv").exists()
    for option, value in (("--since", "soon"), ("--until", "1.1.70"), ("--folder", "/")):
        assert 2 == photochrom(home, "report", "--out", "x", option, value).exit_code


def test_where_find_and_status_with_a_name_are_one(home: Path) -> None:
    """The same text, the same JSON, the same exit codes."""
    for arguments in (("b.tif",), ("b.tif", "--json"), ("b.tif", "zzz"), ("1931/",)):
        answers = [photochrom(home, command, *arguments) for command in ("where", "find", "status")]
        codes = {one.exit_code for one in answers}

        assert 1 == len({one.stdout for one in answers})
        assert {3 if "zzz" in arguments else 0} == codes
    assert 2 == photochrom(home, "status", "b.tif", "--all").exit_code
