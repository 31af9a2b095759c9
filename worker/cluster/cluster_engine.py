"""The engine whose workers are processes of a Ray cluster; see `worker.inference.engine.Engine`.

A photograph's way:
1. it waits until the bridge has room for it
2. the bridge hands it to a worker, which reads, colors and writes it as a local engine does
3. its outcome comes back by its ticket; one that was given up meanwhile is dropped, and what it
   wrote is removed
A photograph whose worker is lost fails at once and goes back to the ledger, which counts attempts;
the next attempt has another staging file. The bridge may end at any time: then all that it had
fails likewise, and another bridge is started after a wait.
"""

import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace

from worker.cluster.bridge_process import BridgeProcess
from worker.cluster.messages import (
    ClusterSettings,
    End,
    Message,
    Model,
    Order,
    Reply,
    State,
    is_of_a_machine,
    outcome_of,
    text_of,
)
from worker.errors import PhotochromError
from worker.inference.engine import Colored, Failed, FailureKind, Outcome, Task, WorkerState, failed
from worker.inference.predictor import Predictor
from worker.inference.task_files import TaskFiles

SILENT_AFTER = 30.0  # seconds after which a bridge that says nothing is ended
LEAST_SECONDS, SECONDS_PER_MEGAPIXEL = 120.0, 4.0  # after which a photograph is given up
MEGAPIXELS_PER_MEGABYTE = 10.0  # more than a photograph has that is not blank
RESULT_PER_SCAN = 3  # bytes for each of a gray scan: three samples instead of one
SWEEP_EVERY, SWEEP_FOR = 15.0, 3600.0  # seconds, for what workers write that were given up
KINDS: dict[str, FailureKind] = {"worker": "device", "crash": "unforeseen", "memory": "memory"}


@dataclass(eq=False)
class _Photo:
    """A photograph in hand."""

    task: Task
    future: Future[Outcome]


class ClusterEngine:
    """Colors photographs in the workers of a cluster.

    Args:
        predictor: the loaded generator, which is tried; the workers load its file.
        files: opens scans and staging files on this machine.
        settings: how the cluster is used.
        program: the command that runs the bridge.
    """

    isolates = True

    def __init__(
        self,
        predictor: Predictor,
        files: TaskFiles,
        settings: ClusterSettings,
        program: Sequence[str],
    ) -> None:
        """Start the bridge."""
        self._predictor = predictor
        self._files = files
        self._settings = settings
        self._program = program
        self.batch_done: Callable[[int, float], None] = lambda _photos, _seconds: None
        self.on_progress: Callable[[], None] = lambda: None
        self._changed = threading.Condition()  # guards all below
        self._waiting: deque[_Photo] = deque()
        self._sent: dict[int, _Photo] = {}  # by ticket
        self._abandoned: dict[Task, float] = {}  # until when their files are looked for
        self._models = {predictor.weights_sha256: predictor.model}  # that were ever asked for
        self._tickets = 0
        self._bridge: BridgeProcess | None = None
        self._state = State(0, (), 0, 0, f"connecting to the Ray cluster at {settings.address}")
        self._deaths = 0  # of bridges before this one
        self._heard_at = time.monotonic()
        self._closed = False
        self._given_up = False
        self._second_looks = ThreadPoolExecutor(1, "second look")
        self._threads = [
            threading.Thread(target=work, daemon=True) for work in (self._run, self._watch)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def model(self) -> str:
        """The version that colors the next photograph."""
        return self._predictor.model

    @property
    def slots(self) -> int:
        """How many photographs it takes at once: as many again as the workers have wait here."""
        return max(1, 2 * self._state.room)

    @property
    def batch_size(self) -> int:
        """How many photographs the workers have at once."""
        return max(1, self._state.room)

    @property
    def memory(self) -> int | None:
        """None: no device of this machine is used."""
        return None

    @property
    def blocked_by(self) -> str:
        """Why no worker colors anything now, in words; or ""."""
        return self._state.trouble

    @property
    def workers(self) -> tuple[WorkerState, ...]:
        """The processes that color."""
        return self._state.workers

    @property
    def worker_deaths(self) -> int:
        """How many of them were lost."""
        return self._deaths + self._state.deaths

    def take_up(self, predictor: Predictor) -> None:
        """Color with another generator from the next photograph on; those in hand keep theirs."""
        with self._changed:
            self._predictor = predictor
            self._models[predictor.weights_sha256] = predictor.model
            self._say(_model_of(predictor))

    def submit(self, task: Task) -> Future[Outcome]:
        """Take a photograph; its future can be canceled until a worker gets it."""
        photo = _Photo(task, Future())
        with self._changed:
            if self._closed:
                raise RuntimeError("the engine is closed")
            self._waiting.append(photo)
            self._send()
        return photo.future

    def close(self, *, wait: bool = True) -> None:
        """Cancel what is not begun, finish what is, and end.

        Args:
            wait: False returns at once, and ends what is begun as soon as it can.
        """
        with self._changed:
            self._closed = True
            self._given_up = self._given_up or not wait
            for photo in self._waiting:
                photo.future.cancel()
            self._waiting.clear()
            if wait:
                self._changed.wait_for(lambda: self._given_up or not self._sent)
            self._changed.notify_all()
            bridge, given_up = self._bridge, self._given_up
        if bridge is not None:
            if given_up:
                bridge.kill()
            else:
                bridge.end()
        self._second_looks.shutdown(wait=wait)
        for thread in self._threads if wait else ():
            thread.join()
        self._sweep(float("inf"))

    # To the bridge; the lock is held

    def _say(self, message: Message) -> None:
        if self._bridge is not None:
            self._bridge.say(message)

    def _send(self) -> None:
        while self._waiting and len(self._sent) < self._state.room and not self._state.trouble:
            photo = self._waiting.popleft()
            if photo.future.set_running_or_notify_cancel():
                self._tickets += 1
                self._sent[self._tickets] = photo
                shared = self._settings.shared
                self._say(_order_of(photo.task, self._tickets, shared=shared))

    # From the bridge

    def _run(self) -> None:
        """Keep a bridge running, and listen to it."""
        wait = self._settings.first_wait
        while not self._closed:
            reason, was_of_use = self._listen()
            with self._changed:
                self._lose_all(reason)
                wait = self._settings.first_wait if was_of_use else wait * 2
                wait = min(wait, self._settings.longest_wait, 60.0)
                self._changed.wait_for(lambda: self._closed, wait)

    def _listen(self) -> tuple[str, bool]:
        """Start a bridge and listen until it ends; return why it did, and whether it colored."""
        try:
            bridge = BridgeProcess(self._program, self._settings)
        except OSError as error:
            return f"the bridge to Ray cannot be started: {error}", False
        with self._changed:
            self._bridge, self._heard_at = bridge, time.monotonic()
            if self._closed:
                bridge.kill()
                return "", False
            bridge.say(_model_of(self._predictor))
        reason, was_of_use = "", False
        with suppress(ValueError, OSError):  # ValueError: it was killed amid a line
            for message in bridge.messages():
                if isinstance(message, Reply):
                    was_of_use = was_of_use or bool(message.outcome)
                    self._take(message)
                elif isinstance(message, State):
                    self._note(message)
                elif isinstance(message, End):
                    reason = message.reason
        bridge.kill()
        bridge.close()
        reason = reason or f"the connection to the Ray cluster was lost: {bridge.last_words}"
        return reason, was_of_use

    def _note(self, state: State) -> None:
        with self._changed:
            moved = state.progress != self._state.progress
            was_blocked = bool(self._state.trouble)
            self._state, self._heard_at = state, time.monotonic()
            self._send()
        if moved or was_blocked:
            self.on_progress()

    def _take(self, reply: Reply) -> None:
        for photographs, seconds in reply.batches:
            self.batch_done(photographs, seconds)
        with self._changed:
            photo = self._sent.get(reply.ticket)
            self._heard_at = time.monotonic()
        if photo is None:
            return
        outcome = self._outcome(photo.task, reply)
        if isinstance(outcome, Failed) and outcome.kind == "source changed":
            self._second_looks.submit(self._look_again, reply, photo)
        else:
            self._finish(reply.ticket, photo, outcome)

    def _outcome(self, task: Task, reply: Reply) -> Outcome:
        """Return what became of a photograph, if it may be believed."""
        if not reply.outcome:
            self._abandon(task)
            return _lost(task, KINDS[reply.kind or "worker"], reply.worker, reply.reason)
        outcome = outcome_of(reply.outcome)
        if isinstance(outcome, Failed):
            return replace(outcome, worker=reply.worker) if is_of_a_machine(outcome) else outcome
        doubt = self._doubt(task, outcome)
        if doubt:
            self._abandon(task)
            return _lost(task, "device", reply.worker, doubt)
        return outcome

    def _doubt(self, task: Task, outcome: Colored) -> str:
        """Say why a result is not to be delivered; or ""."""
        if (outcome.job, outcome.attempt) != (task.job, task.attempt):
            return "it answered for another photograph"
        if self._models.get(outcome.weights_sha256) != outcome.model:
            return "it colored with a model that nobody asked for"
        try:
            size = self._files.staged(task)
        except (OSError, PhotochromError) as error:
            return f"its result cannot be seen here: {error}"
        return "" if size == outcome.size else "its result has another size here"

    def _look_again(self, reply: Reply, photo: _Photo) -> None:
        """See whether a scan is changed for this machine too; its word counts."""
        task = photo.task
        try:
            with self._files.open_source(task):
                pass
        except Exception as error:  # noqa: BLE001 - the outcome is what is found here
            outcome: Outcome = failed(task, error)
        else:
            reason = (
                f"it does not see {task.source.path} as it is; is the same share mounted there?"
            )
            outcome = _lost(task, "device", reply.worker, reason)
        self._finish(reply.ticket, photo, outcome)

    def _finish(self, ticket: int, photo: _Photo, outcome: Outcome) -> None:
        with self._changed:
            if self._sent.pop(ticket, None) is None:  # it was given up meanwhile
                return
            self._send()
            self._changed.notify_all()
        photo.future.set_result(outcome)
        self.on_progress()

    def _lose_all(self, reason: str) -> None:
        """Give up what the bridge had, since it is gone; the lock is held."""
        self._bridge = None
        self._deaths += self._state.deaths
        self._state = State(0, (), 0, self._state.progress, reason)
        lost, self._sent = self._sent, {}
        for photo in lost.values():
            self._abandon(photo.task)
            if not self._given_up:
                photo.future.set_result(_lost(photo.task, "device", "the Ray cluster", reason))
        self._changed.notify_all()

    # What is left behind

    def _watch(self) -> None:
        """End a bridge that hangs, and remove what was written by workers that were given up."""
        swept_at = time.monotonic()
        while not self._closed:
            with self._changed:
                self._changed.wait_for(lambda: self._closed, 1.0)
                silent = time.monotonic() - self._heard_at > silence(self._settings)
                bridge = self._bridge if silent else None
            if bridge is not None:
                bridge.kill()
            if time.monotonic() - swept_at > SWEEP_EVERY:
                swept_at = time.monotonic()
                self._sweep(swept_at)

    def _abandon(self, task: Task) -> None:
        self._abandoned[task] = time.monotonic() + SWEEP_FOR

    def _sweep(self, now: float) -> None:
        """Remove files of photographs that were given up; a worker may yet write one."""
        for task, until in list(self._abandoned.items()):
            with suppress(OSError, PhotochromError):  # the next sweep, or the next start, does it
                self._files.discard(task)
            if now > until:
                self._abandoned.pop(task, None)


def silence(settings: ClusterSettings) -> float:
    """Return after how many seconds without a word a bridge counts as hanging."""
    return max(SILENT_AFTER, settings.patience)


def _model_of(predictor: Predictor) -> Model:
    return Model(predictor.model, predictor.weights_sha256, os.fspath(predictor.folder))


def _order_of(task: Task, ticket: int, *, shared: bool) -> Order:
    megapixels = min(task.read.megapixels, task.source.size / 1e6 * MEGAPIXELS_PER_MEGABYTE)
    seconds = LEAST_SECONDS + SECONDS_PER_MEGAPIXEL * megapixels
    results = 2 if task.source.recolor else 1  # the earlier one travels too
    carried = 0 if shared else task.source.size * (1 + results * RESULT_PER_SCAN)
    return Order(ticket, text_of(task), seconds, carried, alone=task.attempt > 1)


def _lost(task: Task, kind: FailureKind, worker: str, reason: str) -> Failed:
    return Failed(task.job, task.attempt, kind, f"{worker}: {reason}", worker=worker)
