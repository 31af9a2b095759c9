"""`recolor`, `retry`, `forget` and coloring again are killed at their calls; nothing is lost.

In a home where 20 photos are finished and a file is rejected, a command is killed by SIGKILL before
or after changes of the ledger, or by strace before system calls that change the disk. It is run
again, and the daemon with a fake device does the rest: all is as if nothing had been killed.

A fixed spread of these points is tried; with PHOTOCHROM_KILL_POINTS=all in the environment, every
one.
"""

import os
import re
import shutil
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from tempfile import TemporaryDirectory

import pytest

from service.config.loader import Config
from service.ledger.jobs import Job
from service.ledger.ledger import LEDGER_FILE
from service.ledger.queries import LedgerQueries
from tests.support.accounting import (
    BAD,
    PHOTOS,
    collection,
    digests,
    lost_or_torn,
    wrong_after_a_kill,
    wrong_in_the_end,
)
from tests.support.fake_device_daemon import Lives, Point, config_of, may_trace

LANES = 2  # lives at a time
ALL = os.environ.get("PHOTOCHROM_KILL_POINTS") == "all"
NEW = "builtin"  # the version that colors again; `recolor` leaves its photos alone
ENOUGH = 5  # points of each system call, without ALL
SYSTEM_CALLS = ("pwrite64", "fdatasync", "fsync", "write", "rename", "renameat2", "unlink")
OF_COMMANDS = {"recolor": ["recolor"], "retry": ["transaction"], "forget": ["forget"]}
OF_COLORING = ["recover", "record_active_model", "claim", "finish"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3600 if ALL else 600),
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed"),
]


@dataclass
class Death:
    """One home, the command that was run there, the kill, and what was wrong then and in the end.

    Attributes:
        command: which was killed; or None: the coloring that it asked for.
    """

    command: str | None
    point: Point
    code: int = 0
    after_the_kill: list[str] = field(default_factory=list)
    in_the_end: list[str] = field(default_factory=list)


class Kills:
    """Homes where all is finished, made from one, and the processes that are killed in them."""

    def __init__(self, folder: Path) -> None:
        """Make the home, and the processes."""
        self._folder, self._finished = folder, folder / "finished"
        self._lives: SimpleQueue[Lives] = SimpleQueue()
        for _ in range(LANES):
            self._lives.put(Lives())
        self._scans = collection(folder / "scans")
        shutil.copytree(folder / "scans", self._finished / "inbox")
        lives = self._lives.get()
        lives.live(self._finished)
        self._lives.put(lives)
        self._before = digests(self._finished)

    def close(self) -> None:
        """End the processes."""
        for _ in range(LANES):
            self._lives.get().close()

    def points(self, command: str | None, transitions: Iterable[str]) -> list[Point]:
        """List where a command, or the coloring that it asks for, can be killed."""
        trace = self._folder / "trace"
        strace = ["-o", str(trace), "-e", "trace=" + ",".join(SYSTEM_CALLS)]
        with TemporaryDirectory(dir=self._folder) as folder:
            home = self._home(folder)
            lives = self._lives.get()
            if command is None:
                lives.live(home, command="recolor")
            lives.live(home, command=command, model=NEW, strace=strace)
            self._lives.put(lives)
        # Of the thread that makes the most of them; strace counts for each thread.
        of_threads = Counter(re.findall(r"^(\d+) +(\w+)\(", trace.read_text(), re.MULTILINE))
        most: dict[str, int] = {}
        for (_thread, call), count in of_threads.items():
            most[call] = max(most.get(call, 0), count)
        found = [
            Point(call, when)
            for call, count in most.items()
            for when in range(1, count + 1, 1 if ALL else 1 + count // ENOUGH)
        ]
        return found + [Point(call, 1, after) for call in transitions for after in (False, True)]

    def die(self, death: Death) -> Death:
        """Kill as ordered, do all that was asked for, and look at what is there."""
        lives = self._lives.get()
        try:
            with TemporaryDirectory(dir=self._folder) as folder:
                home = self._home(folder)
                if death.command is None:
                    lives.live(home, command="recolor")
                death.code = lives.live(home, command=death.command, model=NEW, **death.point.order)
                death.after_the_kill = self._wrong_after_the_kill(death.command, home)
                lives.live(home, command=death.command or "recolor", model=NEW)
                if death.command != "forget":
                    lives.live(home, model=NEW)
                death.in_the_end = self._wrong_in_the_end(death.command, home)
        finally:
            self._lives.put(lives)
        return death

    def _home(self, folder: str) -> Path:
        return Path(shutil.copytree(self._finished, folder, dirs_exist_ok=True))

    def _wrong_after_the_kill(self, command: str | None, home: Path) -> list[str]:
        config = config_of(home)
        if command is None:  # a result is replaced before its sidecar is
            return lost_or_torn(config, self._scans)
        return wrong_after_a_kill(config, self._scans)

    def _wrong_in_the_end(self, command: str | None, home: Path) -> list[str]:
        config = config_of(home)
        jobs = jobs_of(config)
        if command == "forget":
            changed = [path for path, _ in self._before.items() ^ digests(home).items()]
            wrong = [path for path in changed if not path.startswith("state/")]
            return wrong + [f"not forgotten: {job.path}" for job in jobs]
        wrong = wrong_in_the_end(config, self._scans)
        if command == "retry":
            was = next(job for job in jobs_of(config_of(self._finished)) if str(job.path) == BAD)
            wrong += [f"not tried again: {BAD}" for job in jobs if job == was]
        else:
            colored = Counter(job.model for job in jobs if job.output_digest)
            wrong += [] if colored == {NEW: PHOTOS} else [f"colored by {colored}"]
        return wrong


def jobs_of(config: Config) -> list[Job]:
    """List what the ledger knows, whose file must be in order."""
    database = sqlite3.connect(config.state / LEDGER_FILE)
    assert [("ok",)] == database.execute("PRAGMA integrity_check").fetchall()
    database.close()
    with LedgerQueries.open(config.state / LEDGER_FILE) as ledger:
        return [*ledger.owning_output(), *ledger.failed()]


@pytest.fixture(scope="module")
def kills(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kills]:
    """Make the homes' folder and the processes."""
    if not may_trace():
        pytest.skip("strace may not trace here")
    made = Kills(tmp_path_factory.mktemp("kills"))
    yield made
    made.close()


def killed(kills: Kills, command: str | None, transitions: Sequence[str]) -> list[Death]:
    """Kill at all of them, a few at a time; each kind of call must have ended a life."""
    deaths = [Death(command, point) for point in kills.points(command, transitions)]
    with ThreadPoolExecutor(LANES) as lanes:
        done = list(lanes.map(kills.die, deaths))
    ended = {death.point.call for death in done if death.code == -signal.SIGKILL}
    assert {death.point.call for death in deaths} == ended
    return done


@pytest.mark.parametrize("command", OF_COMMANDS)
def test_a_command_that_is_killed_is_simply_run_again(kills: Kills, command: str) -> None:
    """Nothing is lost or torn at once, and the second run does what the first did not."""
    deaths = killed(kills, command, OF_COMMANDS[command])

    assert 4 <= len(deaths)
    assert [] == [(death.point, death.after_the_kill) for death in deaths if death.after_the_kill]
    assert [] == [(death.point, death.in_the_end) for death in deaths if death.in_the_end]


def test_coloring_again_that_is_killed_loses_no_result(kills: Kills) -> None:
    """Each result is the earlier or the new one, whole; in the end all are new, exactly once."""
    deaths = killed(kills, None, OF_COLORING)

    assert 20 <= len(deaths)
    assert [] == [(death.point, death.after_the_kill) for death in deaths if death.after_the_kill]
    assert [] == [(death.point, death.in_the_end) for death in deaths if death.in_the_end]
