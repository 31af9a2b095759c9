"""Every complete file is told of once, whatever the system announces or forgets."""

import errno
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs
from watchdog.events import (
    DirMovedEvent,
    FileCreatedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
)
from watchdog.observers.api import EventEmitter
from watchdog.utils import delayed_queue

from service.config.sections import Watch
from service.watch import observer, supervisor, watcher
from service.watch.observer import Hints, Observer, Writer
from service.watch.stability import Rest, StableFile
from service.watch.watcher import Arriving, Watcher
from tests.support.waiting import wait_until

SETTLE, RESCAN = 2.0, 60.0
QUIET = 10  # looks in a row without an announcement


class Scene:
    """An inbox with a watcher whose clock the test turns."""

    def __init__(self, inbox: Path, polling: str = "never") -> None:
        """Make the watcher; it is not started."""
        self.inbox = inbox
        self.now = 1000.0
        self.told: list[str] = []
        self.woken = threading.Event()
        self.fault: Exception | None = None
        self.missing = ""  # why no file is whole
        self.unreadable: dict[str, Exception] = {}  # why, by name
        self.rests: list[Rest] = []
        self.watcher = Watcher(
            inbox,
            Watch(settle=SETTLE, rescan=RESCAN, polling=polling),  # type: ignore[arg-type]
            on_stable=self._on_stable,
            wake=self.woken.set,
            poll=0.05,
        )

    def _on_stable(self, files: Sequence[StableFile]) -> list[str | Exception]:
        if self.fault:
            raise self.fault
        return [self._take(file.path, file.rest) for file in files]

    def _take(self, path: Path, rest: Rest) -> str | Exception:
        self.rests.append(rest)
        if path.name in self.unreadable:
            return self.unreadable[path.name]
        if self.missing and rest.seconds < Watch().incomplete_timeout:
            return self.missing
        self.told.append(str(path.relative_to(self.inbox)))
        return ""

    def start(self) -> None:
        """Start, and scan what is there."""
        self.watcher.start(self.now)
        self.step()

    def step(self, seconds: float = 0.0) -> None:
        """Let time pass, then step."""
        self.now += seconds
        self.watcher.step(self.now)

    def put(self, name: str, content: str = "photo") -> Path:
        """Write a file in the inbox, and the folders above it."""
        path = self.inbox / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path

    def waits_for(self, count: int) -> Callable[[], bool]:
        """Make a condition: stepping without letting time pass, that many files are settling.

        For a while nothing more was announced of them, since that would begin it anew.
        """
        quiet = 0

        def condition() -> bool:
            nonlocal quiet
            quiet = 0 if self.watcher._hints.any else quiet + 1
            self.step()
            return self.watcher._tracker.waiting == count and quiet >= QUIET

        return condition


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Make an empty inbox with a watcher that is started."""
    (tmp_path / "inbox").mkdir()
    scene = Scene(tmp_path / "inbox")
    scene.start()
    yield scene
    scene.watcher.stop()


@pytest.fixture
def deaf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    """Make the same, but on a system that does not let it watch."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "inotify watch limit reached")

    monkeypatch.setattr(supervisor, "Observer", refuse)
    (tmp_path / "inbox").mkdir()
    scene = Scene(tmp_path / "inbox")
    yield scene
    scene.watcher.stop()


def observer_of(scene: Scene) -> Observer:
    """Give the observer at work."""
    found = scene.watcher._supervisor._observer
    assert found
    return found


def emitters_of(scene: Scene) -> set[EventEmitter]:
    """Give watchdog's threads that put events in its queue."""
    return observer_of(scene)._observer.emitters


class TestWithoutHints:
    """The scans alone are enough."""

    def test_files_that_are_there_at_the_start_are_told_of_once_stable(self, deaf: Scene) -> None:
        """In the order of their names, and not again."""
        for name in ("b.jpg", "a/c.jpg", "notes.txt"):
            deaf.put(name)
        deaf.start()
        deaf.step(SETTLE - 0.1)

        assert deaf.told == []
        deaf.step(0.1)
        assert ["a/c.jpg", "b.jpg"] == deaf.told
        for _ in range(3):
            deaf.step(RESCAN)
        assert ["a/c.jpg", "b.jpg"] == deaf.told

    def test_a_file_nobody_announced_waits_for_the_rescan_and_no_longer(self, deaf: Scene) -> None:
        """And next_due tells when to step."""
        deaf.start()
        deaf.put("a.jpg")
        deaf.step(RESCAN - 0.1)

        assert deaf.watcher.settled(deaf.now)
        assert not deaf.watcher.settled(deaf.now + 0.2)
        deaf.step(0.1)
        assert not deaf.watcher.settled(deaf.now)
        assert 0 < deaf.watcher.next_due(deaf.now) <= SETTLE
        deaf.step(SETTLE)
        assert ["a.jpg"] == deaf.told
        assert deaf.watcher.settled(deaf.now)

    def test_a_growing_file_is_told_of_when_it_stopped_growing(self, deaf: Scene) -> None:
        """Though no change is announced."""
        path = deaf.put("a.jpg")
        deaf.start()
        for _ in range(5):
            with path.open("a") as file:
                file.write("more")
            deaf.step(SETTLE)

        assert deaf.told == []
        deaf.step(SETTLE)
        assert ["a.jpg"] == deaf.told

    def test_a_file_that_a_writer_holds_open_is_not_taken(self, scene: Scene) -> None:
        """However long it does not write; a local disk tells."""
        with (scene.inbox / "a.jpg").open("w") as file:
            scene.step(RESCAN)
            for _ in range(5):
                scene.step(SETTLE)

            assert scene.told == []
            assert not scene.watcher.settled(scene.now)
            file.write("photo")
        for _ in range(3):
            scene.step(SETTLE)
        assert ["a.jpg"] == scene.told

    def test_a_file_that_changed_is_told_of_again(self, deaf: Scene) -> None:
        """It is another photo now."""
        path = deaf.put("a.jpg")
        deaf.start()
        deaf.step(SETTLE)
        path.write_text("another photo")
        deaf.step(RESCAN)
        deaf.step(SETTLE)

        assert ["a.jpg", "a.jpg"] == deaf.told

    def test_a_file_that_is_gone_is_forgotten(self, deaf: Scene) -> None:
        """While it settles, and after it was told of; memory holds only what is there."""
        deaf.put("a.jpg")
        deaf.put("b.jpg").rename(deaf.inbox / "c.jpg")
        deaf.start()
        (deaf.inbox / "a.jpg").unlink()
        deaf.step(SETTLE)

        assert ["c.jpg"] == deaf.told
        assert [str(deaf.inbox / "c.jpg")] == list(deaf.watcher._reported)
        (deaf.inbox / "c.jpg").unlink()
        deaf.step(RESCAN)
        assert not deaf.watcher._reported
        assert deaf.watcher.settled(deaf.now)

    def test_a_forgotten_file_that_comes_back_is_told_of_again(
        self, deaf: Scene, tmp_path: Path
    ) -> None:
        """As when someone moves it back from rejected/ at once."""
        path = deaf.put("a.jpg")
        deaf.start()
        deaf.step(SETTLE)
        path.rename(tmp_path / "a.jpg")
        deaf.watcher.forget(path)
        (tmp_path / "a.jpg").rename(path)
        deaf.step(RESCAN)
        deaf.step(SETTLE)

        assert ["a.jpg", "a.jpg"] == deaf.told

    def test_a_full_inbox_is_told_of_in_portions(self, deaf: Scene) -> None:
        """So that the daemon gets to its other work; the next step is due at once."""
        for number in range(80):
            deaf.put(f"{number:02}.jpg")
        deaf.start()
        deaf.step(SETTLE)

        assert 64 == len(deaf.told)
        assert deaf.watcher.next_due(deaf.now) == 0.0
        deaf.step()
        assert 80 == len(set(deaf.told)) == len(deaf.told)

    def test_large_files_are_told_of_in_smaller_portions(
        self, deaf: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each is read for its digest; one that is larger than a portion goes alone."""
        monkeypatch.setattr(watcher, "REPORTED_BYTES", 10)
        for name, size in {"a": 11, "b": 5, "c": 5, "d": 1}.items():
            deaf.put(f"{name}.jpg", size * "x")
        deaf.start()
        deaf.step(SETTLE)

        assert ["a.jpg"] == deaf.told
        deaf.step()
        assert ["a.jpg", "b.jpg", "c.jpg"] == deaf.told
        deaf.step()
        assert ["a.jpg", "b.jpg", "c.jpg", "d.jpg"] == deaf.told

    def test_more_files_than_may_settle_at_once_are_found_little_by_little(
        self, deaf: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Memory holds few of them; nothing is due until some are told of."""
        monkeypatch.setattr(watcher, "MOST_SETTLING", 4)
        monkeypatch.setattr(watcher, "CHECKED_PER_STEP", 2)
        for number in range(10):
            deaf.put(f"{number}.jpg")
        deaf.start()
        deaf.step()
        deaf.step()

        assert 4 == deaf.watcher._tracker.waiting
        assert not deaf.watcher.settled(deaf.now)
        assert 0 < deaf.watcher.next_due(deaf.now) <= SETTLE
        assert deaf.now == deaf.watcher.rescan_moved_at
        for _ in range(20):
            deaf.step(SETTLE)
        assert 10 == len(set(deaf.told)) == len(deaf.told)
        assert deaf.watcher.settled(deaf.now)

    def test_a_full_inbox_is_looked_through_in_portions(
        self, deaf: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The next step is due at once; the rescan has ended when all was looked at."""
        monkeypatch.setattr(watcher, "CHECKED_PER_STEP", 3)
        for number in range(7):
            deaf.put(f"{number}.jpg")
        deaf.start()
        for looked_at in (3, 6):
            assert looked_at == deaf.watcher._tracker.waiting
            assert 0.0 == deaf.watcher.next_due(deaf.now)
            assert not deaf.watcher.settled(deaf.now)
            deaf.step(0.1)

        assert 7 == deaf.watcher._tracker.waiting
        assert deaf.now == deaf.watcher.rescanned_at
        assert 0.0 < deaf.watcher.rescan_seconds < 10.0
        deaf.step(SETTLE)
        assert 7 == len(deaf.told)

    def test_many_hints_and_a_full_folder_are_followed_in_portions(
        self, deaf: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No step takes long, and the next is due at once."""
        monkeypatch.setattr(watcher, "CHECKED_PER_STEP", 3)
        deaf.start()
        for number in range(5):
            deaf.watcher._hints.dispatch(FileCreatedEvent(str(deaf.put(f"{number}.jpg"))))
        deaf.step()
        assert 3 == deaf.watcher._tracker.waiting
        assert 0.0 == deaf.watcher.next_due(deaf.now)
        deaf.step()
        assert 5 == deaf.watcher._tracker.waiting
        for number in range(7):
            deaf.put(f"full/{number}.jpg")
        deaf.watcher._hints.dispatch(DirMovedEvent("", str(deaf.inbox / "full")))
        deaf.step()
        assert 5 == deaf.watcher._tracker.waiting
        for _ in range(4):
            assert 0.0 == deaf.watcher.next_due(deaf.now)
            deaf.step(0.1)

        assert 12 == deaf.watcher._tracker.waiting

    def test_what_was_lost_while_a_rescan_went_on_brings_another(
        self, deaf: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """For it may be where the first had looked already."""
        monkeypatch.setattr(watcher, "CHECKED_PER_STEP", 3)
        for number in range(5):
            deaf.put(f"{number}.jpg")
        deaf.start()
        deaf.put("0 too.jpg")
        deaf.watcher._hints.overflow()
        for _ in range(4):
            deaf.step()

        assert 6 == deaf.watcher._tracker.waiting
        assert deaf.watcher.next_due(deaf.now) > 0.0
        assert 1 == deaf.watcher.overflows

    def test_a_file_whose_queuing_failed_is_told_of_after_another_settle_time(
        self, deaf: Scene
    ) -> None:
        """The error reaches the daemon, and no file is lost."""
        deaf.put("a.jpg")
        deaf.start()
        deaf.fault = OSError("disk full")
        with pytest.raises(OSError, match="disk full"):
            deaf.step(SETTLE)

        assert 0 < deaf.watcher.next_due(deaf.now) <= SETTLE
        deaf.fault = None
        deaf.step(SETTLE)
        assert ["a.jpg"] == deaf.told

    def test_a_file_that_cannot_be_read_does_not_hold_up_those_told_of_with_it(
        self, deaf: Scene
    ) -> None:
        """Its error reaches the daemon, and it is told of again after another settle time."""
        for name in ("a.jpg", "b.jpg", "c.jpg"):
            deaf.put(name)
        deaf.unreadable = {"b.jpg": OSError("bad sector")}
        deaf.start()
        with pytest.raises(OSError, match="bad sector"):
            deaf.step(SETTLE)

        assert ["a.jpg", "c.jpg"] == deaf.told
        deaf.unreadable = {}
        deaf.step(SETTLE)
        assert ["a.jpg", "c.jpg", "b.jpg"] == deaf.told

    def test_a_system_that_does_not_let_it_watch_is_told_of_once(self, deaf: Scene) -> None:
        """Trying goes on, ever more rarely, without a crash."""
        with capture_logs() as logs:
            deaf.start()
            for _ in range(10):
                deaf.step(RESCAN)

        assert [("watch.unavailable", "warning")] == [
            (line["event"], line["log_level"]) for line in logs
        ]
        assert "watch limit reached" in logs[0]["reason"]
        assert not deaf.watcher.emitters_alive()

    def test_an_inbox_that_is_missing_is_told_of_once_and_healed(self, scene: Scene) -> None:
        """What it holds then is found at once, and nothing is spun on."""
        away = scene.inbox.with_name("away")
        scene.inbox.rename(away)
        with capture_logs() as logs:
            for _ in range(200):
                scene.step(max(0.01, scene.watcher.next_due(scene.now)))

            assert ["watch.inbox_missing"] == [line["event"] for line in logs]
            assert scene.now > 1000 + 50 * RESCAN
            away.rename(scene.inbox)
            scene.put("a.jpg")
            scene.step(0.1)
        scene.step(SETTLE)

        assert ["watch.inbox_missing", "watch.inbox_found", "watch.rebuilt"] == [
            line["event"] for line in logs
        ]
        assert ["a.jpg"] == scene.told
        assert scene.watcher.emitters_alive()

    def test_an_inbox_that_cannot_be_read_forgets_nothing(
        self, deaf: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A lost share is not an empty inbox; it is told of once, however long it lasts."""
        deaf.put("a.jpg")
        deaf.start()
        deaf.step(SETTLE)

        def stale(_folder: Path) -> None:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

        with monkeypatch.context() as patch, capture_logs() as logs:
            patch.setattr(os, "scandir", stale)
            deaf.step(RESCAN)
            deaf.step(RESCAN)
        deaf.step(RESCAN)
        deaf.step(SETTLE)

        assert ["watch.unreadable"] == [line["event"] for line in logs]
        assert ["a.jpg"] == deaf.told

    def test_a_sub_folder_that_cannot_be_read_is_told_of_once(
        self, deaf: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """When it begins and when it ends, not at every rescan; the others are looked through."""
        deaf.put("closed/a.jpg")
        deaf.put("open/b.jpg")
        real = os.scandir

        def refuse(folder: str | Path) -> object:
            if Path(folder).name == "closed":
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return real(folder)

        with monkeypatch.context() as patch, capture_logs() as logs:
            patch.setattr(os, "scandir", refuse)
            deaf.start()
            for _ in range(3):
                deaf.step(RESCAN)
            told = list(deaf.told)
        with capture_logs() as later:
            deaf.step(RESCAN)
            deaf.step(RESCAN)

        assert 1 == [line["event"] for line in logs].count("inbox.unreadable")
        assert ["inbox.readable"] == [line["event"] for line in later]
        assert ["open/b.jpg"] == told
        assert ["open/b.jpg", "closed/a.jpg"] == deaf.told


class TestHints:
    """What the system announces makes it quicker."""

    @pytest.mark.parametrize("polling", ["never", "always"])
    def test_a_file_that_arrives_is_found_without_a_rescan(
        self, tmp_path: Path, polling: str
    ) -> None:
        """By announcement and by regular looks, in new sub-folders too."""
        (tmp_path / "inbox").mkdir()
        scene = Scene(tmp_path / "inbox", polling)
        scene.start()
        scene.put("a.jpg")
        scene.put("new/deep/b.jpg")
        wait_until(scene.waits_for(2))

        assert scene.woken.is_set()
        scene.step(SETTLE)
        assert {"a.jpg", "new/deep/b.jpg"} == set(scene.told)
        scene.watcher.stop()

    @pytest.mark.parametrize("polling", ["never", "always"])
    def test_a_folder_moved_in_or_renamed_is_found_with_its_files(
        self, tmp_path: Path, polling: str
    ) -> None:
        """None of which is announced by itself."""
        (tmp_path / "inbox").mkdir()
        scene = Scene(tmp_path / "inbox", polling)
        scene.start()
        other = Scene(tmp_path / "outside")
        other.put("1/a.jpg")
        (tmp_path / "outside").rename(scene.inbox / "in")
        wait_until(scene.waits_for(1))
        (scene.inbox / "in").rename(scene.inbox / "renamed")
        wait_until(scene.waits_for(2))  # the old name is forgotten when it is due
        scene.step(SETTLE)

        assert ["renamed/1/a.jpg"] == scene.told
        scene.watcher.stop()

    def test_a_file_renamed_to_its_last_name_is_found(self, scene: Scene) -> None:
        """As rsync and browsers do."""
        scene.put("a.jpg.part").rename(scene.inbox / "a.jpg")
        wait_until(scene.waits_for(1))
        scene.step(SETTLE)

        assert ["a.jpg"] == scene.told

    def test_a_file_that_went_and_came_back_is_told_of_again(
        self, scene: Scene, tmp_path: Path
    ) -> None:
        """It looks just as before, but it was announced."""
        path = scene.put("a.jpg")
        wait_until(scene.waits_for(1))
        scene.step(SETTLE)
        path.rename(tmp_path / "a.jpg")
        nothing_waits = scene.waits_for(0)
        wait_until(lambda: nothing_waits() and not scene.watcher._reported)
        (tmp_path / "a.jpg").rename(path)
        wait_until(scene.waits_for(1))
        scene.step(SETTLE)

        assert ["a.jpg", "a.jpg"] == scene.told

    def test_an_inbox_behind_a_symlink_is_watched(self, tmp_path: Path) -> None:
        """What the link leads to, under the link's name."""
        (tmp_path / "real").mkdir()
        (tmp_path / "inbox").symlink_to("real")
        scene = Scene(tmp_path / "inbox")
        scene.start()
        scene.put("sub/a.jpg")
        wait_until(scene.waits_for(1))
        scene.step(SETTLE)

        assert ["sub/a.jpg"] == scene.told
        scene.watcher.stop()

    def test_a_name_that_is_not_utf8_is_found(self, scene: Scene) -> None:
        """As Python writes it."""
        scene.put("caf\udce9.jpg")
        wait_until(scene.waits_for(1))
        scene.step(SETTLE)

        assert ["caf\udce9.jpg"] == scene.told

    def test_hints_of_what_is_no_photo_are_dropped(self, scene: Scene, tmp_path: Path) -> None:
        """Hidden, unfinished, a link to elsewhere, gone again."""
        (tmp_path / "outside").mkdir()
        (tmp_path / "outside" / "x.jpg").touch()
        (scene.inbox / "link").symlink_to(tmp_path / "outside")
        (scene.inbox / "fine.jpg").touch()
        for name in ("link", ".hidden.jpg", "a.tmp", "gone.jpg", "gone", "link/x.jpg"):
            scene.watcher._hints.dispatch(FileCreatedEvent(str(scene.inbox / name)))
        scene.step()
        wait_until(scene.waits_for(1))

        assert {scene.inbox / "fine.jpg"} == scene.watcher._tracker.paths

    def test_too_many_hints_become_one_rescan(
        self, deaf: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Memory stays bounded and nothing is lost."""
        monkeypatch.setattr(observer, "MOST_HINTS", 3)
        deaf.start()
        for number in range(9):
            path = deaf.put(f"{number}.jpg")
            deaf.watcher._hints.dispatch(FileCreatedEvent(str(path)))

        assert 3 == len(deaf.watcher._hints._paths)
        assert not deaf.watcher.settled(deaf.now)
        wait_until(deaf.waits_for(9))

    def test_the_name_after_a_move_is_the_hint(self, deaf: Scene) -> None:
        """Of a file and of a folder; bytes are understood."""
        hints = deaf.watcher._hints
        hints.dispatch(FileMovedEvent("/inbox/a", "/inbox/b"))
        hints.dispatch(DirMovedEvent(b"/inbox/c", b"/inbox/d"))

        assert [Path("/inbox/b"), Path("/inbox/d")] == hints.take()
        assert [] == hints.take()

    def test_a_file_being_written_does_not_wake_the_daemon_at_each_write(self, deaf: Scene) -> None:
        """It is looked at in the next step anyway."""
        deaf.watcher._hints.dispatch(FileModifiedEvent("/inbox/a"))

        assert not deaf.woken.is_set()
        assert deaf.watcher._hints.any


class TestTheObserver:
    """It dies in silence; so it is looked after."""

    def test_a_dead_emitter_is_built_again(self, scene: Scene) -> None:
        """With a rescan for what came in between, and a longer wait when it dies again."""
        with capture_logs() as logs:
            for wait in (1.0, 2.0, 4.0):
                for emitter in emitters_of(scene):
                    emitter.stop()
                    emitter.join()
                scene.put(f"{wait}.jpg")
                scene.step()

                assert not scene.watcher.emitters_alive()
                assert min(SETTLE, wait) >= scene.watcher.next_due(scene.now) > 0
                scene.step(wait - 0.01)
                assert not scene.watcher.emitters_alive()
                scene.step(0.01)
                assert scene.watcher.emitters_alive()
        scene.step(SETTLE)

        assert ["watch.rebuilt"] * 3 == [line["event"] for line in logs]
        assert {"1.0.jpg", "2.0.jpg", "4.0.jpg"} == set(scene.told)

    def test_an_observer_that_lived_long_is_built_again_soon(self, scene: Scene) -> None:
        """Old troubles are forgotten."""
        scene.watcher._supervisor._restart_wait = 60.0
        scene.step(61.0)
        for emitter in emitters_of(scene):
            emitter.stop()
            emitter.join()
        scene.step()
        scene.step(1.0)

        assert scene.watcher.emitters_alive()

    @pytest.mark.parametrize("polling", ["never", "always"])
    def test_an_inbox_replaced_by_another_folder_is_watched_again(
        self, tmp_path: Path, polling: str
    ) -> None:
        """The observer would go on to watch the old one, or be dead."""
        (tmp_path / "inbox").mkdir()
        scene = Scene(tmp_path / "inbox", polling)
        scene.start()
        scene.inbox.rename(tmp_path / "old")
        scene.inbox.mkdir()
        scene.step()
        scene.step(1.0)
        scene.step(1.0)
        scene.put("a.jpg")
        wait_until(scene.waits_for(1))
        scene.step(SETTLE)

        assert ["a.jpg"] == scene.told
        scene.watcher.stop()

    def test_an_inbox_that_was_deleted_and_made_again_is_watched_again(self, scene: Scene) -> None:
        """Also when the step in between did not see it missing."""
        shutil.rmtree(scene.inbox)
        wait_until(lambda: not scene.watcher.emitters_alive())
        scene.inbox.mkdir()
        scene.step()
        scene.step(1.0)

        assert scene.watcher.emitters_alive()

    @pytest.mark.parametrize(
        ("expected", "polling", "network"),
        [
            (True, "always", False),
            (False, "never", True),
            (True, "auto", True),
            (False, "auto", False),
        ],
    )
    def test_shares_are_polled_unless_told_otherwise(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        expected: bool,  # noqa: FBT001
        polling: str,
        network: bool,  # noqa: FBT001
    ) -> None:
        """Writers are asked for on local disks only, for a share cannot tell."""
        monkeypatch.setattr(supervisor, "is_network_file_system", lambda _path: network)
        scene = Scene(tmp_path, polling)
        scene.start()

        assert expected == (observer_of(scene)._kernel is None)
        with (tmp_path / "a.jpg").open("w"):
            scene.step(RESCAN)
            scene.step(SETTLE)
            assert [] == scene.told
            scene.step(Watch().settle_shared)
            assert (["a.jpg"] if network else []) == scene.told
        scene.watcher.stop()

    def test_after_stop_no_thread_is_left(self, scene: Scene) -> None:
        """And stopping twice does no harm."""
        before = {thread.name for thread in threading.enumerate()}
        scene.watcher.stop()
        scene.watcher.stop()

        assert not scene.watcher.emitters_alive()
        assert len(before) - 3 >= len(threading.enumerate()) - 1

    def test_a_root_that_cannot_be_watched_leaves_no_thread(self, tmp_path: Path) -> None:
        """The half-built observer is ended."""
        before = threading.active_count()
        with pytest.raises(FileNotFoundError):
            Observer(tmp_path / "none", Hints(lambda: None), None)
        wait_until(lambda: threading.active_count() == before)


class TestWriters:
    """A file of another user, of which no lease tells: inotify does, from the first write on."""

    @pytest.fixture(autouse=True)
    def strangers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let all files be another user's."""
        monkeypatch.setattr(watcher, "has_writer", lambda *_: None)

    def test_a_file_is_not_taken_before_its_writer_closes_it(self, scene: Scene) -> None:
        """However long it pauses; then after the settle time, not a moment before."""
        path = scene.inbox / "a.jpg"
        with path.open("w") as writer:
            writer.write("half of ")
            writer.flush()
            wait_until(lambda: scene.watcher._hints.writer(path) is Writer.WRITING)
            for _ in range(5):
                scene.step(Watch().incomplete_timeout)
            assert [] == scene.told
            assert [path] == [one.path for one in scene.watcher.arriving]
            writer.write("a photo")
        wait_until(lambda: scene.watcher._hints.writer(path) is Writer.DONE)
        scene.step()
        scene.step(SETTLE - 0.1)
        assert [] == scene.told
        scene.step(0.1)

        assert ["a.jpg"] == scene.told
        assert [] == scene.watcher.arriving
        assert [Rest(SETTLE, closed=True)] == scene.rests

    def test_a_file_renamed_by_its_writer_is_still_being_written(self, scene: Scene) -> None:
        """Its name is no news of its writer."""
        hidden, path = scene.inbox / ".a.part", scene.inbox / "a.jpg"
        with hidden.open("w") as writer:
            writer.write("half")
            writer.flush()
            wait_until(lambda: scene.watcher._hints.writer(hidden) is Writer.WRITING)
            hidden.rename(path)
            wait_until(lambda: scene.watcher._hints.writer(path) is Writer.WRITING)
            scene.step()
            scene.step(RESCAN)
            assert [] == scene.told
        wait_until(lambda: scene.watcher._hints.writer(path) is Writer.DONE)
        scene.step()
        scene.step(SETTLE)

        assert ["a.jpg"] == scene.told

    def test_what_follows_an_original_that_leaves_waits_a_tenth_of_a_second(
        self, scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """No longer: the other half of a move is announced at once, and here there is none."""
        waits: list[float] = []

        def sleep(seconds: float) -> None:
            waits.append(seconds)
            time.sleep(seconds)

        clock = SimpleNamespace(monotonic=time.monotonic, sleep=sleep)
        original = scene.put("a.jpg")
        wait_until(scene.waits_for(1))
        monkeypatch.setattr(delayed_queue, "time", clock)
        original.rename(tmp_path / "a.jpg")
        scene.put("b.jpg")
        wait_until(lambda: scene.watcher._hints.writer(scene.inbox / "b.jpg") is Writer.DONE)

        assert waits
        assert max(waits) <= 0.1

    @pytest.mark.parametrize("kind", ["file", "folder"])
    def test_both_halves_of_a_move_within_the_inbox_are_one_event(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch, kind: str
    ) -> None:
        """So that what is known of the writer of a file is known of it under its new name."""
        path, moved = scene.inbox / "a.jpg", scene.inbox / "b.jpg"
        if kind == "folder":
            path, moved = scene.inbox / "1" / "a.jpg", scene.inbox / "2" / "a.jpg"
            scene.put("1/other.jpg")
            wait_until(scene.waits_for(1))  # so the folder is watched
        seen: list[tuple[str, str]] = []
        dispatch = scene.watcher._hints.dispatch

        def note(event: FileSystemEvent) -> None:
            if isinstance(event, FileMovedEvent | DirMovedEvent) and not event.is_synthetic:
                seen.append((os.fsdecode(event.src_path), os.fsdecode(event.dest_path)))
            dispatch(event)

        monkeypatch.setattr(scene.watcher._hints, "dispatch", note)
        with path.open("w") as writer:
            writer.write("half")
            writer.flush()
            wait_until(lambda: scene.watcher._hints.writer(path) is Writer.WRITING)
            (path if kind == "file" else path.parent).rename(
                moved if kind == "file" else moved.parent
            )
            wait_until(lambda: scene.watcher._hints.writer(moved) is Writer.WRITING)
        old, new = (path, moved) if kind == "file" else (path.parent, moved.parent)

        assert [(str(old), str(new))] == seen

    @pytest.mark.parametrize("what", ["file", "folder"])
    def test_what_is_moved_in_is_whole(self, scene: Scene, tmp_path: Path, what: str) -> None:
        """Careful programs write elsewhere and rename; the settle time is enough."""
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "a.jpg").write_text("photo")
        if what == "file":
            (outside / "a.jpg").rename(scene.inbox / "a.jpg")
        else:
            outside.rename(scene.inbox / "sub")
        wait_until(lambda: Writer.DONE in scene.watcher._hints._writers.values())
        wait_until(scene.waits_for(1))
        scene.step(SETTLE)

        assert 1 == len(scene.told)

    def test_an_unknown_writer_is_given_the_time_of_a_share(self, tmp_path: Path) -> None:
        """A file that is older than the watch, or whose events were lost, may be half written."""
        (tmp_path / "a.jpg").write_text("photo")
        scene = Scene(tmp_path)
        scene.start()
        scene.step(Watch().settle_shared - 0.1)
        assert [] == scene.told
        scene.step(0.1)
        assert [Rest(Watch().settle_shared, closed=False)] == scene.rests
        (tmp_path / "b.jpg").write_text("photo")
        wait_until(lambda: scene.watcher._hints.writer(tmp_path / "b.jpg") is Writer.DONE)
        scene.watcher._hints.overflow()
        scene.step()
        scene.step(Watch().settle_shared - 0.1)
        assert ["a.jpg"] == scene.told
        scene.step(0.2)
        scene.watcher.stop()

        assert ["a.jpg", "b.jpg"] == scene.told

    def test_looks_now_and_then_tell_of_no_writer(self, tmp_path: Path) -> None:
        """With polling nobody sees a close: the file is given the time of a share, and no more."""
        scene = Scene(tmp_path, "always")
        scene.start()
        path = scene.put("a.jpg")
        wait_until(scene.waits_for(1))
        path.write_text("the photo, changed")
        wait_until(lambda: scene.watcher._hints.any)  # "modified", after which no "closed" follows
        wait_until(scene.waits_for(1))
        for _ in range(3):
            scene.step(Watch().settle_shared)
        scene.watcher.stop()

        assert ["a.jpg"] == scene.told

    def test_a_lease_is_believed_before_inotify(
        self, scene: Scene, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A close that was never announced does not keep a file for ever."""
        path = scene.put("a.jpg")
        wait_until(scene.waits_for(1))
        scene.watcher._hints._writers[str(path)] = Writer.WRITING
        monkeypatch.setattr(watcher, "has_writer", lambda *_: False)
        scene.step(SETTLE)

        assert ["a.jpg"] == scene.told


class TestFilesThatAreNotWhole:
    """They are waited for, and listed; a file that is no more than that is taken in the end."""

    def test_one_is_told_of_again_when_it_has_been_at_rest_for_long(self, deaf: Scene) -> None:
        """Not at each rescan; and it is listed with the reason while it waits."""
        path = deaf.put("a.jpg")
        deaf.missing = "it is empty"
        deaf.start()
        deaf.step(SETTLE)
        for _ in range(9):
            deaf.step(RESCAN)

        assert [Arriving(path, "it is empty", 1000.0)] == deaf.watcher.arriving
        assert 1 == len(deaf.rests)
        assert deaf.watcher.settled(deaf.now + 1)
        deaf.step(Watch().incomplete_timeout - SETTLE - 9 * RESCAN)
        assert ["a.jpg"] == deaf.told
        assert [] == deaf.watcher.arriving

    def test_its_rest_is_found_and_settles(self, deaf: Scene) -> None:
        """As of any other file that changes."""
        path = deaf.put("a.jpg", "")
        deaf.missing = "it is empty"
        deaf.start()
        deaf.step(SETTLE)
        deaf.missing = ""
        path.write_text("photo")
        deaf.step(RESCAN)
        assert [] == deaf.watcher.arriving
        deaf.step(SETTLE)

        assert ["a.jpg"] == deaf.told

    def test_one_that_its_reader_finds_cut_short_is_held_once(self, deaf: Scene) -> None:
        """Then it is told of again, and not held a second time."""
        path = deaf.put("a.jpg")
        deaf.start()
        deaf.step(SETTLE)
        assert deaf.watcher.hold(path, "it is cut short", deaf.now)
        assert ["it is cut short"] == [one.reason for one in deaf.watcher.arriving]
        deaf.step(Watch().incomplete_timeout - 0.1)
        assert ["a.jpg"] == deaf.told
        deaf.step(0.1)
        assert ["a.jpg"] * 2 == deaf.told

        assert not deaf.watcher.hold(path, "it is cut short", deaf.now)

    def test_one_that_changed_since_is_held_again(self, deaf: Scene) -> None:
        """Its writer is at work, if slowly."""
        path = deaf.put("a.jpg")
        deaf.start()
        deaf.step(SETTLE)
        deaf.watcher.hold(path, "it is cut short", deaf.now)
        deaf.step(Watch().incomplete_timeout)
        path.write_text("more of the photo")
        deaf.step(RESCAN)
        deaf.step(SETTLE)
        assert 3 == len(deaf.told)

        assert deaf.watcher.hold(path, "it is cut short", deaf.now)

    def test_a_file_is_looked_at_anew_at_once(self, deaf: Scene) -> None:
        """Not at the next rescan."""
        path = deaf.put("a.jpg")
        deaf.start()
        deaf.step(SETTLE)
        deaf.watcher.revisit(path)
        assert deaf.woken.is_set()
        deaf.step()
        deaf.step(SETTLE)

        assert ["a.jpg"] * 2 == deaf.told
