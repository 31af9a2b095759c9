"""Disks that fill up, shares that vanish: the real daemon waits, says so, and goes on by itself.

Each in a mount namespace, with a fake device.
"""

import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from service.config import load_config
from tests.accounts import PHOTOS, collection, wrong_in_the_end
from tests.end_to_end.command import Command, Home
from tests.namespaces import WITH_FAKE, Namespace, can_mount

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not can_mount(), reason="no namespaces may be made here"),
]

HASTY = """
watch: {settle: 0.1, rescan: 1.0}
batch: {longest_wait: 0.1}
retry: {first_wait: 0.2, longest_wait: 0.4}
"""


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """Make a namespace."""
    with Namespace() as made:
        yield made


def run(home: Home, namespace: Namespace) -> Command:
    """Start a daemon in a namespace."""
    return home.start("run", prefix=namespace.prefix, program=WITH_FAKE)


def wrong(home: Home, namespace: Namespace, scans: dict[str, str]) -> list[str]:
    """Say what is not as if nothing had ever happened, as the namespace sees it."""
    return wrong_in_the_end(load_config(namespace.see(home.folder / "config.yaml")), scans)


def fill_up(folder: Path) -> Path:
    """Write to a disk until it is full."""
    filler = folder / "somebody's"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(1 << 12))
    return filler


def test_a_disk_that_fills_up_holds_photos_up_until_it_is_freed(
    tmp_path: Path, namespace: Namespace
) -> None:
    """The log has the system's words; then each photo comes out once."""
    home = Home(tmp_path, HASTY)
    home.outbox.mkdir()
    namespace.mount(home.outbox, megabytes=8)
    filler = fill_up(namespace.see(home.outbox))
    scans = collection(home.inbox)
    with run(home, namespace) as daemon:
        daemon.wait_for("photo.waits")
        filler.unlink()
        daemon.wait_for("photo.moved", times=PHOTOS + 1)
        daemon.signal(signal.SIGTERM)

        assert 0 == daemon.exit_code()
        said = daemon.events("photo.waits")

    assert all("[Errno 28] No space left on device" in entry["reason"] for entry in said)
    assert [] == wrong(home, namespace, scans)
