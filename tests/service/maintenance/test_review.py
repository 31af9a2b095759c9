"""What reviewers do is recorded with their names, and refused where it would surprise them."""

from pathlib import Path, PurePosixPath

import pytest

from service.config.loader import Config
from service.filesystem.file_stat import FileStat
from service.filesystem.folder_checks import make_folders
from service.filesystem.lock import StateLock
from service.ledger import database, schema
from service.ledger.gallery import EVERYTHING, GalleryFilter, Order
from service.ledger.jobs import Decision
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.ledger.queries import LedgerQueries
from service.maintenance import review
from service.maintenance.review import CountChangedError
from worker.errors import DeviceError

NAMES = ("album/a.png", "album/b.png", "c.png")


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Make a place with three results and a scan that waits."""
    config = Config().beside(tmp_path)
    make_folders(config.folders.values())
    with Ledger(config.state / LEDGER_FILE) as ledger:
        for number, name in enumerate((*NAMES, "waiting.png")):
            path = PurePosixPath(name)
            ledger.enqueue(path, f"{number:064}", FileStat(1, 1, number, 1), path, 0.0)
        for job in ledger.claim(len(NAMES), 0.0, in_flight=0):
            ledger.finish(job.id, model="1", now=float(job.id), event=f"event {job.id}")
    return config


def decisions(config: Config) -> list[Decision | None]:
    """List what stands on each result."""
    with LedgerQueries.open(config.state / LEDGER_FILE) as ledger:
        return [job.decision for job in ledger.all_jobs() if job.is_colored]


def test_a_decision_on_several_results_is_undone_at_once(config: Config) -> None:
    """By the person who made it; jobs without a result are skipped."""
    decided = review.decide(config, [1, 2, 4, 99], Decision.APPROVED, who="Ada")
    nothing = review.undo(config, "Bob")
    undone = review.undo(config, "Ada")

    assert (2, [], {1, 2}) == (decided, nothing, {one.job for one in undone})
    assert [None] * 3 == decisions(config)


def test_all_that_is_filtered_is_decided_on_if_the_count_is_as_it_was_shown(config: Config) -> None:
    """Else what the person never saw would be approved."""
    album = GalleryFilter(folder=PurePosixPath("album"))
    with pytest.raises(CountChangedError, match="no longer 1 such"):
        review.decide_filtered(config, album, 1, Decision.APPROVED, who="Ada")

    assert [None] * 3 == decisions(config)
    assert 2 == review.decide_filtered(config, album, 2, Decision.REJECTED, who="Ada", reason="dim")
    assert [Decision.REJECTED, Decision.REJECTED, None] == decisions(config)


def test_two_reviewers_are_given_different_results(config: Config) -> None:
    """Until a claim ends; who asks for a certain one is told who has it."""
    first = review.claim_next(config, EVERYTHING, Order.OLDEST, None, who="Ada")
    second = review.claim_next(config, EVERYTHING, Order.OLDEST, None, who="Bob")
    third = review.claim_next(config, EVERYTHING, Order.OLDEST, 2, who="Bob")

    assert [1, 2, 3] == [job and job.id for job in (first, second, third)]
    assert "Ada" == review.claim(config, 1, who="Bob")
    assert review.claim(config, 2, who="Bob") is None
    assert review.claim(config, 99, who="Bob") is None


def test_a_note_needs_words_and_a_result(config: Config) -> None:
    """The decision stays."""
    review.decide(config, [1], Decision.FLAGGED, who="Ada")

    assert review.add_note(config, 1, "ask the family", who="Bob")
    assert not review.add_note(config, 4, "not colored", who="Bob")
    with pytest.raises(ValueError, match="the note is empty"):
        review.add_note(config, 1, " ", who="Bob")
    assert Decision.FLAGGED == decisions(config)[0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"who": " "}, "name of who decides is missing"),
        ({"who": "x" * 101}, "name is longer than 100"),
        ({"who": "Ada", "reason": "x" * 501}, "reason is longer than 500"),
        ({"who": "Ada", "note": "x" * 10_001}, "note is longer than 10000"),
    ],
)
def test_words_that_no_sidecar_should_have_are_refused(
    config: Config, words: dict[str, str], said: str
) -> None:
    """Nothing is decided then."""
    with pytest.raises(ValueError, match=said):
        review.decide(config, [1], Decision.APPROVED, **words)

    assert [None] * 3 == decisions(config)


def test_before_anything_was_colored_there_is_nothing_to_decide(tmp_path: Path) -> None:
    """And no ledger is made."""
    config = Config().beside(tmp_path)

    assert 0 == review.decide(config, [1], Decision.APPROVED, who="Ada")
    assert 0 == review.decide_filtered(config, EVERYTHING, 0, Decision.APPROVED, who="Ada")
    with pytest.raises(CountChangedError):
        review.decide_filtered(config, EVERYTHING, 3, Decision.APPROVED, who="Ada")
    assert [] == review.undo(config, "Ada")
    assert not review.add_note(config, 1, "words", who="Ada")
    assert review.claim_next(config, EVERYTHING, Order.NEWEST, None, who="Ada") is None
    assert review.claim(config, 1, who="Ada") is None
    assert not config.state.exists()


def test_results_are_found_as_people_name_them(config: Config) -> None:
    """By number, file or folder; what has no result is refused, and nothing is found then."""
    assert [1, 2, 3] == review.results_of(config, ["album/", "3", str(config.outbox / "c.png")])
    with pytest.raises(ValueError, match=r"no result has .*: waiting\.png, gone"):
        review.results_of(config, ["album/", "waiting.png", "gone"])


def test_the_person_is_who_called_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    """The service's user decides nothing."""
    monkeypatch.setenv("SUDO_USER", "ada")
    assert "ada" == review.person()
    monkeypatch.delenv("SUDO_USER")
    assert review.person()


def test_a_ledger_that_an_older_daemon_uses_is_not_upgraded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could not read it any more."""
    config = Config().beside(tmp_path)
    make_folders(config.folders.values())
    with monkeypatch.context() as earlier:
        earlier.setattr(database, "MIGRATIONS", schema.MIGRATIONS[:9])
        Ledger(config.state / LEDGER_FILE).close()

    with StateLock(config.state), pytest.raises(DeviceError, match="restart that first"):
        review.decide(config, [1], Decision.APPROVED, who="Ada")
