"""A rescan finds what is new, changed or gone, and looks no closer at anything else."""

import os
from pathlib import Path

import pytest

from service.filesystem.ignored import ignored
from service.filesystem.safe_open import file_stat
from service.watch.reported_files import ReportedFiles
from service.watch.rescan import Rescan
from service.watch.selection import find

NAMES = ("a/b/1.tif", "a/b/2.tif", "a/c.tif", "a/d/3.tif", "e.tif")


class Inbox:
    """A folder of scans, and what was reported of it."""

    def __init__(self, folder: Path) -> None:
        """Make the scans; none is reported yet."""
        self.folder = folder
        self.reported = ReportedFiles()
        self.unreadable: list[str] = []
        for name in NAMES:
            self.put(name)

    def put(self, name: str, text: str = "scan") -> Path:
        """Write a file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def rescan(self, most: int = 2) -> list[str]:
        """Look through all of it in portions; return what needs a closer look, those gone in <>."""
        rescan = Rescan(
            self.folder,
            self.reported,
            lambda folder, _reason: self.unreadable.append(folder),
            ignored(),
        )
        found = []
        while not rescan.ended:
            looked_at, some = rescan.portion(most)
            assert looked_at <= most
            for path, stat in some:
                assert stat == file_stat(path)
                name = str(path.relative_to(self.folder))
                found.append(name if stat else f"<{name}>")
        return found

    def report(self) -> None:
        """Report all that is there."""
        for path in find(self.folder):
            stat = file_stat(path)
            assert stat
            self.reported.add(path, stat)


@pytest.fixture
def inbox(tmp_path: Path) -> Inbox:
    """Make one."""
    return Inbox(tmp_path)


@pytest.mark.parametrize("most", [1, 2, 100])
def test_all_files_are_found_once_in_the_order_of_their_names(inbox: Inbox, most: int) -> None:
    """Depth first, however small the portions; what is ignored and no image is not among them."""
    for name in ("notes.txt", ".a.tif", "@eadir/a.tif", "z.tif.part"):
        inbox.put(name)

    assert list(NAMES) == inbox.rescan(most)


def test_files_that_are_as_they_were_reported_are_not_looked_at(inbox: Inbox) -> None:
    """They are most of an inbox that keeps its originals."""
    inbox.report()

    assert [] == inbox.rescan()
    assert len(NAMES) == len(inbox.reported)


def test_each_change_of_a_reported_file_is_found(inbox: Inbox) -> None:
    """Also one that leaves the folder's time, the size and the file's own time as they were."""
    inbox.report()
    looks = (inbox.folder / "a/c.tif").stat()
    inbox.put("a/c.tif", "SCAN")
    os.utime(inbox.folder / "a/c.tif", ns=(looks.st_atime_ns, looks.st_mtime_ns))
    os.utime(inbox.folder / "e.tif", ns=(1, 1))

    assert ["a/c.tif", "e.tif"] == inbox.rescan()


def test_reported_files_that_are_gone_are_found(inbox: Inbox) -> None:
    """One by one, with their folder, and where something else has their name."""
    inbox.report()
    (inbox.folder / "a/b/2.tif").unlink()
    (inbox.folder / "a/d/3.tif").rename(inbox.folder / "3.tif")
    (inbox.folder / "a/d").rmdir()
    (inbox.folder / "e.tif").unlink()
    (inbox.folder / "e.tif").symlink_to("a/c.tif")

    assert sorted(["<a/b/2.tif>", "<a/d/3.tif>", "<e.tif>", "3.tif"]) == sorted(inbox.rescan())


def test_a_folder_that_goes_between_two_portions_is_no_fault(inbox: Inbox) -> None:
    """Its reported files are gone; its others are nothing new."""
    inbox.report()
    inbox.put("a/b/0.tif")
    rescan = Rescan(inbox.folder, inbox.reported, lambda *_: None, ignored())
    first = rescan.portion(2)
    (inbox.folder / "a/b").rename(inbox.folder / "elsewhere.part")
    second = rescan.portion(2)

    assert (2, [inbox.folder / "a/b/0.tif"]) == (first[0], [path for path, _stat in first[1]])
    assert (1, [(inbox.folder / "a/b/2.tif", None)]) == second


def test_a_folder_that_cannot_be_read_is_told_of(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others are looked through; the inbox itself is another matter."""
    scandir = os.scandir

    def refused(folder: str) -> object:
        if folder in closed:
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    closed = {f"{inbox.folder}/a/b"}
    monkeypatch.setattr(os, "scandir", refused)

    assert ["a/c.tif", "a/d/3.tif", "e.tif"] == inbox.rescan()
    assert [f"{inbox.folder}/a/b"] == inbox.unreadable
    closed = {str(inbox.folder)}
    with pytest.raises(PermissionError):
        inbox.rescan()


def test_a_forgotten_file_is_new(inbox: Inbox) -> None:
    """And what was never reported may be forgotten."""
    inbox.report()
    inbox.reported.discard(inbox.folder / "a/c.tif")
    inbox.reported.discard(inbox.folder / "a/never.tif")
    inbox.reported.discard(inbox.folder / "never/a.tif")

    assert ["a/c.tif"] == inbox.rescan()
    assert sorted(set(NAMES) - {"a/c.tif"}) == sorted(
        str(Path(one).relative_to(inbox.folder)) for one in inbox.reported
    )
