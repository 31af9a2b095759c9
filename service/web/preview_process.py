"""Keeps one child, `worker.viewing.live_preview_process`, that shows what wishes would make.

It is started when somebody is about to ask, which takes some seconds, and ended after ten idle
minutes, if it hangs, or when another model version is in use. It may have 3 GB of memory and needs
1 GB.
"""

import contextlib
import json
import os
import select
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any, NamedTuple, Self

import structlog

from service.config.loader import Config
from worker.errors import PhotochromError
from worker.models.promotions import active_versions, read_promotions
from worker.settings import ColorWishes

IDLE = 600.0  # seconds until it ends
LONGEST_START = 180.0  # seconds that loading may take, on a machine that is busy
LONGEST = 30.0  # seconds that an answer may take; most take 0.1
LARGEST_ANSWER = 1 << 26  # bytes
TAIL = 2000  # bytes of its last words that are logged

log = structlog.get_logger()


class PreviewError(PhotochromError):
    """Nothing can be shown now; the text says why."""


class Picture(NamedTuple):
    """What is shown: a JPEG or PNG, and how long it took to make, in milliseconds."""

    content: bytes
    milliseconds: float


class PreviewProcess:
    """Asks the child; methods may be called by several threads, and take turns.

    A page is given by its view, a JPEG that photochrom made of the scan, and by a key that is the
    same for the same page only. Every method raises PreviewError.

    Args:
        config: where versions are, which is used, and the render size.
        idle: seconds without a question until the child ends.
        longest: seconds that an answer may take.
    """

    def __init__(self, config: Config, idle: float = IDLE, longest: float = LONGEST) -> None:
        """Start nothing yet."""
        self._config = config
        self._idle = idle
        self._longest = longest
        self._lock = threading.Lock()  # guards all below
        self._child: _Child | None = None
        self._asked_at = 0.0
        self._clock: threading.Timer | None = None

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the child."""
        self.close()

    def close(self) -> None:
        """End the child, if there is one."""
        with self._lock:
            self._end()

    @property
    def is_running(self) -> bool:
        """Whether there is a child."""
        return self._child is not None

    def look(self, view: Path, key: str) -> None:
        """Have the child look at a page, so that what is asked about it next is answered at once.

        Starts the child, unless it runs with the version in use.
        """
        self._ask("look", view, key)

    def preview(self, view: Path, key: str, wishes: ColorWishes) -> Picture:
        """Return a JPEG of the page in the colors that wishes give it."""
        said, content = self._ask("preview", view, key, wishes=asdict(wishes))
        return Picture(content, said["milliseconds"])

    def swatches(self, view: Path, key: str, x: float, y: float) -> list[dict[str, Any]]:
        """Return the likely colors at a place (0 to 1), {color, probability}, likeliest first."""
        found: list[dict[str, Any]] = self._ask("swatches", view, key, x=x, y=y)[0]["swatches"]
        return found

    def variants(self, view: Path, key: str) -> list[float]:
        """Return the likelihood of each variant relative to the likeliest, the first, up to 4."""
        found: list[float] = self._ask("variants", view, key)[0]["variants"]
        return found

    def doubt(self, view: Path, key: str) -> Picture:
        """Return a PNG to lay over the page: opaque where colors are doubtful, else clear."""
        said, content = self._ask("doubt", view, key)
        return Picture(content, said["milliseconds"])

    def colors(self, view: Path) -> list[list[int]]:
        """Return the most frequent colors of a result's view; see `Reference.colors`."""
        found: list[list[int]] = self._ask("colors", view, "")[0]["colors"]
        return found

    def _ask(self, what: str, view: Path, key: str, **rest: Any) -> tuple[dict[str, Any], bytes]:
        request = {"do": what, "view": str(view), "key": key, **rest}
        with self._lock:
            child = self._started()
            try:
                said, content = child.ask(request, self._longest)
            except TimeoutError:
                self._end(kill=True)
                words = f"the preview took more than {self._longest:g} s and was stopped"
                raise PreviewError(words) from None
            except (OSError, ValueError):
                tail = self._end(kill=True)
                log.warning("preview.ended", output=tail)
                words = "the process that shows previews ended; it starts anew with the next try"
                raise PreviewError(words) from None
            self._asked_at = time.monotonic()
        if "error" in said:
            raise PreviewError(said["error"])
        return said, content

    def _started(self) -> "_Child":
        """Return a child with the version in use; the lock is held."""
        version = _version_in_use(self._config)
        if self._child and self._child.version == version:
            return self._child
        self._end()
        child = _Child(self._config, version)
        try:
            said, _ = child.answer(LONGEST_START)
        except (OSError, ValueError):  # a TimeoutError too
            log.warning("preview.ended", output=child.end(kill=True))
            raise PreviewError("the process that shows previews could not be started") from None
        if "error" in said:
            child.end()
            raise PreviewError(said["error"])
        self._child, self._asked_at = child, time.monotonic()
        self._watch(self._idle)
        return child

    def _watch(self, after: float) -> None:
        self._clock = threading.Timer(after, self._end_if_idle)
        self._clock.daemon = True
        self._clock.start()

    def _end_if_idle(self) -> None:
        with self._lock:
            left = self._asked_at + self._idle - time.monotonic()
            if self._child and left > 0:
                self._watch(left)
            else:
                self._end()

    def _end(self, *, kill: bool = False) -> str:
        """End the child and return its last words; the lock is held."""
        child, self._child = self._child, None
        if self._clock:
            self._clock.cancel()
        return child.end(kill=kill) if child else ""


class _Child:
    """The process, and this side of its pipes."""

    def __init__(self, config: Config, version: str) -> None:
        """Start it."""
        self.version = version
        self._words: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `end`
        model = config.model
        arguments = [str(config.models_folder), version, str(model.render_size), model.precision]
        self._process = subprocess.Popen(  # noqa: S603 - of our own settings
            [sys.executable, "-P", "-m", "worker.viewing.live_preview_process", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._words,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""},
            process_group=0,  # Ctrl-C is for the server
        )
        self._read = b""

    def ask(self, request: dict[str, Any], longest: float) -> tuple[dict[str, Any], bytes]:
        """Send a request, and wait for the answer; errors as `answer`."""
        assert self._process.stdin  # noqa: S101 - it is a pipe
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        return self.answer(longest)

    def answer(self, longest: float) -> tuple[dict[str, Any], bytes]:
        """Wait for an answer.

        Raises:
            TimeoutError: it takes too long.
            OSError: the child has ended.
            ValueError: it is no answer.
        """
        until = time.monotonic() + longest
        while b"\n" not in self._read:
            self._more(until)
        line, _, self._read = self._read.partition(b"\n")
        said: dict[str, Any] = json.loads(line)
        size = int(said.get("bytes", 0))
        if not 0 <= size <= LARGEST_ANSWER:
            raise ValueError(size)
        while len(self._read) < size:
            self._more(until)
        content, self._read = self._read[:size], self._read[size:]
        return said, content

    def _more(self, until: float) -> None:
        assert self._process.stdout  # noqa: S101 - it is a pipe
        waiting = select.poll()
        waiting.register(self._process.stdout, select.POLLIN)
        if not waiting.poll(max(0.0, until - time.monotonic()) * 1000):
            raise TimeoutError
        more = os.read(self._process.stdout.fileno(), 1 << 20)
        if not more:
            raise OSError("it has ended")
        self._read += more

    def end(self, *, kill: bool = False) -> str:
        """End it, and return its last words."""
        if kill:
            self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):  # what was written is never read
                if pipe:
                    pipe.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        with self._words:
            self._words.seek(max(0, self._words.seek(0, os.SEEK_END) - TAIL))
            return self._words.read().decode("utf-8", "replace")


def _version_in_use(config: Config) -> str:
    wanted = str(config.model.version)
    if wanted == "promoted":
        return active_versions(read_promotions(config.models_folder))[-1]
    return wanted
