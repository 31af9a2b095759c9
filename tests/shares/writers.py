"""Clients that upload a scan and pause in the middle of it; each way is one function.

All are the real clients, but for FTP (ftplib) and one of SFTP, which have to be slow at a given
byte. A client is stopped with SIGSTOP once the server has some of the file.
"""

import ftplib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from tests.shares import sftp
from tests.shares.local_writer import PAGED
from tests.shares.machine import ANNA, BERT, PASSWORD, Machine
from tests.shares.scans import DecodedImage
from tests.shares.servers import Servers
from tests.support.waiting import wait_until

AT_ONCE = 8  # clients that connect at one moment, which takes much of a small machine
PATIENCE = 100.0  # seconds for all of an upload but its pause
SLOWLY = 2000  # kilobits a second, so that a client can be stopped in the middle


@dataclass
class Upload:
    """A scan on its way.

    Attributes:
        folder: the inbox as the server knows it, below /srv.
        name: the scan's in it.
        way: how it comes.
        pause: seconds in the middle.
        picture: what is uploaded.
        last: when the last pause had ended, seconds since 1970; the file was not whole before.
        fault: what the client complained of; "" when it says that all was written.
        done: when it had ended, seconds since 1970.
    """

    folder: PurePosixPath
    name: str
    way: str
    pause: float
    picture: DecodedImage
    last: float = 0.0
    fault: str = ""
    done: float = 0.0
    paused: threading.Event = field(default_factory=threading.Event)

    @property
    def path(self) -> PurePosixPath:
        """The file as the server knows it."""
        return self.folder / self.name

    @property
    def below_srv(self) -> str:
        """The file as a client of the share names it."""
        return str(self.path.relative_to("/srv"))


class Writers:
    """All of them at work.

    Args:
        machine: where the servers are.
        servers: the servers.
        folder: an empty one for the clients' files.
    """

    def __init__(self, machine: Machine, servers: Servers, folder: Path) -> None:
        """Have the local writer ready."""
        self._machine, self._servers, self._folder = machine, servers, folder
        self._slots = threading.Semaphore(AT_ONCE)
        machine.run("install", "-d", "-m", "755", "/srv/sources")
        self._local = machine.start(
            *("env", "PYTHONDONTWRITEBYTECODE=1", "PYTHONPATH=" + os.fspath(ROOT)),
            *(sys.executable, "-m", "tests.shares.local_writer"),
            user=BERT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._answers: dict[str, dict[str, str | float]] = {}
        self._lock = threading.Lock()
        threading.Thread(target=self._listen, daemon=True).start()

    def run(self, uploads: Sequence[Upload]) -> None:
        """Have all uploaded at once; return when all have ended."""
        threads = [threading.Thread(target=self._upload, args=(upload,)) for upload in uploads]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _upload(self, upload: Upload) -> None:
        try:
            protocol, way = upload.way.split(".")
            if protocol == "local":
                self._locally(upload, way)
            else:
                with self._slots:
                    resume = WAYS[upload.way](self, upload)
                    next(resume)
                self._pause(upload)
                next(resume, None)
        except Exception as error:  # noqa: BLE001 - the test judges
            upload.fault = f"{type(error).__name__}: {error}"
        upload.done = time.time()

    @staticmethod
    def _pause(upload: Upload) -> None:
        upload.paused.set()
        threading.Event().wait(upload.pause)
        upload.last = time.time()

    # On the same machine

    def _locally(self, upload: Upload, way: str) -> None:
        source = self._machine.see(f"/srv/sources/{upload.name}.source")
        put_source(source, upload.picture, way)
        name = str(upload.path)
        order = {
            "id": name,
            "way": way,
            "target": name,
            "source": f"/srv/sources/{upload.name}.source",
            "pause": upload.pause,
        }
        assert self._local.stdin
        with self._lock:
            self._local.stdin.write(f"{json.dumps(order)}\n".encode())
            self._local.stdin.flush()
        wait_until(lambda: name in self._answers, PATIENCE + 2 * upload.pause)
        answer = self._answers[name]
        upload.last, upload.fault = float(answer["last"]), str(answer["fault"])

    def _listen(self) -> None:
        assert self._local.stdout
        for line in self._local.stdout:
            answer = json.loads(line)
            self._answers[answer["id"]] = answer

    # SMB

    def smb_stopped(self, upload: Upload) -> Iterator[None]:
        """Stop smbclient in the middle of a file."""
        with self._half_by_smb(upload) as client:
            os.killpg(client.pid, signal.SIGSTOP)
            yield
            os.killpg(client.pid, signal.SIGCONT)
            self._rest_by_smb(client, upload)

    def smb_slow(self, upload: Upload) -> Iterator[None]:
        """Give smbclient nothing more to send for a while."""
        with self._half_by_smb(upload) as client:
            yield
            self._rest_by_smb(client, upload)

    def smb_again(self, upload: Upload) -> Iterator[None]:
        """Kill smbclient in the middle, and have another one put all of it."""
        with self._half_by_smb(upload) as client:
            os.killpg(client.pid, signal.SIGKILL)
        yield
        source = self._source(upload)
        with self._smbclient(f'put "{source}" "{upload.below_srv}"') as client:
            _end(client)

    @contextmanager
    def _half_by_smb(self, upload: Upload) -> Iterator[subprocess.Popen[bytes]]:
        """Have smbclient send half of a file, and wait for more."""
        with self._smbclient(f'put - "{upload.below_srv}"', stdin=subprocess.PIPE) as client:
            assert client.stdin
            client.stdin.write(upload.picture.data[: len(upload.picture.data) // 2])
            client.stdin.flush()
            self._wait_for(upload, 1)
            yield client

    @staticmethod
    def _rest_by_smb(client: subprocess.Popen[bytes], upload: Upload) -> None:
        assert client.stdin
        client.stdin.write(upload.picture.data[len(upload.picture.data) // 2 :])
        _end(client)

    @contextmanager
    def _smbclient(
        self, command: str, stdin: int = subprocess.DEVNULL
    ) -> Iterator[subprocess.Popen[bytes]]:
        # It waits 20 s for its server to answer, and counts those in which it is stopped.
        options = ["-t", "100", "-p", str(self._servers.smb), "-U", f"{ANNA}%{PASSWORD}"]
        with _client(["smbclient", "//127.0.0.1/srv", *options, "-c", command], stdin) as client:
            yield client

    # FTP

    def ftp_slow(self, upload: Upload) -> Iterator[None]:
        """Send nothing for a while."""
        ftp, connection, middle = self._half_by_ftp(upload)
        yield
        self._rest_by_ftp(ftp, connection, upload.picture.data[middle:])

    def ftp_returns(self, upload: Upload) -> Iterator[None]:
        """Lose the connection in the middle, and go on from there (REST)."""
        ftp, connection, _ = self._half_by_ftp(upload)
        connection.close()
        ftp.close()
        yield
        ftp = self._ftp()
        has = ftp.size(upload.below_srv) or 0
        connection = ftp.transfercmd(f"STOR {upload.below_srv}", rest=has)
        self._rest_by_ftp(ftp, connection, upload.picture.data[has:])

    def _half_by_ftp(self, upload: Upload) -> tuple[ftplib.FTP, socket.socket, int]:
        """Send half of a file; return the connections, and how much was sent."""
        middle = len(upload.picture.data) // 2
        ftp = self._ftp()
        connection = ftp.transfercmd(f"STOR {upload.below_srv}")
        connection.sendall(upload.picture.data[:middle])
        self._wait_for(upload, middle // 2)
        return ftp, connection, middle

    @staticmethod
    def _rest_by_ftp(ftp: ftplib.FTP, connection: socket.socket, rest: bytes) -> None:
        connection.sendall(rest)
        connection.close()
        ftp.voidresp()
        ftp.quit()

    def _ftp(self) -> ftplib.FTP:
        ftp = ftplib.FTP(timeout=PATIENCE)  # noqa: S321 - on the loopback; it is what is tested
        ftp.connect("127.0.0.1", self._servers.ftp)
        ftp.login(ANNA, PASSWORD)
        ftp.voidcmd("TYPE I")
        return ftp

    # SSH

    def sftp_slow(self, upload: Upload) -> Iterator[None]:
        """Send nothing for a while."""
        middle = len(upload.picture.data) // 2
        with sftp.Upload(self._remote(), str(upload.path)) as file:
            file.write(0, upload.picture.data[:middle])
            yield
            file.write(middle, upload.picture.data[middle:])

    def sftp_size_first(self, upload: Upload) -> Iterator[None]:
        """Give the file its full size at once, and fill a third of it before the pause."""
        middle = len(upload.picture.data) // 3
        with sftp.Upload(self._remote(), str(upload.path)) as file:
            file.set_size(len(upload.picture.data))
            file.write(0, upload.picture.data[:middle])
            yield
            file.write(middle, upload.picture.data[middle:])

    def sftp_stopped(self, upload: Upload) -> Iterator[None]:
        """Stop sftp in the middle of a file."""
        command = [*self._servers.ssh_command("sftp"), "-l", str(SLOWLY), f"{ANNA}@127.0.0.1"]
        with _client(command, subprocess.PIPE) as client:
            assert client.stdin
            client.stdin.write(f'put "{self._source(upload)}" "{upload.path}"\n'.encode())
            client.stdin.close()
            client.stdin = None
            yield from self._stopped(client, upload)

    def scp_stopped(self, upload: Upload) -> Iterator[None]:
        """Stop scp in the middle of a file."""
        yield from self._scp(upload)

    def scp_old(self, upload: Upload) -> Iterator[None]:
        """Stop scp with its own old protocol (-O)."""
        yield from self._scp(upload, "-O")

    def rsync_inplace(self, upload: Upload) -> Iterator[None]:
        """Stop rsync while it writes under the scan's own name."""
        yield from self._rsync(upload, upload.path, "--inplace")

    def rsync_stopped(self, upload: Upload) -> Iterator[None]:
        """Stop rsync while it writes as it usually does, under a hidden name."""
        yield from self._rsync(upload, upload.folder / f".{upload.name}.*")

    def _scp(self, upload: Upload, *options: str) -> Iterator[None]:
        command = [*self._servers.ssh_command("scp"), *options, "-l", str(SLOWLY)]
        target = f"{ANNA}@127.0.0.1:{upload.path}"
        with _client([*command, str(self._source(upload)), target]) as client:
            yield from self._stopped(client, upload)

    def _rsync(self, upload: Upload, grows: PurePosixPath, *options: str) -> Iterator[None]:
        ssh = " ".join(self._servers.ssh_command())
        command = ["rsync", *options, f"--bwlimit={SLOWLY // 8}", "-e", ssh]
        target = f"{ANNA}@127.0.0.1:{upload.path}"
        with _client([*command, str(self._source(upload)), target]) as client:
            yield from self._stopped(client, upload, grows)

    def _stopped(
        self,
        client: subprocess.Popen[bytes],
        upload: Upload,
        grows: PurePosixPath | None = None,
    ) -> Iterator[None]:
        """Stop a client when the server has a part, and have it go on after the pause."""
        self._wait_for(upload, 1, grows)
        os.killpg(client.pid, signal.SIGSTOP)
        so_far = self._size(grows or upload.path)
        assert so_far < len(upload.picture.data), "it was faster than this test"
        yield
        os.killpg(client.pid, signal.SIGCONT)
        _end(client)

    def _remote(self) -> list[str]:
        return [*self._servers.ssh_command(), f"{ANNA}@127.0.0.1"]

    # What the server has

    def _source(self, upload: Upload) -> Path:
        path = self._folder / f"{upload.folder.parts[2]}-{upload.name}"
        path.write_bytes(upload.picture.data)
        path.chmod(0o644)
        return path

    def _wait_for(self, upload: Upload, size: int, grows: PurePosixPath | None = None) -> None:
        wait_until(lambda: self._size(grows or upload.path) >= size, PATIENCE)

    def _size(self, path: PurePosixPath) -> int:
        folder = self._machine.see(path.parent)
        with suppress(FileNotFoundError):
            return max((one.stat().st_size for one in folder.glob(path.name)), default=0)
        return 0


ROOT = Path(__file__).resolve().parents[2]
WAYS: dict[str, Callable[[Writers, Upload], Iterator[None]]] = {
    "smb.stopped": Writers.smb_stopped,
    "smb.slow": Writers.smb_slow,
    "smb.again": Writers.smb_again,
    "ftp.slow": Writers.ftp_slow,
    "ftp.returns": Writers.ftp_returns,
    "sftp.slow": Writers.sftp_slow,
    "sftp.stopped": Writers.sftp_stopped,
    "sftp.size_first": Writers.sftp_size_first,
    "scp.stopped": Writers.scp_stopped,
    "scp.old": Writers.scp_old,
    "rsync.inplace": Writers.rsync_inplace,
    "rsync.stopped": Writers.rsync_stopped,
}


def put_source(path: Path, picture: DecodedImage, way: str) -> None:
    """Write what the local writer is to write: the file, or its pages."""
    if way in PAGED:
        with path.open("wb") as file:
            np.save(file, np.stack(picture.pages))
    else:
        path.write_bytes(picture.data)


@contextmanager
def _client(
    command: Sequence[str], stdin: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a client in a group of its own, which is gone when the block is left."""
    client = subprocess.Popen(
        command,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield client
    finally:
        with suppress(ProcessLookupError):
            os.killpg(client.pid, signal.SIGKILL)
        client.communicate()


def _end(client: subprocess.Popen[bytes]) -> None:
    """Wait for a client to have sent all; fail when it complains."""
    said, _ = client.communicate(timeout=PATIENCE)
    assert client.returncode == 0, said.decode(errors="replace")
