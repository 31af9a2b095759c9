"""What the ledger knows, told without disturbing a daemon."""

import os
import socket
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import Any
from unittest.mock import Mock

import pytest

from service.config.loader import Config
from service.filesystem.file_stat import FileStat
from service.filesystem.folder_checks import make_folders
from service.filesystem.lock import StateLock
from service.ledger.jobs import JobStatus
from service.ledger.ledger import LEDGER_FILE, ActiveModel, Ledger
from service.ledger.queries import LedgerQueries
from service.monitoring.heartbeat import Heartbeat, InWork, write_heartbeat
from service.monitoring.status import (
    DaemonHealth,
    ModelStatus,
    RefusedSettings,
    RejectedPhoto,
    Status,
)
from service.monitoring.status_reader import DAY, LOCK_TIMEOUT, read_status
from worker.models.promotions import PROMOTIONS_FILE, Promotion, write_promotions

NOON = 1_800_000_000.0  # 2027-01-15T08:00:00 UTC
NEEDS_ONE = {"finished_since", "done_since", "recent_failures", "has_due"}  # argument


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Make the folders of a photochrom that was never run."""
    config = Config().beside(tmp_path)
    make_folders(config.folders.values())
    return config


@pytest.fixture
def used(config: Config, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Fill a ledger: three done (one long ago), one rejected, one put back, one waiting."""
    monkeypatch.setattr("time.time", lambda: NOON)
    with Ledger(config.state / LEDGER_FILE) as ledger:
        for n in range(6):
            path = PurePosixPath(f"album/{n}.png")
            ledger.enqueue(path, f"{n:064x}", FileStat(1, 1, n, 1), path, NOON - 100 + n)
        old, first, second, rejected, put_back, _ = ledger.claim(6, NOON, in_flight=0)
        ledger.unclaim(6, NOON)
        ledger.finish(old.id, model="1", now=NOON - DAY - 1)
        ledger.finish(first.id, model="1", now=NOON - 20)
        ledger.finish(second.id, model="2", now=NOON - 10)
        ledger.fail(rejected.id, "the file is empty (0 bytes)", NOON - 5)
        ledger.back_off(put_back.id, "[Errno 28] No space left on device", NOON + 60)
    return config


def test_a_photochrom_that_was_never_run_has_a_status(config: Config) -> None:
    """Nothing is made by asking, not even a ledger."""
    status = read_status(config)

    assert {"queued": 0, "started": 0, "finished": 0, "failed": 0} == status.jobs
    assert status.running is None
    assert status.oldest_waiting is None
    assert () == status.rejected
    assert [] == list(config.state.iterdir())


def test_not_even_the_folders_need_to_be_there(tmp_path: Path) -> None:
    """Before the first run there are none."""
    status = read_status(Config().beside(tmp_path))

    assert status.jobs
    assert 0 == sum(status.jobs.values())
    assert [] == list(tmp_path.iterdir())


def test_the_status_tells_how_the_work_stands(used: Config) -> None:
    """What is done, what waits, why, and what was rejected."""
    status = read_status(used)

    assert {"queued": 2, "started": 0, "finished": 3, "failed": 1} == status.jobs
    assert 2 == status.finished_last_24h
    assert NOON - 96 == status.oldest_waiting
    assert "[Errno 28] No space left on device" == status.waiting_for
    assert model("2", "builtin") == status.model
    rejected = RejectedPhoto(
        job=4,
        path=PurePosixPath("album/3.png"),
        reason="the file is empty (0 bytes)",
        at=NOON - 5,
        where=None,
        to_be_colored_again=False,
    )
    assert (rejected,) == status.rejected


def test_the_status_names_a_running_daemon(config: Config) -> None:
    """As long as it holds the lock."""
    with StateLock(config.state):
        status = read_status(config)
        assert f"process {os.getpid()} on {socket.gethostname()}" == status.running
        assert f"pid {os.getpid()}" == status.owner
    assert read_status(config).running is None


def model(serving: str, promoted: str, refused_because: str | None = None) -> ModelStatus:
    """Give which versions are active and promoted."""
    return ModelStatus(serving=serving, promoted=promoted, refused_because=refused_because)


class TestTheModel:
    """Which version serves, which is promoted, and why they are not the same."""

    @pytest.fixture(autouse=True)
    def _promoted(self, used: Config) -> None:
        """Promote version 4; the daemon that ran last had refused it and used version 3."""
        used.models_folder.mkdir()
        promotion = Promotion("4", "2027-01-15T07:00:00+00:00", "it is better")
        write_promotions(used.models_folder, [promotion])
        with Ledger(used.state / LEDGER_FILE) as ledger:
            ledger.record_active_model(ActiveModel("3", "4", "all probes are nearly gray"))

    def test_a_running_daemon_says_what_serves(self, used: Config) -> None:
        """Before the first photo is finished by it."""
        with StateLock(used.state):
            found = read_status(used).model

        assert model("3", "4", "all probes are nearly gray") == found

    def test_without_a_daemon_the_last_photo_does(self, used: Config) -> None:
        """It was version 2."""
        assert "2" == read_status(used).model.serving

    def test_a_refusal_is_of_one_promotion(self, used: Config) -> None:
        """When another version is promoted it says nothing."""
        promotion = Promotion("5", "2027-01-15T07:30:00+00:00", "it is better still")
        write_promotions(used.models_folder, [promotion])
        with StateLock(used.state):
            found = read_status(used).model

        assert model("3", "5") == found

    def test_a_damaged_history_is_told(self, used: Config) -> None:
        """With all the rest; nothing is promoted then as far as anyone knows."""
        (used.models_folder / PROMOTIONS_FILE).write_text("[")
        status = read_status(used)

        assert status.model.promoted is None
        assert "active version is unknown" in str(status.model.refused_because)
        assert status.jobs
        assert 3 == status.jobs[JobStatus.FINISHED]


def test_room_is_told_of_folders_that_are_there(config: Config) -> None:
    """The disk under a folder that is away has nothing to say."""
    config.outbox.rmdir()
    free = read_status(config).free

    assert set(config.folders) - {"outbox"} == set(free)
    assert all(0 < size for size in free.values())


def test_files_that_are_no_photos_are_named(config: Config) -> None:
    """So that nobody waits for them."""
    (config.inbox / "notes.txt").touch()
    (config.inbox / "photo.png").touch()

    assert (config.inbox / "notes.txt",) == read_status(config).left_alone


def test_a_settings_file_is_only_told_of_when_it_has_mistakes(config: Config) -> None:
    """With them, and with the scans that wait for it; it is no noise among what is left alone."""
    for name in ("good", "bad/deep"):
        (config.inbox / name).mkdir(parents=True)
    (config.inbox / "good/photochrom.yaml").write_text("even_if_colored: true\n")
    (config.inbox / "bad/photochrom.yaml").write_text("vivid: 3\n")
    (config.inbox / "bad/photochrom.yaml.problems.txt").touch()
    for name in ("bad/a.tif", "bad/deep/b.tif", "good/c.tif"):
        (config.inbox / name).touch()
    status = read_status(config)

    problems = ("line 1: vivid: unknown key",)
    refused = RefusedSettings(file="bad/photochrom.yaml", problems=problems, scans=2)
    assert () == status.left_alone
    assert (refused,) == status.folder_settings


def beat(**values: Any) -> Heartbeat:
    """Give the heartbeat of a daemon in this process that started 300 seconds ago."""
    known = {"time": NOON, "pid": os.getpid(), "started": NOON - 300, "health": "ok"}
    return Heartbeat(**{**known, "model": "3", "batch_size": 8, "rescanned": NOON - 5, **values})


class TestHealth:
    """What the daemon says of itself, and what it means that it says nothing."""

    @pytest.fixture(autouse=True)
    def _clock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Stand still."""
        monkeypatch.setattr("time.time", lambda: NOON)

    def test_without_a_daemon_it_is_not_running(self, config: Config) -> None:
        """Whatever the last one said."""
        write_heartbeat(config.state, beat())

        assert "not running" == read_status(config).health.level

    def test_a_daemon_says_how_it_does_and_why(self, config: Config) -> None:
        """With its heartbeat."""
        with StateLock(config.state):
            write_heartbeat(config.state, beat(health="blocked", reasons=("disk full",)))
            health = read_status(config).health

        assert (
            DaemonHealth(
                level="blocked",
                reasons=("disk full",),
                at=NOON,
                started=NOON - 300,
                batch_size=8,
            )
            == health
        )

    @pytest.mark.parametrize("pid", [None, 1])
    def test_before_its_first_heartbeat_a_daemon_starts(
        self, config: Config, pid: int | None
    ) -> None:
        """The one before may have left its own."""
        with StateLock(config.state):
            if pid:
                write_heartbeat(config.state, beat(pid=pid))
            level = read_status(config).health.level

        assert "starting" == level

    @pytest.mark.parametrize(
        ("age", "words"),
        [(61, "no heartbeat for 1 minute"), (720, "no heartbeat for 12 minutes")],
    )
    def test_an_old_heartbeat_is_no_sign_of_life(
        self, config: Config, age: float, words: str
    ) -> None:
        """However well the daemon was then; what was wrong may be why."""
        with StateLock(config.state):
            write_heartbeat(config.state, beat(time=NOON - age, reasons=("disk full",)))
            health = read_status(config).health

        assert ("silent", (words, "disk full")) == (health.level, health.reasons)

    @pytest.mark.parametrize("age", [60, -86_400])
    def test_a_late_beat_or_a_clock_that_was_set_back_is_no_silence(
        self, config: Config, age: float
    ) -> None:
        """A ledger that is locked takes it some time."""
        with StateLock(config.state):
            write_heartbeat(config.state, beat(time=NOON - age))
            level = read_status(config).health.level

        assert "ok" == level


class TestRate:
    """How fast it goes, and when all is done."""

    def asked(self, used: Config, **values: Any) -> Status:
        """Ask beside a daemon."""
        with StateLock(used.state):
            write_heartbeat(used.state, beat(**values))
            return read_status(used)

    def test_it_is_of_the_time_since_the_start(self, used: Config) -> None:
        """Three were done with in the last five minutes, one of them rejected; two are left."""
        status = self.asked(used)

        assert (36.0, 200) == (status.rate_per_hour, status.eta_seconds)

    def test_it_is_of_ten_minutes_at_most(self, used: Config) -> None:
        """What was slow yesterday says nothing of today."""
        status = self.asked(used, started=NOON - 10 * DAY)

        assert (18.0, 400) == (status.rate_per_hour, status.eta_seconds)

    @pytest.mark.parametrize(
        "values", [{"health": "blocked"}, {"health": "stalled"}, {"time": NOON - 100}]
    )
    def test_nobody_knows_when_it_is_done_while_it_does_not_go_on(
        self, used: Config, values: dict[str, Any]
    ) -> None:
        """However fast it was just now."""
        assert self.asked(used, **values).eta_seconds is None

    def test_where_nothing_is_done_nobody_knows_either(self, used: Config) -> None:
        """The start was a second ago."""
        status = self.asked(used, started=NOON - 1)

        assert (0.0, None) == (status.rate_per_hour, status.eta_seconds)

    def test_without_a_daemon_there_is_none(self, used: Config) -> None:
        """Nobody works."""
        status = read_status(used)

        assert (None, None) == (status.rate_per_hour, status.eta_seconds)


def test_what_is_in_work_is_told_with_its_time(
    used: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the ledger has it at this moment."""
    with Ledger(used.state / LEDGER_FILE) as ledger:
        ledger.claim(1, NOON, in_flight=0)
    monkeypatch.setattr("time.time", lambda: NOON + 30)
    with StateLock(used.state):
        write_heartbeat(used.state, beat())
        told = read_status(used).in_work
    alone = read_status(used).in_work

    assert (InWork(job=6, path="album/5.png", seconds=30.0),) == told
    assert () == alone  # what a daemon that was killed had in hand is in nobody's now


@pytest.fixture
def zone() -> Iterator[None]:
    """Be in Berlin, where a Sunday in March has 23 hours."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Europe/Berlin"
    time.tzset()
    yield
    os.environ.pop("TZ")
    if before:
        os.environ["TZ"] = before
    time.tzset()


@pytest.mark.usefixtures("zone")
def test_today_began_at_midnight_where_this_machine_is(
    used: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also on a day without an hour: 2027-03-28 began at 23:00 UTC, and ends at 22:00."""
    midnight, noon = 1_806_188_400.0, 1_806_188_400.0 + 11 * 3600
    with Ledger(used.state / LEDGER_FILE) as ledger:
        for moment in (midnight - 1, midnight):
            path = PurePosixPath(f"{moment}.png")
            job, _new = ledger.enqueue(path, "a", FileStat(1, 1, 1, 1), path, NOON)
            while not any(one.id == job.id for one in ledger.claim(9, noon, in_flight=0)):
                pass
            ledger.finish(job.id, model="2", now=moment)
    monkeypatch.setattr("time.time", lambda: noon)

    assert 1 == read_status(used).finished_today


class TestLedgerFault:
    """A ledger that cannot be read now."""

    def test_a_ledger_that_is_locked_is_said_and_not_waited_for(self, used: Config) -> None:
        """The heartbeat tells what it can."""
        told = beat(
            jobs={"queued": 2, "started": 1},
            oldest_waiting=NOON - 100,
            in_work=(InWork(job=6, path="album/5.png", seconds=3.0),),
        )
        with StateLock(used.state), closing(sqlite3.connect(used.state / LEDGER_FILE)) as other:
            write_heartbeat(used.state, told)
            other.execute("PRAGMA locking_mode = EXCLUSIVE")
            other.execute("BEGIN EXCLUSIVE")
            began = time.perf_counter()
            status = read_status(used)
            seconds = time.perf_counter() - began

        assert "cannot be used now: database is locked; another" in str(status.ledger_fault)
        assert {"queued": 2, "started": 1} == status.jobs
        assert NOON - 100 == status.oldest_waiting
        assert ["album/5.png"] == [one.path for one in status.in_work]
        assert "3" == status.model.serving
        assert status.finished_today is None
        assert seconds < LOCK_TIMEOUT + 1.0

    def test_without_a_heartbeat_nothing_is_known(self, used: Config) -> None:
        """And nothing is made up."""
        with closing(sqlite3.connect(used.state / LEDGER_FILE)) as other:
            other.execute("PRAGMA locking_mode = EXCLUSIVE")
            other.execute("BEGIN EXCLUSIVE")
            status = read_status(used)

        assert (None, None) == (status.jobs, status.oldest_waiting)


@pytest.mark.parametrize(
    "question",
    [
        *("finished_since", "done_since", "recent_failures", "last_model"),
        *("oldest_waiting", "started", "has_due"),
    ],
)
def test_a_million_jobs_are_asked_by_an_index(used: Config, question: str) -> None:
    """None looks at all of them; nor does that for the counts, which the ledger keeps."""
    asked: list[str] = []
    with LedgerQueries.open(used.state / LEDGER_FILE) as ledger:
        connection = ledger._database._connection
        connection.set_trace_callback(asked.append)
        getattr(ledger, question)(*([1] if question in NEEDS_ONE else []))
        connection.set_trace_callback(None)
        sql = asked[-1].replace("Inf", "9e999")
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}")]

    assert " INDEX jobs_by_" in plan[0]


def test_an_inbox_that_cannot_be_read_hides_nothing_else(
    used: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left alone in it is not known then."""
    fault = OSError(5, "Input/output error")
    monkeypatch.setattr("service.monitoring.status_reader.find_left_alone", Mock(side_effect=fault))
    status = read_status(used)

    assert status.left_alone is None
    assert status.jobs
    assert 3 == status.jobs[JobStatus.FINISHED]
