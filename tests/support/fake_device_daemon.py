"""The real daemon with a fake device, life after life, each in a process of its own to be killed.

`python -m tests.support.fake_device_daemon` loads all once, forks a life for each line of JSON
that it reads. It answers with two lines: the life's process number when it begins, and when it
ended its exit code, negative for the signal that ended it. TensorFlow is not loaded. It is Linux's
fork and strace that make 500 lives a matter of two minutes.
"""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.config.loader import Config
from service.config.sections import Batching, Originals, Retry, Review, Stop, Watch
from service.daemon.daemon import Daemon
from service.filesystem import durable
from service.filesystem.folder_checks import make_folders
from service.filesystem.lock import StateLock
from service.interning import keep_no_names
from service.ledger.gallery import GalleryFilter
from service.ledger.jobs import Decision, Job
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.ledger.queries import LedgerQueries
from service.ledger.reviews import Reviews
from service.log import set_up_logging
from service.maintenance.recolor import queue_again
from service.maintenance.retry import forget, retry
from service.maintenance.review import decide_filtered
from service.storage import moves
from tests.support.fakes import FakeColorist
from worker.inference import local_engine

ROOT = Path(__file__).parents[2]
LOG_FILE = "daemon.log"  # in its home, of a life that goes on until it is asked to stop
EXIT_WORK_LEFT = 75
FAULT_BEFORE = {  # what leads to a change of the ledger that there is not in every life
    "back_off": OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    "requeue": ValueError("nobody foresaw it"),
}
COMMANDS: dict[str, Callable[[Config], object]] = {
    "recolor": queue_again,
    "retry": lambda config: retry(config, rejected=True),
    "forget": lambda config: forget(config, range(1, 100)),
    "approve": lambda config: decide_filtered(
        config, HELD, count_held(config), Decision.APPROVED, who="Ada"
    ),
}
HELD = GalleryFilter(state="held")
LONGEST_WAIT = 20.0  # seconds


def count_held(config: Config) -> int:
    """Count the results that wait for approval."""
    with LedgerQueries.open(config.state / LEDGER_FILE) as ledger:
        return ledger.gallery.count(HELD)


@dataclass(frozen=True)
class Point:
    """Where a life is to end: before, or after, the n-th call of a thread, or of the ledger."""

    call: str
    when: int
    after: bool = False

    @property
    def order(self) -> dict[str, Any]:
        """The arguments of `Lives.live` that end it there."""
        if hasattr(Ledger, self.call) or hasattr(Reviews, self.call):
            return {"transition": (self.call, self.when, self.after)}
        inject = f"inject={self.call}:signal=KILL:when={self.when}"
        return {"strace": ["-o", "/dev/null", "-e", f"trace={self.call}", "-e", inject]}


def config_of(home: Path, elsewhere: Path | None = None, *, hold: bool = False) -> Config:
    """Configure a hasty daemon.

    Args:
        home: its folder.
        elsewhere: where originals, rejected files and held results go, such as on another file
            system; or None.
        hold: whether results are held.
    """
    away = elsewhere or home
    return Config(
        review=Review(mode="hold" if hold else "after", folder=away / "held"),
        watch=Watch(settle=0.0, rescan=5.0, incomplete_timeout=0.0),
        batch=Batching(longest_wait=0.0),
        retry=Retry(attempts=20, first_wait=0.05, longest_wait=0.1),
        stop=Stop(within=20.0),
        originals=Originals(folder=away / "originals"),
        rejected=away / "rejected",
    ).beside(home)


def live(
    config: Config, fault: Exception | None = None, *, once: bool = True, model: str = "fake"
) -> int:
    """Do what `photochrom run` does, or `photochrom run --once`; return the exit code.

    Args:
        config: as `config_of` gives it.
        fault: of the first photo that is painted; or None.
        once: end when nothing waits; else go on until asked to stop.
        model: the version that colors.
    """
    make_folders(config.folders.values())
    with StateLock(config.state):
        colorist = FakeColorist(batch_size=4, model=model)
        if fault:
            colorist.paint_faults.append(fault)
        daemon = Daemon(config, colorist, once=once)
        daemon.run()
    return EXIT_WORK_LEFT if once and daemon.work_left else 0


def kill_at(transition: str, when: int, *, after: bool) -> None:
    """Have this process killed before or after the n-th call of a method of the ledger."""
    kind = Ledger if hasattr(Ledger, transition) else Reviews
    method = getattr(kind, transition)
    calls = 0

    def counted(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == when and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        result = method(*args, **kwargs)
        if calls == when:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(kind, transition, counted)


def stop_with_some_claimed() -> None:
    """Have this process asked to stop while two jobs are claimed that no reader has begun.

    The one reader waits until one of them is given back, else it could be done with all before the
    main thread gets to stopping.
    """
    local_engine.THREADS = 1
    may_read = threading.Event()
    may_read.set()
    claim, unclaim, read = Ledger.claim, Ledger.unclaim, local_engine.LocalEngine._read

    def claimed(*args: Any, **kwargs: Any) -> list[Job]:
        jobs = claim(*args, **kwargs)
        if len(jobs) > 2:
            may_read.clear()
            os.kill(os.getpid(), signal.SIGTERM)
        return jobs

    def unclaimed(*args: Any, **kwargs: Any) -> Job:
        may_read.set()
        return unclaim(*args, **kwargs)

    def reads(*args: Any) -> None:
        may_read.wait(LONGEST_WAIT)
        read(*args)

    Ledger.claim, Ledger.unclaim, local_engine.LocalEngine._read = claimed, unclaimed, reads


def born(order: dict[str, Any]) -> int:
    """Live as ordered; called in a process of its own.

    Args:
        order: `home`; `elsewhere`, or None; `at_once`, whether files can be renamed at once;
            `strace`, whose options have this process watched or killed at a system call, or None;
            `transition`, the arguments of `kill_at`, or None; `once` and `model`, as for `live`;
            `command`, which to run in place of the daemon, or None; `hold`, as for `config_of`.
    """
    keep_no_names()
    if order["strace"]:
        os.kill(os.getpid(), signal.SIGSTOP)  # until it is traced
    if not order["at_once"]:
        durable.renamed_at_once = moves.renamed_at_once = _not_renamed
    fault = None
    if order["transition"]:
        transition, when, after = order["transition"]
        kill_at(transition, when, after=after)
        fault = FAULT_BEFORE.get(transition)
        if transition == "unclaim":
            stop_with_some_claimed()
    home, elsewhere = Path(order["home"]), order["elsewhere"]
    config = config_of(home, elsewhere and Path(elsewhere), hold=order["hold"])
    if order["once"]:
        set_up_logging("error", "json")
        if order["command"]:
            COMMANDS[order["command"]](config)
            return 0
        return live(config, fault, model=order["model"])
    with (home / LOG_FILE).open("a") as file:
        set_up_logging("info", "json", file)
        return live(config, fault, once=False)


def _not_renamed(*_: object) -> bool:
    """Know no rename that replaces nothing, as NFS does not."""
    return False


def give_birth(order: dict[str, Any]) -> int:
    """Fork a life and return its exit code, negative for the signal that ended it."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = born(order)
        except BaseException:  # noqa: BLE001 - the fork must not go on as its parent
            traceback.print_exc()
        finally:
            os._exit(code)
    answer(child)
    if order["strace"]:
        os.waitpid(child, os.WUNTRACED)
        _trace(child, order["strace"])
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def answer(number: int) -> None:
    """Write a line of an answer."""
    print(number, flush=True)  # noqa: T201 - the answer


def _trace(child: int, options: list[str]) -> None:
    """Put strace on a stopped process, and let that go on."""
    command = ["strace", "-f", "-p", str(child), *options]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr
    said = tracer.stderr.readline()
    if "attached" not in said:
        os.kill(child, signal.SIGKILL)
        raise AssertionError(f"strace does not work here: {said}")
    os.kill(child, signal.SIGCONT)
    tracer.communicate()


def may_trace() -> bool:
    """Tell whether strace may be put on a process that it did not start."""
    with subprocess.Popen(["sleep", "60"]) as other:
        command = ["timeout", "1", "strace", "-p", str(other.pid)]
        said = subprocess.run(command, capture_output=True, text=True, check=False).stderr
        other.kill()
    return "attached" in said


class Lives:
    """The process that forks lives."""

    def __init__(self) -> None:
        """Start it."""
        self._life: int | None = None  # the number of one that has not ended
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.fake_device_daemon"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def close(self) -> None:
        """End it, and a life that has not ended."""
        if self._life is not None:
            os.kill(self._life, signal.SIGKILL)
        self._process.communicate()

    def begin(
        self,
        home: Path,
        elsewhere: Path | None = None,
        *,
        at_once: bool = True,
        strace: list[str] | None = None,
        transition: tuple[str, int, bool] | None = None,
        once: bool = True,
        model: str = "fake",
        command: str | None = None,
        hold: bool = False,
    ) -> int:
        """Begin a life; for the arguments see `config_of` and `born`. Return its process number."""
        order = {
            "home": str(home),
            "elsewhere": elsewhere and str(elsewhere),
            "at_once": at_once,
            "strace": strace,
            "transition": transition,
            "once": once,
            "model": model,
            "command": command,
            "hold": hold,
        }
        assert self._process.stdin
        print(json.dumps(order), file=self._process.stdin, flush=True)
        self._life = self._answer()
        return self._life

    def end(self) -> int:
        """Wait for the end of the life that was begun; return its exit code."""
        code = self._answer()
        self._life = None
        return code

    def live(self, home: Path, elsewhere: Path | None = None, **order: Any) -> int:
        """Begin a life, with the arguments of `begin`, and wait for its end."""
        self.begin(home, elsewhere, **order)
        return self.end()

    def _answer(self) -> int:
        assert self._process.stdout
        return int(self._process.stdout.readline())


if __name__ == "__main__":
    for line in sys.stdin:
        answer(give_birth(json.loads(line)))
