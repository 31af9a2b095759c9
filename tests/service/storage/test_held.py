"""A file gets from one folder to another whole, and stays in the first until it is removed."""

import errno
import os
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from service.config.loader import Config
from service.config.sections import Review
from service.filesystem import safe_open
from service.filesystem.folder_checks import make_folders
from service.filesystem.ownership import MARKER
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.storage import held
from service.storage.empty_folders import remove_empty
from service.storage.held import NotAsColoredError, bring, folders_in_use, is_used, take_in

NAME, STAGING = PurePosixPath("album/a.tif"), PurePosixPath("album/.photochrom-1.part")


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Make two folders, the first with a file."""
    first, second = tmp_path / "held", tmp_path / "outbox"
    (first / "album").mkdir(parents=True)
    second.mkdir()
    (first / NAME).write_bytes(b"color")
    return first, second


@pytest.fixture(params=["linked", "copied"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Allow links between the folders, or refuse them."""
    if request.param == "copied":

        def refuse(*_: object, **__: object) -> None:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

        monkeypatch.setattr(os, "link", refuse)
    return str(request.param)


def test_a_file_is_brought_whole_and_stays(folders: tuple[Path, Path], way: str) -> None:
    """As a second name of it where that is possible."""
    first, second = folders
    bring(first, NAME, second, STAGING, safe_open.digest(first / NAME))

    assert b"color" == (second / STAGING).read_bytes() == (first / NAME).read_bytes()
    assert (way == "linked") == (first / NAME).samefile(second / STAGING)


@pytest.mark.usefixtures("way")
def test_a_file_that_was_altered_is_not_brought(folders: tuple[Path, Path]) -> None:
    """Nothing of it is left; nor of one that is gone, or is a symlink to another."""
    first, second = folders
    digest = safe_open.digest(first / NAME)
    (first / NAME).write_bytes(b"coler")
    with pytest.raises(NotAsColoredError, match="was altered"):
        bring(first, NAME, second, STAGING, digest)
    (first / NAME).unlink()
    with pytest.raises(FileNotFoundError):
        bring(first, NAME, second, STAGING, digest)
    (first / "other").write_bytes(b"color")
    (first / NAME).symlink_to(first / "other")
    with pytest.raises(OSError, match=r"a\.tif|STAGING|part"):
        bring(first, NAME, second, STAGING, digest)

    assert [] == [path for path in second.rglob("*") if not path.is_dir()]


@pytest.mark.usefixtures("way")
def test_a_staging_file_is_moved_or_removed(folders: tuple[Path, Path]) -> None:
    """It is in one folder at most."""
    first, second = folders
    (first / NAME).rename(first / STAGING)
    take_in(first, STAGING, second, safe_open.digest(first / STAGING))
    assert [second / STAGING] == [path for path in second.rglob("*") if path.is_file()]
    (first / STAGING).write_bytes(b"coler")
    (second / STAGING).unlink()
    with pytest.raises(NotAsColoredError):
        take_in(first, STAGING, second, "0" * 64)

    assert not (first / STAGING).exists()


@pytest.mark.parametrize("first_way", ["link", "open"])
def test_a_folder_removed_as_empty_at_that_very_moment_is_made_again(
    folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, first_way: str
) -> None:
    """Approving the last held result of a folder while another comes in costs neither."""
    first, second = folders
    place = os if first_way == "link" else Path
    real, calls = getattr(place, first_way), []

    def after_removal(*arguments: Any, **more: Any) -> Any:
        if not calls and (first_way == "link" or arguments[0].name == STAGING.name):
            calls.append(1)
            remove_empty(second, STAGING.parent)
            assert not (second / STAGING.parent).exists()
        return real(*arguments, **more)

    if first_way == "open":
        monkeypatch.setattr(held, "_linked", lambda *_: False)
    monkeypatch.setattr(place, first_way, after_removal)
    bring(first, NAME, second, STAGING, safe_open.digest(first / NAME))

    assert [1] == calls
    assert b"color" == (second / STAGING).read_bytes()


def test_nothing_is_written_where_a_folder_is_away(folders: tuple[Path, Path]) -> None:
    """The check comes first."""
    first, second = folders

    def away() -> None:
        raise OSError(errno.ENODEV, "away")

    with pytest.raises(OSError, match="away"):
        bring(first, NAME, second, STAGING, "0" * 64, check=away)
    assert [] == list(second.iterdir())


def test_the_folder_is_watched_over_as_long_as_anything_may_wait_there(tmp_path: Path) -> None:
    """Whatever the settings have become."""
    after = Config().beside(tmp_path)
    hold = Config(review=Review(mode="hold")).beside(tmp_path)
    make_folders(after.folders.values())
    with Ledger(after.state / LEDGER_FILE) as ledger:
        assert held.KEY not in folders_in_use(after, ledger.queries)
        assert hold.review.folder == folders_in_use(hold, ledger.queries)[held.KEY]
        path = PurePosixPath("a.png")
        looks = safe_open.FileStat(1, 1, 1, 1)
        job, _ = ledger.enqueue(path, "0" * 64, looks, path, 0.0)
        ledger.claim(1, 0.0, in_flight=0)
        ledger.finish(job.id, model="1", now=1.0, held=True)
        assert hold.review.folder == folders_in_use(after, ledger.queries)[held.KEY]

    assert (True, False) == (is_used(hold), is_used(after))
    make_folders([after.review.folder])
    (after.review.folder / MARKER).touch()
    assert is_used(after)
