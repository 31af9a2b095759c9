"""Folders that would feed each other, or cannot be written, are refused before any work."""

import os
from pathlib import Path

import pytest

from service.filesystem import folder_checks as subject
from service.filesystem.folder_checks import check_folders, make_folders
from worker.errors import DeviceError

KEYS = ("inbox", "outbox", "originals.folder", "rejected", "state")
root_only = pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")


def folders(base: Path, **other: Path) -> dict[str, Path]:
    """Name five folders that are fine, except for the others given."""
    return {key: base / key for key in KEYS} | other


def test_folders_beside_each_other_are_fine_and_none_is_made(tmp_path: Path) -> None:
    """Checking leaves nothing behind."""
    assert check_folders(folders(tmp_path)) == []
    assert list(tmp_path.iterdir()) == []


def test_folders_that_exist_are_tried_and_left_empty(tmp_path: Path) -> None:
    """The trial file is removed."""
    make_folders(folders(tmp_path).values())

    assert check_folders(folders(tmp_path)) == []
    assert sorted(KEYS) == sorted(path.name for path in tmp_path.rglob("*"))


@pytest.mark.parametrize("key", KEYS[1:])
def test_no_folder_may_be_inside_the_inbox(tmp_path: Path, key: str) -> None:
    """Its files would be taken for scans."""
    wrong = folders(tmp_path, **{key: tmp_path / "inbox" / "deep"})

    assert [key] == [problem[0] for problem in check_folders(wrong)]


@pytest.mark.parametrize("key", KEYS[1:])
def test_the_inbox_may_not_be_inside_another_folder(tmp_path: Path, key: str) -> None:
    """The reverse is refused too."""
    wrong = folders(tmp_path, **{key: tmp_path / "x", "inbox": tmp_path / "x" / "inbox"})

    assert [(key, f"contains the inbox ({tmp_path / 'x' / 'inbox'})")] == check_folders(wrong)


def test_a_folder_inside_the_inbox_through_a_symlink_is_refused(tmp_path: Path) -> None:
    """Names do not hide it."""
    (tmp_path / "inbox" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "inbox" / "deep")

    assert ["outbox"] == [
        problem[0] for problem in check_folders(folders(tmp_path, outbox=tmp_path / "link"))
    ]


def test_no_two_folders_may_be_the_same(tmp_path: Path) -> None:
    """Also by another way of writing it."""
    wrong = folders(tmp_path, rejected=tmp_path / "state" / ".." / "outbox")

    assert [("rejected", f"is the same folder as outbox ({tmp_path / 'outbox'})")] == check_folders(
        wrong
    )


def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path: Path) -> None:
    """For the folder itself and for one above it."""
    (tmp_path / "file").touch()
    wrong = folders(tmp_path, outbox=tmp_path / "file", state=tmp_path / "file" / "state")

    assert [
        ("outbox", f"{tmp_path / 'file'} is not a folder"),
        ("state", f"{tmp_path / 'file'} is not a folder"),
    ] == check_folders(wrong)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """Not even root makes folders in /proc."""
    problems = check_folders(folders(tmp_path, outbox=Path("/proc/photochrom")))

    assert "outbox" == problems[0][0]
    assert "cannot create /proc/photochrom: " in problems[0][1]


@root_only
def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    """By trying, not by its permission bits."""
    (tmp_path / "outbox").mkdir(mode=0o500)
    problems = check_folders(folders(tmp_path))

    assert [("outbox", f"cannot use {tmp_path / 'outbox'}: Permission denied")] == problems


def test_an_inbox_whose_originals_stay_need_not_be_written(tmp_path: Path) -> None:
    """So a read-only share will do; /proc/self stands for one."""
    kept = folders(tmp_path, inbox=Path("/proc/self"))
    moved = check_folders(kept)
    del kept["originals.folder"]

    assert ["inbox"] == [key for key, _ in moved]
    assert check_folders(kept) == []


def test_a_ledger_on_a_share_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the kind of share is named."""
    monkeypatch.setattr(subject, "is_network_file_system", lambda path: path.name == "state")
    monkeypatch.setattr(subject, "file_system_type", lambda _path: "nfs4")
    [(key, text)] = check_folders(folders(tmp_path))

    assert "state" == key
    assert "network file system (nfs4)" in text


def test_a_folder_that_cannot_be_made_is_the_machines_fault(tmp_path: Path) -> None:
    """In plain words."""
    (tmp_path / "file").touch()
    with pytest.raises(DeviceError, match=r"cannot create .*file/a: Not a directory"):
        make_folders([tmp_path / "file" / "a"])
