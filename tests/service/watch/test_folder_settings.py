"""What a folder says counts; hostile files harm none."""

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from service.config.loader import Config
from service.config.sections import AS_USUAL, Color, FolderSettings, Originals, Watch
from service.config.yaml_text import parse
from service.filesystem.folder_checks import make_folders
from service.watch.folder_settings import (
    LARGEST,
    NAME,
    OURS,
    PROBLEMS,
    FolderSettingsError,
    FolderSettingsWatch,
    settings_of,
)
from tests.support.folder_listing import files
from tests.support.waiting import wait_until
from worker.settings import ColorWishes

SCAN = PurePosixPath("album/may/0042.tif")
YES, NO = b"even_if_colored: true\n", b"even_if_colored: false\n"
AGES_AGO = 1_000_000_000  # seconds since 1970


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """Make an inbox with a folder in a folder."""
    (tmp_path / "inbox/album/may").mkdir(parents=True)
    return tmp_path / "inbox"


def write(inbox: Path, folder: str, text: bytes, *, old: bool = True) -> Path:
    """Write a settings file, a while ago."""
    path = inbox / folder / NAME
    path.write_bytes(text)
    if old:
        os.utime(path, (AGES_AGO, AGES_AGO))
    return path


def refused(inbox: Path) -> FolderSettingsError:
    """Return why the settings of the scan cannot be told."""
    with pytest.raises(FolderSettingsError) as caught:
        settings_of(inbox, SCAN)
    return caught.value


def test_without_a_file_all_is_as_usual(inbox: Path) -> None:
    """Also with one that says nothing, and in folders that are gone again."""
    assert AS_USUAL == settings_of(inbox, SCAN) == settings_of(inbox, PurePosixPath("gone/a.tif"))

    write(inbox, "album", b"# even_if_colored: true\n")

    assert AS_USUAL == settings_of(inbox, SCAN)


@pytest.mark.parametrize(
    ("folder", "others"),
    [("", []), ("album", ["a.tif", "other/a.tif"]), ("album/may", ["album/a.tif", "other/a.tif"])],
)
def test_a_file_counts_for_its_folder_and_all_below(
    inbox: Path, folder: str, others: list[str]
) -> None:
    """And for none beside or above."""
    write(inbox, folder, YES)

    assert settings_of(inbox, SCAN).even_if_colored
    assert not any(settings_of(inbox, PurePosixPath(one)).even_if_colored for one in others)


def test_the_nearest_folder_wins(inbox: Path) -> None:
    """Also with what is the default; a file that does not give a key leaves it to those above."""
    write(inbox, "", YES)
    write(inbox, "album", NO)
    write(inbox, "album/may", b"")

    assert not settings_of(inbox, SCAN).even_if_colored
    assert settings_of(inbox, PurePosixPath("a.tif")).even_if_colored


def test_colors_are_settled_key_by_key(inbox: Path) -> None:
    """What no folder says is as config.yaml has it; what is said for the photo alone wins."""
    write(inbox, "", b"color: {vividness: 20, warmth: 10}")
    write(inbox, "album", b"color: {vividness: 70}")
    album = settings_of(inbox, SCAN)
    alone = FolderSettings(color=Color(warmth=-5), variant=2).over(album)

    assert ColorWishes(70, 10) == album.wishes(Color(vividness=1, warmth=1))
    assert ColorWishes(70, -5, variant=2) == alone.wishes(Color(vividness=1, warmth=1))
    assert ColorWishes(1, 2) == AS_USUAL.wishes(Color(vividness=1, warmth=2))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"even_if_colord: true", "line 1: even_if_colord: unknown key; did you mean even_if_c"),
        (b"\neven_if_colored: ja", "line 2: even_if_colored: must be true or false, not 'ja'"),
        (b"even_if_colored: 1", "must be true or false, not '1'"),
        (b"even_if_colored:", "must be true or false, not empty"),
        (YES + YES, "line 2: even_if_colored: duplicate key, first on line 1"),
        (b"even_if_colored true", "must be lines of `key: value`"),
        (b"- a\n- b", "must be lines of `key: value`"),
        (b"even_if_colored: [", "invalid YAML"),
        (b"\xff\xfe\x00", "invalid YAML"),
        (b"\x00\x01", "invalid YAML"),
        (b"a: !!python/object/apply:os.system ['true']", "invalid YAML"),
        (b"a: &a [x]\nb: [*a, *a]", "aliases (*name) are not allowed here"),
        (b"a: &a {b: *a}", "aliases"),
        (b"a: 2026-99-99", "invalid YAML: a value does not match its type or tag"),
        (b"a: !!timestamp x", "invalid YAML"),
        (b"a: " + b"9" * 10_000, "invalid YAML"),
        (b"{[a]: b}", "invalid YAML"),
        (b"1: 2\n~: 3\ntrue: 4", "unknown key"),
        (b"[" * 20_000, "nested too deeply"),
        (b"a: " + b"{b: " * 10_000, "nested too deeply"),
        (b"# " + b"x" * LARGEST, "larger than 65,536 bytes"),
        (b"even_if_colored: {even_if_colored: true}", "must be true or false"),
        (
            b"color:\n  vividness: 101",
            "line 2: color.vividness: must be a number from 0",
        ),
        (
            b"color: {warmth: -51}",
            "line 1: color.warmth: must be a number from -50",
        ),
        (b"color: {vividnes: 3}", "color.vividnes: unknown key; did you mean vividness?"),
        (b"color: vivid", "color: must be a section with vividness, warmth, not 'vivid'"),
        (b"points: []", "points: unknown key"),
        (b"even_if_colored: true\n---\neven_if_colored: false", "invalid YAML"),
    ],
)
def test_every_mistake_is_told_in_words(inbox: Path, text: bytes, words: str) -> None:
    """With its line and key; nothing hostile is run, expanded or waited for."""
    write(inbox, "album", text)
    error = refused(inbox)

    assert PurePosixPath("album/photochrom.yaml") == error.file
    assert any(words in problem for problem in error.problems), error.problems


@given(text=st.binary(max_size=300))
@hypothesis_settings(max_examples=300, deadline=None)
def test_no_text_does_harm(text: bytes) -> None:
    """It is settings, or has mistakes."""
    settings, problems, _ = parse(text, FolderSettings, aliases=False)

    assert problems or settings.model_fields_set <= {"even_if_colored"}


def link(path: Path) -> None:
    """Lead to settings outside the inbox."""
    outside = path.parents[3] / "outside.yaml"
    outside.write_bytes(YES)
    path.symlink_to(outside)


def bind(path: Path) -> None:
    """Make a socket."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.parametrize("make", [link, os.mkfifo, Path.mkdir, bind])
def test_only_a_plain_file_is_read(inbox: Path, make: Callable[[Path], None]) -> None:
    """A link is not followed, a FIFO not waited for; the scans wait: somebody meant something."""
    make(inbox / "album/may" / NAME)

    assert ("not a regular file; replace it with a text file",) == refused(inbox).problems


def test_a_folder_that_is_a_link_has_no_settings(inbox: Path, tmp_path: Path) -> None:
    """Nor has it scans."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / NAME).write_bytes(YES)
    (inbox / "linked").symlink_to(tmp_path / "outside")

    assert AS_USUAL == settings_of(inbox, PurePosixPath("linked/a.tif"))


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
