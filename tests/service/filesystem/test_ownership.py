"""One daemon for an inbox and an outbox."""

import json
import os
import shutil
import socket
import stat
from pathlib import Path

import pytest

from service.filesystem.availability import FolderMonitor
from service.filesystem.lock import StateLock
from service.filesystem.ownership import IDENTITY, MARKER, refuse_another_owner
from worker.errors import DeviceError

KEYS = ("inbox", "outbox", "originals.folder", "rejected", "state")


def folders_of(home: Path, **shared: Path) -> dict[str, Path]:
    """Make the folders of a daemon; some may be those of another."""
    made = {key: home / key for key in KEYS} | shared
    for folder in made.values():
        folder.mkdir(parents=True, exist_ok=True)
    return made


@pytest.fixture
def first(tmp_path: Path) -> dict[str, Path]:
    """Make the folders of a daemon that has worked."""
    folders = folders_of(tmp_path / "first")
    assert "" == FolderMonitor(folders).refresh()
    return folders


@pytest.fixture
def second(tmp_path: Path, first: dict[str, Path]) -> dict[str, Path]:
    """Make those of another one on the same outbox."""
    return folders_of(tmp_path / "second", outbox=first["outbox"])


def said(folder: Path) -> dict[str, str]:
    """Read a marker."""
    read: dict[str, str] = json.loads((folder / MARKER).read_text())
    return read


def test_inbox_and_outbox_name_their_owner(first: dict[str, Path]) -> None:
    """Host, state folder and an identity; anybody may read it, and it says what it is for."""
    for key in ("inbox", "outbox"):
        told = said(first[key])

        assert str(first["state"]) == told["state"]
        assert socket.gethostname() == told["host"]
        assert (first["state"] / IDENTITY).read_text().strip() == told["id"]
        assert "Leave it in place" in told["note"]
        assert 0o644 == stat.S_IMODE((first[key] / MARKER).stat().st_mode)


def test_a_second_daemon_is_refused_with_the_owners_name_and_what_to_do(
    first: dict[str, Path], second: dict[str, Path]
) -> None:
    """Nothing is changed by that; and one that runs is to be stopped, never taken over."""
    before = said(first["outbox"])
    with pytest.raises(DeviceError, match=r"^outbox: .* run `photochrom run --take-over` once$"):
        refuse_another_owner(second)
    with (
        StateLock(first["state"]),
        pytest.raises(DeviceError, match=r"stop it \(process \d+ on "),
    ):
        refuse_another_owner(second, take_over=True)

    assert before == said(first["outbox"])


def test_a_stale_owner_is_taken_over_when_that_is_asked_for(
    first: dict[str, Path], second: dict[str, Path]
) -> None:
    """From then on the first one is refused."""
    ((folder, owner),) = refuse_another_owner(second, take_over=True)

    assert (first["outbox"], str(first["state"])) == (folder, owner.state)
    assert [] == refuse_another_owner(second)
    assert "" == FolderMonitor(second).refresh()
    with pytest.raises(DeviceError, match="belongs to another photochrom"):
        refuse_another_owner(first)


def test_a_daemon_whose_outbox_is_taken_over_stops_to_work_there(
    first: dict[str, Path], second: dict[str, Path]
) -> None:
    """At its next look, with the other's name; it writes nothing any more."""
    places = FolderMonitor(first)
    assert "" == places.refresh()
    refuse_another_owner(second, take_over=True)

    assert f"with the state folder {second['state']} on " in places.refresh()
    assert places.problem("outbox")
    assert {"outbox"} == places.unavailable
    assert str(second["state"]) == said(first["outbox"])["state"]


@pytest.mark.parametrize(
    "text", ["", "By this file photochrom sees that the right disk is here.\n"]
)
def test_markers_of_older_versions_are_upgraded_silently(tmp_path: Path, text: str) -> None:
    """Also one that somebody made by hand, as the words for an unmounted share tell."""
    folders = folders_of(tmp_path / "first")
    for key in ("inbox", "outbox"):
        (folders[key] / MARKER).write_text(text)

    assert [] == refuse_another_owner(folders)
    assert "" == FolderMonitor(folders).refresh()
    assert str(folders["state"]) == said(folders["outbox"])["state"]


def test_an_owner_may_move_with_its_state_or_lose_it(
    tmp_path: Path, first: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a new host name nor an empty state folder in the old place makes it another one."""
    monkeypatch.setattr(socket, "gethostname", lambda: "new-server")
    moved = first | {"state": first["state"].rename(tmp_path / "moved")}

    assert [] == refuse_another_owner(moved)
    assert "" == FolderMonitor(moved).refresh()
    assert ("new-server", str(tmp_path / "moved")) == tuple(
        said(first["outbox"])[name] for name in ("host", "state")
    )

    shutil.rmtree(moved["state"])
    moved["state"].mkdir()

    assert [] == refuse_another_owner(moved)
    assert "" == FolderMonitor(moved).refresh()


def test_of_two_daemons_with_copies_of_one_state_the_first_gives_way(
    tmp_path: Path, first: dict[str, Path]
) -> None:
    """They have one identity; the outbox tells where the one lies that came last."""
    places = FolderMonitor(first)
    places.refresh()
    copy = first | {"state": tmp_path / "copy"}
    shutil.copytree(first["state"], copy["state"])

    assert "" == FolderMonitor(copy).refresh()
    assert f"with the state folder {copy['state']} on " in places.refresh()


def test_a_collection_whose_originals_are_kept_has_no_owner(
    tmp_path: Path, first: dict[str, Path]
) -> None:
    """Many may read it, each into an outbox of its own."""
    reader = folders_of(tmp_path / "reader", inbox=first["inbox"])
    del reader["originals.folder"]
    before = said(first["inbox"])

    assert [] == refuse_another_owner(reader)
    assert "" == FolderMonitor(reader).refresh()
    assert before == said(first["inbox"])


def test_what_is_away_or_not_begun_belongs_to_nobody(tmp_path: Path) -> None:
    """Nor does what has something odd in the marker's place."""
    folders = folders_of(tmp_path / "first")
    shutil.rmtree(folders["outbox"])
    os.mkfifo(folders["inbox"] / MARKER)

    assert [] == refuse_another_owner(folders)
