"""What do very many files in the inbox cost?

    python -m tests.benchmarks.many_files [--known 100000] [--new 100000 1000000] [--on FOLDER]
        [--write]

Known files: an inbox that keeps its originals, all of them colored; the daemon is started, and then
has nothing to do but its rescans, one a minute. New files: the daemon queues them, and no engine
colors any; meanwhile `photochrom status` is asked every few seconds. Nothing is made up but the
engine and the files' content, which is a few bytes.
Processor seconds are those of the daemon's process; its memory, without a generator, is the
kernel's figure.
"""

import hashlib
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import threading
import time
from argparse import SUPPRESS
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import NamedTuple

import service.daemon.daemon as daemon_module
from service.config.loader import Config
from service.config.sections import Originals, Watch
from service.daemon.daemon import Daemon
from service.filesystem.folder_checks import make_folders
from service.filesystem.safe_open import file_stat
from service.ledger.jobs import Job, JobStatus
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.ledger.queries import LedgerQueries
from service.log import set_up_logging
from tests.benchmarks import tables
from tests.support.fakes import FakeColorist
from tests.support.timed_engine import TimedEngine

PER_FOLDER = 1000
RESCANS = 2  # that are measured
ASKED_EVERY = 10.0  # seconds
LOOKED_EVERY = 1.0  # seconds; to look costs the daemon's own processor time
KNOWN = {
    "known files": ",",
    "started: s": ".0f",
    "processor, s": ".1f",
    "idle: processor, s a minute": ".2f",
    "MB": ".0f",
}
NEW = {
    "new files": ",",
    "s": ".0f",
    "processor, s": ".1f",
    "µs a file": ".0f",
    "MB": ".0f",
    "`status`: median, s": ".1f",
    "longest, s": ".1f",
}


class Reading(NamedTuple):
    """What a daemon has used, when all files were reported, or when a rescan ended."""

    seconds: float
    processor: float
    megabytes: float


def main() -> None:
    """Measure known and new files."""
    parser = tables.options(__doc__)
    parser.add_argument("--known", type=int, nargs="*", default=[100_000])
    parser.add_argument("--new", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--on", type=Path, help="a folder on the disk to be used")
    parser.add_argument("--live", type=Path, help=SUPPRESS)  # what `measure` starts
    wanted = parser.parse_args()
    if wanted.live:
        live(wanted.live)
        return
    blocks = [name for name in ("known-files", "new-files") if getattr(wanted, name[:-6])]
    with tables.Report(*blocks, write=wanted.write) as report:
        if wanted.known:
            report.begin("known-files", KNOWN)
        for count in wanted.known:
            with TemporaryDirectory(dir=wanted.on) as folder:
                report.add(count, *known(Path(folder), count))
        if wanted.new:
            report.begin("new-files", NEW)
        for count in wanted.new:
            with TemporaryDirectory(dir=wanted.on) as folder:
                report.add(count, *new(Path(folder), count))


def known(home: Path, count: int) -> tuple[float, ...]:
    """Start a daemon on files that it has colored, and measure its rescans; see `KNOWN`."""
    make_inbox(home, count)
    note_as_colored(config_of(home))
    readings = measure(home, 1 + RESCANS)
    first, last = readings[0], readings[-1]
    idle = (last.processor - first.processor) / (last.seconds - first.seconds) * 60
    return first.seconds, first.processor, idle, last.megabytes


def new(home: Path, count: int) -> tuple[float, ...]:
    """Start a daemon on files that it has never seen; measure until all are queued; see `NEW`."""
    make_inbox(home, count)
    over, answers = threading.Event(), list[float]()
    asking = threading.Thread(target=ask, args=(home, over, answers))
    asking.start()
    try:
        (reading,) = measure(home, 1)
    finally:
        over.set()
        asking.join()
    with LedgerQueries.open(config_of(home).state / LEDGER_FILE) as ledger:
        assert ledger.counts()[JobStatus.QUEUED] == count
    seconds, processor, megabytes = reading
    each, asked = 1e6 * processor / count, statistics.median(answers)
    return seconds, processor, each, megabytes, asked, max(answers)


def ask(home: Path, over: threading.Event, answers: list[float]) -> None:
    """Ask the running daemon for its status until it is over, and note how long each answer took.

    The daemon may not have begun to report, or just have ended; what it says is not judged.
    """
    (home / "config.yaml").write_text("originals: {after: keep}\n")
    command = [str(Path(sys.executable).with_name("photochrom")), "status", "--json"]
    while not over.wait(0.0 if not answers else ASKED_EVERY):
        began = time.monotonic()
        done = subprocess.run(command, cwd=home, capture_output=True, text=True, check=False)
        answers.append(time.monotonic() - began)
        json.loads(done.stdout)


def config_of(home: Path) -> Config:
    """Configure a daemon that keeps originals in the inbox."""
    watch = Watch(settle=2.0, rescan=60.0)
    return Config(watch=watch, originals=Originals(after="keep")).beside(home)


def make_inbox(home: Path, count: int) -> None:
    """Fill an inbox with files unlike each other."""
    for number in range(count):
        folder = home / "inbox" / f"{number // PER_FOLDER:05d}"
        if number % PER_FOLDER == 0:
            folder.mkdir(parents=True)
        with (folder / f"{number:07d}.tif").open("wb") as file:
            file.write(b"II*\0" + number.to_bytes(8, "big") + b"end")
    os.sync()


def note_as_colored(config: Config) -> None:
    """Enter all files of the inbox in the ledger, as if each had been colored."""
    make_folders(config.folders.values())
    with Ledger(config.state / LEDGER_FILE) as ledger, ledger.transaction():
        for path in sorted(config.inbox.rglob("*.tif")):
            stat = file_stat(path)
            assert stat
            name = PurePosixPath(path.relative_to(config.inbox))
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            done = (JobStatus.FINISHED, 1, 0, None, "builtin", 0.0, 1.0, 2.0, 3.0)
            ledger.restore(Job(0, name, digest, name, stat, None, *done))


def measure(home: Path, count: int) -> list[Reading]:
    """Let a daemon live until it has told so many readings."""
    command = [sys.executable, "-m", "tests.benchmarks.many_files", "--live", str(home)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as daemon:
        assert daemon.stdout
        readings = [Reading(*json.loads(daemon.stdout.readline())) for _ in range(count)]
        daemon.send_signal(signal.SIGTERM)
        daemon.wait()
    return readings


def live(home: Path) -> None:
    """Be the daemon, with an engine that takes no photograph, and tell what it has used."""
    daemon_module.make_engine = lambda *_: TimedEngine(0, 0.0, b"")  # type: ignore[assignment]
    config = config_of(home)
    make_folders(config.folders.values())
    with (home / "log").open("w") as log:
        set_up_logging("info", "json", log)
        daemon = Daemon(config, FakeColorist())
        threading.Thread(target=tell, args=(daemon,), daemon=True).start()
        daemon.run()


def tell(daemon: Daemon) -> None:
    """Print a reading when all files were reported, and one at the end of each later rescan."""
    began, seen, pause = time.monotonic(), -1.0, threading.Event()
    while True:
        pause.wait(LOOKED_EVERY)
        watcher = daemon.watcher
        if watcher.rescanned_at != seen and watcher.rescan_seconds and watcher.settled(0.0):
            seen = watcher.rescanned_at
            megabytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
            print([time.monotonic() - began, time.process_time(), megabytes], flush=True)


if __name__ == "__main__":
    main()
