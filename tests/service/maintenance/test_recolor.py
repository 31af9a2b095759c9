"""Which photos are queued again, and why the others are not."""

import io
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from service.config.loader import Config
from service.config.sections import Model, Output
from service.filesystem.file_stat import FileStat
from service.filesystem.folder_checks import make_folders
from service.filesystem.lock import StateLock
from service.ledger.jobs import JobStatus
from service.ledger.ledger import LEDGER_FILE, Ledger
from service.ledger.queries import LedgerQueries
from service.maintenance.recolor import age, inside_inbox, print_recoloring, queue_again
from worker.errors import DeviceError
from worker.models.promotions import Promotion, write_promotions

PHOTOS = {  # path: version
    "a.tif": "builtin",
    "1931/b.tif": "1",
    "1931/may/c.tif": "2",
    "1931b/d.tif": "10",
    "1932/e.tif": "odd",
}


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Make a place where photos were colored by five versions, and version 2 serves."""
    config = Config().beside(tmp_path)
    make_folders(config.folders.values())
    with Ledger(config.state / LEDGER_FILE) as ledger:
        for number, (name, version) in enumerate(PHOTOS.items()):
            path = PurePosixPath(name)
            job, _ = ledger.enqueue(path, f"{number:064}", FileStat(1, 1, number, 1), path, 0.0)
            ledger.claim(1, 0.0, in_flight=0)
            ledger.finish(job.id, model=version, now=1.0)
        waiting = PurePosixPath("1931/waiting.tif")
        ledger.enqueue(waiting, "f" * 64, FileStat(1, 1, 9, 1), waiting, 0.0)
    config.models_folder.mkdir()
    write_promotions(
        config.models_folder, [Promotion("2", datetime.now(UTC).isoformat(), "it is better")]
    )
    return config


def queued(config: Config) -> list[str]:
    """List what is queued to be colored again."""
    with Ledger(config.state / LEDGER_FILE) as ledger:
        return [
            str(job.path)
            for job in ledger.queries.colored()
            if (job.status, job.recolor) == (JobStatus.QUEUED, True)
        ]


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        (["1"], ["a.tif"]),
        (["3"], ["1931/may/c.tif"]),  # whatever version colored it
        (["1931/may/c.tif", "a.tif"], ["a.tif", "1931/may/c.tif"]),
        (["1931"], ["1931/b.tif"]),  # those that another version colored than the one that serves
        (["{outbox}/1931b/d.tif", "{originals}/1932/e.tif"], ["1931b/d.tif", "1932/e.tif"]),
        (["{outbox}/a.tif.json"], ["a.tif"]),
        (["{inbox}"], ["a.tif", "1931/b.tif", "1931b/d.tif", "1932/e.tif"]),
    ],
)
def test_jobs_files_and_folders_are_understood(
    config: Config, chosen: list[str], names: list[str]
) -> None:
    """Wherever the file lies; nothing else is queued."""
    folders = {
        "inbox": config.inbox, "outbox": config.outbox, "originals": config.originals.folder
    }  # fmt: skip
    found = queue_again(config, chosen=[one.format(**folders) for one in chosen])

    assert len(names) == found.queued
    assert names == queued(config)


def test_where_a_name_means_no_photo_nothing_is_queued(config: Config) -> None:
    """A slip of the finger may not have half of it done."""
    with pytest.raises(ValueError, match=r"path: nothing\.tif, 77"):
        queue_again(config, chosen=["1", "nothing.tif", "77"])

    assert [] == queued(config)


def test_all_that_another_version_colored_is_queued(config: Config) -> None:
    """Earlier or later; what the serving one colored is counted as skipped."""
    found = queue_again(config)

    assert (4, {"already colored by version 2, the one in use": 1}) == found
    assert ["a.tif", "1931/b.tif", "1931b/d.tif", "1932/e.tif"] == queued(config)


@pytest.mark.parametrize(
    ("version", "names"),
    [
        ("builtin", ["1932/e.tif"]),
        ("1", ["a.tif", "1932/e.tif"]),
        ("promoted", ["a.tif", "1931/b.tif", "1932/e.tif"]),
        ("10", ["a.tif", "1931/b.tif", "1931/may/c.tif", "1932/e.tif"]),
        ("11", list(PHOTOS)),
    ],
)
def test_older_than_a_version_is_by_number(config: Config, version: str, names: list[str]) -> None:
    """The built-in one is the oldest, what is unknown is older still; ten comes after two."""
    found = queue_again(config, older_than=version)

    assert len(names) == found.queued
    assert sorted(names) == sorted(queued(config))
    assert len(PHOTOS) - len(names) == sum(found.skipped.values())


def test_only_photos_in_a_folder_are_queued(config: Config) -> None:
    """And its sub-folders; a folder whose name begins alike is another."""
    found = queue_again(config, older_than="11", folder=PurePosixPath("1931"))

    assert (2, {}) == found
    assert ["1931/b.tif", "1931/may/c.tif"] == queued(config)


def test_many_are_queued_in_small_portions(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a daemon is never locked out of the ledger for long; none is forgotten."""
    monkeypatch.setattr("service.maintenance.recolor.PORTION", 2)
    portions: list[int] = []
    whole = Ledger.recolor

    def noting(ledger: Ledger, job_ids: list[int], now: float, *, repair: bool) -> int:
        portions.append(len(job_ids))
        return whole(ledger, job_ids, now, repair=repair)

    monkeypatch.setattr(Ledger, "recolor", noting)

    assert 5 == queue_again(config, older_than="11").queued
    assert [2, 2, 1] == portions


def test_a_dry_run_changes_nothing(config: Config) -> None:
    """It counts the same."""
    dry = queue_again(config, older_than="2", dry_run=True)

    assert [] == queued(config)
    assert dry == queue_again(config, older_than="2")


def test_what_is_queued_is_not_queued_twice(config: Config) -> None:
    """It is counted with that reason."""
    queue_again(config, older_than="1")

    assert (0, {"already queued": 2}) == (
        queue_again(config, older_than="1").queued,
        {
            reason: count
            for reason, count in queue_again(config, older_than="1").skipped.items()
            if "queued" in reason
        },
    )


def test_what_failed_to_be_colored_again_is_queued_once_more(config: Config) -> None:
    """Its original may be back."""
    queue_again(config, older_than="builtin")
    with Ledger(config.state / LEDGER_FILE) as ledger:
        ledger.fail(5, "the original is gone", 2.0)

    assert 1 == queue_again(config, older_than="builtin").queued
    assert ["1932/e.tif"] == queued(config)


def test_the_version_the_configuration_fixes_is_the_one_that_serves(config: Config) -> None:
    """Whatever is promoted."""
    fixed = config.model_copy(update={"model": Model(version=10)})
    found = queue_again(fixed)

    assert {"already colored by version 10, the one in use": 1} == found.skipped


def test_photos_whose_container_would_change_are_left(config: Config) -> None:
    """A JPEG must not come out under the name of a TIFF."""
    other = config.model_copy(update={"output": Output(format="jpeg")})
    found = queue_again(other, older_than="11")

    assert (0, {"delivered as .tif, but output.format now produces another format": 5}) == found


def test_where_nothing_was_colored_there_is_nothing_to_queue(tmp_path: Path) -> None:
    """No ledger is made by asking."""
    config = Config().beside(tmp_path)

    assert (0, {}) == queue_again(config)
    assert [] == list(tmp_path.iterdir())


def test_a_ledger_that_an_older_daemon_uses_is_not_changed(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its form would change under the daemon's hands."""
    monkeypatch.setattr(LedgerQueries, "outdated", True)
    with StateLock(config.state), pytest.raises(DeviceError, match="restart that first"):
        queue_again(config, older_than="11")
    monkeypatch.undo()

    assert [] == queued(config)


def test_a_running_daemon_of_today_is_no_hindrance(config: Config) -> None:
    """It takes up what is queued."""
    with StateLock(config.state):
        assert 5 == queue_again(config, older_than="11").queued


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_versions_are_ordered_by_number(one: int, other: int) -> None:
    """After the built-in one, which comes after what is unknown."""
    assert (one < other) == (age(str(one)) < age(str(other)))
    assert age(None) == age("fake") < age("builtin") < age(str(one))


def test_a_folder_is_named_from_the_inbox_or_in_full(config: Config) -> None:
    """It need not exist any more; outside the inbox there are no photos."""
    assert PurePosixPath("1931/may") == inside_inbox(Path("1931/may"), config)
    assert PurePosixPath("1931") == inside_inbox(config.inbox / "1931", config)
    for outside in (config.outbox / "1931", Path("../outbox"), config.inbox / "../outbox"):
        with pytest.raises(ValueError, match="inbox"):
            inside_inbox(outside, config)


def test_a_person_reads_how_many_and_why_not(config: Config) -> None:
    """One line each."""
    page = io.StringIO()
    console = Console(file=page, width=100)
    print_recoloring(queue_again(config, dry_run=True), console, dry_run=True)
    print_recoloring(queue_again(config), console, dry_run=False)

    assert [
        "would be queued: 4",
        "skipped: 1 (already colored by version 2, the one in use)",
        "queued: 4",
        "skipped: 1 (already colored by version 2, the one in use)",
    ] == page.getvalue().splitlines()
