"""Only photos are taken from the inbox, and an original is moved but never lost or overwritten."""

import errno
import os
import shutil
import socket
from functools import partial
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from service import beneath
from service import inbox as subject
from service.disk import ReplacedError, rename_without_overwriting
from service.ignored import Ignored
from service.inbox import (
    archive,
    eligible,
    find,
    find_left_alone,
    reject,
)

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


def put(folder: Path, name: str, content: str = "photo") -> Path:
    """Write a file, and the folders above it."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def names(paths: object, folder: Path) -> list[str]:
    """Return paths as text, relative to a folder."""
    return [str(path.relative_to(folder)) for path in paths]  # type: ignore[attr-defined]


class TestWhichFilesCount:
    """By name and kind."""

    def test_photos_are_found_in_sub_folders_in_the_order_of_their_names(self, inbox: Path) -> None:
        """Suffixes in any case, names in any encoding."""
        for name in [*TAKEN, ODD]:
            put(inbox, name)

        assert sorted([*TAKEN, ODD]) == names(find(inbox), inbox)
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

        assert ["#recycle.jpg", "lost+found.tif", "recycle/a.jpg", "snapshots/b.jpg"] == names(
            find(inbox), inbox
        )

    def test_names_can_be_ignored_that_the_table_lacks(self, inbox: Path) -> None:
        """Files and folders apart, whatever their case; what the table ignores stays ignored."""
        for name in ("a_Preview.tif", "Drafts/a.tif", "drafts.tif", "b.tif", ".c.tif"):
            put(inbox, name)
        ignore = Ignored(["*_preview.tif", "drafts/"])

        assert ["b.tif", "drafts.tif"] == names(find(inbox, ignore=ignore), inbox)
        assert not eligible(inbox / "a_Preview.tif", inbox, ignore)
        assert not eligible(inbox / "Drafts/a.tif", inbox, ignore)
        assert eligible(inbox / "Drafts/a.tif", inbox)
        assert [] == list(find_left_alone(inbox, ignore))

    def test_what_is_no_photo_is_left_alone_and_can_be_listed(self, inbox: Path) -> None:
        """So that status can say why nothing happens to it."""
        for name in [*LEFT_ALONE, "a.jpg"]:
            put(inbox, name)

        assert ["a.jpg"] == names(find(inbox), inbox)
        assert sorted(LEFT_ALONE) == sorted(names(find_left_alone(inbox), inbox))
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

        assert ["real.jpg"] == names(find(inbox), inbox)
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

        def scandir(path: Path) -> object:
            if path.name in faults:
                raise OSError(faults[path.name], os.strerror(faults[path.name]))
            return real(path)

        monkeypatch.setattr(os, "scandir", scandir)
        with capture_logs() as logs:
            found = names(find(inbox), inbox)

        assert ["c/3.jpg"] == found
        assert ["inbox.unreadable"] == [line["event"] for line in logs]


@pytest.fixture(params=["same disk", "no hard links", "other disk"])
def disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let the folders be on one disk, on one without hard links, or on two."""
    real = os.link

    def link(source: Path, target: Path, **options: bool) -> None:
        if request.param == "no hard links":
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        if request.param == "other disk" and source.parent != target.parent:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        real(source, target, **options)

    monkeypatch.setattr(os, "link", link)
    return str(request.param)


@pytest.mark.usefixtures("disk")
class TestMovingAnOriginal:
    """On one disk or across two."""

    def test_an_archived_original_keeps_its_sub_folder_content_and_time(
        self, inbox: Path, tmp_path: Path
    ) -> None:
        """And the inbox keeps its folders."""
        path = put(inbox, "sub/deep/a.jpg")
        os.utime(path, ns=(1, 10**18))
        moved = archive(path, inbox, tmp_path / "originals")

        assert tmp_path / "originals" / "sub/deep/a.jpg" == moved
        assert moved.read_text() == "photo"
        assert moved.stat().st_mtime_ns == 10**18
        assert not path.exists()
        assert path.parent.is_dir()
        assert [moved] == list(moved.parent.iterdir())

    def test_a_name_that_is_taken_gets_a_number(self, inbox: Path, tmp_path: Path) -> None:
        """What has it stays as it is."""
        moved = [
            archive(put(inbox, "a.jpg", text), inbox, tmp_path / "originals") for text in "123"
        ]

        assert ["a.jpg", "a (2).jpg", "a (3).jpg"] == [path.name for path in moved]
        assert ["1", "2", "3"] == [path.read_text() for path in moved]

    @pytest.mark.parametrize("name", [ODD, "a" * 251 + ".jpg"])
    def test_odd_and_long_names_are_moved_and_numbered(
        self, inbox: Path, tmp_path: Path, name: str
    ) -> None:
        """Also with a reason beside them."""
        for _ in range(2):
            archive(put(inbox, name), inbox, tmp_path / "originals")
            reject(put(inbox, name), inbox, tmp_path / "rejected", "no photo")

        rejected = {path.name for path in (tmp_path / "rejected").iterdir()}
        photos = {one for one in rejected if one.endswith(".jpg")}

        assert 2 == len(list((tmp_path / "originals").iterdir()))
        assert 2 == len(photos)
        assert rejected == photos | {f"{one}.reason.txt" for one in photos}

    def test_a_rejected_original_has_its_reason_beside_it(
        self, inbox: Path, tmp_path: Path
    ) -> None:
        """In plain words, in the same sub-folder."""
        path = put(inbox, "sub/a.jpg")
        moved = reject(path, inbox, tmp_path / "rejected", "it is empty; größer wäre besser")

        assert tmp_path / "rejected" / "sub" / "a.jpg" == moved
        assert moved.read_text() == "photo"
        reason = moved.with_name("a.jpg.reason.txt").read_text(encoding="utf-8")
        assert "it is empty; größer wäre besser\n" == reason
        assert not path.exists()

    def test_a_second_rejected_original_of_one_name_has_its_own_reason(
        self, inbox: Path, tmp_path: Path
    ) -> None:
        """The first pair stays."""
        for number in "12":
            reject(put(inbox, "a.jpg", number), inbox, tmp_path / "rejected", f"reason {number}")
        rejected = {path.name: path.read_text() for path in (tmp_path / "rejected").iterdir()}

        assert {
            "a.jpg": "1",
            "a.jpg.reason.txt": "reason 1\n",
            "a (2).jpg": "2",
            "a (2).jpg.reason.txt": "reason 2\n",
        } == rejected

    def test_a_rejection_that_was_cut_off_is_completed(
        self, inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The reason came first, and is not written twice."""
        path = put(inbox, "a.jpg")

        def crash(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(subject, "_move", crash)
            with pytest.raises(KeyboardInterrupt):
                reject(path, inbox, tmp_path / "rejected", "too dark")

        assert (tmp_path / "rejected" / "a.jpg.reason.txt").read_text() == "too dark\n"
        reject(path, inbox, tmp_path / "rejected", "too dark")
        assert ["a.jpg", "a.jpg.reason.txt"] == names(
            sorted((tmp_path / "rejected").iterdir()), tmp_path / "rejected"
        )

    def test_an_original_that_is_gone_leaves_no_reason(self, inbox: Path, tmp_path: Path) -> None:
        """There is nothing to explain."""
        with pytest.raises(FileNotFoundError):
            reject(inbox / "gone.jpg", inbox, tmp_path / "rejected", "too dark")

        assert [] == list((tmp_path / "rejected").iterdir())

    @pytest.mark.parametrize("text", ["the name is caf\udce9", "zero \0"])
    def test_any_reason_can_be_written(self, inbox: Path, tmp_path: Path, text: str) -> None:
        """Also one with parts of an odd name."""
        moved = reject(put(inbox, "a.jpg"), inbox, tmp_path / "rejected", text)

        assert moved.with_name("a.jpg.reason.txt").stat().st_size


def test_a_folder_of_originals_that_is_missing_is_not_made(inbox: Path, tmp_path: Path) -> None:
    """It is a share that is away; the original stays in the inbox."""
    path = put(inbox, "sub/a.jpg")
    for folder in ("originals", "rejected"):
        (tmp_path / folder).rmdir()
    with pytest.raises(FileNotFoundError):
        archive(path, inbox, tmp_path / "originals")
    with pytest.raises(FileNotFoundError):
        reject(path, inbox, tmp_path / "rejected", "too dark")

    assert [inbox] == list(tmp_path.iterdir())
    assert path.exists()


def test_an_original_the_disk_refuses_stays_in_the_inbox(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error reaches the caller."""
    path = put(inbox, "a.jpg")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(OSError, match="No space left"):
        archive(path, inbox, tmp_path / "originals")

    assert path.read_text() == "photo"
    assert list((tmp_path / "originals").iterdir()) == []


@pytest.mark.parametrize("fault", ["copyfileobj", "digest"])
def test_a_copy_across_disks_that_fails_leaves_the_original_alone(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """A full disk, or a copy that came out different."""
    path = put(inbox, "a.jpg")

    def other_disk(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "link", other_disk)
    if fault == "digest":
        monkeypatch.setattr(subject, "digest", str)
    else:
        monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(OSError, match=r"No space left|the copy differs"):
        archive(path, inbox, tmp_path / "originals")

    assert path.read_text() == "photo"
    assert list((tmp_path / "originals").iterdir()) == []


@pytest.mark.usefixtures("disk")
@pytest.mark.parametrize("disk", ["other disk"], indirect=True)
def test_a_scan_that_is_saved_anew_while_it_is_copied_stays_in_the_inbox(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large one takes long; what is moved is what was there before."""
    path, new = put(inbox, "a.jpg"), tmp_path / "new"

    def save_anew(part: Path, target: Path) -> None:
        rename_without_overwriting(part, target)
        new.write_text("saved anew")
        new.rename(path)

    monkeypatch.setattr(subject, "rename_without_overwriting", save_anew)
    moved = archive(path, inbox, tmp_path / "originals")

    assert "photo" == moved.read_text()
    assert "saved anew" == path.read_text()


@pytest.mark.usefixtures("disk")
@pytest.mark.parametrize("move", ["archive", "reject"])
def test_a_scan_saved_just_before_the_move_is_not_taken_for_the_one_that_was_done(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, move: str
) -> None:
    """It stays in the inbox, to be colored; and so does a third one."""
    path, new, away = put(inbox, "sub/a.jpg"), tmp_path / "new", tmp_path / "away"
    looks = beneath.snapshot(path)
    real = subject.rename_without_overwriting
    saved: list[str] = ["second", "third"]
    away.mkdir()

    def save_around(source: Path, target: Path) -> None:
        if saved:
            save(saved.pop(0))
        real(source, target)
        if saved:
            save(saved.pop(0))

    def save(content: str) -> None:
        new.write_text(content)
        new.rename(path)

    monkeypatch.setattr(subject, "rename_without_overwriting", save_around)
    moved = partial(archive, path, inbox, away)
    if move == "reject":
        moved = partial(reject, path, inbox, away, "no photo")
    with pytest.raises(ReplacedError, match="another file was saved under this name"):
        moved(looks)

    assert [] == [one for one in away.rglob("*") if one.is_file()]
    left = {one.name: one.read_text() for one in path.parent.iterdir()}
    assert left in ({"a.jpg": "third", "a (2).jpg": "second"}, {"a.jpg": "third"})


@pytest.mark.parametrize("move", ["archive", "reject"])
def test_a_move_across_disks_that_was_cut_off_after_the_copy_makes_no_second_one(
    inbox: Path, tmp_path: Path, move: str
) -> None:
    """Killed when the copy had its name and the original was still in the inbox."""
    path, away = put(inbox, "sub/a.jpg"), tmp_path / "away"
    (away / "sub").mkdir(parents=True)
    shutil.copy2(path, away / "sub/a.jpg")
    if move == "archive":
        moved = archive(path, inbox, away)
    else:
        moved = reject(path, inbox, away, "no photo")

    assert away / "sub/a.jpg" == moved
    assert "photo" == moved.read_text()
    assert not path.exists()
    assert (1 if move == "archive" else 2) == len(list(moved.parent.iterdir()))


class TestSymlinksOnTheWay:
    """Put there between the look and the move."""

    @pytest.mark.parametrize("move", ["archive", "reject"])
    @pytest.mark.parametrize("side", ["inbox", "target"])
    def test_no_original_is_moved_through_one(
        self, inbox: Path, tmp_path: Path, move: str, side: str
    ) -> None:
        """Neither one from elsewhere nor one to elsewhere; nothing is made there."""
        path = put(inbox, "sub/a.jpg")
        stranger = put(tmp_path, "elsewhere/a.jpg", "a stranger's")
        away = tmp_path / "away"
        away.mkdir()
        if side == "inbox":
            (inbox / "sub").rename(inbox / "aside")
            path = inbox / "aside/a.jpg"
        link = (inbox if side == "inbox" else away) / "sub"
        link.symlink_to(stranger.parent)
        act = archive if move == "archive" else partial(reject, reason="no photo")
        with pytest.raises(OSError, match="a symlink or a file is in the place of a folder"):
            act(inbox / "sub/a.jpg", inbox, away)

        assert ["a.jpg"] == [one.name for one in stranger.parent.iterdir()]
        assert "a stranger's" == stranger.read_text()
        assert "photo" == path.read_text()

    @pytest.mark.usefixtures("disk")
    @pytest.mark.parametrize("swap", ["symlink", "FIFO"])
    def test_what_took_the_place_of_an_original_is_not_moved(
        self, inbox: Path, tmp_path: Path, swap: str
    ) -> None:
        """It is none."""
        if swap == "FIFO":
            os.mkfifo(inbox / "a.jpg")
        else:
            (inbox / "a.jpg").symlink_to(put(tmp_path, "secret.jpg"))
        with pytest.raises(FileNotFoundError):
            archive(inbox / "a.jpg", inbox, tmp_path / "originals")

        assert [] == list((tmp_path / "originals").iterdir())
        assert os.path.lexists(inbox / "a.jpg")
