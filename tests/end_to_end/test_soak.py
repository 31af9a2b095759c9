"""A year in fast motion: thousands of photos, a daemon that is restarted again and again, then not.

The real daemon with a fake device colors what a feeder drops while it works. First it is stopped or
killed at random; its last life is long, and is measured whenever it has nothing to do.

With PHOTOCHROM_SOAK=all in the environment it is 20,000 photos, of which the last life colors
12,000 (docs/benchmarks.md has what it took and measured).
"""

import os
import random
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import pytest

from service.config.loader import Config
from service.ledger.jobs import Job, JobStatus
from service.ledger.ledger import LEDGER_FILE
from service.ledger.queries import LedgerQueries
from service.maintenance.verify import verify
from service.pipeline import pipeline
from service.storage.sidecar import read_sidecar
from tests.support.accounting import digests
from tests.support.fake_device_daemon import Lives, config_of
from tests.support.folder_listing import files
from tests.support.waiting import wait_until
from tests.support.wave_feeder import Feeder, Scan, left

ALL = os.environ.get("PHOTOCHROM_SOAK") == "all"
WITH_RESTARTS, WITHOUT = (8_000, 12_000) if ALL else (1_500, 5_000)
WAVES = (50, 350)  # photos
WARM = 1_000  # photos of a life until its memory is compared
GROWTH = 1.05  # of memory, at the most
QUIET_SHARE = 0.1  # of restarts, with nothing in work
PATIENCE = 120.0  # seconds, for a wave
MEMORY_DISK = Path("/dev/shm")  # noqa: S108 - the test wears no disk down

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600 if ALL else 600)]


class Reading(NamedTuple):
    """What a daemon that waits for photos holds.

    Attributes:
        photos: that it was given in this life.
        resident: its memory, in kilobytes.
        threads: how many.
        descriptors: how many are open.
    """

    photos: int
    resident: int
    threads: int
    descriptors: int


@dataclass
class Soak:
    """What a soak left, and what was seen in it."""

    config: Config
    feeder: Feeder
    codes: list[int] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)

    @property
    def jobs(self) -> dict[Scan, Job]:
        """What the ledger knows, by name and content."""
        with LedgerQueries.open(self.config.state / LEDGER_FILE) as ledger:
            jobs = [*ledger.owning_output(), *ledger.failed()]
        return {(str(job.path), job.digest): job for job in jobs}


@pytest.fixture(scope="module")
def soak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Soak]:
    """Let the daemon live through it all."""
    on = MEMORY_DISK if MEMORY_DISK.is_dir() else tmp_path_factory.getbasetemp()
    with TemporaryDirectory(dir=on) as folder:
        home = Path(folder)
        (home / "inbox").mkdir()
        soak = Soak(config_of(home), Feeder(home, seed=5))
        lives = Lives()
        try:
            restart_again_and_again(soak, lives, home)
            live_long(soak, lives, home)
        finally:
            lives.close()
        yield soak


def restart_again_and_again(soak: Soak, lives: Lives, home: Path) -> None:
    """Stop or kill the daemon at a random point of each wave, which often waits for its start."""
    chance = random.Random(5)  # noqa: S311 - the same restarts each time
    while soak.feeder.dropped < WITH_RESTARTS:
        before = chance.random() < 0.5
        wave = chance.randint(*WAVES)
        if before:
            soak.feeder.wave(wave)
        life = lives.begin(home, once=False)
        if not before:
            soak.feeder.wave(wave)
        still = 0 if chance.random() < QUIET_SHARE else chance.randint(0, left(soak.config.inbox))
        wait_until(lambda most=still: left(soak.config.inbox) <= most, PATIENCE)
        os.kill(life, chance.choice([signal.SIGTERM, signal.SIGKILL]))
        soak.codes.append(lives.end())


def live_long(soak: Soak, lives: Lives, home: Path) -> None:
    """Do without a restart, and measure between the waves."""
    chance = random.Random(6)  # noqa: S311 - the same waves each time
    life = lives.begin(home, once=False)
    before = soak.feeder.dropped - left(soak.config.inbox)
    while soak.feeder.dropped < WITH_RESTARTS + WITHOUT:
        soak.feeder.wave(chance.randint(*WAVES))
        wait_until(lambda: is_delivered(life, soak.config), PATIENCE)
        soak.readings.append(read(life, soak.feeder.dropped - before))
    os.kill(life, signal.SIGTERM)
    soak.codes.append(lives.end())


def is_delivered(process: int, config: Config) -> bool:
    """Tell whether a daemon has done all that there is, has no photo open and writes no state."""
    if left(config.inbox):
        return False
    with LedgerQueries.open(config.state / LEDGER_FILE) as ledger:
        counts = ledger.counts()
    folders = (config.inbox, config.outbox, config.originals.folder, config.rejected)
    return not (counts[JobStatus.QUEUED] or counts[JobStatus.STARTED]) and not any(
        path == config.state or path.suffix == ".part" or any(map(path.is_relative_to, folders))
        for path in opened(process)
    )


def opened(process: int) -> list[Path]:
    """List what a process has open."""
    found = []
    for descriptor in Path(f"/proc/{process}/fd").iterdir():
        try:
            found.append(descriptor.readlink())
        except FileNotFoundError:  # closed just now
            continue
    return found


def read(process: int, photos: int) -> Reading:
    """Measure a daemon."""
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines)
    resident = int(status["VmRSS"].split()[0])
    return Reading(photos, resident, int(status["Threads"]), len(opened(process)))


def test_the_daemon_was_restarted_in_its_work_and_lived_long(soak: Soak) -> None:
    """Else the other tests would prove little; stopped as asked it ends with 0, also at the end."""
    codes = Counter(soak.codes)

    assert {0, -signal.SIGKILL} <= codes.keys() <= {0, -signal.SIGKILL, -signal.SIGTERM}
    assert WITH_RESTARTS / WAVES[1] <= codes.total()
    assert 0 == soak.codes[-1]
    assert WITHOUT <= soak.readings[-1].photos


def test_each_photo_is_in_the_outbox_exactly_once(soak: Soak) -> None:
    """By the name and the SHA-256 that its sidecar tells; nothing else is there, no part file."""
    book, outbox = soak.feeder.book, soak.config.outbox
    told = [read_sidecar(path).source for path in outbox.rglob("*.json")]
    delivered = Counter((source.path, source.sha256) for source in told)

    assert set() == book.must - delivered.keys()
    assert set() == delivered.keys() - book.must - book.may
    assert {1} == set(delivered.values())
    assert len(delivered) == len(files(outbox))


def test_each_original_is_accounted_for(soak: Soak) -> None:
    """By its SHA-256: in the originals, or rejected; the inbox is empty."""
    book, config = soak.feeder.book, soak.config
    kept = digests(config.originals.folder)
    rejected = digests(config.rejected)
    found = Counter([*kept.values(), *(one for _name, one in rejected.items() & book.torn)])
    least = Counter(digest for _name, digest in book.must | book.torn)
    extra = Counter(digest for _name, digest in [*book.may, *book.twice])

    assert {} == digests(config.inbox)
    assert Counter() == least - found
    assert Counter() == found - least - extra
    assert len(book.torn) == len(rejected) / 2  # each with its reason
    assert [] == [name for name in kept if Path(name).name.startswith(".")]


def test_the_ledger_is_consistent(soak: Soak) -> None:
    """All is finished or rejected, SQLite is content, and `verify` finds only what was taken."""
    book, jobs = soak.feeder.book, soak.jobs
    finished = {scan for scan, job in jobs.items() if job.status is JobStatus.FINISHED}
    failed = {scan for scan, job in jobs.items() if job.status is JobStatus.FAILED}
    scans = {job.id: scan for scan, job in jobs.items()}
    found = verify(soak.config, lambda *_: None)
    database = sqlite3.connect(soak.config.state / LEDGER_FILE)
    said = database.execute("PRAGMA integrity_check").fetchall()
    database.close()

    assert jobs.keys() == finished | failed
    assert book.must <= finished <= book.must | book.may
    assert book.torn <= failed <= book.torn | book.may
    assert (len(finished), 0, 0) == (found.checked, found.without_digest, found.in_work)
    assert [] == [
        one for one in found.findings if one.kind != "original" or scans[one.job] not in book.may
    ]
    assert [("ok",)] == said


def test_memory_grows_less_than_five_percent_after_the_first_thousand_photos(soak: Soak) -> None:
    """Of one life, whatever comes then."""
    warm = next(reading for reading in soak.readings if reading.photos >= WARM)
    later = [reading for reading in soak.readings if reading.photos > warm.photos]

    assert max(reading.resident for reading in later) < GROWTH * warm.resident, soak.readings


def test_threads_and_descriptors_stay_the_same(soak: Soak) -> None:
    """After each wave the daemon holds as many; but threads that deliver begin when needed."""
    threads = {reading.threads for reading in soak.readings}
    descriptors = [reading.descriptors for reading in soak.readings]
    half = len(descriptors) // 2

    assert max(threads) < min(threads) + pipeline.THREADS, soak.readings
    # A reading may meet a heartbeat as it is written; what leaks stays in all later ones.
    assert min(descriptors[:half]) == min(descriptors[half:]), soak.readings
