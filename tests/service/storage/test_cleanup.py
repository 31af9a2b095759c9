"""What a crash left in the folders is removed: at the start, or when the folder is back."""

from pathlib import Path

import pytest

from service.config.loader import Config
from service.filesystem.availability import FolderMonitor
from service.filesystem.folder_checks import make_folders
from service.storage.cleanup import TempFileSweeper, sweep
from tests.support.folder_listing import nested_folders

PART = ".photochrom-1-0.part"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Make the folders, with a leftover in two of them."""
    config = Config().beside(tmp_path)
    make_folders(config.folders.values())
    for folder in (config.outbox, config.originals.folder):
        (folder / PART).touch()
    return config


def test_all_folders_are_swept_once(config: Config) -> None:
    """Later ones may be of work in hand, or of another program."""
    leftovers, places = TempFileSweeper(), FolderMonitor(config.folders)

    assert 2 == leftovers.remove(config, places)

    (config.outbox / PART).touch()

    assert 0 == leftovers.remove(config, places)
    assert (config.outbox / PART).exists()


def test_an_inbox_that_others_manage_is_let_alone(config: Config) -> None:
    """Nothing is written there with `after: keep`, so nothing of ours can be left."""
    originals = config.originals.model_copy(update={"after": "keep"})
    kept = config.model_copy(update={"originals": originals})
    (kept.inbox / PART).touch()

    assert 2 == TempFileSweeper().remove(kept, FolderMonitor(kept.folders))
    assert (kept.inbox / PART).exists()


def test_a_folder_that_is_away_is_swept_when_it_is_back(config: Config) -> None:
    """The others need not wait for it, and it is not made."""
    leftovers, places = TempFileSweeper(), FolderMonitor(config.folders)
    away = config.outbox.rename(config.outbox.with_name("away"))

    assert 1 == leftovers.remove(config, places)
    assert not config.outbox.exists()

    away.rename(config.outbox)

    assert 1 == leftovers.remove(config, places)


def test_a_folder_that_was_away_is_swept_again(config: Config) -> None:
    """What was being written when its disk became read-only could not be removed then."""
    leftovers, places = TempFileSweeper(), FolderMonitor(config.folders)
    leftovers.remove(config, places)
    (config.outbox / PART).touch()
    leftovers.note({"outbox", "state"})

    assert 1 == leftovers.remove(config, places)
    assert not (config.outbox / PART).exists()


def test_temporary_files_are_removed_and_nothing_else(tmp_path: Path) -> None:
    """In sub-folders too."""
    (tmp_path / "sub").mkdir()
    kept = [tmp_path / "sub/a.tif", tmp_path / ".hidden", tmp_path / "mine.part"]
    for path in (*kept, tmp_path / PART, tmp_path / "sub" / PART):
        path.touch()

    assert 2 == sweep(tmp_path)
    assert sorted(kept) == sorted(path for path in tmp_path.rglob("*") if path.is_file())


def test_a_missing_folder_has_no_temporary_files(tmp_path: Path) -> None:
    """A first start has no outbox yet."""
    assert 0 == sweep(tmp_path / "none")


def test_folders_are_swept_however_deep(tmp_path: Path) -> None:
    """Deeper than Python recurses; anyone may create them in the inbox."""
    with nested_folders(tmp_path) as deepest:
        (deepest / PART).touch()

        assert 1 == sweep(tmp_path)
