"""Disks that fill up, shares that vanish: the real daemon waits, says so, and goes on by itself.

Each in a mount namespace, with a fake device. What fails is next tried after ten minutes, so only a
daemon that notices by itself that all is well again passes.
"""

import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from service.config.loader import load_config
from service.filesystem.availability import MARKER
from service.monitoring.status_reader import read_status
from tests.support.accounting import PHOTOS, collection, wrong_in_the_end
from tests.support.command import Command, Home
from tests.support.mount_namespaces import WITH_FAKE, Namespace, can_mount
from worker.inference.local_engine import BATCHES_IN_MEMORY

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not can_mount(), reason="no namespaces may be made here"),
]

PATIENT = """
watch: {settle: 0.1, rescan: 1.0, incomplete_timeout: 0}
batch: {longest_wait: 0.1}
retry: {first_wait: 600, longest_wait: 600}
"""
BLOCKED = {"daemon.held_up", "daemon.goes_on"}


class Archive(Home):
    """A home whose folders may be shares."""

    def __init__(self, folder: Path, namespace: Namespace, config: str = PATIENT) -> None:
        """Make its folders, and a disk beside it for what is to be shared."""
        super().__init__(folder, config)
        self.namespace = namespace
        for each in (self.outbox, self.originals, self.rejected):
            each.mkdir()
        self.disk = folder / "disk"
        self.disk.mkdir()
        namespace.mount(self.disk)

    def share(self, folder: Path) -> None:
        """Have a folder of the disk mounted on one of the home's, as often as it was unmounted."""
        inside = self.disk / folder.name
        self.namespace.see(inside).mkdir(exist_ok=True)
        self.namespace.bind(inside, folder)

    def run(self, gate: str = "") -> Command:
        """Start a daemon, with photos waiting at a gate of the fake device, if one is named."""
        prefix = (*self.namespace.prefix, "env", f"GATE={gate}")
        return self.start("run", prefix=prefix, program=WITH_FAKE)

    def see(self, folder: Path) -> Path:
        """Return the path by which this process sees a folder as the daemon does."""
        return self.namespace.see(folder)

    def shared_collection(self) -> dict[str, str]:
        """Put photos into the inbox where that is a share; return their digests by name."""
        made = self.folder / "scans"
        scans = collection(made)
        self.namespace.run("cp", "--archive", f"{made}/.", self.inbox)
        return scans

    def wrong(self, scans: dict[str, str]) -> list[str]:
        """Say what is not as if nothing had ever happened."""
        return wrong_in_the_end(load_config(self.see(self.folder / "config.yaml")), scans)

    def photos(self) -> dict[str, int]:
        """Count the photos by how far they are."""
        return {status: count for status, count in self.status()["jobs"].items() if count}

    def status(self) -> dict[str, Any]:
        """Return what `photochrom status` says."""
        return read_status(load_config(self.folder / "config.yaml")).model_dump()


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    """Make one in a namespace of its own."""
    with Namespace() as namespace:
        yield Archive(tmp_path, namespace)


def in_hand(archive: Archive, daemon: Command) -> None:
    """Return when as many photos are in work as may be, and the others wait."""
    daemon.wait_for("photo.queued", times=PHOTOS + 1)
    daemon.wait_until(lambda: archive.photos().get("started") == BATCHES_IN_MEMORY)


def end(daemon: Command) -> list[str]:
    """Have all photos finished and the daemon stopped; return why it had been blocked."""
    daemon.wait_for("photo.moved", times=PHOTOS + 1)
    daemon.signal(signal.SIGTERM)

    assert 0 == daemon.exit_code()
    assert PHOTOS == len(daemon.events("photo.delivered"))
    events = [entry["event"] for entry in daemon.events()]
    assert "daemon.goes_on" == [one for one in events if one in BLOCKED][-1]
    return [entry["reason"] for entry in daemon.events("daemon.held_up")]


def away(key: str, folder: Path) -> str:
    """Say what is said of a folder whose share is not mounted."""
    return (
        f"{key}: {folder} looks like an unmounted share (different device, marker .photochrom"
        f" missing); mount it, or if {folder} is right, run: touch {folder / MARKER}"
    )


def status_says(archive: Archive, daemon: Command, reason: str) -> None:
    """Return when `photochrom status` says that the daemon is blocked, and by what."""
    daemon.wait_until(lambda: reason in archive.status()["health"]["reasons"])
    assert "held up" == archive.status()["health"]["level"]


def fill_up(folder: Path) -> Path:
    """Write to a disk until it is full."""
    filler = folder / "somebody's"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1 << 12))
    return filler


def test_nothing_is_begun_on_a_disk_that_is_nearly_full(archive: Archive) -> None:
    """Until there is room again: `limits.free_space`, here 1 % of 8 MB."""
    archive.namespace.mount(archive.outbox, megabytes=8)
    outbox = archive.see(archive.outbox)
    with archive.run() as daemon:
        daemon.wait_until((outbox / MARKER).exists)
        filler = fill_up(outbox)
        daemon.wait_for("daemon.held_up")
        expected = f"outbox: less than 0.1 MB free on the disk of {archive.outbox}"
        expected += " (limits.free_space); free up space"
        status_says(archive, daemon, expected)
        scans = collection(archive.inbox)
        daemon.wait_for("photo.queued", times=PHOTOS + 1)
        filler.unlink()
        said = end(daemon)

        assert [] == daemon.events("photo.waits")
    assert [expected] == said
    assert [] == archive.wrong(scans)


def test_photos_that_meet_a_full_disk_wait(tmp_path: Path) -> None:
    """With the system's words; where no space is kept free, they try again now and then."""
    hasty = "limits: {free_space: 0}\nwatch: {incomplete_timeout: 0}\n"
    hasty += "retry: {first_wait: 0.2, longest_wait: 0.4}\n"
    with Namespace() as namespace:
        archive = Archive(tmp_path, namespace, hasty)
        namespace.mount(archive.outbox, megabytes=8)
        outbox = archive.see(archive.outbox)
        scans = collection(archive.inbox)
        with archive.run("device") as daemon:
            in_hand(archive, daemon)
            filler = fill_up(outbox)
            daemon.signal(signal.SIGUSR1)
            daemon.wait_for("daemon.held_up")
            filler.unlink()
            said = end(daemon)

        words = "No space left on device; free up space; smaller photographs go on meanwhile"
        assert [f"outbox: {archive.outbox}: {words}"] == said
        assert [] == archive.wrong(scans)


def test_a_read_only_outbox_is_waited_for(archive: Archive) -> None:
    """As an ext4 disk becomes after an error."""
    archive.share(archive.outbox)
    scans = collection(archive.inbox)
    with archive.run("device") as daemon:
        in_hand(archive, daemon)
        archive.namespace.run("mount", "-o", "remount,bind,ro", archive.outbox)
        daemon.signal(signal.SIGUSR1)
        daemon.wait_for("photo.waits")
        daemon.wait_until(lambda: archive.photos() == {"queued": PHOTOS + 1})

        archive.namespace.run("mount", "-o", "remount,bind,rw", archive.outbox)
        said = end(daemon)

    assert [f"outbox: {archive.outbox} is mounted read-only; remount it read-write"] == said
    assert [] == archive.wrong(scans)


@pytest.mark.parametrize("gate", ["device", "paint"])
def test_nothing_is_written_below_an_outbox_that_is_unmounted(archive: Archive, gate: str) -> None:
    """Neither photos that were not begun to be written, nor those that were half written."""
    archive.share(archive.outbox)
    scans = collection(archive.inbox)
    with archive.run(gate) as daemon:
        in_hand(archive, daemon)
        archive.namespace.run("umount", "--lazy", archive.outbox)
        daemon.wait_for("daemon.held_up")
        daemon.signal(signal.SIGUSR1)
        daemon.wait_for("photo.waits")
        daemon.wait_until(lambda: archive.photos() == {"queued": PHOTOS + 1})
        assert [] == list(archive.outbox.iterdir())
        status_says(archive, daemon, away("outbox", archive.outbox))

        archive.share(archive.outbox)
        said = end(daemon)

    assert [away("outbox", archive.outbox)] == said
    assert [] == list(archive.outbox.iterdir())
    assert [] == archive.wrong(scans)


def test_an_inbox_that_is_unmounted_took_nothing_away(archive: Archive) -> None:
    """Its photos wait, those in work too: whether their scans are what was read, nobody knows."""
    archive.share(archive.inbox)
    scans = archive.shared_collection()
    with archive.run("device") as daemon:
        in_hand(archive, daemon)
        archive.namespace.unmount(archive.inbox)
        daemon.wait_for("daemon.held_up")
        daemon.signal(signal.SIGUSR1)
        daemon.wait_for("photo.waits")
        daemon.wait_until(lambda: archive.photos() == {"queued": PHOTOS + 1})
        assert [] == [
            one for one in archive.outbox.rglob("*") if one.is_file() and one.name != MARKER
        ]

        archive.share(archive.inbox)
        said = end(daemon)

        assert [] == daemon.events("photo.changed")
    assert [away("inbox", archive.inbox)] == said
    assert [] == archive.wrong(scans)


def test_originals_wait_in_the_inbox_for_a_folder_that_is_away(archive: Archive) -> None:
    """Nothing is moved below the place of the share."""
    archive.share(archive.originals)
    scans = collection(archive.inbox)
    with archive.run("device") as daemon:
        in_hand(archive, daemon)
        archive.namespace.unmount(archive.originals)
        daemon.wait_for("daemon.held_up")
        daemon.signal(signal.SIGUSR1)
        daemon.wait_for("photo.delivered", times=BATCHES_IN_MEMORY)

        assert [] == list(archive.originals.iterdir())

        archive.share(archive.originals)
        said = end(daemon)

        assert [] == daemon.events("photo.not_moved")
    assert [away("originals.folder", archive.originals)] == said
    assert [] == archive.wrong(scans)


def test_a_daemon_starts_without_its_shares_and_waits_for_them(archive: Archive) -> None:
    """Once they were used; and what a crash left in them is removed when they are back."""
    shares = (archive.inbox, archive.outbox, archive.originals)
    for folder in shares:
        archive.share(folder)
    with archive.run() as daemon:
        daemon.wait_until((archive.see(archive.outbox) / MARKER).exists)
        daemon.signal(signal.SIGTERM)
        assert 0 == daemon.exit_code()
    scans = archive.shared_collection()
    left = archive.see(archive.outbox) / ".photochrom-1-0.part"
    left.touch()
    for folder in shares:
        archive.namespace.unmount(folder)
    with archive.run() as daemon:
        daemon.wait_for("daemon.held_up")

        assert [[]] * 3 == [list(folder.iterdir()) for folder in shares]

        for folder in reversed(shares):
            archive.share(folder)
        said = end(daemon)

    assert [away("inbox", archive.inbox)] == said
    assert not left.exists()
    assert [] == archive.wrong(scans)
