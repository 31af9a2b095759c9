"""Promises of service.filesystem.node_folders: another machine knows the daemon's folders."""

from pathlib import Path

import pytest

from service.config.loader import Config
from service.config.sections import Originals
from service.filesystem.availability import FolderMonitor
from service.filesystem.node_folders import NodeFolders
from service.filesystem.ownership import MARKER, Owner, known_owner
from worker.errors import DeviceError

KEYS = ("inbox", "outbox", "originals.folder")


def marked(folder: Path, after: str = "move") -> tuple[Config, Owner]:
    """Make the folders of a daemon, with its markers; return its configuration and name."""
    config = Config(originals=Originals(after=after)).beside(folder)
    for each in config.folders.values():
        each.mkdir(parents=True)
    FolderMonitor(config.folders).refresh()
    owner = known_owner(config.state)
    assert owner
    return config, owner


def test_the_daemons_folders_are_known(tmp_path: Path) -> None:
    """By their markers; the state folder is not looked at, as it is not there."""
    config, owner = marked(tmp_path)
    for file in config.state.iterdir():
        file.unlink()

    NodeFolders(config.folders, owner).check(*KEYS, "review.folder")


@pytest.mark.parametrize("key", KEYS)
def test_an_unmounted_share_is_not_taken_for_an_empty_folder(tmp_path: Path, key: str) -> None:
    """Its mount point is there, and has no marker."""
    config, owner = marked(tmp_path)
    (config.folders[key] / MARKER).unlink()

    with pytest.raises(DeviceError, match=f"{key}: .* is not that of the daemon"):
        NodeFolders(config.folders, owner).check(key)


def test_another_daemons_folder_is_not_used(tmp_path: Path) -> None:
    """A share of the same name, say."""
    config, _owner = marked(tmp_path)

    with pytest.raises(DeviceError, match="is not that of the daemon"):
        NodeFolders(config.folders, Owner("other", "host", "/state")).check("outbox")


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """With what to do."""
    config, owner = marked(tmp_path)
    (config.outbox / MARKER).unlink()
    config.outbox.rmdir()

    with pytest.raises(DeviceError, match="No such file or directory; mount it there"):
        NodeFolders(config.folders, owner).check("outbox")


def test_an_inbox_that_is_only_read_has_no_marker(tmp_path: Path) -> None:
    """So it need only be there."""
    config, owner = marked(tmp_path, "keep")

    NodeFolders(config.folders, owner).check("inbox", to_write=False)

    assert not (config.inbox / MARKER).exists()
