"""Availability, with real folders on two real disks: the usual one and memory."""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.filesystem import availability as subject
from service.filesystem.availability import MARKER, NOTED, FolderMonitor, make_new_folders, noted
from worker.errors import DeviceError

MEMORY = Path("/dev/shm")  # noqa: S108 - a disk that is another one than that of the tests
OTHER_TEXT = (
    "outbox: {0} looks like an unmounted share (different device, marker .photochrom missing);"
    " mount it, or if {0} is right, run: touch {0}/.photochrom"
)


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    """Make the folders of a daemon."""
    made = {
        key: tmp_path / key for key in ("inbox", "outbox", "originals.folder", "rejected", "state")
    }
    for folder in made.values():
        folder.mkdir()
    return made


@pytest.fixture
def other_disk(tmp_path: Path) -> Iterator[Path]:
    """Make a folder on another disk."""
    if not MEMORY.is_dir() or MEMORY.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is only one disk here")
    folder = Path(tempfile.mkdtemp(dir=MEMORY))
    yield folder
    shutil.rmtree(folder)


def replaced(folder: Path, other: Path) -> None:
    """Have another folder in the place of one, as when a share comes or goes."""
    if folder.is_symlink():
        folder.unlink()
    else:
        folder.rename(folder.with_name(f"{folder.name} before"))
    folder.symlink_to(other)


def test_folders_in_use_are_marked_and_noted_but_the_state(folders: dict[str, Path]) -> None:
    """Each with its device, and with words for whoever finds the file."""
    assert "" == FolderMonitor(folders).refresh()
    for key, folder in folders.items():
        assert (key != "state") == (folder / MARKER).exists()
    assert "Leave it in place" in (folders["outbox"] / MARKER).read_text()
    devices = {path: path.stat().st_dev for key, path in folders.items() if key != "state"}
    assert devices == noted(folders["state"])


def test_looking_again_writes_nothing(folders: dict[str, Path]) -> None:
    """It is done twice a second, for years."""
    FolderMonitor(folders).refresh()
    before = (folders["state"] / NOTED).stat()
    places = FolderMonitor(folders)
    places.refresh()
    places.refresh()

    assert before == (folders["state"] / NOTED).stat()


@pytest.mark.parametrize("restarted", [False, True])
def test_a_share_that_is_away_is_told_from_an_empty_folder(
    folders: dict[str, Path], other_disk: Path, *, restarted: bool
) -> None:
    """By the daemon that saw it and by the next one; nothing is put in its place."""
    places = FolderMonitor(folders)
    places.refresh()
    replaced(folders["outbox"], other_disk)
    if restarted:
        places = FolderMonitor(folders)

    assert OTHER_TEXT.format(folders["outbox"]) == places.refresh() == places.blocked_by
    assert {"outbox"} == places.unavailable
    assert places.blocked_by == places.problem("outbox")
    with pytest.raises(DeviceError, match="outbox"):
        places.check("inbox", "outbox")
    assert "" == places.problem("inbox")
    assert [] == list(other_disk.iterdir())
    assert {"inbox", "originals.folder", "rejected", "state"} == places.free().keys()

    replaced(folders["outbox"], folders["outbox"].with_name("outbox before"))

    assert "" == places.refresh()
    assert set() == places.unavailable
    places.check("outbox")


def test_the_marker_is_believed_whatever_the_device_is_called(
    folders: dict[str, Path], other_disk: Path
) -> None:
    """A reboot renumbers devices; and whoever moved the folder to another disk makes the file."""
    FolderMonitor(folders).refresh()
    replaced(folders["outbox"], other_disk)
    (other_disk / MARKER).touch()
    places = FolderMonitor(folders)

    assert "" == places.refresh()
    assert other_disk.stat().st_dev == noted(folders["state"])[folders["outbox"]]


def test_a_folder_that_was_emptied_or_made_anew_is_marked_again(folders: dict[str, Path]) -> None:
    """On the disk where it was; tidy people do that."""
    places = FolderMonitor(folders)
    places.refresh()
    (folders["outbox"] / MARKER).unlink()
    shutil.rmtree(folders["rejected"])
    folders["rejected"].mkdir()

    assert "" == places.refresh()
    assert (folders["outbox"] / MARKER).exists()
    assert (folders["rejected"] / MARKER).exists()


def test_a_folder_that_is_missing_or_none_is_named(folders: dict[str, Path]) -> None:
    """With what to do, and none is made."""
    places = FolderMonitor(folders)
    places.refresh()
    shutil.rmtree(folders["outbox"])

    assert f"outbox: {folders['outbox']} does not exist; mount or create it" == places.refresh()
    assert not folders["outbox"].exists()

    folders["outbox"].touch()

    assert f"outbox: {folders['outbox']} is not a folder" == places.refresh()


def test_an_inbox_whose_originals_stay_is_not_even_marked(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is another's collection, and may be read-only; everywhere else that is a hindrance."""
    refused = OSError(errno.EROFS, os.strerror(errno.EROFS))

    def refuse(_folder: int) -> None:
        raise refused

    monkeypatch.setattr(subject, "_mark", refuse)
    with pytest.raises(DeviceError, match=r"originals.folder: cannot create .*Read-"):
        FolderMonitor(folders).refresh()

    monkeypatch.undo()
    (folders["inbox"] / MARKER).unlink()
    del folders["originals.folder"]
    places = FolderMonitor(folders)

    assert "" == places.refresh()
    assert [] == list(folders["inbox"].iterdir())
    assert noted(folders["state"])[folders["inbox"]] is None


def test_an_unmarked_inbox_is_away_where_nothing_is_mounted(
    folders: dict[str, Path], other_disk: Path
) -> None:
    """It is compared with what this process saw; a share of another number is still a share."""
    del folders["originals.folder"], folders["outbox"], folders["rejected"]
    places = FolderMonitor(folders)

    assert "" == places.refresh()

    replaced(folders["inbox"], other_disk)  # on the disk of the folder above it

    assert "inbox: " in places.refresh()

    replaced(folders["inbox"], MEMORY)  # a mount

    assert "" == places.problem("inbox")


@pytest.mark.parametrize(
    ("wanted", "free_space"), [("1,000,000,000.0 MB", 1e6), ("", 0.0), ("", "auto")]
)
def test_room_is_kept_free(folders: dict[str, Path], wanted: str, free_space: float) -> None:
    """So many gigabytes, or a share of the disk; 0 turns it off. The inbox is not written to."""
    places = FolderMonitor(folders, free_space)

    assert (wanted in places.refresh()) if wanted else ("" == places.refresh())
    assert (places.blocked_by == "") == (wanted == "")
    assert set() == places.unavailable  # what is in hand is finished
    if wanted:
        assert places.blocked_by.startswith("outbox: less than ")


@pytest.mark.parametrize(
    ("gigabytes", "free", "short"),
    [(1, 0.0099, True), (1, 0.0101, False), (4000, 0.99, True), (4000, 1.01, False), (0, 0, False)],
)
def test_auto_keeps_a_hundredth_free_and_a_gigabyte_at_most(
    folders: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    gigabytes: int,
    free: float,
    *,
    short: bool,
) -> None:
    """Of a small disk and of a large one; one that does not tell its size is let off."""
    disk = os.statvfs_result(
        (1000, 1000, gigabytes * 10**6, 0, round(free * 10**6), 0, 0, 0, 0, 255)
    )
    monkeypatch.setattr(os, "fstatvfs", lambda _descriptor: disk)
    places = FolderMonitor(folders)

    assert short == bool(places.refresh())
    assert places.free() == dict.fromkeys(folders, round(free * 10**6) * 1000)


def test_new_folders_are_made_and_known_ones_never(folders: dict[str, Path]) -> None:
    """A known one that is missing is a share that is away."""
    FolderMonitor(folders).refresh()
    for key in ("inbox", "outbox"):
        shutil.rmtree(folders[key])
    folders["outbox"] = folders["outbox"].with_name("another")
    make_new_folders(folders)

    assert not folders["inbox"].exists()
    assert folders["outbox"].is_dir()


@pytest.mark.parametrize("text", ["{", "[]", '{"/srv": "8"}', "\udcff"])
def test_damaged_notes_are_refused(folders: dict[str, Path], text: str) -> None:
    """They are written in one step, so somebody should look; what to do is said."""
    (folders["state"] / NOTED).write_text(text, errors="surrogateescape")
    with pytest.raises(DeviceError, match="is corrupt; mount all folders"):
        FolderMonitor(folders)


def test_any_name_of_a_folder_can_be_noted(folders: dict[str, Path]) -> None:
    """Also one that is not UTF-8."""
    folders["outbox"] = folders["outbox"].with_name("caf\udce9\n")
    make_new_folders(folders)
    FolderMonitor(folders).refresh()

    assert folders["outbox"] in noted(folders["state"])
    assert json.loads((folders["state"] / NOTED).read_text())
