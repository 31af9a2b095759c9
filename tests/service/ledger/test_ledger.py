"""No photo is forgotten or colored twice, whenever the process dies and whatever the disk does."""

import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.config.folder_sections import AS_USUAL, FolderSettings
from service.filesystem.file_stat import FileStat
from service.ledger.ledger import ActiveModel, Job, JobStatus, Ledger, LedgerError
from service.ledger.queries import LedgerQueries
from service.ledger.schema import MIGRATIONS
from worker.errors import DeviceError

LOOKS = FileStat(size=5, mtime_ns=10**18, inode=2**64 - 1, device=2**63)
A, B = "a" * 64, "b" * 64
DAY = 86_400.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name a ledger in an empty folder with an odd name."""
    folder = tmp_path / "state ?#%"
    folder.mkdir()
    return folder / "ledger.sqlite3"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    """Open a new ledger."""
    with Ledger(path) as ledger:
        yield ledger


def queue(ledger: Ledger, name: str, digest: str | None = None, now: float = 0.0) -> Job:
    """Queue a scan whose content is unlike any other's, unless it is given."""
    scan = PurePosixPath(name)
    return ledger.enqueue(scan, digest or f"{name:_>64}", LOOKS, scan, now)[0]


def ids(jobs: list[Job]) -> list[int]:
    """Return the numbers of jobs."""
    return [job.id for job in jobs]


class TestQueuing:
    """One job for each path and content."""

    def test_a_queued_job_has_all_that_was_given(self, ledger: Ledger, path: Path) -> None:
        """Also after the ledger was closed and opened."""
        job, is_new = ledger.enqueue(
            PurePosixPath("sub/a.tif"), A, LOOKS, PurePosixPath("sub/a.tif.jpg"), 7.0
        )
        ledger.close()

        assert is_new
        assert (
            Job(
                id=1,
                path=PurePosixPath("sub/a.tif"),
                digest=A,
                output=PurePosixPath("sub/a.tif.jpg"),
                stat=LOOKS,
                same_content_as=None,
                status=JobStatus.QUEUED,
                attempts=0,
                waits=0,
                reason=None,
                model=None,
                not_before=7.0,
                queued_at=7.0,
                started_at=None,
                finished_at=None,
            )
            == job
        )
        with Ledger(path) as again:
            assert job == again.queries.oldest_waiting()

    def test_a_name_that_is_not_utf8_comes_back_as_it_was(self, ledger: Ledger) -> None:
        """Byte by byte, also in reasons."""
        job = queue(ledger, "caf\udce9.jpg", A)
        failed = ledger.fail(job.id, "caf\udce9.jpg is empty", 1.0)

        assert "caf\udce9.jpg" == str(failed.path) == str(failed.output)
        assert r"caf\udce9.jpg is empty" == failed.reason

    def test_the_same_file_seen_twice_is_one_job(self, ledger: Ledger) -> None:
        """Queued, started or finished."""
        job = queue(ledger, "a.jpg", A)
        scan, other = PurePosixPath("a.jpg"), PurePosixPath("other.jpg")
        seen = [ledger.enqueue(scan, A, LOOKS, other, 1.0)]
        ledger.claim(1, 1.0, in_flight=0)
        seen.append(ledger.enqueue(scan, A, LOOKS, other, 1.0))
        ledger.finish(job.id, model="1", now=1.0)
        seen.append(ledger.enqueue(scan, A, LOOKS, other, 1.0))

        assert [(1, False)] * 3 == [(each.id, is_new) for each, is_new in seen]
        assert ["queued", "started", "finished"] == [each.status for each, _ in seen]
        assert {PurePosixPath("a.jpg")} == {each.output for each, _ in seen}

    def test_the_same_content_under_another_name_is_its_own_job_and_says_so(
        self, ledger: Ledger
    ) -> None:
        """It names the first."""
        jobs = [queue(ledger, name, A) for name in ("a.jpg", "b.jpg", "c.jpg")]

        assert [None, 1, 1] == [job.same_content_as for job in jobs]

    def test_a_failed_job_that_is_dropped_again_starts_afresh(self, ledger: Ledger) -> None:
        """With no attempts, a new place to go, and no old reason."""
        job = queue(ledger, "a.jpg", A)
        ledger.claim(1, 0.0, in_flight=0)
        ledger.fail(job.id, "too dark", 1.0)
        again, is_new = ledger.enqueue(job.path, A, LOOKS, PurePosixPath("b.jpg"), 9.0)

        assert is_new
        assert (job.id, JobStatus.QUEUED, 0, None, 9.0, None, None) == (
            again.id,
            again.status,
            again.attempts,
            again.reason,
            again.queued_at,
            again.started_at,
            again.finished_at,
        )
        assert PurePosixPath("b.jpg") == again.output

    def test_a_file_that_looks_as_before_is_found_without_reading_it(self, ledger: Ledger) -> None:
        """The device does not count, since its number may change with a restart."""
        job = queue(ledger, "a.jpg")

        assert job == ledger.queries.by_stat(job.path, LOOKS)
        assert job == ledger.queries.by_stat(job.path, FileStat(5, 10**18, 2**64 - 1, device=0))
        assert ledger.queries.by_stat(job.path, FileStat(6, 10**18, 2**64 - 1, 2**63)) is None
        assert ledger.queries.by_stat(PurePosixPath("b.jpg"), LOOKS) is None

    def test_a_file_that_was_touched_is_found_after_it_was_seen_again(self, ledger: Ledger) -> None:
        """So an original that stays is read once, not at each rescan."""
        job = queue(ledger, "a.jpg", A)
        touched = FileStat(5, 10**18 + 1, 7, 1)
        ledger.enqueue(job.path, A, touched, job.output, 1.0)
        found = ledger.queries.by_stat(job.path, touched)

        assert found is not None
        assert touched == found.stat

    def test_a_failed_file_is_not_found_so_that_dropping_it_again_works(
        self, ledger: Ledger
    ) -> None:
        """Moved back from rejected/ it looks just as before."""
        job = queue(ledger, "a.jpg")
        ledger.fail(job.id, "too dark", 1.0)

        assert ledger.queries.by_stat(job.path, LOOKS) is None

    def test_an_output_belongs_to_one_job(self, ledger: Ledger) -> None:
        """But a failed job delivered nothing and owns nothing."""
        job = queue(ledger, "a.jpg")

        assert ledger.queries.output_taken(job.output)
        with pytest.raises(ValueError, match=r"another job owns a\.jpg"):
            ledger.enqueue(PurePosixPath("b.jpg"), B, LOOKS, job.output, 0.0)
        ledger.fail(job.id, "too dark", 1.0)
        assert not ledger.queries.output_taken(job.output)
        assert ledger.enqueue(PurePosixPath("b.jpg"), B, LOOKS, job.output, 0.0)[1]


class TestClaiming:
    """In order, counted before the work, and suspects alone."""

    def test_jobs_are_claimed_in_the_order_they_came(self, ledger: Ledger) -> None:
        """At most as many as asked for, each once."""
        for name in "abc":
            queue(ledger, name)

        assert [1, 2] == ids(ledger.claim(2, 0.0, in_flight=0))
        assert [3] == ids(ledger.claim(2, 0.0, in_flight=2))
        assert [] == ledger.claim(2, 0.0, in_flight=3)

    def test_an_attempt_is_on_disk_before_the_work_begins(self, ledger: Ledger, path: Path) -> None:
        """Another reader sees it as soon as claim returns."""
        queue(ledger, "a")
        [job] = ledger.claim(1, 5.0, in_flight=0)
        with sqlite3.connect(path) as other:
            row = other.execute("SELECT status, attempts, started_at FROM jobs").fetchone()
        other.close()

        assert ("started", 1, 5.0) == row == (job.status, job.attempts, job.started_at)

    def test_a_job_that_waits_is_not_claimed_before_its_time(self, ledger: Ledger) -> None:
        """And does not hold up the others."""
        queue(ledger, "a")
        queue(ledger, "b")
        ledger.claim(1, 0.0, in_flight=0)
        ledger.back_off(1, "disk full", 10.0)

        assert [2] == ids(ledger.claim(9, 9.9, in_flight=0))
        assert [1] == ids(ledger.claim(9, 10.0, in_flight=1))

    def test_a_job_that_may_have_ended_the_process_is_claimed_alone(self, ledger: Ledger) -> None:
        """With nothing in flight, and nothing beside it until it is done."""
        for name in "abc":
            queue(ledger, name)
        ledger.claim(2, 0.0, in_flight=0)
        ledger.recover()

        assert [] == ledger.claim(9, 0.0, in_flight=1)
        assert [1] == ids(ledger.claim(9, 0.0, in_flight=0))
        assert [] == ledger.claim(9, 0.0, in_flight=1)
        ledger.finish(1, model="1", now=0.0)
        assert [2] == ids(ledger.claim(9, 0.0, in_flight=0))
        ledger.fail(2, "too dark", 0.0)
        assert [3] == ids(ledger.claim(9, 0.0, in_flight=0))

    def test_jobs_before_a_suspect_do_not_take_it_along(self, ledger: Ledger) -> None:
        """The order stays."""
        for name in "abc":
            queue(ledger, name)
        ledger.claim(2, 0.0, in_flight=0)
        ledger.unclaim(1, 0.0)
        ledger.requeue(2, "odd", 0.0)

        assert [1] == ids(ledger.claim(9, 0.0, in_flight=0))
        assert [] == ledger.claim(9, 0.0, in_flight=1)


class TestAClockThatJumps:
    """Waits are kept in seconds since 1970; nobody waits longer for that."""

    @pytest.mark.parametrize("jump", [-DAY, -365 * DAY, DAY, 3650 * DAY])
    def test_a_job_that_waits_is_claimed_within_the_longest_wait(
        self, ledger: Ledger, jump: float
    ) -> None:
        """Though the clock was put back or forth by a day or by years after it failed."""
        queue(ledger, "a", now=10 * DAY)
        (job,) = ledger.claim(1, 10 * DAY, in_flight=0)
        ledger.back_off(job.id, "No space left on device", 10 * DAY + 600.0)

        assert [] == ledger.claim(1, 10 * DAY + 1, in_flight=0, longest_wait=600.0)
        assert [job.id] == ids(ledger.queries.backed_off(10 * DAY + 1, longest_wait=600.0))

        now = 10 * DAY + jump

        assert [] == ledger.queries.backed_off(now, longest_wait=600.0)
        assert [job.id] == ids(ledger.claim(1, now, in_flight=0, longest_wait=600.0))

    def test_jobs_are_claimed_in_the_order_they_came(self, ledger: Ledger) -> None:
        """And not by their times, when later ones have earlier ones."""
        jobs = [queue(ledger, f"{n}", now=now) for n, now in enumerate((5 * DAY, 4 * DAY, 9 * DAY))]

        assert ids(jobs) == ids(ledger.claim(9, 4 * DAY, in_flight=0, longest_wait=600.0))


class TestTheEndOfAnAttempt:
    """Finished, failed, or put back."""

    @pytest.fixture
    def job(self, ledger: Ledger) -> Job:
        """Start a job."""
        queue(ledger, "a")
        return ledger.claim(1, 1.0, in_flight=0)[0]

    def test_a_finished_job_knows_its_model_and_time(self, ledger: Ledger, job: Job) -> None:
        """It stays in the ledger for good."""
        done = ledger.finish(job.id, model="3", now=2.0)

        assert (JobStatus.FINISHED, "3", 2.0, 1) == (
            done.status,
            done.model,
            done.finished_at,
            done.attempts,
        )
        assert "3" == ledger.queries.last_model()

    def test_a_fault_of_the_machine_is_no_attempt(self, ledger: Ledger, job: Job) -> None:
        """It is counted apart."""
        back = ledger.back_off(job.id, "disk full", 9.0)

        assert (JobStatus.QUEUED, 0, 1, "disk full", 9.0) == (
            back.status,
            back.attempts,
            back.waits,
            back.reason,
            back.not_before,
        )

    def test_another_attempt_counts(self, ledger: Ledger, job: Job) -> None:
        """So it ends some day."""
        back = ledger.requeue(job.id, "odd", 9.0)

        assert (JobStatus.QUEUED, 1, 0, 9.0) == (
            back.status,
            back.attempts,
            back.waits,
            back.not_before,
        )

    def test_a_released_job_is_as_if_never_claimed(self, ledger: Ledger, job: Job) -> None:
        """For what a stop leaves untouched."""
        back = ledger.unclaim(job.id, 3.0)

        assert (JobStatus.QUEUED, 0, 0, None) == (
            back.status,
            back.attempts,
            back.waits,
            back.started_at,
        )

    def test_a_job_is_changed_only_from_where_it_is(self, ledger: Ledger, job: Job) -> None:
        """Nothing is finished twice, and a refused change changes nothing."""
        done = ledger.finish(job.id, model="1", now=2.0)
        for change in (
            lambda: ledger.finish(job.id, model="2", now=3.0),
            lambda: ledger.back_off(job.id, "", 0.0),
            lambda: ledger.requeue(job.id, "", 0.0),
            lambda: ledger.unclaim(job.id, 0.0),
            lambda: ledger.fail(job.id, "", 0.0),
            lambda: ledger.finish(99, model="1", now=3.0),
        ):
            with pytest.raises(ValueError, match="is not started"):
                change()

        assert done == ledger.queries.by_stat(done.path, LOOKS)

    def test_after_a_crash_what_was_started_is_queued_again(
        self, ledger: Ledger, job: Job, path: Path
    ) -> None:
        """With its attempt counted, and only that."""
        queue(ledger, "b")
        ledger.close()
        with Ledger(path) as again:
            recovered = again.recover()

            assert [job.id] == ids(recovered)
            assert [(JobStatus.QUEUED, 1)] == [(one.status, one.attempts) for one in recovered]
            assert [] == again.recover()
            assert 2 == again.queries.counts()[JobStatus.QUEUED]

    def test_after_a_restart_nothing_waits_for_the_machine_any_longer(
        self, ledger: Ledger, job: Job
    ) -> None:
        """Whoever mended the disk restarts the daemon, and it goes on at once."""
        ledger.back_off(job.id, "disk full", 600.0)
        ledger.recover()

        assert [job.id] == ids(ledger.claim(9, 1.0, in_flight=0))

    def test_a_job_that_ended_the_process_too_often_is_exhausted(self, ledger: Ledger) -> None:
        """It can be failed without another attempt."""
        queue(ledger, "a")
        queue(ledger, "b")
        for _ in range(3):
            assert ledger.queries.exhausted(3) == []
            assert [1] == ids(ledger.claim(1, 0.0, in_flight=0))
            ledger.recover()

        assert [1] == ids(ledger.queries.exhausted(3))
        assert JobStatus.FAILED == ledger.fail(1, "the process died", 1.0).status
        assert ledger.queries.exhausted(3) == []


class TestQueries:
    """What status and the daemon ask."""

    def test_every_status_is_counted(self, ledger: Ledger) -> None:
        """Also those of no job."""
        queue(ledger, "a")
        queue(ledger, "b")
        ledger.claim(1, 0.0, in_flight=0)

        assert {"queued": 1, "started": 1, "finished": 0, "failed": 0} == ledger.queries.counts()

    def test_the_oldest_waiting_and_the_newest_failures_are_told(self, ledger: Ledger) -> None:
        """By time, not by number."""
        assert ledger.queries.oldest_waiting() is None
        for number, name in enumerate("abcd"):
            queue(ledger, name, now=float(number))
        for number, moment in ((2, 8.0), (1, 9.0), (4, 7.0)):
            ledger.fail(number, "too dark", moment)
        oldest = ledger.queries.oldest_waiting()

        assert oldest is not None
        assert 3 == oldest.id
        assert [1, 2] == ids(ledger.queries.recent_failures(2))

    def test_photos_finished_since_a_moment_are_counted(self, ledger: Ledger) -> None:
        """That moment included."""
        assert ledger.queries.last_model() is None
        for number, name in enumerate("abc"):
            job = queue(ledger, name)
            ledger.claim(1, 0.0, in_flight=0)
            ledger.finish(job.id, model=str(number), now=float(number))

        assert 2 == ledger.queries.finished_since(1.0)
        assert "2" == ledger.queries.last_model()

    def test_what_was_delivered_is_kept(self, ledger: Ledger) -> None:
        """Its digest and its event, until it is colored again; an older photochrom gave neither."""
        for name in ("a.jpg", "b.jpg"):
            queue(ledger, name)
        ledger.claim(2, 0.0, in_flight=0)
        ledger.finish(1, model="1", now=1.0, output_digest=A, event="first")
        ledger.finish(2, model="1", now=1.0)
        seen = [ledger.queries.job(number) for number in (1, 2)]
        ledger.recolor([1], 2.0)
        seen += ledger.claim(1, 2.0, in_flight=0)
        seen.append(ledger.finish(1, model="2", now=3.0, output_digest=B, event="second"))

        assert [(A, "first"), (None, None), (A, "first"), (B, "second")] == [
            (job.output_digest, job.event) for job in seen if job
        ]

    def test_a_job_is_asked_for_by_its_number(self, ledger: Ledger) -> None:
        """None where there is none."""
        job = queue(ledger, "a.jpg")

        assert job == ledger.queries.job(job.id)
        assert ledger.queries.job(99) is None

    def test_all_that_own_a_name_in_the_outbox_are_listed(self, ledger: Ledger) -> None:
        """All but those that failed without ever having been delivered."""
        for name in ("finished", "rejected", "lost", "started", "queued"):
            queue(ledger, f"{name}.jpg")
        ledger.claim(4, 0.0, in_flight=0)
        for number in (1, 3):
            ledger.finish(number, model="1", now=1.0)
        ledger.fail(2, "too dark", 1.0)
        ledger.recolor([3], 1.0)
        ledger.fail(3, "the original is gone", 2.0)

        assert ["finished.jpg", "lost.jpg", "started.jpg", "queued.jpg"] == [
            str(job.output) for job in ledger.queries.owning_output()
        ]


class TestColoringAgain:
    """A finished photo is queued once more; its earlier result stays its own meanwhile."""

    @pytest.fixture
    def done(self, ledger: Ledger) -> Job:
        """Finish a job, by version 1, after two attempts, archived under another name."""
        job = queue(ledger, "sub/a.tif")
        ledger.claim(1, 0.0, in_flight=0)
        ledger.recover()
        ledger.claim(1, 0.0, in_flight=0)
        ledger.record_originals([(job.id, PurePosixPath("sub/a (2).tif"))])
        return ledger.finish(job.id, model="1", now=2.0)

    def test_it_is_the_same_job_with_its_attempts_afresh(self, ledger: Ledger, done: Job) -> None:
        """It knows its original, its output, and who colored it."""
        queued = ledger.recolor([done.id], 5.0)
        again = ledger.claim(1, 5.0, in_flight=0)[0]

        assert 1 == queued
        assert (done.id, True, 1, "1", PurePosixPath("sub/a (2).tif"), done.output, 5.0) == (
            again.id,
            again.recolor,
            again.attempts,
            again.model,
            again.original,
            again.output,
            again.queued_at,
        )

    def test_it_is_an_ordinary_finished_job_afterwards(self, ledger: Ledger, done: Job) -> None:
        """By the version that colored it last."""
        ledger.recolor([done.id], 5.0)
        ledger.claim(1, 5.0, in_flight=0)
        again = ledger.finish(done.id, model="2", now=6.0)

        assert (JobStatus.FINISHED, False, "2") == (again.status, again.recolor, again.model)
        assert [again] == ledger.queries.colored()

    def test_only_what_has_a_photo_is_queued(self, ledger: Ledger, done: Job) -> None:
        """Not what waits, is in work, was never colored, or is not there; and no job twice."""
        queue(ledger, "waiting")
        queue(ledger, "bad")
        ledger.fail(3, "empty", 1.0)

        assert 1 == ledger.recolor([done.id, done.id, 2, 3, 99], 5.0)
        assert ledger.recolor([done.id], 6.0) == 0

        ledger.claim(1, 1.0, in_flight=0)

        assert ledger.recolor([2], 6.0) == 0

    def test_new_photos_come_first(self, ledger: Ledger, done: Job) -> None:
        """They have no photo yet; who is recolored has."""
        ledger.recolor([done.id], 5.0)
        queue(ledger, "new")

        assert [2, done.id] == ids(ledger.claim(2, 5.0, in_flight=0))

    def test_a_suspect_among_new_photos_is_still_claimed_alone(
        self, ledger: Ledger, done: Job
    ) -> None:
        """And one that is recolored is no suspect for the attempts of its first coloring."""
        ledger.recolor([done.id], 5.0)

        assert [done.id] == ids(ledger.claim(2, 5.0, in_flight=3))

        ledger.unclaim(done.id, 5.0)
        queue(ledger, "new")
        ledger.claim(1, 5.0, in_flight=0)
        ledger.recover()

        assert ledger.claim(2, 5.0, in_flight=1) == []
        assert [2] == ids(ledger.claim(2, 5.0, in_flight=0))

    def test_its_output_stays_its_own_also_when_it_fails(self, ledger: Ledger, done: Job) -> None:
        """For its earlier photo is still there under that name."""
        ledger.recolor([done.id], 5.0)

        assert ledger.queries.output_taken(done.output)

        failed = ledger.fail(done.id, "the original is gone", 6.0)

        assert (JobStatus.FAILED, True, "1") == (failed.status, failed.recolor, failed.model)
        assert ledger.queries.output_taken(done.output)
        with pytest.raises(ValueError, match="another job owns"):
            ledger.enqueue(PurePosixPath("other"), B, LOOKS, done.output, 7.0)
        assert [failed] == ledger.queries.colored()
        assert 1 == ledger.recolor([done.id], 7.0)

    def test_dropped_again_while_it_waits_it_stays_one_job(self, ledger: Ledger, done: Job) -> None:
        """Only its looks are noted, so that the copy is known, and archived in the end."""
        ledger.recolor([done.id], 5.0)
        touched = FileStat(5, 10**18 + 1, 7, 1)
        seen, is_new = ledger.enqueue(done.path, done.digest, touched, PurePosixPath("x"), 6.0)
        found = ledger.queries.by_stat(done.path, touched)

        assert not is_new
        assert (done.id, JobStatus.QUEUED, True, done.output) == (
            seen.id,
            seen.status,
            seen.recolor,
            seen.output,
        )
        assert seen == found
        ledger.claim(1, 6.0, in_flight=0)
        assert touched == ledger.finish(done.id, model="2", now=7.0).stat

    @pytest.mark.parametrize("offered", ["sub/a.tif", "sub/a.12345678.tif"])
    def test_dropped_again_after_it_failed_it_is_tried_again_for_its_own_output(
        self, ledger: Ledger, done: Job, offered: str
    ) -> None:
        """Whatever name it is offered: its earlier photo is replaced and not left behind."""
        ledger.recolor([done.id], 5.0)
        ledger.fail(done.id, "the original is gone", 6.0)
        again, is_new = ledger.enqueue(done.path, done.digest, LOOKS, PurePosixPath(offered), 7.0)

        assert is_new
        assert (done.id, JobStatus.QUEUED, True, done.output, None) == (
            again.id,
            again.status,
            again.recolor,
            again.output,
            again.reason,
        )

    def test_a_crash_in_its_work_puts_it_back(self, ledger: Ledger, done: Job) -> None:
        """As every job; after as many as are allowed it is exhausted, and still has its photo."""
        ledger.recolor([done.id], 5.0)
        for _ in range(3):
            ledger.claim(1, 5.0, in_flight=0)
            ledger.recover()

        assert [done.id] == ids(ledger.queries.exhausted(3))
        assert ledger.queries.exhausted(3)[0].recolor

    def test_the_same_content_under_another_name_is_not_touched(
        self, ledger: Ledger, done: Job
    ) -> None:
        """It is its own job, with its own output."""
        twin = queue(ledger, "twin.tif", done.digest)
        ledger.recolor([done.id], 5.0)

        assert done.id == twin.same_content_as
        assert [twin.id, done.id] == ids(ledger.claim(2, 5.0, in_flight=0))

    def test_another_process_can_queue_while_the_daemon_works(
        self, ledger: Ledger, done: Job, path: Path
    ) -> None:
        """The daemon finds it at its next claim."""
        with Ledger(path) as other:
            assert 1 == other.recolor([done.id], 5.0)

        assert [done.id] == ids(ledger.claim(1, 5.0, in_flight=0))


class TestAnotherTry:
    """What `photochrom retry` asks for."""

    def test_only_what_waits_is_made_due(self, ledger: Ledger) -> None:
        """And it keeps its attempts, its reason and its turn."""
        waiting, again = queue(ledger, "a"), queue(ledger, "b")
        queue(ledger, "c")
        ledger.claim(2, 0.0, in_flight=0)
        ledger.back_off(waiting.id, "the disk is full", 900.0)
        ledger.requeue(again.id, "odd", 800.0)
        backed_off = (
            ids(ledger.queries.backed_off(5.0)),
            ids(ledger.queries.backed_off(5.0, limit=1)),
        )
        hastened = ledger.expedite(5.0)

        assert ([1, 2], [1]) == backed_off
        assert [(1, 5.0, "the disk is full", 0), (2, 5.0, "odd", 1)] == [
            (job.id, job.not_before, job.reason, job.attempts) for job in hastened
        ]
        assert [] == ledger.queries.backed_off(5.0)
        assert [] == ledger.expedite(5.0)

    def test_failed_jobs_are_listed_in_the_order_of_arrival(self, ledger: Ledger) -> None:
        """And no others."""
        for name in "abc":
            queue(ledger, name)
        for number in (3, 1):
            ledger.fail(number, "cut short", 1.0)

        assert [1, 3] == ids(ledger.queries.failed())


class TestSettings:
    """How a photo is to be colored: as its folder has it, and as somebody asked for this one."""

    COLORED = FolderSettings(even_if_colored=True)

    def test_those_of_its_folder_are_kept_from_the_queue_on(self, ledger: Ledger) -> None:
        """Whatever the folder says later; and without any, all is as usual."""
        path = PurePosixPath("a.tif")
        ledger.enqueue(path, "a" * 64, LOOKS, path, 0.0, self.COLORED)
        ledger.claim(1, 0.0, in_flight=0)
        done = ledger.finish(1, model="1", now=1.0)
        ledger.enqueue(path, "a" * 64, LOOKS, path, 2.0, AS_USUAL)
        ledger.recolor([1], 3.0)
        (again,) = ledger.claim(1, 3.0, in_flight=0)

        assert self.COLORED == done.settings == again.settings
        assert AS_USUAL == queue(ledger, "b.tif").settings

    def test_a_failed_job_takes_those_that_its_folder_has_when_it_is_queued_again(
        self, ledger: Ledger
    ) -> None:
        """It may have been rejected for the old ones."""
        job = queue(ledger, "a.tif")
        ledger.fail(job.id, "in color", 1.0)
        again, _ = ledger.enqueue(job.path, job.digest, LOOKS, job.output, 2.0, self.COLORED)

        assert self.COLORED == again.settings

    def test_what_was_asked_for_counts_more_and_lasts(self, ledger: Ledger) -> None:
        """Also when the scan is queued again from a folder that says otherwise."""
        job = queue(ledger, "a.tif")
        ledger.fail(job.id, "in color", 1.0)
        ledger.override_settings(job.id, self.COLORED)
        folder = FolderSettings(even_if_colored=False)
        again, _ = ledger.enqueue(job.path, job.digest, LOOKS, job.output, 2.0, folder)
        ledger.override_settings(job.id, folder)
        otherwise = ledger.queries.job(job.id)

        assert again.settings.even_if_colored
        assert otherwise
        assert not otherwise.settings.even_if_colored

    def test_a_ledger_of_an_older_photochrom_has_none(self, tmp_path: Path) -> None:
        """It is read as it is, and carried over with all as usual."""
        path = tmp_path / "old.sqlite3"
        with sqlite3.connect(path) as old:
            for sql in MIGRATIONS[:4]:
                old.executescript(sql)
            old.execute("PRAGMA user_version = 4")
            old.execute(
                "INSERT INTO jobs (path, digest, output, size, mtime_ns, inode, device, status,"
                " not_before, queued_at) VALUES (x'61', 'd', x'61', 1, 1, '1', '1', 'queued', 0, 0)"
            )
        old.close()
        with LedgerQueries.open(path) as ledger:
            before = ledger.job(1)
        with Ledger(path) as ledger:
            after = ledger.queries.job(1)

        assert before
        assert before == after
        assert AS_USUAL == before.settings


class TestForgetting:
    """What `photochrom forget` asks for."""

    def test_a_forgotten_scan_is_new_and_its_number_is_no_other_s(self, ledger: Ledger) -> None:
        """Its output's name is free."""
        done = queue(ledger, "a")
        ledger.claim(1, 0.0, in_flight=0)
        ledger.finish(done.id, model="1", now=1.0)
        forgotten = ledger.forget(done.id)
        taken = ledger.queries.output_taken(done.output)
        again, is_new = ledger.enqueue(done.path, done.digest, LOOKS, done.output, 2.0)

        assert JobStatus.FINISHED is forgotten.status
        assert not taken
        assert (2, True, JobStatus.QUEUED) == (again.id, is_new, again.status)

    @pytest.mark.parametrize("status", ["queued", "started", "to be colored again", "unknown"])
    def test_what_is_not_done_is_not_forgotten(self, ledger: Ledger, status: str) -> None:
        """Nothing is changed."""
        job = queue(ledger, "a")
        if status != "queued":
            ledger.claim(1, 0.0, in_flight=0)
        if status == "to be colored again":
            ledger.finish(job.id, model="1", now=1.0)
            ledger.recolor([job.id], 2.0)
        before = ledger.queries.job(job.id)
        with pytest.raises(ValueError, match="is not finished or failed"):
            ledger.forget(99 if status == "unknown" else job.id)

        assert before == ledger.queries.job(job.id)

    def test_copies_name_the_first_of_those_that_are_left(self, ledger: Ledger) -> None:
        """None names one that is gone; what cannot be forgotten is still named."""
        first, second, third = (queue(ledger, name, A) for name in "abc")
        with pytest.raises(ValueError, match="is not finished"):
            ledger.forget(first.id)
        before = [ledger.queries.job(job.id) for job in (second, third)]
        ledger.fail(first.id, "cut short", 1.0)
        ledger.forget(first.id)
        after = [ledger.queries.job(job.id) for job in (second, third)]

        assert [first.id, first.id] == [job and job.same_content_as for job in before]
        assert [None, second.id] == [job and job.same_content_as for job in after]

    def test_of_many_only_the_finished_ones_are_forgotten(self, ledger: Ledger) -> None:
        """What was queued again meanwhile stays; a copy no longer names what is gone."""
        jobs = [queue(ledger, name, A if name in "bc" else None) for name in "abcd"]
        for job in ledger.claim(4, 0.0, in_flight=0):
            ledger.finish(job.id, model="1", now=1.0)
        ledger.recolor([jobs[0].id], 2.0)

        assert 2 == ledger.forget_finished([jobs[0].id, jobs[1].id, jobs[3].id, 99])
        left = [ledger.queries.job(job.id) for job in jobs]
        assert [True, False, True, False] == [job is not None for job in left]
        assert left[2]
        assert left[2].same_content_as is None

    def test_the_oldest_photos_come_first_and_portions_follow_each_other(
        self, ledger: Ledger
    ) -> None:
        """None twice and none left out, also of those finished in the same second."""
        jobs = [queue(ledger, f"{n}") for n in range(7)]
        ledger.claim(7, 0.0, in_flight=0)
        for job, finished in zip(jobs[:6], (5.0, 1.0, 3.0, 3.0, 3.0, 9.0), strict=True):
            ledger.finish(job.id, model="1", now=finished)
        found: list[Job] = []
        while portion := ledger.queries.finished_before(9.0, found[-1] if found else None, 2):
            found += portion

        assert [2, 3, 4, 5, 1] == ids(found)


@settings(deadline=None)  # each example opens a file
@given(
    deeds=st.lists(
        st.tuples(
            st.sampled_from(["queue", "claim", "finish", "fail", "wait", "recolor", "forget"]),
            st.integers(1, 6),
        ),
        max_size=40,
    )
)
def test_the_counts_are_those_of_the_rows(deeds: list[tuple[str, int]]) -> None:
    """Whatever was done, in whatever order; what is refused changes nothing."""
    with TemporaryDirectory() as folder, Ledger(Path(folder) / "ledger.sqlite3") as ledger:
        ledger._database.rows("PRAGMA synchronous = OFF")
        for now, (deed, number) in enumerate(deeds):
            with suppress(ValueError):
                match deed:
                    case "queue":
                        queue(ledger, f"{number}", now=now)
                    case "claim":
                        ledger.claim(number, now, in_flight=0)
                    case "finish":
                        ledger.finish(number, model="1", now=now)
                    case "fail":
                        ledger.fail(number, "cut short", now)
                    case "wait":
                        ledger.back_off(number, "full", now)
                    case "recolor":
                        ledger.recolor([number], now)
                    case "forget":
                        ledger.forget(number)
        rows = ledger._database.rows("SELECT status, count(*) AS n FROM jobs GROUP BY status")

        assert {row["status"]: row["n"] for row in rows} == {
            status: count for status, count in ledger.queries.counts().items() if count
        }


def test_which_generator_serves_is_told_beside_the_daemon(ledger: Ledger, path: Path) -> None:
    """The last word counts; before the first there is none."""
    with LedgerQueries.open(path) as reader:
        assert reader.active_model() is None

        ledger.record_active_model(ActiveModel("3", "4", "all probes are nearly gray"))

        assert ActiveModel("3", "4", "all probes are nearly gray") == reader.active_model()

        ledger.record_active_model(ActiveModel("5"))

        assert ActiveModel("5", None, None) == reader.active_model()


class TestTheFile:
    """Faults of the disk, of other processes, and of time."""

    def test_a_reader_sees_the_work_and_can_change_nothing(
        self, ledger: Ledger, path: Path
    ) -> None:
        """While the daemon has it open."""
        queue(ledger, "a")
        with LedgerQueries.open(path) as reader:
            assert 1 == reader.counts()[JobStatus.QUEUED]
            with pytest.raises(DeviceError, match="readonly"):
                reader._database.rows("DELETE FROM jobs")

    def test_a_reader_makes_no_ledger(self, path: Path) -> None:
        """Looking is not a beginning."""
        with pytest.raises(DeviceError, match="unable to open"):
            LedgerQueries.open(path)

        assert not path.exists()

    def test_a_locked_ledger_is_the_machines_fault_and_nothing_is_changed(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It works again afterwards."""
        monkeypatch.setattr("service.ledger.database.LONGEST_LOCK_WAIT", 0.0)
        other = sqlite3.connect(path, isolation_level=None)
        with Ledger(path) as ledger:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(DeviceError, match="cannot be used now: database is locked"):
                queue(ledger, "a")
            other.execute("ROLLBACK")
            other.close()

            assert 1 == queue(ledger, "a").id

    def test_a_full_disk_is_the_machines_fault_and_nothing_is_changed(self, ledger: Ledger) -> None:
        """Simulated by SQLite's own bound on pages; it works again afterwards."""
        queue(ledger, "a")
        database = ledger._database._connection
        pages = database.execute("PRAGMA page_count").fetchone()[0]
        database.execute(f"PRAGMA max_page_count = {pages}")

        def fill() -> None:
            for number in range(1000):
                queue(ledger, f"{number:0>200}")

        with pytest.raises(DeviceError, match="full"):
            fill()
        left = ledger.queries.counts()[JobStatus.QUEUED]
        database.execute("PRAGMA max_page_count = 100000")
        queue(ledger, "b")

        assert left + 1 == ledger.queries.counts()[JobStatus.QUEUED]

    def test_a_damaged_ledger_is_refused_and_kept(self, path: Path) -> None:
        """A person may still save it."""
        path.write_bytes(b"this is no ledger" * 100)
        with pytest.raises(LedgerError, match="is damaged"):
            Ledger(path)

        assert path.read_bytes() == b"this is no ledger" * 100

    def test_a_ledger_of_a_newer_photochrom_is_refused_and_kept(self, path: Path) -> None:
        """Also for reading."""
        Ledger(path).close()
        with sqlite3.connect(path) as other:
            other.execute("PRAGMA user_version = 99")
        other.close()
        for open_ledger in (Ledger, LedgerQueries.open):
            with pytest.raises(LedgerError, match="written by a newer photochrom"):
                open_ledger(path)

        assert path.exists()

    def test_every_change_is_synced_to_disk(self, ledger: Ledger) -> None:
        """Write-ahead log, synchronous FULL, foreign keys."""

        def pragma(name: str) -> object:
            return ledger._database._connection.execute(f"PRAGMA {name}").fetchone()[0]

        assert ("wal", 2, 1) == (
            pragma("journal_mode"),
            pragma("synchronous"),
            pragma("foreign_keys"),
        )
