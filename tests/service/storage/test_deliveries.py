"""What a job may replace in the outbox, and what not."""

import hashlib
from dataclasses import replace
from pathlib import Path, PurePosixPath

import pytest

from service.config.loader import Config
from service.ledger.jobs import Job
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.storage import deliveries
from service.storage.deliveries import FOLDER, Own
from service.storage.outbox import deliver
from tests.support.delivered_results import color, place, queue


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Make the folders."""
    return place(tmp_path)


def again(config: Config, job: Job) -> Job:
    """Queue a finished job again."""
    with Ledger(config.state / LEDGER_FILE) as ledger:
        ledger.recolor([job.id], 2.0)
        found = ledger.queries.job(job.id)
    assert found
    return found


def test_a_new_job_has_nothing_in_the_outbox(config: Config) -> None:
    """Whatever lies under its name is another's, also the same bytes."""
    job = queue(config, "a.tif")
    (config.outbox / "a.tif").write_bytes(b"color a.tif")

    assert not Own(config.state, job).has(config.outbox / "a.tif")
    assert not Own(config.state, job).has(config.outbox / "missing.tif")


def test_what_was_delivered_before_a_kill_is_the_jobs_own(config: Config) -> None:
    """Though the ledger was not told of it; another process finds the note."""
    job, other = queue(config, "a.tif"), queue(config, "b.tif")
    deliver(config.outbox, job.output, lambda file: file.write(b"x"), own=Own(config.state, job))

    assert Own(config.state, job).has(config.outbox / "a.tif")
    assert not Own(config.state, other).has(config.outbox / "a.tif")


def test_an_earlier_result_and_its_sidecar_are_the_jobs_own(config: Config) -> None:
    """While they are as they were delivered."""
    job = again(config, color(config, "a.tif"))
    own = Own(config.state, job)
    photo, sidecar = config.outbox / "a.tif", config.outbox / "a.tif.json"

    assert own.has(photo)
    assert own.has(sidecar)

    photo.write_bytes(photo.read_bytes() + b"!")
    sidecar.write_bytes(sidecar.read_bytes().replace(b"tif", b"TIF"))

    assert not own.has(photo)
    assert not own.has(sidecar)
    assert Own(config.state, replace(job, repair=True)).has(photo)


def test_a_result_of_an_earlier_photochrom_is_replaced_as_it_always_was(config: Config) -> None:
    """It is the only name that it had, and no digest is known; a sidecar it never had."""
    own = Own(config.state, again(config, color(config, "a.tif", sidecar=False, digest=False)))
    (config.outbox / "a.tif.json").write_text("theirs")

    assert own.has(config.outbox / "a.tif")
    assert not own.has(config.outbox / "a.tif.json")


def test_notes_stay_as_long_as_their_job_is_open(config: Config) -> None:
    """A start removes those of jobs that are done or forgotten, and what is no note."""
    open_, done = queue(config, "a.tif"), color(config, "b.tif")
    digest = hashlib.sha256(b"").hexdigest()
    for number in (open_.id, done.id, 99):
        Own(config.state, replace(open_, id=number)).note(digest)
    (config.state / FOLDER / "stray").touch()
    with Ledger(config.state / LEDGER_FILE) as ledger:
        deliveries.forget_all_but_open(config.state, ledger.queries.job)

    assert [str(open_.id)] == [path.name for path in (config.state / FOLDER).iterdir()]

    deliveries.forget(config.state, open_.id)
    deliveries.forget(config.state, open_.id)

    assert [] == list((config.state / FOLDER).iterdir())


def test_a_state_folder_without_notes_is_no_fault(tmp_path: Path) -> None:
    """As at the first start."""
    deliveries.forget_all_but_open(tmp_path, lambda _: None)
    deliveries.forget(tmp_path, 1)

    assert PurePosixPath(FOLDER) not in {path.relative_to(tmp_path) for path in tmp_path.iterdir()}
