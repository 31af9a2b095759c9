"""How results are named, and that none takes the place of another."""

from pathlib import Path, PurePosixPath

import pytest

from service.config.loader import Config
from service.filesystem.file_stat import FileStat
from service.ledger.ledger import Ledger
from service.storage.naming import free_name

SCAN = PurePosixPath("a/scan.tif")
DIGEST = "0123456789abcdef" * 4
LOOKS = FileStat(1, 2, 3, 4)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Give a configuration with an outbox that has a sub-folder."""
    config = Config().beside(tmp_path)
    (config.outbox / "a").mkdir(parents=True)
    config.state.mkdir()
    return config


def named(config: Config, *owned: str) -> str:
    """Name the result of the scan where other jobs own names."""
    with Ledger(config.state / "ledger.sqlite3") as ledger:
        for number, name in enumerate(owned):
            output = PurePosixPath(name)
            ledger.enqueue(PurePosixPath(f"{number}.tif"), DIGEST, LOOKS, output, 0.0)
        return str(free_name(SCAN, DIGEST, config, ledger.queries))


def test_a_result_is_named_after_its_scan(config: Config) -> None:
    """Where nobody has that name."""
    name = named(config)

    assert "a/scan.tif" == name


@pytest.mark.parametrize("there", ["a/scan.tif", "a/scan.tif.json"])
def test_a_strangers_file_keeps_its_name(config: Config, there: str) -> None:
    """Be it in the place of the photo or of its sidecar."""
    (config.outbox / there).write_text("a stranger's")

    name = named(config)

    assert "a/scan.01234567.tif" == name


def test_names_that_were_given_or_are_there_are_passed_by_until_one_is_free(config: Config) -> None:
    """However many: a name of another job, a file, a sidecar, even a link that leads nowhere."""
    (config.outbox / "a/scan.01234567 (2).tif").write_text("a stranger's")
    (config.outbox / "a/scan.01234567 (3).tif.json").write_text("a stranger's")
    (config.outbox / "a/scan.01234567 (4).tif").symlink_to("nowhere")

    name = named(config, "a/scan.tif", "a/scan.01234567.tif")

    assert "a/scan.01234567 (5).tif" == name
