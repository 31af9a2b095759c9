"""The workers of a cluster, by way of Ray: started, asked for signs of life, given photographs.

Ray repeats nothing (`max_restarts=0`, `max_task_retries=0`): a photograph whose worker is lost goes
back to the daemon, whose ledger counts its attempts.
"""

import json
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple

import ray
from ray.exceptions import ActorDiedError, OutOfMemoryError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from worker.cluster.courier import Courier
from worker.cluster.environment import differences, environment
from worker.cluster.messages import (
    ClusterSettings,
    Loss,
    Message,
    Order,
    Painted,
    Reply,
    State,
    decode,
)
from worker.cluster.node_worker import Content, NodeWorker, Parts
from worker.cluster.roster import Node, Roster, Worker
from worker.inference.engine import Task

LOOK_EVERY = 0.2  # seconds between two looks at all workers
TELL_EVERY = 1.0  # seconds between two states that say the same
HEAD_SILENT_AFTER = 15.0  # seconds
COURIERS = 4  # threads that carry files

Event = Callable[[float], None]  # called with the time, monotonic seconds


class LoadedModel(NamedTuple):
    """A generator for the workers: its name and card, SHA-256, and Ray's reference to its file."""

    name: str
    card: str
    sha256: str
    file: Any


class Crew:
    """Has photographs colored by the workers of a cluster that this process is connected to.

    Args:
        settings: how the cluster is used.
        parts: of the service.
        say: takes messages for the daemon.
    """

    def __init__(
        self, settings: ClusterSettings, parts: Parts, say: Callable[[Message], None]
    ) -> None:
        """Start nothing yet."""
        self._settings = settings
        self._parts = parts
        self._say = say
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._roster = Roster(settings)
        self._handles: dict[Worker, Any] = {}
        self._model: LoadedModel | None = None
        self._here = environment()
        self._actors: Any = ray.remote(NodeWorker)
        self._courier = None if settings.shared else Courier(parts.daemon_files(settings.parts))
        self._threads = ThreadPoolExecutor(COURIERS, "courier")
        self._nodes_at: float | None = None
        self._replies = 0
        self._look_at = self._tell_at = float("-inf")
        self._told = (-1, "")

    # Called from any thread

    def see(self, nodes: list[Node]) -> None:
        """Take note of the nodes that are alive."""
        self._events.put(partial(self._see, nodes))

    def take_up(self, model: LoadedModel) -> None:
        """Color with this generator from the next photograph on."""
        self._events.put(partial(self._take_up, model))

    def order(self, order: Order) -> None:
        """Have a photograph colored."""
        self._events.put(lambda _now: self._roster.waiting.append(order))

    # Called from one thread

    def step(self) -> None:
        """Wait for something to happen, at most until the next look, and do what is due."""
        with suppress(Empty):
            self._events.get(timeout=LOOK_EVERY)(time.monotonic())
            while True:
                self._events.get_nowait()(time.monotonic())
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_EVERY
            self._look(now)
        if self._roster.waiting:
            for worker, order in self._roster.assign(now):
                self._hand_over(worker, order)
        self._tell(now)

    def _look(self, now: float) -> None:
        roster = self._roster
        for worker in roster.to_start(now) if self._model else ():
            self._start(worker, now)
        for worker in roster.to_load():
            self._load(worker)
        for worker, late, reason in roster.overdue(now):
            self._lose(worker, "worker", reason, now, late)
        for order in roster.given_back(now):
            self._say(Reply(order.ticket, kind="worker", reason=self._trouble(now)))
        for worker, handle in self._handles.items():
            if worker.asked_at is None and now >= worker.ask_at:
                worker.asked_at, worker.ask_at = now, now + self._settings.patience / 10
                self._then(handle.sign_of_life.remote(), worker, self._lives)

    def _tell(self, now: float) -> None:
        roster, trouble = self._roster, self._trouble(now)
        if (roster.room, trouble) == self._told and now < self._tell_at:
            return
        self._told, self._tell_at = (roster.room, trouble), now + TELL_EVERY
        moved = self._replies + sum(worker.signs for worker in roster.workers)
        workers = tuple(worker.state(now) for worker in roster.workers)
        self._say(State(roster.room, workers, roster.deaths, moved, trouble))

    def _trouble(self, now: float) -> str:
        """Return why nothing can be colored, in words; or ""."""
        address, settings = self._settings.address, self._settings
        if self._nodes_at is None:
            return f"waiting for the Ray cluster at {address}"
        if now - self._nodes_at > HEAD_SILENT_AFTER:
            return f"the head of the Ray cluster at {address} does not answer"
        states = [worker.state(now) for worker in self._roster.workers]
        if not states:
            wanted = f"{settings.cpus} cores" + (" and a GPU" if settings.gpu else "")
            return f"no node of the Ray cluster at {address} has {wanted} for a worker"
        if any(one.state == "ready" for one in states):
            return ""
        if all(one.state == "paused" for one in states):
            return f"no worker can color: {states[0].name}: {states[0].reason}"
        return f"workers are starting in the Ray cluster at {address}"

    def _then(self, ref: Any, worker: Worker, event: Callable[..., None]) -> None:
        """Have an event called with a worker and a result, unless its process is gone by then."""
        life = worker.life

        def call(future: Future[Any], now: float) -> None:
            if worker.life == life:
                event(worker, future, now)

        ref.future().add_done_callback(lambda future: self._events.put(partial(call, future)))

    # The life of a worker

    def _see(self, nodes: list[Node], now: float) -> None:
        self._nodes_at = now
        for worker in self._roster.see(nodes):
            self._lose(worker, "worker", f"{worker.node.host} left the cluster", now)

    def _take_up(self, model: LoadedModel, _now: float) -> None:
        self._model, self._roster.model = model, model.sha256

    def _start(self, worker: Worker, now: float) -> None:
        settings = self._settings
        worker.phase, worker.asked_at = "starting", now
        handle = self._actors.options(
            num_cpus=settings.cpus,
            num_gpus=int(settings.gpu),
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(worker.node.id, soft=False),
        ).remote(
            self._parts,
            settings.parts,
            shared=settings.shared,
            cpus=settings.cpus,
            gpu=settings.gpu,
        )
        self._handles[worker] = handle
        self._then(handle.environment.remote(), worker, self._started)

    def _started(self, worker: Worker, future: Future[str], now: float) -> None:
        try:
            differs = differences(self._here, json.loads(future.result()))
        except Exception as error:  # noqa: BLE001 - Ray's, or of what cannot be imported there
            self._lose(worker, "worker", f"cannot be started: {words_of(error)}", now)
            return
        worker.asked_at = None
        if differs:
            self._lose(worker, "worker", f"its machine has other versions: {differs}", now)
        else:
            self._load(worker)

    def _load(self, worker: Worker) -> None:
        model = self._model
        assert model is not None  # noqa: S101 - workers are started after a model came
        worker.phase = "loading"
        ref = self._handles[worker].load.remote(model.name, model.card, model.file)
        self._then(ref, worker, self._loaded)

    def _loaded(self, worker: Worker, future: Future[tuple[str, str]], now: float) -> None:
        try:
            sha256, reason = future.result()
        except Exception as error:  # noqa: BLE001 - whatever Ray says, this worker is no use
            self._lose(worker, "crash", f"ended while loading: {words_of(error)}", now)
            return
        if reason:
            self._lose(worker, "worker", f"cannot load the model: {reason}", now)
        else:
            worker.phase, worker.model = "ready", sha256

    def _lives(self, worker: Worker, future: Future[int], now: float) -> None:
        error = future.exception()
        if error is None:
            worker.signs, worker.asked_at = future.result(), None
        elif not worker.held:  # else what becomes of its photographs says more
            self._lose(worker, "crash", words_of(error), now)

    def _lose(
        self,
        worker: Worker,
        kind: Loss,
        reason: str,
        now: float,
        late: frozenset[int] = frozenset(),
    ) -> None:
        """End a worker, let its place rest, and give back what it had.

        Args:
            worker: which.
            kind: as `Reply` has it.
            reason: in words.
            now: monotonic seconds.
            late: tickets of the photographs that took too long.
        """
        if worker.phase in {"ready", "loading"}:
            self._roster.deaths += 1
        for order in self._roster.empty(worker):
            loss: Loss = "crash" if order.ticket in late else kind
            self._say(Reply(order.ticket, worker.name, kind=loss, reason=reason))
        self._roster.rest(worker, reason, now)
        handle = self._handles.pop(worker, None)
        if handle is not None:
            with suppress(Exception):  # whatever Ray says: it may be dead, or out of reach
                ray.kill(handle, no_restart=True)

    # The way of a photograph

    def _hand_over(self, worker: Worker, order: Order) -> None:
        if self._courier is None:
            self._paint(worker, order, None)
            return
        task = decode(Task, json.loads(order.task))
        fetched = self._threads.submit(self._courier.fetch, task)
        self._go_on(worker, order, fetched, self._fetched)

    def _fetched(self, worker: Worker, order: Order, found: Content | Painted, now: float) -> None:
        if isinstance(found, Content):
            self._paint(worker, order, found)
        else:
            self._reply(worker, order, found, now)

    def _paint(self, worker: Worker, order: Order, content: Content | None) -> None:
        ref = self._handles[worker].paint.remote(order.task, content)
        self._then(ref, worker, partial(self._painted, order))

    def _painted(self, order: Order, worker: Worker, future: Future[Painted], now: float) -> None:
        try:
            painted = future.result()
        except OutOfMemoryError as error:
            self._lose(worker, "memory", words_of(error), now)
        except RayTaskError as error:  # a bug that concerns this photograph
            worker.held.pop(order.ticket, None)
            self._say(Reply(order.ticket, worker.name, kind="crash", reason=words_of(error)))
        except ActorDiedError as error:
            its_node = "node has died" in str(error)
            self._lose(worker, "worker" if its_node else "crash", words_of(error), now)
        except Exception as error:  # noqa: BLE001 - whatever Ray says, this worker is no use
            self._lose(worker, "worker", words_of(error), now)
        else:
            self._deliver(worker, order, painted, now)

    def _deliver(self, worker: Worker, order: Order, painted: Painted, now: float) -> None:
        if self._courier is None or not painted.is_colored:
            self._reply(worker, order, painted, now)
            return
        task = decode(Task, json.loads(order.task))
        stored = self._threads.submit(self._courier.store, task, painted)
        self._go_on(worker, order, stored, self._reply)

    def _go_on(
        self, worker: Worker, order: Order, done: Future[Any], event: Callable[..., None]
    ) -> None:
        """Have an event called when a file was carried, unless the worker is another by then."""
        life = worker.life

        def call(now: float) -> None:
            if worker.life == life:
                event(worker, order, done.result(), now)

        done.add_done_callback(lambda _done: self._events.put(call))

    def _reply(self, worker: Worker, order: Order, painted: Painted, now: float) -> None:
        worker.held.pop(order.ticket, None)
        self._replies += 1
        if painted.is_colored:
            worker.finished(now)
        elif painted.fault:
            self._roster.rest(worker, painted.fault, now)
        self._say(Reply(order.ticket, worker.name, painted.outcome, painted.batches))


def words_of(error: BaseException | None) -> str:
    """Say in one line what Ray says at length."""
    text = str(error)
    if "ModuleNotFoundError" in text or "No module named" in text:
        return "photochrom is not installed in the Python that Ray runs with there"
    lines = [line.strip() for line in text.splitlines() if line.strip()] or [repr(error)]
    telling = (line for line in lines if line.startswith("The actor"))
    return next(telling, lines[-1] if isinstance(error, RayTaskError) else lines[0])[:300]
