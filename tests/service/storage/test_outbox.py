"""A colored photo is in the outbox whole, or not at all."""

import errno
import hashlib
import os
import stat
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import pytest

from service.storage import outbox
from service.storage.outbox import TakenError, alternative_name, output_name, publish, stage
from tests.support.folder_listing import files
from tests.support.staged_delivery import deliver
from worker.errors import DeviceError, ScanError

NAME = PurePosixPath("sub/deep/photo.jpg")


def photo(file: BinaryIO) -> None:
    """Write what stands for a colored photo."""
    file.write(b"color")


def leftovers(folder: Path) -> list[Path]:
    """List the unfinished files in a folder."""
    return list(folder.rglob(".photochrom-*"))


@pytest.mark.parametrize(
    ("expected", "scan", "output_format"),
    [
        ("a/scan.webp", "a/scan.webp", "same"),
        ("a/scan.TIFF", "a/scan.TIFF", "tiff"),
        ("scan.tif.jpg", "scan.tif", "jpeg"),
        ("scan.jpeg", "scan.jpeg", "jpeg"),
        ("scan.jpg.png", "scan.jpg", "png"),
        ("scan.png.tif", "scan.png", "tiff"),
        ("scan.jfif", "scan.jfif", "same"),
        ("scan.JPE", "scan.JPE", "jpeg"),
        ("scan.jfi", "scan.jfi", "same"),
        ("scan.jfif.tif", "scan.jfif", "tiff"),
        ("scan.btf", "scan.btf", "same"),
        ("scan.mpo.jpg", "scan.mpo", "same"),
        ("scan.j2k.jp2", "scan.j2k", "same"),
    ],
)
def test_a_photo_keeps_its_name_unless_its_container_changes(
    expected: str, scan: str, output_format: str
) -> None:
    """Then the new suffix is added, so that a.tif and a.jpg stay apart."""
    assert expected == str(output_name(PurePosixPath(scan), output_format))


def test_an_alternative_name_carries_the_content_in_its_name() -> None:
    """The folder and the suffix stay."""
    assert "a/scan.tif.01234567.jpg" == str(
        alternative_name(PurePosixPath("a/scan.tif.jpg"), "0123456789abcdef")
    )


def test_names_of_any_length_become_names_that_fit() -> None:
    """255 bytes is what a file system takes."""
    long = PurePosixPath("a", "ü" * 125 + ".tif")

    assert len(os.fsencode(output_name(long, "jpeg").name)) <= 255
    assert len(os.fsencode(alternative_name(long, "0" * 64).name)) <= 255


def test_a_photo_is_delivered_into_sub_folders_that_are_made(tmp_path: Path) -> None:
    """And nothing else is left there."""
    path = deliver(tmp_path, NAME, photo).path

    assert path == tmp_path / NAME
    assert path.read_bytes() == b"color"
    assert [path] == list(path.parent.iterdir())


def test_what_was_delivered_is_told_with_its_digest(tmp_path: Path) -> None:
    """As sha256sum gives it, though it was not written from the first byte to the last."""

    def tiff(file: BinaryIO) -> str:
        file.write(b"header")
        file.write(bytes(3 << 20))
        file.seek(0)
        file.write(b"H")
        return "two pages"

    delivered = deliver(tmp_path, NAME, tiff)
    expected = hashlib.sha256(b"Header" + bytes(3 << 20)).hexdigest()

    assert (tmp_path / NAME, expected, len("header") + (3 << 20), "two pages") == delivered


def test_the_file_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    """Some formats look back, and find the file empty at first."""

    def look_back(file: BinaryIO) -> bytes:
        before = file.read()
        photo(file)
        file.seek(0)
        return before + file.read()

    assert b"color" == deliver(tmp_path, NAME, look_back).result


def test_a_photo_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    """As the umask says, not only for its owner."""
    before = os.umask(0o027)
    try:
        path = deliver(tmp_path, NAME, photo).path
    finally:
        os.umask(before)

    assert 0o640 == stat.S_IMODE(path.stat().st_mode)


def test_a_name_of_255_bytes_is_delivered(tmp_path: Path) -> None:
    """The unfinished file's name does not grow with it."""
    name = PurePosixPath("a" * 251 + ".jpg")

    assert deliver(tmp_path, name, photo).path.exists()


def test_an_outbox_that_is_missing_is_not_made(tmp_path: Path) -> None:
    """It is a share that is away; what was put in its place would be lost under it."""
    with pytest.raises(FileNotFoundError):
        deliver(tmp_path / "outbox", NAME, photo)

    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("healthy", [0, 1])
def test_nothing_is_left_in_an_outbox_that_goes_away(tmp_path: Path, healthy: int) -> None:
    """Be it before the photo is written or just before it gets its name."""
    checks = iter([None] * healthy)

    def check() -> None:
        if next(checks, "away"):
            raise DeviceError("the outbox is away")

    with pytest.raises(DeviceError, match="away"):
        deliver(tmp_path, NAME, photo, check=check)

    assert [] == [path for path in tmp_path.rglob("*") if path.is_file()]
    assert bool(healthy) == (tmp_path / NAME).parent.exists()


class Mine:
    """What is replaceable: all, or nothing."""

    def __init__(self, *, has: bool = True) -> None:
        """Set the answer."""
        self._has = has

    def has(self, path: Path) -> bool:
        """Tell what was set."""
        assert path.exists()
        return self._has


def test_delivering_again_replaces_the_photo(tmp_path: Path) -> None:
    """So a delivery repeated after a crash does no harm."""
    mine = Mine()
    deliver(tmp_path, NAME, lambda file: file.write(b"first"), own=mine)
    second = deliver(tmp_path, NAME, photo, own=mine)

    assert b"color" == second.path.read_bytes()


SIDECAR = NAME.with_name("photo.jpg.json")


def test_files_that_belong_together_get_their_names_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And their folder is synced once, when all have them."""
    synced = []
    monkeypatch.setattr(outbox, "sync_folder", lambda folder: synced.append(files(folder)))
    rename, named = outbox.rename_without_overwriting, list[str]()

    def note(source: Path, target: Path) -> None:
        named.append(target.name)
        rename(source, target)

    monkeypatch.setattr(outbox, "rename_without_overwriting", note)
    staged = {stage(tmp_path, name, photo)[0]: name for name in (NAME, SIDECAR)}
    publish(tmp_path, staged)

    assert [NAME.name, SIDECAR.name] == named
    assert [sorted([NAME.name, SIDECAR.name])] == synced


def test_of_files_that_belong_together_none_is_left_unfinished(tmp_path: Path) -> None:
    """One whose name is another's keeps the next from theirs."""
    theirs = deliver(tmp_path, NAME, lambda file: file.write(b"theirs")).path
    staged = {stage(tmp_path, name, photo)[0]: name for name in (NAME, SIDECAR)}
    with pytest.raises(TakenError):
        publish(tmp_path, staged)

    assert [theirs] == list(theirs.parent.iterdir())
    assert b"theirs" == theirs.read_bytes()


@pytest.mark.parametrize("own", [None, Mine(has=False)])
@pytest.mark.parametrize("at_once", [True, False])
def test_what_others_wrote_is_never_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: Mine | None, *, at_once: bool
) -> None:
    """Also on a file system that cannot rename without replacing, such as NFS."""
    if not at_once:
        monkeypatch.setattr("service.filesystem.durable.renamed_at_once", lambda *_: False)
    theirs = deliver(tmp_path, NAME, lambda file: file.write(b"theirs")).path
    with pytest.raises(TakenError, match="another file has this name"):
        deliver(tmp_path, NAME, photo, own=own)

    assert b"theirs" == theirs.read_bytes()
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_photo_and_nothing_unfinished(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Whichever step fails, and the error reaches the caller."""
    target = deliver(tmp_path, NAME, lambda file: file.write(b"old")).path

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, full)
    with pytest.raises(OSError, match="No space left"):
        deliver(tmp_path, NAME, photo, own=Mine())

    assert target.read_bytes() == b"old"
    assert leftovers(tmp_path) == []


def test_a_photo_that_cannot_be_encoded_leaves_nothing(tmp_path: Path) -> None:
    """The encoder's own error reaches the caller."""

    def broken(file: BinaryIO) -> None:
        file.write(b"half")
        raise ValueError("no such color")

    with pytest.raises(ValueError, match="no such color"):
        deliver(tmp_path, NAME, broken)

    assert leftovers(tmp_path) == []
    assert not (tmp_path / NAME).exists()


def test_a_photo_is_not_in_the_outbox_before_it_is_complete(tmp_path: Path) -> None:
    """While it is written only a hidden name is there."""

    def look(file: BinaryIO) -> None:
        photo(file)
        assert not (tmp_path / NAME).exists()
        assert 1 == len(leftovers(tmp_path))

    deliver(tmp_path, NAME, look)

    assert (tmp_path / NAME).exists()


class TestNoPlace:
    """What stands in the way is for a person to remove; it is said, and nothing is written."""

    def test_nothing_is_written_through_a_symlink(self, tmp_path: Path) -> None:
        """Whoever may write into the outbox could have photos written anywhere else."""
        (tmp_path / "outbox").mkdir()
        (tmp_path / "elsewhere/deep").mkdir(parents=True)
        (tmp_path / "outbox/sub").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(ScanError, match="a symlink or a file is in the place") as fault:
            deliver(tmp_path / "outbox", NAME, photo)

        assert f"({tmp_path / 'outbox/sub'})" in str(fault.value)
        assert [] == list((tmp_path / "elsewhere/deep").iterdir())

    @pytest.mark.parametrize("what", ["file", "folder", "long name"])
    def test_other_things_in_the_way_are_told_too(self, tmp_path: Path, what: str) -> None:
        """The machine will not mend them, so waiting would be for ever."""
        name = NAME.with_name("n" * 256) if what == "long name" else NAME
        if what == "file":
            (tmp_path / "sub").touch()
        elif what == "folder":
            (tmp_path / NAME).mkdir(parents=True)
        with pytest.raises(ScanError, match="there is no place for its result"):
            deliver(tmp_path, name, photo)

        assert [] == leftovers(tmp_path)

    def test_a_symlink_of_the_photos_own_name_is_not_followed(self, tmp_path: Path) -> None:
        """Nor replaced; it and what it leads to stay as they are."""
        victim = tmp_path / "victim"
        victim.write_bytes(b"precious")
        (tmp_path / "sub/deep").mkdir(parents=True)
        (tmp_path / NAME).symlink_to(victim)
        with pytest.raises(TakenError):
            deliver(tmp_path, NAME, photo)

        assert b"precious" == victim.read_bytes()
        assert (tmp_path / NAME).is_symlink()

    def test_an_outbox_that_is_itself_a_symlink_works(self, tmp_path: Path) -> None:
        """It is the operator's; and one that is a file is the machine's trouble."""
        (tmp_path / "disk").mkdir()
        (tmp_path / "outbox").symlink_to(tmp_path / "disk")
        deliver(tmp_path / "outbox", NAME, photo)
        (tmp_path / "file").touch()
        with pytest.raises(OSError, match="Not a directory"):
            deliver(tmp_path / "file", NAME, photo)

        assert b"color" == (tmp_path / "disk" / NAME).read_bytes()
