"""What is written lasts, and never takes another file's name."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from service.filesystem import durable
from service.filesystem.durable import (
    fitting_name,
    is_copy,
    make_folder,
    rename_without_overwriting,
    renamed_at_once,
    unlink_unless_replaced,
)


def refuse(code: int) -> object:
    """Make a stand-in for a system call that fails."""

    def call(*_args: object, **_options: object) -> None:
        raise OSError(code, os.strerror(code))

    return call


def test_a_name_that_fits_is_left_as_it_is() -> None:
    """255 bytes fit."""
    assert "a" * 251 + ".jpg" == fitting_name("a" * 251, ".jpg")


def test_a_long_stem_is_shortened_by_bytes_and_its_ending_stays() -> None:
    """Letters of two bytes are not cut in half."""
    name = fitting_name("é" * 200, ".jpg")

    assert name.endswith("é.jpg")
    assert len(name.encode()) <= 255


def test_make_folder_makes_all_that_is_missing(tmp_path: Path) -> None:
    """Those that are there are no error."""
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")

    assert (tmp_path / "a" / "b").is_dir()


def test_make_folder_refuses_a_name_that_belongs_to_a_file(tmp_path: Path) -> None:
    """Also in the middle of the path."""
    (tmp_path / "a").touch()
    with pytest.raises(NotADirectoryError):
        make_folder(tmp_path / "a" / "b")
    with pytest.raises(NotADirectoryError):
        make_folder(tmp_path / "a")


@pytest.fixture
def not_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be on a file system that cannot rename without overwriting, such as NFS."""
    monkeypatch.setattr(durable, "renamed_at_once", lambda *_: False)


@pytest.mark.parametrize("means", ["rename at once", "link", "claim"])
def test_a_rename_never_overwrites(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, means: str
) -> None:
    """At once, by hard links, and on file systems that know nothing better than a claim."""
    if means != "rename at once":
        monkeypatch.setattr(durable, "renamed_at_once", lambda *_: False)
    if means == "claim":
        monkeypatch.setattr(os, "link", refuse(errno.EPERM))
    source, target, free = (tmp_path / name for name in ("source", "target", "free"))
    source.write_text("new")
    target.write_text("old")
    with pytest.raises(FileExistsError):
        rename_without_overwriting(source, target)

    assert target.read_text() == "old"
    assert source.read_text() == "new"
    rename_without_overwriting(source, free)
    assert free.read_text() == "new"
    assert not source.exists()


def test_a_rename_that_was_cut_off_is_completed(tmp_path: Path) -> None:
    """A file that has both names loses the first."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("photo")
    os.link(source, target)
    rename_without_overwriting(source, target)

    assert target.read_text() == "photo"
    assert not source.exists()


@pytest.mark.usefixtures("not_at_once")
def test_a_file_that_is_saved_anew_while_it_is_renamed_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between its two names; the new one has what there was before."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("old")
    link = os.link

    def save_anew(one: Path, other: Path, **options: bool) -> None:
        link(one, other, **options)
        (tmp_path / "new").write_text("new")
        (tmp_path / "new").rename(source)

    monkeypatch.setattr(os, "link", save_anew)
    rename_without_overwriting(source, target)

    assert source.read_text() == "new"
    assert target.read_text() == "old"


@pytest.mark.parametrize("change", ["replaced", "written to", "gone"])
def test_the_old_name_of_a_file_is_removed_only_while_it_is_that_file(
    tmp_path: Path, change: str
) -> None:
    """Another file of that name stays, and so does the same one with more in it."""
    path, other = tmp_path / "path", tmp_path / "other"
    path.write_text("old")
    moved = path.lstat()
    if change == "replaced":
        other.write_text("new")
        other.rename(path)
    elif change == "written to":
        path.write_text("older")
    else:
        path.unlink()
    left = list(tmp_path.iterdir())
    unlink_unless_replaced(path, moved)

    assert left == list(tmp_path.iterdir())


@pytest.mark.usefixtures("not_at_once")
def test_a_rename_that_fails_leaves_no_empty_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The claimed name is given back."""
    monkeypatch.setattr(os, "link", refuse(errno.EPERM))
    monkeypatch.setattr(os, "rename", refuse(errno.EIO))
    source = tmp_path / "source"
    source.touch()
    with pytest.raises(OSError, match="Input/output"):
        rename_without_overwriting(source, tmp_path / "target")

    assert [source] == list(tmp_path.iterdir())


def test_what_an_interrupted_copy_left_is_known_by_its_time_and_content(tmp_path: Path) -> None:
    """A file of other bytes or of another time is another file, and so is a link or a folder."""
    source, copy, late, other, link = (tmp_path / name for name in ("a", "b", "c", "d", "e"))
    for path in (source, copy, late, other):
        path.write_text("photo")
        os.utime(path, ns=(1, 10**18))
    other.write_text("phot0")
    os.utime(other, ns=(1, 10**18))
    os.utime(late, ns=(1, 10**18 + 10**6))
    link.symlink_to(source)

    assert is_copy(source, copy)
    assert [False] * 4 == [is_copy(source, path) for path in (late, other, link, tmp_path)]


def test_a_rename_at_once_leaves_one_name(tmp_path: Path) -> None:
    """The file's; also when its name is no UTF-8."""
    source, target = tmp_path / os.fsdecode(b"caf\xe9"), tmp_path / "b"
    source.write_bytes(b"scan")

    assert renamed_at_once(source, target)
    assert [target] == list(tmp_path.iterdir())
    assert b"scan" == target.read_bytes()


@pytest.mark.parametrize("same", [True, False])
def test_a_rename_at_once_overwrites_nothing(tmp_path: Path, *, same: bool) -> None:
    """Not even another name of the same file, which somebody may be about to remove."""
    source, target = tmp_path / "a", tmp_path / "b"
    source.write_bytes(b"scan")
    if same:
        target.hardlink_to(source)
    else:
        target.write_bytes(b"another")
    content = target.read_bytes()
    with pytest.raises(FileExistsError, match="a"):
        renamed_at_once(source, target)

    assert (b"scan", content) == (source.read_bytes(), target.read_bytes())


def test_what_cannot_be_renamed_at_once_is_told(tmp_path: Path) -> None:
    """A fault of the disk is raised; another file system is no fault, and nothing is changed."""
    source, away = tmp_path / "a", Path("/dev", "shm", f"{os.getpid()}-renamed")
    source.write_bytes(b"scan")
    if tmp_path.stat().st_dev == away.parent.stat().st_dev:
        pytest.skip("only one file system here")
    with pytest.raises(FileNotFoundError):
        renamed_at_once(tmp_path / "missing", tmp_path / "b")

    assert not renamed_at_once(source, away)
    assert b"scan" == source.read_bytes()
    assert not away.exists()


@pytest.mark.usefixtures("not_at_once")
def test_a_file_is_renamed_where_each_of_its_names_has_a_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On sshfs a link looks like another file; the file has one name afterwards, and its number."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_text("photo")
    number = source.lstat().st_ino
    monkeypatch.setattr(os, "link", lambda one, other, **_: shutil.copy2(one, other))
    rename_without_overwriting(source, target)

    assert [target] == list(tmp_path.iterdir())
    assert ("photo", number) == (target.read_text(), target.lstat().st_ino)
