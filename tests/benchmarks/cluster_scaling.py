"""How well does a daemon keep 1 to 16 workers of a Ray cluster busy, and where is its own limit?

    python -m tests.benchmarks.cluster_scaling [--workers 1 2 4 8 16] [--seconds 1.0] [--rounds 20]
        [--on FOLDER] [--write]

The real daemon, a real cluster on the loopback, real files and deliveries; only the colors come
after a set time, during which a worker costs nothing. So sixteen fit on two cores. Efficiency is
the rate for each worker, in parts of that of the first line. With `--seconds 0` the rate
is the limit of daemon, bridge and workers together on this machine. The cluster's own
processes are killed, so the conditions below the table count them among other programs.
"""

import sys
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np

from service.monitoring.heartbeat import read_heartbeat
from tests.benchmarks import tables
from tests.benchmarks.processor import seconds_of
from tests.support.command import Command, Home
from tests.support.ray_cluster import RayCluster, RayNode
from tests.support.synthetic_photos import gray_scene, save
from tests.support.waiting import wait_until

CONFIG = """
watch: {{settle: 0.0, rescan: 1.0}}
engine: {{kind: ray, address: '{address}', cpus: 1, workers: {workers}, patience: 120}}
log: {{level: info, format: json}}
"""
PROGRAM = (sys.executable, "-m", "tests.support.timed_cluster")
WITHIN = 600.0  # seconds
EDGE = 0.15  # of the photographs at begin and end are not counted: not all workers are busy then
COLUMNS = {
    "workers": "",
    "photographs /s": ".2f",
    "efficiency": ".2f",
    "processor ms a photograph: daemon": ".1f",
    "bridge": ".1f",
    "workers' own": ".1f",
}


class Run(NamedTuple):
    """What was measured: photographs a second, and processor milliseconds for each."""

    rate: float
    daemon: float
    bridge: float
    workers: float


def main() -> None:
    """Measure each number of workers."""
    parser = tables.options(__doc__)
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2, 4, 8, 16])
    parser.add_argument("--seconds", type=float, default=1.0, help="for each photograph")
    parser.add_argument("--rounds", type=int, default=20, help="photographs for each worker")
    parser.add_argument("--on", type=Path, help="a folder on the disk to be used")
    wanted = parser.parse_args()
    with tables.Report("cluster-scaling", packages=("ray",), write=wanted.write) as report:
        report.begin("cluster-scaling", COLUMNS)
        alone = 0.0
        for workers in wanted.workers:
            run = measure(workers, wanted.seconds, wanted.rounds * workers, wanted.on)
            alone = alone or run.rate / workers
            efficiency = run.rate / workers / alone
            report.add(workers, run.rate, efficiency, run.daemon, run.bridge, run.workers)


def measure(workers: int, seconds: float, count: int, on: Path | None) -> Run:
    """Let so many workers color so many photographs, each after a time."""
    with (
        TemporaryDirectory(dir=on) as name,
        RayCluster(cpus=workers, env={"SECONDS": str(seconds)}) as cluster,
    ):
        home = Home(Path(name), CONFIG.format(address=cluster.address, workers=workers))
        make_scans(home.folder / "scans", count)
        with home.start("run", program=PROGRAM) as daemon:
            wait_until(lambda: ready(home) == workers, WITHIN)
            bridge = bridge_of(daemon)
            watched = [[daemon.process.pid], [bridge], workers_of(cluster.head)]
            before = [sum(map(seconds_of, pids)) for pids in watched]
            (home.folder / "scans").rename(home.inbox / "scans")
            wait_until(lambda: len(daemon.events("photo.delivered")) >= count, WITHIN)
            after = [sum(map(seconds_of, pids)) for pids in watched]
            moments = [
                datetime.fromisoformat(entry["timestamp"]).timestamp()
                for entry in daemon.events("photo.delivered")
            ]
    cut = int(len(moments) * EDGE)
    steady = moments[cut : len(moments) - cut]
    rate = (len(steady) - 1) / (steady[-1] - steady[0])
    spent = [1000 * (late - early) / count for early, late in zip(before, after, strict=True)]
    return Run(rate, *spent)


def make_scans(folder: Path, count: int) -> None:
    """Save small photographs unlike each other."""
    folder.mkdir()
    dice = np.random.default_rng(1)
    for number in range(count):
        photo = gray_scene(24, 32)
        photo[0] = dice.integers(0, 256, 32)
        save(folder / f"{number}.png", photo)


def ready(home: Home) -> int:
    """Count the workers that the daemon says are ready."""
    beat = read_heartbeat(home.folder / "state")
    return sum(one.state == "ready" for one in beat.workers) if beat else 0


def bridge_of(daemon: Command) -> int:
    """Find the daemon's bridge among its children."""
    tasks = Path(f"/proc/{daemon.process.pid}/task").iterdir()
    return next(int(pid) for task in tasks for pid in (task / "children").read_text().split())


def workers_of(node: RayNode) -> list[int]:
    """Find the processes of a node that color."""
    return [
        pid for pid in node.processes if b"NodeWorker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


if __name__ == "__main__":
    main()
