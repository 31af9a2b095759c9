"""Only photos are taken from the inbox."""

import errno
import os
import socket
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service.filesystem.ignored import Ignored
from service.watch.selection import eligible, find, find_left_alone
from tests.support.folder_listing import nested_folders, put, relative_names

TAKEN = ["a.jpg", "b.JPEG", "c.Png", "d.tif", "e.TIFF", "f.webp", "g h.jpg", "sub/deep/i.tif"]
ODD = "caf\udce9.jpg"  # as Python writes a name that is not UTF-8
LITTER = [
    *(".hidden.jpg", "._a.jpg", "~a.jpg", "a.jpg.part", "b.tmp", "c.jpg.crdownload"),
    *(".DS_Store", "Thumbs.db", "desktop.ini", "@eaDir/a.jpg", "sub/@eaDir/a.jpg"),
    *(".stfolder/a.jpg", "__MACOSX/a.jpg", ".Trash/deep/a.jpg"),
    *("#recycle/a.jpg", "sub/@Recycle/deep/a.jpg", "$RECYCLE.BIN/S-1-5/a.jpg"),
    *("#snapshot/a.jpg", "~snapshot/hourly/a.jpg", "@Recently-Snapshot/a.jpg", ".snapshots/a.jpg"),
    *("System Volume Information/a.jpg", "lost+found/#12.jpg", "Network Trash Folder/a.jpg"),
    *("Temporary Items/a.jpg", "a.jpg.download/a.jpg"),
]
LEFT_ALONE = ["notes.txt", "sub/film.mp4", "jpg"]


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """Make an empty inbox, and the folders that originals go to."""
    for name in ("inbox", "originals", "rejected"):
        (tmp_path / name).mkdir()
    return tmp_path / "inbox"


class TestWhichFilesCount:
    """By name and kind."""

    def test_photos_are_found_in_sub_folders_in_the_order_of_their_names(self, inbox: Path) -> None:
        """Suffixes in any case, names in any encoding."""
        for name in [*TAKEN, ODD]:
            put(inbox, name)

        assert sorted([*TAKEN, ODD]) == relative_names(find(inbox), inbox)
        assert all(eligible(inbox / name, inbox) for name in [*TAKEN, ODD])

    @pytest.mark.parametrize("name", LITTER)
    def test_litter_and_unfinished_files_are_ignored(self, inbox: Path, name: str) -> None:
        """Wherever they are, and without a word."""
        put(inbox, name)

        assert list(find(inbox)) == []
        assert list(find_left_alone(inbox)) == []
        assert not eligible(inbox / name, inbox)

    def test_a_name_that_only_resembles_a_recycle_bins_is_no_litter(self, inbox: Path) -> None:
        """A box called "recycle" holds scans."""
        for name in ("recycle/a.jpg", "snapshots/b.jpg", "#recycle.jpg", "lost+found.tif"):
            put(inbox, name)

        assert [
            "#recycle.jpg",
            "lost+found.tif",
            "recycle/a.jpg",
            "snapshots/b.jpg",
        ] == relative_names(find(inbox), inbox)

    def test_names_can_be_ignored_that_the_table_lacks(self, inbox: Path) -> None:
        """Files and folders apart, whatever their case; what the table ignores stays ignored."""
        for name in ("a_Preview.tif", "Drafts/a.tif", "drafts.tif", "b.tif", ".c.tif"):
            put(inbox, name)
        ignore = Ignored(["*_preview.tif", "drafts/"])

        assert ["b.tif", "drafts.tif"] == relative_names(find(inbox, ignore=ignore), inbox)
        assert not eligible(inbox / "a_Preview.tif", inbox, ignore)
        assert not eligible(inbox / "Drafts/a.tif", inbox, ignore)
        assert eligible(inbox / "Drafts/a.tif", inbox)
        assert [] == list(find_left_alone(inbox, ignore))

    def test_what_is_no_photo_is_left_alone_and_can_be_listed(self, inbox: Path) -> None:
        """So that status can say why nothing happens to it."""
        for name in [*LEFT_ALONE, "a.jpg"]:
            put(inbox, name)

        assert ["a.jpg"] == relative_names(find(inbox), inbox)
        assert sorted(LEFT_ALONE) == sorted(relative_names(find_left_alone(inbox), inbox))
        assert not any(eligible(inbox / name, inbox) for name in LEFT_ALONE)

    def test_fifos_sockets_and_folders_with_a_photos_name_are_not_taken(self, inbox: Path) -> None:
        """Reading one could wait for ever."""
        os.mkfifo(inbox / "fifo.jpg")
        (inbox / "folder.jpg").mkdir()
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(inbox / "socket.jpg"))

        assert list(find(inbox)) == []
        for name in ("fifo.jpg", "folder.jpg", "socket.jpg", "gone.jpg"):
            assert not eligible(inbox / name, inbox)

    def test_symlinks_are_not_taken_nor_followed(self, inbox: Path, tmp_path: Path) -> None:
        """To a file or a folder, outside or inside."""
        put(tmp_path, "outside/secret.jpg")
        put(inbox, "real.jpg")
        (inbox / "file.jpg").symlink_to(tmp_path / "outside" / "secret.jpg")
        (inbox / "folder").symlink_to(tmp_path / "outside")
        (inbox / "inner.jpg").symlink_to("real.jpg")
        (inbox / "loop").symlink_to(inbox)

        assert ["real.jpg"] == relative_names(find(inbox), inbox)
        for name in ("file.jpg", "folder/secret.jpg", "inner.jpg", "loop/real.jpg"):
            assert not eligible(inbox / name, inbox)

    def test_an_inbox_that_is_itself_a_symlink_works(self, inbox: Path, tmp_path: Path) -> None:
        """Only what is in it is looked at so strictly."""
        put(inbox, "a.jpg")
        link = tmp_path / "link"
        link.symlink_to(inbox)

        assert [link / "a.jpg"] == list(find(link))
        assert eligible(link / "a.jpg", link)

    def test_paths_elsewhere_are_not_eligible(self, inbox: Path, tmp_path: Path) -> None:
        """Nor is the inbox itself."""
        put(tmp_path, "a.jpg")

        assert not eligible(tmp_path / "a.jpg", inbox)
        assert not eligible(inbox / ".." / "a.jpg", inbox)
        assert not eligible(inbox, inbox)

    def test_an_inbox_that_cannot_be_read_is_not_an_empty_one(self, inbox: Path) -> None:
        """Else a lost share would look as if all were done."""
        inbox.rmdir()
        with pytest.raises(FileNotFoundError):
            list(find(inbox))

    def test_a_sub_folder_that_cannot_be_read_stops_nothing(
        self, inbox: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is told; one that vanished is not."""
        for name in ("a/1.jpg", "b/2.jpg", "c/3.jpg"):
            put(inbox, name)
        real = os.scandir
        faults = {"a": errno.EACCES, "b": errno.ENOENT}

        def scandir(path: str | Path) -> object:
            if (fault := faults.get(Path(path).name)) is not None:
                raise OSError(fault, os.strerror(fault))
            return real(path)

        monkeypatch.setattr(os, "scandir", scandir)
        with capture_logs() as logs:
            found = relative_names(find(inbox), inbox)

        assert ["c/3.jpg"] == found
        assert ["inbox.unreadable"] == [line["event"] for line in logs]


def test_folders_are_searched_however_deep(tmp_path: Path) -> None:
    """Deeper than Python recurses; anyone may create them in the inbox."""
    with nested_folders(tmp_path) as deepest:
        (deepest / "a.jpg").touch()

        assert [deepest / "a.jpg"] == list(find(tmp_path))
