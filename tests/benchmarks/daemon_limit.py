"""How many photographs a second can one daemon queue, deliver and archive, whoever colors them?

    python -m tests.benchmarks.daemon_limit [--photos 3000] [--kilobytes 20] [--on FOLDER ...]
        [--profile FILE] [--write]

The real daemon (`run --once`) on an inbox that is full, with an engine whose workers take a set
time and cost this processor nothing, on each folder in turn: on a disk, and in memory, where syncs
cost nothing. Beside it, in the same run, the least that durable delivery takes: for each scan its
digest, a synced copy of the result, a rename and one sync of the folder, one after the other.
"""

import cProfile
import hashlib
import os
import sys
import time
import traceback
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import service.daemon.daemon as daemon_module
from service.config.loader import Config
from service.config.sections import Watch
from service.daemon.daemon import Daemon
from service.filesystem.folder_checks import make_folders
from service.ledger.jobs import JobStatus
from service.ledger.ledger import LEDGER_FILE
from service.ledger.queries import LedgerQueries
from service.log import set_up_logging
from tests.benchmarks import tables
from tests.benchmarks.processor import seconds_of_ended
from tests.support.fakes import FakeColorist
from tests.support.timed_engine import TimedEngine
from worker.atomic import sync_folder

RESULT = 30_000  # bytes
PER_FOLDER = 500
COLUMNS = {
    "on": "",
    "photographs": "",
    "one by one /s": ".0f",
    "daemon /s": ".0f",
    "ratio": ".2f",
    "processor, ms a photograph": ".2f",
    "MB/s": ".0f",
}
WORKERS, SECONDS = 64, 0.05  # 1,280 a second: never the limit


class Cost(NamedTuple):
    """What a run took: seconds by the clock, and of the processor."""

    seconds: float
    processor: float


def main() -> None:
    """Measure in each folder."""
    parser = tables.options(__doc__)
    parser.add_argument("--photos", type=int, default=3000)
    parser.add_argument("--kilobytes", type=int, default=20, help="of each scan")
    parser.add_argument("--on", type=Path, nargs="*", default=[Path("/tmp"), Path("/dev/shm")])  # noqa: S108
    parser.add_argument("--profile", type=Path, help="write a profile of the main thread there")
    wanted = parser.parse_args()
    with tables.Report("daemon-limit", write=wanted.write) as report:
        report.begin("daemon-limit", COLUMNS)
        for place in wanted.on:
            with TemporaryDirectory(dir=place) as name:
                scans = make_scans(Path(name) / "inbox", wanted.photos, wanted.kilobytes)
                least = in_a_child(lambda home=Path(name), all_=scans: one_by_one(home, all_))
                own = in_a_child(
                    lambda home=Path(name): daemon(home, wanted.photos, wanted.profile)
                )
            count = wanted.photos
            rate, bare = count / own.seconds, len(scans[::10]) / least.seconds
            cost = 1000 * own.processor / count
            what = f"{count} of {wanted.kilobytes} KB"
            report.add(place, what, bare, rate, rate / bare, cost, rate * wanted.kilobytes / 1000)


def make_scans(inbox: Path, count: int, kilobytes: int) -> list[Path]:
    """Fill an inbox with files unlike each other; no image is ever looked at."""
    scans = []
    for number in range(count):
        path = inbox / f"{number // PER_FOLDER:04d}" / f"{number:06d}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(number.to_bytes(8, "little") + os.urandom(1000 * kilobytes - 8))
        scans.append(path)
    os.sync()
    return scans


def one_by_one(home: Path, scans: list[Path]) -> None:
    """Copy a result durably for each tenth scan, with a digest and a sync of file and folder."""
    target = home / "one by one"
    target.mkdir()
    for path in scans[::10]:
        with path.open("rb") as file:
            hashlib.file_digest(file, "sha256")
        part = target / f"{path.name}.part"
        with part.open("wb") as file:
            file.write(bytes(RESULT))
            file.flush()
            os.fsync(file.fileno())
        part.rename(target / path.name)
        sync_folder(target)


def daemon(home: Path, count: int, profile: Path | None) -> None:
    """Run the daemon on the inbox until nothing is left, and make sure that it did all."""
    engine = lambda *_: TimedEngine(WORKERS, SECONDS, bytes(RESULT))  # noqa: E731
    daemon_module.make_engine = engine  # type: ignore[assignment]  # stands for workers elsewhere
    config = Config(watch=Watch(settle=0.0, settle_shared=0.0)).beside(home)
    make_folders(config.folders.values())
    with (home / "log").open("w") as log:
        set_up_logging("info", "json", log)
        one = Daemon(config, FakeColorist(), once=True)
        profiler = cProfile.Profile(time.thread_time)
        if profile:
            profiler.enable()
        one.run()
        profiler.disable()
        if profile:
            profiler.dump_stats(profile)
    with LedgerQueries.open(config.state / LEDGER_FILE) as ledger:
        assert ledger.counts()[JobStatus.FINISHED] == count


def in_a_child(work: object) -> Cost:
    """Do work in a process of its own and return what it took."""
    before, began = seconds_of_ended(), time.monotonic()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()  # type: ignore[operator]
            code = 0
        except BaseException:  # noqa: BLE001 - the fork must not go on as its parent
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    return Cost(time.monotonic() - began, seconds_of_ended() - before)


if __name__ == "__main__":
    main()
