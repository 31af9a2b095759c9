"""What the daemon relies on in any engine: the contract that each one must pass.

An engine joins by a branch in `bench`; its tests need nothing but files and `submit`.
"""

import hashlib
import itertools
import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from dataclasses import asdict, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from tests.support.obedient_workers import FAULTS, Obedient, fake_of, files_of, save_model
from tests.support.ray_cluster import STORE, RayCluster
from tests.support.small_generators import tiny_generator
from tests.support.synthetic_photos import Array, color_scene, gray_scene, save
from tests.support.waiting import wait_until
from worker import scan
from worker.cluster.cluster_engine import ClusterEngine
from worker.cluster.messages import ClusterSettings
from worker.inference.colorizer import Colorizer
from worker.inference.device import Device
from worker.inference.engine import (
    Colored,
    Engine,
    Failed,
    FailureKind,
    Label,
    Outcome,
    Source,
    Task,
    failed,
)
from worker.inference.local_engine import LocalEngine
from worker.inference.predictor import Predictor
from worker.models import store
from worker.settings import (
    ColorPoint,
    ColorSettings,
    ColorWishes,
    ReadSettings,
    Reference,
    WriteSettings,
)

STOP_WITHIN = 30.0  # seconds
ENGINE_WITHIN = 90.0  # seconds, until the workers of an engine are ready on a busy machine
LABEL = Label("photochrom 1", "6d9c4f0e-6ef2-4a5c-9d0b-3a4f5b6c7d8e", "2026-11-29T12:00:00+00:00")


class Bench:
    """An engine with folders of its own, and ways to make it fail.

    Attributes:
        engine: the engine under test.
        predictors: "old", which it begins with, and "new".
        control: the folder that says what fails; see `tests.support.obedient_workers`.
    """

    def __init__(
        self, folder: Path, control: Path, predictors: dict[str, Predictor], engine: Engine
    ) -> None:
        """Make the folders; the engine has what the control says by then."""
        self.scans, self.out, self.control = folder / "scans", folder / "out", control
        self.scans.mkdir()
        self.out.mkdir()
        self.predictors = predictors
        self.engine = engine
        self.engine.on_progress = lambda: None
        self.engine.batch_done = lambda _photos, _seconds: None
        wait_until(lambda: not engine.blocked_by, ENGINE_WITHIN)
        (control / "earlier").unlink(missing_ok=True)  # another test's, as the model
        if engine.model != "old":
            engine.take_up(predictors["old"])

    def task(
        self, job: int, pixels: Array | None = None, attempt: int = 1, padding: int = 0
    ) -> Task:
        """Save a scan, with so many bytes at its end, and describe the work on it."""
        path = save(
            self.scans / f"{job}.png",
            gray_scene(24 + job, 32, seed=job) if pixels is None else pixels,
        )
        os.truncate(path, path.stat().st_size + padding)
        looks = path.stat()
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        source = Source(str(path), digest, looks.st_size, looks.st_mtime_ns, looks.st_ino)
        staging = str(self.out / f".photochrom-{job}-{attempt}.part")
        return Task(job, attempt, source, ReadSettings(), WriteSettings(), LABEL, staging)

    def color(self, *tasks: Task) -> list[Outcome]:
        """Have tasks done, and return their outcomes."""
        return [future.result(STOP_WITHIN) for future in map(self.engine.submit, tasks)]

    def colored(self, task: Task) -> Colored:
        """Have a task done that nothing is wrong with."""
        (outcome,) = self.color(task)
        assert isinstance(outcome, Colored), outcome
        return outcome

    def fail(self, where: str, fault: str) -> None:
        """Let the device or the writer fail from now on."""
        (self.control / where).write_text(fault)

    def mend(self, where: str) -> None:
        """Let nothing fail there any more."""
        (self.control / where).unlink()

    def compare_with(self, earlier: str) -> None:
        """Let this be the earlier result of all: its path, "missing", or a fault."""
        (self.control / "earlier").write_text(earlier)

    def hold_device(self) -> None:
        """Let the device wait."""
        (self.control / "held").touch()

    def let_go(self) -> None:
        """Let the device go on."""
        (self.control / "held").unlink(missing_ok=True)

    def wait_for_the_end_of_workers(self) -> None:
        """Wait until no process colors for an engine that was left alone."""
        wait_until(lambda: not any(map(is_running, self.control.glob("worker-*"))), STOP_WITHIN)


def is_running(worker: Path) -> bool:
    """Tell whether the process that left a file in the control runs, elsewhere than here."""
    number = int(worker.name.partition("-")[2])
    return number != os.getpid() and Path(f"/proc/{number}").exists()


@pytest.fixture(scope="module")
def real_predictors(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Predictor]:
    """Load two small generators."""
    loaded: dict[str, Predictor] = {}
    for name, seed in (("old", 2), ("new", 3)):
        folder = tmp_path_factory.mktemp("models") / name
        store.save_version(tiny_generator(seed), {}, folder)
        settings = ColorSettings(render_size=64, batch_size=3)
        loaded[name] = Colorizer(store._version(name, folder), settings, Device("CPU", 3, 2))
    return loaded


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayCluster]:
    """Start a Ray cluster of one node with room for some workers."""
    pytest.importorskip("ray", reason="needs the extra ray")
    with RayCluster(cpus=4) as started:
        yield started


def cluster_engine(
    cluster: RayCluster, predictor: Predictor, control: Path, **settings: Any
) -> ClusterEngine:
    """Start an engine with obedient workers."""
    parts = json.dumps({"control": str(control)})
    asked = ClusterSettings(cluster.address, cpus=1, first_wait=0.1, parts=parts, **settings)
    program = (sys.executable, "-m", "tests.support.obedient_bridge")
    return ClusterEngine(predictor, files_of(control), asked, program)


Shared = tuple[ClusterEngine, Path, dict[str, Predictor]]


@pytest.fixture(scope="module")
def shared_engines(
    tmp_path_factory: pytest.TempPathFactory, cluster: RayCluster
) -> Iterator[dict[str, Shared]]:
    """Start engines for all tests that leave them as they were; each takes seconds to start."""
    started: dict[str, Shared] = {}
    for name, shared, workers in (("ray", True, 2), ("ray, not shared", False, 1)):
        folder = tmp_path_factory.mktemp("cluster")
        (folder / "control").mkdir()
        predictors = fake_predictors(folder)
        how = {"shared": shared, "workers": workers}
        engine = cluster_engine(cluster, predictors["old"], folder / "control", **how)
        started[name] = engine, folder / "control", predictors
    yield started
    for engine, _control, _predictors in started.values():
        engine.close()


def fake_predictors(folder: Path) -> dict[str, Predictor]:
    """Make two fakes with files that workers could load."""
    return {name: fake_of(save_model(name, folder / name)) for name in ("old", "new")}


@pytest.fixture(params=["local, fake device", "local, small generator", "ray", "ray, not shared"])
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Bench]:
    """Start each engine in turn."""
    control = tmp_path / "control"
    control.mkdir()
    closes = request.node.get_closest_marker("closes_the_engine") is not None
    if request.param.startswith("ray") and not closes:
        engine, control, predictors = request.getfixturevalue("shared_engines")[request.param]
        yield Bench(tmp_path, control, predictors, engine)
        return
    if request.param == "local, small generator":
        predictors = dict(request.getfixturevalue("real_predictors"))
    else:
        predictors = fake_predictors(tmp_path)
    if request.param.startswith("ray"):
        started = request.getfixturevalue("cluster")
        how = {"shared": request.param == "ray", "workers": 1}
        engine = cluster_engine(started, predictors["old"], control, **how)
    else:
        predictors = {name: Obedient(one, control) for name, one in predictors.items()}
        engine = LocalEngine(predictors["old"], files_of(control))
    yield Bench(tmp_path, control, predictors, engine)
    engine.close()


def is_plain(value: Any) -> bool:
    """Tell whether a value could go over a pipe: no object but frozen dataclasses of data."""
    if is_dataclass(value):
        return value.__dataclass_params__.frozen and all(  # type: ignore[attr-defined]
            is_plain(one) for one in vars(value).values()
        )
    if isinstance(value, dict):
        return all(is_plain(one) for one in (*value, *value.values()))
    if isinstance(value, tuple):
        return all(map(is_plain, value))
    return type(value) in {str, int, float, bytes, bool, type(None)}


def over_a_pipe(value: Any) -> Any:
    """Send a value as a line of JSON and read it again."""
    text = json.dumps(asdict(value), default=bytes.decode)
    return TypeAdapter(type(value)).validate_python(json.loads(text))


class TestAnyEngine:
    """The contract."""

    def test_what_crosses_the_seam_is_plain_data(self, bench: Bench) -> None:
        """Tasks, results and failures come over a pipe as they were."""
        good, bad = bench.task(1), bench.task(2, color_scene(40, 40))
        for value in (good, *bench.color(good, bad)):
            assert is_plain(value)
            assert value == over_a_pipe(value)

    def test_each_outcome_belongs_to_its_task_in_whatever_order_they_are_done(
        self, bench: Bench
    ) -> None:
        """Job and attempt are echoed; more than a batch, and none gets another's picture."""
        tasks = [bench.task(job, attempt=job % 3 + 1) for job in range(1, 8)]
        outcomes = bench.color(*reversed(tasks))[::-1]

        assert [(one.job, one.attempt) for one in tasks] == [
            (one.job, one.attempt) for one in outcomes
        ]
        for task, outcome in zip(tasks, outcomes, strict=True):
            assert isinstance(outcome, Colored)
            assert (24 + task.job, 32) == (
                outcome.record.pages[0].height,
                outcome.record.pages[0].width,
            )
            assert (24 + task.job) * 32 == outcome.pixels

    def test_scans_larger_than_what_may_be_on_the_way_are_colored(self, bench: Bench) -> None:
        """Without shared storage one after the other: each fills half of Ray's smallest store."""
        tasks = [bench.task(job, padding=STORE // 8) for job in (1, 2)]
        outcomes = bench.color(*tasks)

        assert [(1, 1), (2, 1)] == [(one.job, one.attempt) for one in outcomes]
        assert [True, True] == [isinstance(one, Colored) for one in outcomes]

    def test_the_staging_file_is_whole_and_its_digest_true(self, bench: Bench) -> None:
        """It alone was made; it decodes, and says what the record says."""
        task = bench.task(1)
        outcome = bench.colored(task)
        data = Path(task.staging).read_bytes()

        assert [Path(task.staging)] == list(bench.out.iterdir())
        assert (hashlib.sha256(data).hexdigest(), len(data)) == (outcome.sha256, outcome.size)
        copy = bench.out / "copy.png"
        copy.write_bytes(data)
        assert (25, 32, 3) == scan.read_color(copy, ReadSettings()).shape
        assert "png" == outcome.record.kind
        assert 0 <= outcome.confidence <= 1

    def test_the_same_task_gives_the_same_bytes_alone_and_in_company(self, bench: Bench) -> None:
        """Of all that a file says, only label and model could differ; both are the task's."""
        task = bench.task(1)
        alone = bench.colored(task)
        Path(task.staging).unlink()
        others = [bench.task(job) for job in (2, 3, 4, 5)]
        company = bench.color(*others[:2], task, *others[2:])[2]

        assert alone == company

    def test_the_wishes_of_a_task_are_granted(self, bench: Bench) -> None:
        """Container and color space, and color where it was asked for."""
        task = bench.task(1, color_scene(40, 40))
        wishes = WriteSettings("tiff", space="display-p3")
        asked = replace(task, read=ReadSettings(even_if_colored=True), write=wishes)
        outcome = bench.colored(asked)

        assert "tiff" == outcome.record.kind
        assert "display-p3" == outcome.record.settings["profile"]
        assert outcome.record.pages[0].replaced_color
        assert outcome.record.settings["render_size"] == bench.predictors["old"].render_size
        assert outcome.record.settings["precision"] == bench.predictors["old"].precision

    def test_wishes_of_colors_are_granted_and_repeatable(self, bench: Bench) -> None:
        """Other colors than without; the same wishes give the same bytes, in company too."""
        usual = bench.colored(bench.task(1))
        (bench.out / ".photochrom-1-1.part").unlink()
        points = (ColorPoint(0.5, 0.5, "#7a1f2b", who="Ada", source="the coat itself"),)
        sunset = Reference("sunset.jpg", "0" * 64, ((20, 40, 900), (0, 0, 100)), who="Ada")
        wishes = ColorWishes(vividness=75, warmth=-10, points=points, reference=sunset)
        task = replace(bench.task(1), wishes=wishes)
        first = bench.colored(task)
        Path(task.staging).unlink()
        again = bench.color(bench.task(2), task, bench.task(3))[1]

        assert wishes == over_a_pipe(wishes)
        assert is_plain(wishes)
        assert first == again
        assert usual.sha256 != first.sha256
        assert usual.confidence == pytest.approx(first.confidence, abs=1e-6)

    def test_a_photograph_that_is_colored_again_is_compared_with_its_earlier_result(
        self, bench: Bench
    ) -> None:
        """The same colors are no change, duller ones are; a new photograph has none."""
        new = bench.task(1)
        first = bench.colored(new)
        earlier = Path(new.staging).rename(bench.out / "earlier.png")
        bench.compare_with(str(earlier))
        again = replace(new, source=replace(new.source, recolor=True))
        same = bench.colored(again)
        Path(new.staging).unlink()
        other = bench.colored(replace(again, wishes=ColorWishes(vividness=20)))

        assert (None, "") == (first.change, first.not_compared)
        assert (0.0, "") == (same.change, same.not_compared)
        assert same.sha256 == first.sha256
        assert other.change is not None
        assert other.change > 0.1

    @pytest.mark.parametrize("fault", ["missing", "damaged", "of another scan", "disk", "memory"])
    def test_an_earlier_result_that_cannot_be_compared_costs_nothing(
        self, bench: Bench, fault: str
    ) -> None:
        """The photograph is colored all the same, and why it is not compared comes back."""
        task = bench.task(1)
        damaged, other = bench.scans / "earlier.png", bench.scans / "other.png"
        damaged.write_bytes(Path(task.source.path).read_bytes()[:-30])
        save(other, color_scene(40, 50))
        bench.compare_with(
            {"damaged": str(damaged), "of another scan": str(other)}.get(fault, fault)
        )
        outcome = bench.colored(replace(task, source=replace(task.source, recolor=True)))

        assert outcome.change is None
        assert (fault == "missing") == (outcome.not_compared == "")
        assert outcome == over_a_pipe(outcome)
        assert [Path(task.staging)] == list(bench.out.iterdir())

    @pytest.mark.parametrize(
        ("kind", "pixels"),
        [("in color", color_scene(40, 40)), ("scan", None), ("incomplete", None)],
    )
    def test_what_is_wrong_with_a_scan_concerns_it_alone(
        self, bench: Bench, kind: FailureKind, pixels: Array | None
    ) -> None:
        """Its kind and reason come back; its neighbors are colored."""
        bad, good = bench.task(1, pixels), bench.task(2)
        if pixels is None:
            path = Path(bad.source.path)
            content = b"GIF89a no PNG" if kind == "scan" else path.read_bytes()[:-30]
            path.write_bytes(content)
            digest = hashlib.sha256(content).hexdigest()
            changed = replace(bad.source, mtime_ns=path.stat().st_mtime_ns, sha256=digest)
            bad = replace(bad, source=changed)
        failure, colored = bench.color(bad, good)

        assert isinstance(failure, Failed)
        assert kind == failure.kind
        assert failure.reason
        assert isinstance(colored, Colored)
        assert [Path(good.staging)] == list(bench.out.iterdir())

    @pytest.mark.parametrize("what", ["taken away", "changed"])
    def test_a_scan_that_is_another_by_now_is_not_colored(self, bench: Bench, what: str) -> None:
        """Nor called faulty."""
        task = bench.task(1)
        if what == "changed":
            save(Path(task.source.path), gray_scene(9, 9))
        else:
            Path(task.source.path).unlink()
        (failure,) = bench.color(task)

        assert isinstance(failure, Failed)
        assert "source changed" == failure.kind
        assert [] == list(bench.out.iterdir())

    @pytest.mark.parametrize("fault", FAULTS)
    @pytest.mark.parametrize("where", ["device", "writer"])
    def test_every_fault_comes_back_as_a_value_and_leaves_nothing_behind(
        self, bench: Bench, fault: str, where: str
    ) -> None:
        """Whoever meets it; and the next photograph is colored."""
        bench.fail(where, fault)
        (failure,) = bench.color(bench.task(1))
        bench.mend(where)

        assert isinstance(failure, Failed)
        kind = fault.partition(",")[0]
        assert (kind, 1, 1) == (failure.kind, failure.job, failure.attempt)
        assert [] == list(bench.out.iterdir())
        # A worker of a cluster rests after a fault of its machine; till then nobody may color.
        attempts = itertools.count(1)
        wait_until(
            lambda: isinstance(bench.color(bench.task(2, attempt=next(attempts)))[0], Colored),
            ENGINE_WITHIN,
        )

    def test_a_photograph_is_wholly_of_one_model_and_says_which(self, bench: Bench) -> None:
        """One that is taken up meanwhile colors what comes after."""
        bench.hold_device()
        first = bench.engine.submit(bench.task(1))
        wait_until_running(first)
        threading.Event().wait(0.2)  # it is with the old one by now, if not, the test is still true
        bench.engine.take_up(bench.predictors["new"])
        bench.let_go()
        outcomes = [first.result(STOP_WITHIN), *bench.color(bench.task(2), bench.task(3))]

        assert "new" == bench.engine.model
        for outcome in outcomes:
            assert isinstance(outcome, Colored)
            assert bench.predictors[outcome.model].weights_sha256 == outcome.weights_sha256
        assert ["new", "new"] == [one.model for one in outcomes[1:] if isinstance(one, Colored)]

    def test_it_takes_as_many_as_it_has_slots_without_waiting(self, bench: Bench) -> None:
        """Though its device is at rest; all of them are colored in the end."""
        bench.hold_device()
        slots = bench.engine.slots
        tasks = [bench.task(job) for job in range(1, slots + 1)]
        began = time.monotonic()
        futures = [bench.engine.submit(task) for task in tasks]

        assert time.monotonic() - began < STOP_WITHIN / 2
        assert not any(future.done() for future in futures)

        bench.let_go()

        assert all(isinstance(one.result(STOP_WITHIN), Colored) for one in futures)
        assert bench.engine.batch_size <= slots

    def test_it_tells_of_progress_and_batches(self, bench: Bench) -> None:
        """So that a daemon knows a slow engine from one that hangs."""
        moved, batches = threading.Event(), list[tuple[int, float]]()
        bench.engine.on_progress = moved.set
        bench.engine.batch_done = lambda count, seconds: batches.append((count, seconds))
        bench.color(*(bench.task(job) for job in range(1, 6)))

        assert moved.is_set()
        assert 5 == sum(count for count, _seconds in batches)
        assert all(seconds >= 0 for _count, seconds in batches)

    def test_it_says_what_it_is(self, bench: Bench) -> None:
        """For status and metrics."""
        assert "old" == bench.engine.model
        assert bench.engine.slots > 0
        assert bench.engine.memory is None or bench.engine.memory > 0

    @pytest.mark.closes_the_engine
    def test_it_ends_within_a_bound_and_finishes_what_it_began(self, bench: Bench) -> None:
        """What it did not begin is canceled, and has left nothing."""
        bench.hold_device()
        futures = [bench.engine.submit(bench.task(job)) for job in range(1, bench.engine.slots + 1)]
        wait_until_running(futures[0])
        canceled = [future.cancel() for future in futures]
        bench.let_go()
        began = time.monotonic()
        bench.engine.close()

        assert time.monotonic() - began < STOP_WITHIN
        assert not canceled[0]
        assert all(future.done() for future in futures)
        done = sum(isinstance(one.result(), Colored) for one in futures if not one.cancelled())
        assert done == len(list(bench.out.iterdir())) == canceled.count(False)

    @pytest.mark.closes_the_engine
    def test_it_can_be_left_alone_with_what_hangs(self, bench: Bench) -> None:
        """Giving it up returns at once, and nothing is delivered by it later."""
        bench.hold_device()
        wait_until_running(bench.engine.submit(bench.task(1)))
        began = time.monotonic()
        bench.engine.close(wait=False)

        assert time.monotonic() - began < 1.0
        bench.wait_for_the_end_of_workers()
        bench.let_go()
        bench.engine.close()
        assert [] == list(bench.out.iterdir())


def wait_until_running(future: Future[Outcome]) -> None:
    """Wait until an engine has begun a photograph."""
    deadline = time.monotonic() + STOP_WITHIN
    while not (future.running() or future.done()):
        assert time.monotonic() < deadline
        wait([future], 0.01)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError("2.5 megapixels"), ("memory", "2.5 megapixels", 0, "")),
        (MemoryError(), ("memory", "", 0, "")),
        (OSError(28, "No space left", "/out/a"), ("disk", "No space left", 28, "/out/a")),
        (OSError("it broke"), ("disk", "it broke", 0, "")),
        (ZeroDivisionError("oh"), ("unforeseen", "ZeroDivisionError('oh')", 0, "")),
    ],
)
def test_an_error_is_told_by_whose_fault_it_is(
    error: Exception, expected: tuple[str, str, int, str], bench_task: Task
) -> None:
    """With what the daemon needs for its words; a traceback only of what nobody foresaw."""
    failure = failed(bench_task, error)

    assert expected == (failure.kind, failure.reason, failure.errno, failure.file)
    assert ("oh" in failure.traceback) == (failure.kind == "unforeseen")
    if failure.kind == "disk":
        assert str(error) == str(failure.error)


@pytest.fixture
def bench_task() -> Task:
    """Describe some task."""
    source = Source("a.png", "0" * 64, 1, 2, 3)
    return Task(1, 1, source, ReadSettings(), WriteSettings(), LABEL, "/out/.photochrom-1-1.part")
