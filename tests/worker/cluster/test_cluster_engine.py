"""Promises of worker.cluster.cluster_engine beyond those of any engine: nothing wrong is believed.

A scripted bridge stands for the cluster; with a real one, see test_engine and the end-to-end tests.
"""

import hashlib
import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakes import FakeColorist
from tests.support.obedient_workers import files_of
from tests.support.synthetic_photos import gray_scene, save
from tests.support.waiting import wait_until
from worker.cluster import cluster_engine
from worker.cluster.cluster_engine import ClusterEngine
from worker.cluster.messages import (
    ClusterSettings,
    End,
    Message,
    Order,
    Reply,
    State,
    line_of,
    message_of,
    text_of,
)
from worker.inference.engine import Colored, Failed, Label, Outcome, Source, Task, WorkerState
from worker.metadata.provenance import PageRecord, Record
from worker.settings import ReadSettings, WriteSettings

WITHIN = 30.0  # seconds
PROGRAM = (sys.executable, "-m", "tests.support.scripted_bridge")
LABEL = Label("photochrom 1", "an event", "2026-11-29T12:00:00+00:00")
RECORD = Record("png", (PageRecord(1, 1, 8, 8, "", "", "", ""),), {}, "")


class Scene:
    """An engine, and the folder by which its bridge is told what to say."""

    def __init__(self, folder: Path, *, shared: bool = True) -> None:
        """Start the engine."""
        self.folder = folder
        parts = json.dumps({"folder": str(folder)})
        settings = ClusterSettings("127.0.0.1:1", first_wait=0.05, parts=parts, shared=shared)
        self.engine = ClusterEngine(FakeColorist(), files_of(folder), settings, PROGRAM)
        self.wait_for_room()

    def wait_for_room(self) -> None:
        """Wait until a bridge takes photographs."""
        wait_until(lambda: not self.engine.blocked_by, WITHIN)

    def task(self, job: int = 1, attempt: int = 1) -> Task:
        """Save a scan and describe the work on it."""
        path = save(self.folder / f"{job}.png", gray_scene(24, 32))
        looks, digest = path.stat(), hashlib.sha256(path.read_bytes()).hexdigest()
        source = Source(str(path), digest, looks.st_size, looks.st_mtime_ns, looks.st_ino)
        staging = str(self.folder / f".photochrom-{job}-{attempt}.part")
        return Task(job, attempt, source, ReadSettings(), WriteSettings(), LABEL, staging)

    def orders(self, count: int) -> list[Order]:
        """Wait until the bridge has so many orders, and return them."""
        file = self.folder / "orders"

        def found() -> list[Message]:
            return [*map(message_of, file.read_bytes().splitlines())] if file.exists() else []

        wait_until(lambda: len(found()) >= count, WITHIN)
        return [one for one in found() if isinstance(one, Order)]

    def say(self, *messages: Message) -> None:
        """Have the bridge say something."""
        with (self.folder / "replies").open("ab") as file:
            file.write(b"".join(map(line_of, messages)))

    def answer(self, task: Task, **changes: Any) -> Outcome:
        """Have a task done by a worker that answers so; return what the engine makes of it."""
        future = self.engine.submit(task)
        order = self.orders(1)[-1]
        Path(task.staging).write_bytes(b"12345")
        outcome = replace(self.colored(task), **changes)
        self.say(Reply(order.ticket, "a #1", text_of(outcome)))
        return future.result(WITHIN)

    def colored(self, task: Task) -> Colored:
        """Return what a worker says of a photograph that it colored."""
        sha256 = hashlib.sha256(b"12345").hexdigest()
        return Colored(task.job, task.attempt, "fake", "0" * 64, RECORD, sha256, 5, 0.5)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Start an engine with a scripted bridge."""
    made = Scene(tmp_path)
    yield made
    made.engine.close(wait=False)
    made.engine.close()


def test_a_result_as_it_should_be_is_believed(scene: Scene) -> None:
    """Its staging file stays for delivery."""
    task = scene.task()

    assert scene.colored(task) == scene.answer(task)
    assert Path(task.staging).exists()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"attempt": 2}, "another photograph"),
        ({"weights_sha256": "f" * 64}, "model that nobody asked for"),
        ({"model": "other"}, "model that nobody asked for"),
        ({"size": 6}, "another size"),
    ],
)
def test_a_result_that_is_not_what_was_asked_for_is_refused(
    scene: Scene, changes: dict[str, Any], reason: str
) -> None:
    """It goes to another worker, and what was written is removed."""
    task = scene.task()
    outcome = scene.answer(task, **changes)

    assert isinstance(outcome, Failed)
    assert ("device", "a #1", 1, 1) == (
        outcome.kind,
        outcome.worker,
        outcome.job,
        outcome.attempt,
    )
    assert reason in outcome.reason

    scene.engine.close()

    assert not Path(task.staging).exists()


def test_a_result_that_cannot_be_seen_here_is_refused(scene: Scene) -> None:
    """The worker wrote it to another share of that name."""
    task = scene.task()
    future = scene.engine.submit(task)
    scene.say(Reply(scene.orders(1)[0].ticket, "a #1", text_of(scene.colored(task))))
    outcome = future.result(WITHIN)

    assert isinstance(outcome, Failed)
    assert "cannot be seen here" in outcome.reason


def test_a_scan_that_only_the_worker_finds_changed_is_not_let_go(scene: Scene) -> None:
    """Its machine sees another share, or an old listing; the photograph goes elsewhere."""
    task = scene.task()
    future = scene.engine.submit(task)
    failure = Failed(1, 1, "source changed", "")
    scene.say(Reply(scene.orders(1)[0].ticket, "a #1", text_of(failure)))
    outcome = future.result(WITHIN)

    assert isinstance(outcome, Failed)
    assert ("device", "a #1") == (outcome.kind, outcome.worker)
    assert "same share" in outcome.reason


def test_a_scan_that_is_changed_is_let_go(scene: Scene) -> None:
    """This machine says so too."""
    task = scene.task()
    future = scene.engine.submit(task)
    Path(task.source.path).unlink()
    failure = Failed(1, 1, "source changed", "")
    scene.say(Reply(scene.orders(1)[0].ticket, "a #1", text_of(failure)))
    outcome = future.result(WITHIN)

    assert isinstance(outcome, Failed)
    assert ("source changed", "") == (outcome.kind, outcome.worker)


@pytest.mark.parametrize(
    ("lost", "kind"), [("worker", "device"), ("crash", "unforeseen"), ("memory", "memory")]
)
def test_a_lost_worker_is_told_by_how_it_was_lost(scene: Scene, lost: Any, kind: str) -> None:
    """A crash may be the photograph's fault, so the attempt counts; a lost machine is not."""
    task = scene.task()
    future = scene.engine.submit(task)
    scene.say(Reply(scene.orders(1)[0].ticket, "a #1", kind=lost, reason="it is gone"))
    outcome = future.result(WITHIN)

    assert isinstance(outcome, Failed)
    assert (kind, "a #1", "a #1: it is gone") == (outcome.kind, outcome.worker, outcome.reason)


def test_what_a_lost_worker_writes_later_is_removed(scene: Scene) -> None:
    """Its attempt has a staging file of its own, so it can do no other harm."""
    task = scene.task()
    future = scene.engine.submit(task)
    ticket = scene.orders(1)[0].ticket
    scene.say(Reply(ticket, "a #1", kind="worker", reason="it hangs"))
    future.result(WITHIN)
    Path(task.staging).write_bytes(b"12345")
    scene.say(Reply(ticket, "a #1", text_of(scene.colored(task))))  # too late
    again = scene.task(attempt=2)
    future = scene.engine.submit(again)
    scene.say(Reply(scene.orders(2)[1].ticket, "a #2", kind="worker", reason="too"))
    future.result(WITHIN)
    scene.engine.close()

    assert [] == list(scene.folder.glob(".photochrom-*"))


def test_a_bridge_that_dies_gives_back_what_it_had_and_another_is_started(scene: Scene) -> None:
    """Meanwhile the engine says that it colors nothing, and why."""
    future = scene.engine.submit(scene.task())
    scene.orders(1)
    (scene.folder / "die").touch()
    outcome = future.result(WITHIN)

    assert isinstance(outcome, Failed)
    assert ("device", "the Ray cluster") == (outcome.kind, outcome.worker)
    assert "connection to the Ray cluster was lost" in outcome.reason

    scene.wait_for_room()
    scene.engine.submit(scene.task(2))

    assert [1, 2] == [json.loads(one.task)["job"] for one in scene.orders(2)]


def test_why_a_bridge_ends_is_told(scene: Scene) -> None:
    """In its own words."""
    scene.say(End("the versions differ"))
    (scene.folder / "die").touch()
    wait_until(lambda: "the versions differ" == scene.engine.blocked_by, WITHIN)


def test_a_bridge_that_hangs_is_replaced(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its silence is enough."""
    bridge = scene.engine._bridge
    assert bridge
    monkeypatch.setattr(cluster_engine, "silence", lambda _settings: 0.1)
    os.kill(bridge.pid, signal.SIGSTOP)
    wait_until(lambda: scene.engine._bridge not in {None, bridge}, WITHIN)
    monkeypatch.undo()
    scene.wait_for_room()


def test_what_does_not_fit_waits_and_can_be_canceled(scene: Scene) -> None:
    """The bridge has as many as the workers take, no more."""
    futures = [scene.engine.submit(scene.task(job)) for job in (1, 2, 3)]
    orders = scene.orders(2)

    assert [True, True, False] == [one.running() for one in futures]
    assert futures[2].cancel()
    assert 2 == len(orders)


def test_nothing_is_begun_while_no_worker_can_color(scene: Scene) -> None:
    """Trouble of the cluster is the engine's word for why."""
    worker = WorkerState("a #1", "a", "paused", reason="its card failed")
    scene.say(State(2, (worker,), 3, 0, "no worker can color"))
    wait_until(lambda: scene.engine.blocked_by == "no worker can color", WITHIN)
    future = scene.engine.submit(scene.task())

    assert not future.running()
    assert ((worker,), 3) == (scene.engine.workers, scene.engine.worker_deaths)

    scene.say(State(2, (), 3, 0))
    scene.orders(1)

    assert future.running()


def test_an_order_has_time_by_megapixels_and_a_second_attempt_is_alone(scene: Scene) -> None:
    """No more than the largest scan may take."""
    small, large = scene.task(1), scene.task(2, attempt=2)
    large = replace(large, source=replace(large.source, size=10**10))
    for task in (small, large):
        scene.engine.submit(task)
    first, second = scene.orders(2)

    assert 120.0 < first.seconds < 121.0
    assert 120.0 + 4.0 * 500 == second.seconds
    assert (False, True) == (first.alone, second.alone)


def test_an_order_tells_what_it_takes_in_the_object_store(tmp_path: Path) -> None:
    """The scan, a result of three times its size, and the earlier one; nothing if it is shared."""
    carried = []
    for name, shared in (("shared", True), ("apart", False)):
        (tmp_path / name).mkdir()
        scene = Scene(tmp_path / name, shared=shared)
        first, second = scene.task(1), scene.task(2)
        source = replace(first.source, size=1000)
        scene.engine.submit(replace(first, source=source))
        scene.engine.submit(replace(second, source=replace(source, recolor=True)))
        carried += [one.carried for one in scene.orders(2)]
        scene.engine.close(wait=False)
        scene.engine.close()

    assert [0, 0, 4000, 7000] == carried
