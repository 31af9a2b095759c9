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
LONGEST_ANSWERS = 1 << 16  # bytes
MOST_AT_ONCE = 16  # as `worker.viewing.pyramid_process` takes them

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


class Wanted(NamedTuple):
    """A thumbnail to make.

    Attributes:
        file: open for reading; its position changes.
        name: of the file; its suffix counts.
        target: path of the JPEG.
        page: which one, from 0.
        side: pixels of the long side.
    """

    file: io.FileIO
    name: PurePath
    target: Path
    page: int = 0
    side: int = 240


class PyramidMaker:
    """Keeps one child, which forks for each call; methods may be called by several threads.

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
            request = self._request(name, part, page, id=identifier, widths=widths)
            [made] = self._make([request], [file])
            if isinstance(made, ViewError):
                raise made
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

    def thumbnail(
        self, file: io.FileIO, name: PurePath, target: Path, page: int = 0, *, side: int = 240
    ) -> Made:
        """Make the file of a page's thumbnail, a JPEG with a long side of `side` pixels.

        Arguments and errors as for `pyramid`.
        """
        [made] = self.thumbnails([Wanted(file, name, target, page, side)])
        if isinstance(made, ViewError):
            raise made
        return made

    def thumbnails(self, wanted: Sequence[Wanted]) -> list[Made | ViewError]:
        """Make thumbnails, faster than one by one.

        Args:
            wanted: at most MOST_AT_ONCE.

        Returns:
            For each what was made, or why it was not.

        Raises:
            OSError: the disk is full or failed.
        """
        parts = [part_path(one.target.parent) for one in wanted]
        try:
            requests = [
                self._request(one.name, part, one.page, id=None, side=one.side)
                for one, part in zip(wanted, parts, strict=True)
            ]
            results = self._make(requests, [one.file for one in wanted])
            for one, part, made in zip(wanted, parts, results, strict=True):
                if isinstance(made, Made):
                    part.replace(one.target)
        finally:
            for part in parts:
                part.unlink(missing_ok=True)
        return results

    def _request(self, name: PurePath, target: Path, page: int, **more: Any) -> dict[str, Any]:
        """Return what the child is asked for, as `worker.viewing.pyramid_process` has it."""
        return {
            "name": name.name,
            "page": page,
            "target": str(target.absolute()),
            "megapixels": self._megapixels,
            "seconds": self._longest,
            **more,
        }

    def _make(
        self, requests: Sequence[dict[str, Any]], files: Sequence[io.FileIO]
    ) -> list[Made | ViewError]:
        """Have the child serve requests, in order."""
        stats = [file_stat_of(file) for file in files]
        said = self._ask(json.dumps(requests).encode(), files)
        results: list[Made | ViewError] = []
        for file, stat, answer in zip(files, stats, said, strict=True):
            if "error" in answer:
                results.append(ViewError(answer["error"], answer["kind"]))
            elif file_stat_of(file) != stat:
                words = "the file was changed while it was read"
                results.append(ViewError(words, "machine"))
            else:
                results.append(Made(**answer))
        return results

    def _ask(self, message: bytes, files: Sequence[io.FileIO]) -> list[dict[str, Any]]:
        """Send requests and return the answers; ask again if the child died meanwhile."""
        text = self._asked(message, files)
        if not text and self._died():
            text = self._asked(message, files)
        said: list[dict[str, Any]] = [
            json.loads(line) for line in text.splitlines(keepends=True) if line.endswith(b"\n")
        ]
        silent = {"error": "the process that decodes pages died or hangs", "kind": "machine"}
        return said + [silent] * (len(files) - len(said))

    def _asked(self, message: bytes, files: Sequence[io.FileIO]) -> bytes:
        ours, theirs = os.pipe()
        with open(ours, "rb", buffering=0) as answers:  # noqa: PTH123 - of a descriptor
            try:
                self._send(message, [theirs, *(file.fileno() for file in files)])
            finally:
                os.close(theirs)
            return _read(answers, self._longest + GRACE)

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
    """Read answers to their end, which comes when no process has the pipe any more."""
    waiting = select.poll()
    waiting.register(pipe, select.POLLIN)
    text = b""
    while len(text) < LONGEST_ANSWERS and waiting.poll(longest * 1000):
        more = pipe.read(LONGEST_ANSWERS)
        if not more:
            break
        text += more
    return text
