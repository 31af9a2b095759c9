"""What people decide on results is kept and can be undone; two never get the same one unasked."""

import itertools
import threading
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest

from service.filesystem.file_stat import FileStat
from service.ledger.gallery import EVERYTHING, GalleryFilter, Order, cursor
from service.ledger.jobs import Decision, Job
from service.ledger.ledger import Ledger
from service.ledger.queries import LedgerQueries

LOOKS = FileStat(size=5, mtime_ns=10**18, inode=1, device=1)
OPEN = GalleryFilter(decision="open")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name a ledger."""
    return tmp_path / "ledger.sqlite3"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    """Open a new ledger."""
    with Ledger(path) as ledger:
        yield ledger


def color(ledger: Ledger, name: str, *, now: float = 1.0, **result: object) -> Job:
    """Queue a scan and finish its job."""
    scan = PurePosixPath(name)
    job, _ = ledger.enqueue(scan, f"{name:_>64}", LOOKS, scan, now)
    ledger.claim(1, now, in_flight=0)
    values = {"model": "1", "event": f"event of {name}", **result}
    return ledger.finish(job.id, now=now, **values)  # type: ignore[arg-type]


def decision_of(ledger: Ledger, job: Job) -> Decision | None:
    """Return what stands on a job."""
    now = ledger.queries.job(job.id)
    assert now is not None
    return now.decision


class TestDeciding:
    """Approve, reject, flag, note, undo."""

    def test_a_decision_is_kept_with_who_when_and_why(self, ledger: Ledger) -> None:
        """On the job and in the log; the daemon is told by `review_owed`."""
        job = color(ledger, "a.png")

        assert 1 == ledger.reviews.decide(
            [job.id], Decision.REJECTED, who="Ada", now=5.0, reason="red coat", note="was blue"
        )

        now = ledger.queries.job(job.id)
        assert now is not None
        assert (Decision.REJECTED, True) == (now.decision, now.review_owed)
        assert [job.id] == [one.id for one in ledger.queries.gallery.owing_review()]
        (record,) = ledger.queries.gallery.decisions_of(job.id)
        assert (job.id, "event of a.png", Decision.REJECTED, None) == record[2:6]
        assert ("red coat", "was blue", "Ada", 5.0, None) == record[6:]

    def test_a_photo_without_a_result_cannot_be_decided_on(self, ledger: Ledger) -> None:
        """Nor one that there is not."""
        scan = PurePosixPath("waiting.png")
        job, _ = ledger.enqueue(scan, "a" * 64, LOOKS, scan, 1.0)

        assert 0 == ledger.reviews.decide([job.id, 99], Decision.APPROVED, who="Ada", now=5.0)
        assert [] == ledger.queries.gallery.decisions_of(job.id)

    def test_a_new_coloring_is_open_again(self, ledger: Ledger) -> None:
        """Though the log keeps what was decided on the one before."""
        job = color(ledger, "a.png")
        ledger.reviews.decide([job.id], Decision.APPROVED, who="Ada", now=5.0)
        ledger.recolor([job.id], 6.0)
        assert decision_of(ledger, job) is Decision.APPROVED
        ledger.claim(1, 6.0, in_flight=0)
        again = ledger.finish(job.id, model="2", now=7.0, event="second")

        assert (None, False) == (again.decision, again.review_owed)
        assert 1 == len(ledger.queries.gallery.decisions_of(job.id))

    def test_undo_takes_back_what_was_decided_together(self, ledger: Ledger) -> None:
        """One's own last batch, and the one before it with the next undo."""
        jobs = [color(ledger, f"{number}.png").id for number in range(3)]
        ledger.reviews.decide(jobs[:1], Decision.FLAGGED, who="Ada", now=1.0)
        ledger.reviews.decide(jobs, Decision.APPROVED, who="Ada", now=2.0)

        assert 3 == len(ledger.reviews.undo("Ada", 3.0))
        standing = [one.decision for one in ledger.queries.by_ids(jobs)]
        assert [Decision.FLAGGED, None, None] == standing
        assert 1 == len(ledger.reviews.undo("Ada", 4.0))
        assert [] == ledger.reviews.undo("Ada", 5.0)
        assert {None: 3, "approved": 0, "rejected": 0, "flagged": 0} == (
            ledger.queries.gallery.decision_counts()
        )

    def test_undo_leaves_what_another_decided_since(self, ledger: Ledger) -> None:
        """Ada's undo does not touch Bo's later word."""
        job = color(ledger, "a.png")
        ledger.reviews.decide([job.id], Decision.APPROVED, who="Ada", now=1.0)
        ledger.reviews.decide([job.id], Decision.REJECTED, who="Bo", now=2.0)

        assert 1 == len(ledger.reviews.undo("Ada", 3.0))
        assert decision_of(ledger, job) is Decision.REJECTED

    def test_undo_leaves_a_later_coloring_alone(self, ledger: Ledger) -> None:
        """A decision on the earlier coloring says nothing of it."""
        job = color(ledger, "a.png")
        ledger.reviews.decide([job.id], Decision.FLAGGED, who="Ada", now=1.0)
        ledger.reviews.decide([job.id], Decision.APPROVED, who="Ada", now=1.0)
        ledger.recolor([job.id], 2.0)
        ledger.claim(1, 2.0, in_flight=0)
        ledger.finish(job.id, model="2", now=3.0, event="second")
        ledger.reviews.undo("Ada", 4.0)

        assert decision_of(ledger, job) is None

    def test_a_note_keeps_the_decision(self, ledger: Ledger) -> None:
        """It is a line in the log, and goes to the sidecar."""
        job = color(ledger, "a.png")
        ledger.reviews.decide([job.id], Decision.APPROVED, who="Ada", now=1.0)
        seen = ledger.queries.gallery.decisions_of(job.id)
        assert ledger.reviews.carried_out(job.id, seen)
        assert [] == ledger.queries.gallery.owing_review()

        assert ledger.reviews.add_note(job.id, "see letter of 1912", who="Bo", now=2.0)
        assert not ledger.reviews.add_note(99, "nothing", who="Bo", now=2.0)
        assert decision_of(ledger, job) is Decision.APPROVED
        assert ["", "see letter of 1912"] == [
            one.note for one in ledger.queries.gallery.decisions_of(job.id)
        ]
        assert 1 == len(ledger.queries.gallery.owing_review())

    def test_a_forgotten_photo_leaves_no_decisions(self, ledger: Ledger) -> None:
        """Its number is never used again, and its log goes with it."""
        job = color(ledger, "a.png")
        ledger.reviews.decide([job.id], Decision.APPROVED, who="Ada", now=1.0)
        ledger.forget(job.id)

        assert [] == ledger.queries.gallery.decisions_of(job.id)
        assert [] == list(ledger.queries.gallery.decisions())


class TestHolding:
    """Where a result is, and which one is in the outbox while another is held."""

    @staticmethod
    def again(ledger: Ledger, job: Job, event: str, **result: object) -> Job:
        """Color a result again."""
        ledger.recolor([job.id], 2.0)
        ledger.claim(1, 2.0, in_flight=0)
        values = {"model": "2", "event": event, "output_digest": f"digest of {event}", **result}
        return ledger.finish(job.id, now=3.0, **values)  # type: ignore[arg-type]

    @staticmethod
    def delivered(job: Job) -> tuple[bool, str | None, str | None]:
        """Return whether it is held, and what is in the outbox meanwhile."""
        return job.held, job.delivered_digest, job.delivered_event

    def test_an_earlier_result_is_remembered_until_the_new_one_is_delivered(
        self, ledger: Ledger
    ) -> None:
        """Also while another one is tried, and not when it is replaced at once."""
        job = color(ledger, "a.png", output_digest="digest", event="first")
        second = self.again(ledger, job, "second", held=True)
        third = self.again(ledger, job, "third", held=True)
        ledger.reviews.release_held(job.id, "second")  # it is too late for that one
        still = ledger.queries.job(job.id)
        ledger.reviews.release_held(job.id, "third")
        released = ledger.queries.job(job.id)

        assert [(True, "digest", "first")] * 2 == [*map(self.delivered, (second, third))]
        assert still is not None
        assert still.held
        assert released is not None
        assert (False, None, None) == self.delivered(released)
        assert (False, None, None) == self.delivered(self.again(ledger, job, "fourth"))

    @pytest.mark.parametrize(
        ("result", "delivered"),
        [
            ({"output_digest": "digest", "held": True}, None),  # it was never delivered
            ({"output_digest": None}, ""),  # by an earlier photochrom
        ],
    )
    def test_what_is_in_the_outbox_may_be_nothing_or_unknown(
        self, ledger: Ledger, result: dict[str, object], delivered: str | None
    ) -> None:
        """And what was taken out of it is not in it."""
        job = color(ledger, "a.png", **result)
        taken = color(ledger, "b.png", output_digest="digest")
        ledger.reviews.mark_fetched([taken.id], 2.0)

        assert delivered == self.again(ledger, job, "second", held=True).delivered_digest
        assert self.again(ledger, taken, "second", held=True).delivered_digest is None

    def test_a_repaired_result_may_replace_anything(self, ledger: Ledger) -> None:
        """The one in the outbox is altered or gone."""
        job = color(ledger, "a.png", output_digest="digest")
        ledger.recolor([job.id], 2.0, repair=True)
        ledger.claim(1, 2.0, in_flight=0)
        job = ledger.finish(job.id, model="2", now=3.0, event="second", held=True)

        assert "" == job.delivered_digest

    @pytest.mark.parametrize("held", [False, True])
    def test_a_longer_scan_takes_over_what_is_held_or_delivered(
        self, ledger: Ledger, *, held: bool
    ) -> None:
        """The shorter result stands again if the longer one is forgotten, and still in place."""
        shorter = color(ledger, "a.tif", output_digest="short", event="first", held=held)
        scan = PurePosixPath("a.tif")
        longer, _ = ledger.enqueue(scan, "b" * 64, LOOKS, PurePosixPath("a.b.tif"), 2.0)
        ledger.claim(1, 2.0, in_flight=0)
        started = ledger.supersede(longer.id, shorter)
        done = ledger.finish(
            longer.id, model="1", now=3.0, event="second", output_digest="long", held=True
        )
        ledger.forget(longer.id)
        earlier = ledger.queries.job(shorter.id)

        assert (scan, "short", held) == (started.output, started.output_digest, started.held)
        assert (None if held else "short") == done.delivered_digest
        assert earlier is not None
        assert (longer.id if held else None) == earlier.superseded_by

    def test_what_is_decided_meanwhile_is_carried_out_too(self, ledger: Ledger) -> None:
        """The daemon tells what it knew; a photo in work is left alone."""
        job = color(ledger, "a.png", held=True)
        ledger.reviews.decide([job.id], Decision.APPROVED, who="Ada", now=1.0)
        seen = ledger.queries.gallery.decisions_of(job.id)
        ledger.reviews.undo("Ada", 2.0)

        assert not ledger.reviews.carried_out(job.id, seen)
        assert [job.id] == [one.id for one in ledger.queries.gallery.owing_review()]
        ledger.recolor([job.id], 3.0)
        assert 1 == len(ledger.queries.gallery.owing_review())
        ledger.claim(1, 3.0, in_flight=0)
        assert [] == ledger.queries.gallery.owing_review()

    def test_decisions_are_restored_as_they_stood(self, ledger: Ledger) -> None:
        """The last one stands on the photo."""
        job = color(ledger, "a.png")
        ledger.reviews.decide([job.id], Decision.FLAGGED, who="Ada", now=1.0, reason="coat")
        ledger.reviews.add_note(job.id, "it was red", who="Bo", now=2.0)
        records = ledger.queries.gallery.decisions_of(job.id)
        other = color(ledger, "b.png")
        with ledger.transaction():
            ledger.reviews.restore(other.id, records)

        assert [one[4:] for one in records] == [
            one[4:] for one in ledger.queries.gallery.decisions_of(other.id)
        ]
        assert decision_of(ledger, other) is Decision.FLAGGED


class TestClaims:
    """Two reviewers never get the same photo unasked."""

    def test_each_reviewer_gets_another_photo(self, ledger: Ledger) -> None:
        """Until nothing is left; then the end of a claim gives it free."""
        jobs = {color(ledger, f"{number}.png").id for number in range(2)}
        given = [
            ledger.reviews.claim_next(
                EVERYTHING, Order.NEWEST, None, who=who, now=1.0, seconds=60.0
            )
            for who in ("Ada", "Bo", "Cy")
        ]

        assert jobs == {job.id for job in given if job}
        assert given[2] is None
        assert ledger.reviews.claim_next(
            EVERYTHING, Order.NEWEST, None, who="Cy", now=61.0, seconds=60.0
        )

    def test_the_next_one_follows_and_the_end_begins_again(self, ledger: Ledger) -> None:
        """Behind the last one come those that were passed over."""
        first, second, third = (color(ledger, f"{n}.png", now=float(n)) for n in range(3))

        def following(after: Job | None) -> int | None:
            job = ledger.reviews.claim_next(
                EVERYTHING, Order.NEWEST, after, who="Ada", now=9.0, seconds=60.0
            )
            return job.id if job else None

        assert [third.id, second.id, first.id] == [
            following(None),
            following(third),
            following(second),
        ]
        assert third.id == following(first)
        ledger.reviews.decide([third.id, second.id], Decision.APPROVED, who="Ada", now=9.0)
        assert first.id == following(None)
        assert following(first) is None

    def test_a_photo_asked_for_by_name_says_who_has_it(self, ledger: Ledger) -> None:
        """It is shown all the same; a decision ends the claim."""
        job = color(ledger, "a.png")

        assert ledger.reviews.claim(job.id, who="Ada", now=1.0, seconds=60.0) is None
        assert "Ada" == ledger.reviews.claim(job.id, who="Bo", now=2.0, seconds=60.0)
        ledger.reviews.decide([job.id], Decision.FLAGGED, who="Ada", now=3.0)
        assert ledger.reviews.claim(job.id, who="Bo", now=4.0, seconds=60.0) is None

    def test_a_claim_that_is_given_back_is_free(self, ledger: Ledger) -> None:
        """By whom it was, alone or with all of theirs; not by anyone else."""
        job = color(ledger, "a.png")

        def claimed(who: str) -> str | None:
            return ledger.reviews.claim(job.id, who=who, now=1.0, seconds=60.0)

        claimed("Ada")
        ledger.reviews.release(job.id, "Bo")
        assert "Ada" == claimed("Bo")
        ledger.reviews.release(job.id, "Ada")
        assert claimed("Bo") is None
        ledger.reviews.release(None, "Ada")
        assert "Bo" == claimed("Ada")
        ledger.reviews.release(None, "Bo")
        assert claimed("Ada") is None


class TestGallery:
    """Pages, filters, counts."""

    @pytest.mark.parametrize("order", Order)
    def test_pages_hold_each_photo_once_in_order(self, ledger: Ledger, order: Order) -> None:
        """Also where many are equal, or of unknown confidence."""
        known = [None, 0.5, 0.5, 0.2, 0.9, None, 0.5]
        for number, one in enumerate(known):
            color(ledger, f"{number}.png", now=number // 2, confidence=one, change=one)
        gallery = ledger.queries.gallery
        pages, after = [], None
        while page := gallery.page(EVERYTHING, order, after, limit=2):
            pages += page
            after = cursor(page[-1], order)

        keys = [cursor(job, order) for job in pages]
        assert len(known) == len({job.id for job in pages}) == gallery.count()
        assert keys == sorted(keys, reverse=order in {Order.NEWEST, Order.CHANGE})

    @pytest.mark.parametrize("order", Order)
    def test_pages_lead_back_as_they_led_on(self, ledger: Ledger, order: Order) -> None:
        """The page before is the one that was shown before, also where many are equal."""
        for number, one in enumerate([None, 0.5, 0.5, 0.2, 0.9, None, 0.5]):
            color(ledger, f"{number}.png", now=number // 2, confidence=one, change=one)
        gallery = ledger.queries.gallery
        first = gallery.page(EVERYTHING, order, limit=3)
        second = gallery.page(EVERYTHING, order, cursor(first[-1], order), limit=3)

        back = gallery.page(EVERYTHING, order, limit=3, before=cursor(second[0], order))
        assert first == back
        assert [] == gallery.page(EVERYTHING, order, limit=3, before=cursor(first[0], order))

    def test_filters_leave_out_the_rest(self, ledger: Ledger) -> None:
        """Each alone, and together; counts and ids say the same as pages."""
        one = color(ledger, "album/Straße.png", now=1.0, confidence=0.3)
        two = color(ledger, "album/deep/two.png", now=2.0, confidence=0.8, model="2")
        three = color(ledger, "albums.png", now=3.0, held=True)
        ledger.reviews.decide([two.id], Decision.APPROVED, who="Ada", now=4.0)
        ledger.reviews.mark_fetched([two.id], 5.0)
        for which, expected in (
            (EVERYTHING, [one, two, three]),
            (GalleryFilter(folder=PurePosixPath("album")), [one, two]),
            (GalleryFilter(folder=PurePosixPath()), [one, two, three]),
            (GalleryFilter(since=2.0), [two, three]),
            (GalleryFilter(until=2.0), [one]),
            (GalleryFilter(state="held"), [three]),
            (GalleryFilter(state="fetched"), [two]),
            (GalleryFilter(state="delivered"), [one]),
            (GalleryFilter(state="recoloring"), []),
            (GalleryFilter(decision="open"), [one, three]),
            (GalleryFilter(decision="decided"), [two]),
            (GalleryFilter(decision="approved"), [two]),
            (GalleryFilter(decision="rejected"), []),
            (GalleryFilter(model="2"), [two]),
            (GalleryFilter(below=0.5), [one]),
            (GalleryFilter(word="STRAß"), [one]),
            (GalleryFilter(word="%"), []),
            (GalleryFilter(word="album", decision="open", below=0.9), [one]),
        ):
            ids = [job.id for job in expected]
            assert ids == ledger.queries.gallery.ids(which), which
            assert len(ids) == ledger.queries.gallery.count(which)
            page = ledger.queries.gallery.page(which, Order.OLDEST)
            assert ids == [job.id for job in page]

    def test_a_photo_to_be_recolored_keeps_its_place(self, ledger: Ledger) -> None:
        """It has its earlier result until then."""
        job = color(ledger, "a.png", now=1.0)
        color(ledger, "b.png", now=2.0)
        ledger.recolor([job.id], 9.0)

        shown = ledger.queries.gallery.page(EVERYTHING, Order.OLDEST)
        assert ["a.png", "b.png"] == [str(one.path) for one in shown]
        assert [job.id] == ledger.queries.gallery.ids(GalleryFilter(state="recoloring"))

    def test_folders_and_models_are_listed_once(self, ledger: Ledger) -> None:
        """Folders level by level, as one walks into them."""
        for name in ("a/x/1.png", "a/x/2.png", "a/y.png", "a-b/z.png", "b/1.png", "top.png"):
            color(ledger, name, model=name[0])
        gallery = ledger.queries.gallery

        assert {"a", "a-b", "b"} == {str(one) for one in gallery.folders()}
        assert ["a/x"] == [str(one) for one in gallery.folders(PurePosixPath("a"))]
        assert ["a-b", "a"] == [str(one) for one in gallery.folders(limit=2)]
        assert ["a", "b", "t"] == gallery.models()

    def test_progress_is_counted_for_a_filter(self, ledger: Ledger) -> None:
        """How far a folder is, beside how far all is."""
        names = ("a/1.png", "a/2.png", "b.png")
        jobs = [color(ledger, name, held=name == "a/1.png").id for name in names]
        ledger.reviews.decide(jobs[1:], Decision.APPROVED, who="Ada", now=1.0)
        everything = ledger.queries.gallery.tally()
        folder = ledger.queries.gallery.tally(GalleryFilter(folder=PurePosixPath("a")))

        assert (3, 2, 1) == (everything.results, everything.decided, everything.held)
        assert (2, 1, 1) == (folder.results, folder.decided, folder.held)
        assert 1 == folder.decisions[Decision.APPROVED]

    def test_reviewers_and_readers_never_meet_a_lock(self, path: Path, ledger: Ledger) -> None:
        """Two reviewers decide, the daemon finishes jobs, a page reads, all at once."""
        jobs = [color(ledger, f"{number}.png").id for number in range(20)]
        faults: list[Exception] = []

        def review(who: str) -> None:
            try:
                with Ledger(path) as mine:
                    for number, decision in zip(range(60), itertools.cycle(Decision), strict=False):
                        mine.reviews.decide([jobs[number % 20]], decision, who=who, now=1.0)
                    with LedgerQueries.open(path) as reader:
                        reader.gallery.page(OPEN)
            except Exception as error:  # noqa: BLE001 - the test looks at it
                faults.append(error)

        threads = [threading.Thread(target=review, args=(who,)) for who in ("Ada", "Bo")]
        for thread in threads:
            thread.start()
        for number in range(20, 40):
            color(ledger, f"{number}.png")
        for thread in threads:
            thread.join()

        assert [] == faults
        assert 120 == len(list(ledger.queries.gallery.decisions()))
