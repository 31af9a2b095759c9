"""Starts the bridge, talks with it, and ends it; the daemon's side of the pipe."""

import os
import subprocess
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from queue import SimpleQueue

from worker.cluster.messages import ClusterSettings, End, Message, line_of, message_of
from worker.cluster.node_worker import HIDE_GPUS

USERS_TOKEN = Path("~/.ray/auth_token")
LAST_WORDS = 20  # lines of what it wrote to standard error that are kept
END_WITHIN = 10.0  # seconds


class BridgeProcess:
    """A running bridge.

    Args:
        program: the command that runs it.
        settings: its first message.
    """

    def __init__(self, program: Sequence[str], settings: ClusterSettings) -> None:
        """Start it.

        Raises:
            OSError: it cannot be started.
        """
        env = {**os.environ, **HIDE_GPUS, "RAY_USAGE_STATS_ENABLED": "0"}
        env["RAY_ENABLE_AUTO_CONNECT"] = "0"  # else a late question would start a cluster here
        if settings.token:
            env |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": settings.token}
        elif USERS_TOKEN.expanduser().exists():  # `ray start` then asks for it by itself
            env.setdefault("RAY_AUTH_MODE", "token")
        self._process = subprocess.Popen(  # noqa: S603 - this Python, and a module of photochrom
            program,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            start_new_session=True,  # Ctrl-C is the daemon's business
        )
        self._words: deque[str] = deque(maxlen=LAST_WORDS)
        self._lines: SimpleQueue[bytes] = SimpleQueue()
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._write, self._listen)
        ]
        for thread in self._threads:
            thread.start()
        self.say(settings)

    @property
    def pid(self) -> int:
        """Its process ID."""
        return self._process.pid

    @property
    def last_words(self) -> str:
        """What it wrote to standard error last, in one line."""
        return " ".join(self._words)[-500:]

    def say(self, message: Message) -> None:
        """Send a message; never blocks, and one that it cannot take any more is lost."""
        self._lines.put(line_of(message))

    def messages(self) -> Iterator[Message]:
        """Yield what it says until it ends."""
        assert self._process.stdout  # noqa: S101 - a pipe was asked for
        for line in self._process.stdout:
            yield message_of(line)

    def end(self, within: float = END_WITHIN) -> None:
        """End it: with its own consent within that many seconds, otherwise without."""
        self.say(End())
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(within)
        self.kill()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.wait()
        self._lines.put(b"")

    def close(self) -> None:
        """Close what leads to it, after its last message was read."""
        for thread in self._threads:
            thread.join()
        for pipe in (self._process.stdout, self._process.stderr):
            if pipe is not None:
                pipe.close()

    def _write(self) -> None:
        assert self._process.stdin  # noqa: S101 - a pipe was asked for
        with suppress(OSError), self._process.stdin as pipe:  # OSError: it ended
            while line := self._lines.get():
                pipe.write(line)
                pipe.flush()

    def _listen(self) -> None:
        assert self._process.stderr  # noqa: S101 - a pipe was asked for
        for line in self._process.stderr:
            self._words.append(line.decode(errors="replace").strip())
