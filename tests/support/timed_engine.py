"""An engine that takes a set time for each photograph and colors nothing; for what the daemon does.

It stands for workers on other machines: none of their work burdens this processor. Each result is
the same few bytes, written where the task says.
"""

import hashlib
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import NamedTuple

from worker.inference.engine import Colored, Outcome, Task, WorkerState
from worker.inference.predictor import Predictor
from worker.metadata.provenance import PageRecord, Record

SOURCE_TYPE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"


class _Turn(NamedTuple):
    task: Task
    future: Future[Outcome]
    done_at: float


class TimedEngine:
    """Workers that take a set time; see `worker.inference.engine.Engine`.

    Args:
        workers: how many; each has one photograph in work and one waiting.
        seconds: for each photograph.
        result: the bytes of each result.
    """

    def __init__(self, workers: int, seconds: float, result: bytes) -> None:
        """Start the thread that plays all workers."""
        self.model, self.memory = "timed", None
        self.slots, self.batch_size = 2 * workers, workers
        self.isolates, self.blocked_by, self.worker_deaths = True, "", 0
        self.workers: tuple[WorkerState, ...] = ()
        self.batch_done: Callable[[int, float], None] = lambda _photos, _seconds: None
        self.on_progress: Callable[[], None] = lambda: None
        self._seconds, self._result = seconds, result
        self._sha256 = hashlib.sha256(result).hexdigest()
        self._free_at = deque([0.0] * workers)  # of each worker, in their order
        self._turns: deque[_Turn] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name="timed", daemon=True)
        self._thread.start()

    def submit(self, task: Task) -> Future[Outcome]:
        """Take a photograph; it is begun at once."""
        future: Future[Outcome] = Future()
        future.set_running_or_notify_cancel()
        with self._changed:
            done_at = max(self._free_at.popleft(), time.monotonic()) + self._seconds
            self._free_at.append(done_at)
            self._turns.append(_Turn(task, future, done_at))
            self._changed.notify()
        return future

    def take_up(self, predictor: Predictor) -> None:
        """Color like before."""

    def close(self, *, wait: bool = True) -> None:
        """End after what was taken."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if wait:
            self._thread.join()

    def _work(self) -> None:
        while (turn := self._next()) is not None:
            time.sleep(max(0.0, turn.done_at - time.monotonic()))
            turn.future.set_result(self._colored(turn.task))

    def _next(self) -> _Turn | None:
        with self._changed:
            self._changed.wait_for(lambda: self._turns or self._closed)
            return self._turns.popleft() if self._turns else None

    def _colored(self, task: Task) -> Outcome:
        staging = Path(task.staging)
        staging.parent.mkdir(parents=True, exist_ok=True)
        staging.write_bytes(self._result)
        page = PageRecord(1, 1, 8, 8, "", "sRGB", "0" * 64, "0" * 64)
        record = Record("TIFF", (page,), {}, SOURCE_TYPE)
        size, zeros = len(self._result), "0" * 64
        return Colored(task.job, task.attempt, "timed", zeros, record, self._sha256, size, 0.5)
