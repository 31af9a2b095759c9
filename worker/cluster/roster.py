"""Which workers there should be, and which of them gets which photograph; knows nothing of Ray.

A worker is a place on a node that a process fills; when the process dies, the place rests, and
gets another. Times are monotonic seconds, and arguments.
"""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import count, zip_longest
from typing import Literal, NamedTuple

from worker.cluster.messages import ClusterSettings, Order
from worker.inference.engine import WorkerState

RATE_OVER = 300.0  # seconds
START_WITHIN = 120.0  # seconds; a machine that starts many processes at once is slow
STORE_SHARE = 0.5  # of an object store, for photographs; Ray writes to the disk what passes 0.8

Phase = Literal["empty", "starting", "loading", "ready"]


class Node(NamedTuple):
    """A machine of the cluster that is alive.

    Attributes:
        id: Ray's.
        host: its name.
        cpus: its cores.
        gpus: its GPUs.
        store: bytes of its object store.
        is_here: whether it is the daemon's own, by which all goes that travels.
    """

    id: str
    host: str
    cpus: int
    gpus: int
    store: int = 0
    is_here: bool = False


class Held(NamedTuple):
    """A photograph that a worker has, and when it is given up."""

    order: Order
    until: float


@dataclass(eq=False)
class Worker:
    """A place for a process on a node.

    Attributes:
        name: unlike any other's.
        node: where it is.
        phase: of the process in it.
        life: how many processes it had.
        model: SHA-256 of the generator that the process colors with, or "".
        held: the photographs that it has, by ticket.
        alone: whether it gets no other photograph while it has one.
        faults: of its machine, in a row.
        rests_until: it gets neither process nor photograph before.
        reason: of the last fault, in words.
        done: photographs colored.
        asked_at: since when it owes a sign of life; None if it owes none.
        ask_at: when it is asked for one again.
        signs: the number that it last gave as a sign of life.
    """

    name: str
    node: Node
    phase: Phase = "empty"
    life: int = 0
    model: str = ""
    held: dict[int, Held] = field(default_factory=dict)
    alone: bool = False
    faults: int = 0
    rests_until: float = float("-inf")
    reason: str = ""
    done: int = 0
    asked_at: float | None = None
    ask_at: float = float("-inf")
    signs: int = 0
    _finished: deque[float] = field(default_factory=deque)

    def finished(self, now: float) -> None:
        """Note that it colored a photograph."""
        self.done += 1
        self.faults, self.reason = 0, ""
        self._finished.append(now)

    def state(self, now: float) -> WorkerState:
        """Describe it."""
        while self._finished and self._finished[0] < now - RATE_OVER:
            self._finished.popleft()
        rate = len(self._finished) * 3600.0 / RATE_OVER
        paused = now < self.rests_until or (self.phase == "empty" and self.reason)
        made = WorkerState(self.name, self.node.host, "starting", len(self.held), self.done, rate)
        if paused:
            return replace(made, state="paused", reason=self.reason)
        return replace(made, state="ready") if self.phase == "ready" else made


class Roster:
    """The workers of a cluster, and the photographs that wait for one.

    Args:
        settings: how many workers, and what each takes.

    Attributes:
        workers: all, in the order in which they came.
        waiting: photographs for which no worker was free.
        model: SHA-256 of the generator to color with.
        deaths: how many processes ended that should not have.
    """

    def __init__(self, settings: ClusterSettings) -> None:
        """Begin without workers."""
        self._settings = settings
        self.workers: list[Worker] = []
        self.waiting: deque[Order] = deque()
        self.model = ""
        self.deaths = 0
        self._store_here = 0

    @property
    def room(self) -> int:
        """How many photographs the workers take at once that have the model, resting ones too."""
        return self._settings.in_flight * sum(
            one.phase in {"ready", "loading"} for one in self.workers
        )

    def see(self, nodes: Iterable[Node]) -> list[Worker]:
        """Take note of the nodes that are alive; return the workers whose node is gone."""
        alive = {node.id: node for node in nodes}
        self._store_here = sum(node.store for node in alive.values() if node.is_here)
        gone = [one for one in self.workers if one.node.id not in alive]
        self.workers = [one for one in self.workers if one.node.id in alive]
        columns = [[node] * self._places(node) for node in sorted(alive.values())]
        wanted = [node for row in zip_longest(*columns) for node in row if node is not None]
        if self._settings.workers:
            wanted = wanted[: self._settings.workers]
        for node in alive.values():
            missing = wanted.count(node) - sum(one.node.id == node.id for one in self.workers)
            for _ in range(missing):
                self.workers.append(Worker(self._free_name(node.host), node))
        return gone

    def _places(self, node: Node) -> int:
        places = node.cpus // self._settings.cpus
        return min(places, node.gpus) if self._settings.gpu else places

    def _free_name(self, host: str) -> str:
        taken = {one.name for one in self.workers}
        return next(name for number in count(1) if (name := f"{host} #{number}") not in taken)

    def to_start(self, now: float) -> list[Worker]:
        """Return the places that get a process now: one after the other on each node."""
        busy = {one.node.id for one in self.workers if one.phase in {"starting", "loading"}}
        found: dict[str, Worker] = {}
        for one in self.workers:
            if one.phase == "empty" and one.node.id not in busy and now >= one.rests_until:
                found.setdefault(one.node.id, one)
        return list(found.values())

    def to_load(self) -> list[Worker]:
        """Return the workers that have another model than they should, and are not loading."""
        return [one for one in self.workers if one.phase == "ready" and one.model != self.model]

    def assign(self, now: float) -> list[tuple[Worker, Order]]:
        """Hand photographs that wait to workers; returns who got which.

        One that is to be alone gets an idle worker; while there is none, the least busy worker gets
        no other, so that it soon is idle. One that the object stores have no room for holds up what
        came after it, so that large ones have their turn too.
        """
        given: list[tuple[Worker, Order]] = []
        for order in sorted(self.waiting, key=lambda one: not one.alone):
            free = [one for one in self._with_store_for(order) if self._is_free(one, now)]
            worker = min(free, key=lambda one: len(one.held), default=None)
            if worker is None:
                break
            if order.alone and worker.held:
                worker.alone = worker.alone or not any(map(_drains, self.workers))
                continue
            self.waiting.remove(order)
            worker.held[order.ticket] = Held(order, now + order.seconds)
            worker.alone = order.alone
            given.append((worker, order))
        return given

    def _is_free(self, worker: Worker, now: float) -> bool:
        return (
            worker.phase == "ready"
            and worker.model == self.model
            and now >= worker.rests_until
            and not (worker.alone and worker.held)
            and len(worker.held) < self._settings.in_flight
        )

    def _with_store_for(self, order: Order) -> list[Worker]:
        """Return the workers to which a photograph can travel; without any other, it always can."""
        if not order.carried:
            return self.workers
        carried = Counter[str]()  # by node
        for one in self.workers:
            carried[one.node.id] += sum(held.order.carried for held in one.held.values())
        if not _has_room(self._store_here, carried.total(), order):
            return []
        return [
            one for one in self.workers if _has_room(one.node.store, carried[one.node.id], order)
        ]

    def rest(self, worker: Worker, reason: str, now: float) -> None:
        """Give a worker nothing for a while, after a fault of its machine."""
        wait = self._settings.first_wait * 2.0 ** min(worker.faults, 32)
        worker.faults += 1
        worker.rests_until = now + min(self._settings.longest_wait, wait)
        worker.reason = reason

    def empty(self, worker: Worker) -> list[Order]:
        """Note that a worker's process is gone; return the photographs that it had."""
        had = [held.order for held in worker.held.values()]
        worker.held.clear()
        worker.phase, worker.model = "empty", ""
        worker.alone, worker.asked_at = False, None
        worker.life += 1
        return had

    def given_back(self, now: float) -> list[Order]:
        """Take back what waits while no worker could take it soon."""
        if any(
            one.phase in {"ready", "loading"} and now >= one.rests_until for one in self.workers
        ):
            return []
        back = list(self.waiting)
        self.waiting.clear()
        return back

    def overdue(self, now: float) -> list[tuple[Worker, frozenset[int], str]]:
        """Return the workers to give up: the tickets that took too long, and the reason."""
        found = []
        for one in self.workers:
            late = [held.order for held in one.held.values() if now > held.until]
            if late:
                reason = f"a photograph took more than {late[0].seconds:,.0f} seconds"
                found.append((one, frozenset(order.ticket for order in late), reason))
                continue
            starts, patience = one.phase == "starting", self._settings.patience
            patience = max(patience, START_WITHIN) if starts else patience
            if one.asked_at is not None and now - one.asked_at > patience:
                what = "did not start within" if starts else "gave no sign of life for"
                found.append((one, frozenset(), f"{what} {patience:,.0f} seconds"))
        return found


def _has_room(store: int, carried: int, order: Order) -> bool:
    """Tell whether an object store with so many bytes in it takes a photograph."""
    return not carried or carried + order.carried <= store * STORE_SHARE


def _drains(worker: Worker) -> bool:
    """Tell whether a worker is to become idle for a photograph that is to be alone."""
    return worker.alone and not any(held.order.alone for held in worker.held.values())
