"""What is old is forgotten, and nothing that still lies in wait."""

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import pytest
from structlog.testing import capture_logs

from service.config.loader import Config
from service.config.sections import Bookkeeping, Originals
from service.filesystem.file_stat import FileStat
from service.filesystem.folder_checks import make_folders
from service.ledger import retention
from service.ledger.jobs import Decision, Job, JobStatus
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.ledger.retention import DAY, PORTION, ROUND, Retention
from tests.support.folder_listing import files

LOOKS = FileStat(size=5, mtime_ns=6, inode=7, device=8)
YEAR = 365 * DAY


class Archive:
    """A ledger with photos of many years, and a retention with a clock of its own."""

    def __init__(self, folder: Path, days: float, after: str) -> None:
        """Open the ledger."""
        self.config = Config(
            ledger=Bookkeeping(forget_after=days),
            originals=Originals.model_validate({"after": after}),
        ).beside(folder)
        make_folders([*self.config.folders.values(), self.config.originals.folder])
        self.ledger = Ledger(self.config.state / LEDGER_FILE)
        self.ledger._database.rows("PRAGMA synchronous = OFF")
        self.retention = Retention(self.config, self.ledger)
        self.now, self.wall = 100.0, 60 * YEAR

    def finish(self, name: str, *, age: float, moved: bool = True, digest: str = "") -> Job:
        """Have a photo that was finished so many days ago."""
        path = PurePosixPath(name)
        job, _ = self.ledger.enqueue(path, digest or name, LOOKS, path, self.wall)
        (job,) = self.ledger.claim(1, self.wall, in_flight=0)
        job = self.ledger.finish(job.id, model="1", now=self.wall - age * DAY)
        if moved:
            self.ledger.record_originals([(job.id, path)])
        return job

    def step(self, seconds: float) -> None:
        """Let time pass, by both clocks, and step."""
        self.now += seconds
        self.wall += seconds
        self.retention.step(self.now, self.wall)

    def round(self) -> None:
        """Let a whole round pass, however many portions it has."""
        self.step(0)
        self.step(ROUND)
        for _ in range(30):
            self.step(60.0)

    @property
    def names(self) -> list[str]:
        """The photos that are remembered."""
        return [str(job.path) for job in self.ledger.queries.owning_output()]


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Callable[..., Archive]]:
    """Make archives, and close them after the test."""
    made: list[Archive] = []

    def make(days: float = 30.0, after: str = "move") -> Archive:
        made.append(Archive(tmp_path, days, after))
        return made[-1]

    yield make
    for each in made:
        each.ledger.close()


def test_photos_are_forgotten_when_they_are_old_enough(archive: Callable[..., Archive]) -> None:
    """It is told how many; a copy of one that is gone names the first of those that are left."""
    old = archive()
    old.finish("old.tif", age=31, digest="same")
    old.finish("new.tif", age=29, digest="same")
    with capture_logs() as logs:
        old.round()

    assert ["new.tif"] == old.names
    assert [
        {"event": "ledger.forgotten", "photos": 1, "older_than_days": 30.0, "log_level": "info"}
    ] == logs
    left = old.ledger.queries.owning_output()
    assert [None] == [job.same_content_as for job in left]


@pytest.mark.parametrize("days", [0.0, 30.0])
def test_by_itself_and_with_originals_that_stay_nothing_is_forgotten(
    archive: Callable[..., Archive], days: float
) -> None:
    """A scan that stays in the inbox would be colored again as soon as it is not known."""
    kept = archive(days, "keep" if days else "move")
    kept.finish("old.tif", age=3650)
    kept.round()

    assert ["old.tif"] == kept.names


def test_what_waits_failed_or_is_colored_again_is_not_forgotten(
    archive: Callable[..., Archive],
) -> None:
    """However old it is."""
    old = archive()
    again = old.finish("again.tif", age=99)
    failed, _ = old.ledger.enqueue(PurePosixPath("bad"), "b", LOOKS, PurePosixPath("bad"), 1.0)
    old.ledger.fail(failed.id, "cut short", 1.0)
    old.ledger.enqueue(PurePosixPath("c"), "c", LOOKS, PurePosixPath("c"), 1.0)
    old.ledger.recolor([again.id], 1.0)
    old.round()

    assert (2, 1) == (
        old.ledger.queries.counts()[JobStatus.QUEUED],
        old.ledger.queries.counts()[JobStatus.FAILED],
    )


def test_a_scan_that_lies_in_the_inbox_is_not_forgotten(archive: Callable[..., Archive]) -> None:
    """It was not moved yet, or is there again, be it as a link: it must not be taken for new."""
    old = archive()
    old.finish("not_moved.tif", age=99, moved=False)
    old.finish("again.tif", age=99)
    old.finish("link.tif", age=99)
    (old.config.inbox / "again.tif").write_bytes(b"a scan")
    (old.config.inbox / "link.tif").symlink_to("nowhere")
    old.round()

    assert ["not_moved.tif", "again.tif", "link.tif"] == old.names

    (old.config.inbox / "again.tif").unlink()
    old.round()

    assert ["not_moved.tif", "link.tif"] == old.names


def test_it_goes_on_in_portions_behind_those_that_stay(archive: Callable[..., Archive]) -> None:
    """However many stay in front: each step looks at no more than a portion."""
    old = archive()
    for number in range(2 * PORTION):
        old.finish(f"stays{number}", age=99, moved=False)
    for number in range(PORTION + 1):
        old.finish(f"goes{number}", age=98)
    left = []
    old.step(0)
    old.step(ROUND)
    for _ in range(5):
        left.append(len(old.names))
        old.step(1.0)

    everything = 3 * PORTION + 1

    assert [everything, everything, everything - PORTION, 2 * PORTION, 2 * PORTION] == left


@pytest.mark.parametrize("jump", [YEAR, -YEAR])
def test_a_clock_that_jumps_is_not_believed_for_an_hour(
    archive: Callable[..., Archive], jump: float
) -> None:
    """A clock that is set a year ahead, and back before the hour is over, costs nothing."""
    old = archive()
    old.finish("new.tif", age=1)
    old.step(0)
    old.step(ROUND / 2)
    old.wall += jump
    old.step(1.0)
    old.step(ROUND * 0.9)
    old.wall -= jump
    old.round()

    assert ["new.tif"] == old.names


def test_a_correction_of_the_clock_delays_nothing(archive: Callable[..., Archive]) -> None:
    """A second now and then is no jump."""
    old = archive()
    old.finish("old.tif", age=99)
    old.step(0)
    for _ in range(20):
        old.wall += 1.0
        old.step(ROUND / 10)

    assert [] == old.names


def test_nothing_but_the_ledger_is_touched(archive: Callable[..., Archive]) -> None:
    """Original, result and sidecar stay where they are."""
    old = archive()
    old.finish("old.tif", age=99)
    for folder in (old.config.outbox, old.config.originals.folder):
        (folder / "old.tif").write_bytes(b"a photo")
    old.round()

    assert [] == old.names
    assert ["old.tif"] == files(old.config.outbox) == files(old.config.originals.folder)


def test_a_reader_that_never_lets_go_is_told(
    archive: Callable[..., Archive], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a round, with the size of the log."""
    monkeypatch.setattr(retention, "LARGE_WAL", 1000)
    held = archive(days=0.0)
    held.finish("a", age=1)
    with capture_logs() as logs:
        held.round()

    assert ["ledger.held"] == [entry["event"] for entry in logs]
    assert logs[0]["bytes"] > 1000


@pytest.mark.slow
def test_jobs_that_come_and_go_for_years_leave_the_ledger_flat(
    archive: Callable[..., Archive],
) -> None:
    """Rows, file and log are after 6,000 photos in 60 months no larger than after 12."""
    flat = archive(days=30.0)
    path = flat.config.state / LEDGER_FILE
    sizes: list[tuple[int, int, int]] = []
    for month in range(60):
        for number in range(100):
            flat.finish(f"{month}/{number:_>100}.tif", age=0, digest=f"{month} {number // 2}")
        flat.wall += 25 * DAY  # a jump of the clock to this retention, which is one hour late
        flat.round()
        flat.wall += 5 * DAY
        flat.round()
        rows = sum(flat.ledger.queries.counts().values())
        sizes.append((rows, path.stat().st_size, flat.ledger.wal_size))
    first_year, all_years = sizes[6:12], sizes[12:]

    for first, later in zip(
        zip(*first_year, strict=True), zip(*all_years, strict=True), strict=True
    ):
        assert max(later) <= 1.05 * max(first)
    assert 200 >= max(rows for rows, _file, _log in sizes)


def test_what_waits_for_a_person_or_their_word_for_its_sidecar_is_kept(
    tmp_path: Path,
) -> None:
    """A held result would be nobody's; what is merely open is forgotten as ever."""
    archive = Archive(tmp_path, 30, "move")
    kept, owed, _open = (archive.finish(f"{n}.png", age=40) for n in range(3))
    with archive.ledger.transaction():
        archive.ledger._database.rows("UPDATE jobs SET held = 1 WHERE id = ?", kept.id)
    archive.ledger.reviews.decide([owed.id], Decision.APPROVED, who="Ada", now=archive.wall)
    archive.round()

    assert {kept.id, owed.id} == {job.id for job in archive.ledger.queries.all_jobs()}
    archive.ledger.close()
