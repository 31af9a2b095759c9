"""Real mounts that only some processes see, and that are gone with them.

A `Namespace` is a process that does nothing but hold a mount namespace (in a user namespace, where
anyone may mount a tmpfs or bind a folder). Commands run in it by its `prefix`.
"""

import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Self

from tests.support.waiting import wait_until

WITH_FAKE = (
    sys.executable,
    "-m",
    "tests.support.fake_device_command",
)  # a `program` for command.Command


class Namespace:
    """A mount namespace; all that was mounted in it is gone when its block is left."""

    def __init__(self) -> None:
        """Make it, a copy of this process' own."""
        self._holder = subprocess.Popen(
            ["unshare", "--map-root-user", "--mount", "sh", "-c", "echo made; exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._holder.stdout
        assert b"made\n" == self._holder.stdout.readline()

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let it go; processes that are still in it keep it."""
        self._holder.communicate()

    @property
    def prefix(self) -> Sequence[str]:
        """What to put before a command to have it run inside."""
        inside = ("nsenter", "--target", str(self._holder.pid), "--user", "--mount")
        return (*inside, "--preserve-credentials")

    def run(self, *command: str | Path) -> None:
        """Run a command inside; fail when it does."""
        done = subprocess.run([*self.prefix, *command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"

    def see(self, path: Path) -> Path:
        """Return the path by which this process sees what the namespace has at an absolute one."""
        return Path(f"/proc/{self._holder.pid}/root{path}")

    def mount(self, folder: Path, megabytes: int = 8) -> None:
        """Mount an empty disk of memory on a folder."""
        self.run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "photochrom-test", folder)

    def bind(self, source: Path, folder: Path) -> None:
        """Have a folder appear at another place, as a share does that is mounted."""
        self.run("mount", "--bind", source, folder)

    def unmount(self, folder: Path) -> None:
        """Take away what is mounted on a folder, as soon as nobody is just looking into it."""
        command = [*self.prefix, "umount", folder]
        wait_until(
            lambda: subprocess.run(command, capture_output=True, check=False).returncode == 0
        )


@cache
def can_mount() -> bool:
    """Tell whether namespaces may be made here, with mounts in them."""
    command = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0
