"""An original is moved but never lost or overwritten, and a move is over when it is at rest."""

import errno
import os
import shutil
from functools import partial
from pathlib import Path

import pytest

from service.filesystem import durable, safe_open
from service.filesystem.durable import PART_SUFFIX, ReplacedError, rename_without_overwriting
from service.storage import moves
from service.storage.cleanup import sweep
from service.storage.moves import Departure, archive, reject, settle
from tests.support.folder_listing import put, relative_names

ODD = "caf\udce9.jpg"  # as Python writes a name that is not UTF-8


@pytest.fixture
def inbox(tmp_path: Path) -> Path:
    """Make an empty inbox, and the folders that originals go to."""
    for name in ("inbox", "originals", "rejected"):
        (tmp_path / name).mkdir()
    return tmp_path / "inbox"


@pytest.fixture(params=["same disk", "share", "share without hard links", "other disk"])
def disk(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Let the folders be on one disk, on a share that renames less well, or on two disks."""
    real, at_once = os.link, durable.renamed_at_once

    def rename(source: Path, target: Path) -> bool:
        same = source.parent == target.parent or request.param != "other disk"
        return same and not request.param.startswith("share") and at_once(source, target)

    def link(source: Path, target: Path, **options: bool) -> None:
        if request.param == "share without hard links":
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        if request.param == "other disk" and source.parent != target.parent:
            if os.path.lexists(target):  # the kernel looks for it first
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        real(source, target, **options)

    monkeypatch.setattr(durable, "renamed_at_once", rename)
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
        moved = archive(path, inbox, tmp_path / "originals").place

        assert tmp_path / "originals" / "sub/deep/a.jpg" == moved
        assert moved.read_text() == "photo"
        assert moved.stat().st_mtime_ns == 10**18
        assert not path.exists()
        assert path.parent.is_dir()
        assert [moved] == list(moved.parent.iterdir())

    def test_a_name_that_is_taken_gets_a_number(self, inbox: Path, tmp_path: Path) -> None:
        """What has it stays as it is."""
        moved = [
            archive(put(inbox, "a.jpg", text), inbox, tmp_path / "originals").place
            for text in "123"
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
        moved = reject(path, inbox, tmp_path / "rejected", "it is empty; größer wäre besser").place

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
            patch.setattr(moves, "_move", crash)
            with pytest.raises(KeyboardInterrupt):
                reject(path, inbox, tmp_path / "rejected", "too dark")

        assert (tmp_path / "rejected" / "a.jpg.reason.txt").read_text() == "too dark\n"
        reject(path, inbox, tmp_path / "rejected", "too dark")
        assert ["a.jpg", "a.jpg.reason.txt"] == relative_names(
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
        moved = reject(put(inbox, "a.jpg"), inbox, tmp_path / "rejected", text).place

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

    monkeypatch.setattr(moves, "rename_without_overwriting", full)
    with pytest.raises(OSError, match="No space left"):
        archive(path, inbox, tmp_path / "originals")

    assert path.read_text() == "photo"
    assert list((tmp_path / "originals").iterdir()) == []


@pytest.mark.usefixtures("disk")
@pytest.mark.parametrize("disk", ["other disk"], indirect=True)
@pytest.mark.parametrize("fault", ["copyfileobj", "digest"])
def test_a_copy_across_disks_that_fails_leaves_the_original_alone(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """A full disk, or a copy that came out different."""
    path = put(inbox, "a.jpg")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    if fault == "digest":
        monkeypatch.setattr(moves, "digest_at", str)
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
        if part.suffix == PART_SUFFIX:
            new.write_text("saved anew")
            new.rename(path)

    monkeypatch.setattr(moves, "rename_without_overwriting", save_anew)
    moved = archive(path, inbox, tmp_path / "originals").place

    assert "photo" == moved.read_text()
    assert "saved anew" == path.read_text()


@pytest.mark.usefixtures("disk")
@pytest.mark.parametrize("move", ["archive", "reject"])
def test_a_scan_saved_just_before_the_move_is_not_taken_for_the_one_that_was_done(
    inbox: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, move: str
) -> None:
    """It stays in the inbox, to be colored; and so does a third one."""
    path, new, away = put(inbox, "sub/a.jpg"), tmp_path / "new", tmp_path / "away"
    looks = safe_open.file_stat(path)
    real = moves.rename_without_overwriting
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

    monkeypatch.setattr(moves, "rename_without_overwriting", save_around)
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
        moved = archive(path, inbox, away).place
    else:
        moved = reject(path, inbox, away, "no photo").place

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


@pytest.mark.usefixtures("disk")
@pytest.mark.parametrize("move", ["archive", "reject"])
class TestTheEndOfAMove:
    """Whoever had the file open when it was moved loses nothing."""

    @pytest.fixture
    def away(self, tmp_path: Path) -> Path:
        """Make the folder where it goes."""
        (tmp_path / "away").mkdir()
        return tmp_path / "away"

    def test_a_file_at_rest_stays_where_it_went(self, inbox: Path, away: Path, move: str) -> None:
        """And nothing hidden is left in the inbox."""
        departure = moved(move, put(inbox, "sub/a.jpg"), inbox, away)

        assert settle(departure, inbox)
        assert "photo" == departure.place.read_text()
        assert [] == list((inbox / "sub").iterdir())

    def test_a_folder_that_is_gone_from_the_inbox_does_not_come_back(
        self, inbox: Path, away: Path, move: str, disk: str
    ) -> None:
        """Unless the file is hidden in it, the end of a move has nothing to do there."""
        departure = moved(move, put(inbox, "sub/a.jpg"), inbox, away)
        if disk != "other disk":
            (inbox / "sub").rmdir()

        assert settle(departure, inbox)
        assert (disk == "other disk") == (inbox / "sub").exists()

    def test_late_bytes_bring_the_file_back_as_itself(
        self, inbox: Path, away: Path, move: str
    ) -> None:
        """With what its writer added, and nothing of it stays where it went."""
        path = put(inbox, "sub/a.jpg")
        with path.open("a") as writer:
            departure = moved(move, path, inbox, away)
            writer.write(", and its rest")

        assert not settle(departure, inbox)
        assert "photo, and its rest" == path.read_text()
        assert [path] == list((inbox / "sub").iterdir())
        assert [] == list((away / "sub").iterdir())

    @pytest.mark.parametrize("late", [True, False])
    def test_a_time_that_was_set_back_hides_no_late_bytes(
        self, inbox: Path, away: Path, move: str, *, late: bool
    ) -> None:
        """Its SHA-256 tells; and a change of permissions alone brings nothing back."""
        path = put(inbox, "sub/a.jpg")
        digest = safe_open.digest(path)
        with path.open("r+") as writer:
            departure = moved(move, path, inbox, away, digest)
            if late:
                writer.write("PHOTO")
        moved_file = departure.place
        if departure.hidden:
            moved_file = inbox / "sub" / departure.hidden
        os.utime(moved_file, ns=(1, departure.stat.mtime_ns))
        moved_file.chmod(0o600)

        assert settle(departure, inbox) is not late
        assert "PHOTO" == path.read_text() if late else not path.exists()

    def test_late_bytes_find_another_file_of_the_name(
        self, inbox: Path, away: Path, move: str
    ) -> None:
        """Both are in the inbox afterwards."""
        path = put(inbox, "sub/a.jpg")
        with path.open("a") as writer:
            departure = moved(move, path, inbox, away)
            put(inbox, "sub/a.jpg", "another")
            writer.write(", and its rest")

        assert not settle(departure, inbox)
        found = {one.name: one.read_text() for one in (inbox / "sub").iterdir()}
        assert {"a.jpg": "another", "a (2).jpg": "photo, and its rest"} == found

    def test_a_move_that_was_cut_off_is_done_again(
        self, inbox: Path, away: Path, move: str, disk: str
    ) -> None:
        """What was hidden has its name again, and its copy is found."""
        departure = moved(move, put(inbox, "sub/a.jpg"), inbox, away)
        sweep(inbox)

        assert (disk == "other disk") == (inbox / "sub/a.jpg").exists()
        if disk == "other disk":
            again = moved(move, inbox / "sub/a.jpg", inbox, away)
            assert settle(again, inbox)
            assert departure.place == again.place
        assert [] == list((inbox / "sub").iterdir())
        assert "photo" == departure.place.read_text()

    def test_a_copy_of_other_content_than_was_colored_is_none(
        self, inbox: Path, away: Path, move: str, disk: str
    ) -> None:
        """Its stat may be the same: the SHA-256 decides."""
        path = put(inbox, "sub/a.jpg")
        if disk != "other disk":
            pytest.skip("nothing is copied")
        with pytest.raises(ReplacedError):
            moved(move, path, inbox, away, digest="0" * 64)

        assert "photo" == path.read_text()
        assert [] == [one for one in away.rglob("*") if one.is_file()]


def moved(move: str, path: Path, inbox: Path, away: Path, digest: str | None = None) -> Departure:
    """Move a file either way."""
    if move == "archive":
        return archive(path, inbox, away, digest=digest)
    return reject(path, inbox, away, "no photo", digest=digest)
