"""Promises of service.daemon.daemon, with real folders and a real ledger, and a fake device."""

import contextlib
import errno
import io
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from service.config.loader import Config
from service.config.sections import Batching, Originals, Retry, Stop, Watch
from service.daemon.daemon import Daemon
from service.daemon.model_updates import ModelWatch
from service.filesystem import safe_open
from service.filesystem.folder_checks import make_folders
from service.ledger.jobs import JobStatus
from service.ledger.ledger import LEDGER_FILE, ActiveModel, Ledger
from service.ledger.queries import LedgerQueries
from service.maintenance.recolor import queue_again
from service.pipeline import reading
from service.storage import moves
from service.storage.moves import Departure
from service.watch import observer
from service.watch.stability import Rest, StableFile
from tests.support.fakes import FakeColorist, FakeLoader, rendering
from tests.support.folder_listing import files
from tests.support.synthetic_photos import Array, color_scene, gray_scene, save
from tests.support.waiting import wait_until
from worker.errors import DeviceError, ModelError, SourceChanged
from worker.metadata.provenance import Record
from worker.models.promotions import Promotion, write_promotions

HASTE = {
    "watch": Watch(settle=0.0, incomplete_timeout=0.0),
    "batch": Batching(longest_wait=0.0),
    "retry": Retry(attempts=2, first_wait=0.05, longest_wait=0.1),
    "stop": Stop(within=10.0),
}


AT_REST = Rest(60.0, closed=True)


class Place:
    """Folders of one photochrom, and daemons that work there one after the other."""

    def __init__(self, folder: Path) -> None:
        """Make the folders."""
        self.folder = folder
        self.config = self.configured()
        make_folders(self.config.folders.values())
        self.colorist = FakeColorist()
        self.loader: FakeLoader | None = None  # with one, a promoted version is taken up
        self.daemons: list[Daemon] = []

    def configured(self, **sections: Any) -> Config:
        """Give a hasty configuration of these folders."""
        return Config(**{**HASTE, **sections}).beside(self.folder)

    def drop(self, name: str, pixels: Array | None = None) -> Path:
        """Put a scan in the inbox."""
        path = self.config.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return save(path, gray_scene(24, 32) if pixels is None else pixels)

    def daemon(self, *, once: bool = False) -> Daemon:
        """Make a daemon that is not started."""
        models = None
        if self.loader:
            serving = ActiveModel(self.colorist.model)
            models = ModelWatch(self.config.models_folder, self.loader, serving)
        self.daemons.append(Daemon(self.config, self.colorist, models, once=once))
        return self.daemons[-1]

    def promote(self, version: str) -> None:
        """Promote a version for the fake loader."""
        assert self.loader
        self.loader.version = version
        self.config.models_folder.mkdir(exist_ok=True)
        write_promotions(
            self.config.models_folder, [Promotion(version, "2027-01-15T08:00:00+00:00", "a test")]
        )

    def models(self) -> list[str | None]:
        """List which versions colored the finished photos, in the order of their jobs."""
        with LedgerQueries.open(self.config.state / LEDGER_FILE) as ledger:
            return [job.model for job in ledger.colored()]

    def run_once(self) -> Daemon:
        """Have all that waits done."""
        daemon = self.daemon(once=True)
        assert daemon.run()
        return daemon

    def crash(self, daemon: Daemon) -> None:
        """End a daemon as a kill does: nothing is given back, nothing is finished."""
        daemon.watcher.stop()
        daemon.ledger.close()
        daemon.pipeline.close()
        self.daemons.remove(daemon)

    def files(self) -> dict[str, list[str]]:
        """List what is in each folder of photos."""
        folders = [
            self.config.inbox,
            self.config.outbox,
            self.config.originals.folder,
            self.config.rejected,
        ]
        return {folder.name: files(folder) for folder in folders}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """Make the folders; afterwards end what a test left running, and give the signals back."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    made = Place(tmp_path)
    yield made
    made.colorist.gate.set()
    if made.loader:
        made.loader.gate.set()
    for daemon in made.daemons:
        daemon.watcher.stop()
        daemon.pipeline.close()
        daemon.ledger.close()
    for number, handler in before.items():
        signal.signal(number, handler)


def stepping(daemon: Daemon, condition: Callable[[], bool]) -> None:
    """Step until a condition holds."""

    def step() -> bool:
        daemon.step(time.monotonic(), time.time())
        return condition()

    wait_until(step)


class TestOnce:
    """All that waits is done, then it ends by itself."""

    def test_the_backlog_is_taken_by_the_start_up_scan(self, place: Place) -> None:
        """Whatever was dropped while no daemon ran, in every sub-folder."""
        names = ["a.png", "sub/b.png", "sub/deep/c.png"]
        for n, name in enumerate(names):
            place.drop(name, gray_scene(24, 32, seed=n))
        daemon = place.run_once()

        assert {"inbox": [], "outbox": names, "originals": names, "rejected": []} == place.files()
        assert 3 == daemon.pipeline.tally.finished
        assert not daemon.work_left

    def test_an_empty_inbox_ends_at_once(self, place: Place) -> None:
        """There is nothing to wait for."""
        daemon = place.run_once()

        assert 0 == daemon.pipeline.tally.finished
        assert not daemon.work_left

    def test_a_machine_that_does_not_heal_is_not_waited_for(self, place: Place) -> None:
        """After as many waits as a photo has attempts it ends, and says that photos were left."""
        place.colorist.paint_faults.extend(
            OSError(28, "No space left on device") for _ in range(20)
        )
        place.drop("a.png")
        daemon = place.run_once()

        assert daemon.work_left
        assert {"inbox": ["a.png"], "outbox": [], "originals": [], "rejected": []} == place.files()

        place.colorist.paint_faults.clear()
        place.run_once()

        assert {
            "inbox": [],
            "outbox": ["a.png"],
            "originals": ["a.png"],
            "rejected": [],
        } == place.files()

    @pytest.mark.parametrize("content", [b"", None])
    def test_a_file_that_is_not_whole_counts_as_left(
        self, place: Place, content: bytes | None
    ) -> None:
        """Its rest may come; it is rejected by a run that finds it at rest for long."""
        place.config = place.configured(watch=Watch(settle=0.0, incomplete_timeout=3600.0))
        path = place.drop("a.png")
        path.write_bytes(path.read_bytes()[:-20] if content is None else content)
        with capture_logs() as logs:
            daemon = place.run_once()

        assert daemon.work_left
        assert ["a.png"] == place.files()["inbox"]
        assert [] == place.files()["rejected"]
        assert "photo.arriving" in [entry["event"] for entry in logs]
        assert {0} == set(LedgerQueries.open(place.config.state / LEDGER_FILE).counts().values())

        place.config = place.configured(watch=Watch(settle=0.0, incomplete_timeout=0.0))
        assert 1 == place.run_once().counters.rejected

    def test_originals_that_cannot_be_moved_count_as_left(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The photo is delivered, but the inbox is not empty, and the caller learns it."""

        def refuse(*_: Any, **__: Any) -> Departure:
            raise OSError(30, "Read-only file system")

        monkeypatch.setattr(moves, "archive", refuse)
        place.drop("a.png")
        daemon = place.run_once()

        assert daemon.work_left
        assert ["a.png"] == place.files()["inbox"]
        assert ["a.png"] == place.files()["outbox"]

        monkeypatch.undo()
        daemon = place.run_once()

        assert not daemon.work_left
        assert {
            "inbox": [],
            "outbox": ["a.png"],
            "originals": ["a.png"],
            "rejected": [],
        } == place.files()

    def test_progress_is_told_in_photos(self, place: Place) -> None:
        """Done and of all, for a progress bar."""
        told: list[tuple[float, float, str]] = []
        place.drop("a.png")
        place.drop("color.png", color_scene(64, 64))
        daemon = Daemon(
            place.config, place.colorist, once=True, report=lambda *words: told.append(words)
        )
        place.daemons.append(daemon)
        daemon.run()

        assert (2, 2, "") == told[-1]


class TestTake:
    """Which stable file becomes which job."""

    def test_the_same_file_seen_twice_is_one_job(self, place: Place) -> None:
        """Also when it was touched in between."""
        path = place.drop("a.png")
        daemon = place.daemon()
        for _ in range(2):
            looks = safe_open.file_stat(path)
            assert looks is not None
            daemon.intake.take([StableFile(path, looks, AT_REST)], time.monotonic(), time.time())
            path.touch()

        assert 1 == sum(daemon.ledger.queries.counts().values())

    def test_a_finished_photo_that_is_dropped_again_is_archived_and_not_colored_again(
        self, place: Place
    ) -> None:
        """Beside the first original, which is not overwritten."""
        place.drop("a.png")
        place.run_once()
        place.drop("a.png")
        daemon = place.run_once()

        assert 0 == daemon.pipeline.tally.finished
        assert {
            "inbox": [],
            "outbox": ["a.png"],
            "originals": ["a (2).png", "a.png"],
            "rejected": [],
        } == place.files()

    def test_the_same_content_under_another_name_is_its_own_job_and_says_so(
        self, place: Place
    ) -> None:
        """Both are delivered; the log names the earlier job."""
        place.drop("a.png")
        place.run_once()
        place.drop("b.png")
        with capture_logs() as logs:
            place.run_once()

        assert ["a.png", "b.png"] == place.files()["outbox"]
        assert [1] == [
            entry["same_content_as"] for entry in logs if "photo.queued" == entry["event"]
        ]

    def test_another_photo_of_the_same_name_gets_another_name(self, place: Place) -> None:
        """The photo that was delivered first is not overwritten."""
        place.drop("a.png", gray_scene(24, 32))
        place.run_once()
        first = (place.config.outbox / "a.png").read_bytes()
        digest = safe_open.digest(place.drop("a.png", gray_scene(48, 64)))
        place.run_once()

        assert ["a.png", f"a.{digest[:8]}.png"] == sorted(place.files()["outbox"], key=len)
        assert first == (place.config.outbox / "a.png").read_bytes()
        assert place.files()["outbox"] == place.files()["originals"]

    def test_a_strangers_file_in_the_outbox_is_not_overwritten(self, place: Place) -> None:
        """Not even when the ledger knows nothing of it."""
        (place.config.outbox / "a.png").write_text("not ours")
        digest = safe_open.digest(place.drop("a.png"))
        place.run_once()

        assert "not ours" == (place.config.outbox / "a.png").read_text()
        assert (place.config.outbox / f"a.{digest[:8]}.png").exists()

    def test_a_rejected_photo_that_is_dropped_again_is_tried_again(self, place: Place) -> None:
        """Whoever drops it again wants that; the first rejected one is not overwritten."""
        for _ in range(2):
            place.drop("color.png", color_scene(64, 64))
            daemon = place.run_once()
            assert 1 == daemon.pipeline.tally.rejected

        assert [
            "color (2).png",
            "color (2).png.reason.txt",
            "color.png",
            "color.png.reason.txt",
        ] == (place.files()["rejected"])

    def test_kept_originals_are_colored_once(self, place: Place) -> None:
        """With `after: keep` every start sees them again, and leaves them alone."""
        place.config = place.configured(originals=Originals(after="keep"))
        place.drop("a.png")
        finished = [place.run_once().pipeline.tally.finished for _ in range(2)]

        assert [1, 0] == finished
        assert ["a.png"] == place.files()["inbox"]

    def test_a_kept_scan_that_was_rejected_is_tried_again_when_it_changes(
        self, place: Place
    ) -> None:
        """Not at each start, nor when another program has only looked at it."""
        place.config = place.configured(originals=Originals(after="keep"))
        path = place.drop("color.png", color_scene(24, 32))
        place.drop("gray.png")
        tallies = [place.run_once().pipeline.tally for _ in range(2)]

        assert [(1, 1), (0, 0)] == [(tally.finished, tally.rejected) for tally in tallies]

        save(path, gray_scene(24, 32, seed=3))
        os.utime(path, (1.5e9, 1.5e9))

        assert 1 == place.run_once().pipeline.tally.finished
        assert ["color.png", "gray.png"] == place.files()["inbox"] == place.files()["outbox"]
        assert [] == place.files()["rejected"]

    def test_a_kept_scan_that_was_away_for_a_moment_is_not_taken_for_rejected(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Its job failed, but nobody judged the scan."""
        place.config = place.configured(originals=Originals(after="keep"))
        place.drop("a.png")
        gone = FileNotFoundError(errno.ENOENT, "gone")
        read, faults = reading.open_source, [SourceChanged(gone)]

        def away_at_first(*arguments: Any, **keywords: Any) -> Any:
            if faults:
                raise faults.pop()
            return read(*arguments, **keywords)

        monkeypatch.setattr(reading, "open_source", away_at_first)

        assert 1 == place.run_once().pipeline.tally.finished

    @pytest.mark.parametrize("year", [1970, 2099])
    def test_a_file_from_another_time_is_taken_like_any_other(
        self, place: Place, year: int
    ) -> None:
        """Cameras, scanners and copies have clocks of their own."""
        path = place.drop("a.png")
        os.utime(path, ((year - 1970) * 365.25 * 86_400,) * 2)
        place.run_once()

        assert ["a.png"] == place.files()["outbox"] == place.files()["originals"]

    def test_a_file_that_is_gone_again_is_no_job(self, place: Place) -> None:
        """Nor a fault."""
        path = place.drop("a.png")
        looks = safe_open.file_stat(path)
        path.unlink()
        daemon = place.daemon()
        assert looks is not None
        daemon.intake.take([StableFile(path, looks, AT_REST)], time.monotonic(), time.time())

        assert 0 == sum(daemon.ledger.queries.counts().values())

    def test_a_file_that_cannot_be_read_now_is_taken_later(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A fault of the disk ends neither the daemon nor the photo."""
        faults: list[OSError] = [OSError(5, "Input/output error")]
        digest_of = safe_open.digest_of

        def failing(file: io.FileIO) -> str:
            if faults:
                raise faults.pop()
            return digest_of(file)

        monkeypatch.setattr("service.pipeline.intake.digest_of", failing)
        place.drop("a.png")
        with capture_logs() as logs:
            place.run_once()

        assert ["a.png"] == place.files()["outbox"]
        assert "daemon.held_up" in [entry["event"] for entry in logs]


class TestWatching:
    """While the daemon runs."""

    def test_a_photo_that_arrives_is_done(self, place: Place) -> None:
        """Announced by the system, without a rescan."""
        daemon = place.daemon()
        daemon.startup()
        daemon.step(time.monotonic(), time.time())
        place.drop("sub/a.png")
        stepping(daemon, lambda: ["sub/a.png"] == place.files()["originals"])

        assert daemon.shutdown()
        assert ["sub/a.png"] == place.files()["outbox"]

    def test_a_photo_that_is_found_at_rest_is_begun_in_the_same_step(self, place: Place) -> None:
        """Waiting for the next step would cost half a second, whatever the clocks say."""
        place.colorist.device_gate.clear()
        place.drop("a.png")
        daemon = place.daemon()
        daemon.startup()
        daemon.step(now=time.monotonic(), wall=1.5e9)  # a step goes by the time it is given

        assert [1.5e9] == [job.queued_at for job in daemon.pipeline.in_hand()]
        assert 1 == daemon.ledger.queries.counts()[JobStatus.STARTED]
        place.colorist.device_gate.set()

    def test_what_the_system_forgot_to_announce_is_found_by_the_rescan(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A lost event delays a photo to the next rescan, and no longer."""
        monkeypatch.setattr(observer.Hints, "dispatch", lambda _self, _event: None)
        daemon = place.daemon()
        daemon.startup()
        start = time.monotonic()
        daemon.step(start, time.time())
        place.drop("a.png")
        daemon.step(start + place.config.watch.rescan - 1.0, time.time())

        assert 0 == sum(daemon.ledger.queries.counts().values())

        daemon.step(start + place.config.watch.rescan + 1.0, time.time())

        assert 1 == sum(daemon.ledger.queries.counts().values())

    def test_a_ledger_that_cannot_be_written_holds_the_daemon_up_and_no_more(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is said once, and once that everything goes on."""
        place.drop("a.png")
        daemon = place.daemon(once=True)
        faults = [DeviceError("database or disk is full") for _ in range(2)]
        claim = daemon.ledger.claim

        def failing(*args: Any, **kwargs: Any) -> Any:
            if faults:
                raise faults.pop()
            return claim(*args, **kwargs)

        monkeypatch.setattr(daemon.ledger, "claim", failing)
        with capture_logs() as logs:
            daemon.run()

        said = [entry["event"] for entry in logs if entry["event"].startswith("daemon.")]
        assert ["daemon.started", "daemon.held_up", "daemon.goes_on", "daemon.stopped"] == said
        assert ["a.png"] == place.files()["outbox"]


@pytest.mark.parametrize("away", ["", "the inbox is away"])
def test_nothing_is_forgotten_while_the_inbox_is_away(
    place: Place, monkeypatch: pytest.MonkeyPatch, away: str
) -> None:
    """Whether a scan lies there cannot be known."""
    daemon = place.daemon()
    looked: list[float] = []
    monkeypatch.setattr(daemon._retention, "step", lambda _now, wall: looked.append(wall))
    monkeypatch.setattr(daemon.folders, "problem", lambda key: away if key == "inbox" else "")
    daemon.startup()
    daemon.step(time.monotonic(), 7.0)

    assert ([] if away else [7.0]) == looked


def test_a_fault_that_lasts_does_not_have_the_daemon_spin(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though files are due all the time: it looks twice a second."""
    daemon = place.daemon()
    steps = 0

    def failing(_now: float, _wall: float) -> None:
        nonlocal steps
        steps += 1
        raise DeviceError("database or disk is full")

    monkeypatch.setattr(daemon, "step", failing)
    monkeypatch.setattr(daemon.watcher, "next_due", lambda _now: 0.0)
    stop = threading.Timer(1.2, lambda: setattr(daemon.signals, "stop", True))
    stop.start()
    daemon.main_loop()
    stop.join()

    assert 1 <= steps <= 4


@pytest.mark.parametrize("jump", [-86_400.0, 86_400.0, 3650 * 86_400.0])
def test_a_clock_that_jumps_delays_no_photo(place: Place, jump: float) -> None:
    """By a day back or forth while photos wait for a full disk: they come out as if it had not."""
    place.colorist.paint_faults.append(OSError(errno.ENOSPC, "No space left on device"))
    place.drop("a.png")
    daemon = place.daemon()
    daemon.startup()
    stepping(daemon, lambda: [1] == [job.waits for job in daemon.ledger.queries.owning_output()])
    place.drop("b.png", gray_scene(24, 32, seed=2))

    def done() -> bool:
        daemon.step(time.monotonic(), time.time() + jump)
        return ["a.png", "b.png"] == place.files()["originals"]

    wait_until(done)

    assert ["a.png", "b.png"] == place.files()["outbox"]
    assert 2 == daemon.ledger.queries.counts()[JobStatus.FINISHED]


class TestAfterACrash:
    """Nothing is lost and nothing comes twice."""

    def test_what_was_in_work_is_done_by_the_next_start(self, place: Place) -> None:
        """The ledger still has it as started; half a photo in the outbox is swept away."""
        path = place.drop("sub/a.png")
        looks = safe_open.file_stat(path)
        assert looks is not None
        daemon = place.daemon()
        daemon.startup()
        daemon.intake.take([StableFile(path, looks, AT_REST)], time.monotonic(), time.time())
        daemon.ledger.claim(1, time.time(), in_flight=0)
        place.crash(daemon)
        (place.config.outbox / "sub").mkdir()
        (place.config.outbox / "sub/.photochrom-1-0123456789abcdef.part").write_bytes(b"half")
        with capture_logs() as logs:
            place.run_once()

        assert (1, 1) == (logs[0]["swept"], logs[0]["resumed"])
        assert {
            "inbox": [],
            "outbox": ["sub/a.png"],
            "originals": ["sub/a.png"],
            "rejected": [],
        } == place.files()

    def test_a_photo_that_was_finished_but_not_archived_is_archived(self, place: Place) -> None:
        """The crash came between the last two steps; it is not colored again."""
        path = place.drop("a.png")
        content = path.read_bytes()
        place.run_once()
        place.config.originals.folder.joinpath("a.png").rename(path)
        daemon = place.run_once()

        assert 0 == daemon.pipeline.tally.finished
        assert content == (place.config.originals.folder / "a.png").read_bytes()
        assert [] == place.files()["inbox"]

    def test_a_photo_that_ended_the_daemon_each_time_is_rejected(self, place: Place) -> None:
        """A photo in whose work the process ended as often as allowed is not tried again."""
        place.drop("a.png")
        daemon = place.daemon()
        path = place.config.inbox / "a.png"
        looks = safe_open.file_stat(path)
        assert looks is not None
        daemon.intake.take([StableFile(path, looks, AT_REST)], time.monotonic(), time.time())
        for _ in range(place.config.retry.attempts):
            daemon.ledger.claim(1, time.time(), in_flight=0)
            daemon.ledger.recover()
        place.crash(daemon)
        daemon = place.run_once()

        assert 1 == daemon.pipeline.tally.rejected
        assert ["a.png", "a.png.reason.txt"] == place.files()["rejected"]
        reason = (place.config.rejected / "a.png.reason.txt").read_text()
        assert "killed 2 times while it worked on this photo" in reason


class TestStopping:
    """Asked to stop, by a signal."""

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_what_is_in_hand_is_delivered_and_the_rest_is_left(
        self, place: Place, number: signal.Signals
    ) -> None:
        """The ledger keeps the rest as it was, for the next start."""
        for n in range(12):
            place.drop(f"{n:02d}.png", gray_scene(24, 32, seed=n))
        daemon = place.daemon()
        painted = place.colorist.paint

        def paint(*args: Any) -> Record:
            record = painted(*args)
            if not daemon.signals.stop:
                signal.raise_signal(number)
            return record

        place.colorist.paint = paint  # type: ignore[method-assign]
        done = daemon.run()
        in_outbox = place.files()["outbox"]

        assert done
        assert daemon.work_left
        assert 0 < len(in_outbox) < 12
        assert in_outbox == place.files()["originals"]

        place.run_once()

        assert 12 == len(place.files()["outbox"])

    def test_the_stop_time_is_kept(self, place: Place) -> None:
        """A disk that hangs does not hold it up for ever; the next start does the photo."""
        place.config = place.configured(stop=Stop(within=0.1))
        place.drop("a.png")
        place.colorist.gate.clear()
        daemon = place.daemon()
        daemon.startup()
        stepping(daemon, lambda: rendering(daemon.pipeline) > 0)
        done = daemon.shutdown()

        assert not done
        assert daemon.work_left

        place.colorist.gate.set()
        daemon.pipeline.close()
        place.daemons.remove(daemon)
        place.run_once()

        assert {
            "inbox": [],
            "outbox": ["a.png"],
            "originals": ["a.png"],
            "rejected": [],
        } == place.files()


class TestTakingUpAPromotedVersion:
    """While it runs, without losing or repeating a photo."""

    @pytest.fixture(autouse=True)
    def _watched(self, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let the daemon look for promotions at each step."""
        monkeypatch.setattr("service.daemon.model_updates.LOOK_EVERY", 0.0)
        place.loader = FakeLoader("fake")

    def test_photos_in_flight_are_finished_by_the_old_one_and_the_rest_by_the_new_one(
        self, place: Place
    ) -> None:
        """Each comes out once, and the ledger knows who colored it."""
        assert place.loader
        for n in range(12):
            place.drop(f"{n:02d}.png", gray_scene(24, 32, seed=n))
        daemon = place.daemon()
        daemon.startup()
        place.colorist.gate.clear()
        stepping(daemon, lambda: rendering(daemon.pipeline) >= 2)
        place.loader.gate.clear()
        place.promote("3")
        stepping(daemon, lambda: place.loader is not None and place.loader.loaded == ["3"])
        place.colorist.gate.set()
        stepping(daemon, lambda: daemon.pipeline.tally.finished >= 4)  # the old one goes on
        old = daemon.pipeline.tally.finished
        place.loader.gate.set()
        stepping(daemon, lambda: daemon.pipeline.tally.finished == 12)
        place.drop("later.png", gray_scene(24, 32, seed=99))
        stepping(daemon, lambda: daemon.pipeline.tally.finished == 13)
        models = place.models()

        assert 4 <= old <= models.count("fake") == place.colorist.painted
        assert 13 == models.count("fake") + models.count("3")
        assert "3" == models[-1]
        assert 13 == len(place.files()["outbox"]) == len(place.files()["originals"])
        assert ActiveModel("3") == daemon.ledger.queries.active_model()

    def test_a_version_that_is_refused_leaves_everything_as_it_was(self, place: Place) -> None:
        """The old one colors on, and whoever asks is told why."""
        assert place.loader
        place.loader.faults["3"] = ModelError("all probes are nearly gray")
        place.promote("3")
        daemon = place.daemon()
        daemon.startup()
        stepping(daemon, lambda: daemon.ledger.queries.active_model() != ActiveModel("fake"))
        place.drop("a.png")
        stepping(daemon, lambda: daemon.pipeline.tally.finished == 1)

        assert (
            ActiveModel("fake", "3", "all probes are nearly gray")
            == daemon.ledger.queries.active_model()
        )
        assert ["fake"] == place.models()

    def test_a_ledger_that_cannot_be_written_hides_no_version(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What serves is noted as soon as it can be."""
        daemon = place.daemon()
        daemon.startup()
        faults = [DeviceError("the ledger cannot be used now")] * 3
        serve = daemon.ledger.record_active_model

        def failing(serving: ActiveModel) -> None:
            if faults:
                raise faults.pop()
            serve(serving)

        monkeypatch.setattr(daemon.ledger, "record_active_model", failing)
        place.promote("3")

        def noted() -> bool:
            with contextlib.suppress(DeviceError):
                daemon.step(time.monotonic(), time.time())
            return ActiveModel("3") == daemon.ledger.queries.active_model()

        wait_until(noted)

        assert not faults

    def test_it_works_once_as_well(self, place: Place) -> None:
        """A version that is promoted during a single pass colors what is left of it."""
        for n in range(6):
            place.drop(f"{n}.png", gray_scene(24, 32, seed=n))
        paint = place.colorist.paint

        def promoting(*args: Any) -> Record:
            if not place.colorist.painted:
                place.promote("3")
            return paint(*args)

        place.colorist.paint = promoting  # type: ignore[method-assign]
        daemon = place.run_once()

        assert 6 == daemon.pipeline.tally.finished == len(place.files()["outbox"])
        assert {"fake"} <= set(place.models()) <= {"fake", "3"}

    def test_a_load_that_hangs_does_not_hold_up_the_stop(self, place: Place) -> None:
        """The stop time counts for it too; the caller knows that a thread is still at work."""
        assert place.loader
        place.config = place.configured(stop=Stop(within=0.2))
        place.loader.gate.clear()
        place.promote("3")
        daemon = place.daemon()
        daemon.startup()
        stepping(daemon, lambda: place.loader is not None and place.loader.loaded == ["3"])

        assert not daemon.shutdown()

        place.daemons.remove(daemon)


def test_without_promotions_to_follow_the_first_generator_serves_for_good(place: Place) -> None:
    """As the configuration fixes it; and that is noted."""
    daemon = place.daemon()
    daemon.startup()
    place.drop("a.png")
    stepping(daemon, lambda: daemon.pipeline.tally.finished == 1)

    assert ActiveModel("fake") == daemon.ledger.queries.active_model()


class TestColoringAgain:
    """What `photochrom recolor` queued, beside a daemon or before its start."""

    def test_a_running_daemon_finds_it_by_itself(self, place: Place) -> None:
        """Without a restart, and without another file in the inbox."""
        place.drop("sub/a.png")
        daemon = place.daemon()
        daemon.startup()
        stepping(daemon, lambda: daemon.pipeline.tally.finished == 1)
        queued = queue_again(place.config, older_than="1").queued
        stepping(daemon, lambda: daemon.pipeline.tally.finished == 2)

        assert 1 == queued
        assert ["sub/a.png"] == place.files()["outbox"] == place.files()["originals"]

    def test_a_start_finds_it_as_well(self, place: Place) -> None:
        """It is part of all that waits."""
        for n in range(5):
            place.drop(f"{n}.png", gray_scene(24, 32, seed=n))
        place.run_once()
        queue_again(place.config, older_than="1")
        place.colorist = FakeColorist(model="new")
        daemon = place.run_once()

        assert 5 == daemon.pipeline.tally.finished
        assert ["new"] * 5 == place.models()
        assert 5 == len(place.files()["outbox"]) == len(place.files()["originals"])

    def test_kept_originals_are_colored_again_in_the_inbox(self, place: Place) -> None:
        """The scan of the inbox at the start does not queue them once more."""
        place.config = place.configured(originals=Originals(after="keep"))
        place.drop("a.png")
        place.run_once()
        queue_again(place.config, older_than="1")
        place.colorist = FakeColorist(model="new")
        daemon = place.run_once()

        assert 1 == daemon.pipeline.tally.finished
        assert ["a.png"] == place.files()["inbox"] == place.files()["outbox"]
        assert ["new"] == place.models()

    def test_a_photo_that_ends_the_daemon_each_time_keeps_its_result_and_its_original(
        self, place: Place
    ) -> None:
        """It is given up, not rejected."""
        place.drop("a.png")
        place.run_once()
        queue_again(place.config, older_than="1")
        with Ledger(place.config.state / LEDGER_FILE) as ledger:
            for _ in range(place.config.retry.attempts):
                ledger.claim(1, time.time(), in_flight=0)
                ledger.recover()
        with capture_logs() as logs:
            place.run_once()

        assert 1 == sum("photo.not_recolored" == entry["event"] for entry in logs)
        assert {
            "inbox": [],
            "outbox": ["a.png"],
            "originals": ["a.png"],
            "rejected": [],
        } == place.files()

    def test_an_original_that_was_lost_and_is_dropped_again_replaces_its_own_result(
        self, place: Place
    ) -> None:
        """From a backup, say: no second photo under another name appears."""
        content = place.drop("a.png").read_bytes()
        place.run_once()
        (place.config.originals.folder / "a.png").unlink()
        queue_again(place.config, older_than="1")
        place.run_once()

        assert ["a.png"] == place.files()["outbox"]

        (place.config.inbox / "a.png").write_bytes(content)
        place.colorist = FakeColorist(model="new")
        place.run_once()

        assert ["new"] == place.models()
        assert {
            "inbox": [],
            "outbox": ["a.png"],
            "originals": ["a.png"],
            "rejected": [],
        } == place.files()
