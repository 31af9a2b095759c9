"""Promises of worker.inference.local_engine beyond those of any engine (see test_engine)."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedRandom
from pathlib import Path

import pytest

from tests.support.fakes import FakeColorist
from tests.support.synthetic_photos import gray_scene, save
from tests.support.waiting import wait_until
from worker.inference.engine import Colored, Label, Source, Task
from worker.inference.local_engine import LocalEngine
from worker.inference.task_files import OpenedSource, TaskFiles
from worker.metadata.provenance import XmpFile
from worker.settings import ReadSettings, WriteSettings

LABEL = Label("photochrom 1", "6d9c4f0e-6ef2-4a5c-9d0b-3a4f5b6c7d8e", "2026-11-29T12:00:00+00:00")
XMP = XmpFile("1.xmp", b"not read as XMP", "f" * 64, 15)


@contextmanager
def open_source(task: Task) -> Iterator[OpenedSource]:
    """Open a scan with a file of XMP beside it."""
    yield OpenedSource(Path(task.source.path), None, (XMP,))


@contextmanager
def open_staging(task: Task) -> Iterator[BufferedRandom]:
    """Make a staging file."""
    with Path(task.staging).open("x+b") as file:
        yield file


def task(folder: Path, job: int) -> Task:
    """Save a scan and describe the work on it."""
    path = save(folder / f"{job}.png", gray_scene(24, 32, seed=job))
    looks, digest = path.stat(), hashlib.sha256(path.read_bytes()).hexdigest()
    source = Source(str(path), digest, looks.st_size, looks.st_mtime_ns, looks.st_ino)
    staging = str(folder / f".photochrom-{job}-1.part")
    return Task(job, 1, source, ReadSettings(), WriteSettings(), LABEL, staging)


@pytest.fixture
def predictor() -> Iterator[FakeColorist]:
    """Make a fake whose gates are open in the end."""
    made = FakeColorist(batch_size=3)
    yield made
    made.gate.set()


def test_a_batch_that_is_not_full_waits_for_company(
    predictor: FakeColorist, tmp_path: Path
) -> None:
    """While others are in hand; a full one goes to the device at once."""
    engine = LocalEngine(predictor, TaskFiles(open_source, open_staging), longest_wait=3600.0)
    predictor.gate.clear()
    futures = [engine.submit(task(tmp_path, 1))]
    wait_until(lambda: engine._writing == 1)
    futures.append(engine.submit(task(tmp_path, 2)))
    wait_until(lambda: len(engine._ready) == 1)

    assert [1] == predictor.batches

    futures += [engine.submit(task(tmp_path, job)) for job in (3, 4)]
    wait_until(lambda: engine._writing == 4)

    assert [1, 3] == predictor.batches

    predictor.gate.set()
    engine.close()

    assert all(isinstance(future.result(), Colored) for future in futures)


def test_a_batch_waits_no_longer_than_it_may(predictor: FakeColorist, tmp_path: Path) -> None:
    """Then it goes to the device as it is."""
    engine = LocalEngine(predictor, TaskFiles(open_source, open_staging), longest_wait=0.05)
    predictor.gate.clear()
    engine.submit(task(tmp_path, 1))
    wait_until(lambda: engine._writing == 1)
    engine.submit(task(tmp_path, 2))
    wait_until(lambda: engine._writing == 2)
    predictor.gate.set()
    engine.close()

    assert [1, 1] == predictor.batches


def test_xmp_comes_back_without_its_content(predictor: FakeColorist, tmp_path: Path) -> None:
    """Name and digest are what the sidecar tells; megabytes need not cross the seam twice."""
    engine = LocalEngine(predictor, TaskFiles(open_source, open_staging))
    outcome = engine.submit(task(tmp_path, 1)).result(30)
    engine.close()

    assert isinstance(outcome, Colored)
    assert [("1.xmp", b"", "f" * 64)] == [
        (one.name, one.content, one.sha256) for one in outcome.record.xmp_files
    ]


def test_pixels_are_forgotten_with_the_last_photograph(
    predictor: FakeColorist, tmp_path: Path
) -> None:
    """Colored or not, none is counted for ever."""
    engine = LocalEngine(predictor, TaskFiles(open_source, open_staging))
    predictor.faults.append(MemoryError())
    predictor.paint_faults.append(OSError(28, "No space left on device"))
    for job in (1, 2, 3):
        engine.submit(task(tmp_path, job)).result(30)
        Path(tmp_path / f".photochrom-{job}-1.part").unlink(missing_ok=True)
    engine.close()

    assert (0, 0, 0) == (engine._pixels, engine._reading, engine._writing)
