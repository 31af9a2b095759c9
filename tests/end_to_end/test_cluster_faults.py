"""A daemon with a Ray cluster, while its workers, machines and head die: each photograph once.

CI has the short form. PHOTOCHROM_LONG=1 colors 2,000 photographs, and delays and breaks calls too.
"""

import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from service.config.loader import load_config
from service.ledger.jobs import JobStatus
from service.ledger.ledger import LEDGER_FILE
from service.ledger.queries import LedgerQueries
from tests.support.command import Command, Home
from tests.support.folder_listing import files
from tests.support.ray_cluster import RayCluster, RayNode
from tests.support.synthetic_photos import gray_scene
from tests.support.waiting import wait_until

pytest.importorskip("ray", reason="needs the extra ray")

LONG = bool(os.environ.get("PHOTOCHROM_LONG"))
PHOTOS = 2000 if LONG else 400
SECONDS = "0.15"  # for each photograph
WITHIN = 1800.0 if LONG else 240.0  # seconds, on a machine that does much else
CONFIG = """
watch: {{settle: 0.1, rescan: 2.0}}
retry: {{first_wait: 0.5, longest_wait: 2.0, attempts: 10}}
engine: {{kind: ray, address: '{address}', cpus: 1, patience: 6}}
log: {{level: info, format: json}}
"""
DELAYS = {"RAY_testing_asio_delay_us": "*=1000:50000"}
BROKEN = {
    "RAY_testing_rpc_failure": '{"*": {"num_failures": -1, "req_failure_prob": 10,'
    ' "resp_failure_prob": 10}}'
}
PROGRAM = (sys.executable, "-m", "tests.support.timed_cluster")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(WITHIN + 120)]


@dataclass
class Scene:
    """A daemon at work, and its cluster.

    Attributes:
        home: the daemon's folders.
        daemon: its process.
        cluster: the machines.
        told: what was done to them, for people.
        since: when this began, monotonic seconds.
    """

    home: Home
    daemon: Command
    cluster: RayCluster
    told: list[str] = field(default_factory=list)
    since: float = field(default_factory=time.monotonic)

    @property
    def done(self) -> int:
        """How many photographs were delivered so far."""
        return len(self.daemon.events("photo.delivered"))

    def progress(self, more: int) -> None:
        """Wait until so many more photographs are delivered; the daemon must live."""
        goal = min(PHOTOS, self.done + more)

        def reached() -> bool:
            assert self.daemon.process.poll() is None, self.daemon.said[-3000:]
            return self.done >= goal

        wait_until(reached, WITHIN)

    def tell(self, what: str) -> None:
        """Note what is done, for people."""
        self.told.append(f"{time.monotonic() - self.since:4.0f} s, {self.done} delivered: {what}")


def workers_of(node: RayNode) -> list[int]:
    """List the processes of a node that color."""
    found = []
    for each in node.processes:
        with suppress(OSError):
            if b"NodeWorker" in Path(f"/proc/{each}/cmdline").read_bytes():
                found.append(each)
    return found


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Start a cluster of three machines, and a daemon with a full inbox."""
    with RayCluster(env={"SECONDS": SECONDS}) as cluster:
        for node in [cluster.add(cpus=2) for _ in range(3)]:
            node.wait()
        home = Home(tmp_path, CONFIG.format(address=cluster.address))
        dice = np.random.default_rng(1)
        for number in range(PHOTOS):
            photo = gray_scene(24, 32)
            photo[0] = dice.integers(0, 256, 32)  # unlike any other
            home.drop(f"{number % 10}/{number}.png", photo)
        with home.start("run", program=PROGRAM) as daemon:
            yield Scene(home, daemon, cluster)


def kill_a_worker(scene: Scene) -> None:
    """End a process that colors, as the kernel does that is out of memory."""
    victims = [worker for node in scene.cluster.nodes for worker in workers_of(node)]
    if victims:
        os.kill(random.choice(victims), signal.SIGKILL)  # noqa: S311 - any of them
        scene.tell("a worker was killed")


def kill_a_machine(scene: Scene) -> None:
    """Cut the power of a machine, and add another."""
    node = scene.cluster.nodes.pop(0)
    node.kill()
    scene.tell("a machine was killed")
    scene.cluster.add(cpus=2)


def stop_a_machine(scene: Scene) -> None:
    """Let a machine hang for longer than its patience, and go on."""
    node = scene.cluster.nodes[0]
    node.signal(signal.SIGSTOP)
    scene.tell("a machine hangs")
    hangs_since = time.monotonic()
    scene.progress(5)
    wait_until(lambda: time.monotonic() > hangs_since + 9.0, 30)
    node.signal(signal.SIGCONT)
    scene.tell("it goes on")


def kill_the_head(scene: Scene) -> None:
    """End the cluster; the same address is that of another a while later."""
    cluster = scene.cluster
    cluster.head.kill()
    scene.tell("the head was killed")
    for node in cluster.nodes:
        node.kill()
    cluster.nodes.clear()
    scene.daemon.wait_for("daemon.held_up")
    cluster.start_head().wait()
    for node in [cluster.add(cpus=2) for _ in range(3)]:
        node.wait()
    scene.tell("another head runs")


def delay_and_break_calls(scene: Scene) -> None:
    """Add a machine whose calls are late, and one whose calls fail."""
    for how in (DELAYS, BROKEN):
        scene.cluster.add(cpus=2, env=how)
    scene.tell("two bad machines joined")


def test_each_photograph_is_delivered_once_whatever_dies(scene: Scene) -> None:
    """None lost, none doubled, nothing left behind; one daemon all along."""
    faults = [kill_a_worker, kill_a_machine, stop_a_machine, kill_the_head]
    rounds, step = 1, PHOTOS // 10
    if LONG:
        faults.insert(0, delay_and_break_calls)
        rounds, step = 3, PHOTOS // 25
    scene.progress(5)
    for _ in range(rounds):
        for fault in faults:
            fault(scene)
            scene.progress(step)
    scene.progress(PHOTOS)
    wait_until(lambda: not files(scene.home.inbox), 60)
    # A worker that was given up may write its file late; each sweep removes such files.
    wait_until(lambda: len(files(scene.home.outbox)) == PHOTOS, 60)
    scene.tell("done")
    print("", *scene.told, sep="\n")  # noqa: T201 - shown with -s

    delivered = Counter(entry["job"] for entry in scene.daemon.events("photo.delivered"))
    assert {1: PHOTOS} == dict(Counter(delivered.values()))
    assert [] == scene.daemon.events("photo.rejected")
    assert PHOTOS == len(files(scene.home.originals))

    scene.daemon.process.send_signal(signal.SIGTERM)

    assert 0 == scene.daemon.exit_code()

    config = load_config(scene.home.folder / "config.yaml")
    with LedgerQueries.open(config.state / LEDGER_FILE) as ledger:
        counts = {status: count for status, count in ledger.counts().items() if count}
    assert {JobStatus.FINISHED: PHOTOS} == counts
    assert [] == list(scene.home.outbox.rglob(".photochrom-*"))
