"""Atomic writes: the old content or the new one, whole, whatever fails."""

import errno
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from worker import atomic
from worker.atomic import replacing, sync_folder, write_atomically, write_durably

Write = Callable[..., None]
both = pytest.mark.parametrize("write", [write_atomically, write_durably])


def fail(*_: Any, **__: Any) -> None:
    """Act as a full disk."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@both
def test_a_reader_never_finds_half_a_file(write: Write, tmp_path: Path) -> None:
    """However often the file is replaced while it is read."""
    path = tmp_path / "a"
    texts = [letter * 100_000 for letter in (b"a", b"b")]
    write(path, texts[0])
    over = threading.Event()

    def replace() -> None:
        while not over.is_set():
            for text in texts:
                write(path, text)

    writer = threading.Thread(target=replace)
    writer.start()
    found = {path.read_bytes() for _ in range(200)}
    over.set()
    writer.join()

    assert set(texts) >= found


@both
def test_the_mode_is_the_one_given(write: Write, tmp_path: Path) -> None:
    """Whatever the umask; without one, the umask decides."""
    write(tmp_path / "a", b"1", mode=0o666)
    before = os.umask(0o027)
    try:
        write(tmp_path / "b", "ü")
    finally:
        os.umask(before)

    assert 0o666 == stat.S_IMODE((tmp_path / "a").stat().st_mode)
    assert 0o640 == stat.S_IMODE((tmp_path / "b").stat().st_mode)
    assert "ü".encode() == (tmp_path / "b").read_bytes()


@both
def test_what_cannot_be_replaced_stays(write: Write, tmp_path: Path) -> None:
    """And no temporary file is left beside it."""
    (tmp_path / "a").mkdir()
    with pytest.raises(IsADirectoryError):
        write(tmp_path / "a", b"1")

    assert [tmp_path / "a"] == list(tmp_path.iterdir())


@both
def test_a_link_in_place_of_the_temporary_file_is_not_followed(
    write: Write, tmp_path: Path
) -> None:
    """What it points to is not written."""
    (tmp_path / "precious").write_bytes(b"precious")
    (tmp_path / ".a.part").symlink_to("precious")
    write(tmp_path / "a", b"1")

    assert (b"precious", b"1") == (
        (tmp_path / "precious").read_bytes(),
        (tmp_path / "a").read_bytes(),
    )
    assert {"a", "precious"} == {path.name for path in tmp_path.iterdir()}


def test_a_failure_in_the_block_leaves_the_old_file(tmp_path: Path) -> None:
    """Even Ctrl-C, and no temporary file."""
    write_durably(tmp_path / "a", "old")
    file = replacing(tmp_path / "a", durable=False)
    file.__enter__().write(b"half")
    swallowed = file.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)

    assert not swallowed
    assert "old" == (tmp_path / "a").read_text()
    assert [tmp_path / "a"] == list(tmp_path.iterdir())


def test_only_a_durable_write_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file and then its folder; a sync that fails leaves the old content."""
    write_durably(tmp_path / "a", "old")
    monkeypatch.setattr(atomic.os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        write_durably(tmp_path / "a", "new")
    write_atomically(tmp_path / "b", "new")

    assert ("old", "new") == ((tmp_path / "a").read_text(), (tmp_path / "b").read_text())


def test_a_file_system_that_cannot_sync_folders_is_let_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other errors are raised."""

    def refuse(_descriptor: int) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr(atomic.os, "fsync", refuse)
    sync_folder(tmp_path)
    monkeypatch.setattr(atomic.os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        sync_folder(tmp_path)
