"""Promises of service.daemon.backfill: a collection is colored once, and left as it is."""

import os
import threading
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from service.config.loader import Config, load_config
from service.config.sections import Retry
from service.daemon import backfill
from service.daemon.backfill import AHEAD, Backfill, Shard, configured, owner_of, prepare
from service.filesystem.ownership import MARKER, owner_in
from service.ledger.jobs import JobStatus
from service.ledger.ledger import LEDGER_FILE
from service.ledger.queries import LedgerQueries
from service.monitoring.status_reader import read_status
from service.signals import Signals
from tests.support.fakes import FakeColorist
from tests.support.folder_listing import files
from tests.support.synthetic_photos import gray_scene, save
from tests.support.waiting import wait_until

WHOLE = Shard()


class Collection:
    """A collection, and what colors it."""

    def __init__(self, folder: Path) -> None:
        """Make photographs in three folders, and what is no photograph."""
        self.folder = folder
        self.source, self.target = folder / "collection", folder / "colored"
        for number in range(12):
            path = self.source / str(number % 3) / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            save(path, gray_scene(24 + number, 32, seed=number))
        (self.source / "notes.txt").write_text("not a photograph")
        self.colorist = FakeColorist()
        self.signals = Signals()
        self.told: list[tuple[float, float, str]] = []

    def config(self, shard: Shard = WHOLE, **sections: Any) -> Config:
        """Configure a backfill of it."""
        config = Config(**sections).beside(self.folder)
        return configured(config, self.source, self.target, shard)

    def make(self, shard: Shard = WHOLE, **sections: Any) -> Backfill:
        """Make a backfill of it."""
        config = self.config(shard, **sections)
        prepare(config, self.folder / "state" / "models")
        return Backfill(config, self.colorist, None, shard, self.tell, self.signals)

    def begin(self) -> tuple[list[Backfill], threading.Thread]:
        """Run one in a thread of its own, with its ledger."""
        works: list[Backfill] = []

        def work() -> None:
            works.append(self.make())
            works[0].run()

        thread = threading.Thread(target=work)
        thread.start()
        wait_until(lambda: bool(self.colorist.batches), 30)
        return works, thread

    def tell(self, done: float, total: float, words: str) -> None:
        """Note what a progress bar would show."""
        self.told.append((done, total, words))

    def counts(self, shard: Shard = WHOLE) -> dict[JobStatus, int]:
        """Ask the ledger how many photographs stand how."""
        with LedgerQueries.open(self.config(shard).state / LEDGER_FILE) as ledger:
            return {status: count for status, count in ledger.counts().items() if count}


@pytest.fixture
def collection(tmp_path: Path) -> Collection:
    """Make a collection; signals of this process stay as they are."""
    made = Collection(tmp_path)
    made.signals.listen = lambda: None  # type: ignore[method-assign]
    return made


def listing(folder: Path) -> dict[str, tuple[int, int]]:
    """List all files with their sizes and times."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in folder.rglob("*")
    }


def test_a_collection_is_colored_and_left_as_it_is(collection: Collection) -> None:
    """Each photograph under its name, with a sidecar; nothing is written among the scans."""
    before = listing(collection.source)
    work = collection.make()

    assert work.run()
    assert before == listing(collection.source)
    assert [f"{number % 3}/{number}.png" for number in range(12)] == sorted(
        files(collection.target), key=lambda name: int(Path(name).stem)
    )
    assert (False, 0, 12) == (work.work_left, work.rejected, work.counters.finished)
    assert (12, 12) == collection.told[-1][:2]


def test_a_second_run_colors_only_what_is_new(collection: Collection) -> None:
    """The ledger is the checkpoint."""
    collection.make().run()
    (collection.source / "new").mkdir()
    save(collection.source / "new" / "13.png", gray_scene(40, 40))
    again = collection.make()
    again.run()

    assert 1 == again.counters.finished
    assert {JobStatus.FINISHED: 13} == collection.counts()


def test_what_cannot_be_colored_is_told_and_stays(collection: Collection) -> None:
    """Where it is; a later run does not try it again, and says so too."""
    bad = collection.source / "0" / "bad.png"
    bad.write_bytes(b"no image at all")
    first = collection.make()
    first.run()
    second = collection.make()
    second.run()

    assert (1, 1) == (first.rejected, second.rejected)
    assert 0 == second.counters.rejected
    assert b"no image at all" == bad.read_bytes()


def test_an_interrupted_run_is_continued(collection: Collection) -> None:
    """What is in hand is finished first; the rest is left for the next run."""
    collection.colorist.gate.clear()
    (work,), thread = collection.begin()
    collection.signals.stop = True
    collection.colorist.gate.set()
    thread.join()

    assert work.work_left
    assert 0 < work.counters.finished < 12

    collection.signals.stop = False
    again = collection.make()
    again.run()

    assert not again.work_left
    assert 12 == work.counters.finished + again.counters.finished
    assert {JobStatus.FINISHED: 12} == collection.counts()


def test_no_more_is_queued_than_the_work_needs(
    collection: Collection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that memory and ledger do not run ahead of a collection of millions."""
    monkeypatch.setattr(backfill, "PORTION", 2)
    monkeypatch.setattr(backfill, "AHEAD", 0.2)
    collection.colorist.device_gate.clear()
    (work,), thread = collection.begin()
    most = 0.2 * work._pipeline.engine.slots + 2
    queued = collection.counts().get(JobStatus.QUEUED, 0)
    collection.colorist.device_gate.set()
    thread.join()

    assert queued <= most < 12
    assert AHEAD >= 1
    assert {JobStatus.FINISHED: 12} == collection.counts()


def test_shards_share_a_collection(collection: Collection) -> None:
    """Each photograph is in exactly one; they deliver into one folder side by side."""
    parts = [Shard(index, 3) for index in (1, 2, 3)]
    works = [collection.make(part) for part in parts]
    for work in works:
        assert work.run()

    assert 12 == len(files(collection.target))
    assert 12 == sum(work.counters.finished for work in works)
    assert all(work.counters.finished for work in works)


def test_each_path_is_in_exactly_one_shard() -> None:
    """Also one that is not UTF-8."""
    paths = [PurePosixPath(f"a/{number}.tif") for number in range(100)]
    paths.append(PurePosixPath("caf\udce9.tif"))
    for path in paths:
        assert 1 == sum(Shard(index, 7).has(path) for index in range(1, 8))


@pytest.mark.parametrize("text", ["", "0/3", "4/3", "1", "a/b", "1/0", "-1/3"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    """With what it must be."""
    with pytest.raises(ValueError, match="must be"):
        Shard.parse(text)


def test_a_shard_is_written_as_people_count() -> None:
    """From one."""
    assert Shard(2, 5) == Shard.parse("2/5")


def test_temporary_files_of_other_shards_are_left_alone(collection: Collection) -> None:
    """Unless they are so old that nobody writes them any more."""
    for name, age in ((".photochrom-1-1-ab.part", 0), (".photochrom-2-1-ab.part", 100_000)):
        collection.target.mkdir(exist_ok=True)
        path = collection.target / name
        path.write_bytes(b"half")
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    collection.make(Shard(1, 2)).run()

    assert [".photochrom-1-1-ab.part"] == [one.name for one in collection.target.glob(".*.part")]

    collection.make().run()

    assert [] == list(collection.target.glob(".*.part"))


def test_the_target_belongs_to_the_backfill(collection: Collection) -> None:
    """To all of its shards alike, wherever they run; not to a daemon."""
    collection.make(Shard(1, 2)).run()
    folder = os.open(collection.target, os.O_RDONLY)
    owner = owner_in(folder)
    os.close(folder)

    assert owner == owner_of(collection.config(Shard(2, 2)))
    assert not (collection.source / MARKER).exists()


def test_the_other_commands_know_a_backfill_by_its_configuration(collection: Collection) -> None:
    """Status and the rest."""
    collection.make().run()
    (file,) = (collection.folder / "state" / "backfill").glob("*/config.yaml")
    status = read_status(load_config(file))

    assert {12} == {count for count in (status.jobs or {}).values() if count}
    assert collection.source == status.inbox


def test_a_fault_of_the_machine_is_waited_for(collection: Collection) -> None:
    """As the daemon does."""
    collection.colorist.paint_faults.append(OSError(28, "No space left on device"))
    work = collection.make(retry=Retry(first_wait=0.05, longest_wait=0.1))

    assert work.run()
    assert {JobStatus.FINISHED: 12} == collection.counts()
