"""Promises of the pipeline with an engine of several workers: one's fault stops no other."""

from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from service.ledger.jobs import JobStatus
from service.pipeline.pipeline import Pipeline
from tests.support.stepped_pipeline import RETRY, Line
from worker.inference.engine import Failed, FailureKind, Outcome, Task, WorkerState
from worker.inference.predictor import Predictor


class ToldEngine:
    """An engine of two workers whose outcomes a test gives."""

    model, memory, slots, batch_size = "told", None, 4, 2
    isolates, blocked_by, worker_deaths = True, "", 0
    workers: tuple[WorkerState, ...] = ()

    def __init__(self) -> None:
        """Have nothing in hand."""
        self.on_progress = lambda: None
        self.batch_done = lambda _photos, _seconds: None
        self.tasks: list[tuple[Task, Future[Outcome]]] = []

    def submit(self, task: Task) -> Future[Outcome]:
        """Begin a photograph at once."""
        future: Future[Outcome] = Future()
        future.set_running_or_notify_cancel()
        self.tasks.append((task, future))
        return future

    def fail(self, kind: FailureKind, errno: int = 0) -> None:
        """Let the first photograph in hand fail in a worker."""
        task, future = self.tasks.pop(0)
        future.set_result(Failed(task.job, task.attempt, kind, "why", errno, worker="a #1"))

    def take_up(self, _predictor: Predictor) -> None:
        """Color with another generator."""

    def close(self, *, wait: bool = True) -> None:
        """End."""


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    """Start a pipeline with such an engine."""
    made = Line(tmp_path)
    made.pipeline.close()
    made.pipeline = Pipeline(
        made.config,
        made.ledger,
        ToldEngine(),
        made.pipeline.places,
        made.woken.set,
        made.inbox,
    )
    yield made
    made.pipeline.close()
    made.ledger.close()


def engine_of(line: Line) -> ToldEngine:
    """Return the engine that tests tell."""
    engine = line.pipeline.engine
    assert isinstance(engine, ToldEngine)
    return engine


@pytest.mark.parametrize("kind", ["device", "disk", "model"])
def test_a_workers_fault_sends_its_photograph_to_another_at_once(
    line: Line, kind: FailureKind
) -> None:
    """No attempt counts, nothing else waits."""
    for number in range(3):
        line.drop(f"{number}.png")
    line.step()
    engine_of(line).fail(kind)
    line.step()
    line.step()

    assert "" == line.pipeline.blocked_by
    assert {1, 2, 3} == {task.job for task, _ in engine_of(line).tasks}
    assert (1, 1) == (line.job(1).attempts, line.job(1).waits)


def test_a_photograph_that_fails_everywhere_waits_longer_each_time(line: Line) -> None:
    """And is never rejected for it."""
    line.drop("1.png")
    waits = []
    for _ in range(4):
        line.step()
        engine_of(line).fail("device")
        line.step()
        waits.append(max(0.0, line.job(1).not_before - line.now))
        line.now = max(line.now, line.job(1).not_before)

    assert [0.0, RETRY.first_wait, 2 * RETRY.first_wait, RETRY.longest_wait] == waits
    assert JobStatus.QUEUED is line.job(1).status


@pytest.mark.parametrize("kind", ["unforeseen", "memory"])
def test_a_photograph_that_crashes_workers_is_rejected_in_the_end(
    line: Line, kind: FailureKind
) -> None:
    """The attempts count; others go on meanwhile."""
    line.drop("1.png")
    line.drop("2.png")
    for _ in range(RETRY.attempts):
        line.step()
        tasks = engine_of(line).tasks
        tasks.sort(key=lambda one: one[0].job)
        engine_of(line).fail(kind)
        line.step()
        line.now += RETRY.longest_wait

    assert JobStatus.FAILED is line.job(1).status
    assert [2] == [task.job for task, _ in engine_of(line).tasks]
    assert "" == line.pipeline.blocked_by


def test_a_full_disk_is_that_of_all_workers(line: Line) -> None:
    """Large results wait, as with one worker."""
    line.drop("1.png")
    line.step()
    engine_of(line).fail("disk", 28)
    line.step()

    assert line.pipeline.faults
    assert line.job(1).not_before > line.now


def test_attempted_photographs_are_begun_beside_others(line: Line) -> None:
    """They would crash a worker, not the daemon."""
    line.drop("1.png")
    line.step()
    engine_of(line).fail("unforeseen")
    line.step()
    line.now += RETRY.longest_wait
    line.drop("2.png")
    line.step()

    assert {(1, 2), (2, 1)} == {(task.job, task.attempt) for task, _ in engine_of(line).tasks}


def test_nothing_is_claimed_while_no_worker_can_color(line: Line) -> None:
    """The daemon says why, and for how long."""
    line.drop("1.png")
    engine_of(line).blocked_by = "the head does not answer"  # type: ignore[misc]
    line.step()
    line.now += 5
    line.step()

    assert "the head does not answer" == line.pipeline.blocked_by
    assert 5.0 == line.pipeline.idle_engine(line.now)
    assert not engine_of(line).tasks

    engine_of(line).blocked_by = ""  # type: ignore[misc]
    line.step()

    assert "" == line.pipeline.blocked_by
    assert 1 == len(engine_of(line).tasks)
