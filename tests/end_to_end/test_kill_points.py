"""The daemon is killed hundreds of times, each time at another call, and nothing is lost by it.

The real daemon with a fake device colors 20 photos and rejects a file. It is killed by SIGKILL
before and after changes of the ledger, and by strace before system calls that change the disk; then
it is started again, once, and everything must be as if it had never been killed.

A fixed spread of these points is tried; with PHOTOCHROM_KILL_POINTS=all in the environment, every
one (six to ten minutes on two cores).
"""

import os
import random
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

from tests.support.accounting import PHOTOS, collection, wrong_after_a_kill, wrong_in_the_end
from tests.support.fake_device_daemon import Lives, Point, config_of, may_trace

LANES = 2  # lives at a time
ANOTHER_DISK = Path("/dev/shm")  # noqa: S108 - a file system that is not that of the other folders
ALL = os.environ.get("PHOTOCHROM_KILL_POINTS") == "all"

# How many calls of a life lie between two of the points that are tried.
SYSTEM_CALLS = {
    "pwrite64": 8,  # the ledger's
    "fdatasync": 2,  # the ledger's
    "fsync": 2,
    "write": 2,
    "rename": 1,
    "renameat2": 2,  # a result or sidecar gets its name, and an original moves
    "unlink": 1,
    "ftruncate": 1,
    "mkdir": 1,
}
# Changes of the ledger, and how many of each there are in a life, at the least.
TRANSITIONS = {
    "recover": 1,
    "record_active_model": 1,
    "enqueue": PHOTOS + 1,
    "claim": 6,
    "note_delivery": PHOTOS,
    "finish": PHOTOS,
    "fail": 1,
    "back_off": 1,
    "requeue": 1,
    "record_originals": 6,
    "unclaim": 2,
}
LINKS = ("linkat", "unlink")  # where nothing can be renamed at once, as on NFS
MOVES = ("renameat2", "unlink", "fsync")  # of an original that goes to another disk
IN_A_ROW = 6  # kills, without a life between them that comes to its end
ROWS = 6

needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600 if ALL else 600), needs_strace]


@dataclass
class Death:
    """One home, the kills in it, and what was wrong then and in the end."""

    points: Sequence[Point]
    elsewhere: bool = False
    at_once: bool = True
    codes: list[int] = field(default_factory=list)
    after_a_kill: list[str] = field(default_factory=list)
    in_the_end: list[str] = field(default_factory=list)

    @property
    def killed(self) -> int:
        """How many lives were cut short; another may have ended before its point came."""
        return self.codes.count(-signal.SIGKILL)


class Kills:
    """Homes to kill daemons in, and the processes they live in."""

    def __init__(self, folder: Path) -> None:
        """Make the photos, and the processes."""
        self.folder = folder
        self._lives: SimpleQueue[Lives] = SimpleQueue()
        for _ in range(LANES):
            self._lives.put(Lives())
        self.scans = collection(folder / "scans")
        self.calls = self._count()

    def close(self) -> None:
        """End the processes."""
        for _ in range(LANES):
            self._lives.get().close()

    def die(self, death: Death) -> Death:
        """Kill as ordered, start again, and look at what is there."""
        lives = self._lives.get()
        try:
            with (
                TemporaryDirectory(dir=self.folder) as folder,
                TemporaryDirectory(dir=ANOTHER_DISK) as another,
            ):
                home = Path(folder)
                elsewhere = Path(another) if death.elsewhere else None
                shutil.copytree(self.folder / "scans", home / "inbox")
                config = config_of(home, elsewhere)
                for point in death.points:
                    death.codes.append(
                        lives.live(home, elsewhere, at_once=death.at_once, **point.order)
                    )
                    death.after_a_kill += wrong_after_a_kill(config, self.scans)
                death.codes.append(lives.live(home, elsewhere, at_once=death.at_once))
                death.in_the_end = wrong_in_the_end(config, self.scans)
        finally:
            self._lives.put(lives)
        return death

    def _count(self) -> Counter[str]:
        """Count the calls of a whole life: those of the thread that makes the most of them."""
        trace, home = self.folder / "trace", self.folder / "counted"
        shutil.copytree(self.folder / "scans", home / "inbox")
        lives = self._lives.get()
        lives.live(home, strace=["-o", str(trace), "-e", "trace=" + ",".join(SYSTEM_CALLS)])
        self._lives.put(lives)
        calls = Counter(re.findall(r"^(\d+) +(\w+)\(", trace.read_text(), re.MULTILINE))
        most: Counter[str] = Counter()
        for (_thread, call), count in calls.items():
            most[call] = max(most[call], count)
        return most


@pytest.fixture(scope="module")
def kills(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kills]:
    """Make the homes' folder and the processes."""
    if not may_trace():
        pytest.skip("strace may not trace here")
    made = Kills(tmp_path_factory.mktemp("kills"))
    yield made
    made.close()


def killed(kills: Kills, deaths: Sequence[Death]) -> list[Death]:
    """Kill at all of them, a few at a time."""
    with ThreadPoolExecutor(LANES) as lanes:
        return list(lanes.map(kills.die, deaths))


def spread(count: int, step: int) -> range:
    """Choose some of the numbers 1 to `count`."""
    return range(1, count + 1, 1 if ALL else step)


@pytest.fixture(scope="module")
def deaths(kills: Kills) -> list[Death]:
    """Kill one life in each home."""
    points = [
        Point(call, when)
        for call, step in SYSTEM_CALLS.items()
        for when in spread(kills.calls[call], step)
    ]
    points += [
        Point(call, when, after)
        for call, count in TRANSITIONS.items()
        for when in spread(count, 2)
        for after in (False, True)
    ]
    return killed(kills, [Death([point]) for point in points])


@pytest.fixture(scope="module")
def deaths_between_disks(kills: Kills) -> list[Death]:
    """Kill while originals go to another file system, where they are copied."""
    if Path(ANOTHER_DISK).stat().st_dev == kills.folder.stat().st_dev:
        pytest.skip(f"{ANOTHER_DISK} is not another file system than {kills.folder}")
    points = [
        Point(call, when)
        for call in MOVES
        for when in spread(2 * PHOTOS, 3)
        if when <= kills.calls[call]
    ]
    return killed(kills, [Death([point], elsewhere=True) for point in points])


@pytest.fixture(scope="module")
def deaths_by_links(kills: Kills) -> list[Death]:
    """Kill where no file can be renamed at once, so that each has two names for a moment."""
    points = [Point(call, when) for call in LINKS for when in spread(3 * PHOTOS, 4)]
    return killed(kills, [Death([point], at_once=False) for point in points])


@pytest.fixture(scope="module")
def deaths_in_a_row(kills: Kills) -> list[Death]:
    """Kill one life after the other in the same home."""
    chance = random.Random(5)  # noqa: S311 - the same rows each time
    rows = []
    for _ in range(10 * ROWS if ALL else ROWS):
        calls = chance.choices(sorted(SYSTEM_CALLS), k=IN_A_ROW)
        rows.append(
            [Point(call, chance.randint(1, max(1, kills.calls[call] // 4))) for call in calls]
        )
    return killed(kills, [Death(row) for row in rows])


def at_once(deaths: Sequence[Death]) -> list[str]:
    """Say what was wrong right after a kill."""
    return [f"{death.points}: {fault}" for death in deaths for fault in death.after_a_kill]


def in_the_end(deaths: Sequence[Death]) -> list[str]:
    """Say what was wrong after the life that was not cut short."""
    unfinished = [f"{death.points}: {death.codes}" for death in deaths if death.codes[-1] != 0]
    return unfinished + [
        f"{death.points}: {fault}" for death in deaths for fault in death.in_the_end
    ]


def test_at_least_200_lives_were_cut_short(deaths: list[Death]) -> None:
    """Else the other tests would prove little; each kind of call ended some."""
    ended = Counter(death.points[0].call for death in deaths if death.killed)

    assert ended.total() >= 200
    assert {*SYSTEM_CALLS, *TRANSITIONS} == ended.keys()


def test_a_kill_leaves_no_photo_torn_and_no_original_lost(deaths: list[Death]) -> None:
    """At once, before anything is started again; and what was moved has its result and sidecar."""
    assert [] == at_once(deaths)


def test_the_next_start_ends_as_if_nothing_had_been(deaths: list[Death]) -> None:
    """All photos once and whole, all originals by SHA-256, no remains, `verify` finds nothing."""
    assert [] == in_the_end(deaths)


def test_a_move_to_another_disk_survives_every_kill(deaths_between_disks: list[Death]) -> None:
    """Copied whole, once, and only then gone from the inbox."""
    assert 20 < sum(death.killed for death in deaths_between_disks)
    assert [] == at_once(deaths_between_disks)
    assert [] == in_the_end(deaths_between_disks)


def test_a_file_with_two_names_survives_every_kill(deaths_by_links: list[Death]) -> None:
    """On a share such as NFS; afterwards it has one name, and is counted once."""
    assert 10 <= sum(death.killed for death in deaths_by_links)
    assert [] == at_once(deaths_by_links)
    assert [] == in_the_end(deaths_by_links)


def test_kills_in_a_row_do_no_more_harm_than_one(deaths_in_a_row: list[Death]) -> None:
    """What one left half done, the next one's remains included."""
    assert ROWS * 4 < sum(death.killed for death in deaths_in_a_row)
    assert [] == at_once(deaths_in_a_row)
    assert [] == in_the_end(deaths_in_a_row)
