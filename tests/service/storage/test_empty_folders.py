"""Which folders of the inbox go when their last scan has left."""

import os
import time
from pathlib import Path, PurePath, PurePosixPath

import pytest
from structlog.testing import capture_logs

from service.config.loader import Config
from service.config.sections import Originals
from service.filesystem.file_stat import FileStat
from service.filesystem.folder_checks import make_folders
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.storage.empty_folders import EmptyFolders

HOUR_AGO = -3600.0


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Make the folders."""
    config = Config().beside(tmp_path)
    make_folders(config.folders.values())
    return config


def make(config: Config, name: str, *, age: float = HOUR_AGO) -> Path:
    """Make a folder in the inbox that was at rest for an hour, and so those above it."""
    folder = config.inbox / name
    folder.mkdir(parents=True, exist_ok=True)
    rest(config, age)
    return folder


def rest(config: Config, age: float = HOUR_AGO) -> None:
    """Have all folders be at rest since then."""
    for folder in [path for path in config.inbox.rglob("*") if path.is_dir()]:
        os.utime(folder, (time.time() + age,) * 2)


def folders(config: Config) -> list[str]:
    """List the folders in the inbox."""
    return sorted(
        str(path.relative_to(config.inbox)) for path in config.inbox.rglob("*") if path.is_dir()
    )


def after_leaving(config: Config, *names: str, now: float = 600.0) -> EmptyFolders:
    """Have scans leave folders, then let time pass."""
    with Ledger(config.state / LEDGER_FILE) as ledger:
        emptied = EmptyFolders(config, ledger.queries)
        for name in names:
            emptied.left(PurePath(name), 0.0)
        emptied.step(now)
    return emptied


def finished(config: Config, name: str) -> None:
    """Note a scan as finished."""
    path = PurePosixPath(name)
    with Ledger(config.state / LEDGER_FILE) as ledger:
        job, _ = ledger.enqueue(path, name, FileStat(1, 2, 3, 4), path, 0.0)
        ledger.claim(1, 1.0, in_flight=0)
        ledger.finish(job.id, model="1", now=2.0)


def test_a_folder_goes_when_its_last_scan_has_left_and_those_above_it(config: Config) -> None:
    """As far as they are empty by that, and never the inbox; that is told."""
    make(config, "box/album")
    make(config, "other")
    with capture_logs() as logs:
        after_leaving(config, "box/album", ".")

    assert ["other"] == folders(config)
    assert [config.inbox / "box/album", config.inbox / "box"] == [line["folder"] for line in logs]
    assert config.inbox.is_dir()


@pytest.mark.parametrize(
    "name", ["a.xmp", "photochrom.yaml", ".hidden", "._a.tif", "deeper/", "@eaDir/", "b.tif"]
)
def test_a_folder_in_which_anything_lies_stays(config: Config, name: str) -> None:
    """Whoever put it there may need it."""
    folder = make(config, "album")
    if name.endswith("/"):
        (folder / name).mkdir()
    else:
        (folder / name).touch()
    rest(config)
    after_leaving(config, "album")

    assert (folder / name).exists()


def test_what_finder_and_explorer_leave_does_not_keep_a_folder(config: Config) -> None:
    """They make it again wherever they look; beside anything else it stays."""
    for name in ("a/.DS_Store", "a/Thumbs.db", "b/.DS_Store", "b/a.xmp"):
        make(config, str(Path(name).parent))
        (config.inbox / name).touch()
    rest(config)
    after_leaving(config, "a", "b")

    assert ["b"] == folders(config)
    assert (config.inbox / "b/.DS_Store").exists()


def test_whoever_still_drops_scans_there_finds_the_folder(config: Config) -> None:
    """It goes when it was at rest for the time that is set, not before."""
    make(config, "album", age=-60.0)
    emptied = after_leaving(config, "album")

    assert ["album"] == folders(config)

    rest(config)
    emptied.step(1_000.0)

    assert ["album"] == folders(config)

    emptied.step(1_200.0)

    assert [] == folders(config)


@pytest.mark.parametrize("originals", [Originals(after="keep"), Originals(remove_empty_after=None)])
def test_it_can_be_turned_off_and_is_where_originals_are_kept(
    config: Config, originals: Originals
) -> None:
    """Nothing is changed in the inbox then."""
    make(config, "album")
    after_leaving(config.model_copy(update={"originals": originals}), "album")

    assert ["album"] == folders(config)


def test_folders_that_were_left_before_a_restart_are_found(config: Config) -> None:
    """By the ledger; what somebody made and never used stays, and what is ignored."""
    for name in ("left/deep", "left behind", "mine", ".hidden/left", "left2"):
        make(config, name)
    for name in ("left/deep/a.tif", "left behind/a.tif", ".hidden/left/a.tif"):
        finished(config, name)
    with Ledger(config.state / LEDGER_FILE) as ledger:
        emptied = EmptyFolders(config, ledger.queries)
        emptied.find(0.0)
        emptied.step(0.0)

    assert [".hidden", ".hidden/left", "left2", "mine"] == folders(config)


def test_a_folder_that_was_replaced_by_a_symlink_is_let_alone(
    config: Config, tmp_path: Path
) -> None:
    """And so is what it leads to."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / ".DS_Store").touch()
    os.utime(outside, (1e9, 1e9))
    (config.inbox / "album").symlink_to(outside)
    after_leaving(config, "album", "gone")

    assert (outside / ".DS_Store").exists()
    assert (config.inbox / "album").is_symlink()
