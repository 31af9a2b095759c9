"""Held results in the hands of `verify`, `rebuild-ledger`, `find`, `forget` and `mark-fetched`."""

import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from service.filesystem.ownership import MARKER
from service.ledger.jobs import Decision, Job
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.ledger.queries import LedgerQueries
from service.maintenance import fetched
from service.maintenance.rebuild import rebuild
from service.maintenance.restoring import Rebuilt
from service.maintenance.retry import forget
from service.monitoring.find import Row, find
from service.storage.lookup import Lookup
from tests.support.review_desk import HOLD, Desk
from worker.errors import DeviceError


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Make a desk where all results are held."""
    desk = Desk(tmp_path, review=HOLD)
    yield desk
    desk.pipeline.close()
    desk.ledger.close()


def rebuilt(desk: Desk) -> Rebuilt:
    """Lose the ledger, and make it again."""
    desk.ledger.close()
    for path in desk.config.state.glob("ledger.*"):
        path.unlink()
    made = rebuild(desk.config, lambda *_: None)
    desk.ledger = Ledger(desk.config.state / LEDGER_FILE)
    desk.restart()
    return made


def jobs(desk: Desk) -> list[Job]:
    """List all jobs."""
    return list(desk.ledger.queries.all_jobs())


def row_of(desk: Desk, name: str) -> Row:
    """Find one photograph."""
    ((row,),) = [list(rows) for _, rows in find(desk.config, [name])]
    return row


class TestRebuilding:
    """A lost ledger is made again, with what is held and what was decided."""

    def test_held_and_delivered_results_are_known_again(self, desk: Desk) -> None:
        """With their decisions; one may have both, the earlier one in the outbox."""
        held, delivered, both = (desk.drop(f"{name}.png") for name in "abc")
        desk.run()
        desk.decide(held, Decision.FLAGGED)
        for job in (delivered, both):
            desk.approve(job)
        desk.recolor(both)
        before = [desk.job(job.id) for job in (held, delivered, both)]
        made = rebuilt(desk)

        def told(job: Job) -> tuple[object, ...]:
            results = (job.output_digest, job.delivered_digest, job.event, job.delivered_event)
            return job.path, job.held, job.decision, *results

        assert ((), 3, 2) == (made.unplaced, made.finished, made.held)
        assert sorted(map(told, before)) == sorted(map(told, jobs(desk)))
        assert [] == desk.found_wrong()
        again = next(job for job in jobs(desk) if job.path == both.path)
        desk.approve(again)
        assert ["a.png", "a.png.json"] == desk.waiting
        assert [] == desk.found_wrong()

    def test_a_delivery_that_was_cut_short_is_ended(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The result is in both folders, and the ledger was lost at that moment."""
        job = desk.drop("a.png")
        desk.run()
        held = [desk.config.review.folder / name for name in desk.waiting]
        with monkeypatch.context() as cut:
            cut.setattr("service.storage.held.discard", lambda *_: None)
            copies = {path: path.read_bytes() for path in held}
            desk.approve(job)
        for path, content in copies.items():
            path.write_bytes(content)
        made = rebuilt(desk)
        desk.run()

        assert ((), 1, 0) == (made.unplaced, made.finished, made.held)
        assert [] == desk.waiting
        assert [(False, Decision.APPROVED)] == [(job.held, job.decision) for job in jobs(desk)]
        assert [] == desk.found_wrong()

    def test_what_is_held_without_a_sidecar_is_told(self, desk: Desk) -> None:
        """And so is an older coloring than that in the outbox."""
        job = desk.drop("a.png")
        desk.run()
        old = {name: (desk.config.review.folder / name).read_bytes() for name in desk.waiting}
        desk.now += 10
        desk.recolor(job)
        desk.approve(job)
        for name, content in old.items():
            (desk.config.review.folder / name).write_bytes(content)
        (desk.config.review.folder / "stray.png").write_text("of nobody")
        told = [one.words for one in rebuilt(desk).unplaced]

        assert "superseded by a.png in the outbox" == told[0]
        assert ["no sidecar shows what it was made from"] * 2 == told[1:]

    def test_an_unmounted_folder_of_held_results_is_no_empty_one(self, desk: Desk) -> None:
        """Also where results are no longer held: all that waits there would be lost."""
        desk.drop("a.png")
        desk.run()
        review = desk.config.review.model_copy(update={"mode": "after"})
        desk.config = desk.config.model_copy(update={"review": review})
        (desk.config.review.folder / MARKER).unlink()

        with pytest.raises(DeviceError, match=r"review\.folder: .* looks like an unmounted share"):
            rebuilt(desk)


class TestVerifying:
    """What is in either folder belongs to a photograph that is held, or delivered, there."""

    def test_strangers_in_both_folders_are_told(self, desk: Desk) -> None:
        """Also under the name of a result that waits in the other folder."""
        job = desk.drop("a.png")
        desk.drop("b.png")
        desk.run()
        desk.approve(job)
        shutil.copyfile(desk.config.outbox / "a.png", desk.config.review.folder / "a.png")
        (desk.config.outbox / "b.png.json").write_text("of a stranger")

        assert [
            ("sidecar", "orphaned", "b.png.json"),
            ("output", "orphaned", "a.png"),
        ] == [finding[:3] for finding in desk.found_wrong()]

    def test_the_earlier_result_in_the_outbox_is_checked_too(self, desk: Desk) -> None:
        """Until it is marked as fetched."""
        job = desk.drop("a.png")
        desk.run()
        desk.approve(job)
        desk.recolor(job)
        for name in ("a.png", "a.png.json"):
            (desk.config.outbox / name).unlink()
        lost = [finding[:3] for finding in desk.found_wrong()]
        found = fetched.find_missing(desk.config)
        marked = fetched.mark(desk.config, found, 5.0)

        assert [("output", "missing", "a.png"), ("sidecar", "missing", "a.png.json")] == lost
        assert ([job.id], 1) == (found.jobs, marked)
        assert [] == desk.found_wrong()
        assert desk.job(job.id).held

    def test_a_missing_folder_of_held_results_is_no_loss(self, desk: Desk) -> None:
        """It may be an unmounted share."""
        desk.drop("a.png")
        desk.run()
        desk.config.review.folder.rename(desk.config.review.folder.with_name("away"))

        with pytest.raises(DeviceError, match=r"review\.folder: .* does not exist"):
            desk.found_wrong()


def test_a_held_result_is_found_where_it_waits(desk: Desk) -> None:
    """By its path there, too; `forget` names it."""
    job = desk.drop("a.png")
    desk.run()
    place = desk.config.review.folder / "a.png"
    row = row_of(desk, "a.png")
    with LedgerQueries.open(desk.config.state / LEDGER_FILE) as ledger:
        numbers = Lookup(desk.config, ledger).exactly(str(place))
    (answer,) = forget(desk.config, [job.id])

    assert (True, place, ()) == (row.held, row.result, row.missing)
    assert place.with_name("a.png.json") == row.sidecar
    assert [job.id] == numbers
    assert str(place) in answer.words
    assert place.exists()
    assert PurePosixPath("a.png") == job.path
