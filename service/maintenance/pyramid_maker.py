"""Has pyramids and thumbnails made by `worker.viewing.pyramid_process`, a child under limits.

What is made appears complete under its name or not at all; the caller chooses the name.
"""

import contextlib
import io
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import Any, Literal, NamedTuple, Self

from service.filesystem.durable import part_path, sync_file_system
from service.filesystem.safe_open import file_stat_of
from worker.errors import PhotochromError

LONGEST = 600  # seconds that one file may take
GRACE = 15  # seconds more until an answer is no longer waited for
LONGEST_ANSWER = 1 << 16  # bytes

Fault = Literal["page", "file", "limit", "machine"]


class ViewError(PhotochromError):
    """A page cannot be shown; the text says why.

    Attributes:
        fault: whose it is: there is no such page, the file cannot be decoded, it exceeds a limit,
            or the machine failed, so that another try may help.
    """

    def __init__(self, words: str, fault: Fault) -> None:
        """Say why, and whose fault it is."""
        super().__init__(words)
        self.fault = fault


class Made(NamedTuple):
    """What was made: the upright page's size, and the bytes that it takes on disk."""

    width: int
    height: int
    bytes: int


class PyramidMaker:
    """Keeps one child, which forks for each page; methods may be called by several threads.

    The child is started at first use, and again if it died.

    Args:
        megapixels: that a file may have, `limits.megapixels`.
        longest: seconds that one page may take.
    """

    def __init__(self, megapixels: float, longest: int = LONGEST) -> None:
        """Start nothing yet."""
        self._megapixels = megapixels
        self._longest = longest
        self._lock = threading.Lock()
        self._child: list[_Child] = []  # one, or none yet
        weakref.finalize(self, _end, self._child)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let the child end."""
        self.close()

    def close(self) -> None:
        """Let the child end; what it is making it finishes, unless a limit ends it."""
        with self._lock:
            _end(self._child)

    def pyramid(
        self,
        file: io.FileIO,
        name: PurePath,
        target: Path,
        identifier: str,
        page: int = 0,
        *,
        widths: Sequence[int] = (),
        durable: bool = False,
    ) -> Made:
        """Make the folder of a page's pyramid; does nothing if another process was faster.

        Args:
            file: open for reading; its position changes.
            name: of the file; its suffix counts.
            target: path of the folder, whose parent exists.
            identifier: URL of the folder, for info.json.
            page: which one, from 0.
            widths: of further files of the whole page; see `worker.viewing.pyramid`.
            durable: whether it is on disk, in a power cut too, before it gets its name.

        Raises:
            ViewError: it cannot be made, or the file was changed meanwhile.
            OSError: the disk is full or failed.
        """
        part = part_path(target.parent)
        part.mkdir()
        try:
            made = self._make(file, name, part, page, identifier, widths)
            if durable:
                sync_file_system(part)
            try:
                os.rename(part, target)  # noqa: PTH104 - a folder; beside os.link in the worker
            except OSError:
                if not target.is_dir():
                    raise
        finally:
            shutil.rmtree(part, ignore_errors=True)
        return made

    def thumbnail(self, file: io.FileIO, name: PurePath, target: Path, page: int = 0) -> Made:
        """Make the file of a page's thumbnail, a JPEG; arguments and errors as for `pyramid`."""
        part = part_path(target.parent)
        try:
            made = self._make(file, name, part, page, None)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        return made

    def _make(
        self,
        file: io.FileIO,
        name: PurePath,
        target: Path,
        page: int,
        identifier: str | None,
        widths: Sequence[int] = (),
    ) -> Made:
        request = {
            "name": name.name,
            "page": page,
            "target": str(target.absolute()),
            "id": identifier,
            "widths": widths,
            "megapixels": self._megapixels,
            "seconds": self._longest,
        }
        stat = file_stat_of(file)
        said = self._ask(json.dumps(request).encode(), file)
        if "error" in said:
            raise ViewError(said["error"], said["kind"])
        if file_stat_of(file) != stat:
            raise ViewError("the file was changed while it was read", "machine")
        return Made(**said)

    def _ask(self, request: bytes, file: io.FileIO) -> dict[str, Any]:
        """Send a request and return the answer; ask again if the child died meanwhile."""
        text = self._asked(request, file)
        if not text and self._died():
            text = self._asked(request, file)
        try:
            said: dict[str, Any] = json.loads(text)
        except ValueError:
            raise ViewError("the process that decodes pages died or hangs", "machine") from None
        return said

    def _asked(self, request: bytes, file: io.FileIO) -> bytes:
        ours, theirs = os.pipe()
        with open(ours, "rb", buffering=0) as answer:  # noqa: PTH123 - of a descriptor
            try:
                self._send(request, [file.fileno(), theirs])
            finally:
                os.close(theirs)
            return _read(answer, self._longest + GRACE)

    def _died(self) -> bool:
        """Tell whether the child is no more, which a moment after its socket is closed it is."""
        with self._lock, contextlib.suppress(subprocess.TimeoutExpired):
            return all(child.process.wait(1) is not None for child in self._child)
        return False

    def _send(self, request: bytes, descriptors: list[int]) -> None:
        with self._lock:
            for child in self._child:
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    socket.send_fds(child.requests, [request], descriptors)
                    return
            _end(self._child)
            self._child.append(_start())
            socket.send_fds(self._child[0].requests, [request], descriptors)


class _Child(NamedTuple):
    """The process that forks, and this side of its socket."""

    process: subprocess.Popen[bytes]
    requests: socket.socket


def _start() -> _Child:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "worker.viewing.pyramid_process"],
            stdin=theirs.fileno(),
            stdout=subprocess.DEVNULL,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            process_group=0,  # Ctrl-C is for the server, which then closes the socket
        )
    return _Child(process, ours)


def _end(children: list[_Child]) -> None:
    while children:
        process, requests = children.pop()
        requests.close()
        process.wait()


def _read(pipe: io.FileIO, longest: float) -> bytes:
    """Read an answer to its end, which comes when no process has the pipe any more."""
    waiting = select.poll()
    waiting.register(pipe, select.POLLIN)
    text = b""
    while len(text) < LONGEST_ANSWER and waiting.poll(longest * 1000):
        more = pipe.read(LONGEST_ANSWER)
        if not more:
            break
        text += more
    return text
