"""A Ray cluster on the loopback, each of whose nodes is a process that may be stopped or killed."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import mkdtemp
from typing import Self

from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
STORE = 78_643_200  # bytes of a node's object store, Ray's least
NODE = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "disabled",
    "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH")))),
}
PATIENCE = 240.0  # seconds; a busy machine takes ten for a node
# Ray gives up a node after 30 s; a third of those that are started at the same time as others, just
# after their head, hang that long, and start at once when they are tried again.
TRIES = 6
os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # so that bridges take 127.0.0.1 as it is
os.environ["RAY_AUTH_MODE"] = "disabled"  # whatever token this user has


class RayNode:
    """A node: `ray start --block` and all it starts, in a session of its own."""

    def __init__(self, folder: Path, *arguments: str, env: Mapping[str, str]) -> None:
        """Start it."""
        self._log = folder / f"node-{time.monotonic_ns()}.log"
        self._arguments, self._env = arguments, {**os.environ, **NODE, **env}
        self._tries = 0
        self._start()

    def _start(self) -> None:
        self._tries += 1
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "tests.support.ray_node", "start", "--block"),
                    *(f"--object-store-memory={STORE}", "--include-log-monitor=false"),
                    *("--disable-usage-stats", *self._arguments),
                ],
                cwd=ROOT,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait(self) -> None:
        """Wait until it runs."""
        wait_until(self._runs, PATIENCE)

    def _runs(self) -> bool:
        said = self._log.read_text(errors="replace")
        if self._process.poll() is not None:
            assert self._tries < TRIES, said[-2000:]
            self._start()
            return False
        return "Ray runtime started" in said

    @property
    def processes(self) -> list[int]:
        """It and all that it started and that still live."""
        found = [self._process.pid]
        for parent in found:
            with suppress(OSError):
                for task in Path(f"/proc/{parent}/task").iterdir():
                    found += map(int, (task / "children").read_text().split())
        return found

    def signal(self, number: int) -> None:
        """Send a signal to all of its processes."""
        for each in self.processes:
            with suppress(ProcessLookupError):
                os.kill(each, number)

    def kill(self) -> None:
        """Kill it, as a power cut does."""
        self.signal(signal.SIGSTOP)  # so that none sees another die
        self.signal(signal.SIGKILL)
        self._process.wait()


class RayCluster:
    """A head, and nodes that may come and go.

    Attributes:
        address: of the head.
        nodes: that were added and not removed.
    """

    def __init__(self, cpus: int = 0, env: Mapping[str, str] | None = None) -> None:
        """Start the head, which is a node too, with so many cores."""
        self._folder = Path(mkdtemp(prefix="ray"))  # short, since Ray makes sockets in it
        self._env = dict(env or {})
        self._cpus = cpus
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.nodes: list[RayNode] = []
        self.head = self.start_head()
        self.head.wait()

    def start_head(self) -> RayNode:
        """Start a head, at the same address as the one before."""
        self.head = RayNode(
            self._folder,
            *("--head", "--node-ip-address=127.0.0.1", f"--port={self.port}"),
            *(f"--temp-dir={self._folder / 't'}", f"--num-cpus={self._cpus}"),
            *("--include-dashboard=false", f"--ray-client-server-port={free_port()}"),
            env=self._env,
        )
        return self.head

    def add(self, *, cpus: int = 1, env: Mapping[str, str] | None = None) -> RayNode:
        """Start a node; `wait` returns when it runs, and tries again what Ray gave up."""
        arguments = (f"--address={self.address}", f"--num-cpus={cpus}")
        node = RayNode(self._folder, *arguments, env={**self._env, **(env or {})})
        self.nodes.append(node)
        return node

    def close(self) -> None:
        """Kill all nodes, stopped ones too."""
        for node in (*self.nodes, self.head):
            node.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> Self:
        """Return the cluster."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
