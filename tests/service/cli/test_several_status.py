"""Several daemons are told of in one table, and one that is broken hides none of the others."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from service.cli.main import app
from service.cli.several_status import print_all, read_all, together
from service.config.loader import load_config
from service.ledger.jobs import JobStatus
from service.ledger.ledger import LEDGER_FILE
from tests.support.delivered_results import color, place, queue, reject


@pytest.fixture
def configs(tmp_path: Path) -> list[Path]:
    """Make two homes with photographs; no daemon runs."""
    files = []
    for name, photographs in {"east": 3, "west": 2}.items():
        home = tmp_path / name
        home.mkdir()
        (home / "config.yaml").write_text("{}\n")
        config = load_config(home / "config.yaml")
        place(home, config)
        for number in range(photographs):
            color(config, f"{number}.tif")
        queue(config, "late.tif")
        files.append(home / "config.yaml")
    reject(load_config(files[0]), "torn.tif")
    return files


def told(configs: list[Path]) -> list[str]:
    """Print the table on a wide terminal."""
    file = io.StringIO()
    print_all(read_all(configs), Console(file=file, width=200))
    return [" ".join(line.split()) for line in file.getvalue().splitlines()]


def test_each_daemon_has_a_line_and_all_have_a_sum(configs: list[Path]) -> None:
    """Waiting, in progress, finished, rejected."""
    heading, east, west, both = told(configs)

    assert "daemon waiting in progress finished rejected per hour" == heading
    assert "east not running 1 0 3 1" == east
    assert "west not running 1 0 2 0" == west
    assert "all 2 0 5 1" == both


def test_one_that_cannot_be_read_is_named_and_the_others_are_shown(configs: list[Path]) -> None:
    """A damaged ledger, a mistake in a configuration, none; the exit code tells of it."""
    (configs[0].parent / "state" / LEDGER_FILE).write_bytes(b"no ledger" * 1000)
    broken = configs[0].with_name("broken.yaml")
    broken.write_text("inbocks: here\n")
    lines = told([configs[0], broken, configs[1], broken.with_name("missing.yaml")])
    ran = CliRunner().invoke(app, ["status", *map(str, configs)])

    assert "east/config.yaml unreadable" in lines
    assert "east/broken.yaml unreadable" in lines
    assert "east/missing.yaml unreadable" in lines
    assert "west/config.yaml not running 1 0 2 0" in lines
    said = " ".join(lines)  # long ones are folded
    assert "is damaged" in said
    assert "inbocks" in said
    assert 1 == ran.exit_code
    assert "not running" in ran.output


def test_programs_get_the_same_as_json(configs: list[Path]) -> None:
    """Each status as `status --json` has it, and the sums."""
    ran = CliRunner().invoke(app, ["status", "--json", *map(str, configs)])
    said = json.loads(ran.output)

    assert 0 == ran.exit_code
    assert list(map(str, configs)) == [one["config"] for one in said["daemons"]]
    assert {"queued": 1, "started": 0, "finished": 3, "failed": 1} == (
        said["daemons"][0]["status"]["jobs"]
    )
    assert (2, 0, 5, 1) == tuple(said["together"][status] for status in JobStatus)


def test_rates_add_up_and_the_slowest_tells_the_time(configs: list[Path]) -> None:
    """The others will have ended by then."""
    found = read_all(configs)
    for one, rate, seconds in zip(found, (100.0, 50.0), (60, 3600), strict=True):
        assert one.status
        object.__setattr__(one.status, "rate_per_hour", rate)
        object.__setattr__(one.status, "eta_seconds", seconds)

    assert (150.0, 3600) == tuple(together(found)[key] for key in ("rate_per_hour", "eta_seconds"))
