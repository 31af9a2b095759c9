"""An original that is to be colored again is found by its content.

That originals are moved, and moved later where the disk refuses, is promised in test_pipeline.
"""

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from unittest.mock import Mock

import pytest
from structlog.testing import capture_logs

from service.config.loader import Config
from service.filesystem import safe_open
from service.filesystem.availability import FolderMonitor
from service.filesystem.file_stat import FileStat
from service.filesystem.folder_checks import make_folders
from service.ledger.jobs import Job, JobStatus
from service.storage.departures import Originals
from service.storage.originals import find_original
from tests.support.fakes import FakeInbox
from tests.support.folder_listing import put
from worker.errors import DeviceError, ScanError

CONTENT = b"a scan"
OTHER = b"another scan"
UNKNOWN = FileStat(1, 2, 3, 4)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Make the folders."""
    config = Config().beside(tmp_path)
    make_folders(config.folders.values())
    return config


@pytest.fixture
def job(tmp_path: Path) -> Job:
    """Make a job of CONTENT that was finished and is to be colored again."""
    (tmp_path / "content").write_bytes(CONTENT)
    return make_job(safe_open.digest(tmp_path / "content"))


def make_job(digest: str, original: str | None = None, looks: FileStat = UNKNOWN) -> Job:
    """Make a job for `sub/a.tif`."""
    place = None if original is None else PurePosixPath(original)
    path = PurePosixPath("sub/a.tif")
    numbers = (1, path, digest, path, looks, None, JobStatus.STARTED, 1, 0, None, "1")
    return Job(*numbers, 0.0, 0.0, None, None, place, recolor=True)


def place_of(job: Job, config: Config) -> Path:
    """Find an original and return its path."""
    with find_original(job, config) as found:
        return Path(str(found.name))


def test_it_is_where_it_was_moved_to(config: Config, job: Job) -> None:
    """As noted, though another scan has its name by now; with its looks."""
    put(config.originals.folder, "sub/a.tif", OTHER)
    here = put(config.originals.folder, "sub/a (7).tif", CONTENT)

    with find_original(make_job(job.digest, "sub/a (7).tif"), config) as found:
        assert str(here) == found.name
        assert safe_open.file_stat(here) == safe_open.file_stat_of(found)
        assert CONTENT == found.read()


@pytest.mark.parametrize("name", ["sub/a.tif", "sub/a (2).tif", "sub/a (3).tif"])
def test_one_that_was_not_noted_is_found_by_the_names_it_may_have(
    config: Config, job: Job, name: str
) -> None:
    """As those of earlier photochroms; scans that bore the same name are told apart by content."""
    for number in ("", " (2)", " (3)", " (4)"):
        put(config.originals.folder, f"sub/a{number}.tif", OTHER)
    here = put(config.originals.folder, name, CONTENT)

    assert here == place_of(job, config)


@pytest.mark.parametrize("noted", [None, "sub/a.tif"])
def test_one_that_stayed_or_came_back_is_found_in_the_inbox(
    config: Config, job: Job, noted: str | None
) -> None:
    """With `after: keep`, and where somebody put it back."""
    here = put(config.inbox, "sub/a.tif", CONTENT)

    assert here == place_of(make_job(job.digest, noted), config)


def test_one_that_is_gone_is_said_to_be(config: Config, job: Job) -> None:
    """With the places that were looked at."""
    with pytest.raises(ScanError, match="the original is gone") as fault:
        find_original(job, config)

    assert str(config.inbox / "sub/a.tif") in str(fault.value)
    assert str(config.originals.folder / "sub/a.tif") in str(fault.value)


def test_one_that_was_altered_is_said_to_be(config: Config, job: Job) -> None:
    """It is named, and left as it is."""
    here = put(config.originals.folder, "sub/a.tif", OTHER)
    with pytest.raises(ScanError, match="was changed since it was colored") as fault:
        find_original(job, config)

    assert str(here) in str(fault.value)
    assert OTHER == here.read_bytes()


def test_what_is_no_plain_file_is_passed_over(config: Config, job: Job, tmp_path: Path) -> None:
    """A link may lead anywhere, and a FIFO would never end."""
    target = put(tmp_path, "elsewhere.tif", CONTENT)
    (config.inbox / "sub").mkdir()
    (config.inbox / "sub/a.tif").symlink_to(target)
    (config.originals.folder / "sub").mkdir()
    os.mkfifo(config.originals.folder / "sub/a.tif")

    with pytest.raises(ScanError, match="the original is gone"):
        find_original(job, config)


def test_one_that_may_not_be_read_is_said_to_be(
    config: Config, job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting would not help; another fault of the disk is not taken for it."""
    put(config.originals.folder, "sub/a.tif", CONTENT)
    denied = PermissionError(13, "Permission denied")
    monkeypatch.setattr(safe_open, "open_beneath", Mock(side_effect=denied))
    with pytest.raises(ScanError, match="may not be read"):
        find_original(job, config)
    monkeypatch.undo()
    monkeypatch.setattr(safe_open, "digest_of", Mock(side_effect=OSError(5, "Input/output error")))

    with pytest.raises(OSError, match="Input/output error"):
        find_original(job, config)


def test_where_it_was_moved_to_is_noted_until_it_is_on_disk(config: Config, job: Job) -> None:
    """A ledger that cannot be written now is told again, once, at the next step."""
    path = put(config.inbox, "sub/a.tif", CONTENT)
    looks = safe_open.file_stat(path)
    assert looks is not None
    put(config.originals.folder, "sub/a.tif", OTHER)
    noted: list[tuple[int, PurePosixPath]] = []
    faults = [DeviceError("the ledger cannot be used now")]

    def note(places: Sequence[tuple[int, PurePosixPath]]) -> None:
        if faults:
            raise faults.pop()
        noted.extend(places)

    ledger = Mock(record_originals=note, queries=Mock(with_xmp_owed=Mock(return_value=[])))
    originals = Originals(config, FolderMonitor(config.folders), FakeInbox(), ledger)
    originals.archive(make_job(job.digest, looks=looks), 0.0)
    with pytest.raises(DeviceError):
        originals.step(0.0)
    for _ in range(2):
        originals.step(0.0)

    assert [(1, PurePosixPath("sub/a (2).tif"))] == noted
    assert CONTENT == (config.originals.folder / "sub/a (2).tif").read_bytes()
    assert not originals.waiting()


def test_a_move_that_is_refused_for_days_does_not_fill_the_log(config: Config, job: Job) -> None:
    """It is tried every ten minutes, and told less and less often; then it works at once."""
    path = put(config.inbox, "sub/a.tif", CONTENT)
    looks = safe_open.file_stat(path)
    assert looks is not None
    obstacle = config.originals.folder / "sub"
    obstacle.touch()
    originals = Originals(
        config,
        FolderMonitor(config.folders),
        FakeInbox(),
        Mock(queries=Mock(with_xmp_owed=Mock(return_value=[]))),
    )
    originals.archive(make_job(job.digest, looks=looks), 0.0)
    now = 0.0
    with capture_logs() as logs:
        for _ in range(500):
            originals.step(now)
            now += originals.next_due(now) or 0.0

    assert now > 3 * 24 * 3600
    assert ["photo.not_moved"] * 9 == [entry["event"] for entry in logs]

    obstacle.unlink()
    originals.step(now)

    assert not originals.waiting()
