"""The watch over folders' settings: scans wait for a file with mistakes, and people are told."""

import os
import time
from pathlib import Path, PurePosixPath

import pytest
from structlog.testing import capture_logs

from service.config.loader import Config
from service.config.sections import Originals, Watch
from service.filesystem.folder_checks import make_folders
from service.watch.folder_settings import OURS, PROBLEMS, FolderSettingsWatch
from service.watch.settings_file import NAME, FolderSettingsError
from tests.support.folder_listing import files
from tests.support.settings_files import AGES_AGO, SCAN, YES, write
from tests.support.synthetic_photos import color_scene, save
from tests.support.waiting import wait_until


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """Make an inbox with a folder in a folder."""
    (tmp_path / "inbox/album/may").mkdir(parents=True)
    return tmp_path / "inbox"


class Folder:
    """A watch over an inbox's settings, with what it was told to revisit."""

    def __init__(self, home: Path, **sections: object) -> None:
        """Begin to watch; nothing needs to settle."""
        self.config = Config.model_validate(
            {"watch": Watch(settle=0.0), **sections}, strict=False
        ).beside(home)
        make_folders(self.config.folders.values())
        self.inbox = self.config.inbox
        self.revisited: list[Path] = []
        self.watch = FolderSettingsWatch(self.config, self.revisited.append)
        self.now = 0.0

    def wait(self, scan: PurePosixPath = SCAN) -> None:
        """Ask for the settings of a scan, which has to wait."""
        with pytest.raises(FolderSettingsError):
            self.watch.settings_of(scan)

    def step(self) -> None:
        """Let time pass, and look again."""
        self.now += 10.0
        self.watch.step(self.now)


@pytest.fixture
def folder(tmp_path: Path, inbox: Path) -> Folder:
    """Watch an inbox."""
    assert inbox.is_dir()
    return Folder(tmp_path)


def test_mistakes_are_told_beside_the_file_until_they_are_mended(folder: Folder) -> None:
    """Once in the log, however many scans wait; each of them is revisited then, once."""
    write(folder.inbox, "album", b"even_if_colord: true")
    other = SCAN.with_name("b.tif")
    with capture_logs() as logs:
        folder.wait()
        folder.wait()
        folder.wait(other)
        folder.step()
        waiting, page = folder.watch.waiting, (folder.inbox / "album" / PROBLEMS).read_text()
        write(folder.inbox, "album", YES)
        folder.step()
        folder.step()

    assert 2 == waiting
    assert page.startswith(OURS)
    assert "line 1: even_if_colord: unknown key; did you mean even_if_colored?" in page
    assert [folder.inbox / SCAN, folder.inbox / other] == folder.revisited
    assert [f"album/{NAME}"] == files(folder.inbox)
    assert ["folder_settings.refused", "folder_settings.mended"] == [one["event"] for one in logs]
    assert folder.watch.settings_of(SCAN).even_if_colored
    assert 0 == folder.watch.waiting


def test_another_mistake_is_told_anew(folder: Folder) -> None:
    """In the text, too."""
    write(folder.inbox, "", b"a: 1")
    folder.wait()
    write(folder.inbox, "", b"b: 1")
    folder.step()

    assert "line 1: b: unknown key" in (folder.inbox / PROBLEMS).read_text()
    assert [] == folder.revisited


def test_a_file_that_is_deleted_is_no_mistake(folder: Folder) -> None:
    """The text beside it goes away too; as it does after a restart in between."""
    path = write(folder.inbox, "album", b"a: 1")
    folder.wait()
    path.unlink()
    FolderSettingsWatch(folder.config, folder.revisited.append).settings_of(SCAN)

    assert [] == files(folder.inbox)

    folder.step()

    assert [folder.inbox / SCAN] == folder.revisited


def test_a_text_that_others_wrote_stays(folder: Folder) -> None:
    """Whatever its name is."""
    theirs = folder.inbox / "album" / PROBLEMS
    theirs.write_text("My own list of problems\n")
    path = write(folder.inbox, "album", b"a: 1")
    folder.wait()
    path.unlink()
    folder.step()

    assert "My own list of problems\n" == theirs.read_text()


def test_nothing_is_written_where_originals_are_kept(tmp_path: Path, inbox: Path) -> None:
    """The inbox is others'; log and status tell it."""
    folder = Folder(tmp_path, originals=Originals(after="keep"))
    write(inbox, "album", b"a: 1")
    folder.wait()

    assert [f"album/{NAME}"] == files(inbox)


def test_a_text_that_cannot_be_written_is_said_and_stops_nothing(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in an inbox that is full or read-only."""

    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("service.watch.folder_settings.write_text", refuse)
    write(folder.inbox, "album", b"a: 1")
    with capture_logs() as logs:
        folder.wait()

    assert ["folder_settings.refused", "folder_settings.not_told"] == [one["event"] for one in logs]


def test_a_file_that_is_being_written_is_waited_for(tmp_path: Path, inbox: Path) -> None:
    """Half of it might be no mistake, or say something else; nothing is told of it."""
    folder = Folder(tmp_path, watch=Watch(settle=3600.0))
    path = write(inbox, "album", b"even_if_colored: tr", old=False)
    with capture_logs() as logs:
        folder.wait()
        folder.step()
        path.write_bytes(YES)
        folder.step()
        os.utime(path, (AGES_AGO, AGES_AGO))
        folder.step()

    assert [] == logs
    assert [inbox / SCAN] == folder.revisited
    assert folder.watch.settings_of(SCAN).even_if_colored


def test_a_time_in_the_future_makes_nobody_wait_for_ever(tmp_path: Path, inbox: Path) -> None:
    """As of a share whose clock is ahead: what settles is that it stays the same."""
    folder = Folder(tmp_path, watch=Watch(settle=0.01))
    path = write(inbox, "album", YES)
    os.utime(path, (time.time() + 1e6, time.time() + 1e6))
    folder.wait()

    def revisited() -> bool:
        folder.step()
        return bool(folder.revisited)

    wait_until(revisited, 60)

    assert [inbox / SCAN] == folder.revisited


def test_folders_that_come_and_go_are_not_remembered_for_ever(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """But those with mistakes are, and are told of once."""
    monkeypatch.setattr("service.watch.folder_settings.FOLDERS_KNOWN", 10)
    write(folder.inbox, "album", b"a: 1")
    with capture_logs() as logs:
        folder.wait()
        for number in range(100):
            (folder.inbox / f"box {number}").mkdir()
            folder.watch.settings_of(PurePosixPath(f"box {number}/0042.tif"))
        folder.wait()

    assert ["folder_settings.refused"] == [one["event"] for one in logs]
    assert len(folder.watch._read) <= 11


def test_scans_wait_for_the_photograph_they_are_to_be_colored_like(folder: Folder) -> None:
    """Until it is there; when it is replaced, later scans are colored like the other one."""
    write(folder.inbox, "album", b"color: {like: .like.png}")
    folder.wait()
    told = (folder.inbox / "album" / PROBLEMS).read_text()
    path = save(folder.inbox / "album/.like.png", color_scene(60, 80))
    folder.step()
    first = folder.watch.settings_of(SCAN).reference
    save(path, color_scene(60, 90, seed=1))
    second = folder.watch.settings_of(SCAN).reference

    assert "color.like: there is no file" in told
    assert [folder.inbox / SCAN] == folder.revisited
    assert first
    assert second
    assert first.sha256 != second.sha256
