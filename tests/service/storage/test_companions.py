"""The XMP beside a scan is in its result and goes where it goes."""

import errno
import os
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from structlog.testing import capture_logs

from service.config.folder_sections import FolderSettings
from service.config.loader import Config
from service.config.sections import Batching, Originals, Retry, Watch
from service.daemon.daemon import Daemon
from service.filesystem import safe_open
from service.filesystem.lock import StateLock
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.maintenance.retry import retry
from service.monitoring.status_reader import read_status
from service.storage import companions, moves
from service.storage.sidecar import read_sidecar
from tests.support.delivered_results import place
from tests.support.fakes import FakeColorist
from tests.support.folder_listing import files
from tests.support.synthetic_photos import color_scene, gray_scene, save
from worker import scan
from worker.settings import ReadSettings

XMP = """<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" photoshop:Source="{}"/>
</rdf:RDF></x:xmpmeta>"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Make the folders."""
    hasty = Config(
        watch=Watch(settle=0.0, rescan=1.0),
        batch=Batching(longest_wait=0.0),
        retry=Retry(attempts=3, first_wait=0.01, longest_wait=0.02),
    )
    config = place(tmp_path, hasty)
    (config.inbox / "album").mkdir()
    return config


def drop(config: Config, name: str, *, seed: int = 0, color: bool = False) -> Path:
    """Put a scan into the inbox; one in color is rejected."""
    return save(
        config.inbox / name, color_scene(40, 48) if color else gray_scene(24, 32, seed=seed)
    )


def describe(folder: Path, name: str, source: str = "Box 7") -> Path:
    """Write an XMP file that names a source."""
    path = folder / name
    path.write_text(XMP.format(source))
    return path


def work(config: Config) -> list[Any]:
    """Have a daemon do all that waits; return its log."""
    with StateLock(config.state), capture_logs() as logs:
        assert Daemon(config, FakeColorist(), once=True).run()
    return logs


def said(config: Config, name: str, *, page: int = 0) -> bytes:
    """Return the XMP packet of a result."""
    return (
        scan.read(config.outbox / name, ReadSettings(even_if_colored=True)).pages[page].metadata.xmp
    )


@pytest.mark.parametrize("name", ["0042.xmp", "0042.png.xmp", "0042.XMP"])
def test_it_is_in_the_result_and_moves_with_the_scan(config: Config, name: str) -> None:
    """By either way of naming it; the sidecar names it with its digest."""
    drop(config, "album/0042.png")
    digest = safe_open.digest(describe(config.inbox / "album", name))
    work(config)
    (file,) = read_sidecar(config.outbox / "album/0042.png.json").xmp_files

    assert b"Box 7" in said(config, "album/0042.png")
    assert (f"album/{name}", digest) == (file.path, file.sha256)
    assert sorted(["album/0042.png", f"album/{name}"]) == files(config.originals.folder)
    assert [] == files(config.inbox)


def test_of_two_that_differ_the_one_of_the_full_name_counts(config: Config) -> None:
    """Both move."""
    drop(config, "album/0042.png")
    describe(config.inbox / "album", "0042.xmp", "of the stem")
    describe(config.inbox / "album", "0042.png.xmp", "of the full name")
    work(config)
    packet = said(config, "album/0042.png")

    assert b"of the full name" in packet
    assert b"of the stem" not in packet
    assert ["album/0042.png", "album/0042.png.xmp", "album/0042.xmp"] == files(
        config.originals.folder
    )


def test_two_scans_share_one(config: Config) -> None:
    """It is in both results, and leaves with the last of them."""
    drop(config, "album/0042.png", seed=1)
    drop(config, "album/0042.tif", seed=2)
    describe(config.inbox / "album", "0042.xmp")
    work(config)

    assert all(b"Box 7" in said(config, f"album/0042.{kind}") for kind in ("png", "tif"))
    assert ["album/0042.png", "album/0042.tif", "album/0042.xmp"] == files(config.originals.folder)
    assert [] == files(config.inbox)


def test_a_shared_one_is_beside_both_where_their_ways_part(config: Config) -> None:
    """One scan is rejected; the other is not; and nothing is left of it in the inbox."""
    drop(config, "album/0042.png", seed=1)
    drop(config, "album/0042.tif", color=True)
    describe(config.inbox / "album", "0042.xmp")
    work(config)

    assert ["album/0042.png", "album/0042.xmp"] == files(config.originals.folder)
    assert ["album/0042.tif", "album/0042.tif.reason.txt", "album/0042.xmp"] == files(
        config.rejected
    )
    assert [] == files(config.inbox)


def test_it_comes_back_with_retry(config: Config) -> None:
    """And is in the result then, and in that of `recolor`."""
    drop(config, "album/0042.png", color=True)
    describe(config.inbox / "album", "0042.png.xmp")
    work(config)
    (answer,) = retry(config, [1], asked=FolderSettings(even_if_colored=True))
    back = files(config.inbox)
    work(config)
    first = said(config, "album/0042.png")
    with Ledger(config.state / LEDGER_FILE) as ledger:
        ledger.recolor([1], 0.0)
    work(config)

    assert answer.done
    assert ["album/0042.png", "album/0042.png.xmp"] == back == files(config.originals.folder)
    assert [] == files(config.rejected)
    assert b"Box 7" in first
    assert b"Box 7" in said(config, "album/0042.png")


def test_retry_leaves_it_where_the_inbox_has_another(config: Config) -> None:
    """Nothing is overwritten, and it is said; the scan comes back."""
    drop(config, "album/0042.png", color=True)
    describe(config.inbox / "album", "0042.xmp", "old")
    work(config)
    for name in ("0042.xmp", "0042.png.xmp"):
        describe(config.inbox / "album", name, "new")
    (answer,) = retry(config, [1])

    assert answer.done
    assert f"{config.rejected / 'album/0042.xmp'} stayed there" in answer.words
    assert ["album/0042.xmp"] == files(config.rejected)
    assert "new" in (config.inbox / "album/0042.xmp").read_text()


def test_the_companion_of_a_scan_that_is_numbered_bears_its_name(config: Config) -> None:
    """The earlier one stays that of the earlier scan."""
    for seed, source in enumerate(("first", "second")):
        drop(config, "album/0042.png", seed=seed)
        describe(config.inbox / "album", "0042.xmp", source)
        work(config)
    scans = [name for name in files(config.originals.folder) if name.endswith(".png")]
    xmps = [name for name in files(config.originals.folder) if name.endswith(".xmp")]

    assert 2 == len(scans)
    assert sorted(name.removesuffix(".png") + ".xmp" for name in scans) == sorted(xmps)
    assert "first" in (config.originals.folder / "album/0042.xmp").read_text()


def test_a_name_that_is_taken_is_given_in_full(config: Config) -> None:
    """So that each is beside its scan: 0042.xmp is that of 0042.png already."""
    for name, source in (("0042.png", "of the PNG"), ("0042.tif", "of the TIFF")):
        drop(config, f"album/{name}", seed=len(source))
        describe(config.inbox / "album", "0042.xmp", source)
        work(config)

    assert "of the PNG" in (config.originals.folder / "album/0042.xmp").read_text()
    assert "of the TIFF" in (config.originals.folder / "album/0042.tif.xmp").read_text()


def test_without_a_scan_of_its_name_it_is_left_alone(config: Config) -> None:
    """And listed; one beside its scan is not."""
    for name in ("0041.xmp", "0042.xmp", "0043.png.xmp"):
        describe(config.inbox / "album", name)
    drop(config, "album/0042.png")
    left = read_status(config).left_alone
    work(config)

    assert tuple(config.inbox / f"album/{name}" for name in ("0041.xmp", "0043.png.xmp")) == left
    assert ["album/0041.xmp", "album/0043.png.xmp"] == files(config.inbox)


def test_what_comes_after_the_scan_was_read_is_said(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It moves with the scan, but is not in the result."""
    drop(config, "album/0042.png")
    paint = FakeColorist.paint

    def late(*arguments: Any) -> Any:
        describe(config.inbox / "album", "0042.xmp")
        return paint(*arguments)

    monkeypatch.setattr(FakeColorist, "paint", late)
    logs = work(config)
    (told,) = [entry for entry in logs if entry["event"] == "photo.xmp_unread"]

    assert (1, "0042.xmp") == (told["job"], told["file"])
    assert b"Box 7" not in said(config, "album/0042.png")
    assert ["album/0042.png", "album/0042.xmp"] == files(config.originals.folder)


@pytest.mark.parametrize("is_color", [False, True])
def test_a_crash_between_the_two_moves_leaves_none_behind(
    config: Config, monkeypatch: pytest.MonkeyPatch, *, is_color: bool
) -> None:
    """The next start finds it; also where the scan was rejected."""
    drop(config, "album/a.png", color=is_color)
    describe(config.inbox / "album", "a.xmp")

    class KilledError(BaseException):
        """Stands for the kill."""

    def kill(*_: object, **__: object) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(companions, "carry", kill)
        with pytest.raises(KilledError), StateLock(config.state):
            Daemon(config, FakeColorist(), once=True).run()
    left = files(config.inbox)
    work(config)

    assert ["album/a.xmp"] == left
    assert "album/a.xmp" in files(config.rejected if is_color else config.originals.folder)
    assert [] == files(config.inbox)


def test_a_crash_before_the_place_of_an_original_is_noted_leaves_none_behind(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is found by its content then."""
    drop(config, "album/a.png")
    describe(config.inbox / "album", "a.xmp")

    def kill(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "record_originals", kill)
        with pytest.raises(KeyboardInterrupt), StateLock(config.state):
            Daemon(config, FakeColorist(), once=True).run()
    left = files(config.inbox)
    work(config)

    assert ["album/a.xmp"] == left
    assert ["album/a.png", "album/a.xmp"] == files(config.originals.folder)


def test_a_disk_that_refuses_is_tried_again(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said once; the scan is not held up."""
    drop(config, "album/0042.png")
    describe(config.inbox / "album", "0042.xmp")
    archive, refusals = moves.archive, iter(range(2))

    def refuse(path: Path, *arguments: Any, **named: Any) -> Any:
        if path.suffix == ".xmp" and next(refusals, None) is not None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return archive(path, *arguments, **named)

    monkeypatch.setattr(moves, "archive", refuse)
    logs = work(config)

    assert ["album/0042.png", "album/0042.xmp"] == files(config.originals.folder)
    assert any("its XMP" in entry.get("reason", "") for entry in logs)


def test_where_originals_are_kept_it_stays_too(config: Config) -> None:
    """And is in the result."""
    config = config.model_copy(
        update={"originals": config.originals.model_copy(update={"after": "keep"})}
    )
    drop(config, "album/0042.png")
    describe(config.inbox / "album", "0042.xmp")
    work(config)

    assert b"Box 7" in said(config, "album/0042.png")
    assert ["album/0042.png", "album/0042.xmp"] == files(config.inbox)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<x:xmpmeta", "the XMP file 0042.xmp cannot be read ("),
        (b"", "the XMP file 0042.xmp cannot be read ("),
        (b"\xff\xff\x00", "the XMP file 0042.xmp cannot be read ("),
        (b'<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "it has a document type declaration"),
        (b"<a/>", "it holds no RDF"),
        (b" " * 4_000_001, "too large (4.0 MB; the limit is 4 MB)"),
    ],
)
def test_what_cannot_be_read_is_named_and_rejects_nothing(
    config: Config, content: bytes, words: str
) -> None:
    """It moves all the same."""
    drop(config, "album/0042.png")
    (config.inbox / "album/0042.xmp").write_bytes(content)
    work(config)
    lost = read_sidecar(config.outbox / "album/0042.png.json").lost

    assert any(words in one for one in lost), lost
    assert ["album/0042.png", "album/0042.xmp"] == files(config.originals.folder)


def test_a_link_is_no_companion(config: Config, tmp_path: Path) -> None:
    """What it leads to is neither read nor moved."""
    drop(config, "album/0042.png")
    (config.inbox / "album/0042.xmp").symlink_to(describe(tmp_path, "outside.xmp", "secret"))
    work(config)

    assert b"secret" not in said(config, "album/0042.png")
    assert (config.inbox / "album/0042.xmp").is_symlink()
    assert (tmp_path / "outside.xmp").exists()


def test_a_scan_that_may_be_turned_says_so(config: Config) -> None:
    """A program may have turned the picture in its own file only."""
    drop(config, "album/0042.png")
    path = describe(config.inbox / "album", "0042.xmp")
    turned = 'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6" photoshop:Source'
    path.write_text(path.read_text().replace("photoshop:Source", turned))
    work(config)
    (lost,) = read_sidecar(config.outbox / "album/0042.png.json").lost

    assert "0042.xmp says of the way up (tiff:Orientation 6)" in lost


@pytest.mark.parametrize(
    ("scan_name", "name", "together"),
    [
        ("a.tif", "a.xmp", True),
        ("a.tif", "a.tif.xmp", True),
        ("a.TIF", "a.xmp", True),
        ("a.b.tif", "a.b.xmp", True),
        ("a.tif", "b.xmp", False),
        ("a.tif", "a.jpg.xmp", False),
        ("a.b.tif", "a.xmp", False),
    ],
)
def test_which_belong_together(
    tmp_path: Path, scan_name: str, name: str, *, together: bool
) -> None:
    """By the full name or by the stem."""
    (tmp_path / scan_name).touch()
    (tmp_path / name).touch()

    assert together == companions.is_companion(tmp_path / name)
    assert together == (name in companions.present(tmp_path, PurePosixPath(scan_name)))


def test_a_companion_crosses_to_another_disk(config: Config, tmp_path: Path) -> None:
    """Copied and verified, with its time, and nothing hidden is left behind."""
    shared = Path("/dev/shm")  # noqa: S108 - a disk that is another one than that of the tests
    if shared.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is one disk only")
    away = shared / f"photochrom-{os.getpid()}-{tmp_path.name}"
    config = config.model_copy(update={"originals": Originals(folder=away)})
    try:
        away.mkdir()
        drop(config, "album/0042.png")
        before = describe(config.inbox / "album", "0042.xmp").stat()
        work(config)
        after = safe_open.file_stat(away / "album/0042.xmp")

        assert after
        assert (before.st_size, before.st_mtime_ns) == (after.size, after.mtime_ns)
        assert [] == list(config.inbox.rglob("*.xmp*"))
    finally:
        for path in sorted(away.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        away.rmdir()
