"""Promises of worker.cluster.roster: which workers there are, and who gets which photograph."""

from dataclasses import replace
from typing import Any

import pytest

from worker.cluster.messages import ClusterSettings, Order
from worker.cluster.roster import RATE_OVER, START_WITHIN, Node, Roster, Worker

SETTINGS = ClusterSettings("127.0.0.1:1", cpus=2, patience=60.0, first_wait=5.0, longest_wait=12.0)
NOW = 1000.0
A, B, C = (Node(name * 3, name, 4, 1) for name in "abc")


def roster(*nodes: Node, **settings: Any) -> Roster:
    """Make a roster that has seen nodes, and wants a model."""
    made = Roster(replace(SETTINGS, **settings))
    made.see(nodes)
    made.model = "model"
    return made


def ready(made: Roster) -> list[Worker]:
    """Have all workers ready."""
    for one in made.workers:
        one.phase, one.model = "ready", "model"
    return made.workers


def order(ticket: int, *, alone: bool = False, seconds: float = 100.0, carried: int = 0) -> Order:
    """Describe a photograph."""
    return Order(ticket, "{}", seconds, carried, alone)


def assigned(made: Roster, *orders: Order) -> dict[int, str]:
    """Hand out photographs; return who got which."""
    made.waiting.extend(orders)
    return {one.ticket: worker.name for worker, one in made.assign(NOW)}


def test_there_are_as_many_workers_as_the_nodes_have_cores_for() -> None:
    """Each with a name of its own; a node without cores, such as the daemon's, has none."""
    made = roster(A, B, Node("d", "daemon", 0, 0), Node("e", "small", 1, 0))

    assert ["a #1", "a #2", "b #1", "b #2"] == sorted(one.name for one in made.workers)


def test_a_number_of_workers_is_spread_over_the_nodes() -> None:
    """None gets a second one while another has none."""
    made = roster(A, B, C, workers=4)

    assert ["a", "a", "b", "c"] == sorted(one.node.host for one in made.workers)


def test_a_worker_with_a_gpu_has_a_whole_one() -> None:
    """However many cores there are."""
    made = roster(A, Node("none", "none", 16, 0), gpu=True)

    assert ["a #1"] == [one.name for one in made.workers]


def test_a_node_that_leaves_takes_its_workers_along() -> None:
    """One that comes back gets new ones."""
    made = roster(A, B)
    gone = made.see([B])

    assert {"a"} == {one.node.host for one in gone}
    assert {"b"} == {one.node.host for one in made.workers}

    made.see([A, B])

    assert 4 == len(made.workers)


def test_two_nodes_on_one_host_have_workers_of_unlike_names() -> None:
    """As in a test on one machine."""
    made = roster(A, A._replace(id="other"))

    assert 4 == len({one.name for one in made.workers})


def test_workers_of_a_node_start_one_after_the_other() -> None:
    """So that a machine need not load a hundred generators at once."""
    made = roster(A, B)

    assert ["a #1", "b #1"] == [one.name for one in made.to_start(NOW)]

    for one in made.to_start(NOW):
        one.phase = "loading"

    assert [] == made.to_start(NOW)

    made.workers[0].phase = "ready"

    assert 1 == len(made.to_start(NOW))


def test_a_worker_gets_two_photographs_and_the_idlest_gets_the_next() -> None:
    """What finds no place waits."""
    made = roster(A, B, workers=2)
    ready(made)
    given = assigned(made, *map(order, range(5)))

    assert {"a #1": 2, "b #1": 2} == {
        name: list(given.values()).count(name) for name in given.values()
    }
    assert [4] == [one.ticket for one in made.waiting]
    assert 4 == made.room


def test_a_worker_has_a_photograph_for_each_of_its_cores() -> None:
    """A GPU is kept busy by many cores."""
    made = roster(Node("a", "a", 8, 1), cpus=8, gpu=True)
    ready(made)

    assert 8 == made.room
    assert 8 == len(assigned(made, *map(order, range(9))))


def test_only_a_worker_with_the_present_model_gets_photographs() -> None:
    """Another loads it first; so a promotion reaches all between two photographs."""
    made = roster(A)
    first, second = ready(made)
    made.model = "newer"
    second.model = "newer"

    assert [first] == made.to_load()
    assert {0: "a #2"} == assigned(made, order(0))


def test_a_photograph_that_may_have_crashed_a_worker_has_one_for_itself() -> None:
    """The others go on meanwhile, and what comes later does not join it."""
    made = roster(A)
    first, second = ready(made)

    assert {0: "a #1"} == assigned(made, order(0, alone=True))
    assert {1: "a #2", 2: "a #2"} == assigned(made, order(1), order(2), order(3))
    assert [3] == [one.ticket for one in made.waiting]

    first.held.clear()

    assert {3: "a #1"} == assigned(made)
    assert 2 == len(second.held)


def test_a_busy_worker_becomes_idle_for_a_photograph_that_is_to_be_alone() -> None:
    """One of them; else it would wait for ever among many others."""
    made = roster(A)
    first, _second = ready(made)
    assigned(made, order(0), order(1))

    assert {3: "a #2"} == assigned(made, order(2, alone=True), order(3), order(4))

    first.held.clear()

    assert {2: "a #1"} == assigned(made)

    first.held.clear()

    assert {4: "a #1"} == assigned(made)


def stores(here: int, *there: int) -> Roster:
    """Make a roster with a node of four cores for each store, and the daemon's without any."""
    names = "abc"[: len(there)]
    nodes = [Node(name, name, 4, 0, store) for name, store in zip(names, there, strict=True)]
    made = roster(Node("d", "daemon", 0, 0, here, is_here=True), *nodes)
    ready(made)
    return made


def test_photographs_that_travel_take_half_of_the_daemons_object_store() -> None:
    """However many places are free; what does not fit waits until something has arrived."""
    made = stores(1000, 10_000, 10_000)

    assert {0, 1} == set(assigned(made, *(order(ticket, carried=200) for ticket in range(4))))
    assert {} == assigned(made)

    made.workers[0].held.clear()

    assert {2} == set(assigned(made))
    assert [3] == [one.ticket for one in made.waiting]


def test_photographs_that_travel_take_half_of_each_nodes_object_store() -> None:
    """The next one goes to a node that has room, though another has the idler worker."""
    made = stores(10_000, 1000, 2000)

    assert {0: "a", 1: "b", 2: "b"} == {
        ticket: name[0]
        for ticket, name in assigned(made, *(order(n, carried=400) for n in range(4))).items()
    }
    assert [3] == [one.ticket for one in made.waiting]


def test_a_photograph_larger_than_any_object_store_travels_alone() -> None:
    """It has its turn, though smaller ones would fit before it; they follow."""
    made = stores(1000, 1000)
    sizes = {0: 100, 1: 5000, 2: 100, 3: 100}

    assert {0: "a #1"} == assigned(made, *(order(n, carried=size) for n, size in sizes.items()))

    made.workers[0].held.clear()

    assert {1: "a #1"} == assigned(made)
    assert {} == assigned(made)

    made.workers[0].held.clear()

    assert {2: "a #1", 3: "a #2"} == assigned(made)


def test_a_worker_rests_longer_after_each_fault_and_is_forgiven_by_a_photograph() -> None:
    """Up to the longest wait; meanwhile it gets nothing, and says why."""
    made = roster(A, workers=1)
    (worker,) = ready(made)
    waits = []
    for _ in range(3):
        made.rest(worker, "its card failed", NOW)
        waits.append(worker.rests_until - NOW)

    assert [5.0, 10.0, 12.0] == waits
    assert {} == assigned(made, order(0))
    assert ("paused", "its card failed") == (worker.state(NOW).state, worker.state(NOW).reason)

    worker.finished(NOW)
    made.rest(worker, "again", NOW)

    assert 5.0 == worker.rests_until - NOW


def test_a_process_that_is_gone_gives_back_what_it_had() -> None:
    """Its place is empty, and a late answer of its life can be told."""
    made = roster(A, workers=1)
    (worker,) = ready(made)
    assigned(made, order(0), order(1))
    life = worker.life

    assert [0, 1] == [one.ticket for one in made.empty(worker)]
    assert ("empty", {}, life + 1) == (worker.phase, worker.held, worker.life)


def test_what_waits_is_given_back_when_no_worker_is_left() -> None:
    """The daemon must not wait for ever; one that only loads is worth waiting for."""
    made = roster(A, workers=1)
    (worker,) = ready(made)
    assigned(made, *map(order, range(3)))

    assert [] == made.given_back(NOW)

    worker.phase = "loading"

    assert [] == made.given_back(NOW)

    made.rest(worker, "its card failed", NOW)

    assert [2] == [one.ticket for one in made.given_back(NOW)]
    assert not made.waiting


@pytest.mark.parametrize(
    ("phase", "patience", "reason"),
    [("ready", 60.0, "no sign of life"), ("starting", START_WITHIN, "did not start")],
)
def test_a_silent_worker_is_given_up(phase: Any, patience: float, reason: str) -> None:
    """After its patience, which is more while it starts; none of its photographs is to blame."""
    made = roster(A, workers=1)
    (worker,) = made.workers
    worker.phase, worker.asked_at = phase, NOW

    assert [] == made.overdue(NOW + patience)

    ((found, late, said),) = made.overdue(NOW + patience + 1)

    assert (worker, frozenset()) == (found, late)
    assert reason in said


def test_a_photograph_that_takes_too_long_is_to_blame_alone() -> None:
    """Those beside it are not."""
    made = roster(A, workers=1)
    (worker,) = ready(made)
    assigned(made, order(0, seconds=10.0), order(1))
    ((found, late, said),) = made.overdue(NOW + 11.0)

    assert (worker, {0}) == (found, late)
    assert "more than 10 seconds" in said


def test_a_rate_is_of_the_last_minutes() -> None:
    """Photographs an hour."""
    worker = Worker("a #1", A, "ready")
    for second in range(10):
        worker.finished(NOW + second)

    assert 10 * 3600 / RATE_OVER == worker.state(NOW + 10).rate
    assert 0.0 == worker.state(NOW + RATE_OVER + 11).rate
    assert 10 == worker.state(NOW + RATE_OVER + 11).done
