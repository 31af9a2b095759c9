"""A small archive that the real daemon has colored, and the real page that shows it."""

import re
import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath

import numpy as np
import tifffile

from service.ledger.ledger import LEDGER_FILE
from service.ledger.queries import LedgerQueries
from tests.support.command import PATIENCE, Command, Home
from tests.support.small_generators import vivid_generator
from tests.support.synthetic_photos import gray_scene, save
from tests.support.waiting import wait_until
from worker.inference.trial import try_version
from worker.models.store import ModelStore

ODD_NAME = 'Straße "1912"; <b>x=\u2603.png'  # what HTML and headers must not take as theirs
LARGE, PAGES = "album/harbor.tif", "album/pages.tif"
SMALL = [f"street/{number}.jpg" for number in range(4)]
NAMES = [LARGE, PAGES, ODD_NAME, *SMALL]


def colored_archive(folder: Path) -> Home:
    """Color seven scans with a small generator: a large one, one of two pages, an oddly named one.

    Args:
        folder: for everything; is made.
    """
    home = Home(folder)
    models = ModelStore(folder / "state/models")
    models.publish(vivid_generator(1), {})
    models.promote(1, "the first", datetime.now(UTC), try_version)
    home.drop(LARGE, gray_scene(1300, 1700, depth=16))
    home.drop(ODD_NAME, gray_scene(300, 420, seed=2))
    for number, name in enumerate(SMALL):
        home.drop(name, gray_scene(360, 480, seed=3 + number), quality=95)
    pages = np.stack([gray_scene(400, 300, seed=seed) for seed in (10, 11)])
    outside = save(folder / "pages.tif", pages[0])
    tifffile.imwrite(outside, pages, photometric="minisblack")
    outside.rename(folder / "inbox" / PAGES)
    with home.start("run") as daemon:
        daemon.wait_for("photo.moved", times=len(NAMES))
        daemon.signal(signal.SIGTERM)
        assert 0 == daemon.exit_code(), daemon.said
    return home


@dataclass
class LightTable:
    """An archive, and the page that shows it.

    Attributes:
        home: its folders.
        base: the page's address, without a slash at its end.
    """

    home: Home
    base: str

    def job(self, name: str) -> int:
        """Return the number of a scan by its path in the inbox."""
        with LedgerQueries.open(self.home.folder / "state" / LEDGER_FILE) as ledger:
            return ledger.ids_of_path(PurePosixPath(name))[-1]

    def url(self, name: str, rest: str = "") -> str:
        """Return the address of a photograph's page, or of what lies below it."""
        return f"{self.base}/photographs/{self.job(name)}{rest}"

    def scan(self, name: str) -> Path:
        """Return where a scan is now."""
        return self.home.originals / name

    @contextmanager
    def daemon(self) -> Iterator[Command]:
        """Run the daemon beside the page, for as long as the block takes."""
        with self.home.start("run") as daemon:
            daemon.wait_for("daemon.started")
            yield daemon
            daemon.signal(signal.SIGTERM)
            assert 0 == daemon.exit_code(), daemon.said


@contextmanager
def shown(archive: Home, folder: Path) -> Iterator[LightTable]:
    """Serve a copy of an archive with the real command, on a free port of the loopback."""
    shutil.copytree(archive.folder, folder)
    home = Home(folder, config=None)
    with page_of(home) as base:
        yield LightTable(home, base)


@contextmanager
def page_of(home: Home) -> Iterator[str]:
    """Serve the page of an archive with the real command; gives its address, without a slash."""
    with home.start("web", "--listen", f"127.0.0.1:{_free_port()}") as web:
        wait_until(lambda: "http://" in web.printed or web.process.poll() is not None, PATIENCE)
        found = re.search(r"http://\S+(?=/)", web.printed)
        assert found, web.said
        yield found[0]
        web.signal(signal.SIGTERM)
        assert web.exit_code() in {0, -signal.SIGTERM}, web.said
        assert [] == web.events("web.failed")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port
