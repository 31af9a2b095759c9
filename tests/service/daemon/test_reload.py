"""A real daemon with a fake device gets real signals while it works."""

import contextlib
import gc
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from service.config.loader import load_config
from service.daemon.daemon import Daemon
from service.daemon.reload import Parts, Reloader, watch_models
from service.filesystem.folder_checks import make_folders
from service.ledger.ledger import LEDGER_FILE, ActiveModel, Ledger
from service.ledger.queries import LedgerQueries
from service.signals import Signals
from service.systemd.notify import Notifier
from tests.support.fakes import FakeColorist, FakeLoader, rendering
from tests.support.folder_listing import files
from tests.support.synthetic_photos import color_scene, gray_scene, save
from tests.support.waiting import wait_until
from worker.errors import DeviceError, ModelError
from worker.models.promotions import Promotion, write_promotions

HASTY = """
watch: {settle: 0.0, incomplete_timeout: 0.0}
batch: {longest_wait: 0.0}
retry: {first_wait: 30.0, longest_wait: 30.0}
"""
STOP = "stop: {within: 10.0}\n"


class Life:
    """One daemon in this thread, and a story in another that drives it by files and signals."""

    def __init__(self, folder: Path) -> None:
        """Write the configuration and make the folders."""
        self.folder = folder
        self.file = folder / "config.yaml"
        self.configure()
        make_folders(load_config(self.file).folders.values())
        self.loader = FakeLoader("fake")
        self.made = 0  # loaders, by reloads
        self.read = 0  # how often the file was read again
        self.colorist = self.loader.first
        self.logs: list[Any] = []
        self.daemon: Daemon | None = None

    def configure(self, more: str = STOP) -> None:
        """Write the configuration anew: a hasty one, and more."""
        self.file.write_text(HASTY + more)

    def drop(self, name: str, inbox: str = "inbox", seed: int = 0) -> None:
        """Put a scan in an inbox."""
        save(self.folder / inbox / name, gray_scene(24, 32, seed=seed))

    def files(self, folder: str) -> list[str]:
        """List what is in a folder of photos."""
        return files(self.folder / folder)

    def live(self, story: Callable[[], None], *, once: bool = False) -> bool:
        """Run the daemon until the story is over, and then stop it; return what `run` does."""
        config = load_config(self.file)
        notifier = Notifier(dict(os.environ))
        models = watch_models(config, self.loader, ActiveModel("fake"))
        signals = Signals()
        self.daemon = Daemon(
            config, self.colorist, models, once=once, notifier=notifier, signals=signals
        )
        self.daemon.reloader = Reloader(self.file, self.loader, self._make_loader)
        self.daemon.reloader.read = self._counted(self.daemon.reloader.read)  # type: ignore[method-assign]
        failures: list[BaseException] = []

        def told() -> None:
            try:
                story()
            except BaseException as failure:  # noqa: BLE001 - raised again below
                failures.append(failure)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)

        teller = threading.Thread(target=told)
        signals.listen()
        with capture_logs() as self.logs:
            teller.start()
            done = self.daemon.run()
            teller.join()
        if failures:
            raise failures[0]
        return done

    def _make_loader(self, _config: object) -> FakeLoader:
        self.made += 1
        return self.loader

    def _counted(self, read: Callable[[Parts], Parts | None]) -> Callable[[Parts], Parts | None]:
        def counted(now: Parts) -> Parts | None:
            parts = read(now)
            self.read += 1
            return parts

        return counted

    def hang_up(self) -> None:
        """Send SIGHUP to this process."""
        os.kill(os.getpid(), signal.SIGHUP)

    def events(self, name: str) -> list[Any]:
        """Give the log so far of one event."""
        return [entry for entry in self.logs if entry["event"] == name]

    def until(self, event: str, times: int = 1) -> None:
        """Wait until an event was logged so often."""
        wait_until(lambda: len(self.events(event)) >= times)

    def until_writing(self, count: int) -> None:
        """Wait until so many photos are with writers."""
        wait_until(lambda: self.daemon is not None and rendering(self.daemon.pipeline) >= count)

    def reload(self) -> None:
        """Send SIGHUP and wait until it was answered."""
        names = ("config.reloaded", "config.refused")
        before = sum(len(self.events(name)) for name in names)
        self.hang_up()
        wait_until(lambda: sum(len(self.events(name)) for name in names) > before)


@pytest.fixture
def life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Life]:
    """Give one that notices signals at once; afterwards the signals are given back."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    monkeypatch.setattr("service.daemon.daemon.LONGEST_SLEEP", 0.02)
    monkeypatch.setattr("service.daemon.model_updates.LOOK_EVERY", 0.0)
    made = Life(tmp_path)
    yield made
    made.colorist.gate.set()
    for number, handler in before.items():
        signal.signal(number, handler)


class TestAGoodFile:
    """It is taken up without a restart."""

    def test_new_folders_are_used_from_then_on(self, life: Life) -> None:
        """The log names the keys that changed, and no others."""

        def story() -> None:
            life.drop("a.png")
            life.until("photo.moved")
            life.configure(STOP + "inbox: scans\noutbox: results\n")
            life.reload()
            life.drop("b.png", "scans")
            life.until("photo.moved", 2)

        assert life.live(story)
        assert [["inbox", "outbox"]] == [one["changed"] for one in life.events("config.reloaded")]
        assert (["a.png"], ["b.png"]) == (life.files("outbox"), life.files("results"))
        assert ["a.png", "b.png"] == life.files("originals")

    def test_no_photo_in_hand_is_dropped_or_doubled(self, life: Life) -> None:
        """What is in work is finished as it was begun; what waits is done with the new settings."""
        names = [f"{n:02d}.png" for n in range(12)]

        def story() -> None:
            life.colorist.gate.clear()
            for n, name in enumerate(names):
                life.drop(name, seed=n)
            life.until_writing(2)
            life.configure(STOP + "outbox: results\n")
            life.hang_up()
            wait_until(lambda: life.read == 1)
            assert [] == life.events("config.reloaded")
            life.colorist.gate.set()
            life.until("photo.moved", 12)

        assert life.live(story)
        before, after = life.files("outbox"), life.files("results")
        assert before
        assert after
        assert names == sorted(before + after) == life.files("originals")
        assert names == sorted(str(entry["path"]) for entry in life.events("photo.delivered"))

    def test_an_unchanged_file_is_a_reload_too(self, life: Life) -> None:
        """With nothing to say but that; the generator stays."""

        def story() -> None:
            life.reload()
            life.drop("a.png")
            life.until("photo.moved")

        life.live(story)
        assert [[]] == [entry["changed"] for entry in life.events("config.reloaded")]
        assert (0, 1) == (life.made, life.colorist.painted)

    def test_many_requests_at_once_are_one_or_two(self, life: Life) -> None:
        """One that came while another was at work is answered after it."""

        def story() -> None:
            life.colorist.gate.clear()
            life.drop("a.png")
            life.until_writing(1)
            for _ in range(10):
                life.hang_up()
            wait_until(lambda: life.read == 1)
            for _ in range(10):
                life.hang_up()
            life.colorist.gate.set()
            life.until("config.reloaded", 2)
            life.drop("b.png")
            life.until("photo.moved", 2)

        assert life.live(story)
        assert 2 == len(life.events("config.reloaded"))
        assert ["a.png", "b.png"] == life.files("outbox")

    def test_a_request_during_the_start_is_answered_after_it(
        self, life: Life, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It neither ends the process nor is it lost."""
        recover = Ledger.recover

        def hung_up(ledger: Ledger) -> Any:
            life.hang_up()
            return recover(ledger)

        monkeypatch.setattr(Ledger, "recover", hung_up)
        life.live(lambda: life.until("config.reloaded"))
        assert ["daemon.started", "config.reloaded", "daemon.stopped"] == [
            entry["event"] for entry in life.logs
        ]

    def test_what_holds_everything_up_can_be_mended_so(self, life: Life) -> None:
        """A photo that waits half a minute for a full disk is done at once with another outbox."""

        def story() -> None:
            life.colorist.paint_faults.append(OSError(28, "No space left on device"))
            life.drop("a.png")
            life.until("photo.waits")
            life.configure(STOP + "outbox: results\n")
            life.reload()
            life.until("photo.moved")

        assert life.live(story)
        assert ([], ["a.png"]) == (life.files("outbox"), life.files("results"))

    def test_a_ledger_that_cannot_be_written_now_does_not_end_it(
        self, life: Life, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The new file is in use; the work goes on when the ledger is back."""
        faults = [DeviceError("the ledger is locked")]
        expedite = Ledger.expedite

        def locked(ledger: Ledger, now: float) -> Any:
            if faults:
                raise faults.pop()
            return expedite(ledger, now)

        monkeypatch.setattr(Ledger, "expedite", locked)

        def story() -> None:
            life.configure(STOP + "outbox: results\n")
            life.reload()
            life.until("daemon.held_up")
            life.drop("a.png")
            life.until("photo.moved")

        assert life.live(story)
        assert ["a.png"] == life.files("results")

    def test_counts_go_on_over_a_reload(self, life: Life) -> None:
        """So that `--once` still knows of a rejected photo at its end."""

        def story() -> None:
            save(life.folder / "inbox" / "color.png", color_scene(24, 32))
            life.until("photo.rejected")
            life.reload()
            life.drop("a.png")
            life.until("photo.delivered")

        life.live(story)
        assert life.daemon
        assert (1, 1) == (life.daemon.counters.rejected, life.daemon.counters.finished)


class TestABadFile:
    """It is refused, and the old one stays."""

    def test_every_mistake_is_told_and_the_old_one_stays(self, life: Life) -> None:
        """Until the file is mended."""

        def story() -> None:
            life.configure("outbox: results\noutbux: x\nstop: {within: soon}\n")
            life.reload()
            assert life.daemon
            assert "stop.within: must be" in life.daemon.refused_config
            life.drop("a.png")
            life.until("photo.moved")
            life.configure()
            life.reload()
            assert "" == life.daemon.refused_config

        assert life.live(story)
        (refused,) = life.events("config.refused")
        assert [
            f"{life.file}:6: outbux: unknown key; did you mean outbox?",
            f"{life.file}:7: stop.within: must be a number of seconds, not 'soon'",
        ] == refused["problems"]
        assert ["a.png"] == life.files("outbox")
        assert not (life.folder / "results").exists()
        assert 1 == len(life.events("config.reloaded"))

    def test_a_file_that_is_gone_is_refused(self, life: Life) -> None:
        """The daemon does not end for it."""

        def story() -> None:
            life.file.unlink()
            life.reload()

        assert life.live(story)
        assert [[f"{life.file}: cannot be read: No such file or directory"]] == [
            entry["problems"] for entry in life.events("config.refused")
        ]

    def test_the_state_folder_cannot_change(self, life: Life) -> None:
        """It is locked; it takes a restart, and the words say so."""

        def story() -> None:
            life.configure(STOP + "state: elsewhere\n")
            life.reload()

        life.live(story)
        (refused,) = life.events("config.refused")
        state = life.folder / "state"
        assert [
            f"{life.file}: state: cannot change while photochrom runs ({state}); restart it"
        ] == refused["problems"]
        assert not (life.folder / "elsewhere").exists()


class TestTheGenerator:
    """It is made anew only where it must be."""

    @pytest.mark.parametrize(
        "line",
        [
            "model: {render_size: 64}",
            "batch: {size: 3}",
        ],
    )
    def test_what_it_is_made_from_makes_another(self, life: Life, line: str) -> None:
        """Model and sizes; what it colors from then on bears its name."""

        def story() -> None:
            life.loader.version = "another"
            life.loader.next = FakeColorist(model="another")
            text = life.file.read_text().replace("batch: {longest_wait: 0.0}\n", "")
            life.file.write_text(f"{text}{line}\n")
            life.reload()
            life.drop("a.png")
            life.until("photo.moved")

        life.live(story)
        assert 1 == life.made
        assert "another" == life.events("photo.delivered")[0]["model"]
        with LedgerQueries.open(life.folder / "state" / LEDGER_FILE) as ledger:
            assert ActiveModel("another") == ledger.active_model()

    @pytest.mark.parametrize(
        ("fault", "words"),
        [
            (ModelError("there is no model version 7"), "there is no model version 7"),
            (ValueError("nobody foresaw it"), "ValueError('nobody foresaw it')"),
            (MemoryError(), "MemoryError()"),
        ],
    )
    def test_one_that_cannot_be_loaded_refuses_the_file(
        self, life: Life, fault: Exception, words: str
    ) -> None:
        """A version that there is not, or whatever is wrong; the old one colors on."""

        def story() -> None:
            life.loader.next = fault
            life.configure(STOP + "model: {version: 7}\n")
            life.reload()
            life.drop("a.png")
            life.until("photo.moved")

        life.live(story)
        assert [[words]] == [entry["problems"] for entry in life.events("config.refused")]
        assert "fake" == life.events("photo.delivered")[0]["model"]

    def test_a_version_promoted_later_is_still_taken_up(self, life: Life) -> None:
        """And one taken up before stays over a reload."""

        def promote(version: str) -> None:
            life.loader.version = version
            folder = life.folder / "state" / "models"
            folder.mkdir(exist_ok=True)
            write_promotions(folder, [Promotion(version, "2027-01-15T08:00:00+00:00", "a test")])

        def story() -> None:
            promote("3")
            life.until("model.taken_up")
            life.reload()
            life.drop("a.png")
            life.until("photo.moved")
            promote("12")
            life.until("model.taken_up", 2)
            life.drop("b.png", seed=1)
            life.until("photo.moved", 2)

        life.live(story)
        assert ["3", "12"] == [entry["model"] for entry in life.events("photo.delivered")]
        assert ["3", "12"] == life.loader.loaded
        assert 0 == life.made


class TestTheEnd:
    """A request to stop comes first."""

    def test_asked_to_stop_meanwhile_it_stops_and_reloads_nothing(self, life: Life) -> None:
        """Within the stop time, though a photo in hand does not move."""
        life.configure("stop: {within: 0.2}\n")

        def story() -> None:
            life.colorist.gate.clear()
            life.drop("a.png")
            life.until_writing(1)
            life.hang_up()
            wait_until(lambda: life.read == 1)

        began = time.monotonic()
        done = life.live(story)

        assert not done
        assert time.monotonic() - began < 5.0
        assert [] == life.events("config.reloaded")
        assert "daemon.stopped" == life.logs[-1]["event"]

        life.colorist.gate.set()
        assert life.daemon
        life.daemon.pipeline.close()


def test_a_reload_that_waits_long_is_not_taken_for_a_hang(
    life: Life, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The inbox is not looked through meanwhile, and need not be."""
    monkeypatch.setattr("service.monitoring.health.PATIENCE", 1.5)  # seconds beyond watch.rescan
    text = HASTY.replace("settle: 0.0", "settle: 0.0, rescan: 1.0")
    life.file.write_text(text.replace("longest_wait: 0.0", "longest_wait: 600.0"))
    monkeypatch.setenv("NOTIFY_SOCKET", str(life.folder / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "100000")

    def story() -> None:
        life.colorist.gate.clear()
        life.drop("a.png")
        life.until_writing(1)
        life.hang_up()
        wait_until(lambda: life.read == 1)
        begun = time.monotonic()
        wait_until(lambda: time.monotonic() - begun > 3.5)
        life.colorist.gate.set()
        life.until("config.reloaded")

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(life.folder / "notify"))
        threading.Thread(target=_drain, args=(listener,), daemon=True).start()
        life.live(story)

    assert [] == life.events("daemon.stuck")


def _drain(listener: socket.socket) -> None:
    """Take what is said until the end of the listener."""
    with contextlib.suppress(OSError):
        while True:
            listener.recv(4096)


def test_systemd_hears_of_each_reload(life: Life, monkeypatch: pytest.MonkeyPatch) -> None:
    """RELOADING with the time, then READY, whether the file is good or bad."""
    address = str(life.folder / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(5.0)

        def story() -> None:
            life.until("daemon.started")
            life.reload()
            life.configure("nonsense: 1\n")
            life.reload()

        before = time.monotonic()
        life.live(story)
        said: list[str] = []
        while not said or not said[-1].startswith("STOPPING=1"):
            said.append(listener.recv(4096).decode())
    told = [words for words in said if words.startswith(("READY", "RELOADING"))]

    assert ["READY=1", "RELOADING=1", "READY=1", "RELOADING=1", "READY=1"] == [
        words.splitlines()[0] for words in told
    ]
    for words in told[1::2]:
        assert before <= int(words.partition("MONOTONIC_USEC=")[2]) / 1e6 <= time.monotonic()


def test_nothing_leaks(life: Life) -> None:
    """Threads and descriptors after 20 reloads are those after one."""
    found: list[tuple[list[str], int]] = []
    gc.collect()  # what earlier tests left behind
    others = set(threading.enumerate())

    def threads() -> list[str]:
        return sorted(one.name for one in set(threading.enumerate()) - others)

    def story() -> None:
        for n in range(21):
            life.drop(f"{n}.png", seed=n)
            life.until("photo.moved", n + 1)
            life.configure(STOP + f"model: {{render_size: {64 + 32 * (n % 2)}}}\n")
            life.reload()
            wait_until(lambda: threads().count("model_0") == 1)  # the old one's has ended
            found.append(
                (
                    [name.rpartition("_")[0] for name in threads()],
                    len(os.listdir("/proc/self/fd")),  # noqa: PTH208 - names suffice
                )
            )

    life.live(story)
    assert 21 == len(life.events("config.reloaded")) == life.made
    assert found[0] == found[-1]
