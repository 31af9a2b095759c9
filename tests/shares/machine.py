"""A machine within this machine: accounts, folders, mounts and servers of its own, as root only.

It is a namespace of mounts and processes. Its /etc is a copy, so that accounts are made with the
system's own tools and nobody outside sees them; its /srv is a folder of the test. What was started
and mounted in it is gone when its block is left, whatever happened.
"""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, Self

from tests.support.waiting import wait_until

SOURCE = Path(__file__).resolve().parents[2]
GROUP = "photochrom"  # of all who may use the shared folders
DAEMON, ANNA, BERT = "photochrom", "anna", "bert"  # accounts; the last two write
PASSWORD = "a password"  # noqa: S105 - of accounts that exist in here only
NEEDED = {  # programs, and Debian's packages that bring them
    "smbd": "samba",
    "smbclient": "smbclient",
    "vsftpd": "vsftpd",
    "sshd": "openssh-server",
    "sftp": "openssh-client",
    "rsync": "rsync",
    "setfacl": "acl",
}
NEEDED_FOR_FUSE = {"sshfs": "sshfs", "bindfs": "bindfs"}
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SETUP = f"""
mount -t tmpfs -o mode=755 none /run
mkdir /run/sshd /run/etc
cp -a /etc/. /run/etc
mount --bind /run/etc /etc
groupadd --system {GROUP}
for user in {DAEMON} {ANNA} {BERT}; do
  useradd --system --no-create-home --home-dir /srv --gid {GROUP} --shell /bin/sh $user
  echo "$user:{PASSWORD}" | chpasswd --crypt-method SHA512
done
mount --bind "$1" /srv
"""


class Machine:
    """The machine.

    Args:
        folder: an empty one for all that it needs.

    Attributes:
        srv: what it has as /srv, seen from outside.
        copies: a folder for copies of its files, outside.
    """

    def __init__(self, folder: Path) -> None:
        """Make it, with its accounts."""
        self.srv = folder / "srv"
        self.srv.mkdir(mode=0o755)
        self.copies = folder / "copies"
        self.copies.mkdir()
        command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        self._started: list[subprocess.Popen[bytes]] = []
        self._holder = subprocess.Popen(
            [*command, "sh", "-c", "echo made; exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        try:
            assert self._holder.stdout
            assert b"made\n" == self._holder.stdout.readline()
            number = self._holder.pid
            children = Path(f"/proc/{number}/task/{number}/children").read_text()
            self._inside = int(children.split()[0])
            self.run("sh", "-ec", _SETUP, "sh", self.srv)
            self._let_in(SOURCE, Path(sys.prefix), Path(sys.base_prefix))
        except BaseException:  # whatever ended it, nothing may stay; it goes on up
            self.close()
            raise

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """End all that runs in it."""
        self.close()

    def close(self) -> None:
        """End all that runs in it."""
        self._holder.communicate()
        for process in self._started:  # the kernel has killed what ran inside
            process.wait(60.0)
            for pipe in (process.stdin, process.stdout):
                with suppress(BrokenPipeError):
                    if pipe:
                        pipe.close()

    def inside(self, user: str | None = None) -> list[str]:
        """Return what to put before a command to have it run inside, as root or as an account."""
        enter = ["nsenter", f"--target={self._inside}", "--mount", "--pid", "--wdns=/"]
        as_user = ["setpriv", f"--reuid={user}", f"--regid={GROUP}", "--clear-groups"]
        return [*enter, "env", f"PATH={_PATH}", *(as_user if user else [])]

    def run(self, *command: str | Path, user: str | None = None) -> str:
        """Run a command inside; return what it wrote, or fail when it does."""
        done = subprocess.run(
            [*self.inside(user), *command], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(
        self, *command: str | Path, user: str | None = None, **options: Any
    ) -> subprocess.Popen[bytes]:
        """Start a command inside, in a group of processes of its own."""
        options = {"stdin": subprocess.DEVNULL, **options}
        self._started.append(
            subprocess.Popen([*self.inside(user), *command], start_new_session=True, **options)
        )
        return self._started[-1]

    def see(self, path: str | Path) -> Path:
        """Return the path by which this process sees what the machine has at an absolute one."""
        return Path(f"/proc/{self._inside}/root{path}")

    def share(self, *folders: str) -> None:
        """Make folders that the daemon owns and the group may write to, as `install` does."""
        for folder in folders:
            self.run("install", "-d", "-o", DAEMON, "-g", GROUP, "-m", "2770", folder)

    def _let_in(self, *parts: Path) -> None:
        """Have ordinary accounts reach what may lie in a closed home, by an empty one over it."""
        closed = {
            above
            for part in parts
            for above in reversed(part.parents)
            if not above.stat().st_mode & 0o001
        }
        tops = {one for one in closed if not closed & set(one.parents)}
        for number, part in enumerate(parts):
            self.run("mkdir", f"/run/part-{number}")
            self.run("mount", "--bind", part, f"/run/part-{number}")
        for top in tops:
            self.run("mount", "-t", "tmpfs", "-o", "mode=755", "none", top)
        for number, part in enumerate(parts):
            if tops & set(part.parents):
                self.run("mkdir", "-p", part)
                self.run("mount", "--bind", f"/run/part-{number}", part)


def free_port() -> int:
    """Return a port of the loopback that nobody uses now."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def wait_for_port(port: int) -> None:
    """Return when somebody answers at a port of the loopback."""

    def answers() -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    wait_until(answers, 60.0)


@cache
def why_not(fuse: bool = False) -> str:  # noqa: FBT001, FBT002 - a question, cached
    """Say what is missing for these tests here, or ""."""
    if os.geteuid() != 0:
        return "needs root, for accounts and mounts of its own"
    programs = NEEDED | (NEEDED_FOR_FUSE if fuse else {})
    missing = [package for name, package in programs.items() if not _found(name)]
    if missing:
        return f"needs Debian's packages {' '.join(missing)}"
    if fuse and not os.access("/dev/fuse", os.R_OK | os.W_OK):
        return "needs /dev/fuse"
    trial = ["unshare", "--mount", "--pid", "--fork", "mount", "-t", "tmpfs", "none", "/mnt"]
    refused = subprocess.run(trial, capture_output=True, check=False).returncode
    return "a container may not make namespaces within it" if refused else ""


def _found(name: str) -> bool:
    return shutil.which(name, path=_PATH) is not None


def key_for(folder: Path) -> Sequence[Path]:
    """Make a pair of SSH keys; return the private and the public file."""
    key = folder / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    return key, key.with_suffix(".pub")
