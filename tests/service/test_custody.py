"""Promises of the commands `photochrom verify` and `photochrom bag`: what they print and exit with.

They run in this process, through the command line's own parts; tests/end_to_end starts them.
"""

import importlib.util
import json
from pathlib import Path

import bagit
import pytest
from typer.testing import CliRunner, Result

from service.cli import app
from service.ledger import LEDGER_FILE, Ledger
from tests.delivered import color, place
from worker.errors import DeviceError


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


def test_verify_exits_0_where_all_is_well_and_1_where_something_was_found(home: Path) -> None:
    """So that cron can tell."""
    well = photochrom(home, "verify")
    (home / "outbox/b.tif").unlink()
    found = photochrom(home, "verify")

    assert (0, "photographs checked: 2; findings: 0\n") == (well.exit_code, well.stdout)
    assert 1 == found.exit_code
    assert "output missing: b.tif: it is not in the outbox" == found.stdout.splitlines()[0]


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
                "words": "it is not in the outbox",
            }
        ],
        "queued": 1,
        "not_queued": {},
    } == json.loads(done.stdout)
    with Ledger(home / "state" / LEDGER_FILE) as ledger:
        assert [2] == [job.id for job in ledger.owning() if job.recolor]


def test_bag_makes_a_bag_and_says_so(home: Path, tmp_path: Path) -> None:
    """Of a sub-folder of the inbox, under an organization's name."""
    bag = tmp_path / "bag"
    done = photochrom(home, "bag", str(bag), "--subfolder", "1931", "--organization", "Archive")

    assert (0, f"{bag}: 1 photographs\n") == (done.exit_code, done.stdout)
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
    monkeypatch.setattr("service.custody.find_spec", lambda _name: None)
    done = photochrom(home, "bag", str(tmp_path / "bag"))

    assert importlib.util.find_spec("bagit")
    assert isinstance(done.exception, DeviceError)
    assert "pip install 'photochrom[bag]'" in str(done.exception)
    assert not (tmp_path / "bag").exists()
