"""Results wait for approval outside of the outbox, and get there whole, however often it fails."""

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from structlog.testing import capture_logs

from service.config.sections import Limits, Review
from service.filesystem import safe_open
from service.ledger.jobs import Decision, Job, JobStatus
from service.maintenance.verify import verify
from service.pipeline import approvals
from service.pipeline.delivery import Delivery
from service.storage import held, outbox
from service.storage.sidecar import read_sidecar
from tests.support.fakes import FakeColorist
from tests.support.review_desk import HOLD, Desk
from tests.support.synthetic_photos import color_scene, save

BOTH = ["a.png", "a.png.json"]


@pytest.fixture
def make_desk(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    """Make desks that are closed after the test."""
    desks: list[Desk] = []

    def make(**sections: Any) -> Desk:
        desks.append(Desk(tmp_path, **{"review": HOLD, **sections}))
        return desks[-1]

    yield make
    for each in desks:
        each.colorist.gate.set()
        each.pipeline.close()
        each.ledger.close()


@pytest.fixture
def desk(make_desk: Callable[..., Desk]) -> Desk:
    """Make a desk where all results are held."""
    return make_desk()


class TestHolding:
    """What is not approved is not in the outbox."""

    def test_a_result_is_held_with_its_sidecar_and_the_original_moves(self, desk: Desk) -> None:
        """It can always be made again; the outbox stays untouched."""
        job = desk.drop("a.png")
        with capture_logs() as logs:
            desk.run()

        assert {
            "inbox": [],
            "outbox": [],
            "originals": ["a.png"],
            "rejected": [],
            "held": ["a.png"],
        } == desk.files()
        assert BOTH == desk.waiting
        assert desk.job(job.id).held
        assert "photo.held" in [line["event"] for line in logs]
        assert [] == desk.found_wrong()

    @pytest.mark.parametrize(("confidence", "is_held"), [(0.2, True), (0.3, False), (0.9, False)])
    def test_the_doubtful_are_held(
        self,
        make_desk: Callable[..., Desk],
        monkeypatch: pytest.MonkeyPatch,
        confidence: float,
        *,
        is_held: bool,
    ) -> None:
        """Known only once they are colored; no staging file is left in either folder."""
        desk = make_desk(review=Review(hold_below=0.3))
        color_with(desk, monkeypatch, confidence)
        job = desk.drop("album/a.png")
        desk.run()

        both = ["album/a.png", "album/a.png.json"]
        assert (both, []) == (
            (desk.waiting, desk.outbox) if is_held else (desk.outbox, desk.waiting)
        )
        assert (is_held, confidence) == (desk.job(job.id).held, desk.job(job.id).confidence)
        assert [] == desk.found_wrong()

    def test_a_name_that_is_held_is_not_given_again(self, desk: Desk) -> None:
        """Names are those of the outbox, whether a result is there yet or not."""
        first = desk.drop("a.png")
        desk.run()
        (desk.config.review.folder / "b.png").write_text("of a stranger")
        second = desk.drop("b.png")
        desk.run()

        renamed = desk.job(second.id).output.name
        assert PurePosixPath("a.png") == desk.job(first.id).output
        assert renamed.startswith("b.")
        assert renamed != "b.png"
        assert "of a stranger" == (desk.config.review.folder / "b.png").read_text()
        assert desk.job(second.id).held

    def test_a_scan_that_changed_after_it_was_colored_takes_its_held_result_along(
        self, desk: Desk
    ) -> None:
        """The new content is a new job."""
        job = desk.drop("a.png")
        desk.run()
        desk.pipeline.originals._withdraw(desk.job(job.id))

        assert [] == desk.waiting
        assert desk.ledger.queries.job(job.id) is None


class TestApproving:
    """A held result goes into the outbox, once and whole."""

    def test_an_approved_result_is_delivered_with_the_decision_in_its_sidecar(
        self, desk: Desk
    ) -> None:
        """The very file that was looked at; nothing is held any more."""
        job = desk.drop("a.png")
        desk.run()
        digest = desk.job(job.id).output_digest
        with capture_logs() as logs:
            desk.approve(job)

        done = desk.job(job.id)
        assert (BOTH, []) == (desk.outbox, desk.waiting)
        assert digest == safe_open.digest(desk.config.outbox / "a.png")
        assert ["approved"] == desk.decisions(desk.config.outbox)
        assert (False, False, Decision.APPROVED) == (done.held, done.review_owed, done.decision)
        assert [("photo.released", "Ada")] == [
            (line["event"], line["who"]) for line in logs if line["event"] == "photo.released"
        ]
        assert [] == desk.found_wrong()

    @pytest.mark.parametrize("decision", [Decision.REJECTED, Decision.FLAGGED, None])
    def test_another_decision_is_written_where_the_result_waits(
        self, desk: Desk, decision: Decision | None
    ) -> None:
        """It stays held, and may be approved later."""
        job = desk.drop("a.png")
        desk.run()
        desk.decide(job, decision)
        desk.run()

        assert ([], BOTH) == (desk.outbox, desk.waiting)
        assert [decision] == desk.decisions(desk.config.review.folder)
        assert not desk.job(job.id).review_owed
        assert [] == desk.found_wrong()
        desk.approve(job)
        assert [decision, "approved"] == desk.decisions(desk.config.outbox)

    def test_an_undone_approval_leaves_the_outbox_as_it_is(self, desk: Desk) -> None:
        """What was delivered stays; its sidecar no longer tells of the approval."""
        job = desk.drop("a.png")
        desk.run()
        desk.approve(job)
        desk.ledger.reviews.undo("Ada", desk.now)
        desk.run()

        assert (BOTH, []) == (desk.outbox, desk.waiting)
        assert [] == desk.decisions(desk.config.outbox)
        assert desk.job(job.id).decision is None

    def test_many_are_delivered_one_a_step(self, desk: Desk) -> None:
        """So that no other work waits for long; sidecars alone are quick."""
        jobs = [desk.drop(f"{number}.png") for number in range(4)]
        desk.run()
        for job in jobs:
            desk.decide(job, Decision.APPROVED)
        seen = []
        for _ in range(4):
            desk.step()
            seen.append((len(desk.outbox) // 2, desk.pipeline.next_due(desk.now) == 0.0))

        assert [(1, True), (2, True), (3, True), (4, False)] == seen
        for job in jobs:
            desk.decide(job, None)
        desk.step()
        assert 0 == desk.ledger.queries.gallery.owing_review_count()

    def test_between_disks_it_is_copied_and_compared(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where no link is possible."""

        def refuse(*_: object, **__: object) -> None:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

        job = desk.drop("a.png")
        desk.run()
        monkeypatch.setattr(held.os, "link", refuse)
        desk.approve(job)

        assert (BOTH, []) == (desk.outbox, desk.waiting)
        assert [] == desk.found_wrong()


class TestRecoloring:
    """The earlier approved result stays in the outbox until the new one is approved."""

    def test_the_new_result_replaces_the_earlier_one_when_it_is_approved(self, desk: Desk) -> None:
        """At every stage all files are as recorded."""
        job = desk.drop("a.png")
        desk.run()
        desk.approve(job)
        first = safe_open.digest(desk.config.outbox / "a.png")
        second = desk.recolor(job)

        assert (True, first, None) == (second.held, second.delivered_digest, second.decision)
        assert (BOTH, BOTH) == (desk.outbox, desk.waiting)
        assert first == safe_open.digest(desk.config.outbox / "a.png")
        assert ["approved"] == desk.decisions(desk.config.outbox)
        assert [] == desk.found_wrong()

        third = desk.recolor(job, "third")
        assert (True, first) == (third.held, third.delivered_digest)
        desk.approve(job)
        done = desk.job(job.id)
        assert (BOTH, []) == (desk.outbox, desk.waiting)
        assert third.output_digest == safe_open.digest(desk.config.outbox / "a.png")
        assert (False, None) == (done.held, done.delivered_digest)
        assert [] == desk.found_wrong()

    def test_the_change_is_from_the_present_result_wherever_that_is(self, desk: Desk) -> None:
        """Held, delivered, and held beside a delivered one, which is not the present one."""
        job = desk.drop("a.png")
        desk.run()
        changes = [desk.recolor(job).change]
        desk.approve(job)
        changes.append(desk.recolor(job, "third").change)
        save(desk.config.outbox / "a.png", color_scene(24, 32))
        changes.append(desk.recolor(job, "fourth").change)

        assert [0, 0, 0] == changes

    def test_what_is_held_stays_held_when_results_are_delivered_at_once_again(
        self, desk: Desk
    ) -> None:
        """Also when it is colored again; only a person lets it go. New results are delivered."""
        job = desk.drop("a.png")
        desk.run()
        desk.restart(review=desk.config.review.model_copy(update={"mode": "after"}))
        new = desk.drop("b.png")
        again = desk.recolor(job)

        assert (True, False) == (again.held, desk.job(new.id).held)
        assert (["b.png", "b.png.json"], BOTH) == (desk.outbox, desk.waiting)
        assert [] == desk.found_wrong()
        desk.approve(job)
        assert ([*BOTH, "b.png", "b.png.json"], []) == (desk.outbox, desk.waiting)
        assert [] == desk.found_wrong()

    def test_a_result_is_approved_though_it_could_not_be_colored_again(self, desk: Desk) -> None:
        """Or still waits for that: what the person saw is what is held."""
        job = desk.drop("a.png")
        desk.run()
        (desk.config.originals.folder / "a.png").unlink()
        failed = desk.recolor(job)
        desk.approve(job)

        assert (JobStatus.FAILED, True) == (failed.status, failed.recolor)
        assert (BOTH, []) == (desk.outbox, desk.waiting)

    def test_an_earlier_result_that_somebody_changed_is_not_replaced(self, desk: Desk) -> None:
        """The approved one waits, and says why; it goes there when the file is gone."""
        job = desk.drop("a.png")
        desk.run()
        desk.approve(job)
        desk.recolor(job)
        (desk.config.outbox / "a.png").write_text("retouched by hand")
        with capture_logs() as logs:
            desk.approve(job)
            desk.now += 100
            desk.run()

        assert "retouched by hand" == (desk.config.outbox / "a.png").read_text()
        assert desk.job(job.id).held
        assert "another file has its name in the outbox" in desk.pipeline.approvals.fault
        assert 2 == [line["event"] for line in logs].count("photo.not_released")
        assert str(desk.config.outbox / "a.png") in (desk.job(job.id).review_problem or "")
        (desk.config.outbox / "a.png").unlink()
        desk.run()
        assert (BOTH, [], "") == (desk.outbox, desk.waiting, desk.pipeline.approvals.fault)
        assert [] == desk.found_wrong()


class TestTrouble:
    """Nothing is delivered that was not looked at, and nothing is lost."""

    @pytest.mark.parametrize("name", BOTH)
    def test_a_result_whose_name_is_taken_waits_alone_and_goes_on_at_once(
        self, desk: Desk, name: str
    ) -> None:
        """The ledger has the reason, for all who ask; others are delivered meanwhile."""
        first, second = desk.drop("a.png"), desk.drop("b.png")
        desk.run()
        (desk.config.outbox / name).write_text("of a stranger")
        desk.approve(first)
        desk.approve(second)

        reason = f"another file has its name in the outbox; move it away: {desk.config.outbox}"
        waiting = desk.job(first.id)
        assert f"{reason}/{name}" == waiting.review_problem == desk.pipeline.approvals.fault
        assert {name, "b.png", "b.png.json"} == set(desk.outbox)
        assert [(name, "orphaned")] == [(one.path, one.fault) for one in desk.found_wrong()]
        (desk.config.outbox / name).rename(desk.config.outbox.with_name("kept"))
        desk.run()
        assert (False, None) == (desk.job(first.id).held, desk.job(first.id).review_problem)
        assert ([*BOTH, "b.png", "b.png.json"], []) == (desk.outbox, desk.waiting)
        assert [] == desk.found_wrong()

    def test_whoever_decides_anew_need_not_wait(self, desk: Desk) -> None:
        """A rejected result waits for nothing; what an approval waited for is forgotten."""
        job = desk.drop("a.png")
        desk.run()
        (desk.config.outbox / "a.png").write_text("of a stranger")
        desk.approve(job)
        desk.decide(job, Decision.REJECTED)
        assert desk.job(job.id).review_problem is None
        desk.run()

        done = desk.job(job.id)
        assert (True, False, None) == (done.held, done.review_owed, done.review_problem)
        assert (["approved", "rejected"], "") == (
            desk.decisions(desk.config.review.folder),
            desk.pipeline.approvals.fault,
        )

    def test_folders_that_the_last_result_left_are_removed(self, desk: Desk) -> None:
        """Of the held results, at once; also after a crash just before that."""
        jobs = [desk.drop(name) for name in ("1931/may/a.png", "1931/b.png")]
        desk.run()
        desk.approve(jobs[0])
        folders = [path.name for path in desk.config.review.folder.rglob("*") if path.is_dir()]
        assert ["1931"] == folders
        desk.approve(jobs[1])
        assert [] == [path for path in desk.config.review.folder.rglob("*") if path.is_dir()]
        assert desk.config.review.folder.is_dir()
        (desk.config.review.folder / "1931").mkdir()
        held.discard(desk.job(jobs[1].id), desk.config)
        assert not (desk.config.review.folder / "1931").exists()

    @pytest.mark.parametrize("name", BOTH)
    def test_a_held_result_that_was_altered_is_not_delivered(self, desk: Desk, name: str) -> None:
        """`verify` tells of it, and `verify --repair` has it made again."""
        job = desk.drop("a.png")
        desk.run()
        path = desk.config.review.folder / name
        path.write_bytes(path.read_bytes()[:-9])
        desk.approve(job)

        assert [] == desk.outbox
        assert "altered" in desk.pipeline.approvals.fault
        assert ["altered"] == [finding.fault for finding in desk.found_wrong()]
        verify(desk.config, lambda *_: None, repair=True)
        desk.run()
        assert [] == desk.found_wrong()
        desk.approve(job)
        assert (BOTH, []) == (desk.outbox, desk.waiting)

    def test_a_full_disk_holds_all_approvals_up_for_a_while(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """And then they go on."""
        jobs = [desk.drop(f"{number}.png") for number in range(2)]
        desk.run()
        with monkeypatch.context() as disk:

            def full(*_: object, **__: object) -> None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

            disk.setattr(held, "bring", full)
            for job in jobs:
                desk.approve(job)
        desk.run()
        assert [] == desk.outbox
        assert "No space left" in desk.pipeline.approvals.fault
        desk.now += 100
        desk.run()
        assert (4, "") == (len(desk.outbox), desk.pipeline.approvals.fault)

    def test_without_the_outbox_nothing_is_delivered(self, desk: Desk) -> None:
        """Nor while a disk is nearly full."""
        job = desk.drop("a.png")
        desk.run()
        away = desk.config.outbox.rename(desk.config.outbox.with_name("away"))
        desk.approve(job)
        assert desk.job(job.id).held
        away.rename(desk.config.outbox)
        desk.restart(limits=Limits(free_space=1e9))
        desk.step()
        desk.run()
        assert desk.job(job.id).held
        desk.restart(limits=Limits(free_space=0))
        desk.run()
        assert BOTH == desk.outbox

    def test_a_decision_that_is_undone_in_between_is_not_carried_out(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The ledger is asked last of all."""
        job = desk.drop("a.png")
        desk.run()
        bring = held.bring

        def undo_first(*arguments: Any, **more: Any) -> None:
            desk.ledger.reviews.undo("Ada", desk.now)
            bring(*arguments, **more)

        monkeypatch.setattr(held, "bring", undo_first)
        desk.approve(job)

        assert ([], BOTH) == (desk.outbox, desk.waiting)
        assert not desk.job(job.id).review_owed

    def test_what_is_decided_in_between_is_carried_out_too(
        self, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A note that comes while the sidecar is written is in it a step later."""
        job = desk.drop("a.png")
        desk.run()
        release = desk.ledger.reviews.release_held

        def note_first(*arguments: Any) -> None:
            desk.ledger.reviews.add_note(job.id, "see letter", who="Bo", now=desk.now)
            release(*arguments)

        monkeypatch.setattr(desk.ledger.reviews, "release_held", note_first)
        desk.approve(job)

        sidecar = read_sidecar(desk.config.outbox / "a.png.json")
        assert ["", "see letter"] == [one.note for one in sidecar.decisions]

    @pytest.mark.parametrize("what", ["gone", "of another coloring"])
    def test_a_sidecar_that_is_not_ours_any_more_stays_as_it_is(
        self, make_desk: Callable[..., Desk], what: str
    ) -> None:
        """The decision is in the ledger all the same, and does not wait for ever."""
        desk = make_desk(review=Review())
        job = desk.drop("a.png")
        other = desk.drop("b.png")
        desk.run()
        path = desk.config.outbox / "a.png.json"
        if what == "gone":
            path.unlink()
        else:
            shutil.copyfile(desk.config.outbox / "b.png.json", path)
        before = path.read_bytes() if path.exists() else b""
        with capture_logs() as logs:
            desk.decide(job, Decision.APPROVED)
            desk.decide(other, Decision.APPROVED)
            desk.run()

        assert before == (path.read_bytes() if path.exists() else b"")
        assert ["approved"] == desk.decisions(desk.config.outbox, "b.png")
        assert 0 == desk.ledger.queries.gallery.owing_review_count()
        (said,) = (line for line in logs if line["event"] == "photo.sidecar_left")
        assert (job.id, True) == (said["job"], what in said["reason"])


class _Killed(BaseException):
    """Stands for the end of the process."""


CALLS = (
    (held, "bring"),
    (outbox, "publish"),
    (held, "deliver_sidecar"),
    (held, "discard"),
    (held, "record_decisions"),
    ("ledger", "release_held"),
    ("ledger", "carried_out"),
)


@pytest.mark.parametrize("again", [False, True], ids=["first", "again"])
@pytest.mark.parametrize("undone", [False, True], ids=["approved", "undone"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("call", CALLS, ids=[name for _, name in CALLS])
def test_an_approval_survives_the_end_of_the_process(
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
    call: tuple[Any, str],
    *,
    after: bool,
    undone: bool,
    again: bool,
) -> None:
    """Before and after each step, also where the person changes their mind before the next start.

    The result is whole in the outbox, or still held; never in both, and never in none.
    """
    job = desk.drop("a.png")
    desk.run()
    if again:
        desk.approve(job)
        desk.recolor(job)
    wanted = desk.job(job.id).output_digest
    with monkeypatch.context() as kill:
        home, name = call
        target = desk.ledger.reviews if home == "ledger" else home
        work = getattr(target, name)

        def killed(*arguments: Any, **more: Any) -> None:
            if after:
                work(*arguments, **more)
            raise _Killed

        kill.setattr(target, name, killed)
        desk.decide(job, Decision.APPROVED)
        with pytest.raises(_Killed):
            desk.run()
    if undone:
        desk.ledger.reviews.undo("Ada", desk.now)
    desk.restart()
    desk.run()

    done = desk.job(job.id)
    here = desk.config.review.folder if done.held else desk.config.outbox
    assert wanted == safe_open.digest(here / "a.png")
    assert ([] if undone else ["approved"]) == desk.decisions(here)
    assert undone or not done.held
    assert BOTH == desk.names(here)
    assert (BOTH if again else []) == desk.outbox or not done.held
    assert desk.waiting == (BOTH if done.held else [])
    assert [] == desk.found_wrong()
    assert not done.review_owed


def color_with(desk: Desk, monkeypatch: pytest.MonkeyPatch, confidence: float) -> None:
    """Have results come with a confidence."""
    collect = desk.pipeline._start_delivery

    def start(job: Job, delivery: Delivery) -> None:
        object.__setattr__(delivery.outcome, "confidence", confidence)
        collect(job, delivery)

    monkeypatch.setattr(desk.pipeline, "_start_delivery", start)


def test_a_portion_is_more_than_one() -> None:
    """Else a thousand notes would take a thousand steps."""
    assert approvals.PORTION > 1
    assert FakeColorist().batch_size > 1
