"""Scans that arrive over the network: whole or not at all, and never over another file."""

import os
from pathlib import Path, PurePosixPath

import pytest

from service.config.loader import Config
from service.config.sections import Originals, Permissions, Watch, Web
from service.filesystem import durable, permissions
from service.filesystem.durable import part_path
from service.filesystem.folder_checks import make_folders
from service.filesystem.ignored import ignored
from service.storage.cleanup import sweep
from service.storage.uploads import UploadError, receiving
from service.watch.selection import eligible, find
from worker.errors import DeviceError

INBOX = PurePosixPath()


def service(folder: Path, **sections: object) -> Config:
    """Return a configuration whose folders exist."""
    config = Config(**sections).beside(folder)  # type: ignore[arg-type]
    make_folders(config.folders.values())
    return config


def upload(
    config: Config,
    name: str,
    content: bytes = b"II*\0",
    inside: PurePosixPath = INBOX,
    *,
    numbered: bool = False,
) -> str:
    """Upload a file in two parts."""
    with receiving(config, inside, name, len(content)) as arriving:
        arriving.write(content[:2])
        arriving.write(content[2:])
        return arriving.finish(numbered=numbered)


def refused(config: Config, name: str, **how: object) -> str:
    """Return why a file is not taken; nothing of it is left."""
    before = sorted(config.inbox.rglob("*"))
    with pytest.raises(UploadError) as caught:
        upload(config, name, **how)  # type: ignore[arg-type]
    assert before == sorted(config.inbox.rglob("*"))
    return caught.value.reason


def test_a_scan_arrives_whole_and_is_found(tmp_path: Path) -> None:
    """Until then the watcher sees nothing; then a photograph, in a folder made for it."""
    config = service(tmp_path)
    with receiving(config, PurePosixPath("1910/march"), "0042.tif", 8) as arriving:
        arriving.write(b"II*\0")
        [hidden] = [path for path in config.inbox.rglob("*") if path.is_file()]
        assert [] == list(find(config.inbox))
        assert ignored().file(hidden.name)
        arriving.write(b"rest")
        assert "0042.tif" == arriving.finish(numbered=False)
    path = config.inbox / "1910/march/0042.tif"

    assert [path] == list(find(config.inbox))
    assert eligible(path, config.inbox)
    assert b"II*\0rest" == path.read_bytes()


def test_an_upload_that_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    """Nor does one that is too large, whatever was announced; a killed one is swept."""
    config = service(tmp_path, web=Web(upload_limit=0.001))
    with receiving(config, INBOX, "a.tif", 0) as arriving:
        arriving.write(b"x")
    with pytest.raises(UploadError, match="large"), receiving(config, INBOX, "a.tif", 0) as one:
        one.write(b"x" * 1001)
    assert [] == list(config.inbox.iterdir())

    (config.inbox / part_path(config.inbox).name).write_bytes(b"x")
    assert 1 == sweep(config.inbox)


def test_no_file_is_replaced(tmp_path: Path) -> None:
    """The name is refused, or the next one is used."""
    config = service(tmp_path)
    upload(config, "a.tif", b"first")

    assert "taken" == refused(config, "a.tif")
    assert "a (2).tif" == upload(config, "a.tif", b"second", numbered=True)
    assert "a (3).tif" == upload(config, "a.tif", b"third", numbered=True)
    assert b"first" == (config.inbox / "a.tif").read_bytes()


def test_where_renames_cannot_refuse_links_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system such as NFS replaces no file either."""
    config = service(tmp_path)
    monkeypatch.setattr(durable, "renamed_at_once", lambda *_: False)
    upload(config, "a.tif", b"first")

    assert "taken" == refused(config, "a.tif")
    assert "a (2).tif" == upload(config, "a.tif", b"second", numbered=True)
    assert ["a (2).tif", "a.tif"] == sorted(path.name for path in config.inbox.iterdir())


def test_a_sweep_during_an_upload_is_told(tmp_path: Path) -> None:
    """A daemon that starts meanwhile removes the hidden file; nothing half gets a name."""
    config = service(tmp_path)
    with receiving(config, INBOX, "a.tif", 0) as arriving:
        arriving.write(b"x")
        sweep(config.inbox)
        with pytest.raises(UploadError, match="interrupted"):
            arriving.finish(numbered=False)

    assert [] == list(config.inbox.iterdir())


@pytest.mark.parametrize(
    "name",
    [
        *("", ".", "..", "../a.tif", "a/b.tif", " a.tif", "a.tif ", "x" * 252 + ".tif"),
        *("a\n.tif", "a\0.tif", "\u202egpj.tif", "\udce9.tif"),
    ],
)
def test_names_that_mislead_are_refused(tmp_path: Path, name: str) -> None:
    """Nothing that leads out of the folder, is invisible, or is too long."""
    assert "name" == refused(service(tmp_path), name)


@pytest.mark.parametrize("inside", ["..", "a/../../b", "/etc", "a\n", "a/ b", "/".join("a" * 21)])
def test_folders_that_lead_out_are_refused(tmp_path: Path, inside: str) -> None:
    """Only folders below the inbox, and not too deep."""
    assert "folder" == refused(service(tmp_path), "a.tif", inside=PurePosixPath(inside))


def test_symlinks_lead_nowhere(tmp_path: Path) -> None:
    """A folder that is a symlink gets no file, nor what it points to."""
    config = service(tmp_path)
    (tmp_path / "outside").mkdir()
    (config.inbox / "link").symlink_to(tmp_path / "outside")

    assert "folder" == refused(config, "a.tif", inside=PurePosixPath("link"))
    assert [] == list((tmp_path / "outside").iterdir())


@pytest.mark.parametrize("name", [".a.tif", "~a.tif", "a.tif.part", "Thumbs.db", "a_preview.tif"])
def test_what_the_watcher_ignores_is_refused(tmp_path: Path, name: str) -> None:
    """It would lie there for ever; so with watch.ignore, and folders that are ignored."""
    config = service(tmp_path, watch=Watch(ignore=["*_preview.tif", "drafts/"]))

    assert "ignored" == refused(config, name)
    assert "ignored" == refused(config, "a.tif", inside=PurePosixPath("Drafts/x"))


def test_what_is_no_photograph_is_refused(tmp_path: Path) -> None:
    """By its suffix, as the watcher judges; and an empty one."""
    assert "format" == refused(service(tmp_path), "notes.txt")
    assert "empty" == refused(service(tmp_path), "a.tif", content=b"")


def test_limits_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A size announced above web.upload_limit, a full disk, and uploads turned off."""
    config = service(tmp_path, web=Web(upload_limit=1.0))
    full = os.statvfs_result((4096, 4096, 1000, 10, 10, 100, 100, 100, 0, 255))

    with pytest.raises(UploadError, match="large: 1"), receiving(config, INBOX, "a.tif", 1_000_001):
        pass
    assert "off" == refused(service(tmp_path, web=Web(upload_limit=0)), "a.tif")
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    assert "room" == refused(config, "a.tif", content=b"x" * 10_000)


def test_an_inbox_of_others_gets_nothing(tmp_path: Path) -> None:
    """With originals.after: keep others manage it; and one that is not there is told."""
    config = service(tmp_path, originals=Originals(after="keep"))
    assert "kept" == refused(config, "a.tif")

    config = Config().beside(tmp_path / "new")
    with pytest.raises(DeviceError, match="does not exist"), receiving(config, INBOX, "a.tif", 1):
        pass


def test_files_and_folders_get_their_permissions(tmp_path: Path) -> None:
    """As everything that photochrom creates."""
    config = service(tmp_path)
    permissions.adopt(Permissions(folders="2770", files="640"))
    try:
        upload(config, "a.tif", inside=PurePosixPath("new"))
    finally:
        permissions.adopt(Permissions())

    assert 0o640 == (config.inbox / "new/a.tif").stat().st_mode & 0o7777
    assert 0o2770 == (config.inbox / "new").stat().st_mode & 0o7777
