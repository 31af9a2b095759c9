"""A client of SFTP (version 3) that writes as slowly as it is told, over the real ssh."""

import struct
import subprocess
from collections.abc import Sequence
from typing import Self

_INIT, _OPEN, _CLOSE, _WRITE, _FSETSTAT = 1, 3, 4, 6, 10
_STATUS, _HANDLE = 101, 102
_NEW_FILE = 0x02 | 0x08 | 0x10  # write, create, truncate
_SIZE = 0x01  # which of its attributes are said
_PIECE = 32_000  # bytes, less than every server takes


class Upload:
    """A file that is open for writing on a server.

    Args:
        ssh: the command that reaches the server.
        path: of the new file there.
    """

    def __init__(self, ssh: Sequence[str], path: str) -> None:
        """Connect and open it."""
        self._ssh = subprocess.Popen(
            [*ssh, "-s", "sftp"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._send(struct.pack(">BI", _INIT, 3))
        self._receive()
        kind, answer = self._ask(_OPEN, _text(path.encode()) + struct.pack(">II", _NEW_FILE, 0))
        assert kind == _HANDLE, answer
        self._handle = answer[4:]  # with its length before it

    def __enter__(self) -> Self:
        """Return it."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file and the connection."""
        self._order(_CLOSE, self._handle)
        self._ssh.communicate()

    def set_size(self, size: int) -> None:
        """Give the file a size."""
        self._order(_FSETSTAT, self._handle + struct.pack(">IQ", _SIZE, size))

    def write(self, offset: int, data: bytes) -> None:
        """Write into the file."""
        for start in range(0, len(data), _PIECE):
            piece = data[start : start + _PIECE]
            self._order(_WRITE, self._handle + struct.pack(">Q", offset + start) + _text(piece))

    def _order(self, kind: int, words: bytes) -> None:
        answered, answer = self._ask(kind, words)
        assert (_STATUS, 0) == (answered, struct.unpack_from(">I", answer, 4)[0]), answer

    def _ask(self, kind: int, words: bytes) -> tuple[int, bytes]:
        """Return the kind of the answer, and what it says, with the number of the question."""
        self._send(struct.pack(">BI", kind, 1) + words)
        return self._receive()

    def _send(self, packet: bytes) -> None:
        assert self._ssh.stdin
        self._ssh.stdin.write(_text(packet))
        self._ssh.stdin.flush()

    def _receive(self) -> tuple[int, bytes]:
        assert self._ssh.stdout
        head = self._ssh.stdout.read(4)
        assert len(head) == 4, "the server hung up"
        packet = self._ssh.stdout.read(struct.unpack(">I", head)[0])
        return packet[0], packet[1:]


def _text(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data
