"""Promises of service.status: what the ledger knows, told without disturbing a daemon."""

import io
import json
from pathlib import Path, PurePosixPath

import pytest
from rich.console import Console

from service.config import Config
from service.folders import make_folders
from service.ledger import LEDGER_FILE, Ledger, Serving
from service.lock import StateLock
from service.stability import Snapshot
from service.status import DAY, print_status, read_status
from worker.promotions import PROMOTIONS_FILE, Promotion, write_promotions

NOON = 1_800_000_000.0  # 2027-01-15T08:00:00 UTC


@pytest.fixture
def config(tmp_path: Path) -> Config:
    """Make the folders of a photochrom that was never run."""
    config = Config().beside(tmp_path)
    make_folders(config.folders.values())
    return config


@pytest.fixture
def used(config: Config, monkeypatch: pytest.MonkeyPatch) -> Config:
    """Fill a ledger: three done (one long ago), one rejected, one held up, one waiting."""
    monkeypatch.setattr("time.time", lambda: NOON)
    with Ledger(config.state / LEDGER_FILE) as ledger:
        for n in range(6):
            path = PurePosixPath(f"album/{n}.png")
            ledger.enqueue(path, f"{n:064x}", Snapshot(1, 1, n, 1), path, NOON - 100 + n)
        old, first, second, rejected, held_up, _ = ledger.claim(6, NOON, in_flight=0)
        ledger.release(6, NOON)
        ledger.finish(old.id, model="1", now=NOON - DAY - 1)
        ledger.finish(first.id, model="1", now=NOON - 20)
        ledger.finish(second.id, model="2", now=NOON - 10)
        ledger.fail(rejected.id, "the file is empty (0 bytes)", NOON - 5)
        ledger.wait(held_up.id, "[Errno 28] No space left on device", NOON + 60)
    return config


def test_a_photochrom_that_was_never_run_has_a_status(config: Config) -> None:
    """Nothing is made by asking, not even a ledger."""
    status = read_status(config)

    assert {"queued": 0, "started": 0, "finished": 0, "failed": 0} == status["jobs"]
    assert status["running"] is None
    assert status["oldest_waiting"] is None
    assert [] == status["rejected"]
    assert [] == list(config.state.iterdir())


def test_not_even_the_folders_need_to_be_there(tmp_path: Path) -> None:
    """Before the first run there are none."""
    status = read_status(Config().beside(tmp_path))

    assert 0 == sum(status["jobs"].values())
    assert [] == list(tmp_path.iterdir())


def test_the_status_tells_how_the_work_stands(used: Config) -> None:
    """What is done, what waits, why, and what was rejected."""
    status = read_status(used)

    assert {"queued": 2, "started": 0, "finished": 3, "failed": 1} == status["jobs"]
    assert 2 == status["finished_last_24h"]
    assert "2027-01-15T07:58:24+00:00" == status["oldest_waiting"]
    assert "[Errno 28] No space left on device" == status["waiting_for"]
    assert {"serving": "2", "promoted": "builtin", "refused_because": None} == status["model"]
    assert [
        {
            "job": 4,
            "path": "album/3.png",
            "reason": "the file is empty (0 bytes)",
            "at": "2027-01-15T07:59:55+00:00",
        }
    ] == status["rejected"]


def test_the_status_can_be_printed_as_json(used: Config) -> None:
    """With names and texts, no Python objects."""
    status = read_status(used)

    assert status == json.loads(json.dumps(status))


def test_the_status_names_a_running_daemon(config: Config) -> None:
    """As long as it holds the lock."""
    with StateLock(config.state):
        assert "process" in read_status(config)["running"]
    assert read_status(config)["running"] is None


class TestTheModel:
    """Which version serves, which is promoted, and why they are not the same."""

    @pytest.fixture(autouse=True)
    def _promoted(self, used: Config) -> None:
        """Promote version 4; the daemon that ran last had refused it and used version 3."""
        used.models_folder.mkdir()
        promotion = Promotion("4", "2027-01-15T07:00:00+00:00", "it is better")
        write_promotions(used.models_folder, [promotion])
        with Ledger(used.state / LEDGER_FILE) as ledger:
            ledger.serve(Serving("3", "4", "all probes are nearly gray"))

    def test_a_running_daemon_says_what_serves(self, used: Config) -> None:
        """Before the first photo is finished by it."""
        with StateLock(used.state):
            model = read_status(used)["model"]

        assert {
            "serving": "3",
            "promoted": "4",
            "refused_because": "all probes are nearly gray",
        } == model

    def test_without_a_daemon_the_last_photo_does(self, used: Config) -> None:
        """It was version 2."""
        assert "2" == read_status(used)["model"]["serving"]

    def test_a_refusal_is_of_one_promotion(self, used: Config) -> None:
        """When another version is promoted it says nothing."""
        promotion = Promotion("5", "2027-01-15T07:30:00+00:00", "it is better still")
        write_promotions(used.models_folder, [promotion])
        with StateLock(used.state):
            model = read_status(used)["model"]

        assert {"serving": "3", "promoted": "5", "refused_because": None} == model

    def test_a_damaged_history_is_told(self, used: Config) -> None:
        """With all the rest; nothing is promoted then as far as anyone knows."""
        (used.models_folder / PROMOTIONS_FILE).write_text("[")
        status = read_status(used)

        assert status["model"]["promoted"] is None
        assert "does not tell which version serves" in status["model"]["refused_because"]
        assert 3 == status["jobs"]["finished"]

    def test_a_person_reads_it_in_a_line(self, used: Config) -> None:
        """With the reason."""
        page = io.StringIO()
        with StateLock(used.state):
            print_status(read_status(used), Console(file=page, width=120))

        assert "3; 4 is promoted; refused: all probes are nearly gray" in page.getvalue()


def test_files_that_are_no_photos_are_named(config: Config) -> None:
    """So that nobody waits for them."""
    (config.inbox / "notes.txt").touch()
    (config.inbox / "photo.png").touch()

    assert [str(config.inbox / "notes.txt")] == read_status(config)["left_alone"]


def test_a_person_reads_the_same(used: Config) -> None:
    """In words, and brackets in names are no markup."""
    (used.inbox / "[red]notes[bold].txt").touch()
    page = io.StringIO()
    print_status(read_status(used), Console(file=page, width=120))
    text = page.getvalue()

    assert "photochrom is not running" in text
    assert "3  (2 in the last 24 hours)" in text
    assert "No space left on device" in text
    assert "job 4, album/3.png: the file is empty (0 bytes)" in text
    assert "[red]notes[bold].txt" in text
