"""What a job may replace in the outbox, and what not."""

from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from service.config.loader import Config
from service.ledger.jobs import Job
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.storage import deliveries
from service.storage.deliveries import FOLDER, Own
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

    assert not Own(job).has(config.outbox / "a.tif")
    assert not Own(job).has(config.outbox / "missing.tif")


def test_what_was_delivered_before_a_kill_is_the_jobs_own(config: Config) -> None:
    """Photo and sidecar; the ledger has noted them, though the job is not finished."""
    done = color(config, "a.tif")
    assert done.event
    job, other = queue(config, "b.tif"), queue(config, "c.tif")
    with Ledger(config.state / LEDGER_FILE) as ledger:
        ledger.note_delivery(job.id, "0" * 64, "an attempt before")
        ledger.note_delivery(job.id, sha256(b"color a.tif").hexdigest(), done.event)
        noted = ledger.queries.job(job.id)
        assert noted
        for name in ("a.tif", "a.tif.json"):
            assert Own(noted).has(config.outbox / name)
            assert not Own(other).has(config.outbox / name)
        ledger.claim(2, 1.0, in_flight=0)
        finished = ledger.finish(job.id, model="7", now=2.0)

    assert not Own(finished).has(config.outbox / "a.tif")


def test_what_is_being_delivered_is_the_jobs_own(config: Config) -> None:
    """Though the job was read from the ledger before that was noted."""
    job = queue(config, "a.tif")
    (config.outbox / "a.tif").write_bytes(b"color a.tif")

    assert Own(job, sha256(b"color a.tif").hexdigest(), "event").has(config.outbox / "a.tif")


def test_an_earlier_result_and_its_sidecar_are_the_jobs_own(config: Config) -> None:
    """While they are as they were delivered."""
    job = again(config, color(config, "a.tif"))
    own = Own(job)
    photo, sidecar = config.outbox / "a.tif", config.outbox / "a.tif.json"

    assert own.has(photo)
    assert own.has(sidecar)

    photo.write_bytes(photo.read_bytes() + b"!")
    sidecar.write_bytes(sidecar.read_bytes().replace(b"tif", b"TIF"))

    assert not own.has(photo)
    assert not own.has(sidecar)
    assert Own(replace(job, repair=True)).has(photo)


def test_a_result_of_an_earlier_photochrom_is_replaced_as_it_always_was(config: Config) -> None:
    """It is the only name that it had, and no digest is known; a sidecar it never had."""
    own = Own(again(config, color(config, "a.tif", sidecar=False, digest=False)))
    (config.outbox / "a.tif.json").write_text("theirs")

    assert own.has(config.outbox / "a.tif")
    assert not own.has(config.outbox / "a.tif.json")


def test_what_an_earlier_version_noted_in_files_is_entered_in_the_ledger(config: Config) -> None:
    """Of jobs that are not done; the files are deleted, also what is no note."""
    open_, done = queue(config, "a.tif"), color(config, "b.tif")
    (config.outbox / "a.tif").write_bytes(b"color a.tif")
    notes = config.state / FOLDER
    notes.mkdir()
    for number in (open_.id, done.id, 99):
        (notes / str(number)).write_text(f"{'0' * 64}\n{sha256(b'color a.tif').hexdigest()}\n")
    (notes / "stray").touch()
    with Ledger(config.state / LEDGER_FILE) as ledger:
        deliveries.adopt(config.state, ledger)
        deliveries.adopt(config.state, ledger)
        adopted, finished = ledger.queries.job(open_.id), ledger.queries.job(done.id)

    assert adopted
    assert finished
    assert ("0" * 64, sha256(b"color a.tif").hexdigest()) == adopted.in_delivery
    assert Own(adopted).has(config.outbox / "a.tif")
    assert () == finished.in_delivery
    assert not notes.exists()


def test_notes_of_a_lost_ledger_are_deleted(config: Config) -> None:
    """Their numbers will be those of other jobs; where there are none, that is no fault."""
    (config.state / FOLDER).mkdir()
    (config.state / FOLDER / "1").write_text("0" * 64)
    for _ in range(2):
        deliveries.discard(config.state)

    assert not (config.state / FOLDER).exists()
