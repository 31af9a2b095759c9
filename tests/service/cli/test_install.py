"""Promises of `photochrom install` and `uninstall`, below a root of their own."""

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from service.cli.main import app
from service.config.loader import load_config
from service.systemd.files import closed_folders, this_program
from service.systemd.units import FILES, GPU, TIMER, TRAIN_GPU, UNIT, Program
from tests.support.folder_listing import files
from worker.errors import DeviceError


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Write a configuration."""
    path = tmp_path / "config.yaml"
    text = "inbox: /srv/photos/inbox\nweb: {listen: 127.0.0.1:8420}\nengine: ray\n"
    path.write_text(text)  # all that has files of its own
    return path


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Name the root below which all is written."""
    return tmp_path / "root"


def photochrom(*words: str | Path) -> Result:
    """Run a command in this process; what it raises goes on up."""
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)


def test_the_service_starts_this_very_photochrom(config: Path, root: Path) -> None:
    """With this configuration, wherever it is started from."""
    photochrom("install", "--config", config, "--prefix", root)
    command = Path(sys.prefix) / "bin" / "photochrom"
    lines = (root / UNIT).read_text().splitlines()

    assert f'ExecStart="{command}" run --config "{config}"' in lines
    assert any(
        line.startswith("RequiresMountsFor=") and "/srv/photos/inbox" in line for line in lines
    )


def test_what_was_written_is_told(config: Path, root: Path) -> None:
    """Each file by its path, and no other is written."""
    told = photochrom("install", "--gpu", "--config", config, "--prefix", root).stdout

    assert sorted(str(name) for name in FILES) == files(root)
    assert [f"wrote {root / name}" for name in FILES] == [
        line for line in told.splitlines() if line.startswith("wrote")
    ]


def test_a_dry_run_writes_nothing_and_shows_all(config: Path, root: Path) -> None:
    """The texts themselves."""
    told = photochrom("install", "--dry-run", "--config", config, "--prefix", root).stdout

    assert not root.exists()
    assert f"would write {root / UNIT}\n" in told
    assert "\nProtectSystem=strict\n" in told


def test_installing_again_takes_away_what_is_no_longer_wanted(config: Path, root: Path) -> None:
    """A card that was let in is shut out again."""
    photochrom("install", "--gpu", "--config", config, "--prefix", root)
    told = photochrom("install", "--config", config, "--prefix", root).stdout

    assert f"removed {root / GPU}\n" in told
    assert f"removed {root / TRAIN_GPU}\n" in told
    assert sorted(str(name) for name in FILES if name not in {GPU, TRAIN_GPU}) == files(root)


def test_the_timer_is_to_be_enabled_only_with_photographs_to_learn_from(
    config: Path, root: Path
) -> None:
    """What is printed says so, and why not."""
    without = photochrom("install", "--config", config, "--prefix", root).stdout
    config.write_text("training: {collections: [/srv/color]}\n")
    with_photographs = photochrom("install", "--config", config, "--prefix", root).stdout
    words = "note: training.collections is empty, so monthly training"

    assert words in without
    assert words not in with_photographs
    assert (root / TIMER).exists()


@pytest.mark.parametrize("command", ["install", "uninstall"])
def test_a_strangers_unit_is_neither_replaced_nor_removed(
    command: str, config: Path, root: Path
) -> None:
    """Nor is anything else done then."""
    (root / UNIT).parent.mkdir(parents=True)
    (root / UNIT).write_text("[Service]\nExecStart=/bin/mine\n")
    options = ("--config", config) if command == "install" else ()
    with pytest.raises(DeviceError, match="was not written by `photochrom install`"):
        photochrom(command, *options, "--prefix", root)

    assert [str(UNIT)] == files(root)
    assert "[Service]\nExecStart=/bin/mine\n" == (root / UNIT).read_text()


def test_uninstall_removes_what_install_wrote(config: Path, root: Path) -> None:
    """And nothing else that lies there; a dry run only tells."""
    photochrom("install", "--gpu", "--config", config, "--prefix", root)
    own = root / "etc/systemd/system/photochrom.service.d/own.conf"
    own.write_text("[Service]\nNice=5\n")
    would = photochrom("uninstall", "--dry-run", "--prefix", root).stdout
    before = files(root)
    did = photochrom("uninstall", "--prefix", root).stdout
    again = photochrom("uninstall", "--prefix", root).stdout

    assert [f"would remove {root / name}" for name in FILES] == would.splitlines()
    assert len(FILES) + 1 == len(before)
    assert [f"removed {root / name}" for name in FILES] == did.splitlines()
    assert [str(own.relative_to(root))] == files(root)
    assert f"photochrom is not installed below {root}\n" == again


def test_folders_that_shut_the_service_out_are_named(tmp_path: Path, config: Path) -> None:
    """Such as a home that only its owner may enter."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    program = Program(home / "bin" / "photochrom", (home / "environment",), config)
    found = list(closed_folders(load_config(config), program))

    assert f"user photochrom cannot enter {home}; run: chmod o+x {home}" in found
    home.chmod(0o711)
    assert not [
        one for one in closed_folders(load_config(config), program) if f"enter {home};" in one
    ]


def test_an_environment_without_the_command_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, config: Path
) -> None:
    """The service could not start."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    with pytest.raises(DeviceError, match="install photochrom into this environment"):
        this_program(config)
