"""The daemon is killed while it carries out approvals, each time at another call; nothing is lost.

In a home where 20 results are held, all are approved. The daemon that delivers them is killed by
SIGKILL before or after changes of the ledger, or by strace before system calls that change the
disk; then it is started again, once, and all is delivered as if nothing had been killed. Once more
with the held results on another file system, from which they are copied.

A fixed spread of these points is tried; with PHOTOCHROM_KILL_POINTS=all in the environment, every
one.
"""

import os
import re
import shutil
import signal
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory

import pytest

from service.config.loader import Config
from service.filesystem import safe_open
from service.ledger.jobs import Decision
from service.ledger.ledger import LEDGER_FILE
from service.ledger.queries import LedgerQueries
from service.maintenance.verify import verify
from service.storage.sidecar import read_sidecar, sidecar_name
from tests.support.accounting import PHOTOS, collection, lost_or_torn, wrong_in_the_end
from tests.support.fake_device_daemon import Lives, Point, config_of, may_trace
from tests.support.folder_listing import files

LANES = 2  # lives at a time
ANOTHER_DISK = Path("/dev/shm")  # noqa: S108 - a file system that is not that of the other folders
ALL = os.environ.get("PHOTOCHROM_KILL_POINTS") == "all"
ENOUGH = 6  # points of each system call, without ALL
SYSTEM_CALLS = (
    *("pwrite64", "fdatasync", "fsync", "write", "rename", "renameat2", "linkat", "unlink"),
)
OF_THE_LEDGER = ("recover", "release_held", "carried_out")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600 if ALL else 600),
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
]


@dataclass
class Death:
    """One home, the kill in it, and what was wrong then and in the end."""

    point: Point
    code: int = 0
    after_the_kill: list[str] = field(default_factory=list)
    in_the_end: list[str] = field(default_factory=list)


class Kills:
    """Homes where all is held and approved, and the processes that are killed in them."""

    def __init__(self, folder: Path, *, apart: bool) -> None:
        """Make the home, and the processes."""
        self._folder, self._held = folder, folder / "held"
        self._apart = folder / "apart" if not apart else ANOTHER_DISK / folder.name
        self._apart.mkdir()
        self._lives: SimpleQueue[Lives] = SimpleQueue()
        for _ in range(LANES):
            self._lives.put(Lives())
        self._scans = collection(folder / "scans")
        shutil.copytree(folder / "scans", self._held / "inbox")
        lives = self._lives.get()
        lives.live(self._held, self._apart / "held", hold=True)
        lives.live(self._held, self._apart / "held", hold=True, command="approve")
        self._lives.put(lives)

    def close(self) -> None:
        """End the processes."""
        for _ in range(LANES):
            self._lives.get().close()
        shutil.rmtree(self._apart)

    def points(self) -> list[Point]:
        """List where the daemon that delivers can be killed."""
        trace = self._folder / "trace"
        strace = ["-o", str(trace), "-e", "trace=" + ",".join(SYSTEM_CALLS)]
        with self._home() as (home, apart):
            lives = self._lives.get()
            lives.live(home, apart, hold=True, strace=strace)
            self._lives.put(lives)
        of_threads = Counter(re.findall(r"^(\d+) +(\w+)\(", trace.read_text(), re.MULTILINE))
        most: dict[str, int] = {}
        for (_thread, call), count in of_threads.items():
            most[call] = max(most.get(call, 0), count)
        found = [
            Point(call, when)
            for call, count in most.items()
            for when in range(1, count + 1, 1 if ALL else 1 + count // ENOUGH)
        ]
        return found + [
            Point(call, when, after)
            for call in OF_THE_LEDGER
            for when in (1, *([7, PHOTOS] if call != "recover" else []))
            for after in (False, True)
        ]

    def die(self, death: Death) -> Death:
        """Kill as ordered, start again, and look at what is there."""
        lives = self._lives.get()
        try:
            with self._home() as (home, apart):
                config = config_of(home, apart, hold=True)
                death.code = lives.live(home, apart, hold=True, **death.point.order)
                death.after_the_kill = lost_or_torn(config, self._scans)
                death.after_the_kill += _gone(config)
                lives.live(home, apart, hold=True)
                death.in_the_end = wrong_in_the_end(config, self._scans) + _undelivered(config)
        finally:
            self._lives.put(lives)
        return death

    def _home(self) -> "_Home":
        return _Home(self._folder, self._held, self._apart)


class _Home:
    """A copy of the home, and of what lies apart from it."""

    def __init__(self, folder: Path, home: Path, apart: Path) -> None:
        self._copied = home, apart / "held"
        self._folders = TemporaryDirectory(dir=folder), TemporaryDirectory(dir=apart)

    def __enter__(self) -> tuple[Path, Path]:
        copies = [Path(one.__enter__()) / "copy" for one in self._folders]
        for source, copy in zip(self._copied, copies, strict=True):
            shutil.copytree(source, copy)
        return copies[0], copies[1]

    def __exit__(self, *_: object) -> None:
        for one in self._folders:
            one.cleanup()


def _gone(config: Config) -> list[str]:
    """Say which result is whole in neither folder."""
    wrong = []
    with LedgerQueries.open(config.state / LEDGER_FILE) as ledger:
        jobs = [job for job in ledger.colored() if job.output_digest]
    for job in jobs:
        both = [folder / job.output for folder in (config.outbox, config.review.folder)]
        if job.output_digest not in [safe_open.digest(path) for path in both if path.exists()]:
            wrong.append(f"gone: {job.output}")
    return wrong


def _undelivered(config: Config) -> list[str]:
    """Say what is not as if the approvals had been carried out at once."""
    wrong = [f"still held: {name}" for name in files(config.review.folder)]
    wrong += [f"verify: {one}" for one in verify(config, lambda *_: None).findings]
    with LedgerQueries.open(config.state / LEDGER_FILE) as ledger:
        wrong += [f"owed: {job.path}" for job in ledger.gallery.owing_review()]
        jobs = ledger.colored()
    for job in jobs:
        said = read_sidecar(config.outbox / sidecar_name(job.output)).decisions
        if (job.held, job.decision) != (False, Decision.APPROVED) or len(said) != 1:
            wrong.append(f"not delivered: {job}")
    return wrong


@pytest.fixture(scope="module", params=[False, True], ids=["one disk", "two disks"])
def deaths(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Death]]:
    """Kill one life in each home."""
    if not may_trace():
        pytest.skip("strace may not trace here")
    folder = tmp_path_factory.mktemp("approvals")
    if request.param and ANOTHER_DISK.stat().st_dev == folder.stat().st_dev:
        pytest.skip(f"{ANOTHER_DISK} is not another file system than {folder}")
    kills = Kills(folder, apart=request.param)
    with ThreadPoolExecutor(LANES) as lanes:
        yield list(lanes.map(kills.die, map(Death, kills.points())))
    kills.close()


def faults(deaths: Sequence[Death], when: str) -> list[str]:
    """Say what was wrong."""
    return [f"{death.point}: {fault}" for death in deaths for fault in getattr(death, when)]


def test_approvals_survive_every_kill(deaths: list[Death]) -> None:
    """No result is torn, or gone from both folders; at the next start all is delivered, once."""
    killed = [death for death in deaths if death.code == -signal.SIGKILL]

    assert len(killed) >= 30
    assert {*OF_THE_LEDGER} <= {death.point.call for death in killed}
    assert [] == faults(deaths, "after_the_kill")
    assert [] == faults(deaths, "in_the_end")
