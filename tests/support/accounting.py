"""Twenty photos and a bad file for a daemon, and whether each is accounted for afterwards."""

import hashlib
import shutil
import sqlite3
from pathlib import Path, PurePosixPath

from service.config.loader import Config
from service.filesystem.availability import MARKER
from service.ledger.jobs import JobStatus
from service.ledger.ledger import LEDGER_FILE
from service.ledger.queries import LedgerQueries
from service.maintenance.verify import verify
from service.storage.moves import HIDDEN_PREFIX
from service.storage.sidecar import SidecarError, read_sidecar, sidecar_name
from tests.support.folder_listing import files, tells_of_its_photo
from tests.support.synthetic_photos import gray_scene, save
from worker import scan
from worker.errors import ScanError
from worker.settings import ReadSettings

PHOTOS = 20
BAD = "a/torn.png"
SHAPE = (24, 32, 3)


def collection(folder: Path) -> dict[str, str]:
    """Make 20 photos, two of them with one name and two with one content, and a file that is bad.

    Returns:
        SHA-256 by name.
    """
    names = [f"{'ab'[n % 2]}/{n:02d}{('.tif', '.png', '.jpg')[n % 3]}" for n in range(PHOTOS - 4)]
    for n, name in enumerate([*names, "a/scan.tif", "b/scan.tif", "twin.png"]):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        depth = 16 if path.suffix == ".tif" and n % 2 else 8
        save(path, gray_scene(*SHAPE[:2], depth, seed=n))
    shutil.copyfile(folder / "twin.png", folder / "other twin.png")
    (folder / BAD).write_bytes((folder / "twin.png").read_bytes()[:-40])
    return digests(folder)


def digests(folder: Path) -> dict[str, str]:
    """Take the SHA-256 of each file, hidden ones too, but not of the folder's marker.

    One that is on its way to another disk counts under its own name, which the next start gives it.
    """
    return {
        str(path.relative_to(folder).with_name(own_name(path.name))): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and path != folder / MARKER
    }


def own_name(name: str) -> str:
    """Give the name a file had before it was hidden for its move."""
    if not name.startswith(HIDDEN_PREFIX):
        return name
    return name.removeprefix(HIDDEN_PREFIX).partition("-")[2]


def lost_or_torn(config: Config, scans: dict[str, str]) -> list[str]:
    """Say what may never be: an original that is gone, a photo or sidecar that is not whole."""
    inbox, moved = digests(config.inbox), shown(digests(config.originals.folder))
    kept = inbox.items() | moved.items() | digests(config.rejected).items()
    wrong = [f"lost: {name}" for name, _digest in scans.items() - kept]
    wrong += [f"no original: {name}" for name, _digest in moved.items() - scans.items()]
    for name in shown(digests(config.outbox)):
        wrong += _torn(config.outbox / name)
    return wrong


def wrong_after_a_kill(config: Config, scans: dict[str, str]) -> list[str]:
    """Say what a daemon must not leave behind, however it was ended."""
    wrong = lost_or_torn(config, scans)
    moved = shown(digests(config.originals.folder)).keys()
    for name in moved - digests(config.inbox).keys():
        if not tells_of_its_photo(config.outbox / sidecar_name(PurePosixPath(name))):
            wrong.append(f"moved before it was delivered: {name}")
    return wrong


def shown(found: dict[str, str]) -> dict[str, str]:
    """Leave hidden files out."""
    return {name: digest for name, digest in found.items() if "/." not in f"/{name}"}


def _torn(path: Path) -> list[str]:
    try:
        if path.suffix == ".json":
            read_sidecar(path)
        elif scan.read_color(path, ReadSettings()).shape != SHAPE:
            return [f"{path} has another shape"]
    except (ScanError, SidecarError) as error:
        return [f"{path} is torn: {error}"]
    return []


def wrong_in_the_end(config: Config, scans: dict[str, str]) -> list[str]:
    """Say what is not as if the daemon had never been killed."""
    photos = {name: digest for name, digest in scans.items() if name != BAD}
    wrong = wrong_after_a_kill(config, scans)
    is_and_should = {
        "inbox": (digests(config.inbox), {}),
        "outbox": (files(config.outbox), sorted(photos)),
        "originals": (digests(config.originals.folder), photos),
        "rejected": (files(config.rejected), [BAD, f"{BAD}.reason.txt"]),
        "sources": (_sources(config), photos),
    }
    wrong += [
        f"{what}: {one}, not {two}" for what, (one, two) in is_and_should.items() if one != two
    ]
    found = verify(config, lambda *_: None)
    wrong += [f"verify: {finding}" for finding in found.findings]
    if (PHOTOS, 0, 0) != (found.checked, found.without_digest, found.in_work):
        wrong.append(f"verify: {found}")
    with LedgerQueries.open(config.state / LEDGER_FILE) as ledger:
        counts = {status.value: count for status, count in ledger.counts().items() if count}
    if counts != {JobStatus.FINISHED.value: PHOTOS, JobStatus.FAILED.value: 1}:
        wrong.append(f"ledger: {counts}")
    database = sqlite3.connect(config.state / LEDGER_FILE)
    if (said := database.execute("PRAGMA integrity_check").fetchall()) != [("ok",)]:
        wrong.append(f"ledger: {said}")
    database.close()
    return wrong


def _sources(config: Config) -> dict[str, str]:
    """Read from the sidecars which scan each photo was made from."""
    return {
        said.source.path: said.source.sha256
        for said in map(read_sidecar, config.outbox.rglob("*.json"))
    }
